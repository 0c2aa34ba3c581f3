/* How much one batch takes on, and how it holds on to its transaction. */
#include "engine/batch.h"

#include "store/database.h"

#define SCHEMA "answerd_batch_test"
#define WORKER 7000

static const char rules_text[] = "rule { name = 'slow', on = 'custom.slow', run = function() while true do end end }\n"
                                 "rule { name = 'quick', on = 'custom.*', run = function() end }\n";

static struct rule_set *load_rules(void)
{
    const struct rule_source_file file = { "a.lua", bytes_of(rules_text) };
    struct rule_limits limits = rule_limits_default();
    limits.max_instructions = 1000000000;
    limits.max_wall_ms = 20;
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &sources, e));
    SUCCEEDS(rule_set_load(sources, &limits, NULL, &set, e));
    rule_sources_free(sources);
    return set;
}

/* A batch's surroundings. */
struct stage {
    struct pg *pg, *note_pg, *watcher;
    struct rule_set *rules;
    struct shadow *shadow;
    struct id_pool ids;
    json_t *sources;
    struct rule_budget budget;
    struct log_throttle failures;
    struct batch_context context;
    bool ends_backend; /* in the middle of the rules */
    unsigned rules_begun, words;
};

static bool may_run(void *arg, const char *rule)
{
    (void)rule;
    static const char words_sql[] = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch under test' AND query "
                                    "= 'SELECT 1'";
    static const char end_sql[] = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = "
                                  "'batch under test'";
    struct stage *stage = arg;
    stage->rules_begun++;
    stage->words += (unsigned)database_number(stage->watcher, words_sql);
    if (stage->ends_backend) {
        stage->ends_backend = false;
        assert_int_equal(database_number(stage->watcher, end_sql), 1);
    }
    return true;
}

static void ran(void *arg, const char *rule)
{
    (void)arg, (void)rule;
}

static void set_up(struct stage *stage)
{
    *stage = (struct stage){ .watcher = database_open_migrated(SCHEMA), .note_pg = database_open(SCHEMA) };
    const struct pg_settings settings = { .conninfo = database_conninfo(SCHEMA),
                                          .application_name = "batch under test" };
    SUCCEEDS(pg_open(&settings, &stage->pg, e));
    SUCCEEDS(engine_store_start_worker(stage->note_pg, WORKER, e));
    stage->rules = load_rules();
    stage->sources = json_object();
    stage->shadow = shadow_new(0, stage->sources, 10);
    id_pool_init(&stage->ids);
    stage->context = (struct batch_context){
        .pg = stage->pg,
        .note_pg = stage->note_pg,
        .worker_id = WORKER,
        .rules = stage->rules,
        .rules_pointer = database_number(stage->watcher, "SELECT generation FROM rule_pointer"),
        .budget = &stage->budget,
        .shadow = stage->shadow,
        .ids = &stage->ids,
        .sources = stage->sources,
        .max_depth = 10,
        .may_run = may_run,
        .ran = ran,
        .may_run_arg = stage,
        .rule_failures = &stage->failures,
        .max_handling_ms = 60000,
        .max_silence_ms = 60000,
    };
}

static void tear_down(struct stage *stage)
{
    pg_close(stage->pg);
    pg_close(stage->note_pg);
    shadow_free(stage->shadow);
    rule_set_free(stage->rules);
    json_decref(stage->sources);
    database_drop(stage->watcher, SCHEMA);
}

static void add_events(struct stage *stage, unsigned count, const char *type)
{
    char sql[400];
    snprintf(sql, sizeof(sql),
             "SELECT append_internal_events(jsonb_build_array(jsonb_build_object('id', i, 'key', 'k' || i, 'type', '%s', "
             "'source', 'support', 'lane', i %% 5, 'contact', jsonb_build_object('identities', ARRAY['email:' || i %% 5])))) "
             "FROM generate_series(1, %u) AS i ORDER BY i",
             type, count);
    SUCCEEDS(pg_script(stage->watcher, sql, e));
}

static void test_rules_that_take_long_end_their_batch(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 30, "custom.slow");
    stage.context.max_handling_ms = 100;
    struct batch_outcome outcome = { .count = 1 };
    unsigned handled = 0, batches = 0;
    for (; outcome.count > 0; batches++) {
        SUCCEEDS(batch_run(&stage.context, 100, &outcome, e));
        assert_in_range(outcome.count, 0, 6 + 5); /* each takes 20 ms; besides there is contact.created of five people */
        handled += (unsigned)outcome.count;
        assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling"), handled);
    }
    assert_true(batches > 5);
    assert_int_equal(handled, 30 + 5);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 0);
    assert_int_equal(
        database_number(stage.watcher, "SELECT count(*) FROM trace WHERE rule = 'slow' AND verdict = 'over_budget'"), 30);
    /* As if they had come one by one. */
    static const char overtaken[] =
        "SELECT count(*) FROM (SELECT event_id, handled_at, max(handled_at) OVER (PARTITION BY event_id % 5 ORDER BY event_id) "
        "AS latest FROM handling WHERE event_id <= 30) AS h WHERE handled_at < latest";
    assert_int_equal(database_number(stage.watcher, overtaken), 0);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM contact"), 5);
    tear_down(&stage);
}

static void test_quick_events_are_one_batch(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 30, "custom.quick");
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 30);
    assert_int_equal(stage.rules_begun, 30);
    assert_int_equal(stage.words, 0);
    tear_down(&stage);
}

static void test_the_database_hears_of_a_batch_between_its_rules(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.slow");
    stage.context.max_silence_ms = -1;
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_int_equal(stage.rules_begun, 6);
    assert_int_equal(stage.words, 6);
    tear_down(&stage);
}

static void test_a_transaction_that_is_gone_leaves_the_work(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    stage.context.max_silence_ms = -1;
    stage.ends_backend = true;
    struct batch_outcome outcome;
    struct error error;
    assert_int_equal(batch_run(&stage.context, 30, &outcome, &error), ERR_LOST);
    assert_string_equal(error.sqlstate, "57P01");
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 3);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling"), 0);
    tear_down(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_that_take_long_end_their_batch),
        cmocka_unit_test(test_quick_events_are_one_batch),
        cmocka_unit_test(test_the_database_hears_of_a_batch_between_its_rules),
        cmocka_unit_test(test_a_transaction_that_is_gone_leaves_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
