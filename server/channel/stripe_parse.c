#include "channel/stripe_parse.h"

#include <string.h>

static const struct {
    const char *provider_type;
    const char *object; /* what data.object must be */
    const char *type;
    void (*read)(json_t *event, const json_t *object, const json_t *previous);
    bool secondary; /* always, whatever the object says */
} types[] = {
    { "invoice.payment_failed", "invoice", "payment.failed", stripe_read_invoice, false },
    { "invoice.payment_action_required", "invoice", "payment.action_required", stripe_read_invoice, false },
    { "invoice.paid", "invoice", "payment.succeeded", stripe_read_invoice, false },
    { "invoice.payment_succeeded", "invoice", "payment.succeeded", stripe_read_invoice, true },
    { "payment_intent.payment_failed", "payment_intent", "payment.failed", stripe_read_payment_intent, false },
    { "payment_intent.requires_action", "payment_intent", "payment.action_required", stripe_read_payment_intent,
      false },
    { "payment_intent.succeeded", "payment_intent", "payment.succeeded", stripe_read_payment_intent, false },
    { "charge.failed", "charge", "payment.failed", stripe_read_charge, false },
    { "charge.succeeded", "charge", "payment.succeeded", stripe_read_charge, false },
    { "charge.refunded", "charge", "payment.refunded", stripe_read_charge, false },
    { "charge.dispute.created", "dispute", "payment.disputed", stripe_read_dispute, false },
    { "checkout.session.async_payment_succeeded", "checkout.session", "order.completed", stripe_read_session, false },
    { "checkout.session.async_payment_failed", "checkout.session", "payment.failed", stripe_read_session_failure,
      true },
    { "customer.subscription.created", "subscription", "subscription.created", stripe_read_subscription, false },
    { "customer.subscription.updated", "subscription", "subscription.updated", stripe_read_subscription, false },
    { "customer.subscription.paused", "subscription", "subscription.updated", stripe_read_subscription, false },
    { "customer.subscription.resumed", "subscription", "subscription.updated", stripe_read_subscription, false },
    { "customer.subscription.deleted", "subscription", "subscription.canceled", stripe_read_subscription, false },
};

static bool is_settled_session(const char *provider_type, const json_t *object)
{
    const char *status = json_str_or(object, "payment_status", "");
    return strcmp(provider_type, "checkout.session.completed") == 0 &&
           strcmp(json_str_or(object, "object", "checkout.session"), "checkout.session") == 0 &&
           (strcmp(status, "paid") == 0 || strcmp(status, "no_payment_required") == 0);
}

err_t stripe_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *envelope CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Stripe", "type", &envelope, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }

    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    const char *id = json_str(envelope, "id");
    if (id && *id) {
        buf_add_text(&key, id);
    } else {
        event_key_of_bytes(&key, w->body);
    }
    msec_t at = event_time_s(envelope, "created");

    /* Thin events ("v2.core.event") have `related_object` instead; they end up below as not known. */
    const json_t *data = json_object_at(envelope, "data");
    const json_t *object = json_object_at(data, "object");
    const json_t *previous = json_object_at(data, "previous_attributes");

    const char *account = json_str(envelope, "account"); /* the connected one, where there is one */

    if (object && is_settled_session(provider_type, object)) {
        json_t *event = event_append(events, w, "stripe", "order.completed", key.ptr, at);
        json_put_str(event, "provider_type", provider_type);
        json_put_str(event, "account", account);
        stripe_read_session(event, object, previous);
        return ERR_NONE;
    }
    for (size_t i = 0; object && i < ARRAY_LEN(types); i++) {
        if (strcmp(types[i].provider_type, provider_type) != 0 ||
            strcmp(json_str_or(object, "object", types[i].object), types[i].object) != 0) {
            continue;
        }
        json_t *event = event_append(events, w, "stripe", types[i].type, key.ptr, at);
        json_put_str(event, "provider_type", provider_type);
        json_put_str(event, "account", account);
        types[i].read(event, object, previous);
        if (types[i].secondary) {
            json_put_bool(payment_of(event), "secondary", true);
        }
        return ERR_NONE;
    }

    json_t *event = event_add_unknown(events, w, "stripe", provider_type, key.ptr, at, envelope);
    json_put_str(event, "account", account);
    if (object) {
        stripe_read_contact(event, object);
    }
    return ERR_NONE;
}
