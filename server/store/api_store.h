/* What the API and the admin listener read and write. Blocking; short transactions. Results are new references. */
#ifndef STORE_API_STORE_H
#define STORE_API_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* The token with this SHA-256 digest that is not revoked: {id, name, scopes}; notes its use. ERR_NOT_FOUND: none. */
err_t api_store_token(struct pg *pg, struct bytes digest, json_t **ret_token, struct error *reterr) MUST_CHECK;

/* Who was merged into another contact is that one, whichever of the two is asked for. */

/* Conversations, the last changed first. `filter` may have state, contact (an id), assignee, tag, limit, and cursor as
 * an earlier answer gave it. {conversations: [...], next: cursor or null}. ERR_INVALID: the cursor is none of ours. */
err_t api_store_conversations(struct pg *pg, const json_t *filter, json_t **ret_page, struct error *reterr) MUST_CHECK;
/* One conversation with its contact and its last messages, oldest first. ERR_NOT_FOUND. */
err_t api_store_conversation(struct pg *pg, int64_t id, size_t messages, json_t **ret_conversation,
                             struct error *reterr) MUST_CHECK;
/* One contact with identities, addresses and conversations. ERR_NOT_FOUND. */
err_t api_store_contact(struct pg *pg, int64_t id, json_t **ret_contact, struct error *reterr) MUST_CHECK;

/* Whose conversation it is, for an action on it: {contact_id, lane, state}. ERR_NOT_FOUND. */
err_t api_store_owner(struct pg *pg, int64_t conversation_id, json_t **ret_owner, struct error *reterr) MUST_CHECK;
/* The source of the conversation's message that its provider knows by this id; NULL when it has none. The caller
 * frees it. */
err_t api_store_source_of_message(struct pg *pg, int64_t conversation_id, const char *provider_id, char **ret_source,
                                  struct error *reterr) MUST_CHECK;

/* Makes the canonical document `doc` (without id and received_at) an event with work, once for each source and key; a
 * document without key gets one of its own. Gives the id of the event that has the key now, and (unless NULL) whether
 * its effects and body are those of `doc`, as far as they are still kept. */
err_t api_store_add_event(struct pg *pg, const json_t *doc, int64_t *ret_event_id, bool *ret_is_new, bool *ret_is_same,
                          struct error *reterr) MUST_CHECK;

/* What became of an event: {state: "waiting"|"failing"|"parked"|"handled", problem, traces: [...]}. ERR_NOT_FOUND. */
err_t api_store_event_outcome(struct pg *pg, int64_t event_id, json_t **ret_outcome, struct error *reterr) MUST_CHECK;

/* Puts a parked event back to work. ERR_NOT_FOUND: it is not parked. */
err_t api_store_retry_event(struct pg *pg, int64_t event_id, struct error *reterr) MUST_CHECK;
/* Puts a delivery that has ended without success back into the outbox. ERR_NOT_FOUND: there is none. ERR_CONFLICT: its
 * state, named in the error's text, leaves nothing to try again. */
err_t api_store_retry_delivery(struct pg *pg, int64_t delivery_id, struct error *reterr) MUST_CHECK;
/* Lets a source or endpoint send again that was paused. ERR_NOT_FOUND: it is not. */
err_t api_store_resume(struct pg *pg, const char *source, struct error *reterr) MUST_CHECK;

/* Numbers for /metrics: {work, work_oldest_seconds, work_failing, parked_events, outbox_due, outbox_oldest_seconds,
 * unknown, held, timers_due, quarantined_rules, paused_sources: [...]}. Reads the hot tables only. */
err_t api_store_gauges(struct pg *pg, json_t **ret_gauges, struct error *reterr) MUST_CHECK;

#endif
