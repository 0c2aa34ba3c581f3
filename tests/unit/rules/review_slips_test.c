/* Slips of people who write other languages as well are told by `answerd check`. */
#include "review_cases.h"

#define SAID(severity, code, text)                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", severity, text, NULL                                          \
    }
#define FINE(code)                                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), NULL, NULL, NULL, NULL                                                         \
    }

static void what_other_languages_do_otherwise(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        SAID("error", "log('big ' + e.id)", "`+` adds numbers; texts are joined by `..`"),
        SAID("error", "log(e.id + ' big')", "texts are joined by `..`"),
        SAID("error", "e.conversation.assignee = 'ann'", "'conversation' of an event cannot be changed: 'assignee'"),
        SAID("error", "local c = e.conversation c.attributes.plan = 'x'", "'plan' is assigned to"),
        SAID("error", "e.contact.attributes.plan = 'pro'", "'contact' of an event cannot be changed: 'plan'"),
        SAID("warning", "log(e.message.button == 'yes')",
             "'e.message.button' is never a text; write e.message.button.id"),
        SAID("warning", "if e.conversation.tags == 'vip' then log(1) end", "write c:has_tag(…)"),
        SAID("warning", "if e.message == 'stop' then log(1) end", "'e.message' is never a text; write e.message.text"),
        SAID("warning", "log(e.message.body)", "'e.message' has no field 'body'; did you mean 'text'?"),
        SAID("warning", "log(e.contact.email)", "did you mean e.contact:identity(\"email\")?"),
        SAID("warning", "e.contact:set('vip')", "set: \"vip\" is given no value, which takes it away"),
        SAID("error", "log(e.amount)",
             "unknown field 'e.amount'; did you mean 'e.payment.amount' or 'e.order.amount'?"),
        FINE("e.contact:set('vip', nil) e.contact:set('vip', e.body.vip)"),
        SAID("error", "e.contact:send('x')", "it is for the conversation: e.conversation:send(…)"),
        SAID("error", "e.conversation:opt_out()", "it is for the contact: e.contact:opt_out(…)"),
        SAID("warning", "if e.message.text == 'a' or 'b' then log(1) end",
             "is always true by itself: write … == \"b\" again"),
        SAID("error", "log(now() - e.occurred_at > '4h')", "times are numbers: write duration(\"4h\")"),
        SAID("error", "log(local_time(now()).hours)", "local_time(…) has no field 'hours'; did you mean 'hour'?"),
        SAID("error", "local M = {} M.send = function(c) return c end e.conversation:send('')",
             "send: 'text' is an empty text"),
        FINE("log(e.message.text == 'a' and 'x' or 'b', e.message.text == 'a' or e.message.text == 'b', e.id or 'c')"),
        FINE("log(e.message.text < 'a', local_time(now()).hour, e.body.local_time, (e.message.text or 'b') == 'a')"),
        FINE("local M = {} function M:send(x) return x end local o = M log(o:send(''))"),
        FINE("log('5' + 1, #'abc' + 1, tostring 'a' + 1, e.body['a'] + 1, 'a' .. 1 + 2)"),
        FINE("log('yes' == e.message.button.id, 'x' == e.message.text, 'a' == e.message.text:sub(1, 1))"),
        FINE("log(e.message.button and e.message.button.text == 'Yes', e.conversation.attributes.tags == 'x')"),
        FINE("local t = {} t.tags = e.conversation.tags log(t.tags == 'x', e.conversation.state == 'open')"),
        FINE("log(e.contact.attributes.email, e.body.message == 'x', e.body.contact.email)"),
    };
    CHECK_EACH(cases);
}

static void conditions_are_functions(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A("rule { name = 'x', on = 'message.received',\nwhen = has(nil, 'x'), run = function() end }"),
          "rules/a.lua:2", "warning", "rule 'x' runs on every event", "when = function(e) return" },
        { FILE_A(
              "local f = function(e) return e.id ~= '' end\nrule { name = 'x', on = 'message.received', when = f, run = "
              "function() end }\nrule { name = 'y', on = 'message.received', when = nil, run = function() end }"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void methods_of_calendars(void **state)
{
    (void)state;
#define OFFICE "calendar 'office' { timezone = 'UTC', hours = { mon = '09:00-17:00' } }\n"
    static const struct wanted cases[] = {
        { FILE_A(OFFICE RULE("a", "'message.received'", "log(calendar('office'):is_open(now()))")), "rules/a.lua:2",
          "error", "calendar(…) has no method 'is_open'; did you mean 'open'?", "next_open" },
        { FILE_A(OFFICE RULE("a", "'message.received'",
                             "log(calendar('office'):open(now()), calendar 'office':add(1, '1h'))")),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_other_languages_do_otherwise),
        cmocka_unit_test(conditions_are_functions),
        cmocka_unit_test(methods_of_calendars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
