#include "store/database.h"

#define SCHEMA "answerd_ingest_store_test"
#define DEADLINE_MS 30000

struct ingest {
    struct loop *loop;
    struct pg_async *pg;
    struct ingest_row *rows;
    size_t count;
    bool reserve;
    bool sent;
    err_t outcome;
    char problem[200];
    size_t new_events;
    int64_t first_id;
};

static void ended(const struct pg_result *result, const struct error *error, void *arg)
{
    struct ingest *ingest = arg;
    ingest->outcome = error != NULL ? error->code : ERR_NONE;
    if (error != NULL && error->code != ERR_NONE) {
        snprintf(ingest->problem, sizeof(ingest->problem), "%.190s", error->text);
    } else if (ingest->reserve) {
        ingest->first_id = pg_int8(result, 0, 0);
    } else {
        ingest->new_events = ingest_store_new_events(result);
    }
    loop_stop(ingest->loop);
}

static void ready(void *arg)
{
    struct ingest *ingest = arg;
    if (ingest->sent) {
        return;
    }
    ingest->sent = true;
    if (ingest->reserve) {
        assert_int_equal(ingest_store_reserve_ids(ingest->pg, 1000, DEADLINE_MS, ended, ingest), ERR_NONE);
    } else {
        assert_int_equal(ingest_store_append(ingest->pg, ingest->rows, ingest->count, DEADLINE_MS, ended, ingest),
                         ERR_NONE);
    }
}

/* Runs one statement on a connection and a loop of its own. */
static void run(struct ingest *ingest)
{
    const struct pg_settings settings = { .conninfo = database_conninfo(SCHEMA),
                                          .application_name = "ingest store test" };
    ingest->outcome = ERR_INTERNAL;
    ingest->loop = loop_new();
    ingest->pg = pg_async_new(ingest->loop, &settings);
    pg_async_on_ready(ingest->pg, ready, ingest);
    if (pg_async_is_ready(ingest->pg)) {
        ready(ingest);
    }
    loop_run(ingest->loop);
    pg_async_free(ingest->pg);
    loop_free(ingest->loop);
}

static struct ingest_events packed(const char *events)
{
    json_t *canonical CLEANUP(json_free) = document(events);
    struct buf scratch CLEANUP(buf_done);
    struct ingest_events result;
    buf_init(&scratch, 4096);
    assert_int_equal(ingest_events_init(&result, canonical, &scratch, NULL), ERR_NONE);
    return result;
}

static void test_a_batch(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct ingest_events events CLEANUP(ingest_events_done) =
        packed("[{'id': 99, 'type': 'message.received', 'key': 'k1', 'lane': 98, 'source': 'whatsapp', 'occurred_at': "
               "'2026-01-02T03:04:05.678Z', 'message': {'text': 'hi'}},"
               " {'type': 'message.received', 'key': 'k1', 'source': 'whatsapp'},"
               " {'type': 'message.status', 'key': 'k2', 'source': 'whatsapp'}]");
    for (size_t i = 0; i < events.count; i++) {
        events.list[i].id = 11 + (int64_t)i;
        events.list[i].lane = 5;
    }
    struct ingest_row rows[] = {
        { .webhook_id = 1,
          .source = "whatsapp",
          .headers_json = BYTES_LITERAL("{\"a\": \"b\"}"),
          .body = BYTES_LITERAL("{\"x\": 1}"),
          .parser = 3,
          .events = events.list,
          .event_count = events.count },
        { .webhook_id = 2,
          .source = "stripe",
          .body = { "\0\xff"
                    "A",
                    3 },
          .problem = "not JSON",
          .parser = 3 },
        { .webhook_id = 3, .source = "stripe", .headers_json = BYTES_LITERAL("{}"), .parser = 3 },
    };
    struct ingest ingest = { .rows = rows, .count = ARRAY_LEN(rows) };
    run(&ingest);
    assert_string_equal(ingest.problem, "");
    assert_int_equal(ingest.outcome, ERR_NONE);
    assert_int_equal(ingest.new_events, 2);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM webhook WHERE parser = 3"), 3);
    assert_int_equal(
        database_number(pg,
                        "SELECT count(*) FROM webhook WHERE id = 2 AND problem = 'not JSON' AND body = '\\x00ff41'"),
        1);
    assert_int_equal(
        database_number(pg,
                        "SELECT count(*) FROM event WHERE id = 11 AND occurred_at = '2026-01-02 "
                        "03:04:05.678Z' AND doc #>> '{message,text}' = 'hi' AND lane = 5 AND NOT doc ?| '{id,lane}'"),
        1);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM event_key WHERE (event_id, digest) IN"
                                         " ((11, event_key_digest('k1')), (13, event_key_digest('k2')))"),
                     2);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM work"), 2);

    struct ingest again = { .rows = rows, .count = 1 };
    rows[0].webhook_id = 4;
    run(&again);
    assert_int_equal(again.outcome, ERR_NONE);
    assert_int_equal(again.new_events, 0);
    database_drop(pg, SCHEMA);
}

static void test_what_cannot_be_stored(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct ingest_events events CLEANUP(ingest_events_done) =
        packed("[{'type': 't', 'key': 'k1', 'occurred_at': 'yesterday, perhaps'}]");
    struct ingest_row rows[] = {
        { .webhook_id = 1, .source = "s", .events = events.list, .event_count = events.count }
    };
    struct ingest ingest = { .rows = rows, .count = 1 };
    run(&ingest);
    assert_int_equal(ingest.outcome, ERR_INVALID);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM webhook"), 0);

    json_t *keyless CLEANUP(json_free) = document("[{'type': 't'}]");
    struct ingest_events none;
    struct buf scratch CLEANUP(buf_done);
    buf_init(&scratch, 4096);
    assert_int_equal(ingest_events_init(&none, keyless, &scratch, NULL), ERR_INTERNAL);
    database_drop(pg, SCHEMA);
}

static void test_ids(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct ingest first = { .reserve = true };
    struct ingest second = { .reserve = true };
    run(&first);
    run(&second);
    assert_int_equal(first.outcome, ERR_NONE);
    assert_true(second.first_id >= first.first_id + 1000);
    database_drop(pg, SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch),
        cmocka_unit_test(test_what_cannot_be_stored),
        cmocka_unit_test(test_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
