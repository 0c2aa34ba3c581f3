/* At most so many a second, with a burst: the generic cell rate algorithm (ITU-T I.371), one number of state, no lock.
 */
#ifndef INGEST_RATE_LIMIT_H
#define INGEST_RATE_LIMIT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"

struct rate_limit {
    int64_t interval_us; /* between two at the allowed rate; 0: no limit */
    int64_t ahead_us;    /* how far a burst may run ahead */
    _Atomic int64_t next_us;
};

/* `burst` at least 1; `per_second` 0 or less: no limit. */
void rate_limit_init(struct rate_limit *limit, double per_second, double burst);

/* 0 and takes one, or the milliseconds (at least 1) after which there will be room. `now_us` is the steady clock. */
msec_t rate_limit_take(struct rate_limit *limit, int64_t now_us);

#endif
