#include "engine/id_pool.h"

#include "store/store.h"

/* Blocks are multiples of the sequence's increment. */
#define BLOCK_IDS 1000

void id_pool_init(struct id_pool *pool)
{
    *pool = (struct id_pool){ .substitute = -1 };
}

static err_t id_pool_refill(struct id_pool *pool, struct error *reterr)
{
    int64_t first = 0;
    err_t err = store_reserve_ids(pool->pg, BLOCK_IDS, &first, reterr);
    if (err == ERR_NONE) {
        pool->next = first;
        pool->end = first + BLOCK_IDS;
    }
    return err;
}

err_t id_pool_prepare(struct id_pool *pool, struct pg *pg, struct error *reterr)
{
    pool->pg = pg;
    pool->failed = false;
    pool->substitute = -1;
    return pool->next < pool->end ? ERR_NONE : id_pool_refill(pool, reterr);
}

int64_t id_pool_next(void *arg)
{
    struct id_pool *pool = arg;
    if (!pool->failed && pool->next == pool->end) {
        pool->failed = id_pool_refill(pool, &pool->error) != ERR_NONE;
    }
    return pool->failed ? pool->substitute-- : pool->next++;
}
