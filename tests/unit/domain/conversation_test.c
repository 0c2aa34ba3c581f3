#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support','reopen_ms':86400000}"

static void messages_join_the_open_conversation_of_their_channel(void **state)
{
    struct stage *s = *state;
    stage_message(s, "whatsapp:1", "nobody listens");
    expect_rows(s, ROWS_MESSAGE, "{'conversation_id':null,'direction':'in','state':'received','author':'contact'}", 1);
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_message(s, "whatsapp:1", "hello");
    int64_t id = json_int(find_row(s, ROWS_CONVERSATION, "{'state':'open'}"), "id", 0);
    assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, "{'text':'hello'}"), "conversation_id", 0), id);
    expect_rows(s, ROWS_CONVERSATION,
                "{'source':'whatsapp','identity':'whatsapp:1','last_inbound_at':'2026-01-05T12:00:00.000Z'}", 1);
    stage_message(s, "whatsapp:1", "again");
    assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, "{'text':'again'}"), "conversation_id", 0), id);
    expect_rows(s, ROWS_CONVERSATION, "{}", 1);
    assert_non_null(json_object_at(stage_facts(s, "inbox"), "conversation"));
}

static void an_album_opens_one_conversation(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'one moment'}]");
    stage_message(s, "telegram:5", "photo 1");
    stage_message(s, "telegram:5", "photo 2");
    expect_rows(s, ROWS_CONVERSATION, "{}", 1);
}

static void a_resolved_one_is_reopened_when_recent(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "close", "custom.close", "[{'do':'resolve','conversation':'@'}]");
    stage_message(s, "whatsapp:1", "hello");
    stage_event(s, "{'type':'custom.close','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved','episode':1}", 1);
    expect_changes(s, "events", "{'type':'conversation.resolved','body':{'by':'rule:close'}}", 1);
    s->now += 23 * HOUR;
    stage_message(s, "whatsapp:1", "one more thing");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open','episode':2,'resolved_at':null}", 1);
    expect_changes(s, "events", "{'type':'conversation.reopened'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{}", 1);

    stage_event(s, "{'type':'custom.close','source':'desk','contact':{'identities':['whatsapp:1']}}");
    s->now += 25 * HOUR;
    stage_message(s, "whatsapp:1", "much later");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved'}", 1);
    const json_t *old = find_row(s, ROWS_CONVERSATION, "{'state':'resolved'}");
    const json_t *new = find_row(s, ROWS_CONVERSATION, "{'state':'open','episode':1}");
    assert_int_equal(json_int(new, "previous_id", 0), json_int(old, "id", 1));
}

static void the_same_topic_and_reference_is_the_same_thread(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "a", "custom.a", "[{'do':'open_conversation','handle':'#1','topic':'billing','reference':'in_1'}]");
    stage_rule(s, "b", "custom.b", "[{'do':'open_conversation','handle':'#1','topic':'billing','reference':'in_2'}]");
    char event[128];
    for (const char *c = "aabba"; *c; c++) {
        snprintf(event, sizeof(event), "{'type':'custom.%c','source':'desk','contact':{'identities':['telegram:1']}}",
                 *c);
        stage_event(s, event);
    }
    expect_rows(s, ROWS_CONVERSATION, "{}", 2);
}

static void one_that_is_open_gets_the_tags_and_the_priority(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "vip", "custom.vip",
               "[{'do':'open_conversation','topic':'support','tags':['vip','new'],'priority':'high'}]");
    stage_rule(s, "calm", "custom.calm",
               "[{'do':'open_conversation','topic':'support','tags':['vip'],'priority':'low'}]");
    stage_rule(s, "lower", "custom.lower", "[{'do':'prioritize','conversation':'@','priority':'low'}]");
    stage_message(s, "whatsapp:1", "hello");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':[],'priority':'normal'}", 1);
    stage_event(s, "{'type':'custom.vip','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['vip','new'],'priority':'high'}", 1);
    expect_changes(s, "events", "{'type':'conversation.tagged','body':{'tag':'vip','by':'rule:vip'}}", 1);
    expect_changes(s, "events", "{'type':'conversation.tagged'}", 2);
    expect_changes(s, "events", "{'type':'conversation.prioritized','body':{'priority':'high','by':'rule:vip'}}", 1);

    stage_event(s, "{'type':'custom.vip','source':'desk','contact':{'identities':['whatsapp:1']}}");
    stage_event(s, "{'type':'custom.calm','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['vip','new'],'priority':'high'}", 1);
    expect_changes(s, "events", "{'type':'conversation.tagged'}", 0);
    expect_changes(s, "events", "{'type':'conversation.prioritized'}", 0);

    stage_event(s, "{'type':'custom.lower','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['vip','new'],'priority':'low'}", 1);
    expect_changes(s, "events", "{'type':'conversation.prioritized','body':{'priority':'low','by':'rule:lower'}}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{}", 1);
}

static void small_changes_are_made_and_told(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "all", "message.received",
               "[" OPEN ",{'do':'tag','conversation':'#1','tag':'vip'},{'do':'tag','conversation':'#1','tag':'vip'},"
               "{'do':'tag','conversation':'#1','tag':'new'},{'do':'untag','conversation':'#1','tag':'new'},"
               "{'do':'assign','conversation':'#1','assignee':'ann'},{'do':'note','conversation':'#1','text':'look'},"
               "{'do':'set','conversation':'#1','key':'plan','value':{'tier':2}},"
               "{'do':'contact_set','key':'language','value':'de'},{'do':'contact_set','key':'age','value':7},"
               "{'do':'prefer','channel':'telegram'},{'do':'identify','identity':'email:a@b.c'}]");
    stage_message(s, "whatsapp:1", "hello");
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['vip'],'assignee':'ann','attributes':{'plan':{'tier':2}}}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'note','text':'look','author':'rule:all','state':'note'}", 1);
    expect_rows(s, ROWS_CONTACT, "{'language':'de','attributes':{'age':7},'preferred_channel':'telegram'}", 1);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'email:a@b.c','proven_by':'rule:all'}", 1);
    expect_changes(s, "events", "{'type':'conversation.tagged','body':{'tag':'vip'},'cause':{'rule':'all','depth':1}}",
                   1);
    expect_changes(s, "events", "{'type':'conversation.assigned','body':{'assignee':'ann'}}", 1);
}

static void a_snoozed_one_wakes_up_by_time_or_by_the_customer(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "sleep", "custom.sleep", "[{'do':'snooze','conversation':'@','for_ms':7200000}]");
    stage_rule(s, "woke", "timer.snooze", "[{'do':'tag','conversation':'@','tag':'woke'}]");
    stage_message(s, "whatsapp:1", "hello");
    stage_event(s, "{'type':'custom.sleep','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'snoozed','snoozed_until':'2026-01-05T14:00:00.000Z'}", 1);
    expect_changes(s, "events", "{'type':'conversation.snoozed'}", 1);
    stage_advance(s, 3 * HOUR);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open','snoozed_until':null,'tags':['woke']}", 1);

    stage_event(s, "{'type':'custom.sleep','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_TIMER, "{'name':'snooze'}", 1);
    stage_message(s, "whatsapp:1", "are you there");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open','snoozed_until':null}", 1);
    expect_rows(s, ROWS_TIMER, "{'name':'snooze'}", 0);
}

static void agents_act_like_rules_do(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':3600000,'name':'nudge','unless':['reply']}]");
    stage_message(s, "whatsapp:1", "hello");
    long long id = (long long)json_int(find_row(s, ROWS_CONVERSATION, "{}"), "id", 0);
    char event[300];
    snprintf(event, sizeof(event),
             "{'type':'agent.action','source':'answerd','conversation_id':%lld,'agent':'ann','effects':["
             "{'do':'send','conversation':'@','text':'hello back'},{'do':'resolve','conversation':%lld}]}",
             id, id);
    s->now += MINUTE;
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','author':'agent:ann','text':'hello back'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved','first_reply_at':'2026-01-05T12:01:00.000Z'}", 1);
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 0);
    expect_changes(s, "events", "{'type':'conversation.resolved','body':{'by':'agent:ann'}}", 1);
    expect_changes(s, "traces", "{'rule':'agent:ann','verdict':'ran'}", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(messages_join_the_open_conversation_of_their_channel),
        T(an_album_opens_one_conversation),
        T(a_resolved_one_is_reopened_when_recent),
        T(the_same_topic_and_reference_is_the_same_thread),
        T(one_that_is_open_gets_the_tags_and_the_priority),
        T(small_changes_are_made_and_told),
        T(a_snoozed_one_wakes_up_by_time_or_by_the_customer),
        T(agents_act_like_rules_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
