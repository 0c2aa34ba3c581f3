/* How an engine sleeps, and how it is woken: the engines of one process stand in a row, and each wakes the next only
 * when it has too much to do itself. One engine with all the work makes larger transactions, and none looks for work
 * that another has.
 */
#ifndef ENGINE_WAKEUP_H
#define ENGINE_WAKEUP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"

struct wakeup {
    int fd;                        /* an eventfd; -1 before wakeup_init() */
    struct wakeup *next;           /* may be NULL; outlives this one's threads */
    atomic_int_fast64_t busy_from; /* steady clock: when it last looked round; 0: sleeping */
};

/* ERR_INTERNAL when the system has no descriptor for it. */
err_t wakeup_init(struct wakeup *wakeup, struct wakeup *next, struct error *reterr) MUST_CHECK;
void wakeup_done(struct wakeup *wakeup);

/* There may be work: for the first that sleeps, or has not been at its present batch for long. Any thread. */
void wakeup_nudge(struct wakeup *wakeup);

/* This one, whatever it does. Any thread. */
void wakeup_wake(struct wakeup *wakeup);

/* There is more than this one can do. */
void wakeup_call_next(struct wakeup *wakeup);

/* Of the engine's own thread: it looks for work now, and will again after that. */
void wakeup_look_round(struct wakeup *wakeup);

/* Of the engine's own thread: sleeps until somebody nudges or `timeout_ms` passes. */
void wakeup_sleep(struct wakeup *wakeup, msec_t timeout_ms);

#endif
