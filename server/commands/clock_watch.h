/* This machine's clock and the database's. */
#ifndef COMMANDS_CLOCK_WATCH_H
#define COMMANDS_CLOCK_WATCH_H

#include "io/pg.h"

/* Follows the database's clock; the metric `answerd_clock_ahead_seconds` and, when they are a second or more apart, a
 * warning tell how far this machine's is ahead of it. For one thread. */
err_t clock_watch(struct pg *pg, struct error *reterr) MUST_CHECK;

#endif
