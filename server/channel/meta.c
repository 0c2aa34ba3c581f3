#include "channel/meta.h"

#include "base/text.h"
#include "channel/event.h"
#include "channel/kinds.h"
#include "channel/signature.h"

#include <stdio.h>

/* Meta: up to 1000 updates in one POST; anything longer is one webhook that stays unparsed. */
#define LONGEST_CHALLENGE 256

static const char *const secret_settings[] = { "app_secret", "app_secrets", "secret", "secrets", NULL };

struct signature_check {
    struct signature_macs macs;
    bool malformed;
};

static bool candidate_matches(struct bytes candidate, struct signature_check *check)
{
    struct bytes prefix = BYTES_LITERAL("sha256=");
    if (candidate.len < prefix.len || !text_equal_ignore_case((struct bytes){ candidate.ptr, prefix.len }, prefix)) {
        check->malformed = true;
        return false;
    }
    struct bytes digits = { candidate.ptr + prefix.len, candidate.len - prefix.len };
    if (signature_matches(&check->macs, SIGNATURE_HEX, digits)) {
        return true;
    }
    struct buf given CLEANUP(buf_done);
    buf_init(&given, HASH_MAX_SIZE);
    if (!text_decode_hex(digits, &given) || given.overflowed || given.len != SHA256_SIZE) {
        check->malformed = true;
    }
    return false;
}

/* Proxies join a header that comes twice with a comma. */
static bool value_matches(struct bytes value, void *arg)
{
    do {
        if (candidate_matches(text_trim(text_next_field(&value, ',')), arg)) {
            return true;
        }
    } while (value.len > 0);
    return false;
}

static bool any_value_matches(const struct webhook *w, const struct secret_list *secrets, struct bytes body,
                              struct signature_check *check)
{
    signature_compute(HASH_SHA256, secrets, &body, 1, &check->macs);
    return header_any(w, "X-Hub-Signature-256", value_matches, check);
}

/* Length and value of the UTF-8 character at `text`, which is valid and not empty. */
static size_t decode_character(struct bytes text, uint32_t *ret_character)
{
    unsigned char first = (unsigned char)text.ptr[0];
    size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t character = length == 1 ? first : first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        character = (character << 6) | ((unsigned char)text.ptr[i] & 0x3fu);
    }
    *ret_character = character;
    return length;
}

static void add_escape(struct buf *out, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    const char escape[] = {
        '\\', 'u', digits[unit >> 12], digits[unit >> 8 & 15], digits[unit >> 4 & 15], digits[unit & 15]
    };
    buf_add(out, escape, sizeof(escape));
}

/* Meta signs the body with everything above '~' as \uXXXX. It also sends it like that; this is for bodies that a proxy
 * on the way has rewritten to UTF-8. */
static void add_escaped(struct bytes body, struct buf *out)
{
    while (body.len > 0) {
        uint32_t character;
        size_t length = decode_character(body, &character);
        if (character <= 0x7e) {
            buf_add_char(out, (char)character);
        } else if (character <= 0xffff) {
            add_escape(out, character);
        } else {
            character -= 0x10000;
            add_escape(out, 0xd800 | (character >> 10));
            add_escape(out, 0xdc00 | (character & 0x3ff));
        }
        body.ptr += length;
        body.len -= length;
    }
}

static bool is_plain(struct bytes body)
{
    for (size_t i = 0; i < body.len; i++) {
        if ((unsigned char)body.ptr[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

err_t meta_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    err_t err = secrets_read(settings, secret_settings, &secrets, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (webhook_header_value(w, "X-Hub-Signature-256") == NULL) {
        return fail(reterr, ERR_DENIED, "the header X-Hub-Signature-256 is missing");
    }
    struct signature_check check = { .malformed = false };
    if (any_value_matches(w, &secrets, w->body, &check)) {
        return ERR_NONE;
    }
    if (!is_plain(w->body) && text_is_utf8(w->body)) {
        struct buf escaped CLEANUP(buf_done);
        buf_init(&escaped, w->body.len * 6);
        add_escaped(w->body, &escaped);
        if (any_value_matches(w, &secrets, buf_bytes(&escaped), &check)) {
            return ERR_NONE;
        }
    }
    return fail(reterr, ERR_DENIED,
                check.malformed ? "X-Hub-Signature-256 is not 'sha256=' and 64 hex digits"
                                : "the signature does not match the body");
}

err_t meta_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    if (secret.len == 0) {
        return fail(reterr, ERR_INVALID, "the secret is empty");
    }
    unsigned char mac[SHA256_SIZE];
    crypto_hmac(HASH_SHA256, secret, &w->body, 1, mac);
    buf_add_text(headers, "X-Hub-Signature-256: sha256=");
    text_encode_hex((struct bytes){ (const char *)mac, sizeof(mac) }, headers);
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

err_t meta_handshake(const char *mode, const char *token, const char *challenge, const json_t *settings,
                     struct buf *answer)
{
    const char *expected = json_str(settings, "verify_token");
    if (mode == NULL || strcmp(mode, "subscribe") != 0 || token == NULL || challenge == NULL || expected == NULL ||
        *expected == '\0' || strlen(challenge) > LONGEST_CHALLENGE ||
        !crypto_equal(bytes_of(token), bytes_of(expected))) {
        return ERR_DENIED;
    }
    buf_add_text(answer, challenge);
    return ERR_NONE;
}

json_t *meta_add_unknown(const struct meta_entry *entry, const char *provider, const char *provider_type,
                         json_t *element)
{
    struct buf context CLEANUP(buf_done);
    struct buf key CLEANUP(buf_done);
    buf_init(&context, 256);
    buf_init(&key, 256);
    buf_addf(&context, "%s %lld ", provider_type, (long long)entry->time);
    event_key_of_element(&key, context.ptr, element);
    return event_add_unknown(entry->events, entry->w, provider, provider_type, key.ptr, entry->time, element);
}

err_t meta_parse(const struct webhook *w, const json_t *settings, const char *expected, const char *provider,
                 json_t *events, void (*each)(const struct meta_entry *entry), struct error *reterr)
{
    json_t *root CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &root, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (!json_is_object(root)) {
        return fail(reterr, ERR_INVALID, "the body is not a JSON object");
    }
    const char *object = json_str(root, "object");
    if (object && strcmp(object, expected) != 0) {
        return fail(reterr, ERR_INVALID, "the body is about '%.40s', not '%s'", object, expected);
    }

    struct meta_entry current = { .w = w, .settings = settings, .events = events };
    json_t *entries = json_array_at(root, "entry");
    if (entries == NULL) {
        if (json_str(root, "field") == NULL || json_object_at(root, "value") == NULL) {
            return fail(reterr, ERR_INVALID, "the body has no list 'entry'");
        }
        /* The dashboard's test button sends one change without its envelope. */
        json_t *changes CLEANUP(json_free) = json_pack("{s:[O]}", "changes", root);
        current.entry = changes;
        each(&current);
        return ERR_NONE;
    }
    size_t index;
    json_t *entry;
    json_array_foreach (entries, index, entry) {
        current.entry = entry;
        current.time = event_time_ms(entry, "time");
        if (json_is_object(entry)) {
            each(&current);
        } else {
            meta_add_unknown(&current, provider, "entry", entry);
        }
    }
    return ERR_NONE;
}

/* Whichever product the body is about: one callback URL of a Meta app can serve all three. */
static err_t parse_any(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    json_t *root CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &root, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const char *object = json_str_or(root, "object", "");
    if (strcmp(object, "page") == 0) {
        return channel_messenger.parse(w, settings, events, reterr);
    }
    if (strcmp(object, "instagram") == 0) {
        return channel_instagram.parse(w, settings, events, reterr);
    }
    return channel_whatsapp.parse(w, settings, events, reterr);
}

static const struct channel_setting settings_of_meta[] = {
    { "app_secret", SETTING_SECRETS, true, "the app secret of the Meta app that owns the subscription" },
    { "app_secrets", SETTING_SECRETS, false, "more app secrets that are accepted, while one is being replaced" },
    { "verify_token", SETTING_SECRET, true, "the token of the subscription handshake, your own choice" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_meta = {
    .name = "meta",
    .provider = "meta",
    .settings = settings_of_meta,
    .verify = meta_verify,
    .handshake = meta_handshake,
    .parse = parse_any,
    .sign = meta_sign,
};
