/* How far a message got. Statuses merge by precedence and never by arrival. Pure. */
#ifndef DOMAIN_LEDGER_H
#define DOMAIN_LEDGER_H

#include "base/clock.h"
#include "io/json.h"

/* queued < sending < unknown < sent < failed < delivered < read; `played` counts as read. The state after `arriving`
 * was learned in state `current`; `current` itself when it changes nothing. Unknown names change nothing. */
const char *ledger_merge(const char *current, const char *arriving);

/* Is it a state that providers report: sent, delivered, read, played or failed? `state` may be NULL. */
bool ledger_is_reported(const char *state);

/* Applies a status to a message row: state, its time column (the earliest kept), error and reason. */
void ledger_apply(json_t *message, const char *state, msec_t at, const char *error_code, const char *reason);

#endif
