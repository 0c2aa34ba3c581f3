/* What the signature schemes of payment providers share: MACs under several secrets, candidates in several headers, and
 * time windows.
 *
 * A request passes when any candidate signature matches the MAC under any active secret. Signatures are decoded first
 * and compared in constant time; one of another length never matches. Everything else is ERR_DENIED with the reason.
 */
#ifndef CHANNEL_SIGNATURE_H
#define CHANNEL_SIGNATURE_H

#include "channel/secrets.h"
#include "io/crypto.h"

#define SIGNATURE_TOLERANCE_MS 300000

/* Candidates of one request that each cost a pass over the body, because each has its own timestamp or is no MAC. A
 * header may come a hundred times, and nothing is proved yet; senders have two while they replace a secret. */
#define SIGNATURE_MAX_PASSES 4

/* The setting that all kinds with signing secrets have in common. */
#define SIGNING_SECRETS_SETTING(help_text)                                                                             \
    {                                                                                                                  \
        "signing_secrets", SETTING_SECRETS, true, help_text                                                            \
    }
#define TOLERANCE_SETTING(help_text)                                                                                   \
    {                                                                                                                  \
        "tolerance", SETTING_DURATION, false, help_text                                                                \
    }

enum signature_encoding { SIGNATURE_HEX, SIGNATURE_BASE64, SIGNATURE_BASE64URL };

#define MAX_MACS (2 * MAX_SECRETS) /* a scheme may read one secret in two ways */

/* The MACs of one request, one for each key. */
struct signature_macs {
    unsigned char mac[MAX_MACS][HASH_MAX_SIZE];
    size_t count;
    size_t size; /* of each, in bytes */
};

/* The secrets under `signing_secrets`; ERR_DENIED when there is none, so that a forgotten secret lets nothing in. */
err_t signature_secrets(const json_t *settings, struct secret_list *ret_list, struct error *reterr) MUST_CHECK;

/* MACs of the concatenated parts under each key. */
void signature_compute(enum hash_kind hash, const struct secret_list *keys, const struct bytes *parts, size_t count,
                       struct signature_macs *ret_macs);

/* Is `candidate` one of the MACs? False for what cannot be decoded. */
bool signature_matches(const struct signature_macs *macs, enum signature_encoding encoding, struct bytes candidate);

/* Looks for a match in all values of a header; a value may be a list joined with commas, as proxies do with repeated
 * headers. A candidate must start with `prefix`, which may be "". */
err_t signature_check_header(const struct webhook *w, const char *header, const char *prefix,
                             enum signature_encoding encoding, const struct signature_macs *macs, struct error *reterr);

/* The setting `tolerance`, or `fallback`. ERR_INTERNAL when it is set to something that is no positive duration. */
err_t signature_tolerance(const json_t *settings, msec_t fallback, msec_t *ret_tolerance, struct error *reterr);

/* Reads unix seconds (digits only) and checks them against the request's time; `window_ahead` < 0 does not limit how
 * far they may be in the future. Whole seconds are compared, as the providers' own libraries do. */
err_t signature_check_time(struct bytes seconds, msec_t now, msec_t window_back, msec_t window_ahead,
                           struct error *reterr);

/* Appends the encoded MAC of the parts under one key, for signing. */
void signature_add(struct buf *out, enum hash_kind hash, enum signature_encoding encoding, struct bytes key,
                   const struct bytes *parts, size_t count);

/* --- the most common scheme: one header holds the MAC of the body ------------------------------------------------- */

struct body_signature {
    const char *header;
    const char *prefix;
    enum hash_kind hash;
    enum signature_encoding encoding;
};

err_t body_signature_verify(const struct body_signature *scheme, const struct webhook *w, const json_t *settings,
                            struct error *reterr);
err_t body_signature_sign(const struct body_signature *scheme, const struct webhook *w, struct bytes secret,
                          struct buf *headers, struct error *reterr);

/* ERR_INVALID for an empty secret: nothing is signed with it. */
err_t signature_require_secret(struct bytes secret, struct error *reterr);

#endif
