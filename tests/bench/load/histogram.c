#include "load/histogram.h"

#include <stddef.h>

/* Up to 127 each value has its bucket; above, each power of two has 64. */
static size_t bucket_of(int64_t micros)
{
    if (micros < 0)
        micros = 0;
    uint64_t value = (uint64_t)micros;
    if (value < 128)
        return (size_t)value;
    unsigned shift = 57 - (unsigned)__builtin_clzll(value); /* leaves 7 bits: 64 … 127 */
    size_t bucket = 128 + (size_t)(shift - 1) * 64 + (size_t)((value >> shift) - 64);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The largest value of a bucket. */
static int64_t top_of(size_t bucket)
{
    if (bucket < 128)
        return (int64_t)bucket;
    unsigned shift = (unsigned)((bucket - 128) / 64) + 1;
    uint64_t high = (bucket - 128) % 64 + 64;
    return (int64_t)(((high + 1) << shift) - 1);
}

void histogram_add(struct histogram *h, int64_t micros)
{
    h->counts[bucket_of(micros)]++;
    h->total++;
    if (micros > h->largest)
        h->largest = micros;
}

int64_t histogram_at(const struct histogram *h, double share)
{
    double wanted = share * (double)h->total;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > 0 && (double)seen >= wanted)
            return top_of(i) < h->largest ? top_of(i) : h->largest;
    }
    return h->largest;
}
