/* One request to /webhooks/SOURCE, from its arrival to its answer. */
#ifndef INGEST_WEBHOOK_H
#define INGEST_WEBHOOK_H

#include <stdatomic.h>

#include "ingest/batcher.h"
#include "ingest/refusals.h"
#include "ingest/rejects.h"
#include "ingest/webhook_source.h"
#include "io/http_server.h"

/* What a loop's handler needs. */
struct webhook_desk {
    const struct webhook_sources *sources;
    struct rejects *rejects;
    struct refusals *refusals; /* NULL: addresses have no such limit */
    struct batcher *batcher;
    const atomic_bool *admits; /* false: nothing can be stored yet */
    bool require_https;
    struct buf scratch; /* of one request at a time, so that its memory is used again */
};

/* An http_handler; `arg` is the struct webhook_desk. */
void webhook_handle(struct http_request *request, void *arg);

#endif
