/* Collects webhooks and stores them with as few commits as the load needs.
 *
 * Nothing in flight: a webhook leaves at once, alone. Otherwise it joins the batch that leaves when the one in flight
 * has come back. So a quiet server has the latency of one commit, and a busy one makes its batches larger by itself.
 *
 * Owned by one ingest thread and used on it only.
 */
#ifndef INGEST_BATCHER_H
#define INGEST_BATCHER_H

#include "io/pg.h"
#include "store/store.h"

struct batcher;
struct loop;

struct batcher_settings {
    size_t batch_rows;
    size_t queue_rows;  /* waiting, without those in flight */
    size_t queue_bytes; /* of their bodies and events */
    msec_t commit_deadline_ms;
    void (*stored)(void *arg); /* after a commit that brought new events; may be NULL */
    void *arg;
};

/* One webhook to be stored. The texts are borrowed until it is done. */
struct batch_item {
    const char *source;
    struct bytes headers_json;
    struct bytes body;
    const char *problem;         /* NULL, or why it could not be parsed */
    struct ingest_events events; /* get their ids here; the batcher takes them over */

    /* Called exactly once, on the loop's thread, not from within batcher_add(). ERR_NONE: durable, also when it was
     * there before. ERR_LOST, ERR_TIMEOUT, ERR_BUSY, ERR_CONFLICT: not or perhaps not stored, it may come again.
     * Everything else: the database refuses this very webhook. */
    void (*done)(const struct error *e, void *arg);
    void *arg;
};

/* `pg` is the batcher's alone: it sets the connection's callbacks. */
struct batcher *batcher_new(struct loop *loop, struct pg_async *pg, const struct batcher_settings *settings);

/* Frees it; what waits or is in flight is done with ERR_LOST. The connection must be gone already. */
void batcher_free(struct batcher *batcher);

/* ERR_BUSY, and nothing was taken over, when the queue is full or there is no connection. */
err_t batcher_add(struct batcher *batcher, const struct batch_item *item) MUST_CHECK;

#endif
