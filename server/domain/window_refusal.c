#include "domain/window_refusal.h"

#include <string.h>

#include "domain/message.h"
#include "domain/send.h"

/* Meta's error-codes page: "Re-engagement message", more than 24 hours have passed since the customer's last one. */
#define WINDOW_CLOSED_CODE "131047"

static bool is_refusal(const struct scene *scene, const json_t *message)
{
    const json_t *status = json_object_at(scene->event, "status");
    return strcmp(json_str_or(status, "state", ""), "failed") == 0 &&
           strcmp(json_str_or(json_object_at(status, "error"), "code", ""), WINDOW_CLOSED_CODE) == 0 &&
           strcmp(json_str_or(message, "state", ""), "failed") == 0;
}

/* What the question of this survey is asked with where the window is closed; NULL: nothing, or it is no question. */
static const char *template_of_survey(const struct scene *scene, const json_t *content)
{
    const char *survey = json_str(content, "survey");
    if (!survey || strcmp(json_str_or(content, "part", ""), "question") != 0)
        return NULL;
    return json_str(desk_declaration(scene->desk, "survey", survey), "template");
}

/* What was to be said. New reference. */
static json_t *what_of(const json_t *message, const json_t *content)
{
    json_t *what = json_object();
    json_put_str(what, "channel", json_str(message, "source"));
    if (json_str(content, "template")) {
        static const char *const copied[] = { "template", "language", "vars" };
        for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
            json_object_set(what, copied[i], json_object_get(content, copied[i]));
    } else {
        json_put_str(what, "text", json_str(message, "text"));
        json_object_set(what, "buttons", json_object_get(content, "buttons"));
    }
    return what;
}

/* The place of the message in its survey or outreach. New reference. */
static json_t *place_of(const json_t *message, const json_t *content)
{
    static const char *const copied[] = { "survey", "part", "step", "tried" };
    json_t *place = json_object();
    for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
        json_object_set(place, copied[i], json_object_get(content, copied[i]));
    json_put_int(place, "replaces", row_id(message));
    return place;
}

static const char *rule_of(const json_t *message)
{
    const char *author = json_str_or(message, "author", "");
    return strncmp(author, "rule:", 5) == 0 ? author + 5 : NULL;
}

static void mark(struct scene *scene, json_t *message, int64_t replaced_by)
{
    json_t *content = json_copy_containers(json_object_at(message, "content")), *columns = json_object();
    json_put_int(content, "replaced_by", replaced_by);
    json_put(columns, "content", content);
    message_change(scene, message, columns);
}

bool window_refusal_take_status(struct scene *scene, json_t *message)
{
    struct rows *rows = scene->desk->rows;
    const json_t *content = json_object_at(message, "content");
    if (!is_refusal(scene, message))
        return false;
    if (json_int(content, "replaced_by", 0) > 0)
        return true; /* the sender reports it at once, the provider later */
    json_t *conversation = rows_by_id(rows, ROWS_CONVERSATION, json_int(message, "conversation_id", 0));
    const json_t *outreach = rows_by_id(rows, ROWS_OUTREACH, json_int(message, "outreach_id", 0));
    const char *survey_template = template_of_survey(scene, content);
    bool is_pointless = outreach && strcmp(json_str_or(outreach, "state", ""), "active") != 0;
    if (!conversation || is_pointless || (!json_str(content, "template") && !survey_template) ||
        json_int(content, "replaces", 0) > 0)
        return false;
    scene_act_as_desk(scene, "window", rule_of(message));
    json_t *what = what_of(message, content), *place = place_of(message, content), *made = json_object();
    const struct send_wish wish = {
        .conversation = conversation,
        .what = what,
        .topic = json_str(outreach, "topic"),
        .is_outreach = outreach != NULL,
        .approved_only = true,
        .outreach_id = json_int(message, "outreach_id", 0),
        .survey_id = json_int(message, "survey_id", 0),
        .survey_template = survey_template,
        .extra_content = place,
    };
    const char *refused = NULL;
    struct error error;
    if (send_message(scene, &wish, made, &refused, &error) != ERR_NONE)
        refused = error.text;
    bool is_replaced = !refused;
    if (is_replaced)
        mark(scene, message, json_int(made, "message", 0));
    json_t *note = json_object();
    json_put_str(note, "do", "send_approved");
    json_put_int(note, "instead_of", row_id(message));
    json_put(note, "made", made);
    json_put_str(note, "refused", refused);
    scene_note_built_in(scene, "window", note);
    json_decref(what);
    json_decref(place);
    return is_replaced;
}
