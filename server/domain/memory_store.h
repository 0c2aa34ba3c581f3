/* The desk's world in memory: serves cases and takes changes as the database does, for rule tests and backtests.
 * Not thread-safe. Deterministic: everything is kept and served in the order it came.
 */
#ifndef DOMAIN_MEMORY_STORE_H
#define DOMAIN_MEMORY_STORE_H

#include "domain/rows.h"
#include "rules/rule_set.h"

struct memory_store;

struct memory_store *memory_store_new(void);
void memory_store_free(struct memory_store *store);

/* The cases that a desk needs for this event: an array for desk_add_case, copies; new reference. `also` (may be NULL):
 * an array of identities whose contacts are needed, too. */
json_t *memory_store_cases(const struct memory_store *store, const json_t *event, const json_t *also);
/* The identities in `changes` that belong to contacts which are not among `cases`: a rule named them. What was done
 * without those contacts must be done again with them. New reference, or NULL when there are none. */
json_t *memory_store_unseen(const struct memory_store *store, const json_t *cases, const json_t *changes);
/* Applies what desk_take_changes gave. Internal events wait in memory_store_next_event. */
void memory_store_apply(struct memory_store *store, const json_t *changes);
/* The same for a desk that works on the store's rows in place: takes over what desk_take_logs gave, and forgets what
 * changed. */
void memory_store_take_logs(struct memory_store *store, json_t *logs);

/* One more internal event that waits. */
void memory_store_add_event(struct memory_store *store, json_t *event);
/* The next internal event to handle, or NULL; new reference. */
json_t *memory_store_next_event(struct memory_store *store);
/* When the next timer is due; 0 when there is none. */
msec_t memory_store_next_timer(const struct memory_store *store);
/* Takes the timer that is due first, when it is due by `now`, and returns its event without id and received_at, or
 * NULL; new reference. */
json_t *memory_store_fire_timer(struct memory_store *store, msec_t now);

/* When the next queued delivery is due; 0 when there is none. */
msec_t memory_store_next_delivery(const struct memory_store *store);
/* The first queued delivery that is due by `now`, borrowed, or NULL. It stays queued until it is ended. */
json_t *memory_store_due_delivery(const struct memory_store *store, msec_t now);
/* Ends a delivery: `state` of its row and of its message ("sent", "blocked", "failed", …). */
void memory_store_end_delivery(struct memory_store *store, json_t *delivery, const char *state, const char *reason,
                               const char *provider_message_id, msec_t at);
size_t memory_store_delivery_count(const struct memory_store *store);
json_t *memory_store_delivery(const struct memory_store *store, size_t index); /* as made, borrowed */

/* Forgets everything. */
void memory_store_clear(struct memory_store *store);
/* Forgets what is over and old: of messages, resolved conversations, surveys and outreaches all but the newest `keep`,
 * and deliveries that have ended. */
void memory_store_trim(struct memory_store *store, size_t keep);

/* The rows, for expectations and for setting up a world. */
struct rows *memory_store_rows(struct memory_store *store);
json_t *memory_store_message(const struct memory_store *store, int64_t id); /* borrowed */
struct fact_reader memory_store_reader(struct memory_store *store);

#endif
