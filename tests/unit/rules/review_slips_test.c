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
        SAID("warning", "if e.conversation.priority >= 'high' then log(1) end",
             "'e.conversation.priority' is compared by its letters, and \"high\" comes before \"low\""),
        SAID("warning", "local c = e.conversation log('normal' < c.priority)",
             "'c.priority' is compared by its letters"),
        SAID("warning", "if e.contact.language == 'german' then log(1) end",
             "'e.contact.language' is never 'german'; a language is \"en\" or \"pt-BR\""),
        SAID("warning", "e.conversation:assign()", "assign: without an assignee it takes the conversation back"),
        SAID("error", "fx:emit('x', {}, { whatsapp = '15550100' })",
             "emit has no 'whatsapp'; write 'contact = { whatsapp = … }'"),
        FINE("e.conversation:assign(nil) log(e.contact.language == 'de' or e.contact.language == 'pt-BR')"),
        FINE("log(e.contact.created_at < now(), e.conversation.episode > 1, e.conversation.priority == 'high')"),
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

/* Lists are there also when they are empty, and methods that are not called. */
static void what_is_always_true_is_told(void **state)
{
    (void)state;
#define IN_WHEN(body, text)                                                                                            \
    {                                                                                                                  \
        WHEN("'message.received'", body), "rules/a.lua:2", "warning", text, NULL                                       \
    }
#define FINE_IN_WHEN(body)                                                                                             \
    {                                                                                                                  \
        WHEN("'message.received'", body), NULL, NULL, NULL, NULL                                                       \
    }
    static const struct wanted cases[] = {
        SAID(
            "warning", "if e.contact.opted_out then return end",
            "'e.contact.opted_out' is a table, which is true also when it is empty; write e.contact:has_opted_out(…), or "
            "#e.contact.opted_out > 0"),
        SAID("warning", "if not e.contact.opted_out then log(1) end", "write e.contact:has_opted_out(…)"),
        SAID("warning", "if e.message and e.conversation.tags then log(1) end", "write c:has_tag(…)"),
        SAID("warning", "if (e.contact.attributes) then log(1) end", "write e.contact.attributes.NAME"),
        SAID("warning", "local c = e.conversation if c.tags and has(e.message.text, 'x') then log(1) end",
             "'c.tags' is a table, which is true also when it is empty; write c:has_tag(…), or #c.tags > 0"),
        SAID("warning", "if log() then log(1) elseif e.contact.channels or e.id then log(2) end",
             "write e.contact:can_reach(…)"),
        SAID("warning", "local c = fx:open_conversation {} while c.send do log(1) end",
             "'c.send' is a method, which is always there; call it, as in c:send(…)"),
        SAID("warning", "if e.contact.has_opted_out then return end", "as in e.contact:has_opted_out(…)"),
        SAID("warning", "if e.conversations then log(1) end", "write #e.conversations > 0"),
        SAID("warning", "if #e.id > 2 and tostring(e.id) == e.type and not e.contact.opted_out then log(1) end",
             "has_opted_out(…)"),
        IN_WHEN("e.contact and not e.contact.opted_out", "has_opted_out(…)"),
        IN_WHEN("e.conversation.attributes", "write e.conversation.attributes.NAME"),
        FINE("if e.contact.attributes and e.contact.attributes.plan == 'pro' then log(1) end"),
        FINE("local c = e.conversation if not c.tags or #c.tags == 0 then log(1) end"),
        FINE("if #e.contact.opted_out > 0 or e.conversation.tags[1] or e.contact.attributes.vip then log(1) end"),
        FINE("local tags, all = e.conversation.tags or {}, e.id and e.contact.channels log(tags, all)"),
        FINE("if has(e.message.text, e.conversation.tags) or (e.conversation.tags or {})[1] then log(1) end"),
        FINE("local function tags() return e.conversation.tags end log(tags(), e.contact.opted_out and 1)"),
        FINE("if e.message.button or e.message.media or e.contact.name then log(1) end"),
        FINE("if e.body.tags or e.body.contact.opted_out then log(1) end log({ e.id and e.contact.opted_out })"),
        FINE_IN_WHEN("(function() return e.conversation.tags end)()[1] == 'x'"),
        FINE_IN_WHEN("has(e.message.text, 'x') and e.contact.attributes.vip"),
    };
    CHECK_EACH(cases);
#undef IN_WHEN
#undef FINE_IN_WHEN
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
        cmocka_unit_test(what_is_always_true_is_told),
        cmocka_unit_test(conditions_are_functions),
        cmocka_unit_test(methods_of_calendars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
