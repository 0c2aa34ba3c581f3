#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain/survey.h"

#define T(name) cmocka_unit_test_setup_teardown(name, stage_set_up, stage_tear_down)
#define OPEN "{'do':'open_conversation','handle':'#1','topic':'support'}"
#define ASKS ",'ask_comment':'Why?'"

/* A contact whose conversation was resolved and who was asked. */
static long long ask(struct stage *s, const char *more)
{
    char declaration[300];
    snprintf(declaration, sizeof(declaration),
             "{'question':'How did we do, "
             "{{name}}?','scale':5,'thanks':'Thanks!','expires_ms':86400000,'comment_ms':3600000%s}",
             more);
    stage_declare(s, "survey", "csat", declaration);
    stage_rule(s, "inbox", "message.received", "[" OPEN "]");
    stage_rule(s, "inbox-button", "message.button", "[" OPEN "]");
    stage_rule(s, "close", "custom.close", "[{'do':'resolve','conversation':'@'}]");
    stage_rule(s, "ask", "conversation.resolved", "[{'do':'survey','conversation':'@','survey':'csat'}]");
    stage_message(s, "whatsapp:1", "help");
    s->now += MINUTE;
    stage_event(s, "{'type':'custom.close','source':'desk','contact':{'identities':['whatsapp:1'],'name':'Ada'}}");
    s->now += MINUTE;
    return (long long)json_int(find_row(s, ROWS_SURVEY, "{}"), "id", 0);
}

static void tap(struct stage *s, long long id, int score)
{
    char button[64];
    snprintf(button, sizeof(button), "survey:%lld:%d", id, score);
    stage_tap(s, "whatsapp:1", button);
}

/* Nobody reads {{name}}: who has told no name is asked without it. */
static void who_has_no_name_is_asked_without(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "survey", "csat",
                  "{'question':{'en':'How did we do, {{name}}?'},'scale':5,'expires_ms':86400000}");
    stage_rule(s, "inbox", "message.received", "[" OPEN ",{'do':'survey','conversation':'#1','survey':'csat'}]");
    stage_event(s, "{'type':'message.received','source':'whatsapp','contact':{'identities':['whatsapp:9']},'message':{"
                   "'text':'hi'}}");
    const json_t *free = json_object_at(json_object_at(json_array_get(s->sent, 0), "request"), "free");
    assert_string_equal(json_str_or(free, "text", ""), "How did we do?");
}

static void the_question_has_a_button_for_each_score(void **state)
{
    struct stage *s = *state;
    long long id = ask(s, ASKS);
    expect_rows(
        s, ROWS_SURVEY,
        "{'name':'csat','state':'asked','episode':1,'scale':5,'rule':'ask','expires_at':'2026-01-06T12:01:00.000Z'}",
        1);
    const json_t *free = json_object_at(json_object_at(json_array_get(s->sent, 0), "request"), "free");
    assert_string_equal(json_str(free, "text"), "How did we do, Ada?");
    assert_int_equal(json_array_size(json_array_at(free, "buttons")), 5);
    char wanted[64];
    snprintf(wanted, sizeof(wanted), "survey:%lld:5", id);
    assert_string_equal(json_str(json_array_get(json_array_at(free, "buttons"), 4), "id"), wanted);
    assert_true(strlen(wanted) <= 64);
    expect_rows(s, ROWS_MESSAGE, "{'direction':'out','state':'sent','content':{'survey':'csat'}}", 1);
}

static void expect_label(const struct stage *s, size_t question, size_t button, const char *label)
{
    const json_t *free = json_object_at(json_object_at(json_array_get(s->sent, question), "request"), "free");
    assert_string_equal(json_str(json_array_get(json_array_at(free, "buttons"), button), "text"), label);
}

/* In the contact's language; a score without a label is its number. */
static void the_buttons_have_labels(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "survey", "plain", "{'question':'And that?','scale':3}");
    stage_rule(s, "ask-plain", "custom.close", "[{'do':'survey','conversation':'@','survey':'plain'}]");
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1','language':'de'},"
                   "'message':{'id':'d1','kind':'text','text':'Hallo'}}");
    ask(s, ",'labels':{'en':['Poor','Meh'],'de':['Schlecht','Naja']}");
    expect_label(s, 0, 2, "3");
    expect_label(s, 1, 0, "Schlecht");
    expect_label(s, 1, 1, "Naja");
    expect_label(s, 1, 2, "3");
}

/* Nobody waits for an answer to what was never asked. */
static void who_opted_out_is_not_asked(void **state)
{
    struct stage *s = *state;
    ask(s, ASKS);
    stage_rule(s, "stop", "custom.stop", "[{'do':'opt_out','contact':'@','topic':'all'}]");
    stage_event(s, "{'type':'custom.stop','source':'desk','contact':{'identities':['whatsapp:1']}}");
    expect_rows(s, ROWS_CONTACT, "{'opted_out':['all']}", 1);
    s->now += 24 * HOUR;
    stage_message(s, "whatsapp:1", "next problem");
    int asked = stage_runs(s, "ask");
    stage_event(s, "{'type':'custom.close','source':'desk','contact':{'identities':['whatsapp:1']}}");
    assert_int_equal(stage_runs(s, "ask"), asked + 1);
    expect_rows(s, ROWS_SURVEY, "{}", 1);
    expect_changes(s, "deliveries", "{}", 0);
}

static void a_tap_is_the_score_and_the_next_text_the_comment(void **state)
{
    struct stage *s = *state;
    long long id = ask(s, ASKS);
    tap(s, id, 4);
    expect_rows(s, ROWS_SURVEY, "{'score':4,'state':'answered','answered_at':'2026-01-05T12:02:00.000Z'}", 1);
    expect_changes(s, "events",
                   "{'type':'survey.answered','survey':{'score':4},'body':{'score':4,'previous_score':null}}", 1);
    expect_changes(s, "traces",
                   "{'rule':'answerd.survey','verdict':'ran','effects':[{'do':'survey_answer','score':4}]}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Why?'}}}", 1);
    assert_int_equal(stage_runs(s, "inbox-button"), 0);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved'}", 1);
    expect_rows(s, ROWS_TIMER, "{}", 0);
    s->now += MINUTE;
    int runs = stage_runs(s, "inbox");
    stage_message(s, "whatsapp:1", "very kind people");
    expect_rows(s, ROWS_SURVEY, "{'score':4,'state':'commented','comment':'very kind people'}", 1);
    expect_changes(s, "events", "{'type':'survey.answered','body':{'comment':'very kind people'}}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Thanks!'}}}", 1);
    assert_int_equal(stage_runs(s, "inbox"), runs);
    const json_t *answer = find_row(s, ROWS_MESSAGE, "{'text':'very kind people'}");
    const json_t *conversation = find_row(s, ROWS_CONVERSATION, "{'state':'resolved'}");
    assert_int_equal(json_int(answer, "conversation_id", 0), json_int(conversation, "id", 1));
    /* What comes after that is a new request. */
    stage_message(s, "whatsapp:1", "another question");
    assert_int_equal(stage_runs(s, "inbox"), runs + 1);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 1);
}

/* The same person, among others. */
static void what_is_said_in_a_group_is_no_answer(void **state)
{
    struct stage *s = *state;
    ask(s, ASKS);
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':"
                   "'g1','kind':"
                   "'text','text':'5','chat':'a-group'}}");
    expect_rows(s, ROWS_SURVEY, "{'state':'asked','score':null}", 1);
    stage_message(s, "whatsapp:1", "5");
    expect_rows(s, ROWS_SURVEY, "{'state':'answered','score':5}", 1);
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':"
                   "'g2','kind':"
                   "'text','text':'see you at the station','chat':'a-group'}}");
    expect_rows(s, ROWS_SURVEY, "{'state':'answered','comment':null}", 1);
}

static void a_number_in_words_or_digits_is_an_answer(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int score;
        const char *rest;
    } rows[] = {
        { "4", 4, NULL },
        { " 5 ", 5, NULL },
        { "4/5", 4, NULL },
        { "4 / 5", 4, NULL },
        { "3 out of 5", 3, NULL },
        { "5 stars!", 5, NULL },
        { "1 star", 1, NULL },
        { "five", 5, NULL },
        { "Great!", 5, NULL },
        { "terrible", 1, NULL },
        { "ok", 3, NULL },
        { "good", 4, NULL },
        { "bad.", 2, NULL },
        { "\xE2\xAD\x90\xE2\xAD\x90\xE2\xAD\x90", 3, NULL },
        { "\xF0\x9F\x91\x8D", 5, NULL },
        { "4\xEF\xB8\x8F\xE2\x83\xA3", 4, NULL },
        { "4, thank you", 4, "thank you" },
        { "5 - loved it", 5, "loved it" },
        { "super", 5, NULL },
        { "Meh", 2, NULL },
        { "0", 0, NULL },
        { "6", 0, NULL },
        { "4 days ago", 0, NULL },
        { "4pm", 0, NULL },
        { "4/10", 0, NULL },
        { "4.5", 0, NULL },
        { "hello", 0, NULL },
        { "", 0, NULL },
        { "15550100", 0, NULL },
        { "I have 4 problems", 0, NULL },
        { "-4", 0, NULL },
        { "good morning", 0, NULL },
        { "５", 5, NULL },
        { "４／５", 4, NULL },
        { "٤", 4, NULL },
        { "\u200F٤ من ٥\u200F", 4, NULL },
        { "۳", 3, NULL },
        { "४", 4, NULL },
        { "৫।", 5, NULL },
        { "๒", 2, NULL },
        { "𝟓", 5, NULL },
        { "٤، شكرا", 4, "شكرا" },
        { "４、ありがとう", 4, "ありがとう" },
        { "٦", 0, NULL },
        { "٤٥", 0, NULL },
        { "5️⃣", 5, NULL },
        { "5⃣", 5, NULL },
        { "5️⃣0️⃣", 0, NULL },
        { "④", 4, NULL },
        { "❷", 2, NULL },
        { "⭐⭐⭐⭐", 4, NULL },
        { "⭐️⭐️⭐️", 3, NULL },
        { "⭐ ⭐", 2, NULL },
        { "★★★★☆", 4, NULL },
        { "★★★☆", 0, NULL },
        { "☆☆☆☆☆", 0, NULL },
        { "⭐⭐⭐⭐⭐⭐", 0, NULL },
        { "⭐⭐ slow", 0, NULL },
        { "🌟🌟🌟", 3, NULL },
        { "4⭐", 4, NULL },
        { "4 ⭐️", 4, NULL },
        { "👍🏽", 5, NULL },
        { "👎", 1, NULL },
        { "👍👎", 0, NULL },
        { "4 von 5", 4, NULL },
        { "3 de 5", 3, NULL },
        { "4 Sterne!", 4, NULL },
        { "5 étoiles", 5, NULL },
        { "4 de mis pedidos", 0, NULL },
        { "vier", 4, NULL },
        { "FÜNF", 5, NULL },
        { "cinco", 5, NULL },
        { "sehr gut", 5, NULL },
        { "¡Muy bien!", 5, NULL },
        { "Très bien", 5, NULL },
        { "ÓTIMO", 5, NULL },
        { "Отлично", 5, NULL },
        { "很好", 5, NULL },
        { "mal", 2, NULL },
        { "Gut, aber teuer", 0, NULL },
        { "4,5", 0, NULL },
        { "٤٫٥", 0, NULL },
        { "4\nbut slow", 4, "but slow" },
        { "(4)", 4, NULL },
        { "\"4\"", 4, NULL },
        { "4!", 4, NULL },
        { "4😀", 4, NULL },
        { "5 ❤️🎉, thanks", 5, "thanks" },
        { "4 🍕 please", 0, NULL },
        { "99999999999999999999", 0, NULL },
    };
    json_t *declaration = json_of("{'labels':['Poor','Meh','Fine','Well','Super'],'words':{'super':5}}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *rest = "unset";
        int score = survey_score_of(declaration, 5, rows[i].text, &rest);
        if (score != rows[i].score)
            fail_msg("'%s' is %d, not %d", rows[i].text, score, rows[i].score);
        if (rows[i].rest)
            assert_string_equal(rest, rows[i].rest);
        else
            assert_null(rest);
    }
    json_decref(declaration);
}

static void a_label_is_an_answer_with_and_without_its_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int score;
    } rows[] = { { "1 😞", 1 }, { "5 😀", 5 }, { "5😀", 5 }, { "😀", 5 },     { "🙁", 2 }, { "5", 5 },
                 { "٥", 5 },   { "😀😀", 0 },  { "😡", 0 },  { "5 😀 !", 5 }, { "10", 0 } };
    json_t *declaration = json_of("{'labels':['1 😞','2 🙁','3 😐','4 🙂','5 😀']}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *rest;
        int score = survey_score_of(declaration, 5, rows[i].text, &rest);
        if (score != rows[i].score)
            fail_msg("'%s' is %d, not %d", rows[i].text, score, rows[i].score);
    }
    json_decref(declaration);
}

static void ten_of_ten(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int score;
    } rows[] = { { "10", 10 },    { "１０", 10 }, { "١٠", 10 },   { "🔟", 10 },   { "1️⃣0️⃣", 10 },
                 { "10/10", 10 }, { "⑩", 10 },    { "zehn", 10 }, { "good", 8 }, { "8 von 10", 8 },
                 { "11", 0 },     { "100", 0 } };
    json_t *declaration = json_object();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *rest;
        int score = survey_score_of(declaration, 10, rows[i].text, &rest);
        if (score != rows[i].score)
            fail_msg("'%s' is %d, not %d", rows[i].text, score, rows[i].score);
    }
    json_decref(declaration);
}

static void a_text_answers_only_the_latest_question_in_its_time(void **state)
{
    struct stage *s = *state;
    ask(s, "");
    stage_rule(s, "write", "custom.write",
               "[{'do':'open_conversation','handle':'#1','topic':'other'},{'do':'send','conversation':'#1','text':'By "
               "the way, how many?'}]");
    stage_event(s, "{'type':'custom.write','source':'desk','contact':{'identities':['whatsapp:1']}}");
    s->now += MINUTE;
    stage_message(s, "whatsapp:1", "4");
    expect_rows(s, ROWS_SURVEY, "{'state':'asked','score':null}", 1);
    expect_rows(s, ROWS_MESSAGE, "{'text':'4','survey_id':null}", 1);
}

static void a_text_answer_is_not_an_inbox_message(void **state)
{
    struct stage *s = *state;
    ask(s, "");
    stage_message(s, "whatsapp:1", "4, thank you");
    expect_rows(s, ROWS_SURVEY, "{'state':'commented','score':4,'comment':'thank you'}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Thanks!'}}}", 1);
    expect_rows(s, ROWS_CONVERSATION, "{'state':'resolved'}", 1);
    /* Without a comment question there is no comment to wait for. */
    stage_message(s, "whatsapp:1", "new problem");
    expect_rows(s, ROWS_CONVERSATION, "{'state':'open'}", 1);
}

static void it_expires_and_still_takes_a_late_tap(void **state)
{
    struct stage *s = *state;
    long long id = ask(s, "");
    stage_advance(s, 25 * HOUR);
    expect_rows(s, ROWS_SURVEY, "{'state':'expired'}", 1);
    expect_changes(s, "handlings", "{'problem':null}", 1);
    int runs = stage_runs(s, "inbox");
    stage_message(s, "whatsapp:1", "5");
    assert_int_equal(stage_runs(s, "inbox"), runs + 1);
    expect_rows(s, ROWS_SURVEY, "{'state':'expired','score':null}", 1);
    tap(s, id, 2);
    expect_rows(s, ROWS_SURVEY, "{'state':'answered','score':2}", 1);
    expect_changes(s, "deliveries", "{'request':{'free':{'text':'Thanks!'}}}", 1);
    tap(s, id, 5);
    expect_rows(s, ROWS_SURVEY, "{'state':'answered','score':5}", 1);
    expect_changes(s, "events", "{'type':'survey.answered','body':{'score':5,'previous_score':2}}", 1);
    expect_changes(s, "deliveries", "{}", 0);
    tap(s, id, 5);
    expect_changes(s, "events", "{'type':'survey.answered'}", 0);
}

static void an_edited_answer_counts(void **state)
{
    struct stage *s = *state;
    ask(s, "");
    stage_event(s, "{'type':'message.received','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':"
                   "'a1','kind':'text','text':'1'}}");
    expect_rows(s, ROWS_SURVEY, "{'score':1}", 1);
    stage_event(s, "{'type':'message.edited','contact':{'identities':['whatsapp:1'],'recipient':'1'},'message':{'id':'"
                   "a1','kind':'text','text':'5'}}");
    expect_rows(s, ROWS_SURVEY, "{'score':5}", 1);
    expect_changes(s, "events", "{'type':'survey.answered','body':{'score':5,'previous_score':1}}", 1);
}

static void it_is_asked_once_for_each_episode(void **state)
{
    struct stage *s = *state;
    ask(s, "");
    stage_rule(s, "again", "custom.again", "[{'do':'survey','conversation':'@','survey':'csat'}]");
    char event[200];
    snprintf(event, sizeof(event), "{'type':'custom.again','source':'desk','conversation_id':%lld}",
             (long long)json_int(find_row(s, ROWS_CONVERSATION, "{}"), "id", 0));
    stage_event(s, event);
    expect_rows(s, ROWS_SURVEY, "{}", 1);
    expect_changes(s, "traces", "{'rule':'again','verdict':'ran'}", 1);
    expect_changes(s, "deliveries", "{}", 0);
}

static void the_cooldown_spans_conversations(void **state)
{
    struct stage *s = *state;
    ask(s, ",'cooldown_ms':604800000");
    stage_message(s, "whatsapp:1", "5");
    for (int day = 1; day <= 8; day += 7) {
        s->now += day * 24 * HOUR;
        stage_message(s, "whatsapp:1", "next problem");
        stage_event(s, "{'type':'custom.close','source':'desk','contact':{'identities':['whatsapp:1']}}");
        expect_rows(s, ROWS_SURVEY, "{}", day == 1 ? 1 : 2);
    }
}

static void a_strange_button_opens_nothing(void **state)
{
    struct stage *s = *state;
    long long id = ask(s, "");
    stage_tap(s, "whatsapp:1", "survey:99999:4");
    assert_int_equal(stage_runs(s, "inbox-button"), 0);
    tap(s, id, 9);
    tap(s, id, 0);
    expect_rows(s, ROWS_SURVEY, "{'score':null}", 1);
    stage_message(s, "whatsapp:2", "hello");
    char button[64]; /* somebody else's survey */
    snprintf(button, sizeof(button), "survey:%lld:4", id);
    stage_tap(s, "whatsapp:2", button);
    expect_rows(s, ROWS_SURVEY, "{'score':null}", 1);
    stage_tap(s, "whatsapp:1", "survey:x:4");
    assert_int_equal(stage_runs(s, "inbox-button"), 1);
}

static void the_closed_window_has_a_template(void **state)
{
    struct stage *s = *state;
    stage_declare(s, "template", "csat_closed",
                  "{'languages':{'en':{'text':'Rate us, "
                  "{{name}}'}},'variables':['name'],'whatsapp':{'name':'csat_v1','language':{'en':'en_US'},'parameters'"
                  ":['name']}}");
    ask(s, ",'template':'csat_closed'");
    const json_t *request = json_object_at(json_array_get(s->sent, 0), "request");
    json_t *wanted = json_of("{'free':{'text':'How did we do, "
                             "Ada?'},'approved':{'name':'csat_v1','language':'en_US','body':[{'text':'Ada'}]}}");
    assert_true(json_covers(wanted, request));
    json_decref(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_question_has_a_button_for_each_score),
        T(who_has_no_name_is_asked_without),
        T(the_buttons_have_labels),
        T(who_opted_out_is_not_asked),
        T(a_tap_is_the_score_and_the_next_text_the_comment),
        T(what_is_said_in_a_group_is_no_answer),
        cmocka_unit_test(a_number_in_words_or_digits_is_an_answer),
        cmocka_unit_test(a_label_is_an_answer_with_and_without_its_number),
        cmocka_unit_test(ten_of_ten),
        T(a_text_answers_only_the_latest_question_in_its_time),
        T(a_text_answer_is_not_an_inbox_message),
        T(it_expires_and_still_takes_a_late_tap),
        T(an_edited_answer_counts),
        T(it_is_asked_once_for_each_episode),
        T(the_cooldown_spans_conversations),
        T(a_strange_button_opens_nothing),
        T(the_closed_window_has_a_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
