/* When crons fire, and which of them there are: those of the rules in force, once for all engines. */
#include "engine/crons.h"

#include "rules/rule_feed.h"
#include "store/database.h"
#include "store/rule_store.h"

#include "captured.h"

#define SCHEMA "answerd_crons_test"

/* Statements are known by where their text stands, so each has its own. */
#define COUNT(what) database_number(pg, "SELECT count(*) FROM " what)

static const char first_text[] = "cron 'hourly' { every = '1h' }\n"
                                 "cron 'daily' { schedule = '0 3 * * *', timezone = 'UTC', missed = 'run_once' }\n";
static const char second_text[] = "cron 'hourly' { every = '1h', missed = 'run_once' }\n"
                                  "cron 'daily' { schedule = '0 4 * * *', timezone = 'UTC' }\n"
                                  "cron 'added' { every = '30m' }\n";
static const char third_text[] = "cron 'added' { every = '30m' }\n";

static struct pg *pg;
static struct rule_set *sets[3];

static struct rule_set *load(const char *text)
{
    const struct rule_source_file file = { "a.lua", bytes_of(text) };
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &sources, e));
    SUCCEEDS(rule_feed_store(pg, sources, e));
    SUCCEEDS(rule_set_load(sources, NULL, NULL, &set, e));
    rule_sources_free(sources);
    return set;
}

static void put_in_force(const char *action, struct rule_set *rules)
{
    bool changed = false;
    SUCCEEDS(version_store_change(pg, action, rule_set_version(rules), "test", &changed, e));
    assert_true(changed);
}

static int set_up(void **state)
{
    (void)state;
    pg = database_open_migrated(SCHEMA);
    sets[0] = load(first_text);
    sets[1] = load(second_text);
    sets[2] = load(third_text);
    put_in_force("start", sets[0]);
    SUCCEEDS(crons_register(pg, sets[0], e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clock_set(0);
    for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
        rule_set_free(sets[i]);
    }
    database_drop(pg, SCHEMA);
    return 0;
}

static void run(const char *sql)
{
    SUCCEEDS(pg_script(pg, sql, e));
}

static int64_t fire(msec_t *ret_next_due)
{
    int64_t fired = -1;
    *ret_next_due = -1;
    SUCCEEDS(crons_fire(pg, &fired, ret_next_due, e));
    return fired;
}

static void test_they_are_registered_with_their_next_time(void **state)
{
    (void)state;
    assert_int_equal(COUNT("cron"), 2);
    assert_int_equal(COUNT("cron WHERE name = 'hourly' AND missed = 'skip' AND last_at IS NULL"
                           " AND next_at = date_trunc('hour', next_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
                           " AND next_at BETWEEN now() - interval '1 minute' AND now() + interval '1 hour'"),
                     1);
    assert_int_equal(COUNT("cron WHERE name = 'daily' AND missed = 'run_once'"
                           " AND (next_at AT TIME ZONE 'UTC')::time = '03:00'"
                           " AND next_at BETWEEN now() - interval '1 minute' AND now() + interval '1 day'"),
                     1);
}

/* A deploy must not lose what is due just then, nor fire what has another time now. */
static void test_a_reload_keeps_the_times_of_those_that_stay(void **state)
{
    (void)state;
    run("UPDATE cron SET next_at = '2026-01-01 00:00:00.123456+00'");
    SUCCEEDS(crons_register(pg, sets[0], e));
    assert_int_equal(COUNT("cron WHERE next_at = '2026-01-01 00:00:00.123456+00'"), 2);
    put_in_force("reload", sets[1]);
    SUCCEEDS(crons_register(pg, sets[1], e));
    assert_int_equal(COUNT("cron"), 3);
    assert_int_equal(COUNT("cron WHERE name = 'hourly' AND missed = 'run_once' AND next_at = "
                           "'2026-01-01 00:00:00.123456+00'"),
                     1);
    assert_int_equal(COUNT("cron WHERE name = 'daily' AND missed = 'skip' AND (next_at AT TIME ZONE 'UTC')::time = "
                           "'04:00' AND next_at > now() - interval '1 minute'"),
                     1);
    put_in_force("reload", sets[2]);
    SUCCEEDS(crons_register(pg, sets[2], e));
    assert_int_equal(COUNT("cron"), 1);
    assert_int_equal(COUNT("cron WHERE name = 'added'"), 1);
}

static void test_an_engine_with_the_rules_before_changes_nothing(void **state)
{
    (void)state;
    put_in_force("reload", sets[2]);
    SUCCEEDS(crons_register(pg, sets[2], e));
    SUCCEEDS(crons_register(pg, sets[1], e));
    assert_int_equal(COUNT("cron"), 1);
    assert_int_equal(COUNT("cron WHERE name = 'added'"), 1);
}

static void test_one_that_is_due_becomes_an_event_once(void **state)
{
    (void)state;
    msec_t next_due = 0;
    run("UPDATE cron SET next_at = '2100-01-01 10:00:00+00'");
    assert_int_equal(fire(&next_due), 0);
    assert_int_equal(next_due, 4102480800000);
    run("UPDATE cron SET next_at = date_trunc('second', now()) - interval '1.876544 second' WHERE name = 'hourly';"
        "CREATE TEMPORARY TABLE due AS SELECT * FROM cron WHERE name = 'hourly'");
    assert_int_equal(fire(&next_due), 1);
    assert_int_equal(next_due, 4102480800000);
    assert_int_equal(COUNT("event JOIN work ON event_id = event.id JOIN due ON type = 'cron.hourly'"
                           " JOIN cron USING (name)"
                           " WHERE occurred_at = due.next_at AND event.lane = identity_lane('cron:hourly')"
                           " AND source = 'answerd' AND (doc #>> '{body,due_at}')::timestamptz = due.next_at"
                           " AND (doc #>> '{body,next_at}')::timestamptz = cron.next_at"
                           " AND cron.next_at > now() - interval '1 minute' AND cron.last_at = due.next_at"),
                     1);
    assert_int_equal(fire(&next_due), 0);
    assert_int_equal(COUNT("event"), 1);
    run("DELETE FROM cron");
    assert_int_equal(fire(&next_due), 0);
    assert_int_equal(next_due, 0);
}

/* Both engines saw that it was due, and it is due again before the second one gets at it. */
static void test_of_two_engines_one_fires_it(void **state)
{
    (void)state;
    json_t *due = NULL;
    msec_t next_due = 0;
    bool fired = false;
    run("UPDATE cron SET next_at = now() - interval '1 second' WHERE name = 'hourly'");
    SUCCEEDS(cron_store_due(pg, &due, &next_due, e));
    assert_int_equal(json_array_size(due), 1);
    for (int i = 0; i < 2; i++) {
        SUCCEEDS(cron_store_fire(pg, json_array_get(due, 0), clock_now() - 1, true, &fired, e));
        assert_int_equal(fired, i == 0);
    }
    json_decref(due);
    assert_int_equal(COUNT("event"), 1);
}

/* A minute late is no miss: an engine may have been busy, or have started just now. */
static void test_what_was_missed_is_skipped_or_made_up_for_once(void **state)
{
    (void)state;
    msec_t next_due = 0;
    struct capture capture;
    run("UPDATE cron SET next_at = now() - interval '30 seconds'");
    assert_int_equal(fire(&next_due), 2);
    assert_int_equal(COUNT("event"), 2);

    run("UPDATE cron SET next_at = now() - interval '5 days', last_at = NULL");
    capture_begin(&capture);
    assert_int_equal(fire(&next_due), 1);
    const char *said = capture_end(&capture);
    assert_non_null(strstr(said, "a cron's time was missed and is skipped\" cron=\"hourly\""));
    assert_null(strstr(said, "daily"));
    assert_int_equal(COUNT("event WHERE type = 'cron.daily'"), 2);
    assert_int_equal(COUNT("cron WHERE next_at > now() - interval '1 minute'"), 2);
    assert_int_equal(COUNT("cron WHERE last_at IS NULL AND name = 'hourly'"), 1);
    assert_int_equal(fire(&next_due), 0);
    assert_int_equal(COUNT("event"), 3);
}

/* The database says what is due, and this machine's idea of its clock is a little behind. */
static void test_a_clock_that_is_behind_finds_the_time_after_the_one_that_is_due(void **state)
{
    (void)state;
    msec_t next_due = 0;
    run("UPDATE cron SET next_at = '2026-01-01 10:00:00+00' WHERE name = 'hourly'; DELETE FROM cron WHERE name = "
        "'daily'");
    clock_set(1767261600000 - 20); /* 10:00 */
    assert_int_equal(fire(&next_due), 1);
    assert_int_equal(COUNT("cron WHERE next_at = '2026-01-01 11:00:00+00'"), 1);
    assert_int_equal(COUNT("event WHERE doc #>> '{body,next_at}' LIKE '2026-01-01T11:00:00%'"), 1);
}

static void test_what_the_database_refuses_is_told_and_still_due(void **state)
{
    (void)state;
    int64_t fired = 7;
    msec_t next_due = 7;
    struct error error;
    run("UPDATE cron SET next_at = now() - interval '1 second' WHERE name = 'hourly';"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = "
        "'53100'; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse()");
    assert_int_equal(crons_fire(pg, &fired, &next_due, &error), ERR_BUSY);
    assert_string_equal(error.sqlstate, "53100");
    run("DROP TRIGGER refuse ON event");
    assert_int_equal(fire(&next_due), 1);
    assert_int_equal(COUNT("event"), 1);
    run("ALTER TABLE cron RENAME TO cron_away");
    assert_int_equal(crons_fire(pg, &fired, &next_due, &error), ERR_BUSY);
    assert_int_equal(crons_register(pg, sets[0], &error), ERR_BUSY);
    assert_string_equal(error.sqlstate, "42P01");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_they_are_registered_with_their_next_time),
        CASE(test_a_reload_keeps_the_times_of_those_that_stay),
        CASE(test_an_engine_with_the_rules_before_changes_nothing),
        CASE(test_one_that_is_due_becomes_an_event_once),
        CASE(test_of_two_engines_one_fires_it),
        CASE(test_what_was_missed_is_skipped_or_made_up_for_once),
        CASE(test_a_clock_that_is_behind_finds_the_time_after_the_one_that_is_due),
        CASE(test_what_the_database_refuses_is_told_and_still_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
