/* Messenger and Instagram messaging: one format with small differences. Only messenger*.c include this. */
#ifndef CHANNEL_MESSENGER_H
#define CHANNEL_MESSENGER_H

#include "channel/event.h"
#include "channel/meta.h"

/* Parses one entry for `provider` ("messenger" or "instagram"). */
void messenger_parse_entry(const struct meta_entry *entry, const char *provider);

err_t messenger_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                       struct error *reterr);
err_t instagram_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                       struct error *reterr);
void messenger_classify(const struct http_exchange *exchange, struct send_result *result);

#endif
