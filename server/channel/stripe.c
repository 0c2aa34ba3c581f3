/* Stripe: the signature, and the kind. Parsing is in stripe_parse.c and stripe_objects.c.
 *
 * Stripe-Signature is "t=UNIX,v1=HEX[,v1=HEX]"; signed are t, a full stop and the body, with the whole secret string,
 * `whsec_` included, as the key. Schemes other than v1 are ignored, so that nobody can choose a weaker one.
 * Like Stripe's own libraries we bound only the age: a signature from the future is still Stripe's.
 */
#include "channel/kinds.h"
#include "channel/signature.h"
#include "channel/stripe_parse.h"

#include "base/text.h"

#include <inttypes.h>

struct stripe_check {
    const struct secret_list *secrets;
    struct bytes body;
    msec_t now;
    msec_t tolerance;
    unsigned passes;
    bool seen;
    struct error why; /* of the last value that failed */
};

static bool has_scheme(struct bytes list, const char *scheme)
{
    while (list.len > 0) {
        struct bytes value = text_next_field(&list, ',');
        if (bytes_equal(text_trim(text_next_field(&value, '=')), bytes_of(scheme))) {
            return true;
        }
    }
    return false;
}

static bool header_is_genuine(struct bytes header, void *arg)
{
    struct stripe_check *check = arg;
    check->seen = true;

    struct bytes timestamp = { NULL, 0 };
    for (struct bytes rest = header; rest.len > 0;) {
        struct bytes value = text_next_field(&rest, ',');
        if (bytes_equal(text_trim(text_next_field(&value, '=')), BYTES_LITERAL("t"))) {
            timestamp = text_trim(value);
        }
    }
    if (!has_scheme(header, "v1")) {
        (void)fail(&check->why, ERR_DENIED, "Stripe-Signature has no v1 signature");
        return false;
    }
    if (signature_check_time(timestamp, check->now, check->tolerance, -1, &check->why) != ERR_NONE) {
        return false;
    }
    if (check->passes++ >= SIGNATURE_MAX_PASSES) {
        (void)fail(&check->why, ERR_DENIED, "Stripe-Signature comes too often");
        return false;
    }

    struct bytes parts[] = { timestamp, BYTES_LITERAL("."), check->body };
    struct signature_macs macs;
    signature_compute(HASH_SHA256, check->secrets, parts, ARRAY_LEN(parts), &macs);
    for (struct bytes rest = header; rest.len > 0;) {
        struct bytes value = text_next_field(&rest, ',');
        struct bytes name = text_trim(text_next_field(&value, '='));
        if (bytes_equal(name, BYTES_LITERAL("v1")) && signature_matches(&macs, SIGNATURE_HEX, text_trim(value))) {
            return true;
        }
    }
    (void)fail(&check->why, ERR_DENIED, "no signature in Stripe-Signature matches");
    return false;
}

static err_t stripe_verify(const struct webhook *w, const json_t *settings, struct error *reterr)
{
    struct secret_list secrets;
    struct stripe_check check = { .secrets = &secrets, .body = w->body, .now = w->now };
    err_t err = signature_secrets(settings, &secrets, reterr);
    if (err == ERR_NONE) {
        err = signature_tolerance(settings, SIGNATURE_TOLERANCE_MS, &check.tolerance, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (header_any(w, "Stripe-Signature", header_is_genuine, &check)) {
        return ERR_NONE;
    }
    if (!check.seen) {
        return fail(reterr, ERR_DENIED, "the header Stripe-Signature is missing");
    }
    return fail(reterr, ERR_DENIED, "%s", check.why.text);
}

static err_t stripe_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr)
{
    err_t err = signature_require_secret(secret, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    char timestamp[32];
    (void)snprintf(timestamp, sizeof(timestamp), "%" PRId64, w->now / 1000);
    struct bytes parts[] = { bytes_of(timestamp), BYTES_LITERAL("."), w->body };
    buf_addf(headers, "Stripe-Signature: t=%s,v1=", timestamp);
    signature_add(headers, HASH_SHA256, SIGNATURE_HEX, secret, parts, ARRAY_LEN(parts));
    buf_add_char(headers, '\n');
    return ERR_NONE;
}

static const struct channel_setting settings[] = {
    SIGNING_SECRETS_SETTING("the endpoint's signing secret (whsec_…); a list while it is being rolled"),
    TOLERANCE_SETTING("how old a signature may be; default 300s"),
    { NULL, SETTING_TEXT, false, NULL },
};

const struct channel_kind channel_stripe = {
    .name = "stripe",
    .provider = "stripe",
    .settings = settings,
    .verify = stripe_verify,
    .parse = stripe_parse,
    .sign = stripe_sign,
};
