#include "domain/desk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/facts.h"
#include "domain/incoming.h"
#include "domain/message_target.h"
#include "domain/replay.h"
#include "domain/rule_turn.h"
#include "domain/scene.h"
#include "domain/timer.h"

static const char *const log_names[LOG_COUNT] = { "message_edits",     "message_states", "deliveries",
                                                  "cancel_deliveries", "timer_cancels",  "events",
                                                  "handlings",         "traces",         "rule_health" };

struct desk *desk_new(const struct desk_settings *settings, struct rule_set *rules)
{
    struct desk *desk = memory_new(sizeof(*desk));
    desk->settings = *settings;
    desk->rules = rules;
    desk->rows = settings->world ? settings->world : rows_new();
    for (int i = 0; i < LOG_COUNT; i++)
        desk->logs[i] = json_array();
    desk->happened = json_array();
    return desk;
}

void desk_free(struct desk *desk)
{
    if (!desk)
        return;
    if (!desk->settings.world)
        rows_free(desk->rows);
    for (int i = 0; i < LOG_COUNT; i++)
        json_decref(desk->logs[i]);
    json_decref(desk->happened);
    facts_forget(&desk->contact_facts);
    for (size_t i = 0; i < ARRAY_LEN(desk->known_senders); i++)
        contact_forget_sender(&desk->known_senders[i]);
    free(desk);
}

void desk_add_case(struct desk *desk, json_t *contact_case)
{
    json_t *contact = json_object_at(contact_case, "contact");
    if (contact)
        rows_load(desk->rows, ROWS_CONTACT, json_incref(contact));
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        json_t *list = json_array_at(contact_case, rows_table_name((enum rows_table)i));
        size_t index;
        json_t *row;
        json_array_foreach (list, index, row) {
            if (json_is_object(row))
                rows_load(desk->rows, (enum rows_table)i, json_incref(row));
        }
    }
    json_decref(contact_case);
}

static void take_logs(struct desk *desk, json_t *changes)
{
    json_array_clear(desk->happened); /* the store tells of it from now on */
    for (int i = 0; i < LOG_COUNT; i++) {
        if (json_array_size(desk->logs[i]) == 0)
            continue;
        json_put(changes, log_names[i], desk->logs[i]);
        desk->logs[i] = json_array();
    }
}

json_t *desk_take_changes(struct desk *desk)
{
    json_t *changes = rows_take_changed(desk->rows);
    take_logs(desk, changes);
    return changes;
}

json_t *desk_take_logs(struct desk *desk)
{
    json_t *logs = json_object();
    take_logs(desk, logs);
    return logs;
}

int64_t desk_next_id(struct desk *desk)
{
    return desk->settings.next_id(desk->settings.id_arg);
}

json_t *desk_source(const struct desk *desk, const char *source)
{
    return source && desk->settings.sources ? json_object_get(desk->settings.sources, source) : NULL;
}

bool desk_source_sends(const struct desk *desk, const char *source)
{
    const json_t *settings = desk_source(desk, source);
    return settings && json_bool(settings, "sends", false);
}

const char *desk_rule_set_version(const struct desk *desk)
{
    return desk->rules ? rule_set_version(desk->rules) : "";
}

json_t *desk_declaration(const struct desk *desk, const char *kind, const char *name)
{
    return desk->rules && name ? rule_set_declaration(desk->rules, kind, name) : NULL;
}

void desk_log_add(struct desk *desk, enum desk_log log, json_t *entry)
{
    json_array_append_new(desk->logs[log], entry);
}

int64_t row_id(const json_t *row)
{
    return json_int(row, "id", 0);
}

static void set_author(struct scene *scene, const char *kind, const char *name)
{
    size_t length = text_append(scene->author, sizeof(scene->author), 0, kind);
    text_append(scene->author, sizeof(scene->author), length, name);
}

void scene_act_as_rule(struct scene *scene, const char *rule)
{
    scene->rule = rule;
    scene->is_agent = false;
    set_author(scene, "rule:", rule);
}

void scene_act_as_agent(struct scene *scene, const char *agent)
{
    scene->rule = NULL;
    scene->is_agent = true;
    set_author(scene, "agent:", agent);
}

void scene_act_as_desk(struct scene *scene, const char *what, const char *rule)
{
    scene->rule = rule;
    scene->is_agent = false;
    set_author(scene, rule ? "rule:" : "", rule ? rule : what);
}

void scene_note_built_in(struct scene *scene, const char *name, json_t *what)
{
    scene->built_in_name = name;
    json_array_append_new(scene->built_in, what);
}

int64_t scene_emit(struct scene *scene, const char *type, const json_t *contact, const json_t *conversation,
                   json_t *body, json_t *extra)
{
    struct desk *desk = scene->desk;
    int64_t id = desk_next_id(desk);
    json_t *event = json_object();
    json_put_int(event, "id", id);
    json_put_str(event, "type", type);
    json_put_str(event, "source", "answerd");
    json_put_str(event, "provider", "answerd");
    char key[64];
    snprintf(key, sizeof(key), "internal:%lld", (long long)id);
    json_put_str(event, "key", key);
    json_put_time(event, "occurred_at", scene->now);
    json_put_time(event, "received_at", scene->now);
    if (contact) {
        json_put_int(event, "contact_id", row_id(contact));
        json_put_int(event, "lane", json_int(contact, "lane", 0));
        json_t *who = json_object();
        json_t *identities = json_array();
        const char *primary = contact_primary_identity(desk, contact);
        if (primary)
            json_array_append_new(identities, json_string(primary));
        json_put(who, "identities", identities);
        json_put_str(who, "name", json_str(contact, "name"));
        json_put_str(who, "language", json_str(contact, "language"));
        json_put(event, "contact", who);
    } else {
        json_put_int(event, "lane", lane_of("source:answerd"));
    }
    if (conversation)
        json_put_int(event, "conversation_id", row_id(conversation));
    if (body)
        json_put(event, "body", body);
    json_t *cause = json_object();
    json_put_int(cause, "event", scene->event_id);
    json_put_str(cause, "rule", scene->rule);
    json_put_int(cause, "depth", (int64_t)scene->depth + 1);
    json_put(event, "cause", cause);
    if (extra) {
        json_object_update(event, extra);
        json_decref(extra);
    }
    desk_log_add(desk, LOG_EVENTS, event);
    return id;
}

static void scene_set_up(struct scene *scene, struct desk *desk, const json_t *event, msec_t now)
{
    memset(scene, 0, sizeof(*scene));
    scene->desk = desk;
    scene->event = event;
    scene->type = json_str_or(event, "type", "");
    scene->event_id = json_int(event, "id", 0);
    scene->now = now;
    const json_t *cause = json_object_at(event, "cause");
    int64_t depth = cause ? json_int(cause, "depth", 0) : 0;
    scene->depth = depth < 0 ? 0 : (unsigned)depth;
    const char *source = json_str(event, "source");
    scene->source = desk_source_sends(desk, source) ? source : NULL;
    scene->handles = json_object();
    scene->built_in = json_array();
    scene_act_as_desk(scene, "answerd", NULL);
    replay_set_up(scene);
}

/* Takes over what was skipped. */
static void log_handling(const struct scene *scene)
{
    struct desk *desk = scene->desk;
    json_t *handling = json_object();
    json_put_int(handling, "event_id", scene->event_id);
    json_put_time(handling, "handled_at", scene->now);
    if (scene->contact)
        json_put_int(handling, "contact_id", row_id(scene->contact));
    if (scene->conversation)
        json_put_int(handling, "conversation_id", row_id(scene->conversation));
    json_put_str(handling, "rule_set", desk_rule_set_version(desk));
    json_put_str(handling, "problem", scene->problem);
    if (scene->skipped)
        json_put(handling, "skipped", scene->skipped);
    desk_log_add(desk, LOG_HANDLINGS, handling);
}

void desk_handle(struct desk *desk, const json_t *event, msec_t now)
{
    struct scene scene;
    scene_set_up(&scene, desk, event, now);

    if (!replay_enter(&scene)) {
        scene.message = message_target_find(&scene);
        contact_find_or_make(&scene);
        conversation_find(&scene);
        incoming_handle(&scene);
        timer_cancel_pointless(&scene);
        timer_note_happened(&scene);
    }
    rule_turn_run(&scene);

    if (!desk->settings.tells_briefly)
        log_handling(&scene);
    replay_done(&scene);
    json_decref(scene.handles);
    json_decref(scene.built_in);
}

/* About somebody else, whom nobody has locked. */
static bool must_wait(const struct desk *desk, const json_t *event)
{
    return !rows_by_id(desk->rows, ROWS_CONTACT, json_int(event, "contact_id", 0));
}

size_t desk_handle_made(struct desk *desk, msec_t now)
{
    json_t *made = desk->logs[LOG_EVENTS];
    const size_t count = json_array_size(made); /* what these make waits */
    size_t handled = 0;
    for (size_t i = 0; i < count; i++) {
        json_t *event = json_array_get(made, i);
        if (must_wait(desk, event) || rule_set_takes(desk->rules, json_str_or(event, "type", "")))
            continue;
        desk_handle(desk, event, now);
        json_put_bool(event, "handled", true);
        handled++;
    }
    return handled;
}
