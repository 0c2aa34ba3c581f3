#include "commands/clock_watch.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/store.h"

/* Less is nothing that a person would notice, or that a signature is refused for. */
#define APART_US ((int64_t)1000000)

err_t clock_watch(struct pg *pg, struct error *reterr)
{
    static int64_t warned_us; /* what was said last */
    err_t err = store_follow_clock(pg, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    int64_t ahead_us = -clock_shared_ahead_us();
    metric_set(metric_gauge("answerd_clock_ahead_seconds",
                            "How far this machine's clock is ahead of the database's, by which all nodes go.", ""),
               (double)ahead_us / 1e6);
    if (llabs(ahead_us - warned_us) < APART_US) {
        return ERR_NONE;
    }
    warned_us = llabs(ahead_us) < APART_US ? 0 : ahead_us;
    if (warned_us == 0) {
        log_info("this machine's clock agrees with the database's again", "");
    } else {
        log_warn(
            "this machine's clock is not the database's",
            "ahead_seconds=%.1f hint='set both by NTP; timers and retries go by the database, but signatures with a "
            "time in them are judged by this machine'",
            (double)ahead_us / 1e6);
    }
    return ERR_NONE;
}
