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

enum endpoint_state {
    ENDPOINT_ANSWERS,
    ENDPOINT_BUSY, /* it is away, or asks for less: nothing to it for `pause_ms` */
    ENDPOINT_GONE, /* it wants nothing more (410) */
};

/* 2xx is accepted. Whatever else happens but 410 is tried again: receivers know the id, so that a second delivery does no
 * harm. `*ret_pause_ms` is 0 unless the endpoint is busy. */
enum endpoint_state webhook_call_classify(const struct http_exchange *exchange, struct send_result *result,
                                          msec_t *ret_pause_ms);

#endif
