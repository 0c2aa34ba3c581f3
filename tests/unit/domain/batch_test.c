/* Several events in one batch: each sees what the ones before it did, and the changes are right as a whole. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define BATCH(s, ...)                                                                                                  \
    stage_batch(s, (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))
#define MESSAGE(source, identity, id)                                                                                  \
    "{'type':'message.received','source':'" source "','contact':{'identities':['" identity "'],'recipient':'x'},"      \
    "'message':{'id':'" id "','kind':'text','text':'" id "'}}"

static void two_photos_make_one_contact_and_one_conversation(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation','handle':'#1','topic':'support'}]");
    BATCH(s, MESSAGE("telegram", "telegram:1", "a"), MESSAGE("telegram", "telegram:1", "b"),
          MESSAGE("telegram", "telegram:2", "c"));
    expect_rows(s, ROWS_CONTACT, "{}", 2);
    expect_rows(s, ROWS_CONVERSATION, "{}", 2);
    expect_rows(s, ROWS_MESSAGE, "{'conversation_id':null}", 0);
    expect_changes(s, "contacts", "{}", 2);
    expect_changes(s, "messages", "{}", 3);
}

static void what_is_begun_and_ended_in_one_batch_is_over(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "recover", "payment.failed",
               "[{'do':'outreach','topic':'billing','reference':'r','goal':'payment.succeeded','steps':[{'after_ms':0,'"
               "text':'pay'},"
               "{'after_ms':3600000,'text':'again'}]}]");
    BATCH(s,
          "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:1','telegram:1']},'payment':{'"
          "invoice':'r'}}",
          "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['stripe:1']},'payment':{'invoice':'r'"
          "}}");
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered'}", 1);
    expect_rows(s, ROWS_TIMER, "{}", 0);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'canceled'}", 1);
    expect_changes(s, "timers", "{}", 0);
}

static void a_message_is_written_once_in_its_last_form(void **state)
{
    struct stage *s = *state;
    BATCH(
        s, MESSAGE("telegram", "telegram:1", "a"),
        "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':'a','"
        "text':'A'}}",
        "{'type':'message.deleted','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':'a'}}");
    expect_changes(s, "messages", "{'text':'A','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_changes(s, "message_edits", "{}", 0);
}

static void a_timer_that_is_canceled_and_set_again_stays(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received",
               "[{'do':'open_conversation','handle':'#1','topic':'support'},{'do':'after','conversation':'#1','delay_"
               "ms':3600000,"
               "'name':'nudge','unless':['reply']}]");
    BATCH(s, MESSAGE("telegram", "telegram:1", "a"), MESSAGE("telegram", "telegram:1", "b"));
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 1);
    s->now += MINUTE;
    BATCH(s, MESSAGE("telegram", "telegram:1", "c"), MESSAGE("telegram", "telegram:1", "d"));
    expect_rows(s, ROWS_TIMER, "{'name':'nudge','due_at':'2026-01-05T13:01:00.000Z'}", 1);
}

static void a_merge_moves_what_the_batch_has_made(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation','handle':'#1','topic':'support'}]");
    BATCH(s, MESSAGE("whatsapp", "whatsapp:1", "a"), MESSAGE("whatsapp", "whatsapp:US.1", "b"),
          "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:1'],'recipient':'x'},'message'"
          ":{'id':'c','kind':'text'}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 1);
    expect_changes(s, "events", "{'type':'contact.merged'}", 1);
    stage_event(s, MESSAGE("whatsapp", "whatsapp:US.1", "d"));
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 1);
}

/* What rules read of the conversation does not depend on what was handled together. */
static void the_history_has_what_came_before_in_the_batch(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation','handle':'#1','topic':'support'}]");
    stage_rule(s, "look", "message.received", "[]");
    BATCH(s, MESSAGE("telegram", "telegram:1", "a"));
    assert_int_equal(json_array_size(json_array_at(stage_facts(s, "look"), "history")), 1);
    s->now += MINUTE;
    BATCH(s, MESSAGE("telegram", "telegram:1", "b"), MESSAGE("telegram", "telegram:1", "c"));
    json_t *wanted = json_of("[{'text':'a'},{'text':'b'},{'text':'c'}]");
    const json_t *history = json_array_at(stage_facts(s, "look"), "history");
    assert_int_equal(json_array_size(history), 3);
    for (size_t i = 0; i < 3; i++)
        assert_true(json_covers(json_array_get(wanted, i), json_array_get(history, i)));
    json_decref(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(two_photos_make_one_contact_and_one_conversation),
        T(what_is_begun_and_ended_in_one_batch_is_over),
        T(a_message_is_written_once_in_its_last_form),
        T(a_timer_that_is_canceled_and_set_again_stays),
        T(a_merge_moves_what_the_batch_has_made),
        T(the_history_has_what_came_before_in_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
