/* Alerts on their way to the rules, against a real PostgreSQL: once an hour for each target and problem, and none is
 * lost because the database was busy. */
#include "deliver/alerts.h"

#include "store/database.h"

#include "captured.h"
#include "patience.h"

#define SCHEMA "answerd_alerts_test"
#define HOUR_MS ((msec_t)3600 * 1000)
#define NOON ((msec_t)1795608000000) /* 2026-11-25T12:00:00Z */

/* Stands in for whatever the database may say of an event. */
static const char refusing[] =
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " IF NEW.doc #>> '{body,source}' = 'bad' THEN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END IF;"
    " IF current_setting('test.busy', true) = 'yes' THEN RAISE EXCEPTION 'busy' USING ERRCODE = '53100'; END IF;"
    " RETURN NEW; END $$;"
    "CREATE TRIGGER refuse BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse()";

static void say(struct alerts *alerts, const char *problem, const char *source)
{
    json_t *said =
        json_pack("[{s:s,s:s,s:s,s:s}]", "problem", problem, "source", source, "code", "190", "reason", "why");
    alerts_take(alerts, said);
    assert_int_equal(json_array_size(said), 0);
    json_decref(said);
}

static int64_t stored(struct pg *pg)
{
    return database_number(pg, "SELECT count(*) FROM event WHERE type = 'custom.system_alert'");
}

static void test_once_an_hour_for_each(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    assert_int_equal(alerts_due(alerts), 0);
    say(alerts, "channel_down", "whatsapp");
    say(alerts, "channel_down", "whatsapp");
    say(alerts, "channel_limited", "whatsapp");
    say(alerts, "channel_down", "telegram");
    assert_int_equal(alerts_waiting(alerts), 3);
    assert_true(alerts_due(alerts) > 0 && alerts_due(alerts) <= clock_steady());
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(alerts_waiting(alerts), 0);
    assert_int_equal(alerts_due(alerts), 0);
    assert_int_equal(stored(pg), 3);
    /* After it was stored, too, and on another node. */
    clock_set(NOON + HOUR_MS - 1);
    say(alerts, "channel_down", "whatsapp");
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(stored(pg), 3);
    clock_set(NOON + HOUR_MS);
    say(alerts, "channel_down", "whatsapp");
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(stored(pg), 4);
    static const char whole[] =
        "SELECT count(*) FROM event JOIN work ON event_id = id WHERE source = 'answerd' AND key LIKE "
        "'alert:channel\\_limited:whatsapp:%'"
        " AND occurred_at = '2026-11-25T12:00:00Z' AND event.lane = identity_lane('source:answerd')"
        " AND doc->>'provider' = 'answerd' AND doc->'body' = '{\"problem\": \"channel_limited\", \"source\": "
        "\"whatsapp\", \"code\": \"190\", \"reason\": \"why\"}'";
    assert_int_equal(database_number(pg, whole), 1);
    clock_set(0);
    alerts_free(alerts);
    database_drop(pg, SCHEMA);
}

static void test_a_busy_database_gets_them_later(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg, refusing, e));
    SUCCEEDS(pg_script(pg, "SET test.busy = 'yes'", e));
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    say(alerts, "channel_down", "whatsapp");
    say(alerts, "endpoint_gone", "crm");
    struct error error = { .code = ERR_NONE };
    msec_t before = clock_steady();
    assert_int_equal(alerts_store(alerts, pg, &error), ERR_BUSY);
    assert_string_equal(error.sqlstate, "53100");
    assert_int_equal(alerts_waiting(alerts), 2);
    msec_t due = alerts_due(alerts);
    assert_true(due >= before + 1000);
    /* Not before that, and then by the hour in which it was raised. */
    SUCCEEDS(pg_script(pg, "SET test.busy = 'no'", e));
    clock_set(NOON + 2 * HOUR_MS);
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_true(alerts_waiting(alerts) == 0 ? clock_steady() >= due : stored(pg) == 0);
    WAIT_UNTIL(clock_steady() >= due);
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(alerts_waiting(alerts), 0);
    assert_int_equal(stored(pg), 2);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM event WHERE occurred_at = '2026-11-25T12:00:00Z'"), 2);
    /* What comes then is stored at once again. */
    say(alerts, "channel_limited", "whatsapp");
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(stored(pg), 3);
    clock_set(0);
    alerts_free(alerts);
    database_drop(pg, SCHEMA);
}

/* Retention drops events before the keys that keep them from being handled twice. */
static void test_one_whose_event_is_not_kept_does_not_stop_the_others(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    say(alerts, "channel_down", "whatsapp");
    SUCCEEDS(alerts_store(alerts, pg, e));
    SUCCEEDS(pg_script(pg, "DELETE FROM event", e));
    say(alerts, "channel_down", "whatsapp");
    say(alerts, "channel_down", "telegram");
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(alerts_waiting(alerts), 0);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM event WHERE doc #>> '{body,source}' = 'telegram'"), 1);
    assert_int_equal(stored(pg), 1);
    clock_set(0);
    alerts_free(alerts);
    database_drop(pg, SCHEMA);
}

static void test_one_that_is_never_taken_does_not_stop_the_others(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg, refusing, e));
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    say(alerts, "channel_down", "bad");
    say(alerts, "channel_down", "good");
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(alerts_waiting(alerts), 0);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM event WHERE doc #>> '{body,source}' = 'good'"), 1);
    assert_int_equal(stored(pg), 1);
    clock_set(0);
    alerts_free(alerts);
    database_drop(pg, SCHEMA);
}

static void test_of_many_the_oldest_go(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    for (int i = 0; i < 102; i++) {
        char source[16];
        snprintf(source, sizeof(source), "s%d", i);
        say(alerts, "channel_down", source);
    }
    assert_int_equal(alerts_waiting(alerts), 100);
    SUCCEEDS(alerts_store(alerts, pg, e));
    assert_int_equal(stored(pg), 100);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM event WHERE doc #>> '{body,source}' IN ('s0', 's1')"),
                     0);
    clock_set(0);
    alerts_free(alerts);
    database_drop(pg, SCHEMA);
}

/* What the log says while `said` is taken. */
static const char *told(struct alerts *alerts, const char *problem, const char *source)
{
    struct capture capture;
    capture_begin(&capture);
    say(alerts, problem, source);
    return capture_end(&capture);
}

static void test_the_log_tells_each(void **state)
{
    (void)state;
    struct alerts *alerts = alerts_new();
    clock_set(NOON);
    const char *text = told(alerts, "channel_down", "whatsapp");
    assert_non_null(strstr(text, "level=error"));
    assert_non_null(strstr(text,
                           "msg=\"a target of messages is down\" problem=channel_down target=\"whatsapp\" code=\"190\" "
                           "reason=\"why\" hint=\"its messages wait; look at its credentials"));
    text = told(alerts, "channel_limited", "whatsapp");
    assert_non_null(strstr(text, "level=warn"));
    assert_non_null(strstr(text, "the provider limits a target of messages"));
    text = told(alerts, "endpoint_gone", "crm");
    assert_non_null(strstr(text, "level=error"));
    assert_non_null(
        strstr(text, "msg=\"an endpoint is gone and gets no more calls\" problem=endpoint_gone target=\"crm\""));
    assert_non_null(strstr(told(alerts, "of_a_later_version", "x"),
                           "a target of messages is down\" problem=of_a_later_version target=\"x\""));
    /* One more than there is room for. */
    for (int i = 0; i < 96; i++) {
        char source[16];
        snprintf(source, sizeof(source), "s%d", i);
        assert_null(strstr(told(alerts, "channel_down", source), "is not stored"));
    }
    text = told(alerts, "channel_down", "last");
    assert_non_null(
        strstr(text, "an alert is not stored, rules do not hear of it\" key=\"alert:channel_down:whatsapp:498780\" "
                     "reason=\"too many wait for the database\""));
    clock_set(0);
    struct capture capture;
    capture_begin(&capture);
    alerts_free(alerts);
    assert_non_null(
        strstr(capture_end(&capture), "stopped before all alerts were stored, rules do not hear of them\" alerts=100"));

    alerts = alerts_new();
    capture_begin(&capture);
    alerts_free(alerts);
    alerts_free(NULL);
    assert_string_equal(capture_end(&capture), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_an_hour_for_each),
        cmocka_unit_test(test_a_busy_database_gets_them_later),
        cmocka_unit_test(test_one_whose_event_is_not_kept_does_not_stop_the_others),
        cmocka_unit_test(test_one_that_is_never_taken_does_not_stop_the_others),
        cmocka_unit_test(test_of_many_the_oldest_go),
        cmocka_unit_test(test_the_log_tells_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
