/* Mollie's next-generation webhooks: JSON events, signed "X-Mollie-Signature: sha256=HEX" over the body. For a day
 * after a change of the secret the header comes twice. Classic webhooks (a form with an id, no signature) are refused:
 * anybody could send them.
 *
 * The entity is embedded only when the webhook was made to do so; otherwise the event names it and no more.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <string.h>

static const struct body_signature scheme = { "X-Mollie-Signature", "sha256=", HASH_SHA256, SIGNATURE_HEX };

static err_t mollie_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    if (webhook_header_value(w, scheme.header) == NULL && bytes_start_with(w->body, BYTES_LITERAL("id="))) {
        return fail(reterr, ERR_DENIED,
                    "a classic webhook is not signed, so it proves nothing\n"
                    "HINT: make a next-generation webhook at Mollie, which signs its events");
    }
    return body_signature_verify(&scheme, w, settings, reterr);
}

static err_t mollie_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return body_signature_sign(&scheme, w, secret, headers, reterr);
}

/* These get the whole event. */
static const json_t *entity_of(const json_t *body)
{
    return json_object_at(json_object_at(body, "_embedded"), "entity");
}

static void read_contact(json_t *event, const json_t *body)
{
    const json_t *entity = entity_of(body);
    const char *id = json_str_or(body, "entityId", "");
    json_t *customer = json_object_get(entity, "customerId");
    customer_add_id(event, "mollie", strncmp(id, "cst_", 4) == 0 ? json_object_get(body, "entityId") : customer);
    customer_add_metadata(event, json_object_at(entity, "metadata"));
    static const char *const people[] = { "billingAddress", "shippingAddress", "recipient" };
    for (size_t i = 0; i < ARRAY_LEN(people); i++) {
        const json_t *person = json_object_at(entity, people[i]);
        customer_add_email(event, json_str(person, "email"));
        customer_add_phone(event, json_str(person, "phone"));
        customer_set_names(event, json_str(person, "givenName"), json_str(person, "familyName"));
    }
    customer_add_email(event, json_str(entity, "email"));
    customer_set_name(event, json_str(entity, "name"));
}

static void read_payment(json_t *event, const json_t *body)
{
    json_t *payment = payment_of(event);
    const json_t *entity = entity_of(body);
    const json_t *amount = json_object_at(entity, "amount");
    amount = amount ? amount : json_object_at(entity, "totalAmount");
    const json_t *details = json_object_at(entity, "details");
    const char *own_id = json_str_or(body, "entityId", "");
    json_t *id = event_value(body, "entityId");
    json_t *of_payment = event_value(entity, "paymentId"); /* refunds and chargebacks */
    payment_put_id(payment, "id", id ? id : json_object_get(entity, "id"));
    payment_put_id(payment, "id", of_payment);
    if (of_payment) {
        payment_put_id(payment, strncmp(own_id, "chb_", 4) == 0 ? "dispute" : "refund", id);
    }
    payment_put_decimal(payment, json_object_get(amount, "value"), json_str(amount, "currency"));
    const char *reason = json_str(details, "failureReason");
    if (reason == NULL) {
        reason = json_string_value(json_at(entity, "statusReason.code"));
    }
    json_put_str(payment, "reason", reason ? reason : json_string_value(json_at(entity, "reason.code")));
    json_put_str(payment, "message", json_str(details, "failureMessage"));
    const char *url = json_string_value(json_at(entity, "_links.checkout.href"));
    json_put_str(payment, "url", url ? url : json_string_value(json_at(entity, "_links.paymentLink.href")));
    if (strncmp(own_id, "invoice_", 8) == 0) {
        payment_put_id(payment, "invoice", id);
    }
    payment_put_id(payment, "order", json_object_get(entity, "orderId"));
    payment_put_id(payment, "customer", json_object_get(entity, "customerId"));
    payment_put_id(payment, "subscription", json_object_get(entity, "subscriptionId"));
    json_put_str(payment, "status", json_str(entity, "status"));
    json_put_str(payment, "method", json_str(entity, "method"));
    json_put_str(payment, "description", json_str(entity, "description"));
    payment_put_metadata(payment, json_object_at(entity, "metadata"));
    payment_finish(event, payment_reference_keys);
}

static void read_subscription(json_t *event, const json_t *body)
{
    json_t *subscription = subscription_of(event);
    const json_t *entity = entity_of(body);
    const json_t *amount = json_object_at(entity, "amount");
    payment_put_id(subscription, "id", json_object_get(body, "entityId"));
    payment_put_decimal(subscription, json_object_get(amount, "value"), json_str(amount, "currency"));
    payment_put_id(subscription, "customer", json_object_get(entity, "customerId"));
    json_put_str(subscription, "status", json_str(entity, "status"));
    json_put_time(subscription, "canceled_at", event_time_s(entity, "canceledAt"));
    payment_put_metadata(subscription, json_object_at(entity, "metadata"));
}

static const struct payment_type types[] = {
    { "payment.failed", "payment.failed", read_payment, false },
    { "payment.expired", "payment.failed", read_payment, false },
    { "payment.paid", "payment.succeeded", read_payment, false },
    { "payment-link.paid", "payment.succeeded", read_payment, false },
    { "sales-invoice.paid", "payment.succeeded", read_payment, false },
    { "refund.refunded", "payment.refunded", read_payment, false },
    { "payment.refunded", "payment.refunded", read_payment, false },
    { "chargeback.received", "payment.disputed", read_payment, false },
    { "payment.charged-back", "payment.disputed", read_payment, false },
    { "subscription.created", "subscription.created", read_subscription, false },
    { "subscription.updated", "subscription.updated", read_subscription, false },
    { "subscription.suspended", "subscription.updated", read_subscription, false },
    { "subscription.canceled", "subscription.canceled", read_subscription, false },
    { "subscription.completed", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "mollie", types, read_contact };

static err_t mollie_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Mollie", "type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, json_object_get(body, "id"), &key);
    payment_add_events(&parser, events, w, provider_type, key.ptr, event_time_s(body, "createdAt"), body, body);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the signing secret of the next-generation webhook; one or a list"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_mollie = {
    .name = "mollie",
    .provider = "mollie",
    .settings = settings,
    .verify = mollie_verify,
    .parse = mollie_parse,
    .sign = mollie_sign,
};
