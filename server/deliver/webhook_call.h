/* Outgoing webhooks by the Standard Webhooks specification: body, signature headers, and what an answer means. */
#ifndef DELIVER_WEBHOOK_CALL_H
#define DELIVER_WEBHOOK_CALL_H

#include "channel/channel.h"
#include "io/json.h"

/* Builds the call for `request` ({url, type, body, at}) of the delivery `delivery_id`. `endpoint` is the declaration of
 * rules ({url, secrets}); its url goes before that of the request. Signed with every secret, so that the receiver may
 * rotate. The id is the same for each attempt, the time is not. */
err_t webhook_call_render(int64_t delivery_id, const json_t *request, const json_t *endpoint, msec_t now,
                          struct outgoing_request *out, struct error *reterr) MUST_CHECK;

/* 2xx is accepted; `*ret_gone` says that the receiver wants nothing more (410). Whatever else happens is tried again:
 * receivers know the id, so that a second delivery does no harm. One that is away or busy (no answer, 429, 502, 503,
 * 504) is left alone for `result->pause_ms`. */
void webhook_call_classify(const struct http_exchange *exchange, struct send_result *result, bool *ret_gone);

#endif
