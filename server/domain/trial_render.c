#include "domain/trial_render.h"

#include <string.h>

#include "channel/channel.h"

err_t trial_render(const json_t *sources, const json_t *delivery, const char *sent_as, struct error *reterr)
{
    const char *source = json_str_or(delivery, "source", "");
    const struct channel_kind *kind = channel_find(json_str_or(json_object_get(sources, source), "kind", source));
    if (!kind || !kind->render)
        return ERR_NONE;
    json_t *settings = json_pack("{ss ss ss}", "bot_token", "1:test", "access_token", "test", "phone_number_id", "1");
    json_t *request = json_copy(json_object_at(delivery, "request"));
    json_put(request, "to", json_pack("{ss}", "recipient", "15550100"));
    struct outgoing_request call = { .headers = { NULL } };
    err_t err = kind->render(request, strcmp(sent_as, "approved") == 0, settings, &call, reterr);
    outgoing_request_done(&call);
    json_decref(request);
    json_decref(settings);
    return err;
}
