/* Pure: when a delivery that did not get through is tried again, and when it is given up. */
#ifndef DELIVER_RETRY_H
#define DELIVER_RETRY_H

#include <stdbool.h>

#include "base/clock.h"

enum retry_schedule {
    RETRY_MESSAGE,      /* about a day: a message that comes later than that does more harm than good */
    RETRY_WEBHOOK,      /* the Standard Webhooks schedule: about three days */
    RETRY_CHANNEL_DOWN, /* the whole source waits for a person: seldom, for about three days */
};

/* The delay before the next attempt when `attempts` were made, or -1 when the schedule has ended. `asked_ms` is what
 * the other side asked for (-1: nothing): it is never undercut, and bounded by a day. `random` is any 32-bit number;
 * the jitter adds up to half of the planned delay, so that what
 * failed together does not come back together. */
msec_t retry_delay(enum retry_schedule schedule, unsigned attempts, msec_t asked_ms, uint32_t random);

#endif
