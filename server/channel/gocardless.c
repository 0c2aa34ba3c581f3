/* GoCardless. Webhook-Signature is the HMAC of the body in hex. A request holds up to 250 events, and a retry repeats
 * all of them; each has its own id.
 *
 * The events name objects and hold neither amounts nor the customer's address. A mandate belongs to one customer, so it
 * serves as an identity where the customer is not named; what the merchant put into the metadata of the payment comes
 * as resource_metadata.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <string.h>

static const struct body_signature scheme = { "Webhook-Signature", "", HASH_SHA256, SIGNATURE_HEX };

static err_t gocardless_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    return body_signature_verify(&scheme, w, settings, reterr);
}

static err_t gocardless_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return body_signature_sign(&scheme, w, secret, headers, reterr);
}

static void read_contact(json_t *event, const json_t *object)
{
    const json_t *links = json_object_at(object, "links");
    customer_add_id(event, "gocardless", json_object_get(links, "customer"));
    customer_add_id(event, "gocardless", json_object_get(links, "mandate"));
    customer_add_metadata(event, json_object_at(object, "resource_metadata"));
    customer_add_metadata(event, json_object_at(object, "metadata"));
}

static void read_payment(json_t *event, const json_t *object)
{
    json_t *payment = payment_of(event);
    const json_t *links = json_object_at(object, "links");
    const json_t *details = json_object_at(object, "details");
    payment_put_id(payment, "id", json_object_get(links, "payment"));
    payment_put_id(payment, "refund", json_object_get(links, "refund"));
    payment_put_id(payment, "customer", json_object_get(links, "customer"));
    payment_put_id(payment, "mandate", json_object_get(links, "mandate"));
    payment_put_id(payment, "subscription", json_object_get(links, "subscription"));
    if (strcmp(json_str_or(event, "type", ""), "payment.succeeded") != 0) {
        json_put_str(payment, "reason", json_str(details, "cause"));
        json_put_str(payment, "code", json_str(details, "reason_code"));
    }
    json_put_str(payment, "message", json_str(details, "description"));
    json_put_str(payment, "status", json_str(object, "action"));
    if (json_is_boolean(json_object_get(details, "will_attempt_retry"))) {
        json_put_bool(payment, "will_retry", json_bool(details, "will_attempt_retry", false));
    }
    payment_put_metadata(payment, json_object_at(object, "resource_metadata"));
    payment_put_metadata(payment, json_object_at(object, "metadata"));
    payment_finish(event, (const char *const[]){ "id", NULL });
}

static void read_subscription(json_t *event, const json_t *object)
{
    json_t *subscription = subscription_of(event);
    const json_t *links = json_object_at(object, "links");
    payment_put_id(subscription, "id", json_object_get(links, "subscription"));
    payment_put_id(subscription, "customer", json_object_get(links, "customer"));
    payment_put_id(subscription, "mandate", json_object_get(links, "mandate"));
    json_put_str(subscription, "status", json_str(object, "action"));
    json_put_str(subscription, "reason", json_str(json_object_at(object, "details"), "cause"));
    payment_put_metadata(subscription, json_object_at(object, "resource_metadata"));
    payment_put_metadata(subscription, json_object_at(object, "metadata"));
}

/* "resource_type.action" */
static const struct payment_type types[] = {
    { "payments.failed", "payment.failed", read_payment, false },
    { "payments.late_failure_settled", "payment.failed", read_payment, true },
    { "payments.confirmed", "payment.succeeded", read_payment, false },
    { "payments.paid_out", "payment.succeeded", read_payment, true },
    { "payments.charged_back", "payment.disputed", read_payment, false },
    { "refunds.paid", "payment.refunded", read_payment, false },
    { "subscriptions.created", "subscription.created", read_subscription, false },
    { "subscriptions.amended", "subscription.updated", read_subscription, false },
    { "subscriptions.paused", "subscription.updated", read_subscription, false },
    { "subscriptions.resumed", "subscription.updated", read_subscription, false },
    { "subscriptions.cancelled", "subscription.canceled", read_subscription, false },
    { "subscriptions.finished", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "gocardless", types, read_contact };

static err_t gocardless_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const json_t *list = json_array_at(body, "events");
    if (list == NULL) {
        return fail(reterr, ERR_INVALID, "not a webhook of GoCardless: it has no list of events");
    }
    size_t index;
    json_t *object;
    json_array_foreach (list, index, object) {
        struct buf type CLEANUP(buf_done);
        struct buf key CLEANUP(buf_done);
        buf_init(&type, 256);
        buf_init(&key, SIZE_MAX);
        buf_addf(&type, "%s.%s", json_str_or(object, "resource_type", "unknown"),
                 json_str_or(object, "action", "unknown"));
        event_id_text(json_object_get(object, "id"), &key);
        if (key.len == 0) {
            event_key_of_element(&key, NULL, object);
        }
        payment_add_events(&parser, events, w, type.ptr, key.ptr, event_time_s(object, "created_at"),
                           json_is_object(object) ? object : NULL, object);
    }
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the webhook endpoint's secret; one or a list"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_gocardless = {
    .name = "gocardless",
    .provider = "gocardless",
    .settings = settings,
    .verify = gocardless_verify,
    .parse = gocardless_parse,
    .sign = gocardless_sign,
};
