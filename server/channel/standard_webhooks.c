/* Standard Webhooks, and the senders that follow it: kinds `standard_webhooks`, `svix` and `polar`.
 *
 * Signed are id, timestamp and body, joined by full stops, with the header texts as they arrived. The signature header
 * is a list of "VERSION,BASE64" separated by spaces: v1 is HMAC-SHA256 under the base64-decoded secret after `whsec_`,
 * v1a is Ed25519 under a public key `whpk_` + base64. Other versions are skipped. The svix-* headers win over webhook-*
 * when both sets are complete, as in Svix's library. (github.com/standard-webhooks, npm svix)
 *
 * Polar keyed with the text of the whole secret at first and with the decoded one later; its library tries both.
 */
#include "channel/kinds.h"
#include "channel/polar_parse.h"
#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>

#define ED25519_KEY_SIZE 32
#define ED25519_SIGNATURE_SIZE 64
#define LONGEST_SECRET 512
#define MAX_KEYS MAX_MACS

struct signed_headers {
    struct bytes id;
    struct bytes timestamp;
    const char *signature_header;
};

static bool find_headers(const struct webhook *w, struct signed_headers *ret_headers)
{
    static const char *const names[][3] = {
        { "svix-id", "svix-timestamp", "svix-signature" },
        { "webhook-id", "webhook-timestamp", "webhook-signature" },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *id = webhook_header_value(w, names[i][0]);
        const char *timestamp = webhook_header_value(w, names[i][1]);
        const char *signature = webhook_header_value(w, names[i][2]);
        if (id && *id && timestamp && *timestamp && signature && *signature) {
            *ret_headers = (struct signed_headers){ bytes_of(id), bytes_of(timestamp), names[i][2] };
            return true;
        }
    }
    return false;
}

/* One key, decoded. */
struct key {
    bool is_public; /* Ed25519 */
    struct buf bytes;
};

struct keys {
    struct key key[MAX_KEYS];
    size_t count;
};

static void keys_done(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        crypto_wipe(keys->key[i].bytes.ptr, keys->key[i].bytes.len);
        buf_done(&keys->key[i].bytes);
    }
}

/* Takes over `bytes` when it is usable. */
static void add_key(struct keys *keys, bool is_public, struct buf *bytes)
{
    if (bytes->len == 0 || bytes->overflowed || keys->count == MAX_KEYS) {
        buf_done(bytes);
        return;
    }
    keys->key[keys->count++] = (struct key){ is_public, *bytes };
}

static void add_secret(struct keys *keys, struct bytes secret, bool text_is_key)
{
    struct buf decoded;
    buf_init(&decoded, LONGEST_SECRET);
    struct bytes prefix = BYTES_LITERAL("whpk_");
    bool is_public = bytes_start_with(secret, prefix);
    struct bytes encoded = secret;
    if (is_public || bytes_start_with(secret, BYTES_LITERAL("whsec_"))) {
        size_t length = is_public ? prefix.len : strlen("whsec_");
        encoded = (struct bytes){ secret.ptr + length, secret.len - length };
    }
    if (!text_decode_base64(encoded, &decoded) || (is_public && decoded.len != ED25519_KEY_SIZE)) {
        buf_clear(&decoded);
    }
    add_key(keys, is_public, &decoded);

    if (text_is_key && !is_public) {
        struct buf text;
        buf_init(&text, LONGEST_SECRET);
        buf_add_bytes(&text, secret);
        add_key(keys, false, &text);
    }
}

struct signature_check {
    struct signature_macs macs;
    const struct keys *keys;
    struct bytes content;
    unsigned passes; /* of signatures that are no MAC */
};

static bool matches_v1a(struct signature_check *check, struct bytes encoded)
{
    struct buf signature CLEANUP(buf_done);
    buf_init(&signature, ED25519_SIGNATURE_SIZE);
    if (!text_decode_base64(encoded, &signature) || signature.overflowed || signature.len != ED25519_SIGNATURE_SIZE ||
        check->passes++ >= SIGNATURE_MAX_PASSES) {
        return false;
    }
    for (size_t i = 0; i < check->keys->count; i++) {
        const struct key *key = &check->keys->key[i];
        if (key->is_public && crypto_verify_ed25519(buf_bytes(&key->bytes), check->content, buf_bytes(&signature))) {
            return true;
        }
    }
    return false;
}

/* Proxies join a header that comes twice with a comma and a space. */
static bool value_matches(struct bytes list, void *arg)
{
    struct signature_check *check = arg;
    while (list.len > 0) {
        struct bytes encoded = text_trim(text_next_field(&list, ' '));
        while (encoded.len > 0 && encoded.ptr[encoded.len - 1] == ',') {
            encoded.len--;
        }
        struct bytes version = text_next_field(&encoded, ',');
        if (bytes_equal(version, BYTES_LITERAL("v1")) && check->macs.count > 0 &&
            signature_matches(&check->macs, SIGNATURE_BASE64, encoded)) {
            return true;
        }
        if (bytes_equal(version, BYTES_LITERAL("v1a")) && matches_v1a(check, encoded)) {
            return true;
        }
    }
    return false;
}

static err_t verify_with(const struct webhook *w, const struct keys *keys, msec_t tolerance, struct error *reterr)
{
    struct signed_headers headers;
    if (!find_headers(w, &headers)) {
        return fail(reterr, ERR_DENIED, "a header is missing: webhook-id, webhook-timestamp or webhook-signature");
    }
    err_t err = signature_check_time(headers.timestamp, w->now, tolerance, tolerance, reterr);
    if (err != ERR_NONE) {
        return err;
    }

    struct bytes parts[] = { headers.id, BYTES_LITERAL("."), headers.timestamp, BYTES_LITERAL("."), w->body };
    struct signature_check check = { .keys = keys };
    check.macs.size = hash_size(HASH_SHA256);
    bool has_public = false;
    for (size_t i = 0; i < keys->count; i++) {
        has_public |= keys->key[i].is_public;
        if (!keys->key[i].is_public) {
            crypto_hmac(HASH_SHA256, buf_bytes(&keys->key[i].bytes), parts, ARRAY_LEN(parts),
                        check.macs.mac[check.macs.count++]);
        }
    }
    struct buf content CLEANUP(buf_done);
    buf_init(&content, SIZE_MAX);
    for (size_t i = 0; has_public && i < ARRAY_LEN(parts); i++) {
        buf_add_bytes(&content, parts[i]); /* Ed25519 wants the message in one piece */
    }
    check.content = buf_bytes(&content);

    if (header_any(w, headers.signature_header, value_matches, &check)) {
        return ERR_NONE;
    }
    return fail(reterr, ERR_DENIED, "no signature in %s matches", headers.signature_header);
}

static err_t verify(const struct webhook *w, const json_t *settings, bool text_is_key, struct error *reterr)
{
    struct secret_list secrets;
    msec_t tolerance = 0;
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err == ERR_NONE) {
        err = signature_tolerance(settings, SIGNATURE_TOLERANCE_MS, &tolerance, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }

    struct keys keys CLEANUP(keys_done) = { .count = 0 };
    for (size_t i = 0; i < secrets.count; i++) {
        add_secret(&keys, secrets.secrets[i], text_is_key);
    }
    if (keys.count == 0) {
        return fail(reterr, ERR_DENIED, "no secret is usable: it must be whsec_ and base64");
    }
    return verify_with(w, &keys, tolerance, reterr);
}

static err_t standard_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    return verify(w, settings, false, reterr);
}

static err_t polar_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    return verify(w, settings, true, reterr);
}

/* A sender chooses an id for each message; ours comes from the body, so that signing is repeatable. */
static void add_message_id(const struct webhook *w, const char *id_header, struct buf *id)
{
    const char *given = webhook_header_value(w, id_header);
    given = given ? given : webhook_header_value(w, "webhook-id");
    if (given && *given) {
        buf_add_text(id, given);
        return;
    }
    unsigned char digest[SHA256_SIZE];
    crypto_hash(HASH_SHA256, &w->body, 1, digest);
    buf_add_text(id, "msg_");
    text_encode_hex((struct bytes){ (const char *)digest, 16 }, id);
}

static err_t sign(const struct webhook *w, const char *family, struct bytes secret, bool text_is_key,
                  struct buf *headers, struct error *reterr)
{
    struct keys keys CLEANUP(keys_done) = { .count = 0 };
    add_secret(&keys, secret, text_is_key);
    if (keys.count == 0 || keys.key[0].is_public) {
        return fail(reterr, ERR_INVALID, "the secret cannot sign: it must be whsec_ and base64");
    }
    struct bytes key = buf_bytes(&keys.key[keys.count - 1].bytes); /* Polar's text form comes last */

    char id_header[32];
    (void)snprintf(id_header, sizeof(id_header), "%s-id", family);
    struct buf id CLEANUP(buf_done);
    buf_init(&id, 256);
    add_message_id(w, id_header, &id);
    char timestamp[32];
    (void)snprintf(timestamp, sizeof(timestamp), "%" PRId64, w->now / 1000);

    struct bytes parts[] = { buf_bytes(&id), BYTES_LITERAL("."), bytes_of(timestamp), BYTES_LITERAL("."), w->body };
    buf_addf(headers, "%s: %s\n%s-timestamp: %s\n%s-signature: v1,", id_header, id.ptr, family, timestamp, family);
    signature_add(headers, HASH_SHA256, SIGNATURE_BASE64, key, parts, ARRAY_LEN(parts));
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

static err_t standard_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return sign(w, "webhook", secret, false, headers, reterr);
}

static err_t svix_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return sign(w, "svix", secret, false, headers, reterr);
}

static err_t polar_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    return sign(w, "webhook", secret, true, headers, reterr);
}

/* The envelope is {"type", "timestamp", "data"}; what is in `data` only a rule of the operator can know. */
static err_t standard_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    err_t err = json_parse(w->body, &body, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    standard_webhooks_key(w, &key);
    const char *type = json_str(body, "type");
    event_add_unknown(events, w, "standard_webhooks", type ? type : json_str(body, "event_type"), key.ptr,
                      event_time_s(body, "timestamp"), body);
    return ERR_NONE;
}

/* The id that was signed: one beside it, of a set that is not complete, is anybody's. What is parsed by hand need not
 * have a signature. */
void standard_webhooks_key(const struct webhook *w, struct buf *ret_key)
{
    struct signed_headers headers;
    buf_init(ret_key, SIZE_MAX);
    const char *id = webhook_header_value(w, "svix-id");
    id = id && *id ? id : webhook_header_value(w, "webhook-id");
    if (find_headers(w, &headers)) {
        buf_add_bytes(ret_key, headers.id);
    } else if (id && *id) {
        buf_add_text(ret_key, id);
    } else {
        event_key_of_bytes(ret_key, w->body);
    }
}

/* A secret that is no key would refuse every webhook, long after the configuration was loaded. */
static err_t standard_check(const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    if (signature_secrets(settings, &secrets, NULL) != ERR_NONE) {
        return ERR_NONE; /* none at all: said elsewhere */
    }
    for (size_t i = 0; i < secrets.count; i++) {
        struct keys keys CLEANUP(keys_done) = { .count = 0 };
        add_secret(&keys, secrets.secrets[i], false);
        if (keys.count == 0) {
            return fail(reterr, ERR_INVALID,
                        "signing_secrets: secret %zu is no key: it must be base64 after whsec_ or whpk_\n"
                        "HINT: copy it whole; a secret that is used as it is, without decoding, is kind hmac or stripe",
                        i + 1);
        }
    }
    return ERR_NONE;
}

static const struct channel_setting standard_settings[] = {
    SIGNING_SECRETS_SETTING("the secret (whsec_…) or, for v1a signatures, the public key (whpk_…); one or a list"),
    TOLERANCE_SETTING("how far the timestamp may be from now, both ways; default 300s"),
    { NULL, SETTING_TEXT, false, NULL },
};

static const struct channel_setting polar_settings[] = {
    SIGNING_SECRETS_SETTING("the endpoint's secret as Polar shows it; one or a list"),
    TOLERANCE_SETTING("how far the timestamp may be from now, both ways; default 300s"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_standard_webhooks = {
    .name = "standard_webhooks",
    .provider = "standard_webhooks",
    .settings = standard_settings,
    .check = standard_check,
    .verify = standard_verify,
    .parse = standard_parse,
    .sign = standard_sign,
};

const struct channel_kind channel_svix = {
    .name = "svix",
    .provider = "standard_webhooks",
    .settings = standard_settings,
    .check = standard_check,
    .verify = standard_verify,
    .parse = standard_parse,
    .sign = svix_sign,
};

const struct channel_kind channel_polar = {
    .name = "polar",
    .provider = "polar",
    .settings = polar_settings,
    .verify = polar_verify,
    .parse = polar_parse,
    .sign = polar_sign,
};
