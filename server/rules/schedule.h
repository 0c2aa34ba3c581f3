/* When a `cron` declaration fires next. */
#ifndef RULES_SCHEDULE_H
#define RULES_SCHEDULE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"

/* Checks the `schedule` of a declaration: {"every_ms": N} or {"cron": "0 9 * * mon-fri", "timezone": "Europe/Zurich"}.
 * ERR_INVALID with the reason. */
err_t schedule_check(const json_t *schedule, struct error *reterr) MUST_CHECK;

/* The first time after `after`. Intervals are counted from 1970, so that all nodes agree; a local time that the
 * clocks skip fires when they have skipped it, one that they show twice fires once.
 * ERR_NOT_FOUND: not within four years ("0 0 30 2 *"). */
err_t schedule_next(const json_t *schedule, msec_t after, msec_t *ret_next, struct error *reterr) MUST_CHECK;

#endif
