/* Ids for new objects, taken from the database in blocks and handed out one by one. Owned by one thread. */
#ifndef ENGINE_ID_POOL_H
#define ENGINE_ID_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/pg.h"

struct id_pool {
    struct pg *pg; /* borrowed; set again after each reconnect */
    int64_t next;
    int64_t end;
    int64_t substitute; /* counts down once the database gave none */
    bool failed;
    struct error error;
};

void id_pool_init(struct id_pool *pool);

/* Call before a batch: makes sure that a usual batch needs no further block, and forgets an earlier failure. */
err_t id_pool_prepare(struct id_pool *pool, struct pg *pg, struct error *reterr) MUST_CHECK;

/* The next id. When the database gives no block, `failed` and `error` are set and the result is negative: the caller
 * must then throw away everything that it made with it. `arg` is the pool. */
int64_t id_pool_next(void *arg);

#endif
