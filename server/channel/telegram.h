/* Parts of the Telegram Bot API channel; only telegram*.c include this. */
#ifndef CHANNEL_TELEGRAM_H
#define CHANNEL_TELEGRAM_H

#include "channel/event.h"

#define TELEGRAM "telegram"

/* What a message holds: sets kind, text and the rest in `doc`. False when it is a service message ("Ann joined the
 * group"), which nobody wrote; `*ret_service` names its field. */
bool telegram_put_content(json_t *doc, const json_t *message, const char **ret_service);

err_t telegram_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr);

/* In a recipient "CHAT@CONNECTION": the chat of a business account, and the connection to it that answers go by. */
#define TELEGRAM_BUSINESS_MARK '@'

/* Every kind of update that telegram_parse() knows; ends with NULL. */
extern const char *const telegram_update_kinds[];

err_t telegram_render(const json_t *request, bool approved, const json_t *settings, struct outgoing_request *out,
                      struct error *reterr);
void telegram_classify(const struct http_exchange *exchange, struct send_result *result);
/* POST api_url/botTOKEN/METHOD. */
err_t telegram_call(struct outgoing_request *out, const json_t *settings, const char *method, const json_t *body,
                    struct error *reterr);

#endif
