/* Time: the wall clock for what is recorded, the steady clock for deadlines. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

typedef int64_t msec_t; /* milliseconds; as a point in time since 1970-01-01 UTC */

msec_t clock_now(void);    /* wall clock */
msec_t clock_steady(void); /* never jumps; only differences mean something */
int64_t clock_steady_us(void);
int64_t clock_thread_us(void); /* what this thread has used of a processor; only differences mean something */

/* The clock that all nodes go by, the database's: what one of them arms or tries again later is due by it, whatever
 * this machine's own clock says. It is the own clock until clock_follow() was told otherwise. */
msec_t clock_shared(void);

/* Between `before_us` and `after_us` of this machine's wall clock (clock_now_us()) the database's said `shared_us`. */
int64_t clock_now_us(void);
void clock_follow(int64_t before_us, int64_t shared_us, int64_t after_us);
int64_t clock_shared_ahead_us(void); /* how far the database's clock is ahead of this machine's; negative: behind */

/* Makes clock_now() and clock_shared() return `now` until it is called with 0. Tests and the rule test runner only; per
 * thread. */
void clock_set(msec_t now);

/* "2026-11-23T08:00:00.123Z". `clock_parse` also takes offsets, a space for the T and up to 9 fraction digits,
 * which is how PostgreSQL and the providers print times. */
#define CLOCK_ISO_BYTES 25 /* with the NUL */
void clock_iso(msec_t at, char ret_text[CLOCK_ISO_BYTES]);
void clock_add_iso(struct buf *out, msec_t at);
bool clock_parse_iso(struct bytes text, msec_t *ret_at);

#endif
