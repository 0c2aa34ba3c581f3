/* The helpers that rules call, as a rule sees them: each expression must give the text beside it. */
#include "rule_files.h"

struct value {
    const char *expression;
    const char *text;
};

static void check_values(const char *declarations, const struct value *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char rules[4096];
        snprintf(rules, sizeof(rules), "%s\nrule { name = 'x', on = 'custom.x', run = function(e, fx)\nlog(%s) end }",
                 declarations, values[i].expression);
        struct rule_set *set = load_text(rules, NULL);
        struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\",\"id\":1}", NULL);
        const char *text =
            outcome.verdict == RULE_RAN ? json_string_value(json_at(outcome.log, "0.text")) : outcome.error;
        if (text == NULL || (strcmp(text, values[i].text) != 0 &&
                             (outcome.verdict == RULE_RAN || strstr(text, values[i].text) == NULL))) {
            fail_msg("%s\n gives    %s\n expected %s", values[i].expression, text != NULL ? text : "nothing",
                     values[i].text);
        }
        rule_outcome_done(&outcome);
        rule_set_free(set);
    }
}

static void money(void **state)
{
    (void)state;
    static const struct value values[] = {
        { "money(1900, 'usd')", "$19.00" },
        { "money(5, 'USD')", "$0.05" },
        { "money(123456789, 'eur')", "€1,234,567.89" },
        { "money(1900, 'chf')", "19.00 CHF" },
        { "money(1900, 'jpy')", "¥1,900" },
        { "money(1500, 'kwd')", "1.500 KWD" },
        { "money(-1900, 'usd')", "-$19.00" },
        { "money(0, 'clp')", "0 CLP" },
        { "money(500, 'isk'), money(500, 'ugx'), money(50, 'xtr')", "500 ISK\t500 UGX\t50 XTR" },
        { "money(1500, 'iqd'), money(1500, 'lyd')", "1.500 IQD\t1.500 LYD" },
        { "money(1900.0, 'usd')", "$19.00" },
        { "money(19.5, 'usd')", "rules/a.lua:3: money: the amount is a whole number" },
        { "money(nil, 'usd')", "not nothing" },
        { "money(1900, 'usdc'), money(-5, 'USDT'), money(0, 'x1')", "19.00 USDC\t-0.05 USDT\t0.00 X1" },
        { "money(1, '')", "money: the currency is a code such as \"usd\", not ''" },
        { "money(1)", "money: the currency is a code such as \"usd\", not nothing" },
    };
    check_values("", values, sizeof(values) / sizeof(values[0]));
}

static void times(void **state)
{
    (void)state;
    static const struct value values[] = {
        { "now()", "1767607200" },
        { "now() + hours(2) + minutes(3) + days(1) + seconds(1)", "1767700981" },
        { "duration('1h30m'), duration('250ms')", "5400\t0.25" },
        { "duration('soon')", "is not a duration" },
        { "date('%Y-%m-%d %H:%M:%S', now())", "2026-01-05 10:00:00" },
        { "date('%A %e %B %Y, %I:%M %p %z', now(), 'America/New_York')", "Monday 5 January 2026, 05:00 am -0500" },
        { "date('%F %R', 0.5)", "1970-01-01 00:00" },
        { "date('%Q', 0)", "'%Q', which means nothing" },
        { "date('%F', 0, 'Mars' .. '/North')", "no time zone 'Mars/North'; write it like" },
        { "date('%F', 0, ('Europe/Zurch'))", "did you mean 'Europe/Zurich'?" },
        { "local_time(now(), 'Asia/Kolkata').hour, local_time(now()).weekday", "15\t2" },
    };
    check_values("", values, sizeof(values) / sizeof(values[0]));
}

static void words(void **state)
{
    (void)state;
    static const struct value values[] = {
        { "has('I want a REFUND', 'cancel', 'refund')", "refund" },
        { "has('refunding', 'refund')", "nil" },
        { "has(nil, 'refund')", "nil" },
        { "has('money back please', { 'refund', 'money back' })", "money back" },
        { "is(' Stop! ', { 'stop' })", "stop" },
        { "is('do not stop', 'stop')", "nil" },
        { "has('x')", "no word to look for" },
        { "has(5, 'x')", "is a text, not a number" },
    };
    check_values("", values, sizeof(values) / sizeof(values[0]));
}

/* As an argument, nothing and nil are not the same. */
static void what_was_not_kept(void **state)
{
    (void)state;
    static const struct value values[] = { { "type(e:raw())", "nil" }, { "select('#', e:raw())", "1" } };
    check_values("", values, sizeof(values) / sizeof(values[0]));
}

static void calendars(void **state)
{
    (void)state;
    const char *office =
        "calendar 'office' { timezone = 'Europe/Zurich', hours = { ['mon-fri'] = { '09:00-12:00', '13:00-17:00' },"
        " sat = '22:00-02:00' }, holidays = { '01-06', '2026-01-08' }, special = { ['2026-01-09'] = '10:00-11:00' } }\n"
        "calendar 'never' { timezone = 'UTC', hours = {} }\n"
        "local f = function(t) return t and date('%F %R', t, 'Europe/Zurich') end\n";
    static const struct value values[] = {
        /* It is Monday, 11:00 in Zurich. */
        { "calendar('office'):open(now())", "true" },
        { "calendar('office'):open(now() + hours(1))", "false" },
        { "calendar('office'):open(now() + hours(2))", "true" },
        { "f(calendar('office'):next_open(now() + hours(1)))", "2026-01-05 13:00" },
        { "f(calendar('office'):next_close(now()))", "2026-01-05 12:00" },
        { "f(calendar('office'):next_open(now() + hours(6)))", "2026-01-07 09:00" }, /* the 6th is a holiday */
        { "f(calendar('office'):add(now(), '4h'))", "2026-01-05 16:00" },
        { "f(calendar('office'):add(now(), '6h'))", "2026-01-07 10:00" },
        { "f(calendar('office'):add(now(), hours(12)))", "2026-01-07 17:00" },
        { "f(calendar('office'):add(now(), '12h30m'))", "2026-01-09 10:30" }, /* the 8th is a holiday */
        { "calendar('office'):between(now(), now() + days(2))", "25200" },    /* 5 h on Monday, 2 h on Wednesday */
        { "calendar('office'):open(now() + days(5) + hours(14))", "true" },   /* Sunday, 01:00 */
        { "calendar('never'):next_open(now())", "nil" },
        { "calendar('never'):add(now(), '1h')", "not open long enough" },
        { "calendar('office'):opne(now())", "did you mean 'open'" },
        { "calendar('office').open(now())", "call it with a colon" },
        { "calendar('office'):open()", "takes a time such as now()" },
        { "calendar(e.type)", "there is no calendar 'custom.x'" },
    };
    check_values(office, values, sizeof(values) / sizeof(values[0]));
}

static void calendars_over_a_change_of_clocks(void **state)
{
    (void)state;
    /* In the night to Sunday 29 March 2026 clocks go from 02:00 to 03:00. */
    const char *night = "calendar 'night' { timezone = 'Europe/Zurich', hours = { sat = '22:00-04:00' } }\n"
                        "local start = 1774731600 -- Saturday 22:00\n"
                        "local f = function(t) return date('%F %R', t, 'Europe/Zurich') end\n";
    static const struct value values[] = {
        { "f(start)", "2026-03-28 22:00" },
        { "f(calendar('night'):next_close(start))", "2026-03-29 04:00" },
        { "calendar('night'):between(start, start + days(1))", "18000" }, /* five hours, not six */
        { "f(calendar('night'):add(start, '5h'))", "2026-03-29 04:00" },
    };
    check_values(night, values, sizeof(values) / sizeof(values[0]));
}

static void chance(void **state)
{
    (void)state;
    struct rule_set *set = load_text(
        "rule { name = 'x', on = 'custom.x', run = function(e, fx) log(random(), random(6), random(10, 20)) end }",
        NULL);
    struct rule_outcome first = run_rule(set, "{\"type\":\"custom.x\"}", NULL);
    struct rule_outcome second = run_rule(set, "{\"type\":\"custom.x\"}", NULL);
    assert_true(json_equal(first.log, second.log));
    rule_outcome_done(&second);
    json_t *event = document("{\"type\":\"custom.x\"}");
    rule_run(set, 0, event, NULL, NULL, TEST_NOW, 8, &second);
    assert_false(json_equal(first.log, second.log));
    json_decref(event);
    rule_outcome_done(&first);
    rule_outcome_done(&second);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money),     cmocka_unit_test(times),
        cmocka_unit_test(words),     cmocka_unit_test(what_was_not_kept),
        cmocka_unit_test(calendars), cmocka_unit_test(calendars_over_a_change_of_clocks),
        cmocka_unit_test(chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
