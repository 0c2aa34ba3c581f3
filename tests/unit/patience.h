/* Waiting for what another thread or process does, on a machine that may be halted for seconds at any time.
 *
 * A case waits for a condition and not for a time. A time that has to pass is measured from before it can begin, and
 * has no narrow upper bound: what would come by another, wrong time is far away from what is expected.
 */
#ifndef TESTS_UNIT_PATIENCE_H
#define TESTS_UNIT_PATIENCE_H

#include "base/clock.h"

#include "support.h"

#include <unistd.h>

/* What has not come by then never comes. */
#define PATIENCE_MS 30000

/* Waits until `condition` holds; the case fails when it never does. */
#define WAIT_UNTIL(condition)                                                                                          \
    do {                                                                                                               \
        msec_t wait_began = clock_steady();                                                                            \
        while (!(condition)) {                                                                                         \
            if (clock_steady() - wait_began > PATIENCE_MS)                                                             \
                fail_msg("never came true: %s", #condition);                                                           \
            usleep(2000);                                                                                              \
        }                                                                                                              \
    } while (0)

#endif
