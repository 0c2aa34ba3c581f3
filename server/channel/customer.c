#include "channel/customer.h"

#include "base/text.h"
#include "channel/handle.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#define SHORTEST_PHONE 7 /* E.164 has no lower bound; the shortest numbers in use have seven digits */
#define LONGEST_PHONE 15
#define LONGEST_NAME 200

void customer_add_id(json_t *event, const char *provider, const json_t *id)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 256);
    event_id_text(id, &text);
    if (text.len == 0 || text.overflowed) {
        return;
    }
    struct buf prefix CLEANUP(buf_done);
    buf_init(&prefix, 64);
    buf_addf(&prefix, "%s:", provider);
    event_identify(event, prefix.ptr, text.ptr);
}

void customer_add_email(json_t *event, const char *email)
{
    struct bytes text = text_trim(bytes_of(email));
    const char *at = text.len > 0 ? memchr(text.ptr, '@', text.len) : NULL;
    if (at == NULL || at == text.ptr || at == text.ptr + text.len - 1 || text.len > 254) {
        return;
    }
    struct buf lower CLEANUP(buf_done);
    buf_init(&lower, 256);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= ' ' || c == '<' || c == '>' || c == ',') {
            return;
        }
        buf_add_char(&lower, c < 0x80 ? (char)tolower(c) : (char)c);
    }
    event_identify(event, "email:", lower.ptr);
}

enum notation {
    AS_DIALLED, /* as people write it: international only with '+' or "00" */
    AS_HANDLE   /* as providers name people: international, also without a sign of it */
};

/* Appends the digits of an international number; false, and nothing useful in `digits`, when it is none. */
static bool read_phone(const char *phone, enum notation notation, struct buf *digits)
{
    struct bytes text = text_trim(bytes_of(phone));
    bool international = false;
    if (text.len > 0 && text.ptr[0] == '+') {
        international = true;
        text.ptr++;
        text.len--;
    } else if (bytes_start_with(text, BYTES_LITERAL("00"))) {
        international = true;
        text.ptr += 2;
        text.len -= 2;
    }
    if (!international && notation == AS_DIALLED) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (international && handle_is_domestic_zero(text.ptr + i, buf_bytes(digits))) {
            i += 2;
        } else if (isdigit((unsigned char)c)) {
            buf_add_char(digits, c);
        } else if (!international) {
            return false;
        } else if (strchr("xXeE;#", c) != NULL) {
            break; /* an extension */
        } else if (strchr(" -().,/", c) == NULL) {
            return false;
        }
    }
    return !digits->overflowed && digits->len >= SHORTEST_PHONE && digits->len <= LONGEST_PHONE &&
           digits->ptr[0] != '0';
}

static void add_phone(json_t *event, const char *prefix, const char *phone, enum notation notation)
{
    struct buf digits CLEANUP(buf_done);
    buf_init(&digits, 32);
    if (read_phone(phone, notation, &digits)) {
        event_identify(event, prefix, digits.ptr);
    }
}

void customer_add_phone(json_t *event, const char *phone)
{
    add_phone(event, "phone:", phone, AS_DIALLED);
}

static void add_phone_handle(json_t *event, const char *value)
{
    add_phone(event, "phone:", value, AS_HANDLE);
}

/* Business-scoped user ids have the form "US.1349…": a country, a full stop, digits or letters. */
static bool is_business_scoped_id(const char *text)
{
    return isupper((unsigned char)text[0]) && isupper((unsigned char)text[1]) && text[2] == '.' &&
           isalnum((unsigned char)text[3]);
}

static void add_whatsapp(json_t *event, const char *value)
{
    if (value[0] && value[1] && is_business_scoped_id(value)) {
        event_identify(event, "whatsapp:", value);
        return;
    }
    add_phone(event, "whatsapp:", value, AS_HANDLE);
}

static void add_number(json_t *event, const char *prefix, const char *value)
{
    int64_t number;
    struct bytes text = text_trim(bytes_of(value));
    if (text.len > 0 && text.len < 32 && text_to_i64(text, &number)) {
        char copy[32];
        memcpy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
        event_identify(event, prefix, copy);
    }
}

static void add_telegram(json_t *event, const char *value)
{
    add_number(event, "telegram:", value);
}

static void add_messenger(json_t *event, const char *value)
{
    add_number(event, "messenger:", value);
}

const char *const customer_handle_kinds[] = {
    "whatsapp", "telegram", "messenger", "instagram", "phone", "email", NULL
};

static void add_instagram(json_t *event, const char *value)
{
    add_number(event, "instagram:", value);
}

static const struct {
    const char *prefix;
    void (*add)(json_t *event, const char *value);
} channels[] = {
    { "whatsapp:", add_whatsapp },   { "telegram:", add_telegram },    { "messenger:", add_messenger },
    { "instagram:", add_instagram }, { "email:", customer_add_email }, { "phone:", add_phone_handle },
};

bool customer_add_identity(json_t *event, const char *identity)
{
    for (size_t i = 0; i < ARRAY_LEN(channels); i++) {
        size_t length = strlen(channels[i].prefix);
        if (identity && strncasecmp(identity, channels[i].prefix, length) == 0) {
            channels[i].add(event, identity + length);
            return true;
        }
    }
    return false;
}

static void add_contact(json_t *event, const char *value)
{
    struct bytes text = text_trim(bytes_of(value));
    if (text.len > 0 && text.len < 128 && !customer_add_identity(event, value)) {
        event_identify(event, "contact:", value);
    }
}

static const struct {
    const char *key;
    void (*add)(json_t *event, const char *value);
} metadata_keys[] = {
    { "whatsapp", add_whatsapp },      { "whatsapp_number", add_whatsapp }, { "whatsapp_id", add_whatsapp },
    { "telegram", add_telegram },      { "telegram_id", add_telegram },     { "telegram_chat_id", add_telegram },
    { "messenger", add_messenger },    { "messenger_id", add_messenger },   { "instagram", add_instagram },
    { "instagram_id", add_instagram }, { "contact", add_contact },          { "contact_id", add_contact },
    { "email", customer_add_email },   { "phone", customer_add_phone },     { "phone_number", customer_add_phone },
};

static bool is_key(const char *given, const char *known)
{
    for (; *given && *known; given++, known++) {
        char c = *given == '-' || *given == ' ' ? '_' : (char)tolower((unsigned char)*given);
        if (c != *known) {
            return false;
        }
    }
    return *given == *known;
}

void customer_add_metadata(json_t *event, const json_t *metadata)
{
    if (!json_is_object(metadata)) {
        return;
    }
    /* In the order of our table: which identity comes first must not depend on how the provider sorts keys. */
    for (size_t i = 0; i < ARRAY_LEN(metadata_keys); i++) {
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)(uintptr_t)metadata, key, value) {
            if (!is_key(key, metadata_keys[i].key)) {
                continue;
            }
            struct buf text CLEANUP(buf_done);
            buf_init(&text, 256);
            event_id_text(value, &text);
            if (text.len > 0 && !text.overflowed) {
                metadata_keys[i].add(event, text.ptr);
            }
        }
    }
}

void customer_set_name(json_t *event, const char *name)
{
    struct bytes text = text_trim(bytes_of(name));
    json_t *contact = json_object_at(event, "contact");
    if (text.len == 0 || json_str(contact, "name") != NULL) {
        return;
    }
    if (text.len > LONGEST_NAME) {
        text.len = LONGEST_NAME;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80) {
            text.len--; /* not in the middle of a character */
        }
    }
    json_put_bytes(event_contact(event), "name", text);
}

void customer_set_names(json_t *event, const char *given, const char *family)
{
    struct buf name CLEANUP(buf_done);
    buf_init(&name, 4 * LONGEST_NAME);
    buf_add_bytes(&name, text_trim(bytes_of(given)));
    struct bytes last = text_trim(bytes_of(family));
    if (last.len > 0) {
        buf_add_text(&name, name.len > 0 ? " " : "");
        buf_add_bytes(&name, last);
    }
    customer_set_name(event, name.len > 0 ? name.ptr : NULL);
}
