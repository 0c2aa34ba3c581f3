/* What a rule cannot do to the program, to other rules, or to itself on the next event. */
#include "rule_files.h"

#include "base/clock.h"

static const struct rule_limits small = {
    .max_instructions = 200000, .max_memory_bytes = 8 * 1024 * 1024, .max_effects = 10, .max_wall_ms = 2000
};

/* A set whose first rule does `code`, and whose second must still work. */
static struct rule_set *load_attack(const char *code)
{
    char rules[4096];
    snprintf(rules, sizeof(rules),
             "local kept, list = 0, {}\nrule { name = 'a', on = 'custom.x', run = function(e, fx)\n%s\nend }\n"
             "rule { name = 'b', on = 'custom.x', run = function(e, fx) log(kept, #list, ('x'):upper()) "
             "fx:emit('fine', {}) end }",
             code);
    return load_text(rules, &small);
}

static void check_neighbour(struct rule_set *set, const char *code)
{
    json_t *event = document("{\"type\":\"custom.x\",\"id\":1}");
    struct rule_outcome outcome;
    rule_run(set, 1, event, NULL, NULL, TEST_NOW, 1, &outcome);
    if (outcome.verdict != RULE_RAN || strcmp(json_string_value(json_at(outcome.log, "0.text")), "0\t0\tX") != 0) {
        fail_msg("after %s: %s", code, outcome.error);
    }
    rule_outcome_done(&outcome);
    json_decref(event);
}

static void budgets_hold(void **state)
{
    (void)state;
    static const char *const attacks[] = {
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local t = {} while true do t[#t + 1] = { 1, 2, 3 } end",
        "local s = 'x' while true do s = s .. s end",
        "local function f() return 1 + f() end f()",
        "('x'):rep(1 << 30)",
        "for i = 1, 100 do fx:emit('x', {}) end",
        "for i = 1, 100 do pcall(fx.emit, fx, 'x', {}) end",
        "local t = {} for i = 1, 20000 do t[i] = 'value ' .. i end fx:emit('x', t)",
    };
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct rule_set *set = load_attack(attacks[i]);
        int64_t before_us = clock_thread_us();
        for (int round = 0; round < 2; round++) {
            struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"id\":1}", NULL);
            bool stopped =
                outcome.verdict == RULE_OVER_BUDGET || ((i == 4 || i == 5) && outcome.verdict == RULE_FAILED);
            if (!stopped || outcome.effects != NULL || outcome.line == 0 ||
                strncmp(outcome.error, "rules/a.lua:", 12) != 0) {
                fail_msg("%s: verdict %d line %d: %s", attacks[i], outcome.verdict, outcome.line, outcome.error);
            }
            rule_outcome_done(&outcome);
            check_neighbour(set, attacks[i]);
        }
        assert_true(clock_thread_us() - before_us < 20000000);
        rule_set_free(set);
    }
}

static void nothing_is_kept_from_one_event_to_the_next(void **state)
{
    (void)state;
    static const char *const attacks[] = {
        "kept = kept + 1",
        "pcall(function() kept = 5 end) error('x')",
        "list[1] = 'x'",
        "table.insert(list, 'x')",
    };
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct rule_set *set = load_attack(attacks[i]);
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"id\":1}", NULL);
        assert_int_equal(outcome.verdict, RULE_FAILED);
        assert_null(outcome.effects);
        if (i == 0) {
            assert_non_null(strstr(outcome.error, "changed 'kept'"));
        }
        rule_outcome_done(&outcome);
        check_neighbour(set, attacks[i]);
        rule_set_free(set);
    }
}

static void there_is_no_way_out(void **state)
{
    (void)state;
    static const char *const names[] = { "io",           "os",      "debug",    "load",
                                         "loadstring",   "dofile",  "loadfile", "collectgarbage",
                                         "coroutine",    "rawset",  "rawget",   "setmetatable",
                                         "getmetatable", "package", "host",     "use" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char code[128];
        snprintf(code, sizeof(code), "local x = %s", names[i]);
        struct rule_set *set = load_attack(code);
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"id\":1}", NULL);
        if (outcome.verdict != RULE_FAILED) {
            fail_msg("%s is there", names[i]);
        }
        rule_outcome_done(&outcome);
        rule_set_free(set);
    }
}

static void shared_things_cannot_be_changed(void **state)
{
    (void)state;
    static const char *const attacks[] = {
        "string.upper = nil",
        "math.floor = nil",
        "fx.emit = nil",
        "calendar = nil",
        "table.insert(string, 1)",
        "e.id = 2",
        "e.contact.identities[1] = 'x'",
        "now = function() return 0 end",
        "_G = nil",
        "next(fx)[1] = 2",
    };
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct rule_set *set = load_attack(attacks[i]);
        struct rule_outcome outcome =
            run_rule(set, "{\"type\":\"custom.x\",\"id\":1,\"contact\":{\"identities\":[\"email:a@b.c\"]}}", NULL);
        if (outcome.verdict != RULE_FAILED) {
            fail_msg("%s: verdict %d", attacks[i], outcome.verdict);
        }
        rule_outcome_done(&outcome);
        check_neighbour(set, attacks[i]);
        rule_set_free(set);
    }
}

static void what_a_rule_keeps_of_a_global_still_works(void **state)
{
    (void)state;
    struct rule_set *set = load_text(
        "local money, calendar, data, log, has, date = money, calendar, data, log, has, date\n"
        "calendar 'c' { timezone = 'UTC', hours = { mon = '09:00-17:00' } }\nlocal office = calendar 'c'\n"
        "rule { name = 'a', on = 'custom.x', run = function(e, fx)\n"
        "log(money(1, 'usd'), calendar('c'):open(now()), office:open(now()), has('a b', 'b'), date('%F', 0)) end }",
        NULL);
    for (int i = 0; i < 3; i++) {
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"id\":1}", NULL);
        if (outcome.verdict != RULE_RAN) {
            fail_msg("%s", outcome.error);
        }
        assert_string_equal(json_string_value(json_at(outcome.log, "0.text")), "$0.01\ttrue\ttrue\tb\t1970-01-01");
        rule_outcome_done(&outcome);
    }
    rule_set_free(set);
}

static void many_events_do_not_fill_the_memory(void **state)
{
    (void)state;
    struct rule_set *set =
        load_text("rule { name = 'a', on = 'custom.x', run = function(e, fx)\n"
                  "local t = {} for i = 1, 200 do t[i] = ('x'):rep(100) .. i end fx:emit('x', { n = #t }) log(e) end }",
                  &small);
    json_t *event = document(
        "{\"type\":\"custom.x\",\"id\":1,\"body\":{\"a\":[1,2,3]},\"contact\":{\"identities\":[\"email:a@b.c\"]}}");
    for (int i = 0; i < 3000; i++) {
        struct rule_outcome outcome;
        rule_run(set, 0, event, NULL, NULL, TEST_NOW, (uint64_t)i, &outcome);
        if (outcome.verdict != RULE_RAN) {
            fail_msg("run %d: %s", i, outcome.error);
        }
        rule_outcome_done(&outcome);
    }
    json_decref(event);
    rule_set_free(set);
}

static void deep_and_large_events_are_refused_not_crashed_on(void **state)
{
    (void)state;
    struct rule_set *set =
        load_text("rule { name = 'a', on = 'custom.x', run = function(e, fx) fx:emit('x', e.body) end }", &small);
    json_t *event = document("{\"type\":\"custom.x\",\"id\":1}");
    json_t *body = json_object();
    json_t *at = body;
    for (int i = 0; i < 100; i++) {
        json_t *inner = json_object();
        json_object_set_new(at, "a", inner);
        at = inner;
    }
    json_object_set_new(event, "body", body);
    struct rule_outcome outcome;
    rule_run(set, 0, event, NULL, NULL, TEST_NOW, 1, &outcome);
    assert_int_equal(outcome.verdict, RULE_FAILED);
    rule_outcome_done(&outcome);
    body = json_array();
    for (int i = 0; i < 300000; i++) {
        json_array_append_new(body, json_sprintf("value %d", i));
    }
    json_object_set_new(event, "body", body);
    for (int i = 0; i < 2; i++) {
        rule_run(set, 0, event, NULL, NULL, TEST_NOW, 1, &outcome);
        assert_int_equal(outcome.verdict, RULE_OVER_BUDGET);
        rule_outcome_done(&outcome);
    }
    json_object_set_new(event, "body", json_object());
    rule_run(set, 0, event, NULL, NULL, TEST_NOW, 1, &outcome);
    assert_int_equal(outcome.verdict, RULE_RAN);
    rule_outcome_done(&outcome);
    json_decref(event);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_hold),
        cmocka_unit_test(nothing_is_kept_from_one_event_to_the_next),
        cmocka_unit_test(there_is_no_way_out),
        cmocka_unit_test(shared_things_cannot_be_changed),
        cmocka_unit_test(what_a_rule_keeps_of_a_global_still_works),
        cmocka_unit_test(many_events_do_not_fill_the_memory),
        cmocka_unit_test(deep_and_large_events_are_refused_not_crashed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
