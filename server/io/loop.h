/* An event loop by libevent, owned by one thread; only loop_nudge() and loop_stop() may come from others. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include "base/clock.h"

struct event_base;
struct loop;
struct loop_timer;

struct loop *loop_new(void);
void loop_free(struct loop *loop); /* when no thread will nudge or stop it any more */
void loop_run(struct loop *loop);  /* until loop_stop(); beats for its thread (base/heartbeat.h) */
void loop_stop(struct loop *loop); /* any thread, also before loop_run() */

/* Wakes the loop and calls the function given to loop_on_nudge(). Nudges without payload may be merged. Any thread. */
void loop_nudge(struct loop *loop);
void loop_on_nudge(struct loop *loop, void (*nudged)(void *arg), void *arg);

/* A timer that is off until it is set; setting it again moves it. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fired)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *timer, msec_t after_ms);
void loop_timer_cancel(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

struct event_base *loop_base(struct loop *loop); /* for io/ only */

#endif
