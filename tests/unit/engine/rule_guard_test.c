/* Which rules rest, as two engines see it: a rule that failed too often rests on both, and is tried once, by one. */
#include "engine/rule_guard.h"

#include "store/database.h"

#include "captured.h"
#include "patience.h"

#define SCHEMA "answerd_rule_guard_test"

static struct pg *pg;
static struct rule_set *rules;
static struct rule_guard *first, *second;

static struct rule_set *load_rules_of(const char *text)
{
    const struct rule_source_file file = { "a.lua", bytes_of(text) };
    const struct rule_limits limits = rule_limits_default();
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &sources, e));
    SUCCEEDS(rule_set_load(sources, &limits, NULL, &set, e));
    rule_sources_free(sources);
    return set;
}

static struct rule_set *load_rules(void)
{
    return load_rules_of("cron 'yearly' { schedule = '0 3 1 1 *' }\n"
                         "rule { name = 'fails', on = 'custom.x', run = function() error('no') end }\n"
                         "rule { name = 'well', on = 'custom.x', run = function() end }\n");
}

static void refresh(struct rule_guard *guard)
{
    SUCCEEDS(rule_guard_refresh(guard, pg, guard == first ? 1 : 2, rules, e));
}

static void look(struct rule_guard *guard)
{
    rule_guard_look_now(guard);
    refresh(guard);
}

static int set_up(void **state)
{
    (void)state;
    static const struct quarantine quarantine = { .failures_in_row = 1, .first_ms = 60000, .longest_ms = 60000 };
    pg = database_open_migrated(SCHEMA);
    rules = load_rules();
    first = rule_guard_new(&quarantine);
    second = rule_guard_new(&quarantine);
    refresh(first);
    refresh(second);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rule_guard_free(first);
    rule_guard_free(second);
    rule_set_free(rules);
    database_drop(pg, SCHEMA);
    return 0;
}

static void fail_once(void)
{
    char sql[300];
    snprintf(
        sql, sizeof(sql),
        "SELECT write_rule_health(jsonb_build_array(jsonb_build_object('rule', 'fails', 'rule_set', '%s', 'failed', "
        "true, 'error', 'a.lua:2')))",
        rule_set_version(rules));
    SUCCEEDS(pg_script(pg, sql, e));
}

/* Its rest is over, and nobody tries it yet: the first engine is the one. */
static void begin_trial(void)
{
    SUCCEEDS(pg_script(pg,
                       "UPDATE rule_trouble SET updated_at = now() - interval '1 hour', quarantined_until = now() - "
                       "interval '1 second', trial_by = NULL, trial_until = NULL",
                       e));
    look(first);
}

static void test_what_fails_rests_everywhere_and_nothing_else_does(void **state)
{
    (void)state;
    struct capture capture;
    assert_true(rule_guard_may_run(first, "fails"));
    fail_once();
    capture_begin(&capture);
    look(first);
    assert_non_null(strstr(capture_end(&capture), "rule rests because it failed too often"));
    capture_begin(&capture);
    look(first);
    assert_string_equal(capture_end(&capture), "");
    look(second);
    assert_false(rule_guard_may_run(first, "fails"));
    assert_false(rule_guard_may_run(second, "fails"));
    assert_true(rule_guard_may_run(first, "well"));
    assert_true(rule_guard_may_run(second, "well"));
}

/* What failed elsewhere is looked for every now and then, and not at each batch. */
static void test_another_engine_learns_of_it_by_itself(void **state)
{
    (void)state;
    fail_once();
    look(first);
    WAIT_UNTIL((refresh(second), !rule_guard_may_run(second, "fails")));
    SUCCEEDS(pg_script(pg, "DELETE FROM rule_trouble", e));
    struct capture capture;
    capture_begin(&capture);
    WAIT_UNTIL((refresh(second), rule_guard_may_run(second, "fails")));
    assert_non_null(strstr(capture_end(&capture), "rule is back from quarantine\" rule=\"fails\""));
}

/* A trial lasts for two seconds, and a machine may be halted for longer: then another one. */
static void test_a_trial_is_one_run_of_one_engine(void **state)
{
    (void)state;
    fail_once();
    look(first);
    WAIT_UNTIL((begin_trial(), look(second), look(first), rule_guard_may_run(first, "fails")));
    assert_false(rule_guard_may_run(second, "fails"));
    WAIT_UNTIL((begin_trial(), rule_guard_ran(first, "well"), rule_guard_may_run(first, "fails")));
    rule_guard_ran(first, "fails");
    assert_false(rule_guard_may_run(first, "fails"));
}

/* Somebody else has it then. */
static void test_a_trial_that_is_not_used_ends(void **state)
{
    (void)state;
    fail_once();
    look(first);
    WAIT_UNTIL((begin_trial(), rule_guard_may_run(first, "fails")));
    WAIT_UNTIL(!rule_guard_may_run(first, "fails"));
}

/* What was recorded may be gone with the database that it was recorded in. */
static void test_after_a_lost_connection_all_is_registered_again(void **state)
{
    (void)state;
    SUCCEEDS(pg_script(pg, "DELETE FROM cron", e));
    look(first);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM cron"), 0);
    rule_guard_forget(first);
    refresh(first);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM cron WHERE name = 'yearly'"), 1);
}

/* At once: what rested may have been mended, and what is new may be due. */
static void test_other_rules_begin_anew(void **state)
{
    (void)state;
    fail_once();
    look(first);
    assert_false(rule_guard_may_run(first, "fails"));
    struct rule_set *mended = load_rules_of("cron 'monthly' { schedule = '0 3 1 * *' }\n"
                                            "rule { name = 'fails', on = 'custom.x', run = function() end }\n");
    SUCCEEDS(rule_guard_refresh(first, pg, 1, mended, e));
    assert_true(rule_guard_may_run(first, "fails"));
    assert_int_equal(database_number(pg, "SELECT count(*) FROM cron WHERE name = 'monthly'"), 1);
    rule_set_free(mended);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_fails_rests_everywhere_and_nothing_else_does),
        CASE(test_another_engine_learns_of_it_by_itself),
        CASE(test_a_trial_is_one_run_of_one_engine),
        CASE(test_a_trial_that_is_not_used_ends),
        CASE(test_other_rules_begin_anew),
        CASE(test_after_a_lost_connection_all_is_registered_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
