#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)

static void a_first_message_makes_a_contact_with_an_address(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:15550100',"
                   "'phone:15550100'],'name':'Ada','language':'en','username':'ada','recipient':'US.1'},"
                   "'message':{'id':'m1','kind':'text','text':'hi'}}");
    expect_rows(s, ROWS_CONTACT, "{'name':'Ada','language':'en','attributes':{'whatsapp_username':'ada'}}", 1);
    expect_rows(s, ROWS_IDENTITY, "{'proven_by':'whatsapp'}", 3);
    expect_rows(s, ROWS_ADDRESS,
                "{'source':'whatsapp','identity':'whatsapp:US.1','recipient':'US.1',"
                "'last_inbound_at':'2026-01-05T12:00:00.000Z'}",
                1);
    expect_changes(s, "events", "{'type':'contact.created','source':'answerd','cause':{'depth':1}}", 1);
    expect_changes(s, "handlings", "{'rule_set':'test'}", 2);
}

/* In one batch, where the desk remembers whom the event before was from. */
static void a_sender_is_looked_for_again_when_anything_is_different(void **state)
{
    struct stage *s = *state;
#define FROM(identities) "'contact':{'identities':[" identities "],'recipient':'1'}"
#define SAYS(text) "'message':{'kind':'text','text':'" text "'}}"
    static const char *const events[] = {
        "{'type':'message.received'," FROM("'whatsapp:US.1'") "," SAYS("one"),
        "{'type':'message.received'," FROM("'whatsapp:US.2'") "," SAYS("two"),
        "{'type':'message.received'," FROM("'whatsapp:US.2'") "," SAYS("two again"),
        "{'type':'message.received'," FROM("'whatsapp:US.2'") "," SAYS("and again"),
        "{'type':'message.received'," FROM("'whatsapp:US.3'") "," SAYS("three"),
        "{'type':'message.received'," FROM("'whatsapp:US.3'") "," SAYS("three again"),
        "{'type':'message.received','source':'telegram'," FROM("'whatsapp:US.3'") "," SAYS("from elsewhere"),
        "{'type':'message.received'," FROM("'whatsapp:US.2'") "," SAYS("two before"),
        "{'type':'message.received'," FROM("'whatsapp:US.2','whatsapp:US.1'") "," SAYS("one and two"),
        "{'type':'message.received'," FROM("'whatsapp:US.2'") "," SAYS("two after"),
    };
    stage_batch(s, events, sizeof(events) / sizeof(events[0]));
    expect_rows(s, ROWS_CONTACT, "{}", 3);
    const int64_t one = json_int(find_row(s, ROWS_MESSAGE, "{'text':'one'}"), "contact_id", 0);
    static const char *const of_one[] = { "two", "two again", "and again", "two before", "one and two", "two after" };
    for (size_t i = 0; i < sizeof(of_one) / sizeof(of_one[0]); i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "{'text':'%s'}", of_one[i]);
        assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, wanted), "contact_id", 0), one);
    }
    const json_t *last = json_array_get(json_array_at(s->changes, "handlings"), sizeof(events) / sizeof(events[0]) - 1);
    assert_int_equal(json_int(last, "contact_id", 0), one); /* not who they were before the two were one */
    const int64_t three = json_int(find_row(s, ROWS_MESSAGE, "{'text':'three'}"), "contact_id", 0);
    assert_int_not_equal(three, one);
    assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, "{'text':'three again'}"), "contact_id", 0), three);
}

/* A row: who is known, who the event names, and how many contacts there are then. */
static void people_are_found_by_any_handle(void **state)
{
    struct stage *s = *state;
    static const struct {
        const char *event;
        int contacts;
    } rows[] = {
        { "{'type':'message.received','contact':{'identities':['whatsapp:15550100','phone:15550100']}}", 1 },
        /* Stripe knows the phone number of the WhatsApp user. */
        { "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:cus_1','phone:15550100',"
          "'email:ada@example.com']}}",
          1 },
        { "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_1']}}", 1 },
        { "{'type':'webhook.desk','source':'desk','contact':{'identities':['email:ada@example.com']}}", 1 },
        { "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:cus_2','email:b@example.com']}}",
          2 },
        /* Metadata that names the chat: attached, for nobody has it. */
        { "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_2','telegram:42']}}", 2 },
        { "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:42']}}", 2 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        stage_event(s, rows[i].event);
        expect_rows(s, ROWS_CONTACT, "{}", rows[i].contacts);
    }
    /* What Stripe only passed on, Telegram has proved since. */
    expect_rows(s, ROWS_IDENTITY, "{'identity':'telegram:42','proven_by':'telegram'}", 1);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'phone:15550100','proven_by':'whatsapp'}", 1);
}

static void a_phone_number_finds_a_whatsapp_user_known_without_one(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['whatsapp:4412345']}}");
    stage_event(
        s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:cus_9','phone:4412345']}}");
    expect_rows(s, ROWS_CONTACT, "{}", 1);
}

#define WHATSAPP_SAYS(number, name)                                                                                    \
    "{'type':'message.received','contact':{'identities':['whatsapp:" number "','phone:" number "'],'name':'" name      \
    "'},'message':{'id':'w" number "','kind':'text','text':'hi'}}"

/* Grace wrote on Telegram and typed Ada's number into a checkout. */
static void grace_claims_a_number(struct stage *s)
{
    stage_message(s, "telegram:7", "hello");
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_g','telegram:7',"
                   "'phone:15550100'],'name':'Grace'}}");
    expect_rows(s, ROWS_CONTACT, "{}", 1);
}

static void a_typed_number_does_not_make_two_people_one(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "write", "payment.failed",
               "[{'do':'open_conversation','handle':'#1','topic':'billing'},"
               "{'do':'send','conversation':'#1','text':'about your payment'}]");
    grace_claims_a_number(s);
    int64_t grace = json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0);
    s->now += HOUR;
    stage_event(s, WHATSAPP_SAYS("15550100", "Ada"));
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    expect_rows(s, ROWS_CONTACT, "{'name':'Ada'}", 1);
    const json_t *phone = find_row(s, ROWS_IDENTITY, "{'identity':'phone:15550100','proven_by':'whatsapp'}");
    assert_int_not_equal(json_int(phone, "contact_id", grace), grace);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'whatsapp:15550100','proven_by':'whatsapp'}", 1);
    expect_changes(s, "traces",
                   "{'rule':'answerd.identity','effects':[{'do':'take_over','identity':'phone:15550100'}]}", 1);
    expect_changes(s, "events", "{'type':'contact.merged'}", 0);
    /* Ada's window is open. What is Grace's still does not reach her. */
    stage_event(s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:cus_g',"
                   "'phone:15550100']},'payment':{'id':'p1'}}");
    expect_changes(s, "deliveries", "{'source':'telegram'}", 1);
    expect_changes(s, "deliveries", "{'source':'whatsapp'}", 0);
}

/* The order comes first, and Grace writes then: she is as much somebody apart from the number that she typed. */
static void who_writes_after_the_order_proves_the_handle_that_it_named(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_g','telegram:7',"
                   "'phone:15550100'],'name':'Grace'}}");
    expect_rows(s, ROWS_IDENTITY, "{'identity':'telegram:7','proven_by':'stripe'}", 1);
    stage_message(s, "telegram:7", "hello");
    expect_rows(s, ROWS_IDENTITY, "{'identity':'telegram:7','proven_by':'telegram'}", 1);
    int64_t grace = json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0);
    stage_event(s, WHATSAPP_SAYS("15550100", "Ada"));
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    const json_t *phone = find_row(s, ROWS_IDENTITY, "{'identity':'phone:15550100','proven_by':'whatsapp'}");
    assert_int_not_equal(json_int(phone, "contact_id", grace), grace);
    const json_t *chat = find_row(s, ROWS_IDENTITY, "{'identity':'telegram:7'}");
    assert_int_equal(json_int(chat, "contact_id", 0), grace);
}

/* A second bot of the same provider proves nothing that is not proven. */
static void what_is_proven_stays_as_it_was_proven(void **state)
{
    struct stage *s = *state;
    json_put(s->sources, "telegram_two",
             json_of("{'kind':'telegram','provider':'telegram','sends':true,'window_ms':0}"));
    stage_message(s, "telegram:7", "hello");
    stage_event(s, "{'type':'message.received','source':'telegram_two','provider':'telegram','contact':{'identities':"
                   "['telegram:7']},'message':{'id':'t2','kind':'text','text':'hi'}}");
    expect_rows(s, ROWS_IDENTITY, "{'identity':'telegram:7','proven_by':'telegram'}", 1);
}

static void a_number_that_was_written_to_for_somebody_else_is_its_owners(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "template", "due",
                  "{'languages':{'en':{'text':'due'}},'variables':[],'whatsapp':{'name':'due_v1','language':{'en':"
                  "'en_US'},'parameters':[]}}");
    stage_rule(s, "write", "payment.failed",
               "[{'do':'open_conversation','handle':'#1','topic':'billing','channel':'whatsapp'},"
               "{'do':'send','conversation':'#1','template':'due'}]");
    grace_claims_a_number(s);
    stage_event(s, "{'type':'payment.failed','source':'stripe','contact':{'identities':['stripe:cus_g']}}");
    expect_rows(s, ROWS_ADDRESS, "{'identity':'whatsapp:15550100'}", 1);
    s->now += HOUR;
    stage_event(s, WHATSAPP_SAYS("15550100", "Ada"));
    const json_t *address = find_row(s, ROWS_ADDRESS, "{'identity':'whatsapp:15550100'}");
    const json_t *ada = find_row(s, ROWS_CONTACT, "{'name':'Ada'}");
    assert_int_equal(json_int(address, "contact_id", 0), json_int(ada, "id", 1));
}

static void a_proven_person_keeps_what_whatsapp_says(void **state)
{
    struct stage *s = *state;
    grace_claims_a_number(s);
    stage_message(s, "whatsapp:US.1", "known by the name");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:15550100','phone:"
                   "15550100']},'message':{'id':'m9','kind':'text','text':'hi'}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    const json_t *phone = find_row(s, ROWS_IDENTITY, "{'identity':'phone:15550100'}");
    const json_t *name = find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.1'}");
    assert_int_equal(json_int(phone, "contact_id", 0), json_int(name, "contact_id", 1));
}

static void who_is_known_by_a_typed_number_alone_is_who_has_it(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_a',"
                   "'email:ada@example.com','phone:15550100'],'name':'Ada'}}");
    stage_event(s, WHATSAPP_SAYS("15550100", "ada"));
    expect_rows(s, ROWS_CONTACT, "{}", 1);
    expect_rows(s, ROWS_IDENTITY, "{}", 4);
}

/* A shared card of one's own, a rule's word and the API's are not what somebody typed. */
static void a_number_that_telegram_proved_is_no_claim(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:7',"
                   "'phone:15550100']},'message':{'id':'t1','kind':'contacts'}}");
    stage_event(s, WHATSAPP_SAYS("15550100", "Ada"));
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
}

static void statuses_make_nobody(void **state)
{
    struct stage *s = *state;
    stage_event(
        s,
        "{'type':'message.status','contact':{'identities':['whatsapp:1']},'status':{'message_id':'x','state':'sent'}}");
    expect_rows(s, ROWS_CONTACT, "{}", 0);
    expect_changes(s, "message_states", "{'source':'whatsapp','provider_message_id':'x','state':'sent'}", 1);
}

static void what_another_contact_owns_stays_there(void **state)
{
    struct stage *s = *state;
    stage_message(s, "telegram:1", "hi");
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:a','email:a@x.y']}}");
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:b','email:a@x.y']}}");
    /* stripe:b came with an address of the contact of stripe:a: the same person, found by it. */
    expect_rows(s, ROWS_CONTACT, "{}", 2);
    stage_event(s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:c','telegram:1','"
                   "email:a@x.y']}}");
    /* telegram:1 is stronger; the address stays with its owner, for Stripe does not vouch for either. */
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    const json_t *owner = find_row(s, ROWS_IDENTITY, "{'identity':'telegram:1'}");
    const json_t *stripe_c = find_row(s, ROWS_IDENTITY, "{'identity':'stripe:c'}");
    const json_t *email = find_row(s, ROWS_IDENTITY, "{'identity':'email:a@x.y'}");
    assert_int_equal(json_int(owner, "contact_id", 1), json_int(stripe_c, "contact_id", 2));
    assert_int_not_equal(json_int(owner, "contact_id", 1), json_int(email, "contact_id", 1));
}

/* Whoever types another's handle into a checkout does not become them. */
static void a_handle_that_is_passed_on_does_not_make_two_one(void **state)
{
    struct stage *s = *state;
    stage_message(s, "telegram:7", "I am Ada");
    stage_event(
        s, "{'type':'order.completed','source':'stripe','contact':{'identities':['stripe:cus_g'],'name':'Grace'}}");
    expect_rows(s, ROWS_CONTACT, "{}", 2);
    stage_event(s,
                "{'type':'order.completed','source':'stripe','contact':{'identities':['telegram:7','stripe:cus_g']}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    expect_changes(s, "events", "{'type':'contact.merged'}", 0);
}

static void of_who_was_erased_nothing_is_learned(void **state)
{
    struct stage *s = *state;
    stage_message(s, "telegram:7", "hello");
    json_t *contact = find_row(s, ROWS_CONTACT, "{}");
    json_put_time(contact, "erased_at", s->now);
    json_object_del(contact, "name");
    char event[300];
    snprintf(event, sizeof(event),
             "{'type':'custom.order','source':'api','provider':'answerd','contact_id':%lld,'contact':{'identities':"
             "['email:a@b.c'],'name':'Ada'}}",
             (long long)json_int(contact, "id", 0));
    stage_event(s, event);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'email:a@b.c'}", 0);
    expect_rows(s, ROWS_CONTACT, "{'name':'Ada'}", 0);
}

static void two_are_merged_when_their_provider_says_they_are_one(void **state)
{
    struct stage *s = *state;
    stage_rule(s, "inbox", "message.received", "[{'do':'open_conversation','handle':'#1','topic':'support'}]");
    stage_message(s, "whatsapp:15550100", "I am the number");
    int64_t older = json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0);
    s->now += HOUR;
    stage_message(s, "whatsapp:US.7", "I am the name");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    s->now += HOUR;
    stage_event(
        s, "{'type':'message.received','contact':{'identities':['whatsapp:US.7','whatsapp:15550100','phone:15550100'],"
           "'recipient':'US.7'},'message':{'id':'m3','kind':'text','text':'both'}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
    assert_int_equal(json_int(find_row(s, ROWS_CONTACT, "{'merged_into':null}"), "id", 0), older);
    expect_changes(s, "events", "{'type':'contact.merged','body':{'identities':['whatsapp:US.7']}}", 1);
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "{'contact_id':%lld}", (long long)older);
    expect_rows(s, ROWS_IDENTITY, wanted, 3);
    expect_rows(s, ROWS_ADDRESS, wanted, 2);
    expect_rows(s, ROWS_CONVERSATION, wanted, 2);
    /* Only one of the two open threads may stay open, and nobody is surveyed about the other. */
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 1);
    expect_changes(s, "events", "{'type':'conversation.resolved'}", 0);
}

static void a_changed_number_takes_the_person_along(void **state)
{
    struct stage *s = *state;
    stage_message(s, "whatsapp:111", "hi");
    stage_event(s, "{'type':'contact.identity_changed','contact':{'identities':['whatsapp:222','phone:222'],"
                   "'former_identities':['whatsapp:111']}}");
    expect_rows(s, ROWS_CONTACT, "{}", 1);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'whatsapp:222'}", 1);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'whatsapp:111','proven_by':'former:whatsapp'}", 1);
    expect_rows(s, ROWS_ADDRESS, "{'identity':'whatsapp:111','unreachable_at':null}", 0);
    stage_message(s, "whatsapp:222", "me again");
    expect_rows(s, ROWS_CONTACT, "{}", 1);
}

static void a_given_up_handle_belongs_to_who_has_it_now(void **state)
{
    struct stage *s = *state;
    stage_message(s, "whatsapp:US.1", "hi");
    stage_event(s, "{'type':'contact.identity_changed','contact':{'identities':['whatsapp:US.2'],'former_identities':['"
                   "whatsapp:US.1']}}");
    stage_message(s, "whatsapp:US.1", "somebody else");
    expect_rows(s, ROWS_CONTACT, "{}", 2);
    const json_t *first = find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.2'}");
    const json_t *second = find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.1','moves':true}");
    assert_int_not_equal(json_int(first, "contact_id", 0), json_int(second, "contact_id", 0));
}

#define OWNER_OF_NUMBER(user_id, text)                                                                                 \
    "{'type':'message.received','contact':{'identities':['whatsapp:" user_id                                           \
    "','whatsapp:15550100','phone:15550100'],"                                                                         \
    "'recipient':'15550100'},'message':{'kind':'text','text':'" text "'}}"

/* Numbers pass to other people, and nobody says so. */
static void a_number_with_another_user_id_is_somebody_elses(void **state)
{
    struct stage *s = *state;
    stage_rule(
        s, "inbox", "message.received",
        "[{'do':'open_conversation','handle':'#1','topic':'support'},{'do':'send','conversation':'#1','text':'hi'}]");
    stage_rule(
        s, "agent", "payment.failed",
        "[{'do':'open_conversation','handle':'#1','topic':'support'},{'do':'send','conversation':'#1','text':'pay'}]");
    stage_event(s, OWNER_OF_NUMBER("US.1", "I am Ada"));
    int64_t ada = json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0);
    s->now += HOUR;
    stage_event(s, OWNER_OF_NUMBER("US.2", "I am Grace"));
    int64_t grace = json_int(find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.2'}"), "contact_id", 0);
    assert_int_not_equal(grace, ada);
    assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, "{'text':'I am Grace'}"), "contact_id", 0), grace);
    assert_int_equal(json_int(find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:15550100'}"), "contact_id", 0), grace);
    assert_int_equal(json_int(find_row(s, ROWS_IDENTITY, "{'identity':'phone:15550100'}"), "contact_id", 0), grace);
    assert_int_equal(json_int(find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.1'}"), "contact_id", 0), ada);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 2);
    /* Nothing of Ada's goes to the number any more. */
    expect_rows(s, ROWS_ADDRESS,
                "{'identity':'whatsapp:US.1','unreachable_reason':'the number belongs to somebody else by now'}", 1);
    /* Ada has a number of her own again. */
    stage_event(
        s, "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:15550177','phone:15550177'],"
           "'recipient':'15550177'},'message':{'kind':'text','text':'Ada again'}}");
    assert_int_equal(json_int(find_row(s, ROWS_MESSAGE, "{'text':'Ada again'}"), "contact_id", 0), ada);
    expect_rows(s, ROWS_ADDRESS, "{'identity':'whatsapp:US.1','recipient':'15550177','unreachable_at':null}", 1);
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    /* A status of what Ada was written at the old number names its next owner, and makes one of the two of nobody. */
    char event[500];
    snprintf(event, sizeof(event),
             "{'type':'message.status','contact':{'identities':['whatsapp:US.3','whatsapp:15550100','phone:15550100']},"
             "'status':{'message_id':'out-%lld','state':'read'}}",
             (long long)json_int(find_row(s, ROWS_MESSAGE, "{'direction':'out','contact_id':1002}"), "id", 0));
    stage_event(s, event);
    expect_rows(s, ROWS_IDENTITY, "{'identity':'whatsapp:US.3'}", 0);
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
}

/* A row: what follows on Ada with US.1 and a number, and how many they are then. */
static void who_is_one_stays_one(void **state)
{
    static const struct {
        const char *event;
        int contacts;
    } rows[] = {
        { "{'type':'contact.identity_changed','contact':{'identities':['whatsapp:US.2','whatsapp:15550100','phone:"
          "15550100'],"
          "'former_identities':['whatsapp:US.1']}}",
          1 },
        { "{'type':'contact.identity_changed','contact':{'identities':['whatsapp:US.2','whatsapp:15550100']}}", 1 },
        /* The number alone, as from apps that are not updated yet. */
        { "{'type':'message.received','contact':{'identities':['whatsapp:15550100','phone:15550100']},'message':{'kind'"
          ":'text'}}",
          1 },
        /* Another account of ours at WhatsApp, which has ids of its own. */
        { "{'type':'message.received','source':'whatsapp_two','provider':'whatsapp','contact':{'identities':['whatsapp:"
          "US.2',"
          "'whatsapp:15550100','phone:15550100']},'message':{'kind':'text'}}",
          1 },
        { "{'type':'message.received','contact':{'identities':['whatsapp:US.1','whatsapp:15550177','phone:15550177']},'"
          "message':{"
          "'kind':'text'}}",
          1 },
        { OWNER_OF_NUMBER("US.2", "I am Grace"), 2 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (i > 0) {
            stage_tear_down(state);
            stage_set_up(state);
        }
        struct stage *s = *state;
        json_put(s->sources, "whatsapp_two", json_of("{'kind':'whatsapp','provider':'whatsapp','sends':true}"));
        stage_event(s, OWNER_OF_NUMBER("US.1", "I am Ada"));
        stage_event(s, rows[i].event);
        expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", rows[i].contacts);
    }
}

/* The new id writes before WhatsApp says that it is the same person. */
static void a_change_that_is_told_late_makes_them_one_again(void **state)
{
    struct stage *s = *state;
    stage_event(s, OWNER_OF_NUMBER("US.1", "I am Ada"));
    int64_t ada = json_int(find_row(s, ROWS_CONTACT, "{}"), "id", 0);
    s->now += HOUR;
    stage_event(s, OWNER_OF_NUMBER("US.2", "I am Ada, too"));
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 2);
    stage_event(
        s, "{'type':'contact.identity_changed','contact':{'identities':['whatsapp:US.2','whatsapp:15550100','phone:"
           "15550100'],'former_identities':['whatsapp:US.1']}}");
    expect_rows(s, ROWS_CONTACT, "{'merged_into':null}", 1);
    assert_int_equal(json_int(find_row(s, ROWS_IDENTITY, "{'identity':'whatsapp:15550100'}"), "contact_id", 0), ada);
}

static void providers_report_what_people_do_not_want(void **state)
{
    struct stage *s = *state;
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'contact.opted_out','topic':'marketing','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONTACT, "{'opted_out':['marketing']}", 1);
    expect_changes(s, "events", "{'type':'contact.opted_out'}", 0);
    stage_event(s, "{'type':'contact.opted_in','topic':'marketing','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONTACT, "{'opted_out':[],'opted_out_at':null}", 1);
}

static void a_blocked_channel_is_not_an_opt_out(void **state)
{
    struct stage *s = *state;
    stage_message(s, "telegram:42", "STOP");
    stage_event(s,
                "{'type':'order.completed','source':'stripe','contact':{'identities':['telegram:42','whatsapp:1']}}");
    stage_message(s, "whatsapp:1", "hi");
    stage_event(s, "{'type':'contact.opted_out','source':'telegram','topic':'marketing','contact':{'identities':['"
                   "telegram:42']}}");
    s->now += HOUR;
    stage_event(s, "{'type':'contact.opted_out','source':'telegram','topic':'channel','provider_reason':'blocked',"
                   "'contact':{'identities':['telegram:42'],'recipient':'42'}}");
    expect_rows(s, ROWS_CONTACT, "{'opted_out':['marketing']}", 1);
    expect_rows(s, ROWS_ADDRESS, "{'source':'telegram','unreachable_reason':'blocked'}", 1);
    expect_rows(s, ROWS_ADDRESS, "{'source':'whatsapp','unreachable_at':null}", 1);
    s->now += HOUR;
    /* A message of before the block, posted again late, does not undo it. */
    stage_event(s, "{'type':'message.received','source':'telegram','occurred_at':'2026-01-05T12:10:00.000Z',"
                   "'contact':{'identities':['telegram:42']},'message':{'id':'late','kind':'text','text':'x'}}");
    expect_rows(s, ROWS_ADDRESS, "{'source':'telegram','unreachable_reason':'blocked'}", 1);
    stage_event(s, "{'type':'contact.opted_in','source':'telegram','topic':'channel','provider_reason':'unblocked',"
                   "'contact':{'identities':['telegram:42']}}");
    expect_rows(s, ROWS_ADDRESS, "{'source':'telegram','unreachable_at':null,'unreachable_reason':null}", 1);
    /* What they said themselves stays said. */
    expect_rows(s, ROWS_CONTACT, "{'opted_out':['marketing']}", 1);
}

static void who_blocks_before_they_write_is_known_to_be_unreachable(void **state)
{
    struct stage *s = *state;
    stage_event(s, "{'type':'contact.opted_out','source':'telegram','topic':'channel','provider_reason':'blocked',"
                   "'contact':{'identities':['telegram:43'],'recipient':'43'}}");
    expect_rows(s, ROWS_ADDRESS, "{'identity':'telegram:43','unreachable_reason':'blocked'}", 1);
    s->now += HOUR;
    stage_message(s, "telegram:43", "back");
    expect_rows(s, ROWS_ADDRESS, "{'identity':'telegram:43','unreachable_at':null}", 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_first_message_makes_a_contact_with_an_address),
        T(a_sender_is_looked_for_again_when_anything_is_different),
        T(people_are_found_by_any_handle),
        T(a_phone_number_finds_a_whatsapp_user_known_without_one),
        T(a_typed_number_does_not_make_two_people_one),
        T(a_number_that_was_written_to_for_somebody_else_is_its_owners),
        T(who_writes_after_the_order_proves_the_handle_that_it_named),
        T(what_is_proven_stays_as_it_was_proven),
        T(a_proven_person_keeps_what_whatsapp_says),
        T(who_is_known_by_a_typed_number_alone_is_who_has_it),
        T(a_number_that_telegram_proved_is_no_claim),
        T(statuses_make_nobody),
        T(what_another_contact_owns_stays_there),
        T(a_handle_that_is_passed_on_does_not_make_two_one),
        T(of_who_was_erased_nothing_is_learned),
        T(two_are_merged_when_their_provider_says_they_are_one),
        T(a_changed_number_takes_the_person_along),
        T(a_given_up_handle_belongs_to_who_has_it_now),
        T(a_number_with_another_user_id_is_somebody_elses),
        T(who_is_one_stays_one),
        T(a_change_that_is_told_late_makes_them_one_again),
        T(providers_report_what_people_do_not_want),
        T(a_blocked_channel_is_not_an_opt_out),
        T(who_blocks_before_they_write_is_known_to_be_unreachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
