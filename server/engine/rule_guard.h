/* Which rules are in quarantine, as this engine thread last read it from the database. Owned by one thread.
 *
 * Failures are counted in the table rule_trouble, by the transaction that holds the trace. It is read back before the
 * next batch of the engine that saw a failure, and within a second by others: a failing rule fails more often before it
 * rests only in the batch of its last allowed failure and on other engines meanwhile. A rule whose rest is over is
 * tried on one event, by one engine of all: running well ends its quarantine, failing makes it rest twice as long.
 */
#ifndef ENGINE_RULE_GUARD_H
#define ENGINE_RULE_GUARD_H

#include "io/pg.h"
#include "rules/rule_set.h"
#include "store/rule_store.h"

struct rule_guard;

struct rule_guard *rule_guard_new(const struct quarantine *quarantine);
void rule_guard_free(struct rule_guard *guard);

/* Reads the table when that is due, and tells it about a rule set that was not in force before: its declarations are
 * recorded and its crons registered. */
err_t rule_guard_refresh(struct rule_guard *guard, struct pg *pg, int64_t worker_id, struct rule_set *rules,
                         struct error *reterr) MUST_CHECK;
void rule_guard_look_now(struct rule_guard *guard); /* the next refresh is due */
void rule_guard_forget(struct rule_guard *guard);   /* reads and registers again at the next refresh */

/* For desk_settings; `arg` is the guard. */
bool rule_guard_may_run(void *arg, const char *rule);
void rule_guard_ran(void *arg, const char *rule);

#endif
