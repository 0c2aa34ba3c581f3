#include "channel/event.h"

#include "base/text.h"
#include "io/crypto.h"

#include <ctype.h>
#include <math.h>

/* An index entry of PostgreSQL holds about 2700 bytes; ids of real providers stay far below this. */
#define LONGEST_KEY 300
#define LONGEST_IDENTITY 256
#define SHORTEST_NUMBER 5
#define LONGEST_NUMBER 20

#define LONGEST_DECIMAL 32
#define MOST_EXACT 0x1p53 /* beyond, a double stands for several whole numbers */

#define EARLIEST_MS 946684800000 /* 2000-01-01 */
#define LATEST_MS 4102444800000  /* 2100-01-01 */

static void put_key(json_t *event, const char *key)
{
    struct bytes text = bytes_of(key);
    if (text.len <= LONGEST_KEY) {
        json_put_str(event, "key", key);
        return;
    }
    struct buf hashed CLEANUP(buf_done);
    buf_init(&hashed, LONGEST_KEY);
    event_key_of_bytes(&hashed, text);
    json_put_bytes(event, "key", buf_bytes(&hashed));
}

json_t *event_append(json_t *events, const struct webhook *w, const char *provider, const char *type, const char *key,
                     msec_t occurred_at)
{
    json_t *event = json_object();
    json_put_str(event, "type", type);
    json_put_str(event, "source", w->source);
    json_put_str(event, "provider", provider);
    put_key(event, key);
    json_put_time(event, "occurred_at", occurred_at > 0 ? occurred_at : w->now);
    json_array_append_new(events, event);
    return event;
}

json_t *event_add_unknown(json_t *events, const struct webhook *w, const char *provider, const char *provider_type,
                          const char *key, msec_t occurred_at, json_t *body)
{
    struct buf type CLEANUP(buf_done);
    buf_init(&type, 1024);
    buf_addf(&type, "webhook.%s", w->source ? w->source : provider);
    json_t *event = event_append(events, w, provider, type.ptr, key, occurred_at);
    json_put_str(event, "provider_type", provider_type);
    if (body) {
        json_put(event, "body", json_incref(body));
    }
    return event;
}

json_t *event_contact(json_t *event)
{
    json_t *contact = json_object_at(event, "contact");
    if (contact == NULL) {
        contact = json_object();
        json_put(event, "contact", contact);
    }
    return contact;
}

static void add_identity(json_t *event, const char *list_name, const char *prefix, const char *value)
{
    if (value == NULL || *value == '\0') {
        return;
    }
    struct buf identity CLEANUP(buf_done);
    buf_init(&identity, LONGEST_IDENTITY);
    buf_add_text(&identity, prefix);
    buf_add_text(&identity, value);
    if (identity.overflowed) {
        return;
    }

    json_t *contact = event_contact(event);
    json_t *list = json_array_at(contact, list_name);
    if (list == NULL) {
        list = json_array();
        json_put(contact, list_name, list);
    }
    size_t index;
    json_t *known;
    json_array_foreach (list, index, known) {
        if (strcmp(json_string_value(known), identity.ptr) == 0) {
            return;
        }
    }
    json_array_append_new(list, json_stringn(identity.ptr, identity.len));
}

void event_identify(json_t *event, const char *prefix, const char *value)
{
    add_identity(event, "identities", prefix, value);
}

void event_identify_former(json_t *event, const char *prefix, const char *value)
{
    add_identity(event, "former_identities", prefix, value);
}

void event_put_lower(json_t *object, const char *key, const char *text)
{
    if (text == NULL) {
        return;
    }
    struct buf lower CLEANUP(buf_done);
    buf_init(&lower, 1024);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        buf_add_char(&lower, c < 0x80 ? (char)tolower(c) : (char)c);
    }
    json_put_bytes(object, key, buf_bytes(&lower));
}

void event_put_topic(json_t *event, const char *topic, const char *provider_reason)
{
    json_t *body = json_object();
    json_put_str(body, "topic", topic);
    json_put_str(event, "topic", topic);
    json_put_str(event, "provider_reason", provider_reason);
    json_put(event, "body", body);
}

static void add_hash(struct buf *key, const struct bytes *parts, size_t count)
{
    unsigned char digest[SHA256_SIZE];
    crypto_hash(HASH_SHA256, parts, count, digest);
    buf_add_text(key, "sha256:");
    text_encode_hex((struct bytes){ (const char *)digest, sizeof(digest) }, key);
}

void event_key_of_bytes(struct buf *key, struct bytes body)
{
    add_hash(key, &body, 1);
}

void event_key_of_element(struct buf *key, const char *context, const json_t *element)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    json_add(&text, element);
    struct bytes parts[] = { bytes_of(context), buf_bytes(&text) };
    add_hash(key, parts, ARRAY_LEN(parts));
}

static msec_t plausible(int64_t at)
{
    return at >= EARLIEST_MS && at <= LATEST_MS ? at : 0;
}

/* "2026-11-30", a day: its beginning, in UTC. */
static bool parse_day(struct bytes day, msec_t *ret_at)
{
    char text[] = "YYYY-MM-DDT00:00:00Z";
    if (day.len != 10) {
        return false;
    }
    memcpy(text, day.ptr, day.len);
    return clock_parse_iso(bytes_of(text), ret_at);
}

/* "2021-09-08T06:34:04+0000" as Meta's Graph API prints it: the colon of the offset is missing. */
static msec_t parse_time_text(const char *text)
{
    struct bytes whole = bytes_of(text);
    msec_t at = 0;
    if (whole.len > 64) {
        return 0;
    }
    if (clock_parse_iso(whole, &at) || parse_day(whole, &at)) {
        return plausible(at);
    }
    if (whole.len < 6 || (text[whole.len - 5] != '+' && text[whole.len - 5] != '-')) {
        return 0;
    }
    char with_colon[72];
    memcpy(with_colon, text, whole.len - 2);
    with_colon[whole.len - 2] = ':';
    memcpy(with_colon + whole.len - 1, text + whole.len - 2, 3);
    return clock_parse_iso(bytes_of(with_colon), &at) ? plausible(at) : 0;
}

msec_t event_time_s(const json_t *object, const char *key)
{
    int64_t seconds = json_int(object, key, 0);
    if (seconds > 0 && seconds <= LATEST_MS / 1000) {
        return plausible(seconds * 1000);
    }
    if (seconds > 0) {
        return plausible(seconds);
    }
    const char *text = json_str(object, key);
    return text ? parse_time_text(text) : 0;
}

msec_t event_time_ms(const json_t *object, const char *key)
{
    int64_t at = json_int(object, key, 0);
    if (at > 0) {
        return plausible(at < EARLIEST_MS && at <= LATEST_MS / 1000 ? at * 1000 : at);
    }
    const char *text = json_str(object, key);
    return text ? parse_time_text(text) : 0;
}

void event_phone_digits(const char *phone, struct buf *digits)
{
    char found[LONGEST_NUMBER];
    size_t count = 0;
    for (const char *p = phone; p && *p; p++) {
        bool is_digit = *p >= '0' && *p <= '9';
        if (!is_digit && strchr("+-(). ", *p) == NULL)
            return;
        if (is_digit && count == sizeof(found))
            return;
        if (is_digit)
            found[count++] = *p;
    }
    if (count >= SHORTEST_NUMBER)
        buf_add(digits, found, count);
}

void event_id_text(const json_t *value, struct buf *text)
{
    double real = json_real_value(value); /* 0 of what is no real */
    if (json_is_string(value)) {
        buf_add_text(text, json_string_value(value));
    } else if (json_is_integer(value)) {
        buf_addf(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value) && real >= -MOST_EXACT && real <= MOST_EXACT && real == floor(real)) {
        buf_addf(text, "%.0f", real); /* some senders print whole numbers as 12.0 or 1.2e1 */
    }
}

json_t *event_value(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

void event_copy(json_t *to, const char *to_key, const json_t *from, const char *from_key, json_type type)
{
    json_t *value = json_object_get(from, from_key);
    if (value && json_typeof(value) == type) {
        json_put(to, to_key, json_incref(value));
    }
}

void event_copy_number(json_t *to, const char *to_key, const json_t *from, const char *from_key)
{
    json_t *value = json_object_get(from, from_key);
    size_t length = json_string_length(value);
    bool is_text = length > 0 && length <= LONGEST_DECIMAL;
    json_t *number = is_text ? json_loadb(json_string_value(value), length, JSON_DECODE_ANY, NULL) : json_incref(value);
    if (json_is_number(number)) {
        json_put(to, to_key, json_incref(number));
    }
    json_decref(number);
}
