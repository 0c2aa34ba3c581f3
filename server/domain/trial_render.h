/* Whether a channel takes a message of a world in memory: found out as the sender does, by writing the call. Pure. */
#ifndef DOMAIN_TRIAL_RENDER_H
#define DOMAIN_TRIAL_RENDER_H

#include "base/error.h"
#include "io/json.h"

/* Writes the call of `delivery` in the form that departure.h decided, and drops it. Settings and the recipient are made
 * up: only what the message says is judged. `sources` as in desk_settings. ERR_INVALID: no provider would take it. */
err_t trial_render(const json_t *sources, const json_t *delivery, const char *sent_as, struct error *reterr) MUST_CHECK;

#endif
