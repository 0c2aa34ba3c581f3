/* Razorpay. X-Razorpay-Signature is the HMAC of the body in hex, under a secret that the merchant chose for it. After a
 * change of the secret, retries of older events still carry the old signature: keep both for a day.
 *
 * One payment arrives several times: payment.captured with order.paid, invoice.paid, subscription.charged or
 * payment_link.paid; the last three are secondary. payment.failed may be followed by a success of the same order (late
 * authorisation, a second try with UPI), so a rule should wait some minutes; `payment.reference` is the order then.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <string.h>
#include <strings.h>

static const struct body_signature scheme = { "X-Razorpay-Signature", "", HASH_SHA256, SIGNATURE_HEX };

static err_t razorpay_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    return body_signature_verify(&scheme, w, settings, reterr);
}

static err_t razorpay_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return body_signature_sign(&scheme, w, secret, headers, reterr);
}

/* `payload` has an object for each entity that the event is about: {"payment": {"entity": {…}}, …}. */
static const json_t *entity(const json_t *payload, const char *name)
{
    return json_object_at(json_object_at(payload, name), "entity");
}

/* The entities that know who pays; who stands first is believed first. */
static const char *const payers[] = { "payment", "subscription",    "invoice", "order",    "payment_link",
                                      "qr_code", "virtual_account", "token",   "customer", NULL };

/* The customer's id in one of them; NULL when it has none. */
static const json_t *customer_in(const json_t *payload, const char *name)
{
    const json_t *object = entity(payload, name);
    const json_t *id = event_value(object, strcmp(name, "customer") == 0 ? "id" : "customer_id");
    return id ? id : event_value(json_object_at(object, "customer_details"), "id");
}

static const json_t *customer_of(const json_t *payload)
{
    const json_t *id = NULL;
    for (size_t i = 0; payers[i] && id == NULL; i++) {
        id = customer_in(payload, payers[i]);
    }
    return id;
}

/* Razorpay's own address stands in for the one that a customer did not give. */
static void add_email(json_t *event, const char *email)
{
    if (email && strcasecmp(email, "void@razorpay.com") != 0) {
        customer_add_email(event, email);
    }
}

static void read_contact(json_t *event, const json_t *payload)
{
    for (size_t i = 0; payers[i]; i++) {
        customer_add_id(event, "razorpay", customer_in(payload, payers[i]));
    }
    for (size_t i = 0; payers[i]; i++) {
        const json_t *object = entity(payload, payers[i]);
        customer_add_metadata(event, json_object_get(object, "notes")); /* an empty array when there are none */
    }
    for (size_t i = 0; payers[i]; i++) {
        const json_t *object = entity(payload, payers[i]);
        static const char *const details[] = { "customer_details", "customer" };
        add_email(event, json_str(object, "email"));
        customer_add_phone(event, json_str(object, "contact"));
        for (size_t k = 0; k < ARRAY_LEN(details); k++) {
            const json_t *person = json_object_at(object, details[k]);
            add_email(event, json_str(person, "email"));
            customer_add_phone(event, json_str(person, "contact"));
            customer_set_name(event, json_str(person, "name"));
        }
    }
}

static void read_payment(json_t *event, const json_t *payload)
{
    json_t *payment = payment_of(event);
    const json_t *object = entity(payload, "payment");
    const json_t *invoice = entity(payload, "invoice");
    const json_t *subscription = entity(payload, "subscription");
    payment_put_id(payment, "id", json_object_get(object ? object : invoice, "id"));
    payment_put_amount(payment, json_object_get(object ? object : invoice, "amount"),
                       json_str(object ? object : invoice, "currency"));
    if (strcmp(json_str_or(event, "type", ""), "payment.failed") == 0) {
        const char *reason = json_str(object, "error_reason");
        json_put_str(payment, "reason", reason ? reason : json_str(object, "error_code"));
        json_put_str(payment, "code", json_str(object, "error_code"));
        json_put_str(payment, "message", json_str(object, "error_description"));
    }
    json_put_str(payment, "url", json_str(invoice, "short_url"));
    payment_put_id(payment, "invoice", json_object_get(object, "invoice_id"));
    payment_put_id(payment, "invoice", json_object_get(invoice, "id"));
    payment_put_id(payment, "order", json_object_get(object, "order_id"));
    payment_put_id(payment, "customer", customer_of(payload));
    payment_put_id(payment, "subscription", json_object_get(subscription, "id"));
    json_put_str(payment, "status", json_str(object, "status"));
    json_put_str(payment, "method", json_str(object, "method"));
    json_put_str(payment, "description", json_str(object, "description"));
    payment_put_metadata(payment, json_object_get(object, "notes"));
    payment_finish(event, payment_reference_keys);
}

static void read_refund(json_t *event, const json_t *payload)
{
    json_t *payment = payment_of(event);
    const json_t *refund = entity(payload, "refund");
    const json_t *object = entity(payload, "payment");
    payment_put_id(payment, "id", json_object_get(object ? object : refund, object ? "id" : "payment_id"));
    payment_put_id(payment, "refund", json_object_get(refund, "id"));
    payment_put_amount(payment, json_object_get(refund, "amount"), json_str(refund, "currency"));
    payment_put_id(payment, "invoice", json_object_get(object, "invoice_id"));
    payment_put_id(payment, "order", json_object_get(object, "order_id"));
    json_put_str(payment, "status", json_str(refund, "status"));
    payment_put_metadata(payment, json_object_get(refund, "notes"));
    payment_finish(event, payment_reference_keys);
}

static void read_dispute(json_t *event, const json_t *payload)
{
    json_t *payment = payment_of(event);
    const json_t *dispute = entity(payload, "dispute");
    const json_t *object = entity(payload, "payment");
    payment_put_id(payment, "id", json_object_get(dispute, "payment_id"));
    payment_put_id(payment, "dispute", json_object_get(dispute, "id"));
    payment_put_amount(payment, json_object_get(dispute, "amount"), json_str(dispute, "currency"));
    json_put_str(payment, "reason", json_str(dispute, "reason_code"));
    json_put_str(payment, "status", json_str(dispute, "status"));
    json_put_time(payment, "due_at", event_time_s(dispute, "respond_by"));
    payment_put_id(payment, "invoice", json_object_get(object, "invoice_id"));
    payment_put_id(payment, "order", json_object_get(object, "order_id"));
    payment_finish(event, payment_reference_keys);
}

static void read_order(json_t *event, const json_t *payload)
{
    json_t *order = order_of(event);
    const json_t *object = entity(payload, "order");
    payment_put_id(order, "id", json_object_get(object, "id"));
    payment_put_amount(order, json_object_get(object, "amount"), json_str(object, "currency"));
    json_put_str(order, "reference", json_str(object, "receipt"));
    json_put_str(order, "payment_status", json_str(object, "status"));
    payment_put_id(order, "payment", json_object_get(entity(payload, "payment"), "id"));
    payment_put_id(order, "customer", customer_of(payload));
    payment_put_metadata(order, json_object_get(object, "notes"));
}

static void read_subscription(json_t *event, const json_t *payload)
{
    json_t *subscription = subscription_of(event);
    const json_t *object = entity(payload, "subscription");
    payment_put_id(subscription, "id", json_object_get(object, "id"));
    json_put_str(subscription, "status", json_str(object, "status"));
    payment_put_id(subscription, "plan", json_object_get(object, "plan_id"));
    payment_put_id(subscription, "customer", json_object_get(object, "customer_id"));
    json_put_str(subscription, "url", json_str(object, "short_url"));
    json_put_time(subscription, "current_period_end", event_time_s(object, "current_end"));
    json_put_time(subscription, "ended_at", event_time_s(object, "ended_at"));
    payment_put_metadata(subscription, json_object_get(object, "notes"));
}

static const struct payment_type types[] = {
    { "payment.failed", "payment.failed", read_payment, false },
    { "payment.captured", "payment.succeeded", read_payment, false },
    { "invoice.paid", "payment.succeeded", read_payment, true },
    { "subscription.charged", "payment.succeeded", read_payment, true },
    { "payment_link.paid", "payment.succeeded", read_payment, true },
    { "refund.processed", "payment.refunded", read_refund, false },
    { "payment.dispute.created", "payment.disputed", read_dispute, false },
    { "order.paid", "order.completed", read_order, false },
    { "subscription.authenticated", "subscription.created", read_subscription, false },
    { "subscription.activated", "subscription.updated", read_subscription, false },
    { "subscription.pending", "subscription.updated", read_subscription, false },
    { "subscription.halted", "subscription.updated", read_subscription, false },
    { "subscription.paused", "subscription.updated", read_subscription, false },
    { "subscription.resumed", "subscription.updated", read_subscription, false },
    { "subscription.updated", "subscription.updated", read_subscription, false },
    { "subscription.cancelled", "subscription.canceled", read_subscription, false },
    { "subscription.completed", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "razorpay", types, read_contact };

static err_t razorpay_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Razorpay", "event", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key_from_header(w, "x-razorpay-event-id", &key);
    payment_add_events(&parser, events, w, provider_type, key.ptr, event_time_s(body, "created_at"),
                       json_object_at(body, "payload"), body);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the secret chosen for the webhook (not the API key); a list while it changes"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_razorpay = {
    .name = "razorpay",
    .provider = "razorpay",
    .settings = settings,
    .verify = razorpay_verify,
    .parse = razorpay_parse,
    .sign = razorpay_sign,
};
