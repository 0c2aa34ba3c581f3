#include "channel/payment.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

const char *const payment_reference_keys[] = { "invoice", "order", "subscription", "id", NULL };

static json_t *part_of(json_t *event, const char *name)
{
    json_t *part = json_object_at(event, name);
    if (part == NULL) {
        part = json_object();
        json_put(event, name, part);
    }
    return part;
}

json_t *payment_of(json_t *event)
{
    return part_of(event, "payment");
}

json_t *subscription_of(json_t *event)
{
    return part_of(event, "subscription");
}

json_t *order_of(json_t *event)
{
    return part_of(event, "order");
}

static bool is_one_of(const char *currency, const char *const *list)
{
    for (; *list; list++) {
        if (strcasecmp(currency, *list) == 0) {
            return true;
        }
    }
    return false;
}

unsigned money_decimals(const char *currency)
{
    /* ISO 4217, and Telegram's stars; money() of the rules has the same lists */
    static const char *const none[] = { "bif", "clp", "djf", "gnf", "isk", "jpy", "kmf", "krw", "mga", "pyg",
                                        "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf", "xtr", NULL };
    static const char *const three[] = { "bhd", "iqd", "jod", "kwd", "lyd", "omr", "tnd", NULL };
    if (currency && is_one_of(currency, none)) {
        return 0;
    }
    return currency && is_one_of(currency, three) ? 3 : 2;
}

bool money_from_decimal(const char *text, const char *currency, int64_t *ret_amount)
{
    struct bytes rest = text_trim(bytes_of(text));
    bool negative = rest.len > 0 && rest.ptr[0] == '-';
    if (negative) {
        rest.ptr++;
        rest.len--;
    }
    const char *point = rest.len > 0 ? memchr(rest.ptr, '.', rest.len) : NULL;
    struct bytes whole = text_next_field(&rest, '.');
    if (whole.len == 0 && rest.len == 0) {
        return false;
    }
    if (point && rest.len == 0) {
        return false; /* "10." */
    }

    unsigned decimals = money_decimals(currency);
    struct buf digits CLEANUP(buf_done);
    buf_init(&digits, 64);
    buf_add_bytes(&digits, whole);
    for (size_t i = 0; i < decimals || i < rest.len; i++) {
        char c = i < rest.len ? rest.ptr[i] : '0';
        if (i < decimals) {
            buf_add_char(&digits, c);
        } else if (c != '0') {
            return false;
        }
    }
    uint64_t amount;
    if (digits.overflowed || !text_to_u64(buf_bytes(&digits), &amount) || amount > INT64_MAX) {
        return false;
    }
    *ret_amount = negative ? -(int64_t)amount : (int64_t)amount;
    return true;
}

static void put_currency(json_t *object, const char *currency)
{
    event_put_lower(object, "currency", currency && *currency ? currency : NULL);
}

void payment_put_amount(json_t *object, const json_t *amount, const char *currency)
{
    int64_t value;
    if (json_is_integer(amount)) {
        json_put_int(object, "amount", json_integer_value(amount));
    } else if (json_is_string(amount) && text_to_i64(bytes_of(json_string_value(amount)), &value)) {
        json_put_int(object, "amount", value);
    } else if (json_is_real(amount)) {
        /* a minor unit written as 1999.0: exact within 53 bits */
        double real = json_real_value(amount);
        if (real >= -9e15 && real <= 9e15 && real == (double)(int64_t)real) {
            json_put_int(object, "amount", (int64_t)real);
        }
    }
    put_currency(object, currency);
}

void payment_recount(json_t *object, unsigned decimals)
{
    unsigned ours = money_decimals(json_str(object, "currency"));
    int64_t amount = json_int(object, "amount", 0);
    for (; decimals > ours && amount % 10 == 0; decimals--) {
        amount /= 10;
    }
    bool fits = decimals <= ours;
    for (; fits && decimals < ours; decimals++) {
        fits = !__builtin_mul_overflow(amount, 10, &amount);
    }
    if (fits && json_object_get(object, "amount")) {
        json_put_int(object, "amount", amount);
    }
}

void payment_put_decimal(json_t *object, const json_t *amount, const char *currency)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 64);
    if (json_is_real(amount)) {
        buf_addf(&text, "%.15g", json_real_value(amount)); /* what the sender wrote, up to 15 digits */
    } else {
        event_id_text(amount, &text);
    }
    int64_t minor;
    if (text.len > 0 && !text.overflowed && money_from_decimal(text.ptr, currency, &minor)) {
        json_put_int(object, "amount", minor);
    }
    put_currency(object, currency);
}

void payment_put_id(json_t *object, const char *key, const json_t *id)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 1024);
    event_id_text(json_is_object(id) ? json_object_get(id, "id") : id, &text);
    if (text.len > 0 && !text.overflowed) {
        json_put_str(object, key, text.ptr);
    }
}

void payment_put_metadata(json_t *object, const json_t *metadata)
{
    if (!json_is_object(metadata) || json_object_size(metadata) == 0) {
        return;
    }
    json_t *known = part_of(object, "metadata");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)metadata, key, value) {
        if (json_object_get(known, key) == NULL) {
            json_put(known, key, json_incref(value));
        }
    }
}

void payment_finish(json_t *event, const char *const *reference_keys)
{
    json_t *payment = payment_of(event);
    const char *type = json_str_or(event, "type", "");
    bool counts = strcmp(type, "payment.failed") == 0 || strcmp(type, "payment.action_required") == 0;
    if (counts && json_int(payment, "attempt", 0) < 1) {
        json_put_int(payment, "attempt", 1);
    }
    if (json_str(payment, "invoice") == NULL) {
        json_put_str(payment, "invoice", json_str(payment, "order"));
    }
    for (; *reference_keys && json_str(payment, "reference") == NULL; reference_keys++) {
        json_put_str(payment, "reference", json_str(payment, *reference_keys));
    }
}

err_t payment_read_body(const struct webhook *w, const char *vendor, const char *type_field, json_t **ret_body,
                        const char **ret_provider_type, struct error *reterr)
{
    err_t err = json_parse(w->body, ret_body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    *ret_provider_type = json_str(*ret_body, type_field);
    if (*ret_provider_type == NULL || **ret_provider_type == '\0') {
        return fail(reterr, ERR_INVALID, "not an event of %s: it has no %s", vendor, type_field);
    }
    return ERR_NONE;
}

void payment_add_events(const struct payment_parser *parser, json_t *events, const struct webhook *w,
                        const char *provider_type, const char *key, msec_t occurred_at, const json_t *object,
                        json_t *body)
{
    unsigned count = 0;
    for (const struct payment_type *t = parser->types; object && t->provider_type; t++) {
        if (strcmp(t->provider_type, provider_type) != 0) {
            continue;
        }
        struct buf own_key CLEANUP(buf_done);
        buf_init(&own_key, SIZE_MAX);
        buf_add_text(&own_key, key);
        if (++count > 1) {
            buf_addf(&own_key, ":%u", count);
        }
        json_t *event = event_append(events, w, parser->provider, t->type, own_key.ptr, occurred_at);
        json_put_str(event, "provider_type", provider_type);
        parser->read_contact(event, object);
        t->read(event, object);
        if (t->secondary) {
            json_put_bool(payment_of(event), "secondary", true);
        }
    }
    if (count == 0) {
        json_t *event = event_add_unknown(events, w, parser->provider, provider_type, key, occurred_at, body);
        if (object) {
            parser->read_contact(event, object);
        }
    }
}

void payment_key(const struct webhook *w, const json_t *id, struct buf *ret_key)
{
    buf_init(ret_key, SIZE_MAX);
    event_id_text(id, ret_key);
    if (ret_key->len == 0) {
        event_key_of_bytes(ret_key, w->body);
    }
}

void payment_key_from_header(const struct webhook *w, const char *header, struct buf *ret_key)
{
    buf_init(ret_key, SIZE_MAX);
    const char *id = webhook_header_value(w, header);
    if (id && *id) {
        buf_add_bytes(ret_key, text_trim(bytes_of(id)));
    } else {
        event_key_of_bytes(ret_key, w->body);
    }
}
