/* The watchdog: a thread that ends the process when one of its actors is stalled, so that others take over its lanes.
 * A stalled thread cannot be ended alone, and the leases of a process that goes on beside it would never run out. */
#ifndef COMMANDS_WATCHDOG_H
#define COMMANDS_WATCHDOG_H

#include "base/clock.h"
#include "base/error.h"

struct watchdog;

/* `stalled_after_ms` 0: only the service manager is told that this process lives. */
err_t watchdog_start(msec_t stalled_after_ms, struct watchdog **ret_watchdog, struct error *reterr) MUST_CHECK;
void watchdog_stop(struct watchdog *watchdog); /* NULL is fine */

#endif
