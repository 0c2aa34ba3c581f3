/* How much one batch takes on, how it holds on to its transaction, and what it tells of the rules. */
#include "engine/batch.h"

#include "base/metrics.h"
#include "store/database.h"

#include "captured.h"

#define SCHEMA "answerd_batch_test"
#define WORKER 7000

static const char rules_text[] =
    "rule { name = 'slow', on = 'custom.slow', run = function() while true do end end }\n"
    "rule { name = 'quick', on = 'custom.*', run = function() end }\n"
    "rule { name = 'fails', on = 'custom.fails', run = function() error('no') end }\n"
    "rule { name = 'picky', on = 'custom.fails', when = function() return false end, run = "
    "function() end }\n"
    "rule { name = 'circle', on = 'custom.circle', run = function(e, fx) fx:emit('circle', "
    "{}) end }\n"
    "endpoint 'crm' { url = 'https://crm.example/' }\n"
    "rule { name = 'reads', on = 'custom.reads', run = function(e, fx) if not e:raw() then fx:webhook('crm', {}) end end }\n"
    "rule { name = 'calls', on = 'custom.calls', run = function(e, fx) fx:webhook('crm', "
    "{}) end }\n";

static struct rule_set *load_rules_of(const char *text)
{
    const struct rule_source_file file = { "a.lua", bytes_of(text) };
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

static struct rule_set *load_rules(void)
{
    return load_rules_of(rules_text);
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
    unsigned rules_begun, words, committed;
};

static bool may_run(void *arg, const char *rule)
{
    (void)rule;
    static const char words_sql[] =
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch under test' AND query "
        "= 'SELECT 1'";
    static const char end_sql[] =
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE application_name = "
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
    snprintf(
        sql, sizeof(sql),
        "SELECT append_internal_events(jsonb_build_array(jsonb_build_object('id', i, 'key', 'k' || i, 'type', '%s', "
        "'source', 'support', 'lane', i %% 5, 'contact', jsonb_build_object('identities', ARRAY['email:' || i %% 5])))) "
        "FROM generate_series(1, %u) AS i ORDER BY i",
        type, count);
    SUCCEEDS(pg_script(stage->watcher, sql, e));
}

/* The database takes no rows of the table from here on. */
static void refuse(struct stage *stage, const char *table, const char *sqlstate)
{
    char sql[400];
    snprintf(
        sql, sizeof(sql),
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING "
        "ERRCODE = '%s'; END $$; CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION "
        "refuse()",
        sqlstate, table);
    SUCCEEDS(pg_script(stage->watcher, sql, e));
}

/* Another engine gets at the work at once: nothing of the batch is left in the database, no lock either. */
static void assert_nothing_happened(struct stage *stage, int64_t events)
{
    assert_int_equal(database_number(stage->watcher, "SELECT count(*) FROM handling"), 0);
    assert_int_equal(database_number(stage->watcher, "SELECT count(*) FROM contact"), 0);
    struct pg *other = database_open(SCHEMA);
    struct claim claim = { .work = NULL };
    SUCCEEDS(engine_store_claim(other, 100, &claim, e));
    assert_int_equal(json_array_size(claim.work), events);
    claim_done(&claim);
    engine_store_rollback(other);
    pg_close(other);
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
        assert_in_range(outcome.count, 0, 6); /* each takes 20 ms */
        handled += (unsigned)(outcome.count + outcome.made_and_handled);
        assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling"), handled);
    }
    assert_true(batches > 5);
    assert_int_equal(handled, 30 + 5); /* contact.created of five people */
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 0);
    assert_int_equal(
        database_number(stage.watcher, "SELECT count(*) FROM trace WHERE rule = 'slow' AND verdict = 'over_budget'"),
        30);
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
    assert_int_equal(outcome.made_and_handled, 5); /* contact.created of five people */
    assert_false(outcome.more_work);
    assert_false(outcome.more_deliveries);
    assert_false(outcome.rules_failed);
    SUCCEEDS(batch_run(&stage.context, 3, &outcome, e));
    assert_int_equal(outcome.count, 0);
    tear_down(&stage);
}

/* Also when one event takes longer than a batch should: the next batch would take as long. */
static void test_one_event_is_handled_in_any_case(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 2, "custom.quick");
    stage.context.max_handling_ms = -1;
    struct batch_outcome outcome;
    for (unsigned handled = 1; handled <= 2; handled++) {
        SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
        assert_int_equal(outcome.count, 1);
        assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling WHERE event_id <= 2"), handled);
    }
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 0);
    tear_down(&stage);
}

/* What the batch itself makes has no turn of its own when no rule takes it: its handling goes with the batch's. */
static void test_what_no_rule_takes_is_handled_where_it_is_made(void **state)
{
    (void)state;
    static const char made_sql[] =
        "SELECT count(*) FROM event AS e JOIN handling AS h ON h.event_id = e.id AND h.handled_at >= e.received_at"
        " JOIN contact AS c ON c.id = h.contact_id"
        " WHERE e.type = 'contact.created' AND h.attempts = 1 AND NOT e.doc ? 'handled'";
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    SUCCEEDS(pg_script(stage.watcher, "UPDATE work SET attempts = 7", e));
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_int_equal(outcome.made_and_handled, 3);
    assert_false(outcome.more_work);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 0);
    assert_int_equal(database_number(stage.watcher, made_sql), 3);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling WHERE attempts = 8"), 3);
    tear_down(&stage);
}

/* A rule's turn comes in the order of the lane, and people who are not in the batch are not touched by it. */
static void test_what_a_rule_takes_or_is_about_others_waits_for_its_turn(void **state)
{
    (void)state;
    static const char text[] = "rule { name = 'greets', on = 'contact.created', run = function() end }\n"
                               "rule { name = 'tells', on = 'custom.tells', run = function(e, fx)\n"
                               "  fx:emit('alone', {})\n"
                               "  fx:emit('other', {}, { contact = 'email:other@example.com' })\n"
                               "end }\n";
    static const char waiting[] =
        "SELECT count(*) FROM work JOIN event AS e ON e.id = event_id WHERE e.type IN ('contact.created', 'custom.other')";
    struct stage stage;
    set_up(&stage);
    rule_set_free(stage.rules);
    stage.context.rules = stage.rules = load_rules_of(text);
    add_events(&stage, 1, "custom.tells");
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 1);
    assert_int_equal(outcome.made_and_handled, 1);
    assert_true(outcome.more_work);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 2);
    assert_int_equal(database_number(stage.watcher, waiting), 2);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM contact"), 1);
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 2);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM trace WHERE rule = 'greets'"), 1);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM contact"), 2);
    tear_down(&stage);
}

/* Whoever asks what a replay led to finds it by the replay's number, which work hands on to what it makes. */
static void test_what_a_replay_makes_belongs_to_the_replay(void **state)
{
    (void)state;
    static const char made_sql[] = "SELECT count(*) FROM event AS e JOIN handling AS h ON h.event_id = e.id"
                                   " WHERE e.type = 'contact.created' AND e.replay_id IS NOT DISTINCT FROM h.replay_id"
                                   " AND coalesce(e.replay_id, 0) = CASE e.cause_event WHEN 1 THEN 77 ELSE 0 END";
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 2, "custom.quick");
    SUCCEEDS(pg_script(stage.watcher, "UPDATE work SET replay_id = 77 WHERE event_id = 1", e));
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 2);
    assert_int_equal(outcome.made_and_handled, 0);
    assert_true(outcome.more_work);
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 2);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM work"), 0);
    assert_int_equal(database_number(stage.watcher, made_sql), 2);
    tear_down(&stage);
}

static void test_a_batch_is_no_larger_than_its_outcome(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    SUCCEEDS(pg_script(stage.watcher, "SELECT setval('object_id', 10000)", e)); /* beyond the events' own numbers */
    add_events(&stage, BATCH_MAX_EVENTS + 1, "custom.nothing");
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 5000, &outcome, e));
    assert_int_equal(outcome.count, BATCH_MAX_EVENTS);
    assert_int_equal(outcome.positions[BATCH_MAX_EVENTS - 1],
                     database_number(stage.watcher, "SELECT position - 1 FROM work ORDER BY position LIMIT 1"));
    tear_down(&stage);
}

static double calls(const char *rule, const char *verdict)
{
    char labels[100];
    snprintf(labels, sizeof(labels), "rule=\"%s\",verdict=\"%s\"", rule, verdict);
    return metric_value(metric_counter("answerd_rule_calls_total", "", labels));
}

static void test_what_rules_did_is_counted_and_their_failures_are_told(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 2, "custom.fails");
    struct batch_outcome outcome;
    double quick = calls("quick", "ran");
    struct capture capture;
    capture_begin(&capture);
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    const char *said = strstr(capture_end(&capture), "rule failed");
    assert_true(outcome.rules_failed);
    assert_true(calls("fails", "failed") == 2);
    assert_true(calls("picky", "skipped") == 2);
    assert_true(calls("quick", "ran") == quick + 2);
    /* The second one right after it is only counted. */
    assert_non_null(said);
    assert_non_null(strstr(said, "rule=\"fails\" verdict=failed event=1 file=\"rules/a.lua\" line=3 also=0"));
    assert_null(strstr(said + 1, "rule failed"));
    tear_down(&stage);

    set_up(&stage);
    add_events(&stage, 1, "custom.slow");
    double slow = calls("slow", "over_budget");
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_true(outcome.rules_failed);
    assert_true(calls("slow", "over_budget") == slow + 1);
    tear_down(&stage);
}

/* As many as the database counted for each, and this one. */
static void test_attempts_are_those_of_each_event(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    SUCCEEDS(pg_script(stage.watcher, "UPDATE work SET attempts = event_id", e));
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_int_equal(outcome.attempts, 1);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling WHERE attempts = event_id + 1"), 3);
    tear_down(&stage);
}

static void test_a_circle_of_rules_ends(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 1, "custom.circle");
    stage.context.max_depth = 3;
    struct batch_outcome outcome = { .count = 1 };
    for (int batches = 0; batches < 20 && outcome.count > 0; batches++) {
        SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    }
    assert_int_equal(outcome.count, 0);
    /* The first one, three that it led to, and one that runs no rules. */
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM event WHERE type = 'custom.circle'"), 5);
    tear_down(&stage);
}

static void note_committed(void *arg)
{
    struct stage *stage = arg;
    stage->committed++;
}

/* Who sends is told before the shadow rules take their time. */
static void test_shadow_rules_are_tried_on_what_was_handled(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    shadow_free(stage.shadow);
    stage.context.shadow = stage.shadow = shadow_new(100, stage.sources, 10);
    stage.context.committed = note_committed;
    stage.context.committed_arg = &stage;
    shadow_set_rules(stage.shadow, load_rules());
    add_events(&stage, 3, "custom.calls");
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 3, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_true(outcome.more_deliveries);
    assert_int_equal(stage.committed, 1);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM delivery"), 3);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM shadow_run WHERE event_id <= 3"), 3);
    SUCCEEDS(batch_run(&stage.context, 3, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_false(outcome.more_deliveries);
    assert_int_equal(stage.committed, 1);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM shadow_run"), 6);
    tear_down(&stage);
}

static void test_rules_that_are_not_in_force_handle_nothing(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    stage.context.rules_pointer++;
    struct batch_outcome outcome;
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_true(outcome.other_rules);
    assert_int_equal(outcome.count, 0);
    assert_int_equal(stage.rules_begun, 0);
    assert_nothing_happened(&stage, 3);
    tear_down(&stage);
}

/* What a connection that is not in order says of it is not about the events. */
static void test_a_batch_that_cannot_be_noted_is_not_begun(void **state)
{
    (void)state;
    static const struct {
        const char *sqlstate;
        err_t err;
    } cases[] = { { "22000", ERR_LOST }, { "53100", ERR_BUSY } };
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        refuse(&stage, "engine_in_flight", cases[i].sqlstate);
        struct batch_outcome outcome;
        struct error error;
        assert_int_equal(batch_run(&stage.context, 30, &outcome, &error), cases[i].err);
        assert_string_equal(error.sqlstate, cases[i].sqlstate);
        assert_int_equal(stage.rules_begun, 0);
        assert_nothing_happened(&stage, 3);
    }
    tear_down(&stage);
}

static void test_without_numbers_for_its_objects_nothing_is_written(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 3, "custom.quick");
    SUCCEEDS(id_pool_prepare(&stage.ids, stage.pg, e));
    stage.ids.next = stage.ids.end - 1;
    SUCCEEDS(pg_script(stage.watcher, "ALTER SEQUENCE object_id RENAME TO away", e));
    struct batch_outcome outcome;
    struct error error;
    assert_int_equal(batch_run(&stage.context, 30, &outcome, &error), ERR_BUSY);
    assert_string_equal(error.sqlstate, "42P01");
    assert_int_equal(outcome.count, 3);
    assert_nothing_happened(&stage, 3);
    tear_down(&stage);
}

/* Nor are the shadow rules tried on it, and their connection is free again. */
static void test_what_is_refused_is_not_handled(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    shadow_free(stage.shadow);
    stage.context.shadow = stage.shadow = shadow_new(100, stage.sources, 10);
    shadow_set_rules(stage.shadow, load_rules());
    add_events(&stage, 3, "custom.fails");
    refuse(&stage, "handling", "22000");
    struct batch_outcome outcome;
    struct error error;
    assert_int_equal(batch_run(&stage.context, 30, &outcome, &error), ERR_INVALID);
    assert_string_equal(error.sqlstate, "22000");
    assert_int_equal(outcome.count, 3);
    assert_false(outcome.rules_failed || outcome.more_work || outcome.more_deliveries);
    assert_nothing_happened(&stage, 3);
    SUCCEEDS(pg_script(stage.watcher, "DROP TRIGGER refuse ON handling", e));
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(outcome.count, 3);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM shadow_run"), 3);
    tear_down(&stage);
}

/* To a rule it looks as if nothing were there; what it makes of that must not count. */
static void test_what_a_rule_could_not_read_is_the_reason(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    add_events(&stage, 2, "custom.reads");
    SUCCEEDS(pg_script(stage.watcher, "ALTER TABLE webhook RENAME TO webhook_away", e));
    struct batch_outcome outcome;
    struct error error;
    assert_int_equal(batch_run(&stage.context, 30, &outcome, &error), ERR_BUSY);
    assert_string_equal(error.sqlstate, "42P01");
    assert_nothing_happened(&stage, 2);
    SUCCEEDS(pg_script(stage.watcher, "ALTER TABLE webhook_away RENAME TO webhook", e));
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM delivery"), 2);
    tear_down(&stage);
}

/* Nor does what the shadow makes of it. */
static void test_what_the_shadow_could_not_read_is_told_and_not_recorded(void **state)
{
    (void)state;
    struct stage stage;
    set_up(&stage);
    shadow_free(stage.shadow);
    stage.context.shadow = stage.shadow = shadow_new(100, stage.sources, 10);
    shadow_set_rules(stage.shadow, load_rules_of("rule { name = 'reads', on = 'custom.quick', run = function(e, fx) "
                                                 "if not e:raw() then fx:emit('none', {}) end end }"));
    add_events(&stage, 1, "custom.quick");
    SUCCEEDS(pg_script(stage.watcher, "ALTER TABLE webhook RENAME TO webhook_away", e));
    struct batch_outcome outcome;
    struct capture capture;
    capture_begin(&capture);
    SUCCEEDS(batch_run(&stage.context, 1, &outcome, e));
    const char *said = capture_end(&capture);
    assert_non_null(strstr(said, "the shadow rules are not tried on some events\" during=\"reading facts\""));
    assert_non_null(strstr(said, "webhook"));
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM handling WHERE event_id = 1"), 1);
    assert_int_equal(database_number(stage.watcher, "SELECT count(*) FROM shadow_run WHERE event_id = 1"), 0);
    SUCCEEDS(pg_script(stage.watcher, "ALTER TABLE webhook_away RENAME TO webhook", e));
    SUCCEEDS(batch_run(&stage.context, 30, &outcome, e));
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
        cmocka_unit_test(test_what_no_rule_takes_is_handled_where_it_is_made),
        cmocka_unit_test(test_what_a_rule_takes_or_is_about_others_waits_for_its_turn),
        cmocka_unit_test(test_what_a_replay_makes_belongs_to_the_replay),
        cmocka_unit_test(test_one_event_is_handled_in_any_case),
        cmocka_unit_test(test_a_batch_is_no_larger_than_its_outcome),
        cmocka_unit_test(test_what_rules_did_is_counted_and_their_failures_are_told),
        cmocka_unit_test(test_attempts_are_those_of_each_event),
        cmocka_unit_test(test_a_circle_of_rules_ends),
        cmocka_unit_test(test_shadow_rules_are_tried_on_what_was_handled),
        cmocka_unit_test(test_what_a_rule_could_not_read_is_the_reason),
        cmocka_unit_test(test_what_the_shadow_could_not_read_is_told_and_not_recorded),
        cmocka_unit_test(test_rules_that_are_not_in_force_handle_nothing),
        cmocka_unit_test(test_a_batch_that_cannot_be_noted_is_not_begun),
        cmocka_unit_test(test_without_numbers_for_its_objects_nothing_is_written),
        cmocka_unit_test(test_what_is_refused_is_not_handled),
        cmocka_unit_test(test_the_database_hears_of_a_batch_between_its_rules),
        cmocka_unit_test(test_a_transaction_that_is_gone_leaves_the_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
