/* Chargebee. Its webhooks are not signed: they prove themselves by HTTP Basic only, so the address must be https and
 * the password long. The user name ends at the first colon.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

#define LONGEST_CREDENTIALS 1024

static bool same_secret(struct bytes a, struct bytes b)
{
    unsigned char digests[2][SHA256_SIZE]; /* of equal length, so that the time does not tell the password's */
    crypto_hash(HASH_SHA256, &a, 1, digests[0]);
    crypto_hash(HASH_SHA256, &b, 1, digests[1]);
    return crypto_equal((struct bytes){ (const char *)digests[0], SHA256_SIZE },
                        (struct bytes){ (const char *)digests[1], SHA256_SIZE });
}

struct credentials_check {
    struct bytes user;
    const struct secret_list *passwords;
    bool seen;
};

static bool credentials_match(struct bytes value, void *arg)
{
    struct credentials_check *check = arg;
    check->seen = true;
    struct bytes scheme = text_next_field(&value, ' ');
    struct buf decoded CLEANUP(buf_done);
    buf_init(&decoded, LONGEST_CREDENTIALS);
    if (!text_equal_ignore_case(scheme, BYTES_LITERAL("Basic")) || !text_decode_base64(text_trim(value), &decoded) ||
        decoded.overflowed || decoded.len == 0 || memchr(decoded.ptr, ':', decoded.len) == NULL) {
        return false;
    }
    struct bytes password = buf_bytes(&decoded);
    bool user_matches = same_secret(text_next_field(&password, ':'), check->user);
    bool matches = false;
    for (size_t i = 0; i < check->passwords->count; i++) {
        matches |= same_secret(password, check->passwords->secrets[i]);
    }
    return matches && user_matches;
}

static err_t chargebee_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    static const char *const names[] = { "password", NULL };
    struct secret_list passwords;
    err_t err = secrets_read(settings, names, &passwords, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct credentials_check check = { .user = bytes_of(json_str(settings, "user")), .passwords = &passwords };
    if (check.user.len == 0) {
        return fail(reterr, ERR_DENIED, "no user is configured\nHINT: set user of the source");
    }
    if (header_any(w, "Authorization", credentials_match, &check)) {
        return ERR_NONE;
    }
    return fail(reterr, ERR_DENIED,
                check.seen ? "the user or the password in Authorization does not match"
                           : "the header Authorization is missing");
}

/* `secret` is "user:password". */
static err_t chargebee_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    (void)w;
    if (secret.len == 0 || memchr(secret.ptr, ':', secret.len) == NULL) {
        return fail(reterr, ERR_INVALID, "the secret must be user:password");
    }
    buf_add_text(headers, "Authorization: Basic ");
    text_encode_base64(secret, headers);
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

/* `content` has an object for each thing that the event is about. */
static void read_contact(json_t *event, const json_t *content)
{
    const json_t *customer = json_object_at(content, "customer");
    json_t *id = event_value(customer, "id");
    static const char *const owners[] = { "subscription.customer_id", "invoice.customer_id",
                                          "transaction.customer_id" };
    for (size_t i = 0; i < ARRAY_LEN(owners) && id == NULL; i++) {
        id = json_at(content, owners[i]);
    }
    customer_add_id(event, "chargebee", id);

    customer_add_metadata(event, json_object_at(customer, "meta_data"));
    customer_add_metadata(event, json_object_at(json_object_at(content, "subscription"), "meta_data"));
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)customer, key, value) {
        if (strncmp(key, "cf_", 3) == 0) { /* the merchant's own fields */
            json_t *pair = json_object();
            json_put(pair, key + 3, json_incref(value));
            customer_add_metadata(event, pair);
            json_decref(pair);
        }
    }
    customer_add_email(event, json_str(customer, "email"));
    customer_add_phone(event, json_str(customer, "phone"));
    customer_add_phone(event, json_string_value(json_at(customer, "billing_address.phone")));
    customer_set_names(event, json_str(customer, "first_name"), json_str(customer, "last_name"));
}

static void read_payment(json_t *event, const json_t *content)
{
    json_t *payment = payment_of(event);
    const json_t *transaction = json_object_at(content, "transaction");
    const json_t *invoice = json_object_at(content, "invoice");
    const json_t *amount = event_value(transaction, "amount");
    const char *currency = json_str(transaction, "currency_code");
    json_t *id = event_value(transaction, "id");
    payment_put_id(payment, "id", id ? id : json_object_get(invoice, "id"));
    if (strcmp(json_str_or(event, "type", ""), "payment.refunded") == 0) { /* the transaction is the refund then */
        payment_put_id(payment, "refund", id);
        payment_put_id(payment, "id", json_object_get(transaction, "refunded_txn_id"));
    }
    payment_put_amount(payment, amount ? amount : json_object_get(invoice, "amount_due"),
                       currency ? currency : json_str(invoice, "currency_code"));
    json_put_str(payment, "reason", json_str(transaction, "error_code"));
    json_put_str(payment, "message", json_str(transaction, "error_text"));
    if (strcmp(json_str_or(event, "type", ""), "payment.failed") == 0) {
        size_t attempts = json_array_size(json_array_at(invoice, "dunning_attempts"));
        json_put_int(payment, "attempt", attempts > 0 ? (int64_t)attempts : 1);
    }
    json_put_time(payment, "next_attempt", event_time_s(invoice, "next_retry_at"));
    payment_put_id(payment, "invoice", json_object_get(invoice, "id"));
    json_t *customer = event_value(json_object_at(content, "customer"), "id");
    payment_put_id(payment, "customer", customer ? customer : json_object_get(transaction, "customer_id"));
    json_t *subscription = event_value(json_object_at(content, "subscription"), "id");
    payment_put_id(payment, "subscription", subscription ? subscription : json_object_get(invoice, "subscription_id"));
    const char *status = json_str(invoice, "status");
    json_put_str(payment, "status", status ? status : json_str(transaction, "status"));
    json_put_str(payment, "dunning_status", json_str(invoice, "dunning_status"));
    json_put_str(payment, "method", json_str(transaction, "payment_method"));
    payment_put_metadata(payment, json_at(content, "subscription.meta_data"));
    payment_finish(event, payment_reference_keys);
}

static void read_subscription(json_t *event, const json_t *content)
{
    json_t *subscription = subscription_of(event);
    const json_t *object = json_object_at(content, "subscription");
    payment_put_id(subscription, "id", json_object_get(object, "id"));
    const char *status = json_str(object, "status");
    json_put_str(subscription, "status", status);
    json_put_bool(subscription, "cancel_at_period_end", status && strcmp(status, "non_renewing") == 0);
    payment_put_id(subscription, "customer", json_object_get(object, "customer_id"));
    json_t *plan = event_value(object, "plan_id");
    payment_put_id(subscription, "plan", plan ? plan : json_at(object, "subscription_items.0.item_price_id"));
    event_put_lower(subscription, "currency", json_str(object, "currency_code"));
    json_put_time(subscription, "current_period_start", event_time_s(object, "current_term_start"));
    json_put_time(subscription, "current_period_end", event_time_s(object, "current_term_end"));
    json_put_time(subscription, "trial_end", event_time_s(object, "trial_end"));
    json_put_time(subscription, "canceled_at", event_time_s(object, "cancelled_at"));
    json_put_str(subscription, "reason", json_str(object, "cancel_reason"));
    payment_put_metadata(subscription, json_object_at(object, "meta_data"));
}

static const struct payment_type types[] = {
    { "payment_failed", "payment.failed", read_payment, false },
    { "payment_succeeded", "payment.succeeded", read_payment, false },
    { "payment_refunded", "payment.refunded", read_payment, false },
    { "subscription_created", "subscription.created", read_subscription, false },
    { "subscription_started", "subscription.updated", read_subscription, false },
    { "subscription_activated", "subscription.updated", read_subscription, false },
    { "subscription_changed", "subscription.updated", read_subscription, false },
    { "subscription_renewed", "subscription.updated", read_subscription, false },
    { "subscription_paused", "subscription.updated", read_subscription, false },
    { "subscription_resumed", "subscription.updated", read_subscription, false },
    { "subscription_reactivated", "subscription.updated", read_subscription, false },
    { "subscription_cancellation_scheduled", "subscription.updated", read_subscription, false },
    { "subscription_scheduled_cancellation_removed", "subscription.updated", read_subscription, false },
    { "subscription_cancelled", "subscription.canceled", read_subscription, false },
    { "subscription_deleted", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "chargebee", types, read_contact };

static err_t chargebee_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "Chargebee", "event_type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, json_object_get(body, "id"), &key);
    payment_add_events(&parser, events, w, provider_type, key.ptr, event_time_s(body, "occurred_at"),
                       json_object_at(body, "content"), body);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    { "user", SETTING_TEXT, true, "the user name of HTTP Basic, as set in the webhook at Chargebee" },
    { "password", SETTING_SECRETS, true, "its password; a list while it changes" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_chargebee = {
    .name = "chargebee",
    .provider = "chargebee",
    .settings = settings,
    .verify = chargebee_verify,
    .parse = chargebee_parse,
    .sign = chargebee_sign,
};
