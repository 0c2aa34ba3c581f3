/* Which rules one thread of the engine runs: those in force, and those before them while the others do not load. */
#include "engine/engine_rules.h"

#include "store/database.h"

#include "captured.h"

#define SCHEMA "answerd_engine_rules_test"
#define DEFAULT_MEMORY (rule_limits_default().max_memory_bytes)
#define LITTLE_MEMORY ((size_t)8 * 1024 * 1024)

static const char first_text[] = "rule { name = 'first', on = 'custom.x', run = function() end }\n";
static const char second_text[] = "rule { name = 'second', on = 'custom.x', run = function() end }\n";

static const char large_text[] = "local large = {} for i = 1, 300000 do large[i] = i end\n"
                                 "rule { name = 'large', on = 'custom.x', run = function() end }\n";

static const char large_too_text[] = "local large = {} for i = 1, 300000 do large[i] = i end\n"
                                     "rule { name = 'large_too', on = 'custom.x', run = function() end }\n";

static struct pg *pg;
static struct config config;
static json_t *sources;
static struct rule_feed *feed;
static struct engine_rules rules;

static struct rule_sources *sources_of(const char *text)
{
    const struct rule_source_file file = { "a.lua", bytes_of(text) };
    struct rule_sources *made = NULL;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &made, e));
    return made;
}

/* As `action` says, and this process has heard of it. */
static void put(const char *action, const char *text)
{
    struct rule_sources *made = sources_of(text);
    bool changed = false;
    SUCCEEDS(rule_feed_store(pg, made, e));
    SUCCEEDS(version_store_change(pg, action, rule_sources_version(made), "test", &changed, e));
    rule_sources_free(made);
    SUCCEEDS(rule_feed_follow(feed, pg, &changed, e));
}

/* As if a long time had gone by since the last try; the log's lines are as close to each other as they are. */
static void let_time_pass(void)
{
    rules.next_try -= 3600000;
}

/* Whatever time the machine takes for this. */
static void let_no_time_pass(void)
{
    rules.next_try += 60000;
    rules.troubles.last_ms += 60000;
    rules.shadow_troubles.last_ms += 60000;
}

/* What the log says of one look. */
static const char *follow(bool *ret_something_to_run)
{
    struct capture capture;
    capture_begin(&capture);
    *ret_something_to_run = engine_rules_follow(&rules);
    return capture_end(&capture);
}

static void assert_runs(const char *name)
{
    assert_non_null(rules.set);
    assert_string_equal(rule_set_rule(rules.set, 0)->name, name);
}

static int set_up(void **state)
{
    (void)state;
    pg = database_open_migrated(SCHEMA);
    sources = json_object();
    feed = rule_feed_new(sources_of(first_text));
    config = (struct config){ .rules = { .max_instructions = 1000000,
                                         .max_memory_bytes = DEFAULT_MEMORY,
                                         .max_effects = 100,
                                         .max_wall_ms = 250,
                                         .shadow_percent = 100 } };
    engine_rules_init(&rules, feed, &config, sources);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_rules_done(&rules);
    rule_feed_free(feed);
    json_decref(sources);
    database_drop(pg, SCHEMA);
    return 0;
}

/* Those in the directory need not be those in force. */
static void test_nothing_runs_before_it_is_known_what_is_in_force(void **state)
{
    (void)state;
    assert_false(engine_rules_follow(&rules));
    assert_null(rules.set);
    put("start", second_text);
    assert_true(engine_rules_follow(&rules));
    assert_runs("second");
    assert_int_equal(rules.pointer, database_number(pg, "SELECT generation FROM rule_pointer"));
}

static void test_what_is_published_is_loaded_once(void **state)
{
    (void)state;
    bool runs;
    put("start", first_text);
    assert_non_null(strstr(follow(&runs), "rules in force"));
    assert_string_equal(follow(&runs), "");
    assert_true(runs);
    /* Not only after the time that tries are apart. */
    put("reload", second_text);
    assert_non_null(strstr(follow(&runs), "rules in force"));
    assert_runs("second");
    assert_false(shadow_is_on(rules.shadow));
    put("shadow", first_text);
    assert_non_null(strstr(follow(&runs), "shadow rules are tried"));
    assert_true(shadow_is_on(rules.shadow));
    assert_runs("second");
    let_time_pass();
    assert_string_equal(follow(&runs), "");
}

static void test_rules_that_do_not_load_are_tried_again_after_a_while(void **state)
{
    (void)state;
    bool runs;
    put("start", large_text);
    rules.limits.max_memory_bytes = LITTLE_MEMORY;
    assert_non_null(strstr(follow(&runs), "rules did not load in this thread"));
    assert_false(runs);
    rules.limits.max_memory_bytes = DEFAULT_MEMORY;
    let_no_time_pass();
    assert_string_equal(follow(&runs), "");
    assert_false(runs);
    let_time_pass();
    assert_non_null(strstr(follow(&runs), "rules in force"));
    assert_true(runs);
    assert_runs("large");
}

/* They may have taken too long because the machine was busy, and no other change may come for weeks. */
static void test_rules_that_did_not_load_come_into_force_later(void **state)
{
    (void)state;
    bool runs;
    put("start", first_text);
    assert_true(engine_rules_follow(&rules));
    put("reload", large_text);
    rules.limits.max_memory_bytes = LITTLE_MEMORY;
    assert_non_null(strstr(follow(&runs), "rules did not load in this thread"));
    assert_true(runs);
    assert_runs("first");
    let_no_time_pass();
    let_time_pass(); /* tried, and not told again so soon */
    assert_string_equal(follow(&runs), "");
    assert_runs("first");
    let_time_pass();
    rules.limits.max_memory_bytes = DEFAULT_MEMORY;
    assert_true(engine_rules_follow(&rules));
    assert_runs("large");
}

/* Those in force load, and are not loaded again for it. */
static void test_shadow_rules_that_do_not_load_are_tried_again_alone(void **state)
{
    (void)state;
    bool runs;
    put("start", first_text);
    assert_true(engine_rules_follow(&rules));
    put("shadow", large_text);
    rules.limits.max_memory_bytes = LITTLE_MEMORY;
    const char *said = follow(&runs);
    assert_non_null(strstr(said, "rules in force"));
    assert_non_null(strstr(said, "the shadow rules did not load in this thread"));
    assert_true(runs);
    assert_false(shadow_is_on(rules.shadow));
    let_no_time_pass();
    rules.limits.max_memory_bytes = DEFAULT_MEMORY;
    assert_string_equal(follow(&runs), "");
    assert_false(shadow_is_on(rules.shadow));
    rules.limits.max_memory_bytes = LITTLE_MEMORY;
    let_time_pass();
    assert_string_equal(follow(&runs), ""); /* tried, and not told again so soon */
    rules.limits.max_memory_bytes = DEFAULT_MEMORY;
    let_time_pass();
    said = follow(&runs);
    assert_non_null(strstr(said, "shadow rules are tried"));
    assert_null(strstr(said, "rules in force"));
    assert_true(shadow_is_on(rules.shadow));
}

/* Shadow rules that did load stay as they are while the others are tried again; the log tells of both. */
static void test_each_is_told_and_tried_for_itself(void **state)
{
    (void)state;
    bool runs;
    put("start", first_text);
    put("shadow", second_text);
    assert_true(engine_rules_follow(&rules));
    put("reload", large_text);
    rules.limits.max_memory_bytes = LITTLE_MEMORY;
    const char *said = follow(&runs);
    assert_non_null(strstr(said, "msg=\"rules did not load in this thread"));
    assert_non_null(strstr(said, "shadow rules are tried"));
    let_no_time_pass();
    let_time_pass();
    assert_string_equal(follow(&runs), "");
    assert_true(shadow_is_on(rules.shadow));
    /* Tried at once, because it is another change. */
    let_no_time_pass();
    rules.troubles.last_ms = 0;
    put("shadow", large_too_text);
    said = follow(&runs);
    assert_non_null(strstr(said, "msg=\"rules did not load in this thread"));
    assert_non_null(strstr(said, "the shadow rules did not load in this thread"));
    assert_false(shadow_is_on(rules.shadow));
    assert_runs("first");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_runs_before_it_is_known_what_is_in_force),
        CASE(test_what_is_published_is_loaded_once),
        CASE(test_rules_that_do_not_load_are_tried_again_after_a_while),
        CASE(test_rules_that_did_not_load_come_into_force_later),
        CASE(test_shadow_rules_that_do_not_load_are_tried_again_alone),
        CASE(test_each_is_told_and_tried_for_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
