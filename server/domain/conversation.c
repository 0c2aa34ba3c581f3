#include "domain/conversation.h"

#include <string.h>

#include "domain/identity.h"
#include "domain/message.h"
#include "domain/timer.h"

bool conversation_is_resolved(const json_t *conversation)
{
    return strcmp(json_str_or(conversation, "state", ""), "resolved") == 0;
}

static const char *const priorities[] = { "low", "normal", "high", "urgent" };

/* From 0, the lowest; -1 when there is no such priority. */
static int rank_of(const char *priority)
{
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        if (strcmp(priorities[i], priority) == 0)
            return (int)i;
    return -1;
}

bool conversation_knows_priority(const char *priority)
{
    return rank_of(priority) >= 0;
}

json_t *conversation_contact(const struct desk *desk, const json_t *conversation)
{
    return identity_follow_merge(desk, rows_by_id(desk->rows, ROWS_CONTACT, json_int(conversation, "contact_id", 0)));
}

static msec_t last_activity(const json_t *conversation)
{
    msec_t in = json_time(conversation, "last_inbound_at", 0);
    msec_t out = json_time(conversation, "last_outbound_at", 0);
    msec_t opened = json_time(conversation, "opened_at", 0);
    msec_t latest = in > out ? in : out;
    return latest > opened ? latest : opened;
}

static bool is_more_active(const json_t *row, const json_t *than)
{
    if (!than || last_activity(row) != last_activity(than))
        return !than || last_activity(row) > last_activity(than);
    return row_id(row) > row_id(than);
}

json_t *conversation_latest_open(const struct desk *desk, const json_t *contact, const char *source)
{
    json_t *best = NULL, *without_channel = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_CONVERSATION, row_id(contact)), index, row) {
        const char *own = json_str(row, "source");
        if (conversation_is_resolved(row))
            continue;
        if (!source || (own && strcmp(own, source) == 0))
            best = is_more_active(row, best) ? row : best;
        else if (!own)
            without_channel = is_more_active(row, without_channel) ? row : without_channel;
    }
    return best ? best : without_channel;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void conversation_find(struct scene *scene)
{
    struct desk *desk = scene->desk;
    int64_t id = json_int(scene->event, "conversation_id", 0);
    if (id <= 0 && scene->message)
        id = json_int(scene->message, "conversation_id", 0);
    if (id > 0) {
        scene->conversation = rows_by_id(desk->rows, ROWS_CONVERSATION, id);
        scene->about_conversation = scene->conversation != NULL;
        if (scene->conversation && !scene->contact)
            scene->contact = conversation_contact(desk, scene->conversation);
        return;
    }
    if (!scene->contact)
        return;
    if (starts_with(scene->type, "message.")) {
        scene->conversation = conversation_latest_open(desk, scene->contact, json_str_or(scene->event, "source", ""));
        scene->about_conversation = scene->conversation != NULL;
    } else {
        scene->conversation = conversation_latest_open(desk, scene->contact, NULL);
    }
}

static void note_change(struct scene *scene, json_t *conversation)
{
    rows_edit(scene->desk->rows, ROWS_CONVERSATION, conversation);
    json_put_time(conversation, "updated_at", scene->now);
}

static void emit(struct scene *scene, const char *type, const json_t *conversation, const char *key, const char *value)
{
    json_t *body = json_object();
    json_put_str(body, "by", scene->author);
    if (key)
        json_put_str(body, key, value);
    scene_emit(scene, type, conversation_contact(scene->desk, conversation), conversation, body, NULL);
}

static void set_state_open(struct scene *scene, json_t *conversation)
{
    note_change(scene, conversation);
    json_put_str(conversation, "state", "open");
    json_object_del(conversation, "snoozed_until");
    timer_cancel(scene, row_id(conversation), "snooze");
}

void conversation_take_inbound(struct scene *scene, json_t *conversation)
{
    if (scene->message && !json_int(scene->message, "conversation_id", 0)) {
        rows_edit(scene->desk->rows, ROWS_MESSAGE, scene->message);
        json_put_int(scene->message, "conversation_id", row_id(conversation));
    }
    note_change(scene, conversation);
    const char *state = json_str_or(conversation, "state", "");
    if (strcmp(state, "snoozed") == 0 || strcmp(state, "pending") == 0)
        set_state_open(scene, conversation);
    const char *identity = scene->message ? json_str(scene->message, "identity") : NULL;
    if (scene->source && identity) {
        json_put_str(conversation, "source", scene->source);
        json_put_str(conversation, "identity", identity);
    }
    msec_t at = json_time(scene->event, "occurred_at", scene->now);
    if (at > json_time(conversation, "last_inbound_at", 0))
        json_put_time(conversation, "last_inbound_at", at);
    timer_arm_window_closing(scene, conversation);
}

static bool text_equal(const json_t *row, const char *key, const char *text)
{
    return strcmp(json_str_or(row, key, ""), text) == 0;
}

static void add_tags(json_t *conversation, const json_t *tags)
{
    json_t *known = json_array_at(conversation, "tags");
    size_t index;
    json_t *tag;
    json_array_foreach (tags, index, tag) {
        if (json_is_string(tag) && !json_list_has(known, json_string_value(tag)))
            json_array_append(known, tag);
    }
}

static json_t *make(struct scene *scene, json_t *contact, const struct conversation_wish *wish, const json_t *previous)
{
    json_t *row = json_object();
    json_put_int(row, "id", desk_next_id(scene->desk));
    json_put_int(row, "contact_id", row_id(contact));
    json_put_str(row, "topic", wish->topic);
    json_put_str(row, "reference", wish->reference);
    json_put_str(row, "state", "open");
    json_put_str(row, "priority", wish->priority ? wish->priority : "normal");
    json_put(row, "tags", json_array());
    add_tags(row, wish->tags);
    json_put(row, "attributes", json_object());
    json_put_time(row, "opened_at", scene->now);
    json_put_time(row, "updated_at", scene->now);
    json_put_int(row, "episode", 1);
    if (previous)
        json_put_int(row, "previous_id", row_id(previous));
    if (wish->channel)
        json_put_str(row, "source", wish->channel);
    row = rows_insert(scene->desk->rows, ROWS_CONVERSATION, row);
    emit(scene, "conversation.opened", row, NULL, NULL);
    return row;
}

static json_t *reopen(struct scene *scene, json_t *conversation, const struct conversation_wish *wish)
{
    note_change(scene, conversation);
    json_put_str(conversation, "state", "open");
    json_put_int(conversation, "episode", json_int(conversation, "episode", 1) + 1);
    json_object_del(conversation, "resolved_at");
    if (wish->priority)
        json_put_str(conversation, "priority", wish->priority);
    add_tags(conversation, wish->tags);
    emit(scene, "conversation.reopened", conversation, NULL, NULL);
    return conversation;
}

/* What the rules before this one and colleagues gave it is never taken back: tags are added, a priority only rises. */
static void join(struct scene *scene, json_t *conversation, const struct conversation_wish *wish)
{
    size_t index;
    json_t *tag;
    json_array_foreach (wish->tags, index, tag) {
        if (json_is_string(tag))
            conversation_tag(scene, conversation, json_string_value(tag));
    }
    if (wish->priority && rank_of(wish->priority) > rank_of(json_str_or(conversation, "priority", "normal")))
        conversation_prioritize(scene, conversation, wish->priority);
}

json_t *conversation_open(struct scene *scene, json_t *contact, const struct conversation_wish *wish)
{
    json_t *open = NULL, *resolved = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_CONVERSATION, row_id(contact)), index, row) {
        const json_t *attributes = json_object_at(row, "attributes");
        if (!text_equal(row, "topic", wish->topic) || !text_equal(row, "reference", wish->reference) ||
            (attributes && json_int(attributes, "merged_into", 0) > 0))
            continue;
        if (!conversation_is_resolved(row))
            open = row;
        else if (!resolved || json_time(row, "resolved_at", 0) >= json_time(resolved, "resolved_at", 0))
            resolved = row;
    }
    json_t *conversation = open;
    if (open)
        join(scene, open, wish);
    if (!conversation && resolved && wish->reopen_ms > 0 &&
        json_time(resolved, "resolved_at", 0) + wish->reopen_ms >= scene->now)
        conversation = reopen(scene, resolved, wish);
    if (!conversation)
        conversation = make(scene, contact, wish, resolved);

    if (contact == scene->contact) {
        bool waits = scene->message && rows_is_new(scene->desk->rows, ROWS_MESSAGE, scene->message) &&
                     !json_int(scene->message, "conversation_id", 0);
        if (waits) {
            conversation_take_inbound(scene, conversation);
            scene->about_conversation = true;
        }
        if (!scene->conversation || waits)
            scene->conversation = conversation;
    }
    return conversation;
}

void conversation_tag(struct scene *scene, json_t *conversation, const char *tag)
{
    if (json_list_has(json_array_at(conversation, "tags"), tag))
        return;
    note_change(scene, conversation);
    json_array_append_new(json_array_at(conversation, "tags"), json_string(tag));
    emit(scene, "conversation.tagged", conversation, "tag", tag);
}

void conversation_untag(struct scene *scene, json_t *conversation, const char *tag)
{
    json_t *tags = json_array_at(conversation, "tags");
    if (!json_list_has(tags, tag))
        return;
    note_change(scene, conversation);
    tags = json_array_at(conversation, "tags");
    for (size_t i = json_array_size(tags); i > 0; i--)
        if (strcmp(json_string_value(json_array_get(tags, i - 1)), tag) == 0)
            json_array_remove(tags, i - 1);
}

void conversation_assign(struct scene *scene, json_t *conversation, const char *assignee)
{
    const char *now = json_str_or(conversation, "assignee", "");
    if (strcmp(now, assignee ? assignee : "") == 0)
        return;
    note_change(scene, conversation);
    json_object_del(conversation, "assignee");
    json_put_str(conversation, "assignee", assignee);
    emit(scene, "conversation.assigned", conversation, "assignee", assignee);
}

void conversation_prioritize(struct scene *scene, json_t *conversation, const char *priority)
{
    if (text_equal(conversation, "priority", priority))
        return;
    note_change(scene, conversation);
    json_put_str(conversation, "priority", priority);
    emit(scene, "conversation.prioritized", conversation, "priority", priority);
}

void conversation_snooze(struct scene *scene, json_t *conversation, msec_t until)
{
    note_change(scene, conversation);
    json_put_str(conversation, "state", "snoozed");
    json_put_time(conversation, "snoozed_until", until);
    struct timer_wish wish = { .name = "snooze", .due = until };
    timer_arm(scene, conversation, &wish);
    emit(scene, "conversation.snoozed", conversation, NULL, NULL);
}

void conversation_wake(struct scene *scene, json_t *conversation)
{
    if (strcmp(json_str_or(conversation, "state", ""), "snoozed") == 0)
        set_state_open(scene, conversation);
}

void conversation_resolve(struct scene *scene, json_t *conversation)
{
    if (conversation_is_resolved(conversation))
        return;
    note_change(scene, conversation);
    json_put_str(conversation, "state", "resolved");
    json_put_time(conversation, "resolved_at", scene->now);
    json_object_del(conversation, "snoozed_until");
    timer_cancel(scene, row_id(conversation), "snooze");
    timer_cancel(scene, row_id(conversation), "window.closing");
    emit(scene, "conversation.resolved", conversation, NULL, NULL);
}
