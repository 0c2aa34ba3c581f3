/* What one step of an outreach says, and where. Internal to domain/. */
#ifndef DOMAIN_OUTREACH_SAY_H
#define DOMAIN_OUTREACH_SAY_H

#include "domain/scene.h"

/* Borrowed; NULL when there is none of that number (from 0). */
const json_t *outreach_step_at(const json_t *outreach, int64_t number);

/* Says what a step says: a message, a note, an assignment. `tried` names sources that failed for it already (may be
 * NULL); then only the message is said again, elsewhere. Adds what it made to `made`. When the message may not or
 * cannot go, `*ret_refused` says why (a constant text). ERR_INVALID: it can never be said like this. */
err_t outreach_say(struct scene *scene, json_t *contact, json_t *outreach, int64_t number, const json_t *tried,
                   json_t *made, const char **ret_refused, struct error *reterr) MUST_CHECK;

#endif
