#include "engine/batch_size.h"

static size_t least(const struct batch_size *size)
{
    return size->most < BATCH_LEAST_EVENTS ? size->most : BATCH_LEAST_EVENTS;
}

void batch_size_init(struct batch_size *size, size_t most)
{
    *size = (struct batch_size){ .most = most };
    size->limit = least(size);
}

size_t batch_size_next(const struct batch_size *size)
{
    return size->singles_left > 0 ? 1 : size->limit;
}

void batch_size_committed(struct batch_size *size, size_t events, int64_t micros)
{
    if (size->singles_left > 0) {
        size->singles_left--;
        return;
    }
    if (micros > BATCH_TIME_US) {
        size->limit = size->limit / 2;
    } else if (micros < BATCH_TIME_US / 3 && events >= size->limit) {
        size->limit = size->limit * 2;
    }
    size->limit = size->limit < least(size) ? least(size) : size->limit > size->most ? size->most : size->limit;
}

void batch_size_failed(struct batch_size *size, size_t events)
{
    if (events <= BATCH_SINGLES) {
        size->singles_left = events;
    } else {
        size->limit = events / BATCH_SINGLES;
    }
}

void batch_size_put_off(struct batch_size *size)
{
    if (size->singles_left > 0) {
        size->singles_left--;
    }
}

void batch_size_empty(struct batch_size *size)
{
    size->singles_left = 0;
}
