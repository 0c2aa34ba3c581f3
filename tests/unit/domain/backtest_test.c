/* Two rule sets over the same events: what is the same, what was added, removed and changed, and at what cost of
 * memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "domain/backtest.h"

#include "support.h"

#define BEGINNING ((msec_t)1767607200 * 1000)
#define HOUR ((msec_t)3600 * 1000)
#define DAY (24 * HOUR)

struct sets {
    char directory[64];
    struct rule_sources *sources[2];
    struct rule_set *set[2];
    json_t *world;
};

static void load(struct sets *sets, int which, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/rules.lua", sets->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    struct error e;
    const struct rule_limits limits = rule_limits_default();
    assert_int_equal(rule_sources_read(sets->directory, false, &sets->sources[which], &e), ERR_NONE);
    assert_int_equal(rule_set_load(sets->sources[which], &limits, NULL, &sets->set[which], &e), ERR_NONE);
    unlink(path);
}

static struct backtest *begin(struct sets *sets, const char *before, const char *after)
{
    memset(sets, 0, sizeof(*sets));
    snprintf(sets->directory, sizeof(sets->directory), "/tmp/backtest_test_XXXXXX");
    assert_non_null(mkdtemp(sets->directory));
    load(sets, 0, before);
    load(sets, 1, after);
    sets->world = json_pack("{s:{s:s, s:s, s:b, s:I}}", "whatsapp", "kind", "whatsapp", "provider", "whatsapp", "sends",
                            1, "window_ms", (json_int_t)24 * 3600 * 1000);
    const struct backtest_settings settings = {
        .before = sets->set[0],
        .after = sets->set[1],
        .sources = sets->world,
        .max_depth = 8,
        .max_examples = 2,
    };
    return backtest_new(&settings);
}

static void end(struct sets *sets, struct backtest *backtest)
{
    backtest_free(backtest);
    for (int i = 0; i < 2; i++) {
        rule_set_free(sets->set[i]);
        rule_sources_free(sets->sources[i]);
    }
    json_decref(sets->world);
    rmdir(sets->directory);
}

static void message(struct backtest *backtest, int64_t id, const char *from, const char *text, msec_t at)
{
    json_t *event = json_pack("{s:I, s:s, s:s, s:s, s:s, s:{s:[s]}, s:{s:s, s:s, s:s}}", "id", (json_int_t)id, "type",
                              "message.received", "source", "whatsapp", "provider", "whatsapp", "key", text, "contact",
                              "identities", from, "message", "id", text, "kind", "text", "text", text);
    json_put_time(event, "received_at", at);
    json_put_time(event, "occurred_at", at);
    backtest_event(backtest, event);
    json_decref(event);
}

static const json_t *line_of(const json_t *report, const char *rule, const char *kind)
{
    size_t index;
    json_t *line;
    json_array_foreach (json_array_at(report, "rules"), index, line) {
        if (strcmp(json_str_or(line, "rule", ""), rule) == 0 && strcmp(json_str_or(line, "kind", ""), kind) == 0)
            return line;
    }
    return NULL;
}

static void expect_line(const json_t *report, const char *rule, const char *kind, int before, int after, int added,
                        int removed, int changed)
{
    const json_t *line = line_of(report, rule, kind);
    assert_non_null(line);
    assert_int_equal(json_int(line, "before", -1), before);
    assert_int_equal(json_int(line, "after", -1), after);
    assert_int_equal(json_int(line, "added", -1), added);
    assert_int_equal(json_int(line, "removed", -1), removed);
    assert_int_equal(json_int(line, "changed", -1), changed);
}

#define RULE(send)                                                                                                     \
    "rule { name = 'r', on = { 'message.received' }, run = function(e, fx)\n"                                          \
    "  local c = fx:open_conversation { topic = 'support' }\n" send "\nend }"

static void test_differences_are_told_apart(void **state)
{
    (void)state;
    struct sets sets;
    struct backtest *backtest = begin(
        &sets, RULE("c:send { text = 'hello' } c:tag('old') c:note('same')"),
        RULE("c:send { text = 'good day' } c:note('same') if e.message.text == 'b' then c:send { text = 'more' } end"));
    backtest_begin(backtest, 7, 1, NULL);
    message(backtest, 1, "whatsapp:1", "a", BEGINNING);
    message(backtest, 2, "whatsapp:1", "b", BEGINNING + HOUR);
    backtest_end(backtest, BEGINNING + 2 * HOUR);
    json_t *report = backtest_report(backtest);
    expect_line(report, "r", "send", 2, 3, 1, 0, 2);
    expect_line(report, "r", "tag", 1, 0, 0, 1, 0); /* the second time it was there already */
    expect_line(report, "r", "note", 2, 2, 0, 0, 0);
    expect_line(report, "r", "open_conversation", 1, 1, 0, 0, 0);
    const json_t *example = json_array_get(json_array_at(line_of(report, "r", "send"), "examples"), 0);
    assert_string_equal(json_str(example, "before"), "whatsapp: hello");
    assert_string_equal(json_str(example, "after"), "whatsapp: good day");
    assert_int_equal(json_int(example, "event", 0), 1);
    assert_int_equal(json_int(example, "contact", 0), 7);
    json_decref(report);
    end(&sets, backtest);
}

/* As the sender finds out: what the channel's call cannot hold is failed, and a rule about statuses hears of it. */
static void test_a_message_that_its_channel_does_not_take_is_a_failure(void **state)
{
    (void)state;
    struct sets sets;
    static const char watch[] = "rule { name = 'watch', on = { 'message.status' }, run = function(e, fx)\n"
                                "  if e.status.state == 'failed' then e.conversation:note(e.status.error.code) end\n"
                                "end }\n";
    char before[1024], after[1024];
    snprintf(before, sizeof(before), "%s%s", watch, RULE("c:send { text = string.rep('a', 4096) }"));
    snprintf(after, sizeof(after), "%s%s", watch, RULE("c:send { text = string.rep('a', 4097) }"));
    struct backtest *backtest = begin(&sets, before, after);
    backtest_begin(backtest, 7, 1, NULL);
    message(backtest, 1, "whatsapp:1", "a", BEGINNING);
    backtest_end(backtest, BEGINNING + HOUR);
    json_t *report = backtest_report(backtest);
    expect_line(report, "r", "send", 1, 0, 0, 1, 0);
    expect_line(report, "r", "failure", 0, 1, 1, 0, 0);
    expect_line(report, "watch", "note", 0, 1, 1, 0, 0);
    const json_t *example = json_array_get(json_array_at(line_of(report, "r", "failure"), "examples"), 0);
    assert_string_equal(json_str(example, "name"), "text");
    assert_non_null(strstr(json_str(example, "after"), "whatsapp: (the text has 4097 characters, "));
    json_decref(report);
    end(&sets, backtest);
}

static void test_time_and_window(void **state)
{
    (void)state;
    struct sets sets;
    static const char timer[] =
        "rule { name = 'late', on = { 'timer.check' }, run = function(e, fx) e.conversation:send { text = 'still there?' } end }\n";
    char before[1024], after[1024];
    snprintf(before, sizeof(before), "%s%s", timer, RULE("c:after('2h', 'check')"));
    snprintf(after, sizeof(after), "%s%s", timer, RULE("c:after('30h', 'check')"));
    struct backtest *backtest = begin(&sets, before, after);
    backtest_begin(backtest, 7, 1, NULL);
    message(backtest, 1, "whatsapp:1", "a", BEGINNING);
    backtest_end(backtest, BEGINNING + 48 * HOUR);
    json_t *report = backtest_report(backtest);
    expect_line(report, "late", "send", 1, 0, 0, 1, 0);
    expect_line(report, "late", "held", 0, 1, 1, 0, 0); /* the window has closed, and there is no template */
    const json_t *example = json_array_get(json_array_at(line_of(report, "late", "send"), "examples"), 0);
    assert_int_equal(json_int(example, "event", 0), 1); /* what began it, not the timer */
    json_decref(report);
    end(&sets, backtest);
}

static void test_worlds_are_apart(void **state)
{
    (void)state;
    struct sets sets;
    struct backtest *backtest = begin(&sets, RULE("c:send { text = 'x' }"), RULE("c:send { text = 'x' }"));
    for (int contact = 1; contact <= 50; contact++) {
        char from[64];
        snprintf(from, sizeof(from), "whatsapp:%d",
                 contact % 2); /* the same handle again is somebody new all the same */
        backtest_begin(backtest, contact, 1, NULL);
        for (int n = 0; n < 40; n++) {
            char text[64];
            snprintf(text, sizeof(text), "%d.%d", contact, n);
            message(backtest, contact * 100 + n, from, text, BEGINNING + n * 1000);
        }
        backtest_end(backtest, BEGINNING + HOUR);
    }
    json_t *report = backtest_report(backtest);
    expect_line(report, "r", "send", 2000, 2000, 0, 0, 0);
    expect_line(report, "r", "open_conversation", 50, 50, 0, 0, 0);
    json_decref(report);
    end(&sets, backtest);
}

/* A contact with very many events is compared in parts, and old rows are forgotten. */
static void test_a_long_history(void **state)
{
    (void)state;
    struct sets sets;
    struct backtest *backtest = begin(&sets, RULE("c:send { text = 'x' }"), RULE("c:send { text = 'y' }"));
    backtest_begin(backtest, 1, 1, NULL);
    for (int n = 0; n < 2500; n++) {
        char text[64];
        snprintf(text, sizeof(text), "%d", n);
        message(backtest, n + 1, "whatsapp:1", text, BEGINNING + n * (msec_t)1000);
    }
    backtest_end(backtest, BEGINNING + 10 * HOUR);
    json_t *report = backtest_report(backtest);
    expect_line(report, "r", "send", 2500, 2500, 0, 0, 2500);
    expect_line(report, "r", "open_conversation", 1, 1, 0, 0, 0);
    json_decref(report);
    end(&sets, backtest);
}

/* The candidate does not open the conversation that a colleague then resolved: that is no failure of anybody. */
static void test_nobody_acts_on_what_is_not_there(void **state)
{
    (void)state;
    struct sets sets;
    struct backtest *backtest = begin(&sets, RULE(""), "");
    backtest_begin(backtest, 7, 1, NULL);
    message(backtest, 1, "whatsapp:1", "hi", BEGINNING);
    json_t *event = json_pack("{s:I, s:s, s:s, s:s, s:I, s:I, s:s, s:[{s:s, s:s}, {s:s, s:s, s:s}]}", "id",
                              (json_int_t)2, "type", "agent.action", "source", "answerd", "provider", "answerd",
                              "contact_id", (json_int_t)7, "conversation_id", (json_int_t)70, "agent", "ann", "effects",
                              "conversation", "@", "do", "resolve", "conversation", "@", "do", "tag", "tag", "done");
    json_put_time(event, "received_at", BEGINNING + HOUR);
    backtest_event(backtest, event);
    json_decref(event);
    backtest_end(backtest, BEGINNING + DAY);
    json_t *report = backtest_report(backtest);
    expect_line(report, "answerd", "resolve", 1, 0, 0, 1, 0);
    assert_null(json_object_at(json_object_at(report, "kinds"), "failure"));
    json_decref(report);
    end(&sets, backtest);
}

#define CRON(schedule) "cron 'daily' { " schedule " }\n"
#define ON_CRON(body) "rule { name = 'daily', on = 'cron.daily', run = function(e, fx) " body " end }"

/* Three days from ten in the morning. */
static json_t *run_crons(const char *before, const char *after)
{
    struct sets sets;
    struct backtest *backtest = begin(&sets, before, after);
    backtest_begin(backtest, 7, 1, NULL);
    message(backtest, 1, "whatsapp:1", "hi", BEGINNING);
    backtest_end(backtest, BEGINNING + 3 * DAY);
    backtest_crons(backtest, 2, BEGINNING, BEGINNING + 3 * DAY);
    json_t *report = backtest_report(backtest);
    end(&sets, backtest);
    return report;
}

static void expect_fired(const json_t *report, int before, int after)
{
    const json_t *cron = json_array_get(json_array_at(report, "crons"), 0);
    assert_string_equal(json_str_or(cron, "name", ""), "daily");
    assert_int_equal(json_int(cron, "before", -1), before);
    assert_int_equal(json_int(cron, "after", -1), after);
}

static void test_each_side_fires_its_own_crons(void **state)
{
    (void)state;
    static const char rule_alone[] =
        "rule { name = 'daily', on = 'cron.*', run = function(e, fx) fx:emit('due', {}) end }";
    static const char tells[] = ON_CRON("fx:emit('due', { at = e.body.due_at, nth = random(1000) })");
    char at_nine[256], at_eight[256];
    snprintf(at_nine, sizeof(at_nine), "%s%s", CRON("schedule = '0 9 * * *'"), tells);
    snprintf(at_eight, sizeof(at_eight), "%s%s", CRON("schedule = '0 8,9 * * *'"), tells);

    json_t *report = run_crons(rule_alone, at_nine); /* the rule is not enough: nothing fires */
    expect_fired(report, 0, 3);
    expect_line(report, "daily", "emit", 0, 3, 3, 0, 0);
    const json_t *example = json_array_get(json_array_at(line_of(report, "daily", "emit"), "examples"), 0);
    assert_string_equal(json_str_or(example, "cron", ""), "daily");
    assert_true(json_is_null(json_object_get(example, "event")));
    assert_string_equal(json_str_or(example, "after_at", ""), "2026-01-06T09:00:00.000Z");
    json_decref(report);

    report = run_crons(at_nine, rule_alone);
    expect_fired(report, 3, 0);
    expect_line(report, "daily", "emit", 3, 0, 0, 3, 0);
    json_decref(report);

    report = run_crons(at_nine, at_nine);
    expect_fired(report, 3, 3);
    expect_line(report, "daily", "emit", 3, 3, 0, 0, 0);
    json_decref(report);

    report = run_crons(at_nine, at_eight); /* nine is the same on both sides */
    expect_fired(report, 3, 6);
    expect_line(report, "daily", "emit", 3, 6, 3, 0, 0);
    json_decref(report);
}

/* What a cron began goes on: it reaches people, and its timers fire. The end is not within, the beginning is. */
static void test_what_a_cron_begins(void **state)
{
    (void)state;
    static const char after[] = CRON("every = '24h'") ON_CRON(
        "fx:emit('page', {}, { contact = 'whatsapp:1' })") "rule { name = 'page', on = 'custom.page', run = function(e, fx)"
                                                           "  local c = fx:open_conversation { topic = 'alerts' } c:note('paged') c:after('3h', 'later') end }"
                                                           "rule { name = 'later', on = 'timer.later', run = function(e, fx) e.conversation:tag('late') end }";
    struct sets sets;
    struct backtest *backtest = begin(&sets, "", after);
    msec_t midnight = BEGINNING - 10 * HOUR;
    backtest_crons(backtest, 1, midnight, midnight + 2 * DAY);
    json_t *report = backtest_report(backtest);
    expect_fired(report, 0, 2);
    expect_line(report, "page", "note", 0, 2, 2, 0, 0);
    expect_line(report, "later", "tag", 0, 1, 1, 0, 0); /* once: the conversation has it the second time */
    json_decref(report);
    end(&sets, backtest);
}

/* More than what is compared at once: the memory of a cron that fires often stays small, and nothing is lost at the
 * seams. */
static void test_a_cron_that_fires_often(void **state)
{
    (void)state;
    static const char often[] = CRON("every = '10s'") ON_CRON("fx:emit('due', {})");
    struct sets sets;
    struct backtest *backtest = begin(&sets, often, often);
    backtest_crons(backtest, 1, BEGINNING, BEGINNING + DAY);
    json_t *report = backtest_report(backtest);
    expect_fired(report, 8640, 8640);
    expect_line(report, "daily", "emit", 8640, 8640, 0, 0, 0);
    json_decref(report);
    end(&sets, backtest);
}

static void test_what_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        bool taken;
    } cases[] = {
        { "{\"type\": \"message.received\", \"source\": \"whatsapp\"}", true },
        { "{\"type\": \"message.status\", \"source\": \"whatsapp\"}", false },
        { "{\"type\": \"conversation.opened\", \"source\": \"answerd\"}", false },
        { "{\"type\": \"timer.x\", \"source\": \"answerd\"}", false },
        { "{\"type\": \"agent.action\", \"source\": \"answerd\"}", true },
        { "{\"type\": \"custom.x\", \"source\": \"answerd\"}", true },
        { "{\"type\": \"custom.x\", \"source\": \"answerd\", \"cause\": {\"event\": 4}}", false },
        { "{\"type\": \"cron.daily\", \"source\": \"answerd\"}", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *event = NULL;
        assert_int_equal(json_parse(bytes_of(cases[i].event), &event, NULL), ERR_NONE);
        assert_int_equal(simulation_takes(event), cases[i].taken);
        json_decref(event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences_are_told_apart),
        cmocka_unit_test(test_a_message_that_its_channel_does_not_take_is_a_failure),
        cmocka_unit_test(test_time_and_window),
        cmocka_unit_test(test_worlds_are_apart),
        cmocka_unit_test(test_a_long_history),
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_nobody_acts_on_what_is_not_there),
        cmocka_unit_test(test_each_side_fires_its_own_crons),
        cmocka_unit_test(test_what_a_cron_begins),
        cmocka_unit_test(test_a_cron_that_fires_often),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
