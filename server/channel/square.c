/* Square. x-square-hmacsha256-signature is the HMAC, in base64, of the notification URL followed by the body. The URL
 * is the one registered at Square, byte for byte: behind a proxy only the configuration knows it.
 *
 * An invoice is paid by payments that name the same order, so the order is the reference of both.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include <string.h>

static const char signature_header[] = "x-square-hmacsha256-signature";

/* The setting for this source alone comes before the URL that follows from http.public_url. */
static struct bytes signed_url(const struct webhook *w, const json_t *settings)
{
    const char *url = json_str(settings, "notification_url");
    return bytes_of(url && *url ? url : w->url);
}

static err_t square_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct bytes url = signed_url(w, settings);
    if (url.len == 0) {
        return fail(reterr, ERR_DENIED,
                    "the notification URL is not known\n"
                    "HINT: set notification_url of the source, or http.public_url");
    }
    struct bytes parts[] = { url, w->body };
    struct signature_macs macs;
    signature_compute(HASH_SHA256, &secrets, parts, ARRAY_LEN(parts), &macs);
    return signature_check_header(w, signature_header, "", SIGNATURE_BASE64, &macs, reterr);
}

static err_t square_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    err_t err = signature_require_secret(secret, reterr);
    struct bytes parts[] = { bytes_of(w->url), w->body };
    if (err == ERR_NONE && parts[0].len == 0) {
        err = fail(reterr, ERR_INVALID, "Square signs the notification URL, and there is none");
    }
    if (err != ERR_NONE) {
        return err;
    }
    buf_addf(headers, "%s: ", signature_header);
    signature_add(headers, HASH_SHA256, SIGNATURE_BASE64, secret, parts, ARRAY_LEN(parts));
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

static void read_contact(json_t *event, const json_t *object)
{
    static const char *const kinds[] = { "payment", "invoice", "subscription", "refund", "order", "customer" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const json_t *thing = json_object_at(object, kinds[i]);
        bool is_customer = strcmp(kinds[i], "customer") == 0;
        const json_t *person = is_customer ? thing : json_object_at(thing, "primary_recipient");
        customer_add_id(event, "square", json_object_get(thing, is_customer ? "id" : "customer_id"));
        customer_add_id(event, "square", json_object_get(person, "customer_id"));
        customer_add_metadata(event, json_object_at(thing, "metadata"));
        (void)customer_add_identity(event, json_str(thing, "reference_id"));
        customer_add_email(event, json_str(thing, "buyer_email_address"));
        customer_add_email(event, json_str(person, "email_address"));
        customer_add_phone(event, json_str(thing, "buyer_phone_number"));
        customer_add_phone(event, json_str(person, "phone_number"));
        customer_set_names(event, json_str(person, "given_name"), json_str(person, "family_name"));
    }
}

static void put_money(json_t *part, const json_t *money)
{
    payment_put_amount(part, json_object_get(money, "amount"), json_str(money, "currency"));
}

static void read_payment(json_t *event, const json_t *object)
{
    json_t *payment = payment_of(event);
    const json_t *thing = json_object_at(object, "payment");
    const json_t *total = json_object_at(thing, "total_money");
    payment_put_id(payment, "id", json_object_get(thing, "id"));
    put_money(payment, total ? total : json_object_at(thing, "amount_money"));
    const json_t *error = json_at(thing, "card_details.errors.0");
    event_put_lower(payment, "reason", json_str(error, "code"));
    json_put_str(payment, "message", json_str(error, "detail"));
    json_put_str(payment, "url", json_str(thing, "receipt_url"));
    payment_put_id(payment, "order", json_object_get(thing, "order_id"));
    payment_put_id(payment, "customer", json_object_get(thing, "customer_id"));
    event_put_lower(payment, "status", json_str(thing, "status"));
    event_put_lower(payment, "method", json_str(thing, "source_type"));
    event_put_lower(payment, "card_brand", json_string_value(json_at(thing, "card_details.card.card_brand")));
    json_put_str(payment, "card_last4", json_string_value(json_at(thing, "card_details.card.last_4")));
    json_put_str(payment, "description", json_str(thing, "note"));
    payment_finish(event, (const char *const[]){ "order", "id", NULL });
}

static void read_invoice(json_t *event, const json_t *object)
{
    json_t *payment = payment_of(event);
    const json_t *invoice = json_object_at(object, "invoice");
    const json_t *request = json_at(invoice, "payment_requests.0");
    const json_t *next = json_object_at(invoice, "next_payment_amount_money");
    const json_t *computed = json_object_at(request, "computed_amount_money");
    payment_put_id(payment, "id", json_object_get(invoice, "id"));
    put_money(payment, computed ? computed : next);
    json_put_str(payment, "url", json_str(invoice, "public_url"));
    payment_put_id(payment, "invoice", json_object_get(invoice, "id"));
    payment_put_id(payment, "order", json_object_get(invoice, "order_id"));
    json_put_str(payment, "number", json_str(invoice, "invoice_number"));
    payment_put_id(payment, "customer", json_at(invoice, "primary_recipient.customer_id"));
    payment_put_id(payment, "subscription", json_object_get(invoice, "subscription_id"));
    event_put_lower(payment, "status", json_str(invoice, "status"));
    json_put_str(payment, "description", json_str(invoice, "title"));
    payment_finish(event, (const char *const[]){ "order", "invoice", NULL });
}

static void read_refund(json_t *event, const json_t *object)
{
    json_t *payment = payment_of(event);
    const json_t *refund = json_object_at(object, "refund");
    payment_put_id(payment, "id", json_object_get(refund, "payment_id"));
    payment_put_id(payment, "refund", json_object_get(refund, "id"));
    payment_put_id(payment, "order", json_object_get(refund, "order_id"));
    put_money(payment, json_object_at(refund, "amount_money"));
    json_put_str(payment, "reason", json_str(refund, "reason"));
    event_put_lower(payment, "status", json_str(refund, "status"));
    payment_finish(event, (const char *const[]){ "order", "id", NULL });
}

static void read_dispute(json_t *event, const json_t *object)
{
    json_t *payment = payment_of(event);
    const json_t *dispute = json_object_at(object, "dispute");
    payment_put_id(payment, "id", json_at(dispute, "disputed_payment.payment_id"));
    json_t *id = event_value(dispute, "id");
    payment_put_id(payment, "dispute", id ? id : json_object_get(dispute, "dispute_id"));
    put_money(payment, json_object_at(dispute, "amount_money"));
    event_put_lower(payment, "reason", json_str(dispute, "reason"));
    event_put_lower(payment, "status", json_str(dispute, "state"));
    json_put_time(payment, "due_at", event_time_s(dispute, "due_at"));
    payment_finish(event, payment_reference_keys);
}

static void read_subscription(json_t *event, const json_t *object)
{
    json_t *subscription = subscription_of(event);
    const json_t *thing = json_object_at(object, "subscription");
    payment_put_id(subscription, "id", json_object_get(thing, "id"));
    event_put_lower(subscription, "status", json_str(thing, "status"));
    payment_put_id(subscription, "customer", json_object_get(thing, "customer_id"));
    payment_put_id(subscription, "plan", json_object_get(thing, "plan_variation_id"));
    json_put_time(subscription, "canceled_at", event_time_s(thing, "canceled_date"));
    json_put_time(subscription, "current_period_end", event_time_s(thing, "charged_through_date"));
}

static void read_order(json_t *event, const json_t *object)
{
    json_t *order = order_of(event);
    static const char *const names[] = { "order_updated", "order_created", "order" };
    const json_t *thing = NULL;
    for (size_t i = 0; i < ARRAY_LEN(names) && thing == NULL; i++) {
        thing = json_object_at(object, names[i]);
    }
    json_t *id = event_value(thing, "order_id");
    payment_put_id(order, "id", id ? id : json_object_get(thing, "id"));
    put_money(order, json_object_at(thing, "total_money"));
    payment_put_id(order, "customer", json_object_get(thing, "customer_id"));
    json_put_str(order, "reference", json_str(thing, "reference_id"));
    event_put_lower(order, "status", json_str(thing, "state"));
}

/* What an "updated" means depends on the state that the object is in: the type is "TYPE STATE" then. */
static const struct payment_type types[] = {
    { "payment.created COMPLETED", "payment.succeeded", read_payment, false },
    { "payment.updated COMPLETED", "payment.succeeded", read_payment, false },
    { "payment.created FAILED", "payment.failed", read_payment, false },
    { "payment.updated FAILED", "payment.failed", read_payment, false },
    { "invoice.scheduled_charge_failed", "payment.failed", read_invoice, false },
    { "invoice.payment_made", "payment.succeeded", read_invoice, true }, /* payment.updated tells the payment */
    { "invoice.refunded", "payment.refunded", read_invoice, true },
    { "refund.created COMPLETED", "payment.refunded", read_refund, false },
    { "refund.updated COMPLETED", "payment.refunded", read_refund, false },
    { "dispute.created", "payment.disputed", read_dispute, false },
    { "order.created COMPLETED", "order.completed", read_order, false },
    { "order.updated COMPLETED", "order.completed", read_order, false },
    { "subscription.created", "subscription.created", read_subscription, false },
    { "subscription.updated", "subscription.updated", read_subscription, false },
    { "subscription.updated CANCELED", "subscription.canceled", read_subscription, false },
    { "subscription.updated DEACTIVATED", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "square", types, read_contact };

static bool is_known(const char *type)
{
    for (const struct payment_type *t = types; t->provider_type; t++) {
        if (strcmp(t->provider_type, type) == 0) {
            return true;
        }
    }
    return false;
}

static err_t square_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Square", "type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, json_object_get(body, "event_id"), &key);

    const json_t *object = json_object_at(json_object_at(body, "data"), "object");
    static const char *const states[] = { "payment.status",      "refund.status",       "subscription.status",
                                          "order_updated.state", "order_created.state", "order.state" };
    const char *state = NULL;
    for (size_t i = 0; i < ARRAY_LEN(states) && state == NULL; i++) {
        state = json_string_value(json_at(object, states[i]));
    }
    struct buf type CLEANUP(buf_done);
    buf_init(&type, 1024);
    buf_addf(&type, "%s %s", provider_type, state ? state : "");
    bool with_state = is_known(type.ptr);
    size_t first = json_array_size(events);
    payment_add_events(&parser, events, w, with_state ? type.ptr : provider_type, key.ptr,
                       event_time_s(body, "created_at"), object, body);
    for (size_t i = first; i < json_array_size(events); i++) {
        json_put_str(json_array_get(events, i), "provider_type", provider_type);
    }
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the subscription's signature key; one or a list"),
    { "notification_url", SETTING_TEXT, false, "the URL as registered at Square; default: http.public_url and path" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_square = {
    .name = "square",
    .provider = "square",
    .settings = settings,
    .verify = square_verify,
    .parse = square_parse,
    .sign = square_sign,
};
