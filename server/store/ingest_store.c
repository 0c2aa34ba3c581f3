#include "store/store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"

const char ingest_statement[] =
    "SELECT cardinality(ingest_batch($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], "
    "$6::bigint::integer,"
    " $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::bigint[], $14::text[],"
    " $15::text[]))";

/* The parallel arrays that ingest_batch() takes, in one piece of memory. Texts are borrowed from the rows. Each element
 * is written once, so that the memory is not cleared before: of this size, that is a call of the system. */
struct ingest_arrays {
    size_t webhook_count;
    int64_t *webhook_ids;
    struct bytes *sources;
    struct bytes *headers;
    struct bytes *bodies;
    struct bytes *problems;
    size_t event_count;
    int64_t *event_ids;
    int64_t *event_webhooks;
    struct bytes *event_sources;
    struct bytes *types;
    struct bytes *keys;
    struct bytes *digests;
    int64_t *lanes;
    struct bytes *occurred;
    struct bytes *docs;
    void *memory;
};

static size_t count_events(const struct ingest_row *rows, size_t count)
{
    size_t events = 0;
    for (size_t i = 0; i < count; i++)
        events += rows[i].event_count;
    return events;
}

static int64_t *take_numbers(char **memory, size_t count)
{
    int64_t *numbers = (int64_t *)(void *)*memory;
    *memory += count * sizeof(int64_t);
    return numbers;
}

static struct bytes *take_slices(char **memory, size_t count)
{
    struct bytes *slices = (struct bytes *)(void *)*memory;
    *memory += count * sizeof(struct bytes);
    return slices;
}

static void arrays_init(struct ingest_arrays *a, size_t webhooks, size_t events)
{
    char *memory = memory_block(webhooks * (sizeof(int64_t) + 4 * sizeof(struct bytes)) +
                                events * (3 * sizeof(int64_t) + 6 * sizeof(struct bytes)));
    *a = (struct ingest_arrays){ .memory = memory };
    a->webhook_ids = take_numbers(&memory, webhooks);
    a->event_ids = take_numbers(&memory, events);
    a->event_webhooks = take_numbers(&memory, events);
    a->lanes = take_numbers(&memory, events);
    a->sources = take_slices(&memory, webhooks);
    a->headers = take_slices(&memory, webhooks);
    a->bodies = take_slices(&memory, webhooks);
    a->problems = take_slices(&memory, webhooks);
    a->event_sources = take_slices(&memory, events);
    a->types = take_slices(&memory, events);
    a->keys = take_slices(&memory, events);
    a->digests = take_slices(&memory, events);
    a->occurred = take_slices(&memory, events);
    a->docs = take_slices(&memory, events);
}

static void add_event(struct ingest_arrays *a, int64_t webhook_id, struct bytes source,
                      const struct ingest_event *event)
{
    size_t n = a->event_count++;
    a->event_ids[n] = event->id;
    a->event_webhooks[n] = webhook_id;
    a->event_sources[n] = source;
    a->types[n] = event->type;
    a->keys[n] = event->key;
    a->digests[n] = (struct bytes){ (const char *)event->digest, EVENT_DIGEST_SIZE };
    a->lanes[n] = event->lane;
    a->occurred[n] = event->occurred_at;
    a->docs[n] = event->doc;
}

static void add_row(struct ingest_arrays *a, const struct ingest_row *row)
{
    size_t n = a->webhook_count++;
    a->webhook_ids[n] = row->webhook_id;
    a->sources[n] = bytes_of(row->source);
    a->headers[n] = row->headers_json.len > 0 ? row->headers_json : BYTES_LITERAL("{}");
    a->bodies[n] = row->body.ptr != NULL ? row->body : BYTES_LITERAL("");
    a->problems[n] = bytes_of(row->problem);
    for (size_t i = 0; i < row->event_count; i++)
        add_event(a, row->webhook_id, a->sources[n], &row->events[i]);
}

err_t ingest_store_append(struct pg_async *pg, const struct ingest_row *rows, size_t count, msec_t deadline_ms,
                          pg_async_done *done, void *arg)
{
    struct ingest_arrays a;
    arrays_init(&a, count, count_events(rows, count));
    for (size_t i = 0; i < count; i++)
        add_row(&a, &rows[i]);
    const struct pg_value values[INGEST_PARAMETERS] = {
        [INGEST_WEBHOOK_IDS] = PG_VALUE_INT8S(a.webhook_ids, a.webhook_count),
        [INGEST_SOURCES] = PG_VALUE_TEXTS(a.sources, a.webhook_count),
        [INGEST_HEADERS] = PG_VALUE_TEXTS(a.headers, a.webhook_count),
        [INGEST_BODIES] = PG_VALUE_BYTEAS(a.bodies, a.webhook_count),
        [INGEST_PROBLEMS] = PG_VALUE_TEXTS(a.problems, a.webhook_count),
        [INGEST_PARSER] = PG_VALUE_INT8(count > 0 ? rows[0].parser : 0),
        [INGEST_EVENT_IDS] = PG_VALUE_INT8S(a.event_ids, a.event_count),
        [INGEST_EVENT_WEBHOOKS] = PG_VALUE_INT8S(a.event_webhooks, a.event_count),
        [INGEST_EVENT_SOURCES] = PG_VALUE_TEXTS(a.event_sources, a.event_count),
        [INGEST_TYPES] = PG_VALUE_TEXTS(a.types, a.event_count),
        [INGEST_KEYS] = PG_VALUE_TEXTS(a.keys, a.event_count),
        [INGEST_DIGESTS] = PG_VALUE_UUIDS(a.digests, a.event_count),
        [INGEST_LANES] = PG_VALUE_INT8S(a.lanes, a.event_count),
        [INGEST_OCCURRED] = PG_VALUE_TEXTS(a.occurred, a.event_count),
        [INGEST_DOCS] = PG_VALUE_TEXTS(a.docs, a.event_count),
    };
    err_t err = pg_async_run(pg, ingest_statement, values, INGEST_PARAMETERS, deadline_ms, done, arg);
    free(a.memory);
    return err;
}

size_t ingest_store_new_events(const struct pg_result *result)
{
    return pg_rows(result) == 1 ? (size_t)pg_int8(result, 0, 0) : 0;
}

err_t ingest_store_reserve_ids(struct pg_async *pg, size_t count, msec_t deadline_ms, pg_async_done *done, void *arg)
{
    static const char sql[] = "SELECT reserve_ids($1::bigint)";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)count) };
    return pg_async_run(pg, sql, values, ARRAY_LEN(values), deadline_ms, done, arg);
}
