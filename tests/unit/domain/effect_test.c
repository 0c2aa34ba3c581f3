#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support'}"

/* Each of these cannot be applied: nothing of the rule's call may stay, and the others' effects must. */
static void a_rule_is_applied_as_a_whole_or_not_at_all(void **state)
{
    static const char *const wrong[] = {
        "{'do':'send','conversation':'#9','text':'x'}",
        "{'do':'send','conversation':12345,'text':'x'}",
        "{'do':'send','conversation':'#1'}",
        "{'do':'send','conversation':'#1','template':'nowhere'}",
        "{'do':'send','conversation':'#1','template':'needs'}",
        "{'do':'send','conversation':'#1','text':'x','channel':'pigeon'}",
        "{'do':'survey','conversation':'#1','survey':'nowhere'}",
        "{'do':'webhook','endpoint':'nowhere'}",
        "{'do':'open_conversation','handle':'#2','topic':'x','priority':'enormous'}",
        "{'do':'open_conversation','handle':'#2','topic':'x','channel':'pigeon'}",
        "{'do':'snooze','conversation':'#1','for_ms':-5}",
        "{'do':'after','conversation':'#1','name':'x','delay_ms':-1}",
        "{'do':'after','conversation':'#1','name':'snooze','delay_ms':1}",
        "{'do':'identify','identity':'nonsense'}",
        "{'do':'prefer','channel':'pigeon'}",
        "{'do':'tag','conversation':'#1'}",
        "{'do':'prioritize','conversation':'#1'}",
        "{'do':'prioritize','conversation':'#1','priority':'enormous'}",
        "{'do':'emit','name':'x','contact':'nonsense'}",
        "{'do':'contact_set','key':'name','value':7}",
        "{'do':'dance'}",
        "{}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        stage_declare(s, "template", "needs", "{'languages':{'en':{'text':'{{what}}'}},'variables':['what']}");
        stage_declare(s, "endpoint", "crm", "{'url':'https://crm.example/hook'}");
        char effects[600];
        snprintf(effects, sizeof(effects),
                 "[" OPEN ",{'do':'tag','conversation':'#1','tag':'no'},{'do':'send','conversation':'#1','text':'no'},"
                 "{'do':'opt_out','topic':'x'},{'do':'after','conversation':'#1','delay_ms':1,'name':'no'},{'do':'"
                 "webhook','endpoint':'crm'},"
                 "{'do':'emit','name':'no'},{'do':'contact_set','key':'no','value':1},%s]",
                 wrong[i]);
        stage_rule(s, "before", "message.received", "[{'do':'contact_set','key':'before','value':1}]");
        stage_rule(s, "wrong", "message.received", effects);
        stage_rule(s, "after", "message.received", "[" OPEN ",{'do':'tag','conversation':'#1','tag':'after'}]");
        stage_message(s, "whatsapp:1", "hi");
        expect_changes(s, "traces", "{'rule':'wrong','verdict':'failed'}", 1);
        expect_changes(s, "rule_health", "{'rule':'wrong','failed':true}", 1);
        expect_changes(s, "deliveries", "{}", 0);
        expect_changes(s, "events", "{'type':'custom.no'}", 0);
        expect_changes(s, "events", "{'type':'conversation.opened'}", 1);
        expect_rows(s, ROWS_TIMER, "{}", 0);
        expect_rows(s, ROWS_CONTACT, "{'attributes':{'before':1,'no':null},'opted_out':[]}", 1);
        expect_rows(s, ROWS_CONVERSATION, "{'tags':['after']}", 1);
        expect_rows(s, ROWS_CONVERSATION, "{}", 1);
        const json_t *conversation = find_row(s, ROWS_CONVERSATION, "{}");
        const json_t *message = find_row(s, ROWS_MESSAGE, "{'direction':'in'}");
        assert_int_equal(json_int(message, "conversation_id", 0), json_int(conversation, "id", 1));
        assert_null(json_object_get(json_object_at(stage_facts(s, "after"), "contact"), "opted_out_at"));
    }
}

static void what_existed_is_as_before_after_a_failure(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':3600000,'name':'keep'}]");
    stage_rule(s, "wrong", "custom.x",
               "[{'do':'tag','conversation':'@','tag':'no'},{'do':'cancel','conversation':'@','name':'keep'},{'do':'"
               "resolve','conversation':'@'},"
               "{'do':'after','conversation':'@','delay_ms':5,'name':'no'},{'do':'dance'}]");
    stage_rule(s, "look", "custom.x", "[]");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'custom.x','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':[],'state':'open','resolved_at':null}", 1);
    expect_rows(s, ROWS_TIMER, "{'name':'keep'}", 1);
    expect_rows(s, ROWS_TIMER, "{}", 1);
    json_t *wanted = json_of("{'conversation':{'state':'open','tags':[]}}");
    assert_true(json_covers(wanted, stage_facts(s, "look")));
    json_decref(wanted);
}

static void rules_run_in_order_and_see_what_the_ones_before_did(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "first", "message.*", "[" OPEN ",{'do':'tag','conversation':'#1','tag':'one'}]");
    stage_failing_rule(s, "skips", "message.received", NULL);
    stage_failing_rule(s, "breaks", "message.received", "rules/x.lua:3: oops");
    stage_rule(s, "second", "message.received", "[{'do':'tag','conversation':'@','tag':'two'}]");
    stage_rule(s, "other", "payment.failed", "[]");
    stage_stop_after(s, "second");
    stage_rule(s, "third", "message.received", "[{'do':'tag','conversation':'@','tag':'three'}]");
    stage_message(s, "whatsapp:1", "hi");
    static const char *const traces[] = {
        "{'number':1,'rule':'first','verdict':'ran','file':'rules/test.lua','rule_set':'test'}",
        "{'number':2,'rule':'skips','verdict':'skipped'}",
        "{'number':3,'rule':'breaks','verdict':'failed','error':'rules/x.lua:3: oops'}",
        "{'number':4,'rule':'second','verdict':'ran'}",
        "{'number':5,'rule':'third','verdict':'stopped'}",
    };
    for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++)
        expect_changes(s, "traces", traces[i], 1);
    expect_changes(s, "traces", "{'rule':'other'}", 0);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['one','two']}", 1);
    json_t *wanted = json_of("{'conversation':{'tags':['one']},'channel':'whatsapp','contact':{'identities':['whatsapp:"
                             "1','phone:1'],'channels':['whatsapp']}}");
    assert_true(json_covers(wanted, stage_facts(s, "breaks")));
    json_decref(wanted);
    assert_null(json_object_get(stage_facts(s, "first"), "conversation"));
}

static void rules_that_call_each_other_stop_at_a_depth(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "ping", "custom.ping", "[{'do':'emit','name':'pong'}]");
    stage_rule(s, "pong", "custom.pong", "[{'do':'emit','name':'ping'}]");
    stage_event(s, "{'type':'custom.ping','source':'desk'}");
    assert_int_equal(stage_runs(s, "ping") + stage_runs(s, "pong"), 5); /* depths 0 to 4 */
    expect_changes(s, "traces", "{'rule':'answerd.depth','verdict':'stopped'}", 1);
    expect_changes(s, "handlings", "{'problem':'the chain of causes is too deep'}", 1);
}

static void events_for_others_go_to_their_turn(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "tell", "custom.tell",
               "[{'do':'emit','name':'told','body':{'n':1},'contact':{'identities':['email:b@c.d'],'name':'Bo'}},{'do':"
               "'emit','name':'mine'}]");
    stage_event(s, "{'type':'custom.tell','source':'desk','contact':{'identities':['email:a@b.c']}}");
    expect_changes(s, "events",
                   "{'type':'custom.told','body':{'n':1},'contact':{'identities':['email:b@c.d']},'contact_id':null}",
                   1);
    expect_changes(s, "events", "{'type':'custom.mine','cause':{'rule':'tell','depth':1}}", 1);
    expect_rows(s, ROWS_CONTACT, "{}", 2);
}

/* An event that names a conversation is about who has that. */
static void an_event_for_somebody_else_leaves_the_conversation_behind(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation','topic':'support'}]");
    stage_message(s, "telegram:7", "hello");
    stage_rule(s, "tell", "message.received",
               "[{'do':'emit','name':'told','contact':'email:b@c.d'},{'do':'emit','name':'mine'}]");
    stage_message(s, "telegram:7", "tell them");
    char mine[80];
    snprintf(mine, sizeof(mine), "{'type':'custom.mine','conversation_id':%lld}",
             (long long)json_int(find_row(s, ROWS_CONVERSATION, "{}"), "id", 0));
    expect_changes(s, "events", mine, 1);
    expect_changes(s, "events", "{'type':'custom.told','conversation_id':null,'contact_id':null}", 1);
    expect_rows(s, ROWS_CONTACT, "{}", 2);
}

static void webhooks_name_their_endpoint_and_no_secret(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "endpoint", "crm", "{'url':'https://crm.example/hook','secrets':['whsec_x'],'timeout_ms':5000}");
    stage_rule(s, "tell", "payment.failed", "[{'do':'webhook','endpoint':'crm','body':{'a':1}}]");
    stage_event(s, "{'type':'payment.failed','source':'stripe','occurred_at':'2026-01-04T08:00:00.000Z',"
                   "'contact':{'identities':['stripe:1']}}");
    /* `at` is when it happened: the body is the same at each attempt. */
    expect_changes(
        s, "deliveries",
        "{'kind':'webhook','endpoint':'crm','rule':'tell',"
        "'request':{'url':'https://crm.example/hook','type':'payment.failed','at':'2026-01-04T08:00:00.000Z',"
        "'body':{'a':1}}}",
        1);
    assert_null(json_object_get(json_object_at(json_array_get(s->sent, 0), "request"), "secrets"));
}

/* In order for one contact; nobody waits for what the receiver does not take of another. */
static void webhooks_wait_for_those_of_their_contact_only(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "endpoint", "crm", "{'url':'https://crm.example/hook','secrets':['whsec_x'],'timeout_ms':5000}");
    static const char *const types[] = { "payment.failed", "payment.succeeded", "webhook.desk" };
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        stage_rule(s, types[i], types[i], "[{'do':'webhook','endpoint':'crm'}]");
    }
    static const char *const events[] = {
        "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:1']}}",
        "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:2']}}",
        "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['stripe:1']}}",
        "{'type':'webhook.desk','source':'desk'}",
        "{'type':'webhook.desk','source':'desk'}",
    };
    char lines[ARRAY_LEN(events)][64];
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        stage_event(s, events[i]);
        size_t last = json_array_size(s->sent) - 1;
        snprintf(lines[i], sizeof(lines[i]), "%s", json_str_or(json_array_get(s->sent, last), "recipient", ""));
        assert_int_equal(strncmp(lines[i], "endpoint crm ", 13), 0);
        for (size_t before = 0; before < i; before++) {
            assert_int_equal(strcmp(lines[i], lines[before]) == 0, i == 2 && before == 0);
        }
    }
}

static void an_identity_of_somebody_else_is_refused(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "claim", "custom.claim", "[{'do':'identify','identity':'email:a@b.c'}]");
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:1','email:a@b.c']}}");
    stage_event(s, "{'type':'custom.claim','source':'desk','contact':{'identities':['stripe:1']}}");
    expect_changes(s, "traces", "{'rule':'claim','verdict':'ran','effects':[{'refused':null}]}", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_rule_is_applied_as_a_whole_or_not_at_all),
        T(what_existed_is_as_before_after_a_failure),
        T(rules_run_in_order_and_see_what_the_ones_before_did),
        T(rules_that_call_each_other_stop_at_a_depth),
        T(events_for_others_go_to_their_turn),
        T(an_event_for_somebody_else_leaves_the_conversation_behind),
        T(webhooks_name_their_endpoint_and_no_secret),
        T(webhooks_wait_for_those_of_their_contact_only),
        T(an_identity_of_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
