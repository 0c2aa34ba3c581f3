#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support'}"
#define OF_ADA(type) "{'type':'" type "','source':'desk','contact':{'identities':['whatsapp:1']}}"

static void a_timer_fires_once_with_its_data(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "arm", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':3600000,'name':'nudge','data':{'n':1}}]");
    stage_rule(s, "fire", "timer.nudge", "[{'do':'tag','conversation':'@','tag':'fired'}]");
    stage_message(s, "whatsapp:1", "hi");
    expect_rows(s, ROWS_TIMER,
                "{'name':'nudge','due_at':'2026-01-05T13:00:00.000Z','rule':'arm','data':{'n':1},'unless':[],'depth':0,"
                "'armed_at':'2026-01-05T12:00:00.000Z'}",
                1);
    stage_advance(s, 59 * MINUTE);
    assert_int_equal(stage_runs(s, "fire"), 0);
    stage_advance(s, 2 * MINUTE);
    assert_int_equal(stage_runs(s, "fire"), 1);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['fired']}", 1);
    expect_rows(s, ROWS_TIMER, "{}", 0);
}

static void arming_it_again_moves_it(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "arm", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':3600000,'name':'nudge'}]");
    stage_rule(s, "fire", "timer.nudge", "[]");
    stage_message(s, "whatsapp:1", "hi");
    s->now += 30 * MINUTE;
    stage_message(s, "whatsapp:1", "hi again");
    expect_rows(s, ROWS_TIMER, "{'due_at':'2026-01-05T13:30:00.000Z'}", 1);
    stage_advance(s, 3 * HOUR);
    assert_int_equal(stage_runs(s, "fire"), 1);
}

/* A row: the condition, what happens before the hour is over, and how often the timer fires. */
static void conditions_make_it_pointless(void **state)
{
    static const struct {
        const char *unless;
        const char *event;
        int fires;
    } rows[] = {
        { "[]", OF_ADA("custom.x"), 1 },
        { "['reply']",
          "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':'2','"
          "kind':'text','text':'?'}}",
          0 },
        { "['message.received']",
          "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':'2','"
          "kind':'text','text':'?'}}",
          0 },
        { "['reply']",
          "{'type':'message.sent_elsewhere','contact':{'identities':['whatsapp:1']},'message':{'id':'2','kind':'text','"
          "text':'?'}}",
          0 },
        { "['reply']", OF_ADA("custom.resolve"), 1 },
        { "['conversation.resolved']", OF_ADA("custom.resolve"), 0 },
        { "['conversation.*']", OF_ADA("custom.resolve"), 0 },
        { "['payment.succeeded']",
          "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['phone:1']}}", 0 },
        { "['payment.*']", "{'type':'payment.failed','source':'stripe','contact':{'identities':['phone:1']}}", 0 },
        { "['payment.succeeded']",
          "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['phone:2']}}", 1 },
        { "['reply']",
          "{'type':'message.received','contact':{'identities':['whatsapp:3'],'recipient':'3'},'message':{'id':'2','"
          "kind':'text','text':'?'}}",
          1 },
        { "[]", OF_ADA("custom.cancel"), 0 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        char effects[300];
        snprintf(effects, sizeof(effects),
                 "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':3600000,'name':'nudge','unless':%s}]",
                 rows[i].unless);
        stage_rule(s, "arm", "custom.arm", effects);
        stage_rule(s, "resolve", "custom.resolve", "[{'do':'resolve','conversation':'@'}]");
        stage_rule(s, "cancel", "custom.cancel", "[{'do':'cancel','conversation':'@','name':'nudge'}]");
        stage_rule(s, "fire", "timer.nudge", "[]");
        stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1','phone:1'],'recipient':'1'},'"
                       "message':{'id':'1','kind':'text','text':'!'}}");
        stage_event(s, OF_ADA("custom.arm"));
        stage_event(s, "{'type':'message.received','source':'whatsapp','occurred_at':'2026-01-05T11:00:00.000Z','"
                       "contact':{'identities':['whatsapp:9']},'message':{'id':'0','kind':'text'}}");
        s->now += MINUTE;
        stage_event(s, rows[i].event);
        stage_advance(s, 2 * HOUR);
        if (stage_runs(s, "fire") != rows[i].fires)
            fail_msg("unless %s, then %s: fired %d times", rows[i].unless, rows[i].event, stage_runs(s, "fire"));
    }
}

static void a_reply_that_is_handled_before_the_fired_timer_stops_it(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "fire", "timer.nudge", "[]");
    stage_message(s, "whatsapp:1", "hi");
    char event[400];
    snprintf(event, sizeof(event),
             "{'type':'timer.nudge','source':'answerd','conversation_id':%lld,'timer':{'name':'nudge','unless':['reply'"
             "],'armed_at':'2026-01-05T11:00:00.000Z'}}",
             (long long)json_int(find_row(s, ROWS_CONVERSATION, "{}"), "id", 0));
    stage_event(s, event);
    assert_int_equal(stage_runs(s, "fire"), 0);
    expect_changes(s, "traces",
                   "{'rule':'answerd.timer','effects':[{'refused':'the customer has written since it was set'}]}", 1);
}

/* The timer has fired: its row is gone, its event waits behind what makes it pointless. */
static void what_happens_between_firing_and_handling_counts(void **state)
{
    static const struct {
        const char *unless;
        const char *before;   /* in the same batch */
        const char *happened; /* as the store tells of earlier batches */
        int fires;
    } rows[] = {
        { "['payment.succeeded']", OF_ADA("payment.succeeded"), "[]", 0 },
        { "['payment.*']", OF_ADA("payment.refunded"), "[]", 0 },
        { "['payment.succeeded']", OF_ADA("payment.failed"), "[]", 1 },
        { "['payment.succeeded']",
          "{'type':'payment.succeeded','source':'stripe','contact':{'identities':['whatsapp:2']}}", "[]", 1 },
        { "['conversation.tagged']", OF_ADA("custom.y"), "['conversation.tagged']", 0 },
        { "['survey.*']", OF_ADA("custom.y"), "['payment.failed','survey.answered']", 0 },
        { "['reply']", OF_ADA("custom.y"), "['message.sent_elsewhere']", 0 },
        { "['reply']", OF_ADA("custom.y"), "['message.status']", 1 },
        { "[]", OF_ADA("custom.y"), "['payment.succeeded']", 1 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        stage_rule(s, "inbox", "message.received", "[" OPEN "]");
        stage_rule(s, "fire", "timer.nudge", "[]");
        stage_message(s, "whatsapp:1", "hi");
        stage_message(s, "whatsapp:2", "hi");
        long long conversation = 0;
        const char *key;
        json_t *row;
        json_object_foreach (rows_all(memory_store_rows(s->store), ROWS_CONVERSATION), key, row) {
            if (strcmp(json_str_or(row, "identity", ""), "whatsapp:1") == 0)
                conversation = json_int(row, "id", 0);
        }
        char timer[500];
        snprintf(
            timer, sizeof(timer),
            "{'type':'timer.nudge','source':'answerd','conversation_id':%lld,'happened':%s,'timer':{'name':'nudge',"
            "'unless':%s,'armed_at':'2026-01-05T12:00:00.000Z'}}",
            conversation, rows[i].happened, rows[i].unless);
        const char *const batch[] = { rows[i].before, timer };
        stage_batch(s, batch, 2);
        if (stage_runs(s, "fire") != rows[i].fires)
            fail_msg("unless %s, after %s and %s: fired %d times", rows[i].unless, rows[i].before, rows[i].happened,
                     stage_runs(s, "fire"));
    }
}

static void the_window_tells_before_it_closes(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_message(s, "whatsapp:1", "hi");
    expect_rows(s, ROWS_TIMER, "{}", 0); /* nobody wants to know */
    stage_rule(s, "hurry", "window.closing", "[{'do':'tag','conversation':'@','tag':'closing'}]");
    stage_message(s, "whatsapp:1", "hi");
    s->now += HOUR;
    stage_message(s, "whatsapp:1", "hi");
    expect_rows(s, ROWS_TIMER, "{'name':'window.closing','due_at':'2026-01-06T12:00:00.000Z'}", 1);
    stage_advance(s, 24 * HOUR);
    assert_int_equal(stage_runs(s, "hurry"), 1);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['closing']}", 1);
    stage_message(s, "telegram:1", "no window here");
    expect_rows(s, ROWS_TIMER, "{}", 0);
}

static void names_of_the_desk_are_taken(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "arm", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':1,'name':'outreach.step','line':7}]");
    stage_message(s, "whatsapp:1", "hi");
    expect_changes(s, "traces", "{'verdict':'failed'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{}", 0);
}

static void quick_timers_count_as_causes_and_slow_ones_do_not(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "start", "message.received",
               "[" OPEN ",{'do':'after','conversation':'#1','delay_ms':10,'name':'loop'}]");
    stage_rule(s, "loop", "timer.loop", "[{'do':'after','conversation':'@','delay_ms':10,'name':'loop'}]");
    stage_message(s, "whatsapp:1", "hi");
    stage_advance(s, HOUR);
    assert_in_range(stage_runs(s, "loop"), 1, 6);
    expect_changes(s, "traces", "{'rule':'answerd.depth','verdict':'stopped'}", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_timer_fires_once_with_its_data),
        T(arming_it_again_moves_it),
        T(conditions_make_it_pointless),
        T(a_reply_that_is_handled_before_the_fired_timer_stops_it),
        T(what_happens_between_firing_and_handling_counts),
        T(the_window_tells_before_it_closes),
        T(names_of_the_desk_are_taken),
        T(quick_timers_count_as_causes_and_slow_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
