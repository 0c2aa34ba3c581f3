#include "channel/polar_parse.h"

#include <string.h>

static const char *const reference_keys[] = { "subscription", "order", "id", NULL };

static void read_contact(json_t *event, const json_t *data)
{
    const json_t *customer = json_object_at(data, "customer");
    json_t *id = json_object_get(data, "customer_id");
    customer_add_id(event, "polar", json_is_string(id) ? id : json_object_get(customer, "id"));
    customer_add_metadata(event, json_object_at(data, "metadata"));
    customer_add_metadata(event, json_object_at(customer, "metadata"));
    customer_add_metadata(event, json_object_at(data, "custom_field_data"));
    (void)customer_add_identity(event, json_str(customer, "external_id"));
    customer_add_email(event, json_str(customer, "email"));
    customer_add_email(event, json_str(data, "customer_email"));
    customer_set_name(event, json_str(customer, "name"));
    customer_set_name(event, json_str(data, "customer_name"));
}

static void read_order(json_t *event, const json_t *data)
{
    json_t *payment = payment_of(event);
    bool refunded = strcmp(json_str_or(event, "type", ""), "payment.refunded") == 0;
    const json_t *amount = event_value(data, refunded ? "refunded_amount" : "total_amount");
    payment_put_id(payment, "id", json_object_get(data, "id"));
    payment_put_amount(payment, amount ? amount : json_object_get(data, "amount"), json_str(data, "currency"));
    payment_put_id(payment, "order", json_object_get(data, "id"));
    json_put_str(payment, "invoice", json_str(data, "invoice_number"));
    payment_put_id(payment, "customer", json_object_get(data, "customer_id"));
    payment_put_id(payment, "subscription", json_object_get(data, "subscription_id"));
    json_put_str(payment, "status", json_str(data, "status"));
    json_put_str(payment, "billing_reason", json_str(data, "billing_reason"));
    payment_put_metadata(payment, json_object_at(data, "metadata"));
    payment_finish(event, reference_keys);
}

static void read_refund(json_t *event, const json_t *data)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(data, "order_id"));
    payment_put_id(payment, "refund", json_object_get(data, "id"));
    payment_put_amount(payment, json_object_get(data, "amount"), json_str(data, "currency"));
    payment_put_id(payment, "order", json_object_get(data, "order_id"));
    payment_put_id(payment, "subscription", json_object_get(data, "subscription_id"));
    payment_put_id(payment, "customer", json_object_get(data, "customer_id"));
    json_put_str(payment, "reason", json_str(data, "reason"));
    json_put_str(payment, "status", json_str(data, "status"));
    payment_finish(event, reference_keys);
}

static void read_subscription(json_t *event, const json_t *data)
{
    json_t *subscription = subscription_of(event);
    payment_put_id(subscription, "id", json_object_get(data, "id"));
    json_put_str(subscription, "status", json_str(data, "status"));
    json_put_bool(subscription, "cancel_at_period_end", json_bool(data, "cancel_at_period_end", false));
    payment_put_id(subscription, "customer", json_object_get(data, "customer_id"));
    payment_put_id(subscription, "plan", json_object_get(data, "product_id"));
    payment_put_amount(subscription, json_object_get(data, "amount"), json_str(data, "currency"));
    json_put_time(subscription, "current_period_end", event_time_s(data, "current_period_end"));
    json_put_time(subscription, "ended_at", event_time_s(data, "ended_at"));
    json_put_str(subscription, "reason", json_str(data, "customer_cancellation_reason"));
    payment_put_metadata(subscription, json_object_at(data, "metadata"));
}

static void read_past_due(json_t *event, const json_t *data)
{
    json_t *payment = payment_of(event);
    payment_put_amount(payment, json_object_get(data, "amount"), json_str(data, "currency"));
    payment_put_id(payment, "subscription", json_object_get(data, "id"));
    payment_put_id(payment, "customer", json_object_get(data, "customer_id"));
    json_put_str(payment, "status", json_str(data, "status"));
    payment_put_metadata(payment, json_object_at(data, "metadata"));
    payment_finish(event, reference_keys);
}

static const struct payment_type types[] = {
    { "order.paid", "payment.succeeded", read_order, false },
    { "order.refunded", "payment.refunded", read_order, true }, /* refund.created tells each refund */
    { "refund.created", "payment.refunded", read_refund, false },
    { "subscription.created", "subscription.created", read_subscription, false },
    { "subscription.active", "subscription.updated", read_subscription, false },
    { "subscription.updated", "subscription.updated", read_subscription, false },
    { "subscription.uncanceled", "subscription.updated", read_subscription, false },
    { "subscription.past_due", "subscription.updated", read_subscription, false },
    { "subscription.past_due", "payment.failed", read_past_due, false },
    { "subscription.canceled", "subscription.canceled", read_subscription, false },
    { "subscription.revoked", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "polar", types, read_contact };

err_t polar_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Polar", "type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    standard_webhooks_key(w, &key);
    payment_add_events(&parser, events, w, provider_type, key.ptr, event_time_s(body, "timestamp"),
                       json_object_at(body, "data"), body);
    return ERR_NONE;
}
