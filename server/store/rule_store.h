/* What the database knows about the rules in force: which of them rest, and when crons fire. Blocking. */
#ifndef STORE_RULE_STORE_H
#define STORE_RULE_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Puts the rules of `rule_set` to rest for `rest_ms` that failed `failures` times in a row since they last rested, and
 * gives the names of all that rest now; new reference. A rule that ran well starts to count from zero. */
err_t rule_store_resting(struct pg *pg, const char *rule_set, unsigned failures, msec_t rest_ms, json_t **ret_names,
                         struct error *reterr) MUST_CHECK;

/* Declares a cron. One that is there already with the same schedule keeps its next time. */
err_t cron_store_register(struct pg *pg, const char *name, const json_t *schedule, msec_t next_at, const char *rule_set,
                          struct error *reterr) MUST_CHECK;
/* Forgets the crons that are not in the array `names`. */
err_t cron_store_keep_only(struct pg *pg, const json_t *names, struct error *reterr) MUST_CHECK;

/* The crons that are due: array of {name, schedule, next_at}; and when the next one is (0: none). */
err_t cron_store_due(struct pg *pg, json_t **ret_crons, msec_t *ret_next_due, struct error *reterr) MUST_CHECK;
/* Moves a cron from `due_at` to `next_at`, unless another node did. */
err_t cron_store_advance(struct pg *pg, const char *name, msec_t due_at, msec_t next_at, struct error *reterr) MUST_CHECK;

#endif
