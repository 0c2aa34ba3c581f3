#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/reference.h"

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define FAILED                                                                                                         \
    "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:c1','phone:1','telegram:9'],'name':'" \
    "Ada'},'payment':{'id':'ch_1','invoice':'in_1','attempt':1}}"
#define PAID(invoice)                                                                                                  \
    "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['stripe:c1']},'payment':{'id':'ch_2','"    \
    "invoice':'" invoice "'}}"

static void prepare(struct stage *s)
{
    stage_declare(s, "template", "failed",
                  "{'languages':{'en':{'text':'Hi {{name}}, your payment "
                  "failed.'}},'variables':['name'],'whatsapp':{'name':'failed_v1','parameters':['name']}}");
    stage_declare(s, "template", "reminder",
                  "{'languages':{'en':{'text':'Still open, "
                  "{{name}}.'}},'variables':['name'],'whatsapp':{'name':'reminder_v1','parameters':['name']}}");
    stage_rule(s, "recover", "payment.failed",
               "[{'do':'outreach','topic':'billing','reference':'in_1','goal':'payment.succeeded','next_attempt':'2026-"
               "01-08T12:00:00.000Z','vars':{'name':'Ada'},'steps':["
               "{'after_ms':0,'template':'failed'},{'after_ms':86400000,'template':'reminder'},{'after_ms':259200000,'"
               "note':'Please call.','assign':'billing'}]}]");
}

static void a_ladder_is_climbed_step_by_step(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_rule(s, "end", "outreach.exhausted", "[{'do':'tag','conversation':'@','tag':'lost'}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    expect_rows(s, ROWS_OUTREACH,
                "{'state':'active','step':1,'topic':'billing','reference':'in_1','rule':'recover','next_attempt_at':'"
                "2026-01-08T12:00:00.000Z'}",
                1);
    expect_rows(s, ROWS_CONVERSATION, "{'topic':'billing','reference':'in_1','source':'whatsapp'}", 1);
    expect_changes(s, "deliveries",
                   "{'source':'whatsapp','topic':'billing','rule':'recover','request':{'free':{'text':'Hi Ada, your "
                   "payment failed.'},"
                   "'approved':{'name':'failed_v1','language':'en','body':[{'text':'Ada'}]}}}",
                   1);
    expect_rows(
        s, ROWS_MESSAGE,
        "{'direction':'out','kind':'template','author':'rule:recover','content':{'template':'failed','step':1}}", 1);
    stage_advance(s, 23 * HOUR);
    expect_changes(s, "deliveries", "{}", 0);
    stage_advance(s, 1 * HOUR);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Still open, Ada.'}}}", 1);
    expect_changes(s, "traces", "{'rule':'answerd.outreach','effects':[{'do':'outreach_step'}]}", 1);
    stage_advance(s, 48 * HOUR);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'note','text':'Please call.'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'assignee':'billing'}", 1);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active','step':3}", 1);
    stage_advance(s, 72 * HOUR);
    expect_rows(s, ROWS_OUTREACH, "{'state':'exhausted'}", 1);
    expect_changes(s, "events", "{'type':'outreach.exhausted','outreach':{'reference':'in_1'}}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['lost']}", 1);
    expect_rows(s, ROWS_TIMER, "{}", 0);
}

static void it_starts_once_while_active(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    stage_event(s, FAILED);
    expect_rows(s, ROWS_OUTREACH, "{}", 1);
    expect_changes(s, "deliveries", "{}", 0);
    expect_changes(s, "traces",
                   "{'rule':'recover','verdict':'ran','effects':[{'refused':'an outreach with this topic and reference "
                   "is active'}]}",
                   1);
}

static void the_goal_ends_it(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_rule(s, "cheer", "outreach.recovered", "[]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    stage_event(s, PAID("in_2")); /* another invoice */
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
    stage_event(s, PAID("in_1"));
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered','ended_at':'2026-01-05T12:00:00.000Z'}", 1);
    assert_true(json_int(find_row(s, ROWS_OUTREACH, "{}"), "ended_by", 0) > 0);
    expect_changes(s, "cancel_deliveries", "{}", 1);
    expect_changes(s, "events", "{'type':'outreach.recovered','outreach':{'state':'recovered'}}", 1);
    assert_int_equal(stage_runs(s, "cheer"), 1);
    assert_non_null(json_object_at(stage_facts(s, "cheer"), "outreach"));
    stage_advance(s, 200 * HOUR);
    expect_changes(s, "deliveries", "{}", 0);
    /* It may start again for the next failure. */
    stage_event(s, FAILED);
    expect_rows(s, ROWS_OUTREACH, "{'state':'active'}", 1);
}

static void a_queued_reminder_is_canceled_by_the_goal(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_declare(s, "calendar", "business",
                  "{'timezone':'UTC','days':[[[540,600]],[],[],[],[],[],[]],'special':{}}"); /* Monday 9 to 10 */
    stage_rule(s, "wait", "custom.wait",
               "[{'do':'outreach','topic':'t','reference':'in_1','goal':'payment.succeeded','steps':[{'after_ms':0,'"
               "text':'later','quiet':'respect'}]}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'custom.wait','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_changes(s, "deliveries", "{'due_at':'2026-01-12T09:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'queued'}", 1);
    stage_event(s, "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['phone:1']},'payment':{'"
                   "invoice':'in_1'}}");
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'canceled'}", 1);
}

static void references_are_compared_when_both_have_one(void **state)
{
    (void)state;
    static const struct {
        const char *event;
        int match;
    } rows[] = {
        { "{'payment':{'invoice':'r'}}", 1 },
        { "{'payment':{'invoice':'x','id':'r'}}", 1 },
        { "{'payment':{'invoice':'x'}}", 0 },
        { "{'payment':{'reference':'r','id':'x'}}", 1 },
        { "{'payment':{'order':'r','id':'x'}}", 1 },
        { "{'payment':{'subscription':'r'}}", 1 },
        { "{'subscription':{'id':'r'}}", 1 },
        { "{'order':{'reference':'r'}}", 1 },
        { "{'body':{'reference':'r'}}", 1 },
        { "{'body':{'x':1}}", -1 },
        { "{}", -1 },
        { "{'order':{'id':'q'}}", 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *event = json_of(rows[i].event);
        assert_int_equal(reference_match(event, "r"), rows[i].match);
        json_decref(event);
    }
}

/* Whether a failure that comes `minutes` after the first begins an outreach of its own. */
static void one_payment_under_two_names_is_one_outreach(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *first, *second;
        int minutes, outreaches;
    } cases[] = {
        { "'id':'pi_1','amount':1900,'currency':'usd'", "'invoice':'in_1','amount':1900,'currency':'usd'", 9, 1 },
        { "'invoice':'in_1','amount':1900,'currency':'usd'", "'id':'pi_1','amount':1900,'currency':'usd'", 9, 1 },
        { "'invoice':'in_1','amount':1900,'currency':'usd'", "'id':'pi_1','amount':1900,'currency':'usd'", 11, 2 },
        { "'invoice':'in_1','amount':1900,'currency':'usd'", "'id':'pi_1','amount':1901,'currency':'usd'", 1, 2 },
        { "'invoice':'in_1','amount':1900,'currency':'usd'", "'id':'pi_1','amount':1900,'currency':'eur'", 1, 2 },
        { "'invoice':'in_1','amount':1900,'currency':'usd'", "'invoice':'in_2','amount':1900,'currency':'usd'", 1, 2 },
        { "'invoice':'in_1'", "'id':'pi_1'", 1, 2 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        s = *state;
        stage_message(s, "whatsapp:1", "hi");
        const char *payments[] = { cases[i].first, cases[i].second };
        for (int n = 0; n < 2; n++) {
            static const char *const types[] = { "custom.failure_0", "custom.failure_1" }; /* rules keep them */
            char effect[512], event[512];
            snprintf(effect, sizeof(effect),
                     "[{'do':'outreach','topic':'billing','reference':'ref_%d','goal':'payment.succeeded','steps':[{"
                     "'after_ms':0,'text':'x'}]}]",
                     n);
            stage_rule(s, n ? "second" : "first", types[n], effect);
            snprintf(event, sizeof(event),
                     "{'type':'%s','source':'stripe','contact':{'identities':['whatsapp:1']},'payment':{%s}}", types[n],
                     payments[n]);
            stage_event(s, event);
            s->now += n == 0 ? cases[i].minutes * MINUTE : 0;
        }
        expect_rows(s, ROWS_OUTREACH, "{}", cases[i].outreaches);
        expect_rows(s, ROWS_OUTREACH, "{'reference':'ref_0','other_references':['ref_1']}",
                    cases[i].outreaches == 1 ? 1 : 0);
        expect_changes(s, "traces", "{'effects':[{'refused':'an outreach about the same payment is active'}]}",
                       cases[i].outreaches == 1 ? 1 : 0);
        /* Either name ends it. */
        stage_event(s, "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['whatsapp:1']},"
                       "'payment':{'id':'ref_1'}}");
        expect_rows(s, ROWS_OUTREACH, "{'state':'recovered'}", 1);
    }
}

/* The money may come from somebody who is not known: the name of what was owed is enough. */
static void another_name_finds_the_outreach_of_somebody_else(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_rule(s, "again", "custom.again",
               "[{'do':'outreach','topic':'billing','reference':'pi_1','goal':'payment.succeeded','steps':[{'after_ms'"
               ":0,'text':'x'}]}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['whatsapp:1']},'payment':{"
                   "'invoice':'in_1','amount':5,'currency':'usd'}}");
    stage_event(s, "{'type':'custom.again','source':'stripe','contact':{'identities':['whatsapp:1']},'payment':{"
                   "'id':'pi_1','amount':5,'currency':'usd'}}");
    stage_event(s, "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['email:payer@x.y']},"
                   "'payment':{'id':'pi_1','amount':5,'currency':'usd'}}");
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered'}", 1);
}

static void opting_out_ends_it(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_rule(s, "stop", "custom.stop", "[{'do':'opt_out','topic':'billing'}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    stage_event(s, "{'type':'custom.stop','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_OUTREACH, "{'state':'canceled'}", 1);
    stage_advance(s, 100 * HOUR);
    expect_changes(s, "deliveries", "{}", 0);
    stage_event(s, FAILED);
    expect_rows(s, ROWS_OUTREACH, "{}", 1);
}

static void the_preferred_channel_comes_first(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_rule(s, "prefer", "custom.prefer", "[{'do':'prefer','channel':'telegram'}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'custom.prefer','source':'desk','contact':{'identities':['whatsapp:1']}}");
    stage_event(s, FAILED);
    expect_changes(s, "deliveries", "{'source':'telegram','request':{'approved':null}}", 1);
}

static void a_failed_message_goes_on_by_another_channel(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    char event[300];
    snprintf(event, sizeof(event),
             "{'type':'message.status','contact':{'identities':['whatsapp:1']},'status':{'message_id':'out-%lld','"
             "state':'failed','error':{'code':'131026'}}}",
             (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out'}"), "id", 0));
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','source':'whatsapp','state':'failed','error_code':'131026'}", 1);
    expect_rows(s, ROWS_ADDRESS, "{'source':'whatsapp','unreachable_at':null}", 0);
    expect_changes(s, "deliveries", "{'source':'telegram','request':{'free':{'text':'Hi Ada, your payment failed.'}}}",
                   1);
    expect_changes(s, "traces", "{'rule':'answerd.outreach','effects':[{'do':'outreach_escalate'}]}", 1);
    expect_rows(s, ROWS_OUTREACH, "{'step':1,'state':'active'}", 1);
    /* And when that fails too, there is nobody left to ask. */
    snprintf(event, sizeof(event),
             "{'type':'message.status','source':'telegram','contact':{'identities':['telegram:9']},'status':{'message_"
             "id':'out-%lld','state':'failed'}}",
             (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out','source':'telegram'}"), "id", 0));
    stage_event(s, event);
    expect_changes(s, "deliveries", "{}", 0);
    /* The ladder itself goes on. */
    stage_advance(s, 24 * HOUR);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Still open, Ada.'}}}", 1);
}

static void a_delivered_message_is_reached(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, FAILED);
    char event[300];
    snprintf(event, sizeof(event),
             "{'type':'message.status','contact':{'identities':['whatsapp:1']},'occurred_at':'2026-01-05T12:00:07.000Z'"
             ",'status':{'message_id':'out-%lld','state':'delivered'}}",
             (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out'}"), "id", 0));
    stage_event(s, event);
    expect_rows(s, ROWS_OUTREACH, "{'reached_at':'2026-01-05T12:00:07.000Z'}", 1);
}

static void nobody_to_reach_still_gets_the_call(void **state)
{
    struct stage *s = *state;
    prepare(s);
    stage_event(s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:c1','email:a@b.c']},'"
                   "payment':{'invoice':'in_1'}}");
    expect_rows(s, ROWS_CONVERSATION, "{}", 0); /* no empty thread */
    stage_advance(s, 73 * HOUR);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'note','text':'Please call.'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'assignee':'billing'}", 1);
}

static void a_channel_that_is_none_is_told_from_one_where_nobody_is(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "recover", "payment.failed",
               "[{'do':'outreach','topic':'billing','reference':'in_1','goal':'payment.succeeded','vars':{},'steps':["
               "{'after_ms':0,'text':'a','channel':'whatsap'},{'after_ms':0,'text':'b','channel':'telegram'}]}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['whatsapp:1']},"
                   "'payment':{'id':'ch_1','invoice':'in_1','attempt':1}}");
    expect_changes(s, "deliveries", "{}", 0);
    expect_changes(s, "traces",
                   "{'rule':'recover','effects':[{'made':{'steps':[{'step':1,'refused':'there is no channel of this "
                   "name that sends'},{'step':2,'refused':'the contact has no address on this channel'}]}}]}",
                   1);
}

static void a_ladder_that_makes_no_sense_fails_its_rule(void **state)
{
    struct stage *s = *state;
    static const char *const ladders[] = {
        "[]",
        "[{'after_ms':0,'template':'nowhere'}]",
        "[{'after_ms':1000,'text':'a'},{'after_ms':0,'text':'b'}]",
    };
    for (size_t i = 0; i < sizeof(ladders) / sizeof(ladders[0]); i++) {
        static const char *const names[] = { "custom.0", "custom.1", "custom.2" };
        char effects[300];
        snprintf(effects, sizeof(effects),
                 "[{'do':'tag','conversation':'@','tag':'x'},{'do':'outreach','topic':'t','goal':'payment.succeeded','"
                 "steps':%s}]",
                 ladders[i]);
        stage_rule(s, "bad", names[i], effects);
    }
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation'}]");
    stage_message(s, "whatsapp:1", "hi");
    for (int i = 0; i < 3; i++) {
        char event[128];
        snprintf(event, sizeof(event), "{'type':'custom.%d','source':'desk','contact':{'identities':['whatsapp:1']}}",
                 i);
        stage_event(s, event);
        expect_changes(s, "traces", "{'rule':'bad','verdict':'failed'}", 1);
        expect_rows(s, ROWS_OUTREACH, "{}", 0);
        expect_rows(s, ROWS_CONVERSATION, "{'tags':[]}", 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_ladder_is_climbed_step_by_step),
        T(it_starts_once_while_active),
        T(the_goal_ends_it),
        T(a_queued_reminder_is_canceled_by_the_goal),
        cmocka_unit_test(references_are_compared_when_both_have_one),
        T(one_payment_under_two_names_is_one_outreach),
        T(another_name_finds_the_outreach_of_somebody_else),
        T(opting_out_ends_it),
        T(the_preferred_channel_comes_first),
        T(a_failed_message_goes_on_by_another_channel),
        T(a_delivered_message_is_reached),
        T(nobody_to_reach_still_gets_the_call),
        T(a_channel_that_is_none_is_told_from_one_where_nobody_is),
        T(a_ladder_that_makes_no_sense_fails_its_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
