/* Shopify. X-Shopify-Hmac-Sha256 is the HMAC of the body in base64, under the app's client secret (or the secret that
 * the admin shows for webhooks made there). The newer "Events" send the same headers without "X-".
 *
 * What happened is in the header X-Shopify-Topic and not in the body. Without it, as when a stored body is parsed by
 * hand, a paid order is recognised by its fields; anything else stays as it is.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

static const struct body_signature scheme = { "X-Shopify-Hmac-Sha256", "", HASH_SHA256, SIGNATURE_BASE64 };
static const struct body_signature events_scheme = { "Shopify-Hmac-Sha256", "", HASH_SHA256, SIGNATURE_BASE64 };

/* The header's value under its old name or the one of the Events family. `name` begins with "X-". */
static const char *header(const struct webhook *w, const char *name)
{
    const char *value = webhook_header_value(w, name);
    value = value ? value : webhook_header_value(w, name + 2);
    return value && *value ? value : NULL;
}

static err_t shopify_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    if (webhook_header_value(w, scheme.header) == NULL && webhook_header_value(w, events_scheme.header) != NULL) {
        return body_signature_verify(&events_scheme, w, settings, reterr);
    }
    return body_signature_verify(&scheme, w, settings, reterr);
}

static bool is_paid_order(const json_t *body)
{
    return strcmp(json_str_or(body, "financial_status", ""), "paid") == 0 &&
           json_object_get(body, "total_price") != NULL;
}

static err_t shopify_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    err_t err = body_signature_sign(&scheme, w, secret, headers, reterr);
    json_t *body CLEANUP(json_free) = NULL;
    if (err != ERR_NONE) {
        return err;
    }
    if (header(w, "X-Shopify-Topic") == NULL && json_parse(w->body, &body, NULL) == ERR_NONE && is_paid_order(body)) {
        buf_add_text(headers, "X-Shopify-Topic: orders/paid\n");
    }
    const char *id = webhook_header_value(w, "webhook-id");
    if (id) {
        buf_addf(headers, "X-Shopify-Webhook-Id: %s\n", id);
    }
    return ERR_NONE;
}

static void read_person(json_t *event, const json_t *person)
{
    customer_add_email(event, json_str(person, "email"));
    customer_add_phone(event, json_str(person, "phone"));
    customer_set_names(event, json_str(person, "first_name"), json_str(person, "last_name"));
}

static void read_contact(json_t *event, const json_t *body)
{
    const json_t *customer = json_object_at(body, "customer");
    const char *topic = json_str_or(event, "provider_type", "");
    bool is_customer = strncmp(topic, "customers/", 10) == 0;
    json_t *id = event_value(customer, "id");
    customer_add_id(event, "shopify", id ? id : json_object_get(body, is_customer ? "id" : "customer_id"));

    /* [{"name": "whatsapp", "value": "…"}]: what the shop's own checkout form asked for */
    size_t index;
    json_t *attribute;
    json_array_foreach (json_array_at(body, "note_attributes"), index, attribute) {
        const char *name = json_str(attribute, "name");
        json_t *value = json_object_get(attribute, "value");
        if (name && value) {
            json_t *pair = json_object();
            json_put(pair, name, json_incref(value));
            customer_add_metadata(event, pair);
            json_decref(pair);
        }
    }
    customer_add_email(event, json_str(body, "email"));
    customer_add_email(event, json_str(body, "contact_email"));
    customer_add_phone(event, json_str(body, "phone"));
    read_person(event, customer);
    read_person(event, json_object_at(customer, "default_address"));
    read_person(event, json_object_at(body, "billing_address"));
    read_person(event, json_object_at(body, "shipping_address"));
}

static void read_order(json_t *event, const json_t *body)
{
    json_t *order = order_of(event);
    payment_put_id(order, "id", json_object_get(body, "id"));
    payment_put_decimal(order, json_object_get(body, "total_price"), json_str(body, "currency"));
    payment_put_id(order, "customer", json_at(body, "customer.id"));
    json_put_str(order, "reference", json_str(body, "name"));
    json_put_str(order, "payment_status", json_str(body, "financial_status"));
    json_put_str(order, "url", json_str(body, "order_status_url"));
}

static bool has_failed(const json_t *transaction)
{
    const char *status = json_str_or(transaction, "status", "");
    return strcmp(status, "failure") == 0 || strcmp(status, "error") == 0;
}

static void read_refund(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "order", json_object_get(body, "order_id"));
    payment_put_id(payment, "refund", json_object_get(body, "id"));
    json_put_str(payment, "message", json_str(body, "note"));

    int64_t sum = 0;
    const char *currency = NULL;
    size_t index;
    json_t *transaction;
    json_array_foreach (json_array_at(body, "transactions"), index, transaction) {
        const char *own_currency = json_str(transaction, "currency");
        json_t *money CLEANUP(json_free) = json_object();
        payment_put_decimal(money, json_object_get(transaction, "amount"), own_currency);
        currency = currency ? currency : own_currency;
        payment_put_id(payment, "id", json_object_get(transaction, "parent_id"));
        if (strcmp(json_str_or(transaction, "kind", "refund"), "refund") == 0 && !has_failed(transaction) &&
            json_object_get(money, "amount") && !__builtin_add_overflow(sum, json_int(money, "amount", 0), &sum)) {
            json_put_int(payment, "amount", sum);
        }
    }
    event_put_lower(payment, "currency", currency);
    payment_finish(event, (const char *const[]){ "order", "refund", NULL });
}

static void read_transaction(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(body, "id"));
    payment_put_id(payment, "order", json_object_get(body, "order_id"));
    payment_put_decimal(payment, json_object_get(body, "amount"), json_str(body, "currency"));
    event_put_lower(payment, "reason", json_str(body, "error_code"));
    json_put_str(payment, "message", json_str(body, "message"));
    json_put_str(payment, "status", json_str(body, "status"));
    json_put_str(payment, "method", json_str(body, "gateway"));
    payment_finish(event, payment_reference_keys);
}

/* The id under `key`, else the end of the global one ("gid://shopify/SubscriptionContract/42"), which says the same. */
static void put_id(json_t *payment, const char *as, const json_t *body, const char *key, const char *global_key)
{
    const char *global = json_str(body, global_key);
    const char *slash = global ? strrchr(global, '/') : NULL;
    json_put_str(payment, as, slash && slash[1] ? slash + 1 : NULL);
    payment_put_id(payment, as, json_object_get(body, key));
}

static void read_billing_attempt(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(body, "id"));
    put_id(payment, "order", body, "order_id", "admin_graphql_api_order_id");
    put_id(payment, "subscription", body, "subscription_contract_id", "admin_graphql_api_subscription_contract_id");
    event_put_lower(payment, "reason", json_str(body, "error_code"));
    json_put_str(payment, "message", json_str(body, "error_message"));
    payment_finish(event, (const char *const[]){ "subscription", "id", NULL });
}

static void read_dispute(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(body, "order_id"));
    payment_put_id(payment, "order", json_object_get(body, "order_id"));
    payment_put_id(payment, "dispute", json_object_get(body, "id"));
    payment_put_decimal(payment, json_object_get(body, "amount"), json_str(body, "currency"));
    json_put_str(payment, "reason", json_str(body, "reason"));
    json_put_str(payment, "status", json_str(body, "status"));
    json_put_time(payment, "due_at", event_time_s(body, "evidence_due_by"));
    payment_finish(event, payment_reference_keys);
}

static void read_subscription(json_t *event, const json_t *body)
{
    json_t *subscription = subscription_of(event);
    payment_put_id(subscription, "id", json_object_get(body, "id"));
    event_put_lower(subscription, "status", json_str(body, "status"));
    payment_put_id(subscription, "customer", json_object_get(body, "customer_id"));
    event_put_lower(subscription, "currency", json_str(body, "currency_code"));
}

static const struct payment_type types[] = {
    { "orders/paid", "order.completed", read_order, false },
    { "refunds/create", "payment.refunded", read_refund, false },
    { "disputes/create", "payment.disputed", read_dispute, false },
    { "subscription_billing_attempts/failure", "payment.failed", read_billing_attempt, false },
    { "subscription_billing_attempts/challenged", "payment.action_required", read_billing_attempt, false },
    { "subscription_billing_attempts/success", "payment.succeeded", read_billing_attempt, false },
    { "subscription_contracts/create", "subscription.created", read_subscription, false },
    { "subscription_contracts/update", "subscription.updated", read_subscription, false },
    { "subscription_contracts/activate", "subscription.updated", read_subscription, false },
    { "subscription_contracts/pause", "subscription.updated", read_subscription, false },
    { "subscription_contracts/fail", "subscription.updated", read_subscription, false },
    { "subscription_contracts/cancel", "subscription.canceled", read_subscription, false },
    { "subscription_contracts/expire", "subscription.canceled", read_subscription, false },
    { "order_transactions/create failed", "payment.failed", read_transaction, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "shopify", types, read_contact };

static bool is_failed_transaction(const char *topic, const json_t *body)
{
    const char *kind = json_str_or(body, "kind", "");
    return strcasecmp(topic, "order_transactions/create") == 0 && has_failed(body) && strcmp(kind, "refund") != 0 &&
           strcmp(kind, "void") != 0;
}

static err_t shopify_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (!json_is_object(body)) {
        return fail(reterr, ERR_INVALID, "not a webhook of Shopify: the body is no object");
    }
    const char *topic = header(w, "X-Shopify-Topic");
    if (topic == NULL) {
        topic = is_paid_order(body) ? "orders/paid" : "unknown";
    }

    struct buf key CLEANUP(buf_done);
    const char *id_header =
        webhook_header_value(w, "X-Shopify-Webhook-Id") ? "X-Shopify-Webhook-Id" : "Shopify-Webhook-Id";
    payment_key_from_header(w, id_header, &key);

    msec_t at = 0;
    const char *triggered = header(w, "X-Shopify-Triggered-At");
    if (triggered == NULL || !clock_parse_iso(bytes_of(triggered), &at)) {
        at = event_time_s(body, "updated_at");
    }
    at = at ? at : event_time_s(body, "created_at");

    bool failed = is_failed_transaction(topic, body);
    payment_add_events(&parser, events, w, failed ? "order_transactions/create failed" : topic, key.ptr, at, body,
                       body);
    if (failed) {
        json_put_str(json_array_get(events, json_array_size(events) - 1), "provider_type", topic);
    }
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the app's client secret, or the secret of webhooks made in the admin; one or a list"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_shopify = {
    .name = "shopify",
    .provider = "shopify",
    .settings = settings,
    .verify = shopify_verify,
    .parse = shopify_parse,
    .sign = shopify_sign,
};
