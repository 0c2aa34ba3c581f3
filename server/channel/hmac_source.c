/* Kind `hmac`: any sender that signs with a shared secret, described by settings.
 *
 *   source "zendesk" { kind = "hmac", signing_secrets = env "ZENDESK_SECRET", header = "X-Zendesk-Webhook-Signature",
 *                      encoding = "base64", timestamp_header = "X-Zendesk-Webhook-Signature-Timestamp",
 *                      signed = "{timestamp}{body}", time_format = "iso" }
 *
 * `signed` is the text that the sender signs, with {body}, {timestamp}, {id} and {url} in it. Its default is
 * "{timestamp}.{body}" when there is a timestamp header, else "{body}". A signed text without the body would accept any
 * body, and a timestamp that is not signed proves nothing: both are refused as wrong settings.
 *
 * Each request becomes one event `webhook.SOURCE`. Its body is the JSON document, or an object with a form's fields.
 * What is called a form and is a whole JSON document is JSON: `curl -d` and many a script call whatever they send a
 * form.
 */
#include "channel/event.h"
#include "channel/kinds.h"
#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>
#include <strings.h>

#define MAX_PARTS 16
#define LONGEST_SECRET 1024
#define MAX_FORM_FIELDS 256

struct scheme {
    const char *header;
    const char *prefix;
    enum hash_kind hash;
    enum signature_encoding encoding;
    const char *timestamp_header; /* NULL: none */
    const char *id_header;        /* NULL: none */
    const char *format;           /* what is signed */
    enum { SECRET_TEXT, SECRET_HEX, SECRET_BASE64 } secret_encoding;
    bool iso_time;
    msec_t tolerance;
};

/* The index of the setting's value in the list; `fallback` when it is not set. */
static err_t read_choice(const json_t *settings, const char *name, const char *const *choices, unsigned fallback,
                         unsigned *ret_choice, struct error *reterr)
{
    const json_t *value = json_object_get(settings, name);
    if (value == NULL) {
        *ret_choice = fallback;
        return ERR_NONE;
    }
    const char *text = json_string_value(value);
    struct buf known CLEANUP(buf_done);
    buf_init(&known, 256);
    for (unsigned i = 0; choices[i]; i++) {
        if (text && strcasecmp(text, choices[i]) == 0) {
            *ret_choice = i;
            return ERR_NONE;
        }
        buf_addf(&known, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return fail(reterr, ERR_INTERNAL, "the setting %s is '%s'\nHINT: it is one of %s", name, text ? text : "not a text",
                known.ptr);
}

static const char *read_text(const json_t *settings, const char *name)
{
    const char *text = json_str(settings, name);
    return text && *text ? text : NULL;
}

static err_t check_format(const struct scheme *scheme, struct error *reterr)
{
    static const char *const placeholders[] = { "{body}", "{timestamp}", "{id}", "{url}" };
    size_t parts = 0;
    for (const char *p = scheme->format; (p = strchr(p, '{')) != NULL; p++) {
        bool known = false;
        for (size_t i = 0; i < ARRAY_LEN(placeholders); i++) {
            known |= strncmp(p, placeholders[i], strlen(placeholders[i])) == 0;
        }
        if (!known) {
            return fail(reterr, ERR_INTERNAL,
                        "the setting signed has an unknown placeholder at '%.20s'\n"
                        "HINT: known are {body}, {timestamp}, {id} and {url}",
                        p);
        }
        parts += 2; /* the placeholder, and a text before it */
    }
    if (parts >= MAX_PARTS) {
        return fail(reterr, ERR_INTERNAL, "the setting signed has too many placeholders");
    }
    if (strstr(scheme->format, "{body}") == NULL) {
        return fail(reterr, ERR_INTERNAL, "the setting signed has no {body}: every body would be accepted");
    }
    bool signs_time = strstr(scheme->format, "{timestamp}") != NULL;
    if (signs_time != (scheme->timestamp_header != NULL)) {
        return fail(reterr, ERR_INTERNAL,
                    signs_time
                        ? "the setting signed has a {timestamp}, but timestamp_header is not set"
                        : "timestamp_header is set, but the setting signed has no {timestamp}: it proves nothing");
    }
    if (strstr(scheme->format, "{id}") && scheme->id_header == NULL) {
        return fail(reterr, ERR_INTERNAL, "the setting signed has an {id}, but id_header is not set");
    }
    return ERR_NONE;
}

static err_t read_scheme(const json_t *settings, struct scheme *ret_scheme, struct error *reterr)
{
    static const char *const algorithms[] = { "sha1", "sha256", "sha512", NULL };
    static const enum hash_kind hashes[] = { HASH_SHA1, HASH_SHA256, HASH_SHA512 };
    static const char *const encoding_names[] = { "hex", "base64", "base64url", NULL };
    static const enum signature_encoding encodings[] = { SIGNATURE_HEX, SIGNATURE_BASE64, SIGNATURE_BASE64URL };
    static const char *const secret_encodings[] = { "text", "hex", "base64", NULL };
    static const char *const time_formats[] = { "unix", "iso", NULL };

    struct scheme scheme = { .tolerance = SIGNATURE_TOLERANCE_MS };
    unsigned algorithm = 0, encoding = 0, secret_encoding = 0, time_format = 0;
    err_t err = read_choice(settings, "algorithm", algorithms, 1, &algorithm, reterr);
    if (err == ERR_NONE) {
        err = read_choice(settings, "encoding", encoding_names, 0, &encoding, reterr);
    }
    if (err == ERR_NONE) {
        err = read_choice(settings, "secret_encoding", secret_encodings, 0, &secret_encoding, reterr);
    }
    if (err == ERR_NONE) {
        err = read_choice(settings, "time_format", time_formats, 0, &time_format, reterr);
    }
    if (err == ERR_NONE) {
        err = signature_tolerance(settings, SIGNATURE_TOLERANCE_MS, &scheme.tolerance, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    scheme.hash = hashes[algorithm];
    scheme.encoding = encodings[encoding];
    scheme.secret_encoding = secret_encoding == 0 ? SECRET_TEXT : secret_encoding == 1 ? SECRET_HEX : SECRET_BASE64;
    scheme.iso_time = time_format == 1;
    scheme.header = json_str_or(settings, "header", "X-Signature");
    scheme.prefix = json_str_or(settings, "prefix", "");
    scheme.timestamp_header = read_text(settings, "timestamp_header");
    scheme.id_header = read_text(settings, "id_header");
    const char *format = read_text(settings, "signed");
    scheme.format = format ? format : scheme.timestamp_header ? "{timestamp}.{body}" : "{body}";
    if (*scheme.header == '\0') {
        return fail(reterr, ERR_INTERNAL, "the setting header is empty");
    }
    err = check_format(&scheme, reterr);
    if (err == ERR_NONE) {
        *ret_scheme = scheme;
    }
    return err;
}

/* Cuts the format into texts and the values of its placeholders; returns how many parts there are. */
static size_t signed_parts(const struct scheme *scheme, const struct webhook *w, const char *timestamp, const char *id,
                           struct bytes *parts)
{
    const struct {
        struct bytes name;
        struct bytes value;
    } placeholders[] = {
        { BYTES_LITERAL("{body}"), w->body },
        { BYTES_LITERAL("{timestamp}"), bytes_of(timestamp) },
        { BYTES_LITERAL("{id}"), bytes_of(id) },
        { BYTES_LITERAL("{url}"), bytes_of(w->url) },
    };
    struct bytes rest = bytes_of(scheme->format);
    size_t count = 0;
    while (rest.len > 0) {
        const char *brace = memchr(rest.ptr, '{', rest.len);
        size_t text = brace ? (size_t)(brace - rest.ptr) : rest.len;
        parts[count++] = (struct bytes){ rest.ptr, text };
        rest.ptr += text;
        rest.len -= text;
        for (size_t i = 0; i < ARRAY_LEN(placeholders) && rest.len > 0; i++) {
            if (bytes_start_with(rest, placeholders[i].name)) {
                parts[count++] = placeholders[i].value;
                rest.ptr += placeholders[i].name.len;
                rest.len -= placeholders[i].name.len;
                break;
            }
        }
    }
    return count;
}

/* The key bytes of one secret; false when it is not in the configured encoding, or empty. */
static bool read_key(const struct scheme *scheme, struct bytes secret, struct buf *key)
{
    bool decoded = true;
    if (scheme->secret_encoding == SECRET_TEXT) {
        buf_add_bytes(key, secret);
    } else if (scheme->secret_encoding == SECRET_HEX) {
        decoded = text_decode_hex(secret, key);
    } else {
        decoded = text_decode_base64(secret, key);
    }
    return decoded && key->len > 0 && !key->overflowed;
}

static err_t check_time(const struct scheme *scheme, const char *text, msec_t now, struct error *reterr)
{
    if (!scheme->iso_time) {
        return signature_check_time(bytes_of(text), now, scheme->tolerance, scheme->tolerance, reterr);
    }
    msec_t at;
    if (!clock_parse_iso(bytes_of(text), &at)) {
        return fail(reterr, ERR_DENIED, "the timestamp is not an ISO 8601 time");
    }
    if (now - at > scheme->tolerance || at - now > scheme->tolerance) {
        return fail(reterr, ERR_DENIED, "the timestamp is %s", at < now ? "too old" : "too far in the future");
    }
    return ERR_NONE;
}

static err_t hmac_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct scheme scheme;
    struct secret_list secrets;
    err_t err = read_scheme(settings, &scheme, reterr);
    if (err == ERR_NONE) {
        err = signature_secrets(settings, &secrets, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }

    const char *timestamp = scheme.timestamp_header ? webhook_header_value(w, scheme.timestamp_header) : NULL;
    const char *id = scheme.id_header ? webhook_header_value(w, scheme.id_header) : NULL;
    if (scheme.timestamp_header) {
        if (timestamp == NULL || *timestamp == '\0') {
            return fail(reterr, ERR_DENIED, "the header %s is missing", scheme.timestamp_header);
        }
        err = check_time(&scheme, timestamp, w->now, reterr);
        if (err != ERR_NONE) {
            return err;
        }
    }
    if (strstr(scheme.format, "{id}") && (id == NULL || *id == '\0')) {
        return fail(reterr, ERR_DENIED, "the header %s is missing", scheme.id_header);
    }
    if (strstr(scheme.format, "{url}") && (w->url == NULL || *w->url == '\0')) {
        return fail(reterr, ERR_DENIED, "the public URL of this source is not known\nHINT: set http.public_url");
    }

    struct bytes parts[MAX_PARTS];
    size_t count = signed_parts(&scheme, w, timestamp, id, parts);
    struct signature_macs macs = { .count = 0, .size = hash_size(scheme.hash) };
    for (size_t i = 0; i < secrets.count; i++) {
        struct buf key CLEANUP(buf_done);
        buf_init(&key, LONGEST_SECRET);
        if (read_key(&scheme, secrets.secrets[i], &key)) {
            crypto_hmac(scheme.hash, buf_bytes(&key), parts, count, macs.mac[macs.count++]);
        }
        crypto_wipe(key.ptr, key.len);
    }
    if (macs.count == 0) {
        return fail(reterr, ERR_DENIED, "no secret can be decoded\nHINT: see the setting secret_encoding");
    }
    return signature_check_header(w, scheme.header, scheme.prefix, scheme.encoding, &macs, reterr);
}

static err_t hmac_sign(const struct webhook *w, const json_t *settings, struct bytes secret, struct buf *headers,
                       struct error *reterr)
{
    struct scheme scheme;
    err_t err = read_scheme(settings, &scheme, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    struct buf timestamp CLEANUP(buf_done);
    struct buf id CLEANUP(buf_done);
    buf_init(&key, LONGEST_SECRET);
    buf_init(&timestamp, 64);
    buf_init(&id, 256);
    if (!read_key(&scheme, secret, &key)) {
        return fail(reterr, ERR_INVALID, "the secret is empty or not in its encoding");
    }
    if (scheme.timestamp_header) {
        if (scheme.iso_time) {
            clock_add_iso(&timestamp, w->now);
        } else {
            buf_addf(&timestamp, "%" PRId64, w->now / 1000);
        }
        buf_addf(headers, "%s: %s\n", scheme.timestamp_header, timestamp.ptr);
    }
    if (scheme.id_header) {
        const char *given = webhook_header_value(w, scheme.id_header);
        given = given ? given : webhook_header_value(w, "webhook-id");
        if (given) {
            buf_add_text(&id, given);
        } else {
            event_key_of_bytes(&id, w->body);
        }
        buf_addf(headers, "%s: %s\n", scheme.id_header, id.ptr);
    }
    struct bytes parts[MAX_PARTS];
    size_t count = signed_parts(&scheme, w, timestamp.ptr, id.ptr, parts);
    buf_addf(headers, "%s: %s", scheme.header, scheme.prefix);
    signature_add(headers, scheme.hash, scheme.encoding, buf_bytes(&key), parts, count);
    buf_add_char(headers, '\n');
    crypto_wipe(key.ptr, key.len);
    return ERR_NONE;
}

static err_t hmac_check(const json_t *settings, struct error *reterr)
{
    struct scheme scheme;
    return read_scheme(settings, &scheme, reterr);
}

/* An object with the fields of an HTML form; NULL when it is none. New reference. */
static json_t *parse_form(struct bytes body)
{
    json_t *form = json_object();
    for (unsigned fields = 0; body.len > 0; fields++) {
        struct bytes value = text_next_field(&body, '&');
        struct bytes name = text_next_field(&value, '=');
        struct buf decoded_name CLEANUP(buf_done);
        struct buf decoded_value CLEANUP(buf_done);
        struct buf clean_name CLEANUP(buf_done);
        buf_init(&decoded_name, 1024);
        buf_init(&decoded_value, SIZE_MAX);
        buf_init(&clean_name, 4096);
        if (fields == MAX_FORM_FIELDS || name.len == 0 || !text_decode_percent(name, &decoded_name) ||
            !text_decode_percent(value, &decoded_value) || decoded_name.overflowed) {
            json_decref(form);
            return NULL;
        }
        text_add_clean(buf_bytes(&decoded_name), &clean_name);
        json_put_bytes(form, clean_name.ptr, buf_bytes(&decoded_value));
    }
    return form;
}

/* The first two characters that are no white space; '\0' where the body ends before. */
static void read_beginning(struct bytes body, char ret_beginning[2])
{
    unsigned found = 0;
    ret_beginning[0] = ret_beginning[1] = '\0';
    for (size_t i = 0; i < body.len && found < 2; i++) {
        char c = body.ptr[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            ret_beginning[found++] = c;
        }
    }
}

/* Forms have { and [ encoded. Where somebody forgot to, the body as a whole is still not JSON; but not even a careless
 * form begins with {" : that is JSON, cut off or otherwise broken. New reference in `*ret_body`. */
static err_t read_body(const struct webhook *w, json_t **ret_body, struct error *reterr)
{
    const char *content_type = webhook_header_value(w, "Content-Type");
    bool is_form = content_type && strncasecmp(content_type, "application/x-www-form-urlencoded", 33) == 0;
    char beginning[2];
    read_beginning(w->body, beginning);
    if (!is_form || beginning[0] == '{' || beginning[0] == '[') {
        err_t err = json_parse(w->body, ret_body, reterr);
        if (err == ERR_NONE || !is_form || (beginning[0] == '{' && beginning[1] == '"')) {
            return err;
        }
    }
    *ret_body = parse_form(w->body);
    return *ret_body ? ERR_NONE : fail(reterr, ERR_INVALID, "the body is not a form, as its Content-Type says");
}

static err_t hmac_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = read_body(w, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }

    const char *id_header = read_text(settings, "id_header");
    const char *type_header = read_text(settings, "type_header");
    const char *type_path = read_text(settings, "type");
    const char *type = type_header ? webhook_header_value(w, type_header) : NULL;
    type = type ? type : type_path ? json_string_value(json_at(body, type_path)) : json_str(body, "type");

    struct buf key CLEANUP(buf_done);
    buf_init(&key, SIZE_MAX);
    const char *id = id_header ? webhook_header_value(w, id_header) : NULL;
    const char *id_path = read_text(settings, "id");
    if (id && *id) {
        buf_add_text(&key, id);
    } else if (id_path) {
        event_id_text(json_at(body, id_path), &key);
    }
    if (key.len == 0) {
        event_key_of_bytes(&key, w->body);
    }
    event_add_unknown(events, w, "hmac", type, key.ptr, 0, body);
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the shared secret; one or a list"),
    { "header", SETTING_TEXT, false, "the header with the signature; default X-Signature" },
    { "algorithm", SETTING_TEXT, false, "sha1, sha256 (default) or sha512" },
    { "encoding", SETTING_TEXT, false,
      "of the signature: hex (default), base64 or base64url (- and _ for + and /); padding may be missing" },
    { "prefix", SETTING_TEXT, false, "what stands before the signature in the header, like sha256=" },
    { "secret_encoding", SETTING_TEXT, false, "of the secret: text (default), hex or base64" },
    { "signed", SETTING_TEXT, false,
      "what is signed, with {body}, {timestamp}, {id}, {url}; default {body}, or "
      "{timestamp}.{body} when timestamp_header is set" },
    { "timestamp_header", SETTING_TEXT, false, "the header with the time of signing" },
    { "time_format", SETTING_TEXT, false, "unix (seconds, default) or iso" },
    TOLERANCE_SETTING("how far the timestamp may be from now, both ways; default 300s"),
    { "id_header", SETTING_TEXT, false, "the header that names the event, for deduplication" },
    { "id", SETTING_TEXT, false, "where the body names the event, like data.id; without both the body's hash is used" },
    { "type_header", SETTING_TEXT, false, "the header with the event's type" },
    { "type", SETTING_TEXT, false, "where the body has the event's type, like event.name; default type" },
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_hmac = {
    .name = "hmac",
    .provider = "hmac",
    .settings = settings,
    .verify = hmac_verify,
    .parse = hmac_parse,
    .sign_as_configured = hmac_sign,
    .check = hmac_check,
};
