/* Adyen's standard webhooks, and the others of its platforms (Banking, Management).
 *
 * A standard webhook signs each item by itself: eight fields joined by colons, the signature inside the item. Adyen's
 * current library joins the values as they are, older ones escape `\` and `:`, so both are tried. The others have the
 * header HmacSignature over the body. Keys are in hex. (npm @adyen/api-library, hmacValidator)
 *
 * Values that are signed are what is verified; the rest of an item (reason, addresses) is not covered by Adyen's
 * signature. An item without a signature refuses the whole request.
 */
#include "channel/kinds.h"
#include "channel/payment.h"
#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define MAX_KEY_SIZE 256
#define SIGNED_FIELDS 8

/* Items are read before they are proved, and a document takes up to a hundred times its size in memory. Adyen puts a
 * few items of some kilobytes into one request. */
#define LARGEST_ITEMS ((size_t)256 * 1024)

/* The keys, decoded from hex into `storage`. ERR_DENIED when none is usable. */
static err_t read_keys(const json_t *settings, struct buf *storage, struct secret_list *ret_keys, struct error *reterr)
{
    struct secret_list secrets;
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    size_t ends[MAX_SECRETS];
    size_t count = 0;
    buf_init(storage, MAX_SECRETS * MAX_KEY_SIZE);
    for (size_t i = 0; i < secrets.count; i++) {
        size_t before = storage->len;
        if (text_decode_hex(text_trim(secrets.secrets[i]), storage) && storage->len > before && !storage->overflowed) {
            ends[count++] = storage->len;
        }
    }
    if (count == 0) {
        return fail(reterr, ERR_DENIED, "no HMAC key is usable: Adyen shows them in hex");
    }
    ret_keys->count = count;
    for (size_t i = 0, start = 0; i < count; start = ends[i++]) {
        ret_keys->secrets[i] = (struct bytes){ storage->ptr + start, ends[i] - start };
    }
    return ERR_NONE;
}

/* A field as text: booleans and numbers count as they are printed, anything else as empty. */
static void add_field(struct buf *out, const json_t *value, bool escaped)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    event_id_text(value, &text);
    if (json_is_boolean(value)) {
        buf_add_text(&text, json_is_true(value) ? "true" : "false");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (escaped && (text.ptr[i] == ':' || text.ptr[i] == '\\')) {
            buf_add_char(out, '\\');
        }
        buf_add_char(out, text.ptr[i]);
    }
}

static void add_signed_text(struct buf *out, const json_t *item, bool escaped)
{
    const json_t *amount = json_object_at(item, "amount");
    const json_t *fields[SIGNED_FIELDS] = {
        json_object_get(item, "pspReference"),
        json_object_get(item, "originalReference"),
        json_object_get(item, "merchantAccountCode"),
        json_object_get(item, "merchantReference"),
        json_object_get(amount, "value"),
        json_object_get(amount, "currency"),
        json_object_get(item, "eventCode"),
        json_object_get(item, "success"),
    };
    for (size_t i = 0; i < SIGNED_FIELDS; i++) {
        if (i > 0) {
            buf_add_char(out, ':');
        }
        add_field(out, fields[i], escaped);
    }
}

static bool item_is_genuine(const json_t *item, const struct secret_list *keys)
{
    const char *signature = json_str(json_object_at(item, "additionalData"), "hmacSignature");
    for (int escaped = 0; signature && escaped <= 1; escaped++) {
        struct buf text CLEANUP(buf_done);
        buf_init(&text, SIZE_MAX);
        add_signed_text(&text, item, escaped == 1);
        struct bytes part = buf_bytes(&text);
        struct signature_macs macs;
        signature_compute(HASH_SHA256, keys, &part, 1, &macs);
        if (signature_matches(&macs, SIGNATURE_BASE64, bytes_of(signature))) {
            return true;
        }
    }
    return false;
}

static const json_t *item_at(const json_t *items, size_t index)
{
    const json_t *item = json_array_get(items, index);
    const json_t *inner = json_object_at(item, "NotificationRequestItem");
    return inner ? inner : item;
}

static err_t adyen_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct buf storage CLEANUP(buf_done) = { 0 };
    struct secret_list keys = { .count = 0 };
    err_t err = read_keys(settings, &storage, &keys, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (webhook_header_value(w, "HmacSignature") != NULL) {
        struct signature_macs macs;
        signature_compute(HASH_SHA256, &keys, &w->body, 1, &macs);
        return signature_check_header(w, "HmacSignature", "", SIGNATURE_BASE64, &macs, reterr);
    }

    if (w->body.len > LARGEST_ITEMS) {
        return fail(reterr, ERR_DENIED, "the body is larger than %zu KiB and HmacSignature is missing",
                    LARGEST_ITEMS / 1024);
    }
    json_t *body CLEANUP(json_free) = NULL;
    if (json_parse(w->body, &body, NULL) != ERR_NONE) {
        return fail(reterr, ERR_DENIED, "the body is not JSON and HmacSignature is missing");
    }
    const json_t *items = json_array_at(body, "notificationItems");
    size_t count = json_array_size(items);
    if (count == 0) {
        return fail(reterr, ERR_DENIED, "there is no notification item and HmacSignature is missing");
    }
    for (size_t i = 0; i < count; i++) {
        if (!item_is_genuine(item_at(items, i), &keys)) {
            return fail(reterr, ERR_DENIED, "the signature of notification item %zu %s", i + 1,
                        json_str(json_object_at(item_at(items, i), "additionalData"), "hmacSignature")
                            ? "does not match"
                            : "is missing");
        }
    }
    return ERR_NONE;
}

/* Gives the header form: the signature of a standard item is part of its body, which signing cannot change. */
static err_t adyen_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, MAX_KEY_SIZE);
    if (!text_decode_hex(text_trim(secret), &key) || key.len == 0 || key.overflowed) {
        return fail(reterr, ERR_INVALID, "the HMAC key must be in hex");
    }
    buf_add_text(headers, "Protocol: HmacSHA256\nHmacSignature: ");
    signature_add(headers, HASH_SHA256, SIGNATURE_BASE64, buf_bytes(&key), &w->body, 1);
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

/* "true" and true mean the same, in any case. */
static bool success_is(const json_t *item, bool expected)
{
    const json_t *value = json_object_get(item, "success");
    const char *text = json_string_value(value);
    return text ? strcasecmp(text, expected ? "true" : "false") == 0
                : json_is_boolean(value) && json_is_true(value) == expected;
}

static void read_contact(json_t *event, const json_t *item)
{
    const json_t *extra = json_object_at(item, "additionalData");
    json_t *reference = event_value(extra, "recurring.shopperReference");
    customer_add_id(event, "adyen", reference ? reference : json_object_get(extra, "shopperReference"));

    /* The merchant's own data comes as "metadata.KEY". */
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)extra, key, value) {
        if (strncmp(key, "metadata.", 9) == 0) {
            json_t *pair = json_object();
            json_put(pair, key + 9, json_incref(value));
            customer_add_metadata(event, pair);
            json_decref(pair);
        }
    }
    customer_add_email(event, json_str(extra, "shopperEmail"));
    customer_add_phone(event, json_str(extra, "shopperTelephone"));
    customer_add_phone(event, json_str(extra, "telephoneNumber"));
}

/* docs.adyen.com/development-resources/currency-codes: "differs from standard" */
static const struct {
    const char *currency;
    unsigned decimals;
} counted_otherwise[] = { { "clp", 2 }, { "cve", 0 }, { "idr", 0 }, { "isk", 2 } };

static void put_amount(json_t *payment, const json_t *amount)
{
    payment_put_amount(payment, json_object_get(amount, "value"), json_str(amount, "currency"));
    for (size_t i = 0; i < ARRAY_LEN(counted_otherwise); i++) {
        if (strcmp(json_str_or(payment, "currency", ""), counted_otherwise[i].currency) == 0) {
            payment_recount(payment, counted_otherwise[i].decimals);
        }
    }
}

static void read_payment(json_t *event, const json_t *item)
{
    json_t *payment = payment_of(event);
    const json_t *extra = json_object_at(item, "additionalData");
    const char *original = json_str(item, "originalReference");
    bool modifies = original && *original;
    payment_put_id(payment, "id", json_object_get(item, modifies ? "originalReference" : "pspReference"));
    const json_t *modification = modifies ? json_object_get(item, "pspReference") : NULL;
    const char *type = json_str_or(event, "type", "");
    payment_put_id(payment, "modification", modification);
    payment_put_id(payment, "refund", strcmp(type, "payment.refunded") == 0 ? modification : NULL);
    payment_put_id(payment, "dispute", strcmp(type, "payment.disputed") == 0 ? modification : NULL);
    put_amount(payment, json_object_at(item, "amount"));
    if (strcmp(type, "payment.succeeded") != 0) {
        /* "Refused", or "53790:1111:03/2030" and so on, which is no reason */
        json_put_str(payment, "reason", json_str(item, "reason"));
        json_put_str(payment, "code", json_str(extra, "refusalReasonRaw"));
    }
    payment_put_id(payment, "order", json_object_get(item, "merchantReference"));
    json_t *customer = event_value(extra, "recurring.shopperReference");
    payment_put_id(payment, "customer", customer ? customer : json_object_get(extra, "shopperReference"));
    event_put_lower(payment, "status", json_str(item, "eventCode"));
    json_put_str(payment, "method", json_str(item, "paymentMethod"));
    json_put_str(payment, "card_last4", json_str(extra, "cardSummary"));
    payment_finish(event, payment_reference_keys);
}

/* "EVENTCODE" when it succeeded, "EVENTCODE failed" when not, and "EVENTCODE unclear", which nothing is made of, when
 * the item does not say. A failed refund or capture concerns the merchant. */
static const struct payment_type types[] = {
    { "AUTHORISATION", "payment.succeeded", read_payment, false },
    { "AUTHORISATION failed", "payment.failed", read_payment, false },
    { "CAPTURE_FAILED", "payment.failed", read_payment, false },
    { "REFUND", "payment.refunded", read_payment, false },
    { "CANCEL_OR_REFUND", "payment.refunded", read_payment, false },
    { "NOTIFICATION_OF_CHARGEBACK", "payment.disputed", read_payment, false },
    { "CHARGEBACK", "payment.disputed", read_payment, false },
    { "SECOND_CHARGEBACK", "payment.disputed", read_payment, false }, /* the money is taken again after a defence */
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "adyen", types, read_contact };

static void parse_item(const struct webhook *w, json_t *element, const json_t *item, json_t *events)
{
    const char *code = json_str_or(item, "eventCode", "");
    struct buf type CLEANUP(buf_done);
    struct buf key CLEANUP(buf_done);
    buf_init(&type, 1024);
    buf_init(&key, SIZE_MAX);
    const json_t *extra = json_object_at(item, "additionalData");
    const char *action = json_str_or(extra, "modification.action", "refund");
    bool is_cancel = strcmp(code, "CANCEL_OR_REFUND") == 0 && strcmp(action, "refund") != 0;
    bool success = success_is(item, true);
    buf_addf(&type, "%s%s%s", code,
             success                   ? ""
             : success_is(item, false) ? " failed"
                                       : " unclear",
             is_cancel ? " cancel" : "");

    const char *psp = json_str(item, "pspReference");
    if (psp && *psp && *code) {
        buf_addf(&key, "%s:%s:%s:%s", psp, code, success ? "true" : "false", json_str_or(item, "eventDate", ""));
    } else {
        event_key_of_element(&key, NULL, element);
    }

    size_t first = json_array_size(events);
    payment_add_events(&parser, events, w, type.ptr, key.ptr, event_time_s(item, "eventDate"),
                       json_is_object(item) ? item : NULL, element);
    for (size_t i = first; i < json_array_size(events); i++) {
        json_put_str(json_array_get(events, i), "provider_type", *code ? code : "notificationItems");
    }
}

static err_t adyen_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const json_t *items = json_array_at(body, "notificationItems");
    for (size_t i = 0; i < json_array_size(items); i++) {
        parse_item(w, json_array_get(items, i), item_at(items, i), events);
    }
    if (items) {
        return ERR_NONE;
    }

    const char *type = json_str(body, "type");
    if (type == NULL) {
        return fail(reterr, ERR_INVALID, "not a webhook of Adyen: it has neither notificationItems nor a type");
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, NULL, &key);
    msec_t at = event_time_s(body, "timestamp");
    event_add_unknown(events, w, "adyen", type, key.ptr, at ? at : event_time_s(body, "createdAt"), body);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the webhook's HMAC key in hex; a list while it changes"),
    { NULL, SETTING_TEXT, false, NULL },
};

/* A key that is no hex would refuse every webhook, long after the configuration was loaded. */
static err_t adyen_check(const json_t *from, struct error *reterr)
{
    struct secret_list secrets;
    if (signature_secrets(from, &secrets, NULL) != ERR_NONE) {
        return ERR_NONE; /* none at all: said elsewhere */
    }
    for (size_t i = 0; i < secrets.count; i++) {
        struct buf key CLEANUP(buf_done);
        buf_init(&key, MAX_KEY_SIZE);
        bool usable = text_decode_hex(text_trim(secrets.secrets[i]), &key) && key.len > 0 && !key.overflowed;
        crypto_wipe(key.ptr, key.len);
        if (!usable) {
            return fail(reterr, ERR_INVALID, "signing_secrets: key %zu is no key: Adyen shows them in hex", i + 1);
        }
    }
    return ERR_NONE;
}

const struct channel_kind channel_adyen = {
    .name = "adyen",
    .provider = "adyen",
    .settings = settings,
    .check = adyen_check,
    .verify = adyen_verify,
    .parse = adyen_parse,
    .sign = adyen_sign,
    .accepted_body = "[accepted]",
};
