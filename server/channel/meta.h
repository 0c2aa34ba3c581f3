/* What WhatsApp, Messenger and Instagram have in common: Meta's signature, handshake, envelope and error codes. */
#ifndef CHANNEL_META_H
#define CHANNEL_META_H

#include "channel/channel.h"

/* X-Hub-Signature-256: the HMAC-SHA256 of the raw body with the app secret. There is no timestamp: only the dedupe
 * key protects against replays. */
err_t meta_verify(const struct webhook *w, const json_t *settings, struct error *reterr);
err_t meta_sign(const struct webhook *w, struct bytes secret, struct buf *headers, struct error *reterr);
err_t meta_handshake(const char *mode, const char *token, const char *challenge, const json_t *settings,
                     struct buf *answer);

/* One entry of {"object", "entry": […]}, or the root of a dashboard test ({"field", "value"}) as if it were one. */
struct meta_entry {
    const struct webhook *w;
    const json_t *settings; /* may be NULL */
    json_t *events;         /* where events are appended */
    json_t *entry;          /* an object */
    msec_t time;            /* the entry's own time, or 0 */
};

/* Parses the body and calls `each` for every entry that is an object; others are kept as unknown elements. ERR_INVALID
 * when it is not JSON or `object` is there and is not `expected`. */
err_t meta_parse(const struct webhook *w, const json_t *settings, const char *expected, const char *provider,
                 json_t *events, void (*each)(const struct meta_entry *entry), struct error *reterr);

/* Appends `webhook.SOURCE` for an element of an entry that has no id of its own; `element` is borrowed. */
json_t *meta_add_unknown(const struct meta_entry *entry, const char *provider, const char *provider_type,
                         json_t *element);

/* What one error code of the Graph API means for a send. */
struct meta_error_class {
    int64_t first, last; /* codes */
    int64_t subcode;     /* 0: any */
    enum send_verdict verdict;
    msec_t retry_after_ms; /* -1: by the schedule */
    msec_t pause_ms;       /* of all that leaves through the source; 0: what is limited is this message */
};

/* Judges an answer of the Graph API. The first class that fits decides; a code that none names is refused. Sets the
 * verdict and code, and the provider's words as the reason. `id_path` is where the message's id is ("messages.0.id").
 */
void meta_classify(const struct http_exchange *exchange, const char *id_path, const struct meta_error_class *classes,
                   size_t count, struct send_result *result);

#endif
