#include "domain/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/message.h"
#include "domain/send.h"
#include "domain/template.h"
#include "domain/timer.h"

#define DEFAULT_EXPIRES_MS ((msec_t)72 * 3600 * 1000)
#define DEFAULT_COMMENT_MS ((msec_t)24 * 3600 * 1000)
#define COMMENT_MAX_BYTES ((size_t)8192)

static bool state_is(const json_t *survey, const char *state)
{
    return strcmp(json_str_or(survey, "state", ""), state) == 0;
}

static json_t *make_buttons(const json_t *survey, const json_t *declaration, const json_t *contact)
{
    const json_t *labels = json_object_get(declaration, "labels");
    if (json_is_object(labels)) {
        const char *language = template_language(labels, json_str(contact, "language"), "en");
        labels = language ? json_array_at(labels, language) : NULL;
    }
    json_t *buttons = json_array();
    int scale = (int)json_int(survey, "scale", 5);
    for (int score = 1; score <= scale; score++) {
        json_t *button = json_object();
        char text[64];
        snprintf(text, sizeof(text), "survey:%" PRId64 ":%d", row_id(survey), score);
        json_put_str(button, "id", text);
        snprintf(text, sizeof(text), "%d", score);
        const char *label = json_string_value(json_array_get(labels, (size_t)score - 1));
        json_put_str(button, "text", label ? label : text);
        json_array_append_new(buttons, button);
    }
    return buttons;
}

/* Texts to the customer that belong to a survey. Refusals leave no trace but the missing message. */
static err_t say(struct scene *scene, json_t *conversation, const json_t *survey, const json_t *declaration,
                 const char *key, json_t *made, const char **ret_refused, struct error *reterr)
{
    const json_t *contact = conversation_contact(scene->desk, conversation);
    const char *text = template_localized(json_object_get(declaration, key), json_str(contact, "language"), "en");
    if (!text)
        return ERR_NONE;
    json_t *what = json_object();
    json_put_str(what, "text", text);
    bool is_question = strcmp(key, "question") == 0;
    if (is_question)
        json_put(what, "buttons", make_buttons(survey, declaration, contact));
    json_t *extra = json_object();
    json_put_str(extra, "survey", json_str(declaration, "name"));
    json_put_str(extra, "part", key);
    struct send_wish wish = {
        .conversation = conversation,
        .what = what,
        .survey_id = row_id(survey),
        .survey_template = is_question ? json_str(declaration, "template") : NULL,
        .extra_content = extra,
    };
    err_t err = send_message(scene, &wish, made, ret_refused, reterr);
    json_decref(extra);
    json_decref(what);
    return err;
}

static const char *why_not(const struct scene *scene, const json_t *conversation, const json_t *declaration)
{
    const char *name = json_str_or(declaration, "name", "");
    msec_t cooldown = json_int(declaration, "cooldown_ms", 0);
    int64_t contact_id = json_int(conversation, "contact_id", 0);
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_SURVEY, contact_id), index, row) {
        if (strcmp(json_str_or(row, "name", ""), name) != 0)
            continue;
        if (json_int(row, "conversation_id", 0) == row_id(conversation) &&
            json_int(row, "episode", 0) == json_int(conversation, "episode", 1))
            return "this survey was asked already since the conversation was opened";
        if (cooldown > 0 && json_time(row, "asked_at", 0) + cooldown > scene->now)
            return "the contact was asked recently (cooldown)";
    }
    return NULL;
}

static void cancel_older(struct scene *scene, const json_t *conversation, const char *name)
{
    struct rows *rows = scene->desk->rows;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(rows, ROWS_SURVEY, json_int(conversation, "contact_id", 0)), index, row) {
        if (json_int(row, "conversation_id", 0) != row_id(conversation) || !state_is(row, "asked") ||
            strcmp(json_str_or(row, "name", ""), name) != 0)
            continue;
        rows_edit(rows, ROWS_SURVEY, row);
        json_put_str(row, "state", "canceled");
        timer_cancel_of_survey(scene, row_id(row));
    }
}

err_t survey_ask(struct scene *scene, json_t *conversation, const char *name, json_t *made, const char **ret_refused,
                 struct error *reterr)
{
    struct desk *desk = scene->desk;
    const json_t *declaration = desk_declaration(desk, "survey", name);
    if (!declaration)
        return fail(reterr, ERR_INVALID, "there is no survey '%s'", name);
    *ret_refused = why_not(scene, conversation, declaration);
    if (*ret_refused)
        return ERR_NONE;

    int64_t id = desk_next_id(desk);
    json_t *row = json_object();
    json_put_int(row, "id", id);
    json_put_str(row, "name", name);
    json_put_int(row, "conversation_id", row_id(conversation));
    json_put_int(row, "contact_id", json_int(conversation, "contact_id", 0));
    json_put_int(row, "episode", json_int(conversation, "episode", 1));
    json_put_str(row, "state", "asked");
    json_put_int(row, "scale", json_int(declaration, "scale", 5));
    json_put_str(row, "rule", scene->rule);
    json_put_time(row, "asked_at", scene->now);
    msec_t expires = scene->now + json_int(declaration, "expires_ms", DEFAULT_EXPIRES_MS);
    json_put_time(row, "expires_at", expires);

    err_t err = say(scene, conversation, row, declaration, "question", made, ret_refused, reterr);
    if (err != ERR_NONE || *ret_refused) {
        json_decref(row);
        return err;
    }
    cancel_older(scene, conversation, name);
    json_put_int(row, "message_id", json_int(made, "message", 0));
    json_put_int(made, "survey", id);
    row = rows_insert(desk->rows, ROWS_SURVEY, row);
    timer_arm_survey(scene, row, expires);
    scene->survey = row;
    return ERR_NONE;
}

static void emit_answered(struct scene *scene, const json_t *survey, const json_t *conversation, int64_t previous)
{
    json_t *extra = json_object();
    json_put(extra, "survey", json_copy_containers(survey));
    json_t *body = json_object();
    json_object_set(body, "score", json_object_get(survey, "score"));
    json_put_str(body, "comment", json_str(survey, "comment"));
    if (previous > 0)
        json_put_int(body, "previous_score", previous);
    scene_emit(scene, "survey.answered", scene->contact, conversation, body, extra);
}

/* The answer belongs to the survey's conversation, which stays in the state it is in. */
static void attach_message(struct scene *scene, const json_t *survey, json_t *conversation)
{
    rows_edit(scene->desk->rows, ROWS_MESSAGE, scene->message);
    json_put_int(scene->message, "conversation_id", json_int(survey, "conversation_id", 0));
    json_put_int(scene->message, "survey_id", row_id(survey));
    if (!conversation)
        return;
    rows_edit(scene->desk->rows, ROWS_CONVERSATION, conversation);
    msec_t at = json_time(scene->event, "occurred_at", scene->now);
    if (at > json_time(conversation, "last_inbound_at", 0))
        json_put_time(conversation, "last_inbound_at", at);
    scene->conversation = conversation;
    scene->about_conversation = true;
}

static void consume(struct scene *scene, const json_t *survey, const char *what)
{
    json_t *note = json_object();
    json_put_str(note, "do", what);
    json_put_str(note, "survey", json_str(survey, "name"));
    json_put_int(note, "survey_id", row_id(survey));
    json_object_set(note, "score", json_object_get(survey, "score"));
    scene_note_built_in(scene, "survey", note);
    scene->consumed = true;
    scene->survey = (json_t *)(uintptr_t)survey;
}

static void put_comment(json_t *survey, const char *text, msec_t now)
{
    size_t length = strlen(text);
    if (length > COMMENT_MAX_BYTES)
        for (length = COMMENT_MAX_BYTES; length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80;)
            length--;
    json_put_bytes(survey, "comment", (struct bytes){ text, length });
    json_put_time(survey, "commented_at", now);
    json_put_str(survey, "state", "commented");
}

static void answer_back(struct scene *scene, json_t *conversation, const json_t *survey, const json_t *declaration,
                        const char *key)
{
    char author[128];
    snprintf(author, sizeof(author), "survey:%s", json_str_or(survey, "name", ""));
    scene_act_as_desk(scene, author, json_str(survey, "rule"));
    json_t *made = json_object();
    const char *refused = NULL;
    struct error error;
    if (say(scene, conversation, survey, declaration, key, made, &refused, &error) != ERR_NONE)
        scene->problem = "a text of the survey could not be sent";
    json_decref(made);
}

static void record_score(struct scene *scene, json_t *survey, int score, const char *comment)
{
    struct desk *desk = scene->desk;
    json_t *conversation = rows_by_id(desk->rows, ROWS_CONVERSATION, json_int(survey, "conversation_id", 0));
    const json_t *declaration = desk_declaration(desk, "survey", json_str(survey, "name"));
    int64_t previous = json_int(survey, "score", 0);
    attach_message(scene, survey, conversation);

    rows_edit(desk->rows, ROWS_SURVEY, survey);
    json_put_int(survey, "score", score);
    if (previous == 0) {
        json_put_time(survey, "answered_at", scene->now);
        timer_cancel_of_survey(scene, row_id(survey));
    }
    if (!state_is(survey, "commented"))
        json_put_str(survey, "state", "answered");
    if (comment)
        put_comment(survey, comment, scene->now);
    consume(scene, survey, "survey_answer");
    if (previous == score)
        return; /* the same button again */
    emit_answered(scene, survey, conversation, previous);
    if (previous > 0 || !conversation || !declaration)
        return;

    bool asks = json_object_get(declaration, "ask_comment") != NULL && !comment;
    answer_back(scene, conversation, survey, declaration, asks ? "ask_comment" : "thanks");
}

/* Did anybody but the survey write to the contact on this channel since then? */
static bool asked_since(const struct scene *scene, msec_t since)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_CONVERSATION, row_id(scene->contact)), index, row) {
        if (strcmp(json_str_or(row, "source", ""), json_str_or(scene->event, "source", "?")) == 0 &&
            json_time(row, "last_outbound_at", 0) > since)
            return true;
    }
    return false;
}

static bool on_this_channel(const struct scene *scene, const json_t *survey)
{
    const json_t *conversation =
        rows_by_id(scene->desk->rows, ROWS_CONVERSATION, json_int(survey, "conversation_id", 0));
    return conversation &&
           strcmp(json_str_or(conversation, "source", ""), json_str_or(scene->event, "source", "?")) == 0;
}

/* Of two in one millisecond the one with the higher id is the later. */
static bool is_later(const json_t *row, const json_t *than, const char *time_column)
{
    msec_t at = json_time(row, time_column, 0), other = json_time(than, time_column, 0);
    return at > other || (at == other && row_id(row) > row_id(than));
}

static json_t *latest(const struct scene *scene, const char *state, const char *time_column)
{
    json_t *best = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_SURVEY, row_id(scene->contact)), index, row) {
        if (state_is(row, state) && on_this_channel(scene, row) && (!best || is_later(row, best, time_column)))
            best = row;
    }
    return best;
}

/* "survey:ID:SCORE", as make_buttons() wrote it. */
static bool read_button(const char *id, int64_t *ret_survey_id, int64_t *ret_score)
{
    struct bytes rest = bytes_of(id);
    return bytes_equal(text_next_field(&rest, ':'), BYTES_LITERAL("survey")) &&
           text_to_i64(text_next_field(&rest, ':'), ret_survey_id) && text_to_i64(rest, ret_score);
}

static bool take_button(struct scene *scene, const char *id)
{
    int64_t survey_id, score;
    if (!read_button(id, &survey_id, &score))
        return false;
    json_t *survey = rows_by_id(scene->desk->rows, ROWS_SURVEY, survey_id);
    if (!survey || json_int(survey, "contact_id", 0) != row_id(scene->contact) || score < 1 ||
        score > json_int(survey, "scale", 5)) {
        /* A button of a survey that is long over: still no reason to open a conversation. */
        json_t *note = json_object();
        json_put_str(note, "do", "survey_answer");
        json_put_str(note, "refused", "the survey is not known any more");
        scene_note_built_in(scene, "survey", note);
        scene->consumed = true;
        return true;
    }
    record_score(scene, survey, (int)score, NULL);
    return true;
}

bool survey_take_message(struct scene *scene)
{
    if (!scene->contact || !scene->message)
        return false;
    const json_t *message = json_object_at(scene->event, "message");
    const json_t *button = json_object_at(message, "button");
    if (button && json_str(button, "id") && take_button(scene, json_str(button, "id")))
        return true;
    const char *text = json_str(message, "text");
    if (!text && button)
        text = json_str(button, "text");
    /* What somebody says in a group is said to others: only a button says that it is an answer to us. */
    if (!text || json_object_get(message, "media") || json_str(message, "chat"))
        return false;

    json_t *survey = latest(scene, "asked", "asked_at");
    msec_t expires = survey ? json_time(survey, "expires_at", 0) : 0;
    if (survey && (expires == 0 || scene->now < expires) && !asked_since(scene, json_time(survey, "asked_at", 0))) {
        const json_t *declaration = desk_declaration(scene->desk, "survey", json_str(survey, "name"));
        const char *rest;
        int score = survey_score_of(declaration, (int)json_int(survey, "scale", 5), text, &rest);
        if (score > 0) {
            record_score(scene, survey, score, rest);
            return true;
        }
    }
    survey = latest(scene, "answered", "answered_at");
    const json_t *declaration = survey ? desk_declaration(scene->desk, "survey", json_str(survey, "name")) : NULL;
    msec_t answered = survey ? json_time(survey, "answered_at", 0) : 0;
    if (!declaration || !json_object_get(declaration, "ask_comment") || strcmp(scene->type, "message.received") != 0 ||
        scene->now >= answered + json_int(declaration, "comment_ms", DEFAULT_COMMENT_MS) ||
        asked_since(scene, answered))
        return false;
    json_t *conversation = rows_by_id(scene->desk->rows, ROWS_CONVERSATION, json_int(survey, "conversation_id", 0));
    attach_message(scene, survey, conversation);
    rows_edit(scene->desk->rows, ROWS_SURVEY, survey);
    const char *rest;
    int score = survey_score_of(declaration, (int)json_int(survey, "scale", 5), text, &rest);
    int64_t previous = 0;
    if (score > 0 && !rest) { /* another number is a change of mind, not a comment */
        previous = json_int(survey, "score", 0);
        json_put_int(survey, "score", score);
    } else {
        put_comment(survey, text, scene->now);
    }
    bool is_comment = strcmp(json_str_or(survey, "state", ""), "commented") == 0;
    consume(scene, survey, is_comment ? "survey_comment" : "survey_answer");
    emit_answered(scene, survey, conversation, previous);
    if (is_comment && conversation)
        answer_back(scene, conversation, survey, declaration, "thanks");
    return true;
}

bool survey_take_edit(struct scene *scene, const json_t *message)
{
    json_t *survey = rows_by_id(scene->desk->rows, ROWS_SURVEY, json_int(message, "survey_id", 0));
    const char *text = json_str(json_object_at(scene->event, "message"), "text");
    if (!survey || !text || strcmp(json_str_or(message, "direction", ""), "in") != 0)
        return false;
    const json_t *declaration = desk_declaration(scene->desk, "survey", json_str(survey, "name"));
    const json_t *conversation =
        rows_by_id(scene->desk->rows, ROWS_CONVERSATION, json_int(survey, "conversation_id", 0));
    const char *rest;
    int score = survey_score_of(declaration, (int)json_int(survey, "scale", 5), text, &rest);
    int64_t previous = json_int(survey, "score", 0);
    rows_edit(scene->desk->rows, ROWS_SURVEY, survey);
    if (score > 0)
        json_put_int(survey, "score", score);
    if (score == 0 || rest)
        put_comment(survey, score == 0 ? text : rest, scene->now);
    consume(scene, survey, "survey_edit");
    emit_answered(scene, survey, conversation, previous);
    return true;
}

bool survey_expire(struct scene *scene)
{
    json_t *survey = rows_by_id(scene->desk->rows, ROWS_SURVEY, json_int(scene->event, "survey_id", 0));
    if (!survey || !state_is(survey, "asked"))
        return false;
    rows_edit(scene->desk->rows, ROWS_SURVEY, survey);
    json_put_str(survey, "state", "expired");
    scene->survey = survey;
    return true;
}
