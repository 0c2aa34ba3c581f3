#include "channel/signature.h"

#include "base/text.h"

#include <inttypes.h>
#include <strings.h>

err_t signature_secrets(const json_t *settings, struct secret_list *ret_list, struct error *reterr)
{
    static const char *const names[] = { "signing_secrets", NULL };
    return secrets_read(settings, names, ret_list, reterr);
}

void signature_compute(enum hash_kind hash, const struct secret_list *keys, const struct bytes *parts, size_t count,
                       struct signature_macs *ret_macs)
{
    ret_macs->count = keys->count;
    ret_macs->size = hash_size(hash);
    for (size_t i = 0; i < keys->count; i++) {
        crypto_hmac(hash, keys->secrets[i], parts, count, ret_macs->mac[i]);
    }
}

static bool decode(struct bytes text, enum signature_encoding encoding, struct buf *out)
{
    switch (encoding) {
    case SIGNATURE_HEX:
        return text_decode_hex(text, out);
    case SIGNATURE_BASE64:
        return text_decode_base64(text, out);
    case SIGNATURE_BASE64URL:
        return text_decode_base64url(text, out);
    }
    return false;
}

bool signature_matches(const struct signature_macs *macs, enum signature_encoding encoding, struct bytes candidate)
{
    struct buf decoded CLEANUP(buf_done);
    buf_init(&decoded, HASH_MAX_SIZE);
    if (!decode(candidate, encoding, &decoded) || decoded.overflowed || decoded.len != macs->size) {
        return false;
    }

    bool matches = false;
    for (size_t i = 0; i < macs->count; i++) {
        matches |= crypto_equal(buf_bytes(&decoded), (struct bytes){ (const char *)macs->mac[i], macs->size });
    }
    return matches;
}

struct header_search {
    const struct signature_macs *macs;
    struct bytes prefix;
    enum signature_encoding encoding;
    bool seen;
};

static bool value_matches(struct bytes value, void *arg)
{
    struct header_search *search = arg;
    search->seen = true;
    while (value.len > 0) {
        struct bytes candidate = text_trim(text_next_field(&value, ','));
        struct bytes beginning = { candidate.ptr,
                                   candidate.len < search->prefix.len ? candidate.len : search->prefix.len };
        if (!text_equal_ignore_case(beginning, search->prefix)) {
            continue;
        }
        candidate.ptr += search->prefix.len;
        candidate.len -= search->prefix.len;
        if (signature_matches(search->macs, search->encoding, candidate)) {
            return true;
        }
    }
    return false;
}

err_t signature_check_header(const struct webhook *w, const char *header, const char *prefix,
                             enum signature_encoding encoding, const struct signature_macs *macs, struct error *reterr)
{
    struct header_search search = { .macs = macs, .prefix = bytes_of(prefix), .encoding = encoding };
    if (header_any(w, header, value_matches, &search)) {
        return ERR_NONE;
    }
    if (!search.seen) {
        return fail(reterr, ERR_DENIED, "the header %s is missing", header);
    }
    return fail(reterr, ERR_DENIED, "no signature in %s matches", header);
}

err_t signature_tolerance(const json_t *settings, msec_t fallback, msec_t *ret_tolerance, struct error *reterr)
{
    const json_t *value = json_object_get(settings, "tolerance");
    msec_t tolerance = 0;
    if (value == NULL || json_is_null(value)) {
        tolerance = fallback;
    } else if (json_is_string(value)) {
        int64_t parsed = 0;
        if (text_to_duration(bytes_of(json_string_value(value)), &parsed)) {
            tolerance = parsed;
        }
    }
    if (tolerance <= 0) {
        return fail(reterr, ERR_INTERNAL,
                    "the setting tolerance is not a positive duration\n"
                    "HINT: write it with its unit, like \"300s\"");
    }
    *ret_tolerance = tolerance;
    return ERR_NONE;
}

/* Floors, also before 1970, so that a window of n seconds means whole seconds. */
static int64_t seconds_of(msec_t at)
{
    return at >= 0 ? at / 1000 : -((-at + 999) / 1000);
}

err_t signature_check_time(struct bytes seconds, msec_t now, msec_t window_back, msec_t window_ahead,
                           struct error *reterr)
{
    uint64_t at;
    /* 9999-12-31: what is beyond is no time, and the subtraction below cannot overflow */
    if (!text_to_u64(seconds, &at) || at > 253402300799) {
        return fail(reterr, ERR_DENIED, "the timestamp is not a number of seconds");
    }
    int64_t age = seconds_of(now) - (int64_t)at;
    if (age > window_back / 1000) {
        return fail(reterr, ERR_DENIED, "the timestamp is too old: %" PRId64 " s", age);
    }
    if (window_ahead >= 0 && -age > window_ahead / 1000) {
        return fail(reterr, ERR_DENIED, "the timestamp is too far in the future: %" PRId64 " s", -age);
    }
    return ERR_NONE;
}

void signature_add(struct buf *out, enum hash_kind hash, enum signature_encoding encoding, struct bytes key,
                   const struct bytes *parts, size_t count)
{
    unsigned char mac[HASH_MAX_SIZE];
    crypto_hmac(hash, key, parts, count, mac);
    struct bytes bytes = { (const char *)mac, hash_size(hash) };
    switch (encoding) {
    case SIGNATURE_HEX:
        text_encode_hex(bytes, out);
        break;
    case SIGNATURE_BASE64:
        text_encode_base64(bytes, out);
        break;
    case SIGNATURE_BASE64URL:
        text_encode_base64url(bytes, out);
        break;
    }
}

err_t signature_require_secret(struct bytes secret, struct error *reterr)
{
    return secret.len > 0 ? ERR_NONE : fail(reterr, ERR_INVALID, "the secret is empty");
}

err_t body_signature_verify(const struct body_signature *scheme, const struct webhook *w, const json_t *settings,
                            struct error *reterr)
{
    struct secret_list secrets;
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct signature_macs macs;
    signature_compute(scheme->hash, &secrets, &w->body, 1, &macs);
    return signature_check_header(w, scheme->header, scheme->prefix, scheme->encoding, &macs, reterr);
}

err_t body_signature_sign(const struct body_signature *scheme, const struct webhook *w, struct bytes secret,
                          struct buf *headers, struct error *reterr)
{
    err_t err = signature_require_secret(secret, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    buf_addf(headers, "%s: %s", scheme->header, scheme->prefix);
    signature_add(headers, scheme->hash, scheme->encoding, secret, &w->body, 1);
    buf_add_char(headers, '\n');
    return ERR_NONE;
}
