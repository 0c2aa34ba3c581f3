/* Thousands of random events in random order: what must hold whatever happens. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLDS 40
#define EVENTS 60

static uint32_t state_of_chance;

static unsigned pick(unsigned count)
{
    state_of_chance = state_of_chance * 1664525u + 1013904223u;
    return (state_of_chance >> 8) % count;
}

static void prepare(struct stage *s)
{
    stage_declare(s, "template", "t",
                  "{'languages':{'en':{'text':'Hi {{name}}'}},'variables':['name'],'whatsapp':{"
                  "'name':'t_v1','parameters':['name']}}");
    stage_declare(s, "survey", "csat",
                  "{'question':'?','scale':5,'ask_comment':'Why?','thanks':'!','expires_ms':86400000,"
                  "'comment_ms':3600000}");
    stage_rule(s, "inbox", "message.received",
               "[{'do':'open_conversation','handle':'#1','topic':'support','reopen_ms':3600000},"
               "{'do':'send','conversation':'#1','text':'hi'},"
               "{'do':'after','conversation':'#1','delay_ms':7200000,'name':'nudge','unless':['reply']}]");
    stage_rule(s, "nudge", "timer.nudge", "[{'do':'send','conversation':'@','text':'there?'}]");
    stage_rule(s, "ask", "conversation.resolved", "[{'do':'survey','conversation':'@','survey':'csat'}]");
    stage_rule(s, "recover", "payment.failed",
               "[{'do':'outreach','topic':'billing','reference':'r','goal':'payment.succeeded','vars':{'name':'x'},"
               "'steps':[{'after_ms':0,'template':'t'},{'after_ms':3600000,'text':'again'},{'after_ms':7200000,'note':'"
               "call'}]}]");
    stage_rule(s, "resolve", "custom.resolve", "[{'do':'resolve','conversation':'@'}]");
    stage_rule(s, "snooze", "custom.snooze", "[{'do':'snooze','conversation':'@','for_ms':1800000}]");
    stage_rule(s, "stop", "custom.stop", "[{'do':'opt_out','topic':'all'}]");
    stage_rule(s, "start", "custom.start", "[{'do':'opt_in','topic':'all'}]");
    stage_rule(s, "half", "custom.half",
               "[{'do':'tag','conversation':'@','tag':'half'},{'do':'resolve','conversation':'@'},{'do':'opt_out'},{'"
               "do':'dance'}]");
}

static void act(struct stage *s)
{
    static const char *const people[] = { "'whatsapp:US.1','whatsapp:1','phone:1'",
                                          "'whatsapp:1','phone:1'",
                                          "'whatsapp:US.1'",
                                          "'whatsapp:2','phone:2'",
                                          "'whatsapp:US.2'",
                                          "'whatsapp:US.2','whatsapp:2'" };
    static const char *const customs[] = { "resolve", "snooze", "stop", "start", "half" };
    static const char *const texts[] = { "hello", "4", "5/5", "great", "why not", "" };
    char event[600];
    const char *who = people[pick(6)];
    switch (pick(10)) {
    case 0:
    case 1:
    case 2:
        snprintf(event, sizeof(event),
                 "{'type':'message.received','contact':{'identities':[%s],'recipient':'x'},'message':{'id':'m%u','kind'"
                 ":'text','text':'%s'}}",
                 who, pick(1000), texts[pick(6)]);
        break;
    case 3:
        snprintf(event, sizeof(event),
                 "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:%u']},'message':{'"
                 "id':'t%u','kind':'text','text':'%s'}}",
                 pick(2), pick(1000), texts[pick(6)]);
        break;
    case 4:
        snprintf(event, sizeof(event),
                 "{'type':'payment.%s','source':'stripe','contact':{'identities':['stripe:%u',%s,'telegram:%u']},'"
                 "payment':{'invoice':'%s'}}",
                 pick(2) ? "failed" : "succeeded", pick(3), pick(2) ? "'phone:1'" : "'phone:2'", pick(2),
                 pick(3) ? "r" : "q");
        break;
    case 5:
    case 6:
        snprintf(event, sizeof(event), "{'type':'custom.%s','source':'desk','contact':{'identities':[%s]}}",
                 customs[pick(5)], who);
        break;
    case 7: {
        const json_t *sent =
            json_array_get(s->sent, json_array_size(s->sent) > 0 ? pick((unsigned)json_array_size(s->sent)) : 0);
        snprintf(event, sizeof(event),
                 "{'type':'message.status','source':'%s','status':{'message_id':'out-%lld','state':'%s','error':{'code'"
                 ":'131026'}}}",
                 json_str_or(sent, "source", "whatsapp"), (long long)json_int(sent, "message_id", 0),
                 pick(2) ? "failed" : "delivered");
        break;
    }
    case 8:
        snprintf(event, sizeof(event),
                 "{'type':'message.button','contact':{'identities':[%s],'recipient':'x'},'message':{'id':'b%u','kind':'"
                 "button','button':{'id':'survey:%u:%u','text':'x'}}}",
                 who, pick(1000), 1000 + pick(400), pick(7));
        break;
    default:
        stage_advance(s, (msec_t)pick(pick(4) ? 180 : 6000) * MINUTE);
        return;
    }
    stage_event(s, event);
    s->now += (msec_t)pick(20) * MINUTE;
}

/* No two rows of the table may agree in these columns. */
static void expect_unique(const struct stage *s, enum rows_table table, const char *state, bool state_is,
                          const char *const *columns)
{
    json_t *seen = json_object();
    const char *row_key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(s->store), table), row_key, row) {
        if (state && (strcmp(json_str_or(row, "state", ""), state) == 0) != state_is)
            continue;
        json_t *parts = json_array();
        bool complete = true;
        for (const char *const *column = columns; *column; column++) {
            const json_t *value = json_object_get(row, *column);
            complete = complete && value;
            json_array_append_new(parts, value ? json_copy((json_t *)(uintptr_t)value) : json_null());
        }
        char *key = json_dumps(parts, JSON_COMPACT);
        if (complete && json_object_get(seen, key))
            fail_msg("%s: two rows with %s", rows_table_name(table), key);
        json_object_set_new(seen, key, json_true());
        free(key);
        json_decref(parts);
    }
    json_decref(seen);
}
#define UNIQUE(table, state, is, ...) expect_unique(s, table, state, is, (const char *const[]){ __VA_ARGS__, NULL })

static void expect_known_contact(const struct stage *s, enum rows_table table)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(s->store), table), key, row) {
        const json_t *contact = rows_by_id(memory_store_rows(s->store), ROWS_CONTACT, json_int(row, "contact_id", 0));
        if (!contact)
            fail_msg("%s %s: its contact is not known", rows_table_name(table), key);
        if (json_int(contact, "merged_into", 0) > 0)
            fail_msg("%s %s: left behind by a merge", rows_table_name(table), key);
    }
}

static void expect_sound(const struct stage *s)
{
    UNIQUE(ROWS_CONVERSATION, "resolved", false, "contact_id", "topic", "reference");
    UNIQUE(ROWS_OUTREACH, "active", true, "contact_id", "topic", "reference");
    UNIQUE(ROWS_SURVEY, NULL, false, "conversation_id", "name", "episode");
    UNIQUE(ROWS_TIMER, NULL, false, "conversation_id", "name");
    UNIQUE(ROWS_TIMER, NULL, false, "outreach_id");
    UNIQUE(ROWS_TIMER, NULL, false, "survey_id");
    static const enum rows_table owned[] = { ROWS_IDENTITY, ROWS_ADDRESS,  ROWS_CONVERSATION,
                                             ROWS_SURVEY,   ROWS_OUTREACH, ROWS_TIMER };
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
        expect_known_contact(s, owned[i]);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['half']}", 0);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved','resolved_at':null}", 0);
    expect_rows(s, ROWS_SURVEY, "{'state':'answered','score':null}", 0);
    expect_rows(s, ROWS_OUTREACH, "{'state':'recovered','ended_at':null}", 0);
}

/* Nothing is sent to who has opted out, but the confirmation. */
static void expect_silence(const struct stage *s, const json_t *deliveries, size_t since)
{
    for (size_t i = since; i < json_array_size(deliveries); i++) {
        const json_t *delivery = json_array_get(deliveries, i);
        const json_t *contact =
            rows_by_id(memory_store_rows(s->store), ROWS_CONTACT, json_int(delivery, "contact_id", 0));
        const json_t *topics = contact ? json_array_at(contact, "opted_out") : NULL;
        if (json_array_size(topics) > 0 && json_time(contact, "opted_out_at", 0) < json_time(delivery, "created_at", 0))
            fail_msg("something was sent to who has opted out");
    }
}

static void what_must_hold_holds(void **state)
{
    (void)state;
    for (uint32_t world = 1; world <= WORLDS; world++) {
        void *stage;
        stage_set_up(&stage);
        struct stage *s = stage;
        state_of_chance = world * 7919u;
        prepare(s);
        for (int i = 0; i < EVENTS; i++) {
            size_t sent = json_array_size(s->sent);
            act(s);
            expect_sound(s);
            expect_silence(s, s->sent, sent);
        }
        stage_tear_down(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_must_hold_holds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
