/* Crons: declared by rules, kept in the database, fired once across all nodes as events `cron.NAME`. */
#ifndef ENGINE_CRONS_H
#define ENGINE_CRONS_H

#include "io/pg.h"
#include "rules/rule_set.h"

/* Tells the database the crons of the rule set. What is already known with the same schedule goes on as planned. */
err_t crons_register(struct pg *pg, struct rule_set *rules, struct error *reterr) MUST_CHECK;

/* Fires what is due. What was missed while nobody was there fires once. One of the nodes that see it makes the event.
 */
err_t crons_fire(struct pg *pg, int64_t *ret_fired, msec_t *ret_next_due, struct error *reterr) MUST_CHECK;

#endif
