/* What a replay would do now, found out in transactions that are rolled back. */
#ifndef COMMANDS_REPLAY_DRY_H
#define COMMANDS_REPLAY_DRY_H

#include "base/error.h"
#include "config/config.h"
#include "io/pg.h"
#include "rules/rule_set.h"

/* Runs the `count` chosen events (see replay_store_select; `selection` as for replay_store_begin) on the facts of
 * today. Returns {events, first_time, suppressed, rules: [{rule, kind, count, examples: [{event, effect}]}]}: what
 * would be made, and how much was made before; new reference. Events within a few hundred of each other see what the
 * earlier ones would change. */
err_t replay_dry_run(struct pg *pg, const struct config *config, struct rule_set *rules, const json_t *selection,
                     int64_t count, size_t max_examples, json_t **ret_report, struct error *reterr) MUST_CHECK;

#endif
