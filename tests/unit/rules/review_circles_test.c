/* Rules that set themselves off again: what `answerd check` takes for a circle, and what it must not. */
#include "review_cases.h"

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
        { FILE_A(RULE("a", "'conversation.prioritized'", "e.conversation:prioritize('low')")), "rules/a.lua:1",
          "warning", "sets the priority of the conversation that was just given one", NULL },
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
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "again(fx)"), "rules/a.lua:1",
          "warning", "rule 'a' makes the event that it listens to ('custom.x')", NULL },
        { HELPED("local again = function(e, out) local n = 1 out:emit('x', { n = n }) end", "'custom.x'",
                 "again(e, fx)"),
          "rules/a.lua:1", "warning", "('custom.x')", NULL },
        { HELPED("local function say(c, name) c:tag(name) end", "'conversation.tagged'", "say(e.conversation, 'x')"),
          "rules/a.lua:1", "warning", "tags the conversation that was just tagged", NULL },
        { HELPED("local function make(name, fx) fx:emit(name, {}) end", "'custom.x'", "make('x', fx)"), "rules/a.lua:1",
          "warning", "('custom.x')", NULL },
        { HELPED("local function two(fx) fx:emit('x', {}) end\nlocal function one(fx) two(fx) end", "'custom.x'",
                 "local x = one(fx)"),
          "rules/a.lua:1", "warning", "('custom.x')", NULL },
        { HELPED("local M = {}\nfunction M.again(fx) fx:emit('x', {}) end", "'custom.x'", "M.again(fx)"),
          "rules/a.lua:2", "warning", "('custom.x')", NULL },
        { FILE_A(RULE("a", "'custom.x'", "local function again() fx:emit('x', {}) end again()")), "rules/a.lua:1",
          "warning", "('custom.x')", NULL },
        { FILE_A(RULE("a", "'custom.x'", "return fx:emit('x', {})")), "rules/a.lua:1", "warning", "('custom.x')",
          NULL },
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
        { HELPED("local function again(fx, n) if n > 0 then fx:emit('x', {}) end end", "'custom.x'",
                 "again(fx, e.body.n)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx, n) if n == 0 then return end fx:emit('x', {}) end", "'custom.x'",
                 "again(fx, e.body.n)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "if e.body.n then again(fx) end"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "local _ = e.body.n and again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) return 1 end", "'custom.x'",
                 "local _ = e.body.n and 1 + again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'",
                 "if e.body.n then return end again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'",
                 "for _ in pairs(e.body) do again(fx) end"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end", "'custom.x'", "local f = again log(f ~= nil)"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function need(n) if not n then error('enough') end end", "'custom.x'",
                 "need(e.body.n) fx:emit('x', {})"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function need(n) return n end", "'custom.x'", "assert(need(e.body.n)) fx:emit('x', {})"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function make(fx, name) fx:emit(name, {}) end", "'custom.x'", "make(fx, e.body.next)"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function make(fx, name) fx:emit(name, {}) end", "'custom.x'", "make(fx, 'y')"), NULL, NULL,
          NULL, NULL },
        /* Which of the two runs, or whether it is the function at all, is not for reading to say. */
        { HELPED("local again = function(fx) fx:emit('x', {}) end\nif now() > 0 then again = function() end end",
                 "'custom.x'", "again(fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(fx) fx:emit('x', {}) end\nlocal function call(again, fx) again(fx) end",
                 "'custom.x'", "call(log, fx)"),
          NULL, NULL, NULL, NULL },
        { HELPED("local function again(other) other:emit('x', {}) end", "'custom.x'", "again({ emit = log })"), NULL,
          NULL, NULL, NULL },
        { HELPED("local function once(fx) log(fx ~= nil) end\nlocal function loop(fx) return loop(fx) end",
                 "'custom.x'", "log(once) loop(fx)"),
          NULL, NULL, NULL, NULL },
    };
    CHECK_EACH(cases);
}

#define LIBRARY "local mail = {}\nfunction mail.again(fx)\nfx:emit('x', {}) end\nreturn mail"
#define WITH_LIBRARY(library, head, code)                                                                              \
    {                                                                                                                  \
        { "a.lua", head "\n" RULE("a", "'custom.x'", code) },                                                          \
        {                                                                                                              \
            "lib/mail.lua", library                                                                                    \
        }                                                                                                              \
    }

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
        { WITH_LIBRARY(
              "local mail = {}\nlocal function tell(f)\nf:emit('x', {}) end\nfunction mail.again(f) tell(f) end\nreturn mail",
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
        { WITH_LIBRARY(LIBRARY, "", "local done = require('mail').again(fx) return done"), "rules/lib/mail.lua:3",
          "warning", "rule 'a' makes the event", NULL },
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
        { WITH_LIBRARY(
              "local mail = {}\nfunction mail.again(fx) if now() > 0 then fx:emit('x', {}) end end\nreturn mail",
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
        { WITH_LIBRARY(
              "local mail = {}\nfunction mail.again(fx) fx:emit('x', {}) end\nif now() > 0 then function mail.again() end "
              "end\nreturn mail",
              "local mail = require 'mail'", "mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(
              "local other, mail = {}, { again = function() end }\nfunction other.again(fx) fx:emit('x', {}) end\nreturn mail",
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
        { WITH_LIBRARY(LIBRARY, "", "log(require('mail') ~= nil) require(e.body.name).again(fx)"), NULL, NULL, NULL,
          NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail' .. e.body.n).again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail').other.again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "", "require('mail').other(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local mail = require 'mail'", "log(mail ~= nil) e.body.require('mail').again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = now() > 0 and require('mail').again", "again(fx)"), NULL, NULL, NULL,
          NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again or log", "again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again\nagain = log", "again(fx)"), NULL, NULL, NULL,
          NULL },
        { WITH_LIBRARY(LIBRARY, "local again = require('mail').again", "again.again(fx)"), NULL, NULL, NULL, NULL },
        { WITH_LIBRARY(LIBRARY, "local other, mail = require 'mail', { again = log }",
                       "log(other ~= nil) mail.again(fx)"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("return { need = function(n) if not n then error('enough') end end }", "",
                       "require('mail').need(e.body.n) fx:emit('x', {})"),
          NULL, NULL, NULL, NULL },
        { WITH_LIBRARY("local mail = {}\nfunction mail.loop(fx) mail.loop(fx) end\nreturn mail",
                       "local mail = require 'mail'", "mail.loop(fx)"),
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_that_run_themselves_are_found),
        cmocka_unit_test(what_called_functions_do_is_followed),
        cmocka_unit_test(functions_that_may_do_nothing_are_no_alarm),
        cmocka_unit_test(functions_of_libraries_are_followed),
        cmocka_unit_test(a_condition_that_decides_nothing_is_no_guard),
        cmocka_unit_test(what_ends_by_itself_is_no_circle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
