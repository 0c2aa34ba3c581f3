/* One call to the provider of a source, for commands that wait for it. */
#ifndef COMMANDS_PROVIDER_CALL_H
#define COMMANDS_PROVIDER_CALL_H

#include "channel/channel.h"

struct provider_answer {
    int status;
    struct buf body; /* as it came: secrets may be repeated in it, see provider_hide_secrets() */
};
void provider_answer_done(struct provider_answer *answer);

/* `ret_answer` need not be initialised. ERR_LOST: there is no answer; the error names no secret of the source. */
err_t provider_call(const char *method, const struct outgoing_request *request, const struct channel_kind *kind,
                    const json_t *settings, struct provider_answer *ret_answer, struct error *reterr) MUST_CHECK;

/* Overwrites each secret of the source that the text repeats. */
void provider_hide_secrets(char *text, const struct channel_kind *kind, const json_t *settings);

#endif
