/* What the database knows about the rules in force: which of them rest, and when crons fire. Blocking. */
#ifndef STORE_RULE_STORE_H
#define STORE_RULE_STORE_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* When a rule rests, and for how long: twice as long after each trial that failed. */
struct quarantine {
    unsigned failures_in_row;
    msec_t first_ms;
    msec_t longest_ms;
};
struct rule_rest {
    json_t *resting; /* names of all that rest or are on trial; new references, as the next */
    json_t *trials;  /* those among them that this worker may run once within two seconds, if not told so before */
};
/* Puts rules to rest that failed too often, gives this worker the trials that are due and nobody else has, and says
 * what rests now. */
err_t rule_store_rest(struct pg *pg, const char *rule_set, const struct quarantine *quarantine, int64_t worker_id,
                      struct rule_rest *ret_rest, struct error *reterr) MUST_CHECK;

/* The crons of a rule set, an array of {name, schedule, missed, next_at}: one that is known with the same schedule goes
 * on as planned, those that are not named end. Nothing happens when another set is in force. */
err_t cron_store_put(struct pg *pg, const json_t *crons, const char *rule_set, struct error *reterr) MUST_CHECK;

/* The crons that are due: array of {name, schedule, missed, next_at}; and when the next one is (0: none). */
err_t cron_store_due(struct pg *pg, json_t **ret_crons, msec_t *ret_next_due, struct error *reterr) MUST_CHECK;

/* Moves a cron that is due to `next_at`, and makes its event unless it is skipped; false when another node was first.
 */
err_t cron_store_fire(struct pg *pg, const json_t *cron, msec_t next_at, bool with_event, bool *ret_fired,
                      struct error *reterr) MUST_CHECK;

/* What the shadow rules came to on events: `runs` are {event_id, live_set, shadow_set, micros}, `traces` as the desk
 * makes them. */
err_t rule_store_record_shadow(struct pg *pg, const json_t *runs, const json_t *traces,
                               struct error *reterr) MUST_CHECK;

#endif
