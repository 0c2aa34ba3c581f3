/* Pure: how long to wait before the next attempt. */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include "base/clock.h"

/* Exponential with full jitter in the upper half: attempt 1 waits about `base`, doubling up to `max`.
 * `random` is any 32-bit number. */
msec_t backoff_delay(unsigned attempt, msec_t base, msec_t max, uint32_t random);

#endif
