/* Paddle Billing. "Paddle-Signature: ts=UNIX;h1=HEX[;h1=HEX]" signs ts, a colon and the body with the whole secret.
 *
 * The window is Paddle's own: its library refuses what is more than 5 seconds old, and each attempt is signed anew. A
 * clock that is not kept right needs a wider `tolerance`; duplicates are found by event_id in any case. Several h1 come
 * while a secret is rolled, and any may match (Paddle's library looks at the last one only).
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>

#define PADDLE_TOLERANCE_MS 5000

struct paddle_check {
    const struct secret_list *secrets;
    struct bytes body;
    msec_t now;
    msec_t tolerance;
    unsigned passes;
    bool seen;
    struct error why;
};

static bool header_is_genuine(struct bytes header, void *arg)
{
    struct paddle_check *check = arg;
    check->seen = true;

    struct bytes timestamp = { NULL, 0 };
    for (struct bytes rest = header; rest.len > 0;) {
        struct bytes value = text_next_field(&rest, ';');
        if (bytes_equal(text_trim(text_next_field(&value, '=')), BYTES_LITERAL("ts"))) {
            timestamp = text_trim(value);
        }
    }
    if (signature_check_time(timestamp, check->now, check->tolerance, -1, &check->why) != ERR_NONE) {
        return false;
    }
    if (check->passes++ >= SIGNATURE_MAX_PASSES) {
        (void)fail(&check->why, ERR_DENIED, "Paddle-Signature comes too often");
        return false;
    }

    struct bytes parts[] = { timestamp, BYTES_LITERAL(":"), check->body };
    struct signature_macs macs;
    signature_compute(HASH_SHA256, check->secrets, parts, ARRAY_LEN(parts), &macs);
    for (struct bytes rest = header; rest.len > 0;) {
        struct bytes value = text_next_field(&rest, ';');
        struct bytes name = text_trim(text_next_field(&value, '='));
        if (bytes_equal(name, BYTES_LITERAL("h1")) && signature_matches(&macs, SIGNATURE_HEX, text_trim(value))) {
            return true;
        }
    }
    (void)fail(&check->why, ERR_DENIED, "no signature in Paddle-Signature matches");
    return false;
}

static err_t paddle_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    struct paddle_check check = { .secrets = &secrets, .body = w->body, .now = w->now };
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err == ERR_NONE) {
        err = signature_tolerance(settings, PADDLE_TOLERANCE_MS, &check.tolerance, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (header_any(w, "Paddle-Signature", header_is_genuine, &check)) {
        return ERR_NONE;
    }
    if (!check.seen) {
        return fail(reterr, ERR_DENIED, "the header Paddle-Signature is missing");
    }
    return fail(reterr, ERR_DENIED, "%s", check.why.text);
}

static err_t paddle_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    err_t err = signature_require_secret(secret, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    char timestamp[32];
    (void)snprintf(timestamp, sizeof(timestamp), "%" PRId64, w->now / 1000);
    struct bytes parts[] = { bytes_of(timestamp), BYTES_LITERAL(":"), w->body };
    buf_addf(headers, "Paddle-Signature: ts=%s;h1=", timestamp);
    signature_add(headers, HASH_SHA256, SIGNATURE_HEX, secret, parts, ARRAY_LEN(parts));
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

static void read_contact(json_t *event, const json_t *data)
{
    json_t *customer = json_object_get(data, "customer_id");
    bool is_customer = strncmp(json_str_or(data, "id", ""), "ctm_", 4) == 0;
    customer_add_id(event, "paddle", is_customer ? json_object_get(data, "id") : customer);
    customer_add_metadata(event, json_object_at(data, "custom_data"));
    if (is_customer) {
        customer_add_email(event, json_str(data, "email"));
        customer_set_name(event, json_str(data, "name"));
    }
}

/* Payments are listed with the newest first; those of a retried card follow. */
static void read_transaction(json_t *event, const json_t *data)
{
    json_t *payment = payment_of(event);
    const json_t *tries = json_array_at(data, "payments");
    const json_t *latest = json_array_get(tries, 0);
    const json_t *totals = json_at(data, "details.totals");
    const json_t *amount = event_value(totals, "grand_total");
    const char *currency = json_str(data, "currency_code");
    bool failed = strcmp(json_str_or(event, "type", ""), "payment.failed") == 0;

    payment_put_id(payment, "id", json_object_get(data, "id"));
    payment_put_amount(payment, amount ? amount : json_object_get(totals, "total"),
                       currency ? currency : json_str(totals, "currency_code"));
    if (failed) {
        json_put_str(payment, "reason", json_str(latest, "error_code"));
        size_t errors = 0;
        for (size_t i = 0; i < json_array_size(tries); i++) {
            errors += strcmp(json_str_or(json_array_get(tries, i), "status", ""), "error") == 0;
        }
        json_put_int(payment, "attempt", errors > 0 ? (int64_t)errors : 1);
    }
    json_put_str(payment, "method", json_string_value(json_at(latest, "method_details.type")));
    json_put_str(payment, "card_brand", json_string_value(json_at(latest, "method_details.card.type")));
    json_put_str(payment, "card_last4", json_string_value(json_at(latest, "method_details.card.last4")));
    json_put_str(payment, "url", json_string_value(json_at(data, "checkout.url")));
    payment_put_id(payment, "invoice", json_object_get(data, "invoice_id"));
    json_put_str(payment, "number", json_str(data, "invoice_number"));
    payment_put_id(payment, "customer", json_object_get(data, "customer_id"));
    payment_put_id(payment, "subscription", json_object_get(data, "subscription_id"));
    json_put_str(payment, "status", json_str(data, "status"));
    json_put_str(payment, "billing_reason", json_str(data, "origin"));
    json_put_str(payment, "collection_method", json_str(data, "collection_mode"));
    payment_put_metadata(payment, json_object_at(data, "custom_data"));
    /* The invoice id comes into being between the failure and the payment; the transaction stays. */
    payment_finish(event, (const char *const[]){ "id", NULL });
}

static void read_adjustment(json_t *event, const json_t *data)
{
    json_t *payment = payment_of(event);
    bool refunded = strcmp(json_str_or(event, "type", ""), "payment.refunded") == 0;
    payment_put_id(payment, "id", json_object_get(data, "transaction_id"));
    payment_put_id(payment, refunded ? "refund" : "dispute", json_object_get(data, "id"));
    payment_put_id(payment, "order", json_object_get(data, "transaction_id"));
    payment_put_amount(payment, json_at(data, "totals.total"), json_str(data, "currency_code"));
    json_put_str(payment, "reason", json_str(data, "reason"));
    payment_put_id(payment, "customer", json_object_get(data, "customer_id"));
    payment_put_id(payment, "subscription", json_object_get(data, "subscription_id"));
    json_put_str(payment, "status", json_str(data, "status"));
    payment_finish(event, (const char *const[]){ "order", "refund", "dispute", NULL });
}

static void read_subscription(json_t *event, const json_t *data)
{
    json_t *subscription = subscription_of(event);
    payment_put_id(subscription, "id", json_object_get(data, "id"));
    json_put_str(subscription, "status", json_str(data, "status"));
    const char *change = json_string_value(json_at(data, "scheduled_change.action"));
    json_put_bool(subscription, "cancel_at_period_end", change && strcmp(change, "cancel") == 0);
    json_put_time(subscription, "cancel_at", event_time_s(json_object_at(data, "scheduled_change"), "effective_at"));
    json_put_time(subscription, "canceled_at", event_time_s(data, "canceled_at"));
    json_put_time(subscription, "current_period_end",
                  event_time_s(json_object_at(data, "current_billing_period"), "ends_at"));
    payment_put_id(subscription, "customer", json_object_get(data, "customer_id"));
    payment_put_id(subscription, "plan", json_at(data, "items.0.price.id"));
    event_put_lower(subscription, "currency", json_str(data, "currency_code"));
    json_put_str(subscription, "url", json_string_value(json_at(data, "management_urls.update_payment_method")));
    payment_put_metadata(subscription, json_object_at(data, "custom_data"));
}

static const struct payment_type types[] = {
    { "transaction.payment_failed", "payment.failed", read_transaction, false },
    { "transaction.past_due", "payment.failed", read_transaction, true },
    { "transaction.completed", "payment.succeeded", read_transaction, false },
    { "transaction.paid", "payment.succeeded", read_transaction, true }, /* completed follows */
    { "subscription.created", "subscription.created", read_subscription, false },
    { "subscription.activated", "subscription.updated", read_subscription, false },
    { "subscription.trialing", "subscription.updated", read_subscription, false },
    { "subscription.updated", "subscription.updated", read_subscription, false },
    { "subscription.past_due", "subscription.updated", read_subscription, false },
    { "subscription.paused", "subscription.updated", read_subscription, false },
    { "subscription.resumed", "subscription.updated", read_subscription, false },
    { "subscription.canceled", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "paddle", types, read_contact };

/* Refunds and chargebacks are adjustments; other ones (credits) are not about a payment. */
static const char *adjustment_type(const char *provider_type, const json_t *data)
{
    const char *action = json_str_or(data, "action", "");
    if (strcmp(provider_type, "adjustment.created") == 0) {
        return strcmp(action, "chargeback") == 0 ? "payment.disputed" : NULL;
    }
    if (strcmp(provider_type, "adjustment.updated") == 0 && strcmp(action, "refund") == 0 &&
        strcmp(json_str_or(data, "status", ""), "approved") == 0) {
        return "payment.refunded"; /* refunds wait for an approval first */
    }
    return NULL;
}

static err_t paddle_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Paddle Billing", "event_type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, json_object_get(body, "event_id"), &key);
    msec_t at = event_time_s(body, "occurred_at");
    const json_t *data = json_object_at(body, "data");
    const char *adjustment = data ? adjustment_type(provider_type, data) : NULL;
    if (adjustment == NULL) {
        payment_add_events(&parser, events, w, provider_type, key.ptr, at, data, body);
        return ERR_NONE;
    }
    json_t *event = event_append(events, w, "paddle", adjustment, key.ptr, at);
    json_put_str(event, "provider_type", provider_type);
    read_contact(event, data);
    read_adjustment(event, data);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the destination's secret key (pdl_ntfset_…); one or a list"),
    TOLERANCE_SETTING("how old a signature may be; default 5s, as in Paddle's library"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_paddle = {
    .name = "paddle",
    .provider = "paddle",
    .settings = settings,
    .verify = paddle_verify,
    .parse = paddle_parse,
    .sign = paddle_sign,
};
