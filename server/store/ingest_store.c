#include "store/store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"

/* The parallel arrays that ingest_append() takes. Texts are borrowed from the rows, except for `docs`. */
struct ingest_arrays {
    size_t webhook_count;
    int64_t *webhook_ids;
    struct bytes *sources;
    struct bytes *headers;
    struct bytes *bodies;
    struct bytes *problems;
    size_t event_count;
    int64_t *event_webhooks;
    int64_t *event_ids;
    struct bytes *types;
    struct bytes *keys;
    int64_t *lanes;
    struct bytes *occurred;
    struct bytes *docs; /* ours to free */
};

static size_t count_events(const struct ingest_row *rows, size_t count)
{
    size_t events = 0;
    for (size_t i = 0; i < count; i++) {
        events += json_array_size(rows[i].events);
    }
    return events;
}

static void arrays_init(struct ingest_arrays *arrays, size_t webhooks, size_t events)
{
    arrays->webhook_count = webhooks;
    arrays->webhook_ids = memory_new(webhooks * sizeof(int64_t));
    arrays->sources = memory_new(webhooks * sizeof(struct bytes));
    arrays->headers = memory_new(webhooks * sizeof(struct bytes));
    arrays->bodies = memory_new(webhooks * sizeof(struct bytes));
    arrays->problems = memory_new(webhooks * sizeof(struct bytes));
    arrays->event_count = 0;
    arrays->event_webhooks = memory_new(events * sizeof(int64_t));
    arrays->event_ids = memory_new(events * sizeof(int64_t));
    arrays->types = memory_new(events * sizeof(struct bytes));
    arrays->keys = memory_new(events * sizeof(struct bytes));
    arrays->lanes = memory_new(events * sizeof(int64_t));
    arrays->occurred = memory_new(events * sizeof(struct bytes));
    arrays->docs = memory_new(events * sizeof(struct bytes));
}

static void arrays_done(struct ingest_arrays *arrays)
{
    for (size_t i = 0; i < arrays->event_count; i++) {
        free((void *)(uintptr_t)arrays->docs[i].ptr);
    }
    free(arrays->webhook_ids);
    free(arrays->sources);
    free(arrays->headers);
    free(arrays->bodies);
    free(arrays->problems);
    free(arrays->event_webhooks);
    free(arrays->event_ids);
    free(arrays->types);
    free(arrays->keys);
    free(arrays->lanes);
    free(arrays->occurred);
    free(arrays->docs);
}

/* The document as it is stored: without what columns say. */
static char *document_text(const json_t *event)
{
    json_t *document = json_copy((json_t *)(uintptr_t)event);
    json_object_del(document, "id");
    json_object_del(document, "lane");
    json_object_del(document, "received_at");
    char *text = json_dump(document);
    json_decref(document);
    return text;
}

static err_t add_event(struct ingest_arrays *arrays, int64_t webhook_id, const json_t *event, struct error *reterr)
{
    const char *type = json_str(event, "type");
    const char *key = json_str(event, "key");
    int64_t id = json_int(event, "id", 0);
    if (type == NULL || key == NULL || id <= 0) {
        return fail(reterr, ERR_INTERNAL, "an event without id, type or key cannot be stored");
    }
    size_t n = arrays->event_count++;
    arrays->event_webhooks[n] = webhook_id;
    arrays->event_ids[n] = id;
    arrays->types[n] = bytes_of(type);
    arrays->keys[n] = bytes_of(key);
    arrays->lanes[n] = json_int(event, "lane", 0);
    arrays->occurred[n] = bytes_of(json_str(event, "occurred_at"));
    arrays->docs[n] = bytes_of(document_text(event));
    return ERR_NONE;
}

static err_t fill_arrays(struct ingest_arrays *arrays, const struct ingest_row *rows, size_t count,
                         struct error *reterr)
{
    for (size_t i = 0; i < count; i++) {
        const struct ingest_row *row = &rows[i];
        arrays->webhook_ids[i] = row->webhook_id;
        arrays->sources[i] = bytes_of(row->source);
        arrays->headers[i] = row->headers_json.len > 0 ? row->headers_json : BYTES_LITERAL("{}");
        arrays->bodies[i] = row->body.ptr != NULL ? row->body : BYTES_LITERAL("");
        arrays->problems[i] = bytes_of(row->problem);
        size_t index;
        json_t *event;
        json_array_foreach (row->events, index, event) {
            err_t err = add_event(arrays, row->webhook_id, event, reterr);
            if (err != ERR_NONE) {
                return err;
            }
        }
    }
    return ERR_NONE;
}

err_t ingest_store_append(struct pg_async *pg, const struct ingest_row *rows, size_t count, msec_t deadline_ms,
                          pg_async_done *done, void *arg)
{
    static const char sql[] =
        "SELECT event_id, is_new FROM ingest_append($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::text[], "
        "$6::bigint::integer,"
        " $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[])";
    struct ingest_arrays a;
    arrays_init(&a, count, count_events(rows, count));
    err_t err = fill_arrays(&a, rows, count, NULL);
    if (err == ERR_NONE) {
        const struct pg_value values[] = {
            PG_VALUE_INT8S(a.webhook_ids, a.webhook_count),  PG_VALUE_TEXTS(a.sources, a.webhook_count),
            PG_VALUE_TEXTS(a.headers, a.webhook_count),      PG_VALUE_BYTEAS(a.bodies, a.webhook_count),
            PG_VALUE_TEXTS(a.problems, a.webhook_count),     PG_VALUE_INT8(count > 0 ? rows[0].parser : 0),
            PG_VALUE_INT8S(a.event_webhooks, a.event_count), PG_VALUE_INT8S(a.event_ids, a.event_count),
            PG_VALUE_TEXTS(a.types, a.event_count),          PG_VALUE_TEXTS(a.keys, a.event_count),
            PG_VALUE_INT8S(a.lanes, a.event_count),          PG_VALUE_TEXTS(a.occurred, a.event_count),
            PG_VALUE_TEXTS(a.docs, a.event_count),
        };
        err = pg_async_run(pg, sql, values, ARRAY_LEN(values), deadline_ms, done, arg);
    }
    arrays_done(&a);
    return err;
}

size_t ingest_store_new_events(const struct pg_result *result)
{
    size_t fresh = 0;
    for (size_t row = 0; row < pg_rows(result); row++) {
        fresh += pg_bool(result, row, 1);
    }
    return fresh;
}

err_t ingest_store_reserve_ids(struct pg_async *pg, size_t count, msec_t deadline_ms, pg_async_done *done, void *arg)
{
    static const char sql[] = "SELECT reserve_ids($1::bigint)";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)count) };
    return pg_async_run(pg, sql, values, ARRAY_LEN(values), deadline_ms, done, arg);
}
