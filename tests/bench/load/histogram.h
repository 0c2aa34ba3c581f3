/* Latencies in microseconds, with an error below 1 %, in a fixed amount of memory. */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (128 + 40 * 64)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    int64_t largest;
};

void histogram_add(struct histogram *h, int64_t micros);

/* The value that `share` (0 to 1) of all are not above; 0 without any. */
int64_t histogram_at(const struct histogram *h, double share);

#endif
