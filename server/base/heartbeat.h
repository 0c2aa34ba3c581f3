/* Heartbeats of the threads that must not stall, and the judgement of whether one did.
 *
 * A thread beats whenever it goes on, and rests while it waits for something that is bounded elsewhere: the database,
 * a provider, the next work. What does neither for long is stuck in a computation or a deadlock. */
#ifndef BASE_HEARTBEAT_H
#define BASE_HEARTBEAT_H

#include <stdbool.h>

#include "base/clock.h"

/* For the calling thread. Without heartbeat_start() the others do nothing. `actor` must stay valid. */
void heartbeat_start(const char *actor);
void heartbeat_beat(void);
void heartbeat_rest(void); /* until the next beat */
void heartbeat_end(void);
bool heartbeat_is_kept(void);

/* The actor whose last beat is the longest ago of those that do not rest, and when that was (steady clock).
 * NULL when there is none. Any thread. */
const char *heartbeat_oldest(msec_t *ret_at);

/* One who looks at heartbeats every now and then; starts as { 0 }. */
struct stall_watch {
    msec_t last_look;
    msec_t counted_from; /* older beats count as if they were from here */
};

/* How long the thread that last beat at `beat_at` has been stalled. A look that comes more than `patience_ms` after the
 * one before means that this whole process had been stopped, or the machine: counting begins anew. */
msec_t stall_watch_look(struct stall_watch *watch, msec_t now, msec_t patience_ms, msec_t beat_at);

#endif
