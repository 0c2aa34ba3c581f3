/* Which rules are in quarantine, as this engine thread last read it from the database. Owned by one thread.
 *
 * Failures are counted in the table rule_health, by the transaction that holds the trace; what is read back here is at
 * most a second old, which only means that a failing rule fails a little more often before it rests.
 */
#ifndef ENGINE_RULE_GUARD_H
#define ENGINE_RULE_GUARD_H

#include "io/pg.h"
#include "rules/rule_set.h"

struct rule_guard;

struct rule_guard *rule_guard_new(unsigned failures_in_row, msec_t rest_ms);
void rule_guard_free(struct rule_guard *guard);

/* Reads the table when that is due, and tells it about a rule set that was not in force before: its declarations are
 * recorded and its crons registered. */
err_t rule_guard_refresh(struct rule_guard *guard, struct pg *pg, struct rule_set *rules,
                         struct error *reterr) MUST_CHECK;
void rule_guard_forget(struct rule_guard *guard); /* reads and registers again at the next refresh */

/* For desk_settings; `arg` is the guard. */
bool rule_guard_may_run(void *arg, const char *rule);

#endif
