/* What the database knows about the rules in force: which of them rest, and when crons fire. Blocking. */
#ifndef STORE_RULE_STORE_H
#define STORE_RULE_STORE_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Puts the rules of `rule_set` to rest for `rest_ms` that failed `failures` times in a row, and once more after an
 * earlier rest; gives the names of all that rest now, a new reference. */
err_t rule_store_resting(struct pg *pg, const char *rule_set, unsigned failures, msec_t rest_ms, json_t **ret_names,
                         struct error *reterr) MUST_CHECK;

/* The crons of a rule set, an array of {name, schedule, next_at}: one that is known with the same schedule goes on as
 * planned, those that are not named end. */
err_t cron_store_put(struct pg *pg, const json_t *crons, const char *rule_set, struct error *reterr) MUST_CHECK;

/* The crons that are due: array of {name, schedule, next_at}; and when the next one is (0: none). */
err_t cron_store_due(struct pg *pg, json_t **ret_crons, msec_t *ret_next_due, struct error *reterr) MUST_CHECK;

/* Makes the event of a cron that is due at `due_at` and moves it to `next_at`, unless another node did (false). */
err_t cron_store_fire(struct pg *pg, const json_t *cron, msec_t next_at, bool *ret_fired,
                      struct error *reterr) MUST_CHECK;

#endif
