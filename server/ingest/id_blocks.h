/* Ids that were reserved and not yet given away. */
#ifndef INGEST_ID_BLOCKS_H
#define INGEST_ID_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

#define ID_BLOCK_SIZE 1000 /* what the sequence counts by */

struct id_block {
    int64_t next;
    int64_t end;
};

/* All zero is empty. */
struct id_blocks {
    struct id_block *blocks; /* used from the last one */
    size_t count;
    size_t capacity;
};

void id_blocks_add(struct id_blocks *ids, int64_t first, size_t count);
size_t id_blocks_left(const struct id_blocks *ids);
int64_t id_blocks_take(struct id_blocks *ids); /* there must be one */
void id_blocks_done(struct id_blocks *ids);

#endif
