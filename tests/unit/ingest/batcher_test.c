/* What the batcher tells each webhook's sender, against a real PostgreSQL that refuses some of them: exactly once, and
 * 200 only for what is stored. */
#include "ingest/batcher.h"

#include "store/database.h"

#include "patience.h"

#define SCHEMA "answerd_batcher_test"
#define MOST 16

/* Stands in for whatever the database may do with a webhook. What it counts stays counted when the statement fails. */
static const char behaviour[] =
    "CREATE SEQUENCE tries;"
    "CREATE FUNCTION behave() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE b text := convert_from(NEW.body, 'UTF8'); BEGIN"
    " IF b = 'poison' THEN PERFORM nextval('tries'); RAISE EXCEPTION 'poison' USING ERRCODE = '22000'; END IF;"
    " IF b = 'full' THEN PERFORM nextval('tries'); RAISE EXCEPTION 'disk full' USING ERRCODE = '53100'; END IF;"
    " IF b = 'slow' THEN PERFORM nextval('tries'); RAISE EXCEPTION 'too slow' USING ERRCODE = '57014'; END IF;"
    " IF b = 'twice' AND nextval('tries') <= 2 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40P01'; END IF;"
    " IF b = 'always' THEN PERFORM nextval('tries'); RAISE EXCEPTION 'conflict' USING ERRCODE = '40P01'; END IF;"
    " IF b = 'gone' THEN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); END IF;"
    " RETURN NEW; END $$;"
    "CREATE TRIGGER behave BEFORE INSERT ON webhook FOR EACH ROW EXECUTE FUNCTION behave()";

struct stage {
    struct pg *pg;
    struct loop *loop;
    struct pg_async *async;
    struct batcher *batcher;
    struct batcher_settings settings;
    struct loop_timer *tick, *patience;
    const char *const *bodies; /* to be added when there is a connection */
    const char *const *next;   /* after each of those was told, `checked` was called */
    void (*checked)(const struct stage *stage);
    unsigned rounds;
    err_t added[MOST], told[MOST];
    unsigned times[MOST], order[MOST];
    unsigned count, done;
    bool stops_when_added;
};

struct ticket {
    struct stage *stage;
    unsigned number;
};
static struct ticket tickets[MOST];

static void told(const struct error *e, void *arg)
{
    const struct ticket *ticket = arg;
    struct stage *stage = ticket->stage;
    stage->told[ticket->number] = e->code;
    stage->times[ticket->number]++;
    stage->order[stage->done++] = ticket->number;
}

static void add_all(struct stage *stage)
{
    for (; stage->bodies[stage->count] != NULL; stage->count++) {
        unsigned i = stage->count;
        tickets[i] = (struct ticket){ stage, i };
        const struct batch_item item = { .source = "shop",
                                         .headers_json = BYTES_LITERAL("{\"a\":\"b\"}"),
                                         .body = bytes_of(stage->bodies[i]),
                                         .problem = "not parsed",
                                         .done = told,
                                         .arg = &tickets[i] };
        stage->added[i] = batcher_add(stage->batcher, &item);
    }
}

static void ticked(void *arg)
{
    struct stage *stage = arg;
    if (stage->count == 0 && pg_async_is_ready(stage->async)) {
        add_all(stage);
    }
    unsigned owed = 0;
    for (unsigned i = 0; i < stage->count; i++) {
        owed += stage->added[i] == ERR_NONE;
    }
    if (stage->count > 0 && (stage->stops_when_added || stage->done >= owed)) {
        if (stage->checked != NULL) {
            stage->checked(stage);
        }
        if (stage->rounds-- == 0) {
            loop_stop(stage->loop);
            return;
        }
        stage->bodies = stage->next;
        stage->count = stage->done = 0;
        memset(stage->times, 0, sizeof(stage->times));
    }
    loop_timer_set(stage->tick, 1);
}

static void lost_patience(void *arg)
{
    const struct stage *stage = arg;
    fail_msg("%u of %u were told", stage->done, stage->count);
}

static void set_up(struct stage *stage)
{
    static bool is_made;
    *stage = (struct stage){
        .pg = is_made ? database_open(SCHEMA) : database_open_migrated(SCHEMA),
        .settings = { .batch_rows = 64, .queue_rows = 100, .queue_bytes = 1000000, .commit_deadline_ms = PATIENCE_MS }
    };
    SUCCEEDS(pg_script(stage->pg, is_made ? "TRUNCATE webhook; ALTER SEQUENCE tries RESTART" : behaviour, e));
    is_made = true;
}

/* All in one go, so that they wait together; returns when each was told. */
static void run(struct stage *stage, const char *const *bodies)
{
    const struct pg_settings settings = { .conninfo = database_conninfo(SCHEMA), .application_name = "batcher test" };
    stage->bodies = bodies;
    stage->loop = loop_new();
    stage->async = pg_async_new(stage->loop, &settings);
    stage->batcher = batcher_new(stage->loop, stage->async, &stage->settings);
    stage->tick = loop_timer_new(stage->loop, ticked, stage);
    stage->patience = loop_timer_new(stage->loop, lost_patience, stage);
    loop_timer_set(stage->tick, 0);
    loop_timer_set(stage->patience, PATIENCE_MS);
    loop_run(stage->loop);
}

static void tear_down(struct stage *stage)
{
    loop_timer_free(stage->tick);
    loop_timer_free(stage->patience);
    pg_async_free(stage->async);
    batcher_free(stage->batcher);
    loop_free(stage->loop);
    for (unsigned i = 0; i < stage->count; i++) {
        assert_int_equal(stage->times[i], stage->added[i] == ERR_NONE);
    }
    pg_close(stage->pg);
}

static int64_t stored(const struct stage *stage)
{
    return database_number(stage->pg,
                           "SELECT count(*) FROM webhook WHERE problem = 'not parsed' AND headers->>'a' = 'b'");
}

static void expect_told(const struct stage *stage, unsigned number, err_t code)
{
    if (stage->times[number] != 1 || stage->told[number] != code) {
        fail_msg("'%s' was told %d, %u times", stage->bodies[number], (int)stage->told[number], stage->times[number]);
    }
}

static void test_one_that_is_refused_costs_only_itself(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "2", "poison", "4", "5", "6", "7", NULL };
    struct stage stage;
    set_up(&stage);
    stage.settings.batch_rows = 4;
    run(&stage, bodies);
    for (unsigned i = 0; i < stage.count; i++) {
        expect_told(&stage, i, i == 2 ? ERR_INVALID : ERR_NONE);
        assert_int_equal(stage.order[i], i); /* nobody overtakes those that go one by one */
    }
    assert_int_equal(stored(&stage), 6);
    assert_int_equal(database_number(stage.pg, "SELECT last_value FROM tries"), 2); /* with the others, and alone */
    static const char overtaken[] =
        "SELECT count(*) FROM (SELECT convert_from(body, 'UTF8')::integer AS n, "
        "row_number() OVER (ORDER BY received_at, id) AS place FROM webhook) AS w WHERE n <> place + (n > 2)::integer";
    assert_int_equal(database_number(stage.pg, overtaken), 0);
    tear_down(&stage);
}

static void test_a_conflict_is_tried_again(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "twice", "3", "4", "5", NULL };
    struct stage stage;
    set_up(&stage);
    stage.settings.batch_rows = 3; /* the last two wait meanwhile */
    run(&stage, bodies);
    for (unsigned i = 0; i < stage.count; i++) {
        expect_told(&stage, i, ERR_NONE);
        assert_int_equal(stage.order[i], i); /* and do not overtake */
    }
    assert_int_equal(stored(&stage), 5);
    tear_down(&stage);
}

static void test_a_conflict_that_stays_may_come_again(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "always", "3", NULL };
    struct stage stage;
    set_up(&stage);
    run(&stage, bodies);
    expect_told(&stage, 0, ERR_NONE);
    expect_told(&stage, 1, ERR_CONFLICT);
    expect_told(&stage, 2, ERR_NONE);
    assert_int_equal(stored(&stage), 2);
    assert_int_equal(database_number(stage.pg, "SELECT last_value FROM tries"), 4);
    tear_down(&stage);
}

/* It is not about one of them: to ask for each would only add to the trouble. */
static void test_trouble_of_the_database_is_told_to_all_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        err_t code;
    } cases[] = { { "full", ERR_BUSY }, { "slow", ERR_TIMEOUT } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const bodies[] = { "1", cases[i].body, "3", NULL };
        struct stage stage;
        set_up(&stage);
        run(&stage, bodies);
        for (unsigned n = 0; n < stage.count; n++) {
            expect_told(&stage, n, cases[i].code);
        }
        assert_int_equal(stored(&stage), 0);
        assert_int_equal(database_number(stage.pg, "SELECT last_value FROM tries"), 1);
        tear_down(&stage);
    }
}

/* Whatever keeps it from giving ids, it is not about these webhooks. */
static void test_without_ids_they_may_come_again(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "2", NULL };
    struct stage stage;
    set_up(&stage);
    SUCCEEDS(pg_script(
        stage.pg,
        "ALTER FUNCTION reserve_ids(bigint) RENAME TO kept; CREATE FUNCTION reserve_ids(bigint) RETURNS bigint "
        "LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'none left' USING ERRCODE = '2200H'; END $$",
        e));
    run(&stage, bodies);
    SUCCEEDS(
        pg_script(stage.pg, "DROP FUNCTION reserve_ids(bigint); ALTER FUNCTION kept(bigint) RENAME TO reserve_ids", e));
    expect_told(&stage, 0, ERR_BUSY);
    expect_told(&stage, 1, ERR_BUSY);
    tear_down(&stage);
}

static void all_are_lost_first(const struct stage *stage)
{
    for (unsigned i = 0; i < stage->count; i++) {
        expect_told(stage, i, stage->rounds > 0 ? ERR_LOST : ERR_NONE);
    }
    assert_int_equal(stored(stage), stage->rounds > 0 ? 0 : 2);
}

static void test_a_lost_connection_is_told_to_all_and_comes_back(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "gone", "3", NULL }, *const after[] = { "4", "5", NULL };
    struct stage stage;
    set_up(&stage);
    stage.settings.batch_rows = 2; /* one is on its way with it, one waits */
    stage.next = after;
    stage.rounds = 1;
    stage.checked = all_are_lost_first;
    run(&stage, bodies);
    tear_down(&stage);
}

/* Their senders would wait for a database that may be away for long. */
static void test_those_that_go_one_by_one_are_told_of_a_lost_connection(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "poison", "gone", "4", "5", NULL };
    static const err_t codes[] = { ERR_NONE, ERR_INVALID, ERR_LOST, ERR_LOST, ERR_LOST };
    struct stage stage;
    set_up(&stage);
    stage.settings.batch_rows = 4;
    run(&stage, bodies);
    for (unsigned i = 0; i < stage.count; i++) {
        expect_told(&stage, i, codes[i]);
    }
    assert_int_equal(stored(&stage), 1);
    tear_down(&stage);
}

/* The very first one waits for ids; later the first is on its way at once. */
static void two_may_wait(const struct stage *stage)
{
    unsigned fit = stage->rounds > 0 ? 2 : 3;
    for (unsigned i = 0; i < stage->count; i++) {
        assert_int_equal(stage->added[i], i < fit ? ERR_NONE : ERR_BUSY);
        assert_int_equal(stage->times[i], i < fit);
        assert_true(i >= fit || stage->told[i] == ERR_NONE);
    }
}

static void test_a_full_queue_takes_nothing_over(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "2", "3", "4", NULL };
    struct stage stage;
    set_up(&stage);
    stage.settings.queue_rows = 2;
    stage.next = bodies;
    stage.rounds = 1;
    stage.checked = two_may_wait;
    run(&stage, bodies);
    assert_int_equal(stored(&stage), 5);
    tear_down(&stage);
}

static void those_that_wait_fit_in(const struct stage *stage)
{
    expect_told(stage, 0, ERR_NONE);
    assert_int_equal(stage->added[1], ERR_BUSY);
}

static void test_the_queue_is_as_large_as_its_bytes(void **state)
{
    (void)state;
    static const char *const bodies[] = { "alone it may be larger than the queue", "2", NULL };
    static const char *const small[] = { "1", NULL };
    struct stage stage;
    set_up(&stage);
    stage.settings.queue_bytes = 1040;
    stage.checked = those_that_wait_fit_in;
    run(&stage, bodies);
    tear_down(&stage);
    /* Two at a time, over and over: what was stored takes no room. */
    static const char *const pair[] = { "1", "2", NULL };
    set_up(&stage);
    stage.settings.queue_bytes = 2100;
    stage.next = pair;
    stage.rounds = 3;
    run(&stage, small);
    expect_told(&stage, 1, ERR_NONE);
    assert_int_equal(stored(&stage), 1 + 3 * 2);
    tear_down(&stage);
}

/* Nobody may take what was not told for stored. */
static void test_the_end_is_told_to_all(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", "2", "3", NULL };
    struct stage stage;
    set_up(&stage);
    stage.stops_when_added = true;
    run(&stage, bodies);
    assert_int_equal(stage.done, 0);
    tear_down(&stage);
    for (unsigned i = 0; i < stage.count; i++) {
        assert_true(stage.told[i] == ERR_LOST || stage.told[i] == ERR_BUSY);
    }
}

static void test_without_a_connection_nothing_is_taken_over(void **state)
{
    (void)state;
    static const char *const bodies[] = { "1", NULL };
    struct stage stage;
    set_up(&stage);
    const struct pg_settings settings = { .conninfo = database_conninfo(SCHEMA), .application_name = "batcher test" };
    stage.bodies = bodies;
    stage.loop = loop_new();
    stage.async = pg_async_new(stage.loop, &settings);
    stage.batcher = batcher_new(stage.loop, stage.async, &stage.settings);
    if (!pg_async_is_connected(stage.async)) {
        add_all(&stage);
        assert_int_equal(stage.added[0], ERR_BUSY);
    }
    tear_down(&stage);
}

static int drop_schema(void **state)
{
    (void)state;
    if (database_conninfo(SCHEMA) != NULL) {
        database_drop(database_open(SCHEMA), SCHEMA);
    }
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_is_refused_costs_only_itself),
        cmocka_unit_test(test_a_conflict_is_tried_again),
        cmocka_unit_test(test_a_conflict_that_stays_may_come_again),
        cmocka_unit_test(test_trouble_of_the_database_is_told_to_all_at_once),
        cmocka_unit_test(test_without_ids_they_may_come_again),
        cmocka_unit_test(test_a_lost_connection_is_told_to_all_and_comes_back),
        cmocka_unit_test(test_those_that_go_one_by_one_are_told_of_a_lost_connection),
        cmocka_unit_test(test_a_full_queue_takes_nothing_over),
        cmocka_unit_test(test_the_queue_is_as_large_as_its_bytes),
        cmocka_unit_test(test_the_end_is_told_to_all),
        cmocka_unit_test(test_without_a_connection_nothing_is_taken_over),
    };
    return cmocka_run_group_tests(tests, NULL, drop_schema);
}
