#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/ledger.h"

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support'}"

static void inbound_messages_keep_what_the_provider_sent(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','occurred_at':'2026-01-05T11:59:00.000Z','contact':{'identities':['"
                   "whatsapp:1'],'recipient':'1'},"
                   "'message':{'id':'wamid.1','kind':'image','text':'look','reply_to':'wamid.0','media':{'id':'55','"
                   "mime_type':'image/jpeg'},'forwarded':true}}");
    expect_rows(s, ROWS_MESSAGE,
                "{'kind':'image','text':'look','provider_message_id':'wamid.1','reply_to':'wamid.0',"
                "'occurred_at':'2026-01-05T11:59:00.000Z','source':'whatsapp','identity':'whatsapp:1',"
                "'content':{'media':{'id':'55','mime_type':'image/jpeg'},'forwarded':true}}",
                1);
    expect_rows(s, ROWS_ADDRESS, "{'last_inbound_at':'2026-01-05T11:59:00.000Z'}", 1);
    /* Out of order: the window is counted from the newest. A clock that is ahead does not open it longer. */
    stage_event(s, "{'type':'message.received','occurred_at':'2026-01-05T11:00:00.000Z','contact':{'identities':['"
                   "whatsapp:1'],'recipient':'1'},'message':{'id':'b','kind':'text'}}");
    expect_rows(s, ROWS_ADDRESS, "{'last_inbound_at':'2026-01-05T11:59:00.000Z'}", 1);
    stage_event(s, "{'type':'message.received','occurred_at':'2026-01-05T18:00:00.000Z','contact':{'identities':['"
                   "whatsapp:1'],'recipient':'1'},'message':{'id':'c','kind':'text'}}");
    expect_rows(s, ROWS_ADDRESS, "{'last_inbound_at':'2026-01-05T12:00:00.000Z'}", 1);
}

/* Each channel has its own ids: a quote is left out where its message is not. */
static void a_quote_stays_on_its_channel(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','source':'telegram','provider':'telegram','contact':{'identities':['"
                   "telegram:2','phone:1'],'recipient':'2'},'message':{'id':'7','kind':'text'}}");
    stage_rule(
        s, "quotes", "message.received",
        "[" OPEN ",{'do':'send','conversation':'#1','text':'here','reply_to':'w1','channel':'whatsapp'},"
        "{'do':'send','conversation':'#1','text':'elsewhere','reply_to':'w1','channel':'telegram'},"
        "{'do':'send','conversation':'#1','text':'not told','reply_to':'7','channel':'telegram'},"
        "{'do':'send','conversation':'#1','text':'told','reply_to':'7','quoted_on':'telegram','channel':'telegram'},"
        "{'do':'send','conversation':'#1','text':'told, elsewhere','reply_to':'7','quoted_on':'telegram','channel':"
        "'whatsapp'}]");
    stage_event(s, "{'type':'message.received','source':'whatsapp','provider':'whatsapp','contact':{'identities':['"
                   "whatsapp:1'],'recipient':'1'},'message':{'id':'w1','kind':'text','text':'hello'}}");
    expect_changes(s, "messages", "{'text':'here','source':'whatsapp','reply_to':'w1'}", 1);
    expect_changes(s, "messages", "{'text':'elsewhere','source':'telegram','reply_to':null}", 1);
    expect_changes(s, "messages", "{'text':'not told','source':'telegram','reply_to':'7'}", 1);
    expect_changes(s, "messages", "{'text':'told','source':'telegram','reply_to':'7'}", 1);
    expect_changes(s, "messages", "{'text':'told, elsewhere','source':'whatsapp','reply_to':null}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'elsewhere','reply_to':'w1'}}}", 0);
}

static void sends_are_queued_with_their_delivery(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received",
               "[" OPEN ",{'do':'send','conversation':'#1','text':'hi','buttons':[{'id':'y','text':'Yes'}],"
               "'on_unknown':'resend','reply_to':'in-1'}]");
    stage_message(s, "whatsapp:1", "hello");
    const json_t *message = find_row(s, ROWS_MESSAGE, "{'direction':'out'}");
    expect_changes(
        s, "messages",
        "{'kind':'text','text':'hi','state':'queued','author':'rule:inbox','source':'whatsapp','identity':'whatsapp:1',"
        "'queued_at':'2026-01-05T12:00:00.000Z'}",
        1);
    expect_changes(s, "deliveries",
                   "{'kind':'message','recipient':'whatsapp "
                   "whatsapp:1','state':'queued','rule':'inbox','due_at':'2026-01-05T12:00:00.000Z',"
                   "'request':{'to':{'recipient':'1','identity':'whatsapp:1'},'free':{'text':'hi','buttons':[{'id':'y',"
                   "'text':'Yes'}],'reply_to':'in-1'},"
                   "'approved':null,'on_unknown':'resend'}}",
                   1);
    const json_t *delivery = json_array_get(s->sent, 0);
    assert_int_equal(json_int(delivery, "message_id", 0), json_int(message, "id", 1));
    assert_int_equal(json_int(json_object_at(delivery, "request"), "echo", 0), json_int(delivery, "id", 1));
}

static void statuses_move_the_ledger_by_precedence(void **state)
{
    (void)state;
    static const struct {
        const char *now, *arriving, *then;
    } rows[] = {
        { "queued", "sent", "sent" },           { "sent", "delivered", "delivered" },
        { "delivered", "read", "read" },        { "read", "delivered", "read" },
        { "delivered", "sent", "delivered" },   { "sent", "failed", "failed" },
        { "failed", "sent", "failed" },         { "failed", "delivered", "delivered" },
        { "delivered", "failed", "delivered" }, { "unknown", "sent", "sent" },
        { "unknown", "failed", "failed" },      { "read", "failed", "read" },
        { "delivered", "played", "read" },      { "sent", "nonsense", "sent" },
        { "sent", "queued", "sent" },           { "failed", "read", "read" },
        { "sending", "unknown", "unknown" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(ledger_merge(rows[i].now, rows[i].arriving), rows[i].then);
}

/* Whatever the order in which they come, the outcome is the same. */
static void the_order_of_statuses_does_not_matter(void **state)
{
    (void)state;
    static const char *const arriving[] = { "sent", "delivered", "read", "failed" };
    static const char *const at[] = { "2026-01-05T12:00:01.000Z", "2026-01-05T12:00:02.000Z",
                                      "2026-01-05T12:00:03.000Z", "2026-01-05T12:00:04.000Z" };
    for (int permutation = 0; permutation < 24; permutation++) {
        int order[4] = { 0, 1, 2, 3 }, rest = permutation;
        for (int i = 3; i > 0; i--) {
            int other = rest % (i + 1), kept = order[i];
            rest /= i + 1;
            order[i] = order[other];
            order[other] = kept;
        }
        json_t *message = json_of("{'state':'queued'}");
        for (int i = 0; i < 4; i++) {
            msec_t time;
            assert_true(clock_parse_iso(bytes_of(at[order[i]]), &time));
            ledger_apply(message, arriving[order[i]], time, "1", "no");
        }
        json_t *wanted = json_of("{'state':'read','error_code':null,'sent_at':'2026-01-05T12:00:01.000Z','read_at':'"
                                 "2026-01-05T12:00:03.000Z'}");
        assert_true(json_covers(wanted, message));
        json_decref(wanted);
        json_decref(message);
    }
}

/* Messenger names no messages: everything until a time was read. */
static void a_status_without_a_message_is_about_all_until_then(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'}]");
    stage_message(s, "telegram:7", "one");
    stage_message(s, "telegram:8", "somebody else");
    s->now += HOUR;
    stage_message(s, "telegram:7", "two");
    s->now += HOUR;
    stage_event(s, "{'type':'message.status','source':'telegram','contact':{'identities':['telegram:7']},"
                   "'status':{'state':'read','up_to':'2026-01-05T12:30:00.000Z'}}");
    expect_changes(s, "message_states",
                   "{'source':'telegram','identity':'telegram:7','state':'read','up_to':'2026-01-05T12:30:00.000Z',"
                   "'at':'2026-01-05T14:00:00.000Z'}",
                   1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'read','read_at':'2026-01-05T14:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'sent'}", 2);
    stage_event(s, "{'type':'message.status','source':'telegram','contact':{'identities':['telegram:7']},"
                   "'status':{'state':'delivered','up_to':'2026-01-05T14:00:00.000Z'}}");
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'delivered'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'read'}", 1);
    /* That something failed is never said of everything. */
    stage_event(s, "{'type':'message.status','source':'telegram','contact':{'identities':['telegram:7']},"
                   "'status':{'state':'failed','up_to':'2026-01-05T14:00:00.000Z'}}");
    expect_changes(s, "message_states", "{}", 0);
}

static void edits_and_deletions_are_kept(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:1']},'message':{'"
                   "id':'7','kind':'text','text':'helo'}}");
    stage_event(s, "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'"
                   "id':'7','kind':'text','text':'hello'}}");
    expect_rows(s, ROWS_MESSAGE,
                "{'text':'hello','edited_at':'2026-01-05T12:00:00.000Z','content':{'edits':[{'text':'helo'}]}}", 1);
    expect_changes(s, "message_edits", "{'text':'hello'}", 1);
    stage_event(
        s,
        "{'type':'message.deleted','source':'telegram','contact':{'identities':['telegram:1']},'message':{'id':'7'}}");
    expect_rows(s, ROWS_MESSAGE, "{'text':'hello','deleted_at':'2026-01-05T12:00:00.000Z'}", 1);
    /* An edit of what we never saw is a message. */
    stage_event(s, "{'type':'message.edited','source':'telegram','contact':{'identities':['telegram:1']},'message':{'"
                   "id':'8','kind':'text','text':'new'}}");
    expect_rows(s, ROWS_MESSAGE, "{'provider_message_id':'8','text':'new','edited_at':'2026-01-05T12:00:00.000Z'}", 1);
}

static void reactions_wake_nobody_and_open_no_window(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "sleep", "custom.sleep", "[{'do':'snooze','conversation':'@','for_ms':7200000}]");
    stage_message(s, "whatsapp:1", "hello");
    stage_event(s, "{'type':'custom.sleep','source':'desk','contact':{'identities':['whatsapp:1']}}");
    s->now += HOUR;
    stage_event(s, "{'type':'message.reaction','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':"
                   "'r1','kind':'reaction','emoji':'+','reply_to':'in-1'}}");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'snoozed'}", 1);
    expect_rows(s, ROWS_ADDRESS, "{'last_inbound_at':'2026-01-05T12:00:00.000Z'}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'kind':'reaction','text':'+','reply_to':'in-1'}", 1);
}

static void what_was_sent_with_another_tool_is_in_the_history(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_message(s, "whatsapp:1", "hello");
    stage_event(s, "{'type':'message.sent_elsewhere','contact':{'identities':['whatsapp:1']},'message':{'id':'e1','"
                   "kind':'text','text':'from my phone'}}");
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'sent','author':'agent:elsewhere','text':'from my phone'}",
                1);
    expect_rows(s, ROWS_CONVERSATION,
                "{'first_reply_at':'2026-01-05T12:00:00.000Z','last_outbound_at':'2026-01-05T12:00:00.000Z'}", 1);
}

static void the_echo_of_our_own_message_is_nobodys_answer(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received",
               "[" OPEN ",{'do':'send','conversation':'#1','text':'hi'},"
               "{'do':'after','conversation':'#1','delay_ms':3600000,'name':'nudge','unless':['reply']}]");
    stage_rule(s, "elsewhere", "message.sent_elsewhere", "[]");
    stage_message(s, "whatsapp:1", "hello");
    static const char *const echo = "{'type':'message.sent_elsewhere','contact':{'identities':['whatsapp:1']},"
                                    "'message':{'id':'%s','kind':'text','text':'echo'%s}}";
    const char *id = json_str(find_row(s, ROWS_MESSAGE, "{'direction':'out'}"), "provider_message_id");
    char event[500];
    snprintf(event, sizeof(event), echo, id, "");
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'first_reply_at':null}", 1);
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 1);
    assert_int_equal(stage_runs(s, "elsewhere"), 0);

    /* The chats of a business account number their messages on their own. */
    snprintf(event, sizeof(event), echo, id, ",'business_connection':'b'");
    stage_event(s, event);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','author':'agent:elsewhere'}", 1);
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 0);
    assert_int_equal(stage_runs(s, "elsewhere"), 1);
}

/* A row: the contact's preference and what is known; the source that a message of ours takes. */
static void the_channel_is_chosen_like_a_person_would(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "write", "custom.write",
               "[{'do':'open_conversation','handle':'#1','topic':'news'},{'do':'send','conversation':'#1','text':'x'},{"
               "'do':'resolve','conversation':'#1'}]");
    stage_rule(s, "prefer", "custom.prefer", "[{'do':'prefer','channel':'telegram'}]");
    static const char *const write = "{'type':'custom.write','source':'desk','contact':{'identities':['email:a@b.c']}}";
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':"
                   "'1','kind':'text'}}");
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['whatsapp:1','email:a@b.c','"
                   "telegram:9']}}");
    stage_event(s, write);
    expect_changes(s, "deliveries", "{'source':'whatsapp'}", 1); /* wrote last there */
    stage_event(s, "{'type':'custom.prefer','source':'desk','contact':{'identities':['email:a@b.c']}}");
    stage_event(s, write);
    expect_changes(s, "deliveries", "{'source':'telegram','request':{'to':{'recipient':'9','identity':'telegram:9'}}}",
                   1);
    stage_event(
        s,
        "{'type':'contact.opted_out','source':'telegram','topic':'channel','contact':{'identities':['telegram:9']}}");
    stage_event(s, write);
    expect_changes(s, "deliveries", "{'source':'whatsapp'}", 1); /* blocked there */
}

static void nobody_to_write_to_is_a_refusal(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "write", "custom.write",
               "[{'do':'open_conversation','handle':'#1','topic':'news'},{'do':'send','conversation':'#1','text':'x'},{"
               "'do':'tag','conversation':'#1','tag':'t'}]");
    stage_event(s, "{'type':'custom.write','source':'desk','contact':{'identities':['email:a@b.c']}}");
    expect_changes(s, "deliveries", "{}", 0);
    expect_changes(s, "traces", "{'rule':'write','verdict':'ran'}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'tags':['t']}", 1);
    /* A number that was never seen on WhatsApp gets no free text there. */
    stage_event(s, "{'type':'custom.write','source':'desk','contact':{'identities':['email:a@b.c','phone:4411']}}");
    expect_changes(s, "deliveries", "{}", 0);
}

/* Who never wrote to us: which identities are an address, and of which source, for a template with or without a form
 * that WhatsApp approved. */
static void people_known_from_elsewhere_are_reached_by_template(void **state)
{
    static const struct {
        const char *identities, *template, *source, *identity;
    } cases[] = {
        { "'whatsapp:4411'", "approved", "whatsapp", "whatsapp:4411" },
        { "'whatsapp:US.1'", "approved", "whatsapp", "whatsapp:US.1" },
        { "'phone:4411'", "approved", "whatsapp", "whatsapp:4411" },
        { "'phone:4411'", "plain", NULL, NULL },
        { "'telegram:42'", "plain", "telegram", "telegram:42" },
        { "'phone:4411','telegram:42'", "plain", "telegram", "telegram:42" },
        /* A handle is certain, a number is a guess. */
        { "'phone:4411','telegram:42'", "approved", "telegram", "telegram:42" },
        { "'phone:4411','whatsapp:4422'", "approved", "whatsapp", "whatsapp:4422" },
        { "'email:a@b.c','stripe:cus_1'", "approved", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        stage_declare(s, "template", "plain", "{'languages':{'en':{'text':'Hi'}},'variables':[]}");
        stage_declare(s, "template", "approved",
                      "{'languages':{'en':{'text':'Hi'}},'variables':[],'whatsapp':{'name':'hi_v1'}}");
        char effects[256], event[256], wanted[256];
        snprintf(effects, sizeof(effects),
                 "[{'do':'outreach','topic':'t','goal':'custom.done','steps':[{'after_ms':0,'template':'%s'}]}]",
                 cases[i].template);
        stage_rule(s, "reach", "payment.failed", effects);
        snprintf(event, sizeof(event), "{'type':'payment.failed','source':'stripe','contact':{'identities':[%s]}}",
                 cases[i].identities);
        stage_event(s, event);
        snprintf(wanted, sizeof(wanted), "{'source':'%s','identity':'%s','request':{'to':{'identity':'%s'}}}",
                 cases[i].source ? cases[i].source : "", cases[i].identity ? cases[i].identity : "",
                 cases[i].identity ? cases[i].identity : "");
        expect_changes(s, "deliveries", "{}", cases[i].source ? 1 : 0);
        expect_changes(s, "deliveries", wanted, cases[i].source ? 1 : 0);
        bool is_approved = cases[i].source && strcmp(cases[i].source, "whatsapp") == 0;
        expect_changes(s, "deliveries", "{'request':{'approved':{'name':'hi_v1'}}}", is_approved ? 1 : 0);
    }
}

static void a_guessed_number_is_used_until_it_proves_wrong(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "template", "hi", "{'languages':{'en':{'text':'Hi'}},'variables':[],'whatsapp':{'name':'hi_v1'}}");
    stage_rule(s, "reach", "custom.reach", "[" OPEN ",{'do':'send','conversation':'#1','template':'hi'}]");
    stage_rule(s, "talk", "custom.talk", "[" OPEN ",{'do':'send','conversation':'#1','text':'free'}]");
    stage_event(s, "{'type':'custom.reach','source':'desk','contact':{'identities':['phone:4411','phone:4422']}}");
    expect_changes(s, "deliveries", "{'identity':'whatsapp:4411'}", 1);
    /* The address is there now, and free text is still not for it. */
    stage_event(s, "{'type':'custom.talk','source':'desk','contact':{'identities':['phone:4411']}}");
    expect_changes(s, "deliveries", "{}", 0);
    json_t *address = find_row(s, ROWS_ADDRESS, "{'identity':'whatsapp:4411'}");
    json_put_str(address, "unreachable_at", "2026-01-05T12:00:00.000Z");
    stage_event(s, "{'type':'custom.reach','source':'desk','contact':{'identities':['phone:4411']}}");
    expect_changes(s, "deliveries", "{'identity':'whatsapp:4422'}", 1);
    /* Whoever answers has a proven number. */
    stage_event(s,
                "{'type':'message.received','contact':{'identities':['whatsapp:4422','phone:4422'],'recipient':'4422'"
                "},'message':{'id':'m1','kind':'text','text':'hi'}}");
    stage_event(s, "{'type':'custom.talk','source':'desk','contact':{'identities':['phone:4422']}}");
    expect_changes(s, "deliveries", "{'identity':'whatsapp:4422','request':{'free':{'text':'free'}}}", 1);
    expect_rows(s, ROWS_CONTACT, "{}", 1);
}

static void who_opted_out_gets_nothing_but_the_confirmation(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "template", "news", "{'languages':{'en':{'text':'News'}},'topic':'news','variables':[]}");
    stage_rule(s, "stop", "custom.stop",
               "[{'do':'opt_out','topic':'all'},{'do':'send','conversation':'@','text':'bye'}]");
    stage_rule(s, "mute", "custom.mute", "[{'do':'opt_out','topic':'news'}]");
    stage_rule(s, "start", "custom.start", "[{'do':'opt_in','topic':'all'}]");
    stage_rule(s, "news", "custom.news", "[{'do':'send','conversation':'@','template':'news'}]");
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'send','conversation':'#1','text':'reply'}]");
    stage_message(s, "whatsapp:1", "hi");
    static const struct {
        const char *what;
        int deliveries;
    } rows[] = {
        { "news", 1 }, { "mute", 0 }, { "news", 0 }, { "start", 0 },
        { "news", 1 }, { "stop", 1 }, { "news", 0 }, { "stop", 1 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{'type':'custom.%s','source':'desk','contact':{'identities':['whatsapp:1']}}",
                 rows[i].what);
        stage_event(s, text);
        expect_changes(s, "deliveries", "{}", rows[i].deliveries);
        if (strcmp(rows[i].what, "mute") == 0) { /* an answer to a question stays allowed */
            stage_message(s, "whatsapp:1", "question");
            expect_changes(s, "deliveries", "{}", 1);
        }
    }
    expect_changes(s, "deliveries", "{'request':{'confirms_opt_out':true}}", 1);
    stage_message(s, "whatsapp:1", "question");
    expect_changes(s, "deliveries", "{}", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(inbound_messages_keep_what_the_provider_sent),
        T(a_quote_stays_on_its_channel),
        T(sends_are_queued_with_their_delivery),
        cmocka_unit_test(statuses_move_the_ledger_by_precedence),
        cmocka_unit_test(the_order_of_statuses_does_not_matter),
        T(a_status_without_a_message_is_about_all_until_then),
        T(edits_and_deletions_are_kept),
        T(reactions_wake_nobody_and_open_no_window),
        T(what_was_sent_with_another_tool_is_in_the_history),
        T(the_echo_of_our_own_message_is_nobodys_answer),
        T(the_channel_is_chosen_like_a_person_would),
        T(nobody_to_write_to_is_a_refusal),
        T(people_known_from_elsewhere_are_reached_by_template),
        T(a_guessed_number_is_used_until_it_proves_wrong),
        T(who_opted_out_gets_nothing_but_the_confirmation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
