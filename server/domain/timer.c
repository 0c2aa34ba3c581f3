#include "domain/timer.h"

#include <string.h>

/* A chain of timers is a loop only when it turns fast: the depth of causes starts again after such a wait. */
#define DEPTH_RESETS_AFTER_MS ((msec_t)60 * 1000)
#define WINDOW_CLOSING_AHEAD_MS ((msec_t)60 * 60 * 1000)

static json_t *arm(struct scene *scene, const json_t *owner, const json_t *old, const struct timer_wish *wish)
{
    json_t *row = json_object();
    json_put_int(row, "id", old ? row_id(old) : desk_next_id(scene->desk));
    json_put_str(row, "name", wish->name);
    json_put_time(row, "due_at", wish->due);
    int64_t contact_id = json_int(owner, "contact_id", 0);
    json_put_int(row, "contact_id", contact_id);
    const json_t *contact = rows_by_id(scene->desk->rows, ROWS_CONTACT, contact_id);
    json_put_int(row, "lane", contact ? json_int(contact, "lane", 0) : 0);
    json_put_str(row, "rule", scene->rule);
    json_put_str(row, "rule_set", desk_rule_set_version(scene->desk));
    json_put_int(row, "cause_event", scene->event_id);
    json_put_int(row, "depth", wish->due - scene->now >= DEPTH_RESETS_AFTER_MS ? 0 : (int64_t)scene->depth + 1);
    json_put(row, "data", wish->data ? json_copy_containers(wish->data) : json_object());
    json_put(row, "unless", wish->unless ? json_copy_containers(wish->unless) : json_array());
    json_put_time(row, "armed_at", scene->now);
    return row;
}

static json_t *find_by(const struct scene *scene, int64_t contact_id, const char *key, int64_t id, const char *name)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_TIMER, contact_id), index, row) {
        if (json_int(row, key, 0) == id && (!name || strcmp(json_str_or(row, "name", ""), name) == 0))
            return row;
    }
    return NULL;
}

json_t *timer_arm(struct scene *scene, const json_t *conversation, const struct timer_wish *wish)
{
    json_t *old =
        find_by(scene, json_int(conversation, "contact_id", 0), "conversation_id", row_id(conversation), wish->name);
    json_t *row = arm(scene, conversation, old, wish);
    json_put_int(row, "conversation_id", row_id(conversation));
    return rows_upsert(scene->desk->rows, ROWS_TIMER, row);
}

json_t *timer_arm_outreach(struct scene *scene, const json_t *outreach, msec_t due, const json_t *data)
{
    json_t *old = find_by(scene, json_int(outreach, "contact_id", 0), "outreach_id", row_id(outreach), NULL);
    struct timer_wish wish = { .name = "outreach.step", .due = due, .data = data };
    json_t *row = arm(scene, outreach, old, &wish);
    json_put_int(row, "outreach_id", row_id(outreach));
    return rows_upsert(scene->desk->rows, ROWS_TIMER, row);
}

json_t *timer_arm_survey(struct scene *scene, const json_t *survey, msec_t due)
{
    json_t *old = find_by(scene, json_int(survey, "contact_id", 0), "survey_id", row_id(survey), NULL);
    struct timer_wish wish = { .name = "survey.expired", .due = due };
    json_t *row = arm(scene, survey, old, &wish);
    json_put_int(row, "survey_id", row_id(survey));
    return rows_upsert(scene->desk->rows, ROWS_TIMER, row);
}

void timer_arm_window_closing(struct scene *scene, const json_t *conversation)
{
    const json_t *settings = desk_source(scene->desk, json_str(conversation, "source"));
    msec_t window = settings ? json_int(settings, "window_ms", 0) : 0;
    msec_t due = json_time(conversation, "last_inbound_at", 0) + window - WINDOW_CLOSING_AHEAD_MS;
    if (window <= WINDOW_CLOSING_AHEAD_MS || due <= scene->now || !rule_set_takes(scene->desk->rules, "window.closing"))
        return;
    struct timer_wish wish = { .name = "window.closing", .due = due };
    timer_arm(scene, conversation, &wish);
}

static void drop(struct scene *scene, json_t *row)
{
    json_t *entry = json_object();
    if (json_int(row, "conversation_id", 0) > 0) {
        json_put_int(entry, "conversation_id", json_int(row, "conversation_id", 0));
        json_put_str(entry, "name", json_str(row, "name"));
    } else {
        json_put_int(entry, "id", row_id(row));
    }
    desk_log_add(scene->desk, LOG_TIMER_CANCELS, entry);
    rows_remove(scene->desk->rows, ROWS_TIMER, row);
}

/* Cancels the timers whose `key` is `id`; also when they are not among the facts. */
static void cancel_by(struct scene *scene, const char *key, int64_t id)
{
    json_t *found = json_array();
    const char *row_key;
    json_t *row;
    json_object_foreach (rows_all(scene->desk->rows, ROWS_TIMER), row_key, row) {
        if (json_int(row, key, 0) == id)
            json_array_append(found, row);
    }
    size_t index;
    json_array_foreach (found, index, row)
        drop(scene, row);
    json_decref(found);
    if (strcmp(key, "conversation_id") == 0)
        return;
    json_t *entry = json_object();
    json_put_int(entry, key, id);
    desk_log_add(scene->desk, LOG_TIMER_CANCELS, entry);
}

bool timer_cancel(struct scene *scene, int64_t conversation_id, const char *name)
{
    const json_t *conversation = rows_by_id(scene->desk->rows, ROWS_CONVERSATION, conversation_id);
    json_t *row =
        conversation ? find_by(scene, json_int(conversation, "contact_id", 0), "conversation_id", conversation_id, name)
                     : NULL;
    if (row)
        drop(scene, row);
    return row != NULL;
}

void timer_cancel_of_conversation(struct scene *scene, int64_t conversation_id)
{
    cancel_by(scene, "conversation_id", conversation_id);
}

void timer_cancel_of_outreach(struct scene *scene, int64_t outreach_id)
{
    cancel_by(scene, "outreach_id", outreach_id);
}

void timer_cancel_of_survey(struct scene *scene, int64_t survey_id)
{
    cancel_by(scene, "survey_id", survey_id);
}

/* `condition` is an event type, or a family such as "payment.*". */
static bool names_event(const char *condition, const char *type)
{
    size_t length = strlen(condition);
    if (length >= 2 && strcmp(condition + length - 2, ".*") == 0)
        return strncmp(condition, type, length - 1) == 0;
    return strcmp(condition, type) == 0;
}

static bool unless_names(const json_t *timer, const char *happened)
{
    size_t index;
    json_t *condition;
    json_array_foreach (json_array_at(timer, "unless"), index, condition) {
        if (json_is_string(condition) && names_event(json_string_value(condition), happened))
            return true;
    }
    return false;
}

static bool is_reply(const char *type)
{
    return strcmp(type, "message.received") == 0 || strcmp(type, "message.button") == 0 ||
           strcmp(type, "message.sent_elsewhere") == 0;
}

static void cancel_matching(struct scene *scene, int64_t contact_id, int64_t conversation_id, const char *type)
{
    json_t *timers = json_copy(rows_of_contact(scene->desk->rows, ROWS_TIMER, contact_id));
    size_t index;
    json_t *row;
    json_array_foreach (timers, index, row) {
        if (json_int(row, "conversation_id", 0) <= 0)
            continue;
        if (conversation_id > 0 && json_int(row, "conversation_id", 0) != conversation_id)
            continue;
        if (unless_names(row, type) || (is_reply(type) && unless_names(row, "reply")))
            drop(scene, row);
    }
    json_decref(timers);
}

void timer_cancel_answered(struct scene *scene, int64_t conversation_id, const char *happened)
{
    const json_t *conversation = rows_by_id(scene->desk->rows, ROWS_CONVERSATION, conversation_id);
    if (conversation)
        cancel_matching(scene, json_int(conversation, "contact_id", 0), conversation_id, happened);
}

void timer_cancel_pointless(struct scene *scene)
{
    if (!scene->contact)
        return;
    if (scene->about_conversation && scene->conversation)
        timer_cancel_answered(scene, row_id(scene->conversation), scene->type);
    else if (!is_reply(scene->type))
        cancel_matching(scene, row_id(scene->contact), 0, scene->type); /* a payment is about the person */
}

void timer_note_happened(struct scene *scene)
{
    /* In a world that is worked on in place, a timer's event is made and handled before anything else happens. */
    if (!scene->contact || scene->desk->settings.world || strncmp(scene->type, "timer.", 6) == 0)
        return;
    json_t *entry = json_object();
    json_put_str(entry, "type", scene->type);
    json_put_int(entry, "contact_id", row_id(scene->contact));
    if (scene->about_conversation && scene->conversation)
        json_put_int(entry, "conversation_id", row_id(scene->conversation));
    json_array_append_new(scene->desk->happened, entry);
}

static bool names_what_happened(const json_t *timer, const char *type)
{
    return unless_names(timer, type) || (is_reply(type) && unless_names(timer, "reply"));
}

/* Was there one of its conditions after the timer had fired, so that nothing could cancel it? The store tells of
 * earlier batches (`happened`), the desk knows its own. */
static bool happened_meanwhile(const struct scene *scene, const json_t *timer)
{
    size_t index;
    json_t *entry;
    json_array_foreach (json_array_at(scene->event, "happened"), index, entry) {
        if (json_is_string(entry) && names_what_happened(timer, json_string_value(entry)))
            return true;
    }
    json_array_foreach (scene->desk->happened, index, entry) {
        int64_t conversation = json_int(entry, "conversation_id", 0);
        const char *type = json_str_or(entry, "type", "");
        bool about_it = conversation > 0 ? conversation == row_id(scene->conversation) : !is_reply(type);
        if (json_int(entry, "contact_id", 0) == json_int(scene->conversation, "contact_id", -1) && about_it &&
            names_what_happened(timer, type))
            return true;
    }
    return false;
}

const char *timer_pointless(const struct scene *scene)
{
    const json_t *timer = json_object_at(scene->event, "timer");
    const json_t *conversation = scene->about_conversation ? scene->conversation : NULL;
    if (!timer || !conversation)
        return NULL;
    msec_t armed = json_time(timer, "armed_at", 0);
    bool answered = json_time(conversation, "last_inbound_at", 0) > armed;
    if (answered && (unless_names(timer, "reply") || unless_names(timer, "message.received")))
        return "the customer has written since it was set";
    if (json_time(conversation, "first_reply_at", 0) > armed && unless_names(timer, "reply"))
        return "an agent has replied since it was set";
    if (json_time(conversation, "resolved_at", 0) > armed && unless_names(timer, "conversation.resolved"))
        return "the conversation was resolved since it was set";
    if (happened_meanwhile(scene, timer))
        return "what it was not to outlive has happened";
    return NULL;
}
