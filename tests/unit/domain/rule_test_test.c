/* The runner of rule tests, with real rules: what passes, what fails and what a failure says. */
#include "domain/rule_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RULES                                                                                                          \
    "template 'failed' { text = 'Hi {{name}}, please pay.', whatsapp = { name = 'failed_v1', parameters = { 'name' } " \
    "} }\n"                                                                                                            \
    "template 'reminder' { text = 'Still open, {{name}}.', whatsapp = { name = 'reminder_v1', parameters = { 'name' "  \
    "} } }\n"                                                                                                          \
    "survey 'csat' { question = 'How did we do?', thanks = 'Thanks!' }\n"                                              \
    "endpoint 'crm' { url = 'https://crm.example/', secrets = {} }\n"                                                  \
    "rule { name = 'inbox', on = 'message.received', priority = 10, run = function(e, fx)\n"                           \
    "  local c = fx:open_conversation { topic = 'support', reopen = '1h' }\n"                                          \
    "  if c.is_new then c:send { text = 'Hello', buttons = { 'Yes', 'No' } } end\n"                                    \
    "  c:after('2h', 'nudge', { unless = 'reply' }) end }\n"                                                           \
    "rule { name = 'nudge', on = 'timer.nudge', run = function(e, fx) e.conversation:send 'Are you there?' end }\n"    \
    "rule { name = 'yes', on = 'message.button', when = function(e) return e.message.button.id == 'Yes' end,\n"        \
    "  run = function(e, fx) e.conversation:tag('yes') fx:webhook('crm', { said = 'yes' }) end }\n"                    \
    "rule { name = 'ask', on = 'conversation.resolved', run = function(e, fx) e.conversation:survey('csat') end }\n"   \
    "rule { name = 'recovery', on = 'payment.failed', run = function(e, fx)\n"                                         \
    "  fx:outreach { topic = 'billing', reference = e.payment.invoice, goal = 'payment.succeeded',\n"                  \
    "    steps = { { after = '0s', template = 'failed' }, { after = '24h', template = 'reminder' } },\n"               \
    "    vars = { name = e.contact.name or 'there' } } end }\n"                                                        \
    "rule { name = 'claim', on = 'custom.claim', run = function(e, fx) e.contact:identify(e.body.identity) end }\n"    \
    "rule { name = 'say', on = 'custom.say', run = function(e, fx)\n"                                                  \
    "  fx:open_conversation { topic = 'say' }:send(e.body.text) end }\n"                                               \
    "rule { name = 'failed', on = 'message.status', when = function(e) return e.status.error ~= nil end,\n"            \
    "  run = function(e, fx) e.conversation:note(e.status.state .. ' ' .. e.status.error.code) end }\n"                \
    "rule { name = 'broken', on = 'custom.broken', run = function(e, fx) error('no way') end }\n"

struct bench {
    char directory[64];
    struct rule_sources *files;
    struct rule_set *set;
    json_t *sources;
};

static void write_file(const char *directory, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void load(struct bench *bench, const char *tests)
{
    snprintf(bench->directory, sizeof(bench->directory), "/tmp/answerd-rules-XXXXXX");
    assert_non_null(mkdtemp(bench->directory));
    write_file(bench->directory, "all.lua", RULES);
    write_file(bench->directory, "all_test.lua", tests);
    struct error error;
    const struct rule_limits limits = rule_limits_default();
    json_t *problems = json_array();
    if (rule_sources_read(bench->directory, true, &bench->files, &error) != ERR_NONE)
        fail_msg("%s", error.text);
    if (rule_set_load(bench->files, &limits, problems, &bench->set, &error) != ERR_NONE) {
        char *text = json_dumps(problems, JSON_INDENT(1));
        fail_msg("%s %s", error.text, text);
    }
    json_decref(problems);
    bench->sources = json_loads("{\"whatsapp\":{\"provider\":\"whatsapp\",\"sends\":true,\"window_ms\":86400000},"
                                "\"telegram\":{\"provider\":\"telegram\",\"sends\":true,\"window_ms\":0},"
                                "\"stripe\":{\"provider\":\"stripe\",\"sends\":false}}",
                                0, NULL);
}

static void unload(struct bench *bench)
{
    static const char *const names[] = { "all.lua", "all_test.lua" };
    for (size_t i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", bench->directory, names[i]);
        unlink(path);
    }
    rmdir(bench->directory);
    rule_set_free(bench->set);
    rule_sources_free(bench->files);
    json_decref(bench->sources);
}

/* The report of a test with this body; "" when it passed. The caller frees it. */
static char *report_of(const char *body)
{
    struct bench bench;
    char tests[4096];
    snprintf(tests, sizeof(tests), "test('it', function(t)\n%s\nend)\n", body);
    load(&bench, tests);
    assert_int_equal(rule_set_test_count(bench.set), 1);
    struct rule_test_outcome outcome, again;
    rule_test_run(bench.set, 0, bench.sources, NULL, &outcome);
    rule_test_run(bench.set, 0, bench.sources, NULL, &again);
    assert_string_equal(outcome.report, again.report); /* the same every time */
    assert_int_equal(outcome.passed, *outcome.report == '\0');
    rule_test_outcome_done(&again);
    unload(&bench);
    return outcome.report;
}

static void expect_pass(const char *body)
{
    char *report = report_of(body);
    if (*report)
        fail_msg("%s", report);
    free(report);
}

static void expect_failure(const char *body, const char *const *parts)
{
    char *report = report_of(body);
    for (; *parts; parts++)
        if (!strstr(report, *parts))
            fail_msg("the report lacks '%s':\n%s", *parts, report);
    free(report);
}
#define expect_fail(body, ...) expect_failure(body, (const char *const[]){ __VA_ARGS__, NULL })

static void the_story_of_the_manual(void **state)
{
    (void)state;
    expect_pass(
        "t:contact { name = 'Ada', whatsapp = '15550100' }\n"
        "t:event('payment.failed', { payment = { invoice = 'in_1', amount = 1900, currency = 'usd', attempt = 1 } })\n"
        "t:expect_sent { template = 'failed', to = 'whatsapp:15550100', text = 'Hi Ada, please pay.', approved = false "
        "}\n"
        "t:expect_outreach { state = 'active', reference = 'in_1', step = 1 }\n"
        "t:advance('23h') t:expect_nothing()\n"
        "t:event('payment.succeeded', { payment = { invoice = 'in_1' } })\n"
        "t:expect_outreach { state = 'recovered' }\n"
        "t:advance('72h') t:expect_nothing()");
}

static void windows_close_with_time(void **state)
{
    (void)state;
    expect_pass("t:contact { name = 'Ada', whatsapp = '15550100' }\n"
                "t:event('payment.failed', { payment = { invoice = 'in_1' } })\n"
                "t:expect_sent { approved = false }\n"
                "t:advance('24h')\n"
                "t:expect_sent { template = 'reminder', approved = true, approved_name = 'reminder_v1', parameters = { "
                "'Ada' } }");
    expect_pass("t:contact { whatsapp = '15550100', window = 'closed' }\n"
                "t:event('payment.failed', { payment = { invoice = 'in_1' } })\n"
                "t:expect_sent { approved = true }");
    expect_pass("t:contact { whatsapp = '15550100' } t:window('closed')\n"
                "t:event('payment.failed', { payment = { invoice = 'in_1' } })\n"
                "t:expect_sent { approved = true }");
    expect_pass("t:message 'hi' t:expect_sent 'Hello' t:advance('1h') t:window('closed') t:advance('2h')\n"
                "t:expect_nothing() t:expect_held { reason = 'window' }");
}

static void messages_taps_timers_and_surveys(void **state)
{
    (void)state;
    expect_pass("t:message { text = 'hi', from = 'telegram:42' }\n"
                "t:expect_sent { text = 'Hello', channel = 'telegram', to = '42', buttons = { 'Yes', 'No' } }\n"
                "t:expect_conversation { topic = 'support', state = 'open', channel = 'telegram' }\n"
                "t:tap('Yes') t:expect_conversation { tags = 'yes' }\n"
                "t:expect_webhook { endpoint = 'crm', body = { said = 'yes' } } t:expect_webhook(false)\n"
                "t:expect_effect('tag', { tag = 'yes' })\n"
                "t:advance('3h') t:expect_nothing()\n" /* the tap was a reply */
                "t:message 'still here' t:advance('2h') t:expect_sent { text = 'Are you there?' }\n"
                "t:agent('resolve') t:expect_event('conversation.resolved')\n"
                "t:expect_timer(false) t:expect_timer { name = 'survey.expired' }\n"
                "t:expect_sent { contains = 'How did' } t:tap(4)\n"
                "t:expect_survey { score = 4, state = 'answered' } t:expect_sent 'Thanks!'\n"
                "t:expect_conversation { state = 'resolved' } t:expect_nothing()");
}

static void statuses_come_from_the_provider(void **state)
{
    (void)state;
    expect_pass("t:contact { name = 'Ada', whatsapp = '1', telegram = '2' }\n"
                "t:event('payment.failed', { payment = { invoice = 'in_1' } }) t:expect_sent { channel = 'whatsapp' }\n"
                "t:status('failed', { code = 131026 })\n"
                "t:expect_message { state = 'failed', error_code = '131026' }\n"
                "t:expect_sent { channel = 'telegram' } t:status 'delivered'\n"
                "t:expect_message { channel = nil, source = 'telegram', state = 'delivered' }");
}

/* As on the server: nobody gets somebody else's name by saying it. */
static void an_identity_of_somebody_else_is_refused(void **state)
{
    (void)state;
    expect_pass(
        "local ada = t:contact { name = 'Ada', stripe = 'cus_1', email = 'ada@example.com' }\n"
        "local eve = t:contact { name = 'Eve', whatsapp = '1' }\n"
        "t:event('custom.claim', { body = { identity = 'email:ada@example.com' }, contact = eve })\n"
        "t:expect_effect('identify', { refused = 'another contact has this identity' })\n"
        "t:event('payment.failed', { payment = { invoice = 'in_1' }, contact = { email = 'ada@example.com' } })\n"
        "t:expect_outreach { of = ada, count = 1 } t:expect_outreach { of = eve, count = 0 }\n"
        "t:event('custom.claim', { body = { identity = 'email:eve@example.com' }, contact = eve })\n"
        "t:expect_effect('identify', { refused = false })\n"
        "t:event('payment.failed', { payment = { invoice = 'in_2' }, contact = { email = 'eve@example.com' } })\n"
        "t:expect_outreach { of = eve, count = 1 }\n"
        "t:event('custom.claim', { body = { identity = 'phone:079 123 45 67' }, contact = eve })\n"
        "t:expect_effect('identify', { refused = 'a phone number begins with its country, as in \"+1 555 0100\"' })");
}

/* Numbers are read as by the API and the rules: however they are written, they are one person's. */
static void people_have_numbers_as_people_write_them(void **state)
{
    (void)state;
    expect_pass(
        "local ada = t:contact { name = 'Ada', whatsapp = '0041 79 123 45 67' }\n"
        "t:event('payment.failed', { payment = { invoice = 'in_1' }, contact = { phone = '+41 (0)79 123 45 67' } "
        "})\n"
        "t:expect_outreach { of = ada, count = 1 } t:expect_sent { to = 'whatsapp:41791234567' }");
    expect_fail("t:contact { whatsapp = '079 123 45 67' }",
                "'079 123 45 67' is not a handle of the kind whatsapp: a phone number begins with its country");
    expect_pass("local ada = t:contact { whatsapp = 'ada', telegram = 'ada' } t:expect_contact { of = ada }");
}

static void failures_say_what_was_expected_and_what_came(void **state)
{
    (void)state;
    expect_fail("t:message 'hi'\nt:expect_sent { text = 'Bye' }",
                "all_test.lua:3: t:expect_sent: another message was sent", "text: expected \"Bye\", got \"Hello\"",
                "expected: { text = \"Bye\" }", "on message.received at 2026-01-05T10:00:00.000Z:", "inbox", "ran  (",
                "all.lua:5)", "line 7: send {", "text = \"Hello\" } -> { message = ");
    expect_fail("t:message 'hi'\nt:expect_nothing()", "all_test.lua:3:", "a message was sent", "Hello");
    expect_fail("t:contact { telegram = '1' }\nt:expect_sent { text = 'x' }", "no message was sent",
                "nothing was sent");
    expect_fail("t:message 'hi'\nt:expect_conversation { state = 'resolved' }", "no conversation is like that",
                "state: expected \"resolved\", got \"open\"");
    expect_fail("t:message 'hi'\nt:expect_survey { score = 3 }", "there is no survey");
    expect_fail("t:message 'hi'\nt:expect_conversation { count = 2 }", "expected 2 such conversations, got 1");
    expect_fail("t:message 'hi'\nt:expect_sent { text = 'Hello, and how are you today, dear friend?' }",
                "    text: expected \"Hello, and how", "\n                         ^ here they part");
    expect_fail("t:contact { telegram = '1' }\nt:expect_survey { score = 3 }", "nothing happened in the last act");
    expect_fail("t:message 'hi'\nlocal x = nil\nprint(x.y)", "all_test.lua:4: attempt to index", "inbox");
    expect_fail("t:mesage 'hi'", "no such verb; did you mean 'message'");
    expect_fail("t:tap 'Maybe'", "t:tap:");
    expect_fail("t:message 'hi' t:tap 'Maybe'", "no message was sent with a button 'Maybe'");
    expect_fail("t:advance('soon')", "the argument is a duration");
    expect_fail("error('of the test itself')", "of the test itself");
    expect_fail("while true do end", "all_test.lua:2");
}

/* What is not said does not matter: a misspelt word would say nothing, and the test would pass. */
static void what_a_test_misspells_fails_it(void **state)
{
    (void)state;
    expect_fail("t:contact { telegram = '1', windw = 'closed' }",
                "all_test.lua:2: t:contact has no 'windw'; did you mean 'window'?");
    expect_fail("t:message { txt = 'hi' }", "all_test.lua:2: t:message has no 'txt'; did you mean 'text'?");
    expect_fail("t:message 'hi'\nt:expect_sent { aproved = false }", "all_test.lua:3: t:expect_sent has no 'aproved'",
                "did you mean 'approved'?");
    expect_fail("t:message 'hi'\nt:expect_conversation { tag = 'x' }", "has no 'tag'; did you mean 'tags'?");
    expect_fail("t:event('payment.faild', { payment = {} })", "all_test.lua:2: t:event: unknown event type",
                "did you mean 'payment.failed'?");
    expect_fail("t:event('payment.*')", "one event has no '*'");
    expect_fail("t:event('payment.failed', { paymnt = {} })", "t:event has no 'paymnt'; did you mean 'payment'?");
    expect_fail("t:event('payment.failed', { payment = { amout = 5 } })",
                "t:event: 'payment' has no 'amout'; did you mean 'amount'?");
    expect_fail("t:event('custom.x', { number = 5 })", "t:event has no 'number'; write body = { number = … }");
    expect_fail("t:event('custom.x', { amount = 5 })", "t:event has no 'amount'; write body = { amount = … }");
    expect_fail("t:event('custom.x', { bodi = {} })", "t:event has no 'bodi'; did you mean 'body'?");
    expect_fail("t:event('payment.failed', { amount = 5 })", "t:event has no 'amount'; write payment = { amount = … }");
    expect_fail("t:contact { phonenumber = '1' }", "t:contact has no 'phonenumber'; it has whatsapp, telegram");
    expect_fail("t:message 'hi'\nt:status 'deliverd'", "'deliverd' is no state; did you mean 'delivered'?");
    expect_fail("t:provider('down', { chanel = 'telegram' })", "has no 'chanel'; did you mean 'channel'?");
    expect_fail("t.message 'hi'", "all_test.lua:2: t.message: call it with a colon, as in t:message(…)");
    expect_pass("t:message 'hi' t:agent('snooze', '2h') t:expect_conversation { state = 'snoozed' }\n"
                "t:advance '2h' t:expect_conversation { state = 'open' }\n"
                "t:expect_message { text = 'Hello', channel = 'whatsapp' }");
    expect_fail("t:message 'hi'\nt:agent('snooze', 'long')", "the second argument is a duration");
}

static void a_rule_that_fails_fails_the_test_unless_expected(void **state)
{
    (void)state;
    expect_fail("t:event('custom.broken')", "rule 'broken' failed on custom.broken", "no way");
    expect_pass("t:event('custom.broken') t:expect_error { rule = 'broken', contains = 'no way' }");
    expect_fail("t:event('custom.broken') t:expect_error { rule = 'inbox' }", "no rule failed like that");
}

/* The limits are those of the sender, which writes the call in the same way. */
static void what_a_channel_does_not_take_fails_the_test(void **state)
{
    (void)state;
#define SAY "local function say(text) t:event('custom.say', { body = { text = text } }) end\n"
    expect_pass(
        SAY "t:contact { name = 'Ada', telegram = '42' } say(('ä'):rep(4096)) t:expect_sent { to = 'telegram:42' }");
    expect_fail(SAY
                "t:contact { name = 'Ada', telegram = '42' } say(('ä'):rep(4097)) t:expect_sent { to = 'telegram:42' }",
                "no message was sent", "held back: the text has 4097 characters, telegram allows 4096");
    expect_fail(SAY "t:contact { name = 'Ada', whatsapp = '15550100' } say(('a'):rep(4097))",
                "rule 'say' wrote a message that cannot leave: the text has 4097 characters, whatsapp allows 4096",
                "when that is meant, say t:expect_held");
    expect_pass(SAY "t:contact { name = 'Ada', whatsapp = '15550100' } say(('a'):rep(4097)) t:expect_nothing()\n"
                    "t:expect_message { state = 'failed', error_code = 'render' }\n"
                    "t:expect_event { type = 'message.status' } t:expect_note { contains = 'failed render' }\n"
                    "t:expect_held { reason = '4096' }");
}

static void tests_do_not_see_each_other(void **state)
{
    (void)state;
    struct bench bench;
    load(&bench, "test('a', function(t) t:message 'hi' t:expect_sent 'Hello' end)\n"
                 "test('b', function(t) t:expect_nothing() t:expect_conversation(false) t:message 'hi' t:expect_sent "
                 "'Hello' end)\n"
                 "test('c', function(t) t:expect_sent 'Hello' end)\n");
    static const struct {
        size_t index;
        bool passes;
    } order[] = { { 1, true }, { 0, true }, { 2, false }, { 1, true }, { 2, false } };
    json_t *coverage = json_object();
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct rule_test_outcome outcome;
        rule_test_run(bench.set, order[i].index, bench.sources, coverage, &outcome);
        assert_int_equal(outcome.passed, order[i].passes);
        rule_test_outcome_done(&outcome);
    }
    assert_int_equal(json_int(json_at(coverage, "rules.inbox"), "ran", 0), 3);
    assert_null(json_at(coverage, "rules.recovery"));
    json_decref(coverage);
    unload(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_story_of_the_manual),
        cmocka_unit_test(windows_close_with_time),
        cmocka_unit_test(messages_taps_timers_and_surveys),
        cmocka_unit_test(statuses_come_from_the_provider),
        cmocka_unit_test(an_identity_of_somebody_else_is_refused),
        cmocka_unit_test(people_have_numbers_as_people_write_them),
        cmocka_unit_test(failures_say_what_was_expected_and_what_came),
        cmocka_unit_test(what_a_test_misspells_fails_it),
        cmocka_unit_test(a_rule_that_fails_fails_the_test_unless_expected),
        cmocka_unit_test(what_a_channel_does_not_take_fails_the_test),
        cmocka_unit_test(tests_do_not_see_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
