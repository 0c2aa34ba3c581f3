/* What the engine makes of a batch that fails: whose fault it is, who waits for it, and who does not. */
#include "engine/engine.h"

#include <stdatomic.h>

#include "store/database.h"

#include "patience.h"

#define SCHEMA "answerd_engine_test"
#define EVENTS 20
#define BAD 7 /* of them; 2 comes before it in its lane, 12 and 17 behind it */
#define ATTEMPTS 2

/* Statements are known by where their text stands, so each has its own. */
#define COUNT(table) database_number(stage.pg, "SELECT count(*) FROM " table)

static const char rules_text[] =
    "rule { name = 'quick', on = 'custom.quick', run = function() end }\n"
    "rule { name = 'slow', on = 'custom.slow', run = function() while true do end end }\n"
    "cron 'yearly' { schedule = '0 3 1 1 *' }\n"
    "endpoint 'crm' { url = 'https://crm.example/' }\n"
    "rule { name = 'calls', on = 'custom.calls', run = function(e, fx) fx:webhook('crm', {}) end }\n";

/* What the database says of work that it does not like, for the first `times` times. A sequence counts them, because it
 * keeps what is rolled back. */
static const char refusing_sql[] =
    "CREATE SEQUENCE refused MINVALUE 0 START 0; SELECT nextval('refused');"
    "CREATE TABLE refusal (event_id bigint, sqlstate text, times bigint);"
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN"
    " SELECT * INTO r FROM refusal WHERE event_id = new.event_id;"
    " IF FOUND AND nextval('refused') <= r.times THEN RAISE EXCEPTION 'not this one' USING ERRCODE = r.sqlstate; END IF;"
    " RETURN new; END $$;"
    "CREATE TRIGGER refuse BEFORE INSERT ON handling FOR EACH ROW EXECUTE FUNCTION refuse()";

struct stage {
    struct pg *pg;
    struct config config;
    struct rule_feed *feed;
    json_t *sources;
    struct engine *engine;
    atomic_uint committed;
};

static struct stage stage;

static void note_committed(void *arg)
{
    (void)arg;
    atomic_fetch_add(&stage.committed, 1);
}

static void put_rules_in_force(void)
{
    const struct rule_source_file file = { "a.lua", bytes_of(rules_text) };
    struct rule_sources *sources = NULL;
    bool changed = false;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &sources, e));
    SUCCEEDS(rule_feed_store(stage.pg, sources, e));
    SUCCEEDS(version_store_change(stage.pg, "start", rule_sources_version(sources), "test", &changed, e));
    stage.feed = rule_feed_new(sources);
    SUCCEEDS(rule_feed_follow(stage.feed, stage.pg, NULL, e));
}

static int set_up(void **state)
{
    (void)state;
    stage = (struct stage){ .pg = database_open_migrated(SCHEMA), .sources = json_object() };
    SUCCEEDS(pg_script(stage.pg, refusing_sql, e));
    SUCCEEDS(pg_script(stage.pg, "SELECT setval('object_id', 10000)", e)); /* beyond the events' own numbers */
    put_rules_in_force();
    stage.config.database.url = (char *)(uintptr_t)database_conninfo(SCHEMA);
    stage.config.engine.batch_events = 100;
    stage.config.engine.attempts = ATTEMPTS;
    stage.config.engine.max_depth = 10;
    stage.config.engine.poll_ms = 100;
    stage.config.rules.max_instructions = UINT64_MAX / 2;
    stage.config.rules.max_memory_bytes = (size_t)16 * 1024 * 1024;
    stage.config.rules.max_effects = 100;
    stage.config.rules.max_wall_ms = 1000;
    stage.config.rules.quarantine_after = 1000;
    stage.config.rules.quarantine_ms = 1000;
    stage.config.rules.quarantine_longest_ms = 1000;
    return 0;
}

static void start(void)
{
    const struct engine_settings settings = {
        .config = &stage.config,
        .rules = stage.feed,
        .sources = stage.sources,
        .committed = note_committed,
    };
    SUCCEEDS(engine_start(&settings, &stage.engine, e));
}

static void stop(void)
{
    engine_stop(stage.engine);
    engine_join(stage.engine);
    engine_free(stage.engine);
    stage.engine = NULL;
    assert_int_equal(COUNT("engine_worker"), 0);
}

static int tear_down(void **state)
{
    (void)state;
    if (stage.engine != NULL) {
        stop();
    }
    rule_feed_free(stage.feed);
    json_decref(stage.sources);
    database_drop(stage.pg, SCHEMA);
    return 0;
}

/* Those with the numbers `from` to `to`, in five lanes. */
static void append_events(int64_t from, int64_t to, const char *type)
{
    char sql[400];
    snprintf(sql, sizeof(sql),
             "SELECT append_internal_events(jsonb_build_array(jsonb_build_object('id', i, 'key', 'k' || i, 'type', "
             "'%s', 'source', 'support', 'lane', i %% 5))) FROM generate_series(%lld, %lld) AS i ORDER BY i",
             type, (long long)from, (long long)to);
    SUCCEEDS(pg_script(stage.pg, sql, e));
}

static void add_events(int64_t count, const char *type)
{
    append_events(1, count, type);
}

static void add_event(int64_t id, const char *type)
{
    append_events(id, id, type);
}

static void refuse(const char *which, const char *sqlstate, unsigned times)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "INSERT INTO refusal SELECT i, '%s', %u FROM generate_series(1, %d) AS i WHERE %s",
             sqlstate, times, EVENTS, which);
    SUCCEEDS(pg_script(stage.pg, sql, e));
}

/* Nothing but the bad one suffers, and who is behind it waits until it is given up. */
static void assert_only_the_bad_one_is_parked(void)
{
    WAIT_UNTIL(COUNT("work") == 0);
    assert_int_equal(COUNT("parked_event"), 1);
    assert_int_equal(database_number(stage.pg, "SELECT event_id FROM parked_event WHERE problem LIKE '%not this one%'"),
                     BAD);
    assert_int_equal(database_number(stage.pg, "SELECT attempts FROM parked_event"), ATTEMPTS);
    assert_int_equal(COUNT("handling"), EVENTS - 1);
    assert_int_equal(COUNT("handling WHERE attempts <> 1"), 0);
    assert_int_equal(COUNT("handling, parked_event WHERE handled_at < parked_at AND handling.event_id IN (12, 17)"), 0);
    assert_int_equal(COUNT("handling, parked_event WHERE handled_at < parked_at"), EVENTS - 3);
}

static void test_an_event_that_is_refused_is_parked_alone(void **state)
{
    (void)state;
    add_events(EVENTS, "custom.quick");
    refuse("i = 7", "22000", 1000);
    start();
    assert_only_the_bad_one_is_parked();
}

/* Also when fewer wait with it than a conflict is tried again: 12 and 17, once it was refused. */
static void test_an_event_that_is_in_conflict_for_ever_is_parked_alone(void **state)
{
    (void)state;
    add_events(EVENTS, "custom.quick");
    refuse("i = 7", "40001", 1000);
    start();
    assert_only_the_bad_one_is_parked();
}

/* Somebody was in the way for a moment: that counts as nobody's failure. */
static void test_a_conflict_that_passes_is_no_failure(void **state)
{
    (void)state;
    add_event(1, "custom.quick");
    refuse("i = 1", "40001", 4);
    start();
    WAIT_UNTIL(COUNT("work") == 0);
    assert_int_equal(COUNT("handling WHERE attempts = 1"), 1);
    assert_true(database_number(stage.pg, "SELECT last_value FROM refused") > 4);
}

/* However many there were before it. */
static void test_conflicts_of_others_are_not_counted_with_its_own(void **state)
{
    (void)state;
    refuse("i = 1", "40001", 4);
    refuse("i = 2", "40001", 9); /* four more, after the try that was the first one's last */
    start();
    add_event(1, "custom.quick");
    WAIT_UNTIL(COUNT("handling") == 1);
    add_event(2, "custom.quick");
    WAIT_UNTIL(COUNT("handling") == 2);
    assert_int_equal(COUNT("handling WHERE attempts = 1"), 2);
    assert_true(database_number(stage.pg, "SELECT last_value FROM refused") > 9);
}

/* A full disk, a standby, a restart: events wait for its end however long it takes. */
static void test_a_database_in_trouble_is_no_failure_of_events(void **state)
{
    (void)state;
    add_events(1, "custom.quick");
    refuse("i = 1", "53100", 2 * ATTEMPTS);
    start();
    WAIT_UNTIL(COUNT("work") == 0);
    assert_int_equal(COUNT("handling WHERE attempts = 1"), 1);
    assert_true(database_number(stage.pg, "SELECT last_value FROM refused") > 2 * ATTEMPTS);
}

/* Of a batch that took longer than a transaction may stay open, the database only says that it is gone. Were it tried
 * again and again, nobody else would have a turn. Here the first event shortens that time, for its session, and the
 * rules of the second take longer; its second try has a session of its own. A machine that halts us before the
 * rules begin ends the transaction there, which is nobody's fault: then once more. */
static void test_what_takes_longer_than_a_transaction_may_counts_as_a_failure(void **state)
{
    (void)state;
    static const char hurrying_sql[] =
        "CREATE FUNCTION hurry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " PERFORM set_config('idle_in_transaction_session_timeout', '200', false); RETURN new; END $$;"
        "CREATE TRIGGER hurry BEFORE INSERT ON handling FOR EACH ROW WHEN (new.event_id % 2 = 1) EXECUTE FUNCTION hurry()";
    SUCCEEDS(pg_script(stage.pg, hurrying_sql, e));
    stage.config.rules.max_wall_ms = 400;
    start();
    for (int64_t id = 1; id < 10 && COUNT("handling WHERE attempts = 2") == 0; id += 2) {
        add_event(id, "custom.quick");
        WAIT_UNTIL(COUNT("work") == 0);
        add_event(id + 1, "custom.slow");
        WAIT_UNTIL(COUNT("work") == 0);
    }
    assert_int_equal(COUNT("handling WHERE attempts = 2 AND event_id % 2 = 0"), 1);
    assert_int_equal(COUNT("parked_event"), 0);
}

/* One of them may have been its death. */
static void test_what_a_dead_engine_had_in_hand_is_tried_one_by_one(void **state)
{
    (void)state;
    add_events(4, "custom.quick");
    struct pg *other = database_open(SCHEMA);
    const int64_t positions[] = { 1, 2, 3 };
    SUCCEEDS(engine_store_start_worker(other, 4711, e));
    SUCCEEDS(engine_store_note_in_flight(other, 4711, positions, ARRAY_LEN(positions), e));
    pg_close(other);
    WAIT_UNTIL(COUNT("pg_locks WHERE locktype = 'advisory' AND classid = 4204") == 0);
    start();
    WAIT_UNTIL(COUNT("work") == 0);
    assert_int_equal(database_number(stage.pg, "SELECT count(DISTINCT handled_at) FROM handling WHERE event_id <= 3"),
                     3);
    assert_int_equal(COUNT("handling WHERE attempts = 1"), 4);
    assert_int_equal(COUNT("engine_worker WHERE id = 4711"), 0);
}

static void test_who_sends_is_told_at_once_and_only_then(void **state)
{
    (void)state;
    start();
    add_event(1, "custom.quick");
    WAIT_UNTIL(COUNT("work") == 0);
    add_event(2, "custom.calls");
    WAIT_UNTIL(COUNT("work") == 0);
    stop();
    assert_int_equal(COUNT("delivery"), 1);
    assert_int_equal(stage.committed, 1);
}

/* An engine that would sleep for long wakes for what is due before that: whichever is the first. */
static void test_it_wakes_for_the_first_of_timers_and_crons(void **state)
{
    (void)state;
    static const char *const due_sql[] = {
        "INSERT INTO timer (id, name, due_at, lane) VALUES (1, 'first', now() + interval '1 second', 1);"
        "UPDATE cron SET next_at = now() + interval '1 hour'",
        "INSERT INTO timer (id, name, due_at, lane) VALUES (2, 'last', now() + interval '1 hour', 1);"
        "UPDATE cron SET next_at = now() + interval '1 second'",
        "DELETE FROM timer; UPDATE cron SET next_at = now() + interval '1 second'",
    };
    stage.config.engine.poll_ms = 4 * (msec_t)PATIENCE_MS;
    start();
    WAIT_UNTIL(COUNT("cron") == 1);
    for (size_t i = 0; i < ARRAY_LEN(due_sql); i++) {
        stop();
        SUCCEEDS(pg_script(stage.pg, due_sql[i], e));
        start();
        WAIT_UNTIL(COUNT("handling") == (int64_t)i + 1);
    }
    assert_int_equal(COUNT("event WHERE type = 'timer.first'"), 1);
    assert_int_equal(COUNT("event WHERE type = 'cron.yearly'"), 2);
}

/* A time zone may be gone from the machine. */
static void test_a_cron_that_has_no_next_time_does_not_fire_without_end(void **state)
{
    (void)state;
    start();
    WAIT_UNTIL(COUNT("cron") == 1);
    SUCCEEDS(pg_script(stage.pg, "UPDATE cron SET schedule = '{}', next_at = now()", e));
    WAIT_UNTIL(COUNT("handling") >= 1);
    stop();
    assert_int_equal(COUNT("cron WHERE next_at > now() + interval '300 days'"), 1);
    assert_int_equal(COUNT("event WHERE type = 'cron.yearly'"), 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_event_that_is_refused_is_parked_alone),
        CASE(test_an_event_that_is_in_conflict_for_ever_is_parked_alone),
        CASE(test_a_conflict_that_passes_is_no_failure),
        CASE(test_conflicts_of_others_are_not_counted_with_its_own),
        CASE(test_a_database_in_trouble_is_no_failure_of_events),
        CASE(test_what_takes_longer_than_a_transaction_may_counts_as_a_failure),
        CASE(test_what_a_dead_engine_had_in_hand_is_tried_one_by_one),
        CASE(test_who_sends_is_told_at_once_and_only_then),
        CASE(test_it_wakes_for_the_first_of_timers_and_crons),
        CASE(test_a_cron_that_has_no_next_time_does_not_fire_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
