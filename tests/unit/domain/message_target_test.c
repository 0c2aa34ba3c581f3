/* Which message a status, an edit or a deletion is about: never that of another person, chat or source. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support'}"

static void a_status_finds_its_message_by_id_or_echo(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'}]");
    stage_rule(s, "watch", "message.status", "[{'do':'tag','conversation':'@','tag':'seen'}]");
    stage_message(s, "whatsapp:1", "hello");
    char event[400];
    long long id = (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out'}"), "id", 0);
    snprintf(event, sizeof(event),
             "{'type':'message.status','contact':{'identities':['whatsapp:1']},'status':{'message_id':'out-%lld','"
             "state':'delivered'}}",
             id);
    stage_event(s, event);
    expect_changes(s, "message_states", "{'state':'delivered','at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'delivered'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['seen']}", 1);
    /* Not even the provider's id is known: our echo is. */
    snprintf(
        event, sizeof(event),
        "{'type':'message.status','contact':{'identities':['whatsapp:1']},'status':{'message_id':'strange','state':"
        "'failed','echo':'%lld','error':{'code':'131047','title':'late'}}}",
        (long long)json_int(json_array_get(s->sent, 0), "id", 0));
    stage_event(s, event);
    expect_changes(s, "message_states", "{'state':'failed','error_code':'131047','reason':'late'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'delivered'}", 1);
    expect_changes(s, "handlings", "{'contact_id':null}", 0);
}

/* After a restore from a backup, and beside another installation on the same account, our number is given to two
 * messages. A row: who is named, through which source, and what becomes of the message that has the number here. */
static void our_number_is_believed_of_the_person_it_went_to(void **state)
{
    static const struct {
        const char *to, *status, *state;
    } rows[] = {
        { "15550100", "'contact':{'identities':['whatsapp:15550100','phone:15550100']}", "failed" },
        { "15550100", "'contact':{'identities':['whatsapp:US.9','whatsapp:15550100','phone:15550100']}", "failed" },
        /* A handle of theirs that the message did not go to. */
        { "15550100", "'contact':{'identities':['telegram:7']}", "failed" },
        { "15550100", "'contact':{'identities':['whatsapp:15550199','phone:15550199']}", "sent" },
        { "15550100", "'contact':{'identities':['whatsapp:US.9']}", "sent" },
        { "15550100", "'key':'nobody is named'", "failed" },
        { "15550100", "'source':'whatsapp_two','provider':'whatsapp','contact':{'identities':['whatsapp:15550100']}",
          "sent" },
        /* Meta writes numbers of these countries in two ways. */
        { "5511987654321", "'contact':{'identities':['whatsapp:551187654321']}", "failed" },
        { "551187654321", "'contact':{'identities':['whatsapp:5511987654321']}", "failed" },
        { "525512345678", "'contact':{'identities':['whatsapp:5215512345678']}", "failed" },
        { "5491123456789", "'contact':{'identities':['whatsapp:541123456789']}", "failed" },
        { "5511987654321", "'contact':{'identities':['whatsapp:5511887654321']}", "sent" },
        { "5511987654321", "'contact':{'identities':['whatsapp:552187654321']}", "sent" },
        { "4915112345678", "'contact':{'identities':['whatsapp:491511234567']}", "sent" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (i > 0) {
            stage_tear_down(state);
            stage_set_up(state);
        }
        struct stage *s = *state;
        json_put(s->sources, "whatsapp_two", json_of("{'kind':'whatsapp','provider':'whatsapp','sends':true}"));
        stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'}]");
        char text[600];
        snprintf(text, sizeof(text), "whatsapp:%s", rows[i].to);
        stage_message(s, text, "hello");
        snprintf(text, sizeof(text),
                 "{'type':'order.completed','source':'stripe','contact':{'identities':['whatsapp:%s','telegram:7']}}",
                 rows[i].to);
        stage_event(s, text);
        snprintf(text, sizeof(text),
                 "{'type':'message.status',%s,'status':{'message_id':'strange','state':'failed','echo':'%lld','error':"
                 "{'code':'131026','title':'not on WhatsApp'}}}",
                 rows[i].status, (long long)json_int(json_array_get(s->sent, 0), "id", 0));
        stage_event(s, text);
        bool is_theirs = strcmp(rows[i].state, "failed") == 0;
        snprintf(text, sizeof(text), "{'direction':'out','state':'%s'}", rows[i].state);
        expect_rows(s, ROWS_MESSAGE, text, 1);
        expect_rows(s, ROWS_ADDRESS, "{'source':'whatsapp','unreachable_at':null}", is_theirs ? 0 : 1);
        /* Of a message that is not known it is kept, by nothing but the provider's id. */
        expect_changes(s, "message_states", "{'provider_message_id':'strange','id':null,'delivery_id':null}",
                       is_theirs ? 0 : 1);
        expect_changes(s, "traces", "{'rule':'answerd.status','effects':[{'do':'status'}]}", is_theirs ? 0 : 1);
        /* Nor does the person become the owner of a stranger's handle. */
        expect_rows(s, ROWS_IDENTITY, "{'identity':'whatsapp:15550199'}", 0);
        expect_rows(s, ROWS_CONTACT, "{}", 1);
    }
}

/* The provider's own id comes first, whatever number of ours the status carries. */
static void a_number_of_another_message_does_not_hide_the_id(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'}]");
    stage_message(s, "whatsapp:1", "hello");
    long long number = (long long)json_int(json_array_get(s->sent, 0), "id", 0);
    stage_message(s, "whatsapp:2", "hello");
    long long id =
        (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out','identity':'whatsapp:2'}"), "id", 0);
    char event[400];
    snprintf(
        event, sizeof(event),
        "{'type':'message.status','contact':{'identities':['whatsapp:2']},'status':{'message_id':'out-%lld','state':"
        "'read','echo':'%lld'}}",
        id, number);
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'identity':'whatsapp:2','state':'read'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'identity':'whatsapp:1','state':'sent'}", 1);
    /* What a customer wrote has no ledger. */
    snprintf(event, sizeof(event),
             "{'type':'message.status','contact':{'identities':['whatsapp:2']},'status':{'message_id':'%s','state':'"
             "failed'}}",
             json_str(find_row(s, ROWS_MESSAGE, "{'direction':'in','identity':'whatsapp:2'}"), "provider_message_id"));
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'in','state':'received'}", 2);
}

/* It is for rules: the ledger moved when the delivery ended, and by now the message may have been tried again. */
static void what_we_said_ourselves_moves_no_message(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'}]");
    stage_rule(s, "watch", "message.status", "[{'do':'tag','conversation':'@','tag':'seen'}]");
    stage_message(s, "whatsapp:1", "hello");
    char event[400];
    snprintf(event, sizeof(event),
             "{'type':'message.status','provider':'answerd','status':{'state':'failed','echo':'%lld','error':{'code':"
             "'131026','title':'nobody'}}}",
             (long long)json_int(json_array_get(s->sent, 0), "id", 0));
    stage_event(s, event);
    expect_changes(s, "message_states", "{}", 0);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['seen']}", 1);
}

/* Telegram numbers the messages of each chat. */
static void an_edit_is_of_the_editors_own_message(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:1']},'message':{'"
                   "id':'7','kind':'text','text':'mine'}}");
    stage_event(s, "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:2']},'message':{'"
                   "id':'7','kind':'text','text':'yours'}}");
    stage_event(s, "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:2']},'message':{'"
                   "id':'7','kind':'text','text':'yours, edited'}}");
    stage_event(s, "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'"
                   "id':'7','kind':'text','text':'mine, edited'}}");
    stage_event(
        s,
        "{'type':'message.deleted','source':'telegram','contact':{'identities':['telegram:2']},'message':{'id':'7'}}");
    expect_rows(s, ROWS_MESSAGE, "{'identity':'telegram:1','text':'mine, edited','deleted_at':null}", 1);
    expect_rows(s, ROWS_MESSAGE,
                "{'identity':'telegram:2','text':'yours, edited','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
}

/* An edit that came before its original is a message of its own: who withdraws it withdraws both. */
static void a_deletion_is_of_all_that_was_said_by_that_id(void **state)
{
    struct stage *s = *state;
    const char *const who = "'source':'whatsapp','contact':{'identities':['whatsapp:1']}";
    static const struct {
        const char *type, *message;
    } events[] = { { "message.edited", "'id':'w1','kind':'text','text':'edited'" },
                   { "message.received", "'id':'w1','kind':'text','text':'original'" },
                   { "message.received", "'id':'w2','kind':'text','text':'another'" },
                   { "message.deleted", "'id':'w1'" } };
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        char text[300];
        snprintf(text, sizeof(text), "{'type':'%s',%s,'message':{%s}}", events[i].type, who, events[i].message);
        stage_event(s, text);
    }
    expect_rows(s, ROWS_MESSAGE, "{'text':'edited','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'text':'original','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'text':'another','deleted_at':null}", 1);
}

/* One person, three chats with a message 7 in each. A row: where the edit comes from, and what it changes. */
static void an_edit_is_of_a_message_in_the_same_chat(void **state)
{
    struct stage *s = *state;
    static const char *const chats[] = { "", ",'chat':'-100'", ",'business_connection':'b'" };
    static const char *const names[] = { "private", "group", "business" };
    char text[400];
    for (size_t i = 0; i < 3; i++) {
        snprintf(
            text, sizeof(text),
            "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':"
            "'7','kind':'text','text':'%s'%s}}",
            names[i], chats[i]);
        stage_event(s, text);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof(text),
                 "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':"
                 "'7','kind':'text','text':'edited %s'%s}}",
                 names[i], chats[i]);
        stage_event(s, text);
        snprintf(text, sizeof(text), "{'text':'edited %s','content':{'edits':[{'text':'%s'}]}}", names[i], names[i]);
        expect_rows(s, ROWS_MESSAGE, text, 1);
    }
    stage_event(
        s, "{'type':'message.deleted','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':'7',"
           "'business_connection':'b'}}");
    expect_rows(s, ROWS_MESSAGE, "{'text':'edited business','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'deleted_at':null}", 2);
    /* A chat of which we know no such message. */
    stage_event(
        s, "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':'7',"
           "'kind':'text','text':'elsewhere','chat':'-200'}}");
    expect_rows(s, ROWS_MESSAGE, "{'text':'elsewhere'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{}", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_status_finds_its_message_by_id_or_echo),
        T(our_number_is_believed_of_the_person_it_went_to),
        T(a_number_of_another_message_does_not_hide_the_id),
        T(what_we_said_ourselves_moves_no_message),
        T(an_edit_is_of_the_editors_own_message),
        T(a_deletion_is_of_all_that_was_said_by_that_id),
        T(an_edit_is_of_a_message_in_the_same_chat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
