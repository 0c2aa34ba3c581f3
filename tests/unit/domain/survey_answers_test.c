/* Which question an answer belongs to, and what is none. */
#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support','reopen_ms':864000000}"
#define WHO "'contact':{'identities':['whatsapp:1'],'recipient':'1'}"

static void prepare(struct stage *s, const char *more)
{
    char declaration[300];
    snprintf(declaration, sizeof(declaration),
             "{'question':'How did we do?','scale':5,'thanks':'Thanks!','expires_ms':86400000,'comment_ms':3600000%s}",
             more);
    stage_declare(s, "survey", "csat", declaration);
    stage_declare(s, "survey", "effort", "{'question':'Was it easy?','scale':5,'expires_ms':86400000}");
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "inbox-button", "message.button", "[" OPEN "]");
    stage_rule(s, "close", "custom.close", "[{'do':'resolve','conversation':'@'}]");
    stage_rule(s, "ask", "custom.ask", "[{'do':'survey','conversation':'@','survey':'csat'}]");
    stage_rule(s, "ask-effort", "custom.effort", "[{'do':'survey','conversation':'@','survey':'effort'}]");
    stage_rule(s, "write", "custom.write", "[{'do':'send','conversation':'@','text':'One more thing.'}]");
}

static long long id_of(const struct stage *s, enum rows_table table, const char *wanted)
{
    return (long long)json_int(find_row(s, table, wanted), "id", 0);
}

static void act(struct stage *s, const char *type, long long conversation)
{
    char event[200];
    snprintf(event, sizeof(event), "{'type':'custom.%s','source':'desk','conversation_id':%lld}", type, conversation);
    stage_event(s, event);
}

/* The contact writes, is helped, and asked. */
static long long ask(struct stage *s, const char *more)
{
    prepare(s, more);
    stage_message(s, "whatsapp:1", "help");
    long long conversation = id_of(s, ROWS_CONVERSATION, "{}");
    s->now += MINUTE;
    act(s, "close", conversation);
    act(s, "ask", conversation);
    s->now += MINUTE;
    return id_of(s, ROWS_SURVEY, "{}");
}

static void tap(struct stage *s, const char *identity, long long survey, int score)
{
    char button[64];
    snprintf(button, sizeof(button), "survey:%lld:%d", survey, score);
    stage_tap(s, identity, button);
}

static void expect_survey(const struct stage *s, long long id, const char *columns)
{
    char wanted[200];
    snprintf(wanted, sizeof(wanted), "{'id':%lld,%s}", id, columns);
    expect_rows(s, ROWS_SURVEY, wanted, 1);
}

static void asked_anew_the_older_question_is_canceled(void **state)
{
    struct stage *s = *state;
    long long first = ask(s, ""), conversation = id_of(s, ROWS_CONVERSATION, "{}");
    act(s, "effort", conversation);
    long long other_name = id_of(s, ROWS_SURVEY, "{'name':'effort'}");
    stage_message(s, "telegram:9", "help here, too"); /* somebody else */
    stage_message(s, "whatsapp:1", "it broke again");
    act(s, "close", conversation);
    s->now += MINUTE;
    act(s, "ask", conversation);
    long long second = id_of(s, ROWS_SURVEY, "{'name':'csat'}");
    assert_true(second > first);
    expect_survey(s, first, "'state':'canceled','episode':1");
    expect_survey(s, second, "'state':'asked','episode':2");
    expect_survey(s, other_name, "'state':'asked'");
    char timer[64];
    snprintf(timer, sizeof(timer), "{'survey_id':%lld}", first);
    expect_rows(s, ROWS_TIMER, timer, 0);
    expect_rows(s, ROWS_TIMER, "{'name':'survey.expired'}", 2);
    stage_message(s, "whatsapp:1", "4");
    expect_survey(s, second, "'state':'answered','score':4");
    expect_survey(s, first, "'state':'canceled','score':null");
    stage_advance(s, 25 * HOUR);
    expect_survey(s, first, "'state':'canceled'");
    expect_survey(s, other_name, "'state':'expired'");
}

static void of_two_asked_at_once_a_text_answers_the_last(void **state)
{
    struct stage *s = *state;
    prepare(s, "");
    stage_message(s, "whatsapp:1", "help");
    long long conversation = id_of(s, ROWS_CONVERSATION, "{}");
    s->now += MINUTE;
    act(s, "ask", conversation);
    act(s, "effort", conversation);
    long long first = id_of(s, ROWS_SURVEY, "{'name':'csat'}"), second = id_of(s, ROWS_SURVEY, "{'name':'effort'}");
    assert_true(second > first);
    s->now += MINUTE;
    stage_message(s, "whatsapp:1", "4");
    expect_survey(s, second, "'state':'answered','score':4");
    expect_survey(s, first, "'state':'asked','score':null");
}

/* Each engine takes its numbers from a block of its own: the later question may have the smaller one. */
static void the_last_is_the_last_by_time(void **state)
{
    struct stage *s = *state;
    prepare(s, "");
    stage_message(s, "whatsapp:1", "help");
    long long conversation = id_of(s, ROWS_CONVERSATION, "{}");
    s->now += MINUTE;
    act(s, "ask", conversation);
    act(s, "effort", conversation);
    long long first = id_of(s, ROWS_SURVEY, "{'name':'csat'}"), second = id_of(s, ROWS_SURVEY, "{'name':'effort'}");
    s->now += MINUTE;
    json_put_time(find_row(s, ROWS_SURVEY, "{'name':'csat'}"), "asked_at", s->now);
    s->now += MINUTE;
    stage_message(s, "whatsapp:1", "4");
    expect_survey(s, first, "'state':'answered','score':4");
    expect_survey(s, second, "'state':'asked','score':null");
}

static void an_answered_question_stays_when_asked_anew(void **state)
{
    struct stage *s = *state;
    long long first = ask(s, ""), conversation = id_of(s, ROWS_CONVERSATION, "{}");
    tap(s, "whatsapp:1", first, 2);
    stage_message(s, "whatsapp:1", "it broke again");
    act(s, "close", conversation);
    act(s, "ask", conversation);
    expect_survey(s, first, "'state':'answered','score':2");
    expect_rows(s, ROWS_SURVEY, "{'state':'asked'}", 1);
}

static void the_question_of_another_conversation_stays(void **state)
{
    struct stage *s = *state;
    long long first = ask(s, "");
    stage_rule(s, "other", "custom.other", "[{'do':'open_conversation','handle':'#1','topic':'sales'}]");
    stage_event(s, "{'type':'custom.other','source':'desk'," WHO "}");
    act(s, "ask", id_of(s, ROWS_CONVERSATION, "{'topic':'sales'}"));
    long long second = id_of(s, ROWS_SURVEY, "{}");
    expect_survey(s, first, "'state':'asked'");
    /* A text answers the one that was asked last. */
    s->now += MINUTE;
    act(s, "effort", id_of(s, ROWS_CONVERSATION, "{'topic':'support'}"));
    stage_message(s, "whatsapp:1", "3");
    expect_survey(s, first, "'state':'asked'");
    expect_survey(s, second, "'state':'asked'");
    expect_rows(s, ROWS_SURVEY, "{'name':'effort','score':3}", 1);
    /* A tap its own. */
    tap(s, "whatsapp:1", first, 5);
    expect_survey(s, first, "'score':5");
    expect_survey(s, second, "'score':null");
}

/* Both are known to the desk that handles them together. */
static void nobody_answers_for_somebody_else(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    stage_message(s, "whatsapp:2", "hello");
    char theirs[300];
    snprintf(theirs, sizeof(theirs),
             "{'type':'message.button','source':'whatsapp','contact':{'identities':['whatsapp:2'],'recipient':'2'},"
             "'message':{'id':'b2','kind':'button','button':{'id':'survey:%lld:1','text':'1'}}}",
             survey);
    const char *const together[] = { "{'type':'message.received'," WHO
                                     ",'message':{'id':'b1','kind':'text','text':'hold on'}}",
                                     theirs };
    stage_batch(s, together, 2);
    expect_survey(s, survey, "'state':'asked','score':null");
    expect_changes(s, "events", "{'type':'survey.answered'}", 0);
}

static void what_is_no_answer_comes_in(void **state)
{
    static const struct {
        const char *message;
        bool answers;
    } cases[] = {
        { "{'type':'message.received'," WHO ",'message':{'id':'a','kind':'text','text':'5'}}", true },
        { "{'type':'message.received'," WHO ",'message':{'id':'a','kind':'image','text':'5','media':{'kind':'image'}}}",
          false },
        { "{'type':'message.button'," WHO ",'message':{'id':'a','kind':'button','button':{'text':'5'}}}", true },
        { "{'type':'message.button'," WHO ",'message':{'id':'a','kind':'button','button':{'id':'menu','text':'Menu'}}}",
          false },
        { "{'type':'message.received','source':'telegram','contact':{'identities':['telegram:9','phone:1'],"
          "'recipient':'9'},'message':{'id':'a','kind':'text','text':'5'}}",
          false },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        long long survey = ask(s, "");
        int runs = stage_runs(s, "inbox") + stage_runs(s, "inbox-button");
        stage_event(s, cases[i].message);
        expect_survey(s, survey, cases[i].answers ? "'state':'answered','score':5" : "'state':'asked','score':null");
        assert_int_equal(stage_runs(s, "inbox") + stage_runs(s, "inbox-button") - runs, !cases[i].answers);
    }
}

/* The contact is reached on another channel as well: what we write there has nothing to do with it. */
static void a_word_on_another_channel_is_not_in_between(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    stage_rule(s, "elsewhere", "custom.elsewhere",
               "[{'do':'open_conversation','handle':'#1','topic':'other'},{'do':'send','conversation':'#1','text':'x','"
               "channel':'telegram'}]");
    stage_event(s, "{'type':'custom.elsewhere','source':'desk','contact':{'identities':['whatsapp:1','telegram:9']}}");
    expect_changes(s, "deliveries", "{'source':'telegram'}", 1);
    s->now += MINUTE;
    stage_message(s, "whatsapp:1", "4");
    expect_survey(s, survey, "'score':4");
}

static void a_text_that_overtakes_the_end_of_the_question_is_none(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    s->now += 25 * HOUR; /* its timer has yet to fire */
    int runs = stage_runs(s, "inbox");
    stage_message(s, "whatsapp:1", "5");
    expect_survey(s, survey, "'state':'expired','score':null");
    assert_int_equal(stage_runs(s, "inbox"), runs + 1);
}

/* The timer had fired before the answer was handled. */
static void an_answer_is_not_expired(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    tap(s, "whatsapp:1", survey, 3);
    char event[128];
    snprintf(event, sizeof(event), "{'type':'survey.expired','source':'answerd','contact_id':%lld,'survey_id':%lld}",
             id_of(s, ROWS_CONTACT, "{}"), survey);
    stage_event(s, event);
    expect_survey(s, survey, "'state':'answered','score':3");
}

static void what_follows_the_score_is_a_comment_only_for_a_while(void **state)
{
    static const struct {
        const char *meanwhile; /* what we do */
        const char *message;
        msec_t later;
        const char *columns;
    } cases[] = {
        { NULL, "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'kind people'}}", MINUTE,
          "'state':'commented','score':3,'comment':'kind people'" },
        { NULL, "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'kind people'}}", HOUR,
          "'state':'answered','score':3" },
        { "write", "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'yes'}}", MINUTE,
          "'state':'answered','score':3" },
        { NULL, "{'type':'message.button'," WHO ",'message':{'id':'c','kind':'button','button':{'text':'Menu'}}}",
          MINUTE, "'state':'answered','score':3" },
        /* Another number is a change of mind, with words it is what they have to say. */
        { NULL, "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'5'}}", MINUTE,
          "'state':'answered','score':5" },
        { NULL, "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'1, I waited long'}}",
          MINUTE, "'state':'commented','score':3,'comment':'1, I waited long'" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stage_tear_down(state);
        stage_set_up(state);
        struct stage *s = *state;
        long long survey = ask(s, ",'ask_comment':'Why?'");
        tap(s, "whatsapp:1", survey, 3);
        s->now += 1000;
        if (cases[i].meanwhile)
            act(s, cases[i].meanwhile, id_of(s, ROWS_CONVERSATION, "{}"));
        s->now += cases[i].later - 1000;
        stage_event(s, cases[i].message);
        expect_survey(s, survey, cases[i].columns);
    }
}

static void a_comment_survives_another_score(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, ",'ask_comment':'Why?'");
    stage_message(s, "whatsapp:1", "4, thank you");
    expect_survey(s, survey, "'state':'commented','score':4,'comment':'thank you'");
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Thanks!'}}}", 1); /* and not why */
    expect_changes(s, "deliveries", "{}", 1);
    tap(s, "whatsapp:1", survey, 5);
    expect_survey(s, survey, "'state':'commented','score':5,'comment':'thank you'");
    stage_message(s, "whatsapp:1", "a new problem");
    expect_survey(s, survey, "'comment':'thank you'");
}

static void a_long_comment_ends_with_a_whole_character(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, ",'ask_comment':'Why?'");
    tap(s, "whatsapp:1", survey, 3);
    struct buf event CLEANUP(buf_done);
    buf_init(&event, 65536);
    buf_addf(&event, "{'type':'message.received'," WHO ",'message':{'id':'c','kind':'text','text':'a");
    for (int i = 0; i < 5000; i++)
        buf_addf(&event, "ä");
    buf_addf(&event, "'}}");
    stage_event(s, event.ptr);
    assert_int_equal(strlen(json_str_or(find_row(s, ROWS_SURVEY, "{}"), "comment", "")), 1 + 4095 * 2);
}

static void an_edit_is_of_what_the_contact_wrote(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    char event[300];
    snprintf(event, sizeof(event), "{'type':'message.edited'," WHO ",'message':{'id':'out-%lld','text':'5'}}",
             id_of(s, ROWS_MESSAGE, "{'direction':'out'}"));
    stage_event(s, event); /* the question, by somebody at the provider's desk */
    expect_survey(s, survey, "'state':'asked','score':null");
    stage_event(s, "{'type':'message.received'," WHO ",'message':{'id':'a','kind':'text','text':'2'}}");
    stage_event(s, "{'type':'message.edited'," WHO ",'message':{'id':'a','text':'you were late'}}");
    expect_survey(s, survey, "'state':'commented','score':2,'comment':'you were late'");
    stage_event(s, "{'type':'message.edited'," WHO ",'message':{'id':'a','text':'4, sorry'}}");
    expect_survey(s, survey, "'score':4,'comment':'sorry'");
}

static void an_answer_is_heard_in_its_conversation(void **state)
{
    struct stage *s = *state;
    long long survey = ask(s, "");
    long long message = id_of(s, ROWS_MESSAGE, "{'direction':'out'}");
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "'message_id':%lld", message);
    expect_survey(s, survey, wanted);
    tap(s, "whatsapp:1", survey, 3);
    expect_rows(s, ROWS_CONVERSATION, "{'last_inbound_at':'2026-01-05T12:02:00.000Z'}", 1);
    char late[300];
    snprintf(late, sizeof(late),
             "{'type':'message.button'," WHO ",'occurred_at':'2026-01-05T12:01:30.000Z','message':{'id':'late','kind':"
             "'button','button':{'id':'survey:%lld:4','text':'4'}}}",
             survey);
    stage_event(s, late);
    expect_rows(s, ROWS_CONVERSATION, "{'last_inbound_at':'2026-01-05T12:02:00.000Z'}", 1);
}

/* Which need not be the latest one of the contact, nor one that is known. */
static void an_answer_belongs_to_its_conversation(void **state)
{
    struct stage *s = *state;
    char wanted[100];
    long long survey = ask(s, ""), support = id_of(s, ROWS_CONVERSATION, "{}");
    stage_rule(s, "nudge", "custom.nudge",
               "[{'do':'after','conversation':'@','delay_ms':3600000,'name':'nudge','unless':['message.button']}]");
    act(s, "nudge", support);
    tap(s, "whatsapp:1", survey, 3);
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 0);
    act(s, "nudge", support);
    stage_rule(s, "other", "custom.other", "[{'do':'open_conversation','handle':'#1','topic':'sales'}]");
    stage_event(s, "{'type':'custom.other','source':'desk'," WHO "}");
    act(s, "nudge", id_of(s, ROWS_CONVERSATION, "{'topic':'sales'}"));
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 2);
    s->now += MINUTE;
    tap(s, "whatsapp:1", survey, 4);
    snprintf(wanted, sizeof(wanted), "{'conversation_id':%lld}", support);
    expect_changes(s, "handlings", wanted, 2); /* of the message and of survey.answered */
    snprintf(wanted, sizeof(wanted), "{'id':%lld,'last_inbound_at':'2026-01-05T12:03:00.000Z'}", support);
    expect_changes(s, "conversations", wanted, 1);
    snprintf(wanted, sizeof(wanted), "{'direction':'in','conversation_id':%lld,'survey_id':%lld}", support, survey);
    expect_rows(s, ROWS_MESSAGE, wanted, 2);
    snprintf(wanted, sizeof(wanted), "{'name':'nudge','conversation_id':%lld}", support);
    expect_rows(s, ROWS_TIMER, wanted, 0);
    expect_rows(s, ROWS_TIMER, "{'name':'nudge'}", 1);

    struct rows *rows = memory_store_rows(s->store);
    rows_remove(rows, ROWS_CONVERSATION, rows_by_id(rows, ROWS_CONVERSATION, support));
    tap(s, "whatsapp:1", survey, 5);
    expect_survey(s, survey, "'score':5");
    expect_changes(s, "handlings", "{'problem':null}", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(asked_anew_the_older_question_is_canceled),
        T(of_two_asked_at_once_a_text_answers_the_last),
        T(the_last_is_the_last_by_time),
        T(an_answered_question_stays_when_asked_anew),
        T(the_question_of_another_conversation_stays),
        T(nobody_answers_for_somebody_else),
        T(what_is_no_answer_comes_in),
        T(a_word_on_another_channel_is_not_in_between),
        T(a_text_that_overtakes_the_end_of_the_question_is_none),
        T(an_answer_is_not_expired),
        T(what_follows_the_score_is_a_comment_only_for_a_while),
        T(a_comment_survives_another_score),
        T(a_long_comment_ends_with_a_whole_character),
        T(an_edit_is_of_what_the_contact_wrote),
        T(an_answer_is_heard_in_its_conversation),
        T(an_answer_belongs_to_its_conversation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
