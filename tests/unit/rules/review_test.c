/* What `answerd check` finds beyond loading, and what it must not find. */
#include "review_cases.h"

static void fields_are_checked(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "log(e.mesage)"), "rules/a.lua:2", "error", "'e.mesage'; did you mean 'message'",
          NULL },
        { ON("'message.received'", "log(e.nonsense)"), "rules/a.lua:2", "error", "unknown field 'e.nonsense'", NULL },
        { WHEN("'payment.failed'", "e.message.text == 'x'"), "rules/a.lua:2", "warning",
          "'e.message' is never there: the rule listens to payment.failed", "message.*" },
        { ON("{ 'conversation.resolved', 'payment.*' }", "log(e.status.state)"), "rules/a.lua:2", "warning",
          "'e.status' is never there", "message.status" },
        { ON("'message.status'", "log(e.message)"), "rules/a.lua:2", "warning", "'e.message' is never there", NULL },
        { ON("'custom.x'", "log(e.payment.amount)"), "rules/a.lua:2", "warning", "'e.payment' is never there",
          "payment.*" },
        { ON("'payment.failed'", "log(e.payment.invoce)"), "rules/a.lua:2", "error", "did you mean 'invoice'", NULL },
        { ON("'payment.failed'", "log(e.payment.colour)"), "rules/a.lua:2", "warning",
          "'e.payment' has no field 'colour'", "its fields are id, amount" },
        { ON("'payment.failed'", "local pay = e.payment\nlog(pay.id,\npay.amnt)"), "rules/a.lua:4", "error",
          "'pay' has no field 'amnt'; did you mean 'amount'", NULL },
        { ON("'message.received'", "e.contact:nickname('x')"), "rules/a.lua:2", "error",
          "'e.contact' has no method 'nickname'", "opt_out" },
        { ON("'message.received'", "local c = e.conversation\nif c then\nc:tagg('x') end"), "rules/a.lua:4", "error",
          "did you mean 'tag'", NULL },
        { ON("'message.received'", "local c = fx:open_conversation { topic = 'support' }\nc:close()"), "rules/a.lua:3",
          "error", "'c' has no method 'close'; write c:resolve()", NULL },
        { FILE_A("rule { name = 'x', on = 'message.received',\nwhen = function(e) has(e.message.text, 'x') end, run = "
                 "function() end }"),
          "rules/a.lua:2", "warning", "rule 'x' never runs: its 'when' gives nothing back", "write `return`" },
        { FILE_A("rule { name = 'x', on = 'message.received', run = function()\nfx:stop() end }"), "rules/a.lua:2",
          "error", "'fx' is not defined", "function(e, fx)" },
        { ON("'message.received'", "log(e.text)"), "rules/a.lua:2", "error", "did you mean 'e.message.text'?", NULL },
        { ON("'message.received'", "e.conversation:label('x')"), "rules/a.lua:2", "error",
          "write e.conversation:tag(…)", NULL },
        { ON("'message.received'", "log(e.contact.plan)"), "rules/a.lua:2", "warning",
          "'e.contact' has no field 'plan'", "e.contact.attributes" },
        { FILE_A("local function run(event, fx)\n  log(event.mesage)\nend\n"
                 "rule { name = 'x', on = 'message.received', run = run }"),
          "rules/a.lua:2", "error", "unknown field 'e.mesage'", NULL },
    };
    CHECK_EACH(cases);
}

static void words_that_a_field_never_has_are_told(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { WHEN("'message.received'", "e.conversation and e.conversation.state == 'closed'"), "rules/a.lua:2", "warning",
          "'e.conversation.state' is never 'closed'; did you mean 'resolved'?", "open, pending, snoozed, resolved" },
        { ON("'message.received'", "local c = e.conversation\nif c and c.priority ~= 'hihg' then log(1) end"),
          "rules/a.lua:3", "warning", "'c.priority' is never 'hihg'; did you mean 'high'?",
          "low, normal, high, urgent" },
        { WHEN("'message.status'", "'error' == e.status.state"), "rules/a.lua:2", "warning",
          "'e.status.state' is never 'error'; did you mean 'failed'?", NULL },
        { WHEN("'message.received'", "e.message.kind == 'photo'"), "rules/a.lua:2", "warning",
          "'e.message.kind' is never 'photo'; did you mean 'image'?", NULL },
        { WHEN("'message.received'", "e.conversation.state == 'resolved' or e.message.kind == 'flow'"), NULL, NULL,
          NULL, NULL },
        { WHEN("'message.received'", "e.conversation.state == 're' .. e.body.rest"), NULL, NULL, NULL, NULL },
        { WHEN("'message.received'", "e.conversation.attributes.state == 'closed'"), NULL, NULL, NULL, NULL },
        { WHEN("'payment.failed'", "e.payment.status == 'anything' and e.body.state == 'x'"), NULL, NULL, NULL, NULL },
        { ON("'custom.x'", "local c = e.body\nif c.state == 'closed' then log(1) end"), NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void languages_are_codes(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.contact:set('language', 'German')"), "rules/a.lua:2", "warning",
          "set: 'German' is not a language; write \"en\" or \"pt-BR\"", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'Hi', language = 'German' }"), "rules/a.lua:2",
          "warning", "send: 'German' is not a language", NULL },
        { ON("'message.received'", "e.contact:set('language', 'pt-BR')\ne.conversation:set('language', 'German')"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void timers_that_no_rule_takes_are_told(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', 'nudge')") RULE(
              "b", "'message.button'", "e.conversation:after('2h', 'nugde')") RULE("c", "'timer.nudge'", "log(1)")),
          "rules/a.lua:2", "warning", "after: no rule listens to 'timer.nugde'; did you mean 'nudge'?",
          "on = \"timer.nugde\"" },
        { ON("'message.received'", "e.conversation:after('1h', 'nudge')"), "rules/a.lua:2", "warning",
          "after: no rule listens to 'timer.nudge'", NULL },
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', 'nudge')") RULE(
              "b", "'message.button'", "e.conversation:cancel('nugde')") RULE("c", "'timer.nudge'", "log(1)")),
          "rules/a.lua:2", "warning", "cancel: nothing sets the timer 'nugde'; did you mean 'nudge'?", NULL },
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', 'nudge')\ne.conversation:cancel('nudge')")
                     RULE("b", "'timer.*'", "log(1)")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', e.type)\ne.conversation:cancel('other')")
                     RULE("b", "'timer.*'", "log(1)")),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void fields_that_may_be_there_are_not_judged(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("{ 'message.received', 'payment.failed' }", "log(e.message, e.payment)"), NULL, NULL, NULL, NULL },
        { ON("'message.*'", "log(e.status, (e.message.text or ''):lower(), e.type:sub(1))"), NULL, NULL, NULL, NULL },
        { ON("'subscription.canceled'", "log(e.payment, e.order.id)"), NULL, NULL, NULL, NULL },
        { ON("'payment.succeeded'", "log(e.outreach.step, e.survey, e.body.anything.at.all)"), NULL, NULL, NULL, NULL },
        { ON("'timer.*'", "log(e.timer.data.whatever, e:raw())"), NULL, NULL, NULL, NULL },
        { ON("'custom.x'", "for _, e in ipairs(e.body.list) do log(e.colour) end"), NULL, NULL, NULL, NULL },
        { ON("'custom.x'", "local e = e.body\nlog(e.colour)"), NULL, NULL, NULL, NULL },
        { ON("'custom.x'", "local all = pcall(function(e) return e.colour end)"), NULL, NULL, NULL, NULL },
        { ON("'payment.failed'", "local pay = e.payment or {}\nlog(pay.colour)"), NULL, NULL, NULL, NULL },
        { ON("'payment.failed'", "local pay = e.payment\npay = { colour = 1 }\nlog(pay.colour)"), NULL, NULL, NULL,
          NULL },
        { ON("'payment.failed'", "local x = { e = 1 }\nlog(x.e.colour, 'e.colour') -- e.colour"), NULL, NULL, NULL,
          NULL },
        { ON("'message.received'",
             "local c = e.conversation or fx:open_conversation {}\nc:send { text = 'x' }\nc:note('y')"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void options_of_effects_are_checked(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.conversation:send {\n txt = 'x' }"), "rules/a.lua:3", "error",
          "send has no 'txt'; did you mean 'text'", "buttons" },
        { ON("'message.received'", "e.conversation:send { media = { kind = 'image',\n uri = 'x' } }"), "rules/a.lua:3",
          "error", "send: media has no 'uri'", NULL },
        { ON("'message.received'", "fx:open_conversation {\n priority = 'hihg' }"), "rules/a.lua:3", "error",
          "open_conversation: 'priority' is 'hihg', which is not one of low, normal, high, urgent; did you mean "
          "'high'?",
          NULL },
        { ON("'message.received'", "e.conversation:prioritize('top')"), "rules/a.lua:2", "error",
          "prioritize: 'priority' is 'top', which is not one of", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'x', quiet = 'yes' }"), "rules/a.lua:2", "error",
          "send: 'quiet' is 'yes', which is not one of", NULL },
        { ON("'message.received'", "e.conversation:set('priority', 'high')"), "rules/a.lua:2", "warning",
          "set: \"priority\" becomes an attribute", "prioritize(…)" },
        { ON("'message.received'", "local c = fx:open_conversation {}\nc:set('assignee', 'ann')"), "rules/a.lua:3",
          "warning", "set: \"assignee\" becomes an attribute", "assign(…)" },
        { ON("'message.received'", "e.contact:set('priority', 'high')"), NULL, NULL, NULL, NULL },
        { ON("'message.received'", "log(date('%Q', now()))"), "rules/a.lua:2", "error", "the format has '%Q'", NULL },
        { FILE_A("template 'hello' { text = 'Hi' }\n" RULE("x", "'message.received'", "e.conversation:send('hello')")),
          "rules/a.lua:2", "warning", "send: \"hello\" is sent as a text, and is the name of a template",
          "send { template = \"hello\" }" },
        { ON("'message.received'", "fx:open_conversation { topics = 'x' }"), "rules/a.lua:2", "error",
          "open_conversation has no 'topics'; did you mean 'topic'", NULL },
        { ON("'message.received'", "fx:outreach { topic = 'x', gaol = 'payment.succeeded', steps = {} }"),
          "rules/a.lua:2", "error", "did you mean 'goal'", NULL },
        { ON("'message.received'",
             "fx:outreach { topic = 'x', goal = 'payment.succeeded', steps = {\n{ after = '1h', text = 'x' },\n"
             "{ afer = '2h', text = 'y' } } }"),
          "rules/a.lua:4", "error", "outreach: step 2 has no 'afer'", NULL },
        { ON("'message.received'", "e.conversation:after('1h', e.type, { unles = 'reply' })"), "rules/a.lua:2", "error",
          "after has no 'unles'", NULL },
        { ON("'message.received'", "fx:emit('x', {}, { contcat = 'email:a@b.c' })"), "rules/a.lua:2", "error",
          "emit has no 'contcat'", NULL },
        { ON("'message.received'", "e.conversation:send('hello', { name = 'Ada' })"), "rules/a.lua:2", "error",
          "send: it takes one text or one table; with variables write send { template", NULL },
        { ON("'message.received'", "e.contact:opt_out('billing', 'sales')"), "rules/a.lua:2", "error",
          "opt_out: it takes one thing; for more call it once for each", NULL },
        { ON("'message.received'", "e.conversation:send(('a b'):gsub('a', 'c'))\ne.conversation:resolve()"), NULL, NULL,
          NULL, NULL },
        { ON("'message.received'", "local other = e\nother:dispatch { txt = 'x' }"), NULL, NULL, NULL, NULL },
        { { { "a.lua",
              "local mail = require 'mail'\nrule { name = 'x', on = 'message.received', run = function(e, fx)\n"
              "mail.new():send { recipient = 'x' }\nend }" },
            { "lib/mail.lua", "local mail = {}\nfunction mail:send(x) return x end\nreturn mail" } },
          NULL,
          NULL,
          NULL,
          NULL },
    };
    CHECK_EACH(cases);
}

static void methods_are_called_with_a_colon(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.conversation.tag('x')"), "rules/a.lua:2", "error",
          "e.conversation.tag: call it with a colon, as in e.conversation:tag(…)", NULL },
        { ON("'message.received'", "local c = e.conversation\nc.send { text = 'x' }"), "rules/a.lua:3", "error",
          "c.send: call it with a colon", NULL },
        { ON("'message.received'", "fx.stop()"), "rules/a.lua:2", "error", "fx.stop: call it with a colon", NULL },
        { WHEN("'message.received'", "e.conversation.has_tag('x')"), "rules/a.lua:2", "error", "has_tag: call it",
          NULL },
        { FILE_A("calendar 'desk' { timezone = 'UTC', hours = { mon = '09:00-17:00' } }\n"
                 "rule { name = 'x', on = 'message.received', when = function(e)\n"
                 "return calendar('desk').open(now()) end, run = function() end }"),
          "rules/a.lua:3", "error", "calendar(…).open: call it with a colon", NULL },
        /* The same written out. */
        { ON("'message.received'", "local c = e.conversation\nc.tag(c, 'x')\ne.conversation.tag(e.conversation, 'x')\n"
                                   "fx.stop(fx)"),
          NULL, NULL, NULL, NULL },
        { ON("'message.received'", "log(e.conversation.tags, e.contact.name)"), NULL, NULL, NULL, NULL },
        /* What decides does nothing, and gets the event first. */
        { WHEN("'message.received'", "e.conversation:tag('x')"), "rules/a.lua:2", "error",
          "e.conversation:tag(…) is an effect: 'when' only decides", NULL },
        { WHEN("'message.received'", "e.conversation:has_tag('x') and #e.conversation:history(3) > 1"), NULL, NULL,
          NULL, NULL },
        { FILE_A("rule { name = 'x', on = 'message.received', when = function(e, fx) return e.contact end,\n"
                 "run = function() end }"),
          "rules/a.lua:1", "error", "'when' gets the event alone", NULL },
        { FILE_A("rule { name = 'x', on = 'message.received', run = function(fx, e) end }"), "rules/a.lua:1", "error",
          "'run' gets the event first: function(e, fx)", NULL },
    };
    CHECK_EACH(cases);
}

static void names_that_nobody_declared_are_found(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.conversation:set('at', os.time())"), "rules/a.lua:2", "error",
          "'os' is not defined", "now()" },
        { ON("'message.received'", "log(hsa(e.message.text, 'x'))"), "rules/a.lua:2", "error", "'hsa' is not defined",
          "did you mean 'has'?" },
        { ON("'message.received'", "total = 5"), "rules/a.lua:2", "error",
          "assignment to the undeclared variable 'total'", "write `local total`" },
        { FILE_A("local count = 0\nrule { name = 'x', on = 'message.received', run = function(e, fx)\n"
                 "  if e.message then count = 1 end\nend }"),
          "rules/a.lua:3", "error", "the rule changes 'count', a variable outside", "c:set" },
        { FILE_A("local function late()\n  return oops\nend\n"
                 "rule { name = 'x', on = 'message.received', run = function(e, fx) late() end }"),
          "rules/a.lua:2", "error", "'oops' is not defined", NULL },
        /* Everything that is there, in every way of declaring it. */
        { ON("'message.received'",
             "local a <const>, b, c = 1, 2, 3\nlocal function f(n, ...) return n == 0 and 0 or f(n - 1, ...) end\n"
             "for i = a, b do log(i, f(i)) end\nfor key, value in pairs { x = a, [b] = 2; y = f } do log(key, value) end\n"
             "repeat local done = true until done\nwhile a > b do local w = a log(w) end\ndo local d = b log(d) end\n"
             "local t = { run = function(self, n) local m = n self.n = m return self end }\nfunction t:add(n) self.n = n end\n"
             "function t.sub(n) return n end\nif a then local x = 1 log(x) elseif b then log(b) else log(t) end\n"
             "b, c = c, b\nt.a, t['b'] = 1, 2\ngoto out\n::out:: log(t:run(1), t.sub(2))\n"
             "log(array {}, assert(a), error, ipairs, math.pi, next, pcall, print, random(), require, select, string, table)\n"
             "log(tonumber, tostring, type, utf8, now(), duration, minutes, hours, days, date, local_time, money, has, is)\n"
             "log(data, calendar, env, file)"),
          NULL, NULL, NULL, NULL },
        { FILE_A(
              "local made = {}\nlocal function add(name) made = name end\nadd('x')\n"
              "rule { name = 'x', on = 'message.received', run = function(e, fx) local made = 1 made = 2 log(made) end }"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void literals_are_checked(void **state)
{
    (void)state;
#define TIMER "\nend }\nrule { name = 'y', on = 'timer.wait', run = function() "
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.conversation:after('4 hours', 'wait')" TIMER), "rules/a.lua:2", "error",
          "after: '4 hours' is not a duration", NULL },
        { ON("'message.received'",
             "e.conversation:after('4h', 'wait', { unless = { 'reply', 'conversation.closed' } })" TIMER),
          "rules/a.lua:2", "error", "unless: unknown event type 'conversation.closed'", NULL },
        { ON("'message.received'", "e.conversation:after('1h30m', 'wait', { unless = 'reply' })" TIMER), NULL, NULL,
          NULL, NULL },
        { ON("'message.received'", "e.conversation:snooze('tomorrow')"), "rules/a.lua:2", "error",
          "snooze: 'tomorrow' is", NULL },
        { ON("'message.received'", "fx:open_conversation { topic = 'a', reopen = '1 day' }"), "rules/a.lua:2", "error",
          "reopen: '1 day' is not a duration", NULL },
        { ON("'message.received'", "e.contact:identify('ada@example.com')"), "rules/a.lua:2", "error",
          "identify: 'ada@example.com' is not an identity", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'Hi {{name}}', vars = { nam = 'x' } }"),
          "rules/a.lua:2", "error", "the text has {{name}}, and 'vars' has no 'name'", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'Hi {{name}}', vars = { name = e.contact.name } }"),
          NULL, NULL, NULL, NULL },
        { ON("'payment.failed'", "fx:outreach { topic = 'a', steps = { { text = 'x' } } }"), "rules/a.lua:2", "error",
          "outreach needs one of 'goal', 'goals'", "payment.succeeded" },
        { ON("'payment.failed'", "fx:outreach { topic = 'a', goal = 'payment.succeeded',\n"
                                 "steps = { { after = '2 days', text = 'x' } } }"),
          "rules/a.lua:3", "error", "outreach: step 1: '2 days' is not a duration", NULL },
        { ON("'payment.failed'", "fx:outreach { topic = 'a', goal = 'payment.succeeded', vars = { a = 1 },\n"
                                 "steps = { { text = '{{a}}{{b}}', vars = { b = 2 } } } }"),
          NULL, NULL, NULL, NULL },
    };
#undef TIMER
    CHECK_EACH(cases);
}

static void literals_of_another_type_are_found(void **state)
{
    (void)state;
#define SAID(code, text)                                                                                               \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", "error", text, NULL                                           \
    }
#define FINE(code)                                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), NULL, NULL, NULL, NULL                                                         \
    }
    static const struct wanted cases[] = {
        SAID("e.conversation:tag(5)", "tag: 'tag' is a text or a list of texts, not a number"),
        SAID("e.conversation:tag('a', true)", "tag: 'tag' is a text or a list of texts, not true or false"),
        SAID("e.conversation:untag(-1)", "untag: 'tag' is a text or a list of texts, not a number"),
        SAID("e.conversation:note { text = 'x' }", "note: 'text' is a text, not a table"),
        SAID("e.conversation:note ''", "note: 'text' is an empty text"),
        SAID("e.conversation:assign(true)", "assign: 'assignee' is a text, not true or false"),
        SAID("e.conversation:prioritize(1)",
             "prioritize: 'priority' is one of low, normal, high, urgent, not a number"),
        SAID("e.conversation:set(5, 'x')", "set: 'name' is a text, not a number"),
        SAID("e.conversation:snooze(5)", "snooze: a number is a time such as now() + hours(4)"),
        SAID("e.conversation:snooze {}", "snooze: 'duration': a duration is a text like \"24h\""),
        SAID("e.conversation:survey(5)", "survey: 'name' is a text, not a number"),
        SAID("e.conversation:cancel(5)", "cancel: 'name' is a text, not a number"),
        SAID("e.conversation:send(5)", "send takes a text or a table, not a number"),
        SAID("e.conversation:send { text = 5 }", "send: 'text' is a text, not a number"),
        SAID("e.conversation:send { text = 'x', buttons = 'yes' }", "send: 'buttons' is a table, not a text"),
        SAID("e.conversation:send { media = { kind = 'image', url = 5 } }",
             "send: media: 'url' is a text, not a number"),
        SAID("e.contact:opt_out(false)", "opt_out: 'topic' is a text, not true or false"),
        SAID("e.contact:prefer {}", "prefer: 'channel' is a text, not a table"),
        SAID("e.contact:identify(15550100)", "identify: 'identity' is a text, not a number"),
        SAID("fx:open_conversation('support')",
             "open_conversation takes a table, as in open_conversation{ … }, not a text"),
        SAID("fx:open_conversation { topic = 5 }", "open_conversation: 'topic' is a text, not a number"),
        SAID("fx:open_conversation { reopen = true }", "open_conversation: 'reopen': a duration is a text like"),
        SAID("fx:outreach { topic = 'a', goal = 'payment.succeeded', steps = 'x' }",
             "outreach: 'steps' is a table, not a text"),
        SAID("fx:outreach { topic = 'a', goal = 'payment.succeeded', steps = { { text = 5 } } }",
             "outreach: step 1: 'text' is a text, not a number"),
        SAID("fx:emit(5)", "emit: 'name' is a text, not a number"),
        SAID("fx:emit('a', {}, 'whatsapp:1')", "emit takes a table, as in emit{ … }, not a text"),
        FINE("e.conversation:tag('a', { 'b', 'c' }) e.conversation:tag { 'd' } e.conversation:untag(e.type)"),
        FINE("e.conversation:assign(nil) e.conversation:snooze(90 * 60 + now()) e.conversation:snooze(1900000000)"),
        FINE(
            "e.conversation:note(\"a \\\"quoted\\\" text\") e.conversation:set('seats', 5) e.conversation:set('vip', true)"),
        FINE("e.conversation:send { text = 'a' .. 5, quiet = 'ignore', buttons = { { id = 'a', text = 'A' } } }"),
        FINE("local t = {} function t:note(n) return n end log(t:note(5))"),
    };
#undef SAID
#undef FINE
    CHECK_EACH(cases);
}

static void rules_that_never_run_are_found(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A(RULE("a", "'message.received'", "fx:stop()") "rule { name = 'b',\non = 'message.received', run = "
                                                              "function() end }"),
          "rules/a.lua:3", "warning", "rule 'b' never runs: 'a' comes before it", "higher 'priority' than 0" },
        { FILE_A(RULE("a", "'message.*'", "log(1) fx:stop()")
                     RULE("b", "{ 'message.received', 'message.edited' }", "")),
          "rules/a.lua:2", "warning", "rule 'b' never runs", NULL },
        { FILE_A(RULE("a", "'message.received'", "fx:stop()")
                     RULE("b", "{ 'message.received', 'message.edited' }", "")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'message.received'", "if e.contact then fx:stop() end")
                     RULE("b", "'message.received'", "")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'message.received'", "if e.contact then return end fx:stop()")
                     RULE("b", "'message.received'", "")),
          NULL, NULL, NULL, NULL },
        { FILE_A("rule { name = 'a', on = 'message.received', when = function(e) return e.contact end, run = "
                 "function(e, fx) fx:stop() end }\n" RULE("b", "'message.received'", "")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("b", "'message.received'", "fx:stop()") "rule { name = 'z', on = 'message.received', priority = "
                                                              "5, run = function() end }"),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', 'nudge')") RULE("b", "'timer.nuge'", "")),
          "rules/a.lua:2", "warning", "'timer.nuge' never happens: nothing sets the timer 'nuge'; did you mean 'nudge'",
          "after(" },
        { FILE_A(RULE("a", "'message.received'", "e.conversation:after('1h', e.type)") RULE("b", "'timer.x'", "")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'timer.snooze'", "") RULE("b", "'timer.*'", "")), NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'survey.answered'", "")), "rules/a.lua:1", "warning", "no rule asks a survey", NULL },
        { FILE_A(RULE("a", "'outreach.exhausted'", "")), "rules/a.lua:1", "warning", "no rule begins an outreach",
          NULL },
    };
    CHECK_EACH(cases);
}

#define USES(code) RULE("x", "'message.received'", code)

static void what_nobody_uses_is_found(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A("template 't' { text = 'x' }"), "rules/a.lua:1", "warning", "the template 't' is not used by any rule",
          "API" },
        { FILE_A("template 't' { text = 'x' }\n" USES("e.conversation:send { template = 't' }")), NULL, NULL, NULL,
          NULL },
        { FILE_A("template 'pay_now' { text = 'x' }\n" USES("local how = 'pay_' .. e.type")), NULL, NULL, NULL, NULL },
        { FILE_A("template 't' { text = 'x' }\nsurvey 's' { question = 'How?', template = 't' }\n" USES(
              "e.conversation:survey('s')")),
          NULL, NULL, NULL, NULL },
        { { { "a.lua", "template 'gold' { text = 'x' }\n" USES("local t = data('plans')[1]") },
            { "data/plans.lua", "return { 'gold' }" } },
          NULL,
          NULL,
          NULL,
          NULL },
        { FILE_A("survey 's' { question = 'How?' }"), "rules/a.lua:1", "warning", "the survey 's' is not used", NULL },
        { FILE_A("endpoint 'crm' { url = 'https://x.example', secrets = {} }"), "rules/a.lua:1", "warning",
          "the endpoint 'crm' is not used", NULL },
        { FILE_A("calendar 'office' { timezone = 'UTC', hours = { mon = '09:00-17:00' } }"), "rules/a.lua:1", "warning",
          "the calendar 'office' is not used", NULL },
        { FILE_A("cron 'daily' { every = '1d' }"), "rules/a.lua:1", "warning", "no rule listens to 'cron.daily'",
          NULL },
        { FILE_A("cron 'daily' { every = '1d' }\n" RULE("x", "'cron.*'", "")), NULL, NULL, NULL, NULL },
        { { { "a.lua", USES("") }, { "data/team.lua", "return {}" } },
          "rules/data/team.lua:1",
          "warning",
          "the data 'team' is not used",
          "data(\"team\")" },
        { { { "a.lua", USES("local x = data(e.type)") }, { "data/team.lua", "return {}" } }, NULL, NULL, NULL, NULL },
        { { { "a.lua", USES("") }, { "lib/words.lua", "return {}" } },
          "rules/lib/words.lua:1",
          "warning",
          "the library 'words' is not used",
          NULL },
        { { { "a.lua", "local words = require \"words\"\n" USES("") }, { "lib/words.lua", "return {}" } },
          NULL,
          NULL,
          NULL,
          NULL },
    };
    CHECK_EACH(cases);
}

static json_t *review_of_directory(const char *directory)
{
    struct rule_sources *sources;
    struct rule_set *set;
    struct error e;
    if (rule_sources_read(directory, false, &sources, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    json_t *problems = json_array();
    if (rule_set_load(sources, NULL, problems, &set, &e) != ERR_NONE ||
        rule_review(set, NULL, problems, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    rule_set_free(set);
    rule_sources_free(sources);
    return problems;
}

static void the_rules_of_the_project_are_clean(void **state)
{
    (void)state;
    json_t *problems = review_of_directory("rules");
    if (json_array_size(problems) > 0) {
        fail_msg("%s", json_dumps(problems, JSON_INDENT(1)));
    }
    json_decref(problems);
}

/* The same again, and the set runs as before. */
static void a_review_changes_nothing(void **state)
{
    (void)state;
    struct rule_set *set = load_text(RULE("a", "'custom.x'", "fx:emit('x', {})"), NULL);
    struct error e;
    json_t *first = json_array(), *second = json_array();
    assert_int_equal(rule_review(set, NULL, first, &e), ERR_NONE);
    assert_int_equal(rule_review(set, NULL, second, &e), ERR_NONE);
    assert_int_equal(json_array_size(first), 1);
    assert_true(json_equal(first, second));
    struct rule_outcome outcome = run_rule(set, "{\"type\":\"custom.x\"}", NULL);
    assert_int_equal(outcome.verdict, RULE_RAN);
    assert_int_equal(json_array_size(outcome.effects), 1);
    rule_outcome_done(&outcome);
    json_decref(first);
    json_decref(second);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(words_that_a_field_never_has_are_told),
        cmocka_unit_test(timers_that_no_rule_takes_are_told),
        cmocka_unit_test(languages_are_codes),
        cmocka_unit_test(fields_that_may_be_there_are_not_judged),
        cmocka_unit_test(options_of_effects_are_checked),
        cmocka_unit_test(methods_are_called_with_a_colon),
        cmocka_unit_test(names_that_nobody_declared_are_found),
        cmocka_unit_test(literals_are_checked),
        cmocka_unit_test(literals_of_another_type_are_found),
        cmocka_unit_test(rules_that_never_run_are_found),
        cmocka_unit_test(what_nobody_uses_is_found),
        cmocka_unit_test(the_rules_of_the_project_are_clean),
        cmocka_unit_test(a_review_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
