/* How many events a batch takes.
 *
 * It grows as long as events wait, but not beyond what takes long: what a batch leads to waits for its commit. The one
 * event that a batch fails for is looked for in smaller batches, and in the end by handling a few one by one.
 */
#ifndef ENGINE_BATCH_SIZE_H
#define ENGINE_BATCH_SIZE_H

#include <stddef.h>
#include <stdint.h>

#define BATCH_TIME_US ((int64_t)100 * 1000)
#define BATCH_LEAST_EVENTS 32
#define BATCH_SINGLES 8

struct batch_size {
    size_t most;         /* as the configuration says */
    size_t limit;        /* events to claim at most next time */
    size_t singles_left; /* events to handle one by one because the batch they came in failed */
};

void batch_size_init(struct batch_size *size, size_t most);
/* How many events to claim at most. */
size_t batch_size_next(const struct batch_size *size);

/* A batch was committed, in that time from claim to commit. */
void batch_size_committed(struct batch_size *size, size_t events, int64_t micros);
/* A batch of more than one event failed because of one of them. */
void batch_size_failed(struct batch_size *size, size_t events);
/* An event that failed alone waits from now on. One that will be tried again at once, because of a conflict, is still
 * to be alone then: with others, nobody would ever see that it is the reason. */
void batch_size_put_off(struct batch_size *size);
/* There was nothing to claim. */
void batch_size_empty(struct batch_size *size);

#endif
