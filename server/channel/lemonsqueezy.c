/* Lemon Squeezy. X-Signature is the HMAC of the body in hex. There is no event id: the body's hash is the key.
 *
 * subscription_payment_* events carry a subscription *invoice*: data.id is the invoice, attributes.subscription_id the
 * subscription. Their reference is the invoice, which stays the same until it is paid.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <inttypes.h>
#include <string.h>

static const struct body_signature scheme = { "X-Signature", "", HASH_SHA256, SIGNATURE_HEX };

static err_t lemonsqueezy_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    return body_signature_verify(&scheme, w, settings, reterr);
}

static err_t lemonsqueezy_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    err_t err = body_signature_sign(&scheme, w, secret, headers, reterr);
    json_t *body CLEANUP(json_free) = NULL;
    if (err == ERR_NONE && json_parse(w->body, &body, NULL) == ERR_NONE) {
        const char *name = json_string_value(json_at(body, "meta.event_name"));
        if (name && strpbrk(name, "\r\n") == NULL) {
            buf_addf(headers, "X-Event-Name: %s\n", name);
        }
    }
    return err;
}

/* The functions below get the whole body: what the merchant passed at the checkout is in meta.custom_data. */
static const json_t *attributes_of(const json_t *body)
{
    return json_at(body, "data.attributes");
}

static void read_contact(json_t *event, const json_t *body)
{
    const json_t *attributes = attributes_of(body);
    customer_add_id(event, "lemonsqueezy", json_object_get(attributes, "customer_id"));
    customer_add_metadata(event, json_at(body, "meta.custom_data"));
    customer_add_email(event, json_str(attributes, "user_email"));
    customer_set_name(event, json_str(attributes, "user_name"));
}

static void read_payment(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    const json_t *attributes = attributes_of(body);
    bool refunded = strcmp(json_str_or(event, "type", ""), "payment.refunded") == 0;
    bool is_order = strcmp(json_str_or(json_object_at(body, "data"), "type", ""), "orders") == 0;
    json_t *id = json_at(body, "data.id");
    int64_t refund = json_int(attributes, "refunded_amount", 0);
    payment_put_id(payment, "id", id);
    payment_put_amount(payment, json_object_get(attributes, refunded && refund > 0 ? "refunded_amount" : "total"),
                       json_str(attributes, "currency"));
    payment_put_id(payment, is_order ? "order" : "invoice", id);
    json_put_str(payment, "url", json_string_value(json_at(attributes, "urls.invoice_url")));
    json_put_str(payment, "url", json_string_value(json_at(attributes, "urls.receipt")));
    payment_put_id(payment, "customer", json_object_get(attributes, "customer_id"));
    payment_put_id(payment, "subscription", json_object_get(attributes, "subscription_id"));
    json_put_str(payment, "status", json_str(attributes, "status"));
    json_put_str(payment, "billing_reason", json_str(attributes, "billing_reason"));
    json_put_str(payment, "card_brand", json_str(attributes, "card_brand"));
    json_put_str(payment, "card_last4", json_str(attributes, "card_last_four"));
    payment_put_metadata(payment, json_at(body, "meta.custom_data"));
    payment_finish(event, payment_reference_keys);
}

static void read_order(json_t *event, const json_t *body)
{
    json_t *order = order_of(event);
    const json_t *attributes = attributes_of(body);
    payment_put_id(order, "id", json_at(body, "data.id"));
    payment_put_amount(order, json_object_get(attributes, "total"), json_str(attributes, "currency"));
    payment_put_id(order, "customer", json_object_get(attributes, "customer_id"));
    json_put_str(order, "reference", json_str(attributes, "identifier"));
    json_put_str(order, "payment_status", json_str(attributes, "status"));
    json_put_str(order, "url", json_string_value(json_at(attributes, "urls.receipt")));
    payment_put_metadata(order, json_at(body, "meta.custom_data"));
}

static void read_subscription(json_t *event, const json_t *body)
{
    json_t *subscription = subscription_of(event);
    const json_t *attributes = attributes_of(body);
    payment_put_id(subscription, "id", json_at(body, "data.id"));
    json_put_str(subscription, "status", json_str(attributes, "status"));
    json_put_bool(subscription, "cancel_at_period_end", json_bool(attributes, "cancelled", false));
    payment_put_id(subscription, "customer", json_object_get(attributes, "customer_id"));
    payment_put_id(subscription, "plan", json_object_get(attributes, "variant_id"));
    json_put_str(subscription, "url", json_string_value(json_at(attributes, "urls.update_payment_method")));
    json_put_time(subscription, "current_period_end", event_time_s(attributes, "renews_at"));
    json_put_time(subscription, "ended_at", event_time_s(attributes, "ends_at"));
    json_put_time(subscription, "trial_end", event_time_s(attributes, "trial_ends_at"));
    payment_put_metadata(subscription, json_at(body, "meta.custom_data"));
}

static const struct payment_type types[] = {
    { "subscription_payment_failed", "payment.failed", read_payment, false },
    { "subscription_payment_success", "payment.succeeded", read_payment, false },
    { "subscription_payment_recovered", "payment.succeeded", read_payment, true },
    { "subscription_payment_refunded", "payment.refunded", read_payment, false },
    { "order_refunded", "payment.refunded", read_payment, false },
    { "order_created", "order.completed", read_order, false },
    { "subscription_created", "subscription.created", read_subscription, false },
    { "subscription_updated", "subscription.updated", read_subscription, false },
    { "subscription_resumed", "subscription.updated", read_subscription, false },
    { "subscription_paused", "subscription.updated", read_subscription, false },
    { "subscription_unpaused", "subscription.updated", read_subscription, false },
    { "subscription_cancelled", "subscription.canceled", read_subscription, false },
    { "subscription_expired", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "lemonsqueezy", types, read_contact };

static err_t lemonsqueezy_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const char *provider_type = json_string_value(json_at(body, "meta.event_name"));
    if (provider_type == NULL) {
        return fail(reterr, ERR_INVALID, "not a webhook of Lemon Squeezy: it has no meta.event_name");
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, NULL, &key);
    const json_t *attributes = attributes_of(body);
    msec_t at = event_time_s(attributes, "updated_at");
    at = at ? at : event_time_s(attributes, "created_at");

    /* An order that is not paid yet (or never will be) is not complete. */
    const char *status = json_str_or(attributes, "status", "paid");
    bool open_order = strcmp(provider_type, "order_created") == 0 && strcmp(status, "paid") != 0;
    payment_add_events(&parser, events, w, open_order ? "order_created open" : provider_type, key.ptr, at,
                       json_is_object(attributes) ? body : NULL, body);
    json_put_str(json_array_get(events, json_array_size(events) - 1), "provider_type", provider_type);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the webhook's signing secret; one or a list"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_lemonsqueezy = {
    .name = "lemonsqueezy",
    .provider = "lemonsqueezy",
    .settings = settings,
    .verify = lemonsqueezy_verify,
    .parse = lemonsqueezy_parse,
    .sign = lemonsqueezy_sign,
};
