/* What `answerd check` finds beyond loading, and what it must not find. */
#include "rule_files.h"

#include "rules/rule_review.h"

#define MAX_CASE_FILES 3

struct wanted {
    struct rule_file files[MAX_CASE_FILES + 1]; /* ends with a NULL name; one without a name of its own is "a.lua" */
    const char *place;                          /* "rules/a.lua:3"; NULL: nothing may be found */
    const char *severity;
    const char *text; /* a part of it */
    const char *hint; /* a part of it, or NULL */
};

static json_t *review(const struct rule_file *files)
{
    json_t *problems;
    struct rule_set *set;
    struct error e;
    if (load_files(files, NULL, &problems, &set, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    if (rule_review(set, problems, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    rule_set_free(set);
    return problems;
}

static bool is_wanted(const json_t *problem, const struct wanted *wanted)
{
    char place[300];
    snprintf(place, sizeof(place), "%s:%d", json_str_or(problem, "file", ""), (int)json_int(problem, "line", 0));
    return strcmp(place, wanted->place) == 0 && strcmp(json_str_or(problem, "severity", ""), wanted->severity) == 0 &&
           strstr(json_str_or(problem, "text", ""), wanted->text) != NULL &&
           (wanted->hint == NULL || strstr(json_str_or(problem, "hint", ""), wanted->hint) != NULL);
}

static void check_each(const struct wanted *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *problems = review(cases[i].files);
        bool found = cases[i].place == NULL ? json_array_size(problems) == 0 : false;
        for (size_t n = 0; n < json_array_size(problems) && cases[i].place != NULL; n++) {
            found = found || is_wanted(json_array_get(problems, n), &cases[i]);
        }
        if (!found || (cases[i].place != NULL && json_array_size(problems) != 1)) {
            char *text = json_dumps(problems, JSON_INDENT(1));
            fail_msg("case %zu: %s\nwanted %s: %s: %s\nfound %s", i, cases[i].files[0].text,
                     cases[i].place != NULL ? cases[i].place : "nothing",
                     cases[i].severity != NULL ? cases[i].severity : "", cases[i].text != NULL ? cases[i].text : "",
                     text);
        }
        json_decref(problems);
    }
}

#define CHECK_EACH(cases) check_each(cases, sizeof(cases) / sizeof(cases[0]))
#define FILE_A(text)                                                                                                   \
    {                                                                                                                  \
        {                                                                                                              \
            "a.lua", text                                                                                              \
        }                                                                                                              \
    }
#define ON(types, body) FILE_A("rule { name = 'x', on = " types ", run = function(e, fx)\n" body "\nend }")
#define WHEN(types, body)                                                                                              \
    FILE_A("rule { name = 'x', on = " types ",\nwhen = function(e) return " body " end, run = function() end }")

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
          "error", "'c' has no method 'close'", "resolve" },
        { ON("'message.received'", "log(e.contact.plan)"), "rules/a.lua:2", "warning",
          "'e.contact' has no field 'plan'", "e.contact.attributes" },
        { FILE_A("local function run(event, fx)\n  log(event.mesage)\nend\n"
                 "rule { name = 'x', on = 'message.received', run = run }"),
          "rules/a.lua:2", "error", "unknown field 'e.mesage'", NULL },
    };
    CHECK_EACH(cases);
}

static void fields_that_may_be_there_are_not_judged(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("{ 'message.received', 'payment.failed' }", "log(e.message, e.payment)"), NULL, NULL, NULL, NULL },
        { ON("'message.*'", "log(e.status, e.message.text:lower(), e.type:sub(1))"), NULL, NULL, NULL, NULL },
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
        { ON("'message.received'", "fx:open_conversation { topics = 'x' }"), "rules/a.lua:2", "error",
          "open_conversation has no 'topics'; did you mean 'topic'", NULL },
        { ON("'message.received'", "fx:outreach { topic = 'x', gaol = 'payment.succeeded', steps = {} }"),
          "rules/a.lua:2", "error", "did you mean 'goal'", NULL },
        { ON("'message.received'",
             "fx:outreach { topic = 'x', goal = 'payment.succeeded', steps = {\n{ after = '1h', text = 'x' },\n"
             "{ afer = '2h', text = 'y' } } }"),
          "rules/a.lua:4", "error", "outreach: step 2 has no 'afer'", NULL },
        { ON("'message.received'", "e.conversation:after('1h', 'x', { unles = 'reply' })"), "rules/a.lua:2", "error",
          "after has no 'unles'", NULL },
        { ON("'message.received'", "fx:emit('x', {}, { contcat = 'email:a@b.c' })"), "rules/a.lua:2", "error",
          "emit has no 'contcat'", NULL },
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

#define RULE(name, on, body) "rule { name = '" name "', on = " on ", run = function(e, fx) " body " end }\n"

static void methods_are_called_with_a_colon(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { ON("'message.received'", "e.conversation.tag('x')"), "rules/a.lua:2", "error",
          "e.conversation.tag: call it with a colon, as in e.conversation:tag(…)", NULL },
        { ON("'message.received'", "local c = e.conversation\nc.send { text = 'x' }"), "rules/a.lua:3", "error",
          "c.send: call it with a colon", NULL },
        { ON("'message.received'", "fx.stop()"), "rules/a.lua:2", "error", "fx.stop: call it with a colon", NULL },
        { WHEN("'message.received'", "e.conversation.has_tag('x')"), "rules/a.lua:2", "error", "has_tag: call it", NULL },
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
        { WHEN("'message.received'", "e.conversation:has_tag('x') and #e.conversation:history(3) > 1"), NULL, NULL, NULL,
          NULL },
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
        { ON("'message.received'", "e.conversation:set('at', os.time())"), "rules/a.lua:2", "error", "'os' is not defined",
          "now()" },
        { ON("'message.received'", "log(hsa(e.message.text, 'x'))"), "rules/a.lua:2", "error", "'hsa' is not defined",
          "did you mean 'has'?" },
        { ON("'message.received'", "total = 5"), "rules/a.lua:2", "error", "assignment to the undeclared variable 'total'",
          "write `local total`" },
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
        { FILE_A("local made = {}\nlocal function add(name) made = name end\nadd('x')\n"
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
        { ON("'message.received'", "e.conversation:after('4h', 'wait', { unless = { 'reply', 'conversation.closed' } })" TIMER),
          "rules/a.lua:2", "error", "unless: unknown event type 'conversation.closed'", NULL },
        { ON("'message.received'", "e.conversation:after('1h30m', 'wait', { unless = 'reply' })" TIMER), NULL, NULL, NULL,
          NULL },
        { ON("'message.received'", "e.conversation:snooze('tomorrow')"), "rules/a.lua:2", "error", "snooze: 'tomorrow' is",
          NULL },
        { ON("'message.received'", "fx:open_conversation { topic = 'a', reopen = '1 day' }"), "rules/a.lua:2", "error",
          "reopen: '1 day' is not a duration", NULL },
        { ON("'message.received'", "e.contact:identify('ada@example.com')"), "rules/a.lua:2", "error",
          "identify: 'ada@example.com' is not an identity", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'Hi {{name}}', vars = { nam = 'x' } }"), "rules/a.lua:2",
          "error", "the text has {{name}}, and 'vars' has no 'name'", NULL },
        { ON("'message.received'", "e.conversation:send { text = 'Hi {{name}}', vars = { name = e.contact.name } }"), NULL,
          NULL, NULL, NULL },
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

static void rules_that_run_themselves_are_found(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A(RULE("a", "'custom.x'", "\nfx:emit('x', {})")), "rules/a.lua:2", "warning",
          "rule 'a' makes the event that it listens to ('custom.x'), without a condition", "'when'" },
        { FILE_A(RULE("a", "'custom.*'", "fx:emit 'custom.y'")), "rules/a.lua:1", "warning", "('custom.y')", NULL },
        { FILE_A(RULE("a", "'custom.x'", "if e.body.n > 0 then fx:emit('x', {}) end")), NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'custom.x'", "local _ = e.body.n > 0 and fx:emit('x', {})")), NULL, NULL, NULL, NULL },
        { FILE_A("rule { name = 'a', on = 'custom.x', when = function(e) return e.body.n end, run = function(e, fx) "
                 "fx:emit('x', {}) end }"),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'conversation.resolved'", "e.conversation:resolve()")), "rules/a.lua:1", "warning",
          "resolves the conversation that was just resolved", NULL },
        { FILE_A(RULE("a", "'message.status'", "e.conversation:send { text = 'thanks' }")), "rules/a.lua:1", "warning",
          "answers the status of each message with another message", NULL },
        { FILE_A(RULE("a", "{ 'custom.x', 'timer.tick' }", "e.conversation:after('10s', 'tick')")), "rules/a.lua:1",
          "warning", "sets the timer that it listens to ('timer.tick') each time it runs", NULL },
        { FILE_A(RULE("a", "'custom.x'", "fx:emit('y', {})") RULE("b", "'custom.y'", "fx:emit('x', {})")),
          "rules/a.lua:1", "warning", "begins a circle without a condition: custom.y, then custom.x", NULL },
        { FILE_A(RULE("a", "'custom.x'", "fx:emit('y', {})") RULE("b", "'custom.y'", "")), NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'conversation.tagged'", "\ne.conversation:tag('seen')")), "rules/a.lua:2", "warning",
          "rule 'a' tags the conversation that was just tagged, without a condition", "'when'" },
        { FILE_A(RULE("a", "'conversation.*'", "local c = e.conversation\nc:tag('seen')")), "rules/a.lua:2", "warning",
          "tags the conversation that was just tagged", NULL },
        { FILE_A(RULE("a", "'conversation.assigned'", "e.conversation:assign('ann')")), "rules/a.lua:1", "warning",
          "assigns the conversation that was just assigned", NULL },
        { FILE_A(RULE("a", "'conversation.opened'", "fx:open_conversation { topic = 'b' }")), "rules/a.lua:1",
          "warning", "opens a conversation each time one is opened", NULL },
        { FILE_A(RULE("a", "'contact.opted_out'", "e.contact:opt_out()")), "rules/a.lua:1", "warning",
          "opts out who has just opted out", NULL },
        { FILE_A(RULE("a", "'conversation.tagged'", "fx:open_conversation { topic = 'b' }:tag('b')")), "rules/a.lua:1",
          "warning", "tags the conversation", NULL },
        { FILE_A(RULE("a", "'conversation.resolved'", "fx:open_conversation { reopen = '24h' }")
                     RULE("b", "'conversation.reopened'", "e.conversation:resolve()")),
          "rules/a.lua:1", "warning",
          "begins a circle without a condition: conversation.reopened, then "
          "conversation.resolved",
          "after 8 events" },
        { FILE_A(RULE("a", "'conversation.tagged'", "e.conversation:assign('x')")
                     RULE("b", "'conversation.assigned'", "e.conversation:tag('y')")),
          "rules/a.lua:1", "warning", "conversation.assigned, then conversation.tagged", NULL },
    };
    CHECK_EACH(cases);
}

#define GUARD(on, condition, body)                                                                                     \
    FILE_A("rule { name = 'a', on = " on ", when = function(e) return " condition " end, run = function(e, fx) " body  \
           " end }")

#define HELPED(helper, on, body) FILE_A(helper "\n" RULE("a", on, body))

static void what_called_functions_do_is_followed(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "again(fx)"), "rules/a.lua:1", "warning",
          "rule 'a' makes the event that it listens to ('custom.x')", NULL },
        { HELPED("local again = function(e, out) local n = 1 out:emit('x', { n = n }) end", "'custom.x'", "again(e, fx)"),
          "rules/a.lua:1", "warning", "('custom.x')", NULL },
        { HELPED("local function say(c, name) c:tag(name) end", "'conversation.tagged'", "say(e.conversation, 'x')"),
          "rules/a.lua:1", "warning", "tags the conversation that was just tagged", NULL },
        { HELPED("local function make(name, fx) fx:emit(name, {}) end", "'custom.x'", "make('x', fx)"), "rules/a.lua:1",
          "warning", "('custom.x')", NULL },
        { HELPED("local function two(fx) fx:emit('x', {}) end\nlocal function one(fx) two(fx) end", "'custom.x'",
                 "local x = one(fx)"),
          "rules/a.lua:1", "warning", "('custom.x')", NULL },
        { HELPED("local M = {}\nfunction M.again(fx) fx:emit('x', {}) end", "'custom.x'", "M.again(fx)"), "rules/a.lua:2",
          "warning", "('custom.x')", NULL },
        { FILE_A(RULE("a", "'custom.x'", "local function again() fx:emit('x', {}) end again()")), "rules/a.lua:1",
          "warning", "('custom.x')", NULL },
        { FILE_A(RULE("a", "'custom.x'", "return fx:emit('x', {})")), "rules/a.lua:1", "warning", "('custom.x')", NULL },
        { HELPED("local function again(c) c:after('1m', 'tick') end", "{ 'custom.x', 'timer.tick' }",
                 "again(e.conversation)"),
          "rules/a.lua:1", "warning", "sets the timer that it listens to ('timer.tick')", NULL },
        { HELPED("local function early(fx) if now() then return end fx:emit('y', {}) end\n"
                 "local function late(fx) fx:emit('x', {}) end",
                 "'custom.x'", "early(fx) late(fx)"),
          "rules/a.lua:2", "warning", "('custom.x')", NULL },
        { FILE_A("local function done(fx) fx:stop() end\n" RULE("a", "'message.received'", "done(fx)")
                     RULE("b", "'message.received'", "")),
          "rules/a.lua:3", "warning", "rule 'b' never runs", NULL },
        { FILE_A("local function turn(fx, name) fx:emit(name, {}) end\n" RULE("a", "'custom.x'", "turn(fx, 'y')")
                     RULE("b", "'custom.y'", "turn(fx, 'x')")),
          "rules/a.lua:2", "warning", "begins a circle without a condition: custom.y, then custom.x", NULL },
    };
    CHECK_EACH(cases);
}

static void functions_that_may_do_nothing_are_no_alarm(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { HELPED("local function again(fx, n) if n > 0 then fx:emit('x', {}) end end", "'custom.x'", "again(fx, e.body.n)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx, n) if n == 0 then return end fx:emit('x', {}) end", "'custom.x'",
                 "again(fx, e.body.n)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "if e.body.n then again(fx) end"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "local _ = e.body.n and again(fx)"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) return 1 end", "'custom.x'",
                 "local _ = e.body.n and 1 + again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'",
                 "if e.body.n then return end again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "for _ in pairs(e.body) do again(fx) end"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "local f = again log(f ~= nil)"), NULL, NULL,
          NULL, NULL },
        { HELPED("local function need(n) if not n then error('enough') end end", "'custom.x'",
                 "need(e.body.n) fx:emit('x', {})"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function need(n) return n end", "'custom.x'", "assert(need(e.body.n)) fx:emit('x', {})"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function make(fx, name) fx:emit(name, {}) end", "'custom.x'", "make(fx, e.body.next)"), NULL, NULL,
          NULL, NULL },
        { HELPED("local function make(fx, name) fx:emit(name, {}) end", "'custom.x'", "make(fx, 'y')"), NULL, NULL, NULL,
          NULL },
        /* Which of the two runs, or whether it is the function at all, is not for reading to say. */
        { HELPED("local again = function(fx) fx:emit('x', {}) end\nif now() > 0 then again = function() end end",
                 "'custom.x'", "again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end\nlocal function call(again, fx) again(fx) end", "'custom.x'",
                 "call(log, fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(other) other:emit('x', {}) end", "'custom.x'", "again({ emit = log })"), NULL, NULL,
          NULL, NULL },
        { HELPED("local function once(fx) log(fx ~= nil) end\nlocal function loop(fx) return loop(fx) end", "'custom.x'",
                 "log(once) loop(fx)"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

#define LIBRARY "local mail = {}\nfunction mail.again(fx)\nfx:emit('x', {}) end\nreturn mail"
#define WITH_LIBRARY(library, head, code)                                                                              \
    { { "a.lua", head "\n" RULE("a", "'custom.x'", code) }, { "lib/mail.lua", library } }

static void functions_of_libraries_are_followed(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx)\nfx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'", "mail.again(fx)"),
          "rules/lib/mail.lua:3", "warning", "rule 'a' makes the event that it listens to", "'when'" },
        { WITH_LIBRARY("local mail = {}\nmail.again = function(fx) fx:emit('x', {}) end\nreturn mail;",
                       "local m = require(\"mail\")", "m.again(fx)"),
          "rules/lib/mail.lua:2", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("local function again(fx, name)\nfx:emit(name, {}) end\nreturn { again = again }",
                       "local mail = require 'mail'", "mail.again(fx, 'x')"),
          "rules/lib/mail.lua:2", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("return { again = function(fx) fx:emit('x', {}) end }", "local mail = require 'mail'",
                       "mail.again(fx)"),
          "rules/lib/mail.lua:1", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("local mail = { again = function(fx) fx:emit('x', {}) end }\nreturn mail",
                       "local mail = require 'mail'", "mail.again(fx)"),
          "rules/lib/mail.lua:1", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("return function(fx) fx:emit('x', {}) end", "local again = require 'mail'", "again(fx)"),
          "rules/lib/mail.lua:1", "warning", "rule 'a' makes the event", NULL },
        /* Through a function of the rule's file, and on into another function of the library. */
        { WITH_LIBRARY("local mail = {}\nlocal function tell(f)\nf:emit('x', {}) end\nfunction mail.again(f) tell(f) end\nreturn mail",
                       "local mail = require 'mail'\nlocal function go(fx) mail.again(fx) end", "go(fx)"),
          "rules/lib/mail.lua:3", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.done(fx) fx:stop() end\nreturn mail",
                       "local mail = require 'mail'\n" RULE("b", "'custom.x'", ""), "mail.done(fx)"),
          "rules/a.lua:2", "warning", "rule 'b' never runs", NULL },
        /* Written inline, and by a name of its own. */
        { WITH_LIBRARY(LIBRARY, "", "require('mail').again(fx)"), "rules/lib/mail.lua:3", "warning",
          "rule 'a' makes the event that it listens to", "'when'" },
        { WITH_LIBRARY(LIBRARY, "", "require 'mail'.again(fx)"), "rules/lib/mail.lua:3", "warning",
          "rule 'a' makes the event", NULL },
        { WITH_LIBRARY(LIBRARY, "", "local done = require('mail').again(fx) return done"), "rules/lib/mail.lua:3", "warning",
          "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("return function(fx) fx:emit('x', {}) end", "", "require('mail')(fx)"), "rules/lib/mail.lua:1",
          "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("return function(fx) fx:emit('x', {}) end", "", "require 'mail' (fx)"), "rules/lib/mail.lua:1",
          "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY("return { again = function(fx, name) fx:emit(name, {}) end }",
                       "local function go(fx) require('mail').again(fx, 'x') end", "go(fx)"),
          "rules/lib/mail.lua:1", "warning", "rule 'a' makes the event", NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again", "again(fx)"), "rules/lib/mail.lua:3", "warning",
          "rule 'a' makes the event", NULL },
        /* Certain is only what happens each time, in the library as elsewhere. */
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) if now() > 0 then fx:emit('x', {}) end end\nreturn mail",
                       "local mail = require 'mail'", "mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'", "if e.body.n then mail.again(fx) end"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'", "local again = mail.again log(again ~= nil)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.need(n) if not n then error('enough') end end\nreturn mail",
                       "local mail = require 'mail'", "mail.need(e.body.n) fx:emit('x', {})"),
          NULL, NULL, NULL, NULL },
        /* A function that is made twice, one that is not given back, and a name that is not always the library. */
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nif now() > 0 then function mail.again() end "
                       "end\nreturn mail",
                       "local mail = require 'mail'", "mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local other, mail = {}, { again = function() end }\nfunction other.again(fx) fx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'", "mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'\nif now() > 0 then mail = { again = log } end", "mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nreturn mail",
                       "local mail = require 'mail'\nlocal function go(mail, fx) mail.again(fx) end",
                       "log(mail ~= nil) go({ again = log }, fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "if e.body.n then require('mail').again(fx) end"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "local _ = e.body.n and require('mail').again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "local again = require('mail').again log(again ~= nil)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "log(require('mail') ~= nil) require(e.body.name).again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail' .. e.body.n).again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail').other.again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail').other(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local mail = require 'mail'", "log(mail ~= nil) e.body.require('mail').again(fx)"), NULL, NULL,
          NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = now() > 0 and require('mail').again", "again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again or log", "again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again\nagain = log", "again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again", "again.again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local other, mail = require 'mail', { again = log }", "log(other ~= nil) mail.again(fx)"), NULL,
          NULL, NULL, NULL },
        { WITH_LIBRARY("return { need = function(n) if not n then error('enough') end end }", "",
                       "require('mail').need(e.body.n) fx:emit('x', {})"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.loop(fx) mail.loop(fx) end\nreturn mail", "local mail = require 'mail'",
                       "mail.loop(fx)"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

static void a_condition_that_decides_nothing_is_no_guard(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { GUARD("'conversation.tagged'", "true", "e.conversation:tag('x')"), "rules/a.lua:1", "warning", "just tagged",
          NULL },
        { GUARD("'conversation.tagged'", "e.contact and e.conversation ~= nil", "e.conversation:tag('x')"),
          "rules/a.lua:1", "warning", "just tagged", NULL },
        { GUARD("'conversation.tagged'", "e.body.tag ~= 'x'", "e.conversation:tag('x')"), NULL, NULL, NULL, NULL },
        { GUARD("'conversation.tagged'", "not e.conversation:has_tag('x')", "e.conversation:tag('x')"), NULL, NULL,
          NULL, NULL },
        { GUARD("'conversation.assigned'", "not e.conversation.assignee", "e.conversation:assign('x')"), NULL, NULL,
          NULL, NULL },
        { GUARD("'custom.x'", "not e.contact", "fx:emit('x', {}, { contact = 'email:a@b.c' })"), NULL, NULL, NULL,
          NULL },
    };
    CHECK_EACH(cases);
}

static void what_ends_by_itself_is_no_circle(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { FILE_A(RULE("a", "{ 'custom.x', 'timer.tick' }",
                      "e.conversation:after('1d', 'tick', { unless = 'conversation.resolved' })")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "{ 'custom.x', 'timer.tick' }", "e.conversation:after('1d', 'tick', { data = { n = 1 } })")),
          "rules/a.lua:1", "warning", "sets the timer that it listens to", "'unless'" },
        { FILE_A(RULE("a", "{ 'custom.x', 'timer.tick' }",
                      "local n = e.timer and e.timer.data.n or 0 if n < 3 then e.conversation:after('1d', 'tick', "
                      "{ data = { n = n + 1 } }) end")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'conversation.tagged'", "if e.body.tag == 'x' then return end e.conversation:tag('x')")),
          NULL, NULL, NULL, NULL },
        { FILE_A(RULE("a", "'conversation.opened'", "e.conversation:tag('x') e.conversation:assign('y')")), NULL, NULL,
          NULL, NULL },
        { FILE_A(RULE("a", "'conversation.tagged'", "log(e.conversation:has_tag('x')) e.conversation:note('tagged')")),
          NULL, NULL, NULL, NULL },
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
    if (rule_set_load(sources, NULL, problems, &set, &e) != ERR_NONE || rule_review(set, problems, &e) != ERR_NONE) {
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
    assert_int_equal(rule_review(set, first, &e), ERR_NONE);
    assert_int_equal(rule_review(set, second, &e), ERR_NONE);
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
        cmocka_unit_test(fields_that_may_be_there_are_not_judged),
        cmocka_unit_test(options_of_effects_are_checked),
        cmocka_unit_test(methods_are_called_with_a_colon),
        cmocka_unit_test(names_that_nobody_declared_are_found),
        cmocka_unit_test(literals_are_checked),
        cmocka_unit_test(rules_that_never_run_are_found),
        cmocka_unit_test(rules_that_run_themselves_are_found),
        cmocka_unit_test(what_called_functions_do_is_followed),
        cmocka_unit_test(functions_that_may_do_nothing_are_no_alarm),
        cmocka_unit_test(functions_of_libraries_are_followed),
        cmocka_unit_test(a_condition_that_decides_nothing_is_no_guard),
        cmocka_unit_test(what_ends_by_itself_is_no_circle),
        cmocka_unit_test(what_nobody_uses_is_found),
        cmocka_unit_test(the_rules_of_the_project_are_clean),
        cmocka_unit_test(a_review_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
