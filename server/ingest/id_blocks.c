#include "ingest/id_blocks.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

void id_blocks_add(struct id_blocks *ids, int64_t first, size_t count)
{
    if (ids->count == ids->capacity) {
        ids->capacity = ids->capacity > 0 ? ids->capacity * 2 : 8;
        ids->blocks = memory_resize(ids->blocks, ids->capacity * sizeof(*ids->blocks));
    }
    ids->blocks[ids->count++] = (struct id_block){ .next = first, .end = first + (int64_t)count };
}

size_t id_blocks_left(const struct id_blocks *ids)
{
    size_t left = 0;
    for (size_t i = 0; i < ids->count; i++)
        left += (size_t)(ids->blocks[i].end - ids->blocks[i].next);
    return left;
}

int64_t id_blocks_take(struct id_blocks *ids)
{
    assert(ids->count > 0);
    struct id_block *block = &ids->blocks[ids->count - 1];
    int64_t id = block->next++;
    if (block->next == block->end)
        ids->count--;
    return id;
}

void id_blocks_done(struct id_blocks *ids)
{
    free(ids->blocks);
    *ids = (struct id_blocks){ 0 };
}
