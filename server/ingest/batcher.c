#include "ingest/batcher.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "channel/channel.h"
#include "ingest/id_blocks.h"
#include "io/loop.h"
#include "store/store.h"

/* Of one statement. A single webhook may be larger: it goes alone. */
#define BATCH_MAX_BYTES ((size_t)16 * 1024 * 1024)

/* A lock conflict with another batch is nobody's fault; it has gone the next time. */
#define CONFLICT_TRIES 4

struct entry {
    struct batch_item item;
    struct entry *next;
    size_t bytes; /* about what it costs in memory */
    unsigned tries;
};

struct queue {
    struct entry *first;
    struct entry **end; /* where the next one is linked */
    size_t count;
};

enum flight { NOTHING, IDS, BATCH };

struct batcher {
    struct loop *loop;
    struct pg_async *pg;
    struct batcher_settings settings;
    struct queue waiting;
    struct queue alone; /* of batches that were refused: each goes in a batch of its own, before all others */
    struct queue in_flight;
    struct queue stored; /* durable, to be told as soon as the next batch is on its way */
    struct queue over;   /* done, with `over_error`; told by `soon` */
    struct error over_error;
    enum flight flight;
    bool in_flight_alone;
    bool away; /* the database was, when we last heard of it */
    size_t waiting_bytes;
    struct log_throttle refusals;
    int64_t sent_us;
    struct id_blocks ids;
    struct loop_timer *soon;
    struct ingest_row *rows; /* room for batch_rows */
    struct metric *commit_seconds;
    struct metric *commits;
    struct metric *rows_stored;
    struct metric *events_stored;
    struct metric *queue_depth;
};

/* --- queues ----------------------------------------------------------------------------------------------------- */

static void queue_init(struct queue *q)
{
    *q = (struct queue){ .end = &q->first };
}

static void queue_push(struct queue *q, struct entry *entry)
{
    entry->next = NULL;
    *q->end = entry;
    q->end = &entry->next;
    q->count++;
}

static struct entry *queue_pop(struct queue *q)
{
    struct entry *entry = q->first;
    if (!entry)
        return NULL;
    q->first = entry->next;
    if (!q->first)
        q->end = &q->first;
    q->count--;
    return entry;
}

static void finish(struct entry *entry, const struct error *e)
{
    entry->item.done(e, entry->item.arg);
    ingest_events_done(&entry->item.events);
    free(entry);
}

static void finish_all(struct queue *q, const struct error *e)
{
    struct entry *entry;
    while ((entry = queue_pop(q)))
        finish(entry, e);
}

static void finish_stored(struct batcher *b)
{
    struct error fine = { .code = ERR_NONE };
    finish_all(&b->stored, &fine);
}

static void take_waiting_off(struct batcher *b, const struct entry *entry)
{
    b->waiting_bytes -= entry->bytes;
    metric_add(b->queue_depth, -1);
}

static void finish_waiting(struct batcher *b, const struct error *e)
{
    struct entry *entry;
    while ((entry = queue_pop(&b->waiting))) {
        take_waiting_off(b, entry);
        finish(entry, e);
    }
}

/* --- sending ---------------------------------------------------------------------------------------------------- */

static void pump(struct batcher *b);

static bool may_come_again(err_t code)
{
    return code == ERR_LOST || code == ERR_TIMEOUT || code == ERR_BUSY || code == ERR_CONFLICT;
}

/* Whatever it was, it is not about these webhooks. */
static void say_busy(struct batcher *b, const struct error *e)
{
    unsigned swallowed;
    if (log_allowed(&b->refusals, 5000, &swallowed))
        log_warn("the database takes no webhooks, they are answered 503", "sqlstate=%s reason='%s' also=%u",
                 e->sqlstate, e->text, swallowed);
}

static void batch_refused(struct batcher *b, const struct error *e)
{
    if (e->code == ERR_BUSY)
        say_busy(b, e);
    bool try_alone = e->code != ERR_LOST && e->code != ERR_TIMEOUT && e->code != ERR_BUSY;
    if (!try_alone || (b->in_flight_alone && e->code != ERR_CONFLICT)) {
        finish_all(&b->in_flight, e);
        return;
    }
    /* One of them is poison, or they got in another's way. Those that went alone already keep their place. */
    struct queue former = b->alone;
    queue_init(&b->alone);
    struct entry *entry;
    while ((entry = queue_pop(&b->in_flight))) {
        if (++entry->tries >= CONFLICT_TRIES)
            finish(entry, e);
        else
            queue_push(&b->alone, entry);
    }
    while ((entry = queue_pop(&former)))
        queue_push(&b->alone, entry);
}

static void batch_done(const struct pg_result *result, const struct error *e, void *arg)
{
    struct batcher *b = arg;
    b->flight = NOTHING;
    metric_observe(b->commit_seconds, (double)(clock_steady_us() - b->sent_us) / 1e6);
    if (!result) {
        if (b->in_flight.count > 1 && !may_come_again(e->code))
            log_warn("a batch was refused, its webhooks go one by one", "webhooks=%zu sqlstate=%s reason='%s'",
                     b->in_flight.count, e->sqlstate, e->text);
        batch_refused(b, e);
        return;
    }
    size_t new_events = ingest_store_new_events(result);
    metric_add(b->commits, 1);
    metric_add(b->rows_stored, (double)b->in_flight.count);
    metric_add(b->events_stored, (double)new_events);
    struct entry *entry;
    while ((entry = queue_pop(&b->in_flight)))
        queue_push(&b->stored, entry); /* told by connection_ready(), which follows at once */
    if (new_events > 0 && b->settings.stored)
        b->settings.stored(b->settings.arg);
}

static void ids_done(const struct pg_result *result, const struct error *e, void *arg)
{
    struct batcher *b = arg;
    b->flight = NOTHING;
    if (result && pg_rows(result) == 1) {
        id_blocks_add(&b->ids, pg_int8(result, 0, 0), ID_BLOCK_SIZE);
        return;
    }
    if (e->code != ERR_LOST && e->code != ERR_TIMEOUT)
        say_busy(b, e);
    struct error later = *e;
    later.code = ERR_BUSY;
    finish_all(&b->alone, &later);
    finish_waiting(b, &later);
}

static size_t ids_needed(const struct entry *entry)
{
    return 1 + entry->item.events.count;
}

static void fill_row(struct batcher *b, struct entry *entry, struct ingest_row *row)
{
    struct ingest_events *events = &entry->item.events;
    *row = (struct ingest_row){
        .webhook_id = id_blocks_take(&b->ids),
        .source = entry->item.source,
        .headers_json = entry->item.headers_json,
        .body = entry->item.body,
        .problem = entry->item.problem,
        .parser = CHANNEL_PARSER_VERSION,
        .events = events->list,
        .event_count = events->count,
    };
    for (size_t i = 0; i < events->count; i++)
        events->list[i].id = id_blocks_take(&b->ids);
}

/* How many entries of the queue go together, and how many ids they need. */
static size_t plan(const struct queue *from, size_t max_rows, size_t *ret_ids)
{
    size_t count = 0;
    size_t bytes = 0;
    *ret_ids = 0;
    for (const struct entry *entry = from->first; entry && count < max_rows; entry = entry->next) {
        bytes += entry->bytes;
        if (count > 0 && bytes > BATCH_MAX_BYTES)
            break;
        *ret_ids += ids_needed(entry);
        count++;
    }
    return count;
}

/* Sends what is to be sent, when the connection is free. Never calls `done`. */
static void pump(struct batcher *b)
{
    if (b->flight != NOTHING || !pg_async_is_ready(b->pg))
        return;
    b->in_flight_alone = b->alone.count > 0;
    struct queue *from = b->in_flight_alone ? &b->alone : &b->waiting;
    size_t ids;
    size_t count = plan(from, b->in_flight_alone ? 1 : b->settings.batch_rows, &ids);
    if (count == 0)
        return;
    if (id_blocks_left(&b->ids) < ids) {
        if (ingest_store_reserve_ids(b->pg, ID_BLOCK_SIZE, b->settings.commit_deadline_ms, ids_done, b) == ERR_NONE)
            b->flight = IDS;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = queue_pop(from);
        if (!b->in_flight_alone)
            take_waiting_off(b, entry);
        fill_row(b, entry, &b->rows[i]);
        queue_push(&b->in_flight, entry);
    }
    b->sent_us = clock_steady_us();
    struct error e = { 0 };
    err_t sent = ingest_store_append(b->pg, b->rows, count, b->settings.commit_deadline_ms, batch_done, b);
    if (sent == ERR_NONE) {
        b->flight = BATCH;
        return;
    }
    /* It was not even sent: too large for one statement. */
    fail(&e, sent, "the batch cannot be sent");
    if (count > 1) {
        batch_refused(b, &e);
    } else {
        b->over_error = e;
        queue_push(&b->over, queue_pop(&b->in_flight));
    }
    loop_timer_set(b->soon, 0);
}

static void soon_fired(void *arg)
{
    struct batcher *b = arg;
    finish_all(&b->over, &b->over_error);
    pump(b);
}

static void connection_ready(void *arg)
{
    struct batcher *b = arg;
    if (b->away)
        log_info("the database is back", "");
    b->away = false;
    pump(b); /* before the answers to a hundred senders are written: PostgreSQL need not wait for that */
    finish_stored(b);
}

/* What waits would wait for nothing it can count on: its senders have time-outs of seconds, and come again. */
static void connection_trouble(const struct error *e, void *arg)
{
    struct batcher *b = arg;
    static struct log_throttle throttle;
    unsigned swallowed;
    b->away = true;
    if (log_allowed(&throttle, 5000, &swallowed))
        log_warn("no database, webhooks are answered 503", "reason='%s' swallowed=%u", e->text, swallowed);
    finish_all(&b->alone, e);
    finish_waiting(b, e);
}

/* --- what others call ------------------------------------------------------------------------------------------- */

struct batcher *batcher_new(struct loop *loop, struct pg_async *pg, const struct batcher_settings *settings)
{
    struct batcher *b = memory_new(sizeof(*b));
    b->loop = loop;
    b->pg = pg;
    b->settings = *settings;
    queue_init(&b->waiting);
    queue_init(&b->alone);
    queue_init(&b->in_flight);
    queue_init(&b->stored);
    queue_init(&b->over);
    b->rows = memory_new(settings->batch_rows * sizeof(*b->rows));
    b->soon = loop_timer_new(loop, soon_fired, b);
    b->commit_seconds =
        metric_histogram("answerd_ingest_commit_seconds", "Time from sending a batch to its commit", "");
    b->commits = metric_counter("answerd_ingest_commits_total", "Committed batches of webhooks", "");
    b->rows_stored = metric_counter("answerd_ingest_stored_total", "Webhooks in committed batches", "");
    b->events_stored = metric_counter("answerd_ingest_new_events_total", "Events that were not known before", "");
    b->queue_depth = metric_gauge("answerd_ingest_queue", "Webhooks that wait for a commit", "");
    pg_async_on_ready(pg, connection_ready, b);
    pg_async_on_trouble(pg, connection_trouble, b);
    return b;
}

void batcher_free(struct batcher *b)
{
    if (!b)
        return;
    struct error e = { 0 };
    fail(&e, ERR_LOST, "the server stops");
    finish_stored(b);
    finish_all(&b->in_flight, &e);
    finish_all(&b->alone, &e);
    finish_all(&b->over, &b->over_error);
    finish_waiting(b, &e);
    loop_timer_free(b->soon);
    id_blocks_done(&b->ids);
    free(b->rows);
    free(b);
}

err_t batcher_add(struct batcher *b, const struct batch_item *item)
{
    /* Headers and events are about as large as the body again; both together count here. */
    size_t bytes = 1024 + item->headers_json.len + 3 * item->body.len;
    if (!pg_async_is_connected(b->pg) || b->waiting.count >= b->settings.queue_rows ||
        (b->waiting.count > 0 && b->waiting_bytes + bytes > b->settings.queue_bytes))
        return ERR_BUSY;
    struct entry *entry = memory_new(sizeof(*entry));
    entry->item = *item;
    entry->bytes = bytes;
    queue_push(&b->waiting, entry);
    b->waiting_bytes += bytes;
    metric_add(b->queue_depth, 1);
    pump(b);
    return ERR_NONE;
}
