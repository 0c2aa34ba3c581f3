#include "ingest/rate_limit.h"

void rate_limit_init(struct rate_limit *limit, double per_second, double burst)
{
    static const double longest_us = 1e15;
    double interval = per_second > 0 ? 1e6 / per_second : 0;
    if (interval > longest_us)
        interval = longest_us;
    if (per_second > 0 && interval < 1)
        interval = 1;
    double ahead = burst > 1 ? (burst - 1) * interval : 0;
    limit->interval_us = (int64_t)interval;
    limit->ahead_us = (int64_t)(ahead < longest_us ? ahead : longest_us);
    atomic_init(&limit->next_us, 0);
}

msec_t rate_limit_take(struct rate_limit *limit, int64_t now_us)
{
    if (limit->interval_us == 0)
        return 0;
    int64_t next = atomic_load(&limit->next_us);
    for (;;) {
        int64_t start = next > now_us ? next : now_us;
        if (start - now_us > limit->ahead_us)
            return (start - now_us - limit->ahead_us + 999) / 1000;
        if (atomic_compare_exchange_weak(&limit->next_us, &next, start + limit->interval_us))
            return 0;
    }
}
