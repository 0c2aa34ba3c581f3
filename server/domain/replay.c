#include "domain/replay.h"

#include <string.h>

#include "domain/conversation.h"
#include "domain/effect_key.h"
#include "domain/identity.h"
#include "domain/incoming.h"

#define KEY_MAX_BYTES ((size_t)1024)

void replay_set_up(struct scene *scene)
{
    json_t *replay = json_object_at(scene->event, "replay");
    if (!replay)
        return;
    json_t *plain = json_copy((json_t *)(uintptr_t)scene->event);
    json_object_del(plain, "replay");
    scene->replay = json_deep_copy(replay); /* former effects are struck off as they are found again */
    scene->event = plain;
    scene->replayed_event = plain;
}

void replay_done(struct scene *scene)
{
    json_decref(scene->replay);
    json_decref(scene->replayed_event);
    scene->replay = scene->replayed_event = NULL;
}

bool replay_enter(struct scene *scene)
{
    struct rows *rows = scene->desk->rows;
    if (!scene->replay || !json_bool(scene->replay, "handled", false))
        return false;
    int64_t contact_id = json_int(scene->replay, "contact_id", 0);
    scene->contact = identity_follow_merge(scene->desk, rows_by_id(rows, ROWS_CONTACT, contact_id));
    scene->conversation = rows_by_id(rows, ROWS_CONVERSATION, json_int(scene->replay, "conversation_id", 0));
    scene->about_conversation = scene->conversation != NULL;
    if (!scene->conversation)
        conversation_find(scene);
    incoming_find_related(scene);
    scene->consumed = json_bool(scene->replay, "consumed", false);
    if (strcmp(scene->type, "agent.action") == 0)
        scene_act_as_agent(scene, json_str_or(scene->event, "agent", "api"));
    return true;
}

bool replay_is_settled(const struct scene *scene, const char *rule)
{
    return scene->replay && json_list_has(json_array_at(scene->replay, "settled"), rule);
}

bool replay_has_stopped(const struct scene *scene, const char *rule)
{
    return scene->replay && strcmp(json_str_or(scene->replay, "stopped_by", ""), rule) == 0;
}

static bool same_key(const json_t *former, const struct buf *key)
{
    struct buf other CLEANUP(buf_done);
    buf_init(&other, KEY_MAX_BYTES);
    effect_add_key(former, &other);
    return other.len == key->len && memcmp(other.ptr, key->ptr, key->len) == 0;
}

/* Strikes the effect off the list of what the rule was given then; new reference, or NULL when it is not there. */
static json_t *strike(const struct scene *scene, const char *rule, const json_t *effect)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, KEY_MAX_BYTES);
    effect_add_key(effect, &key);
    size_t index, place;
    json_t *call, *former;
    json_array_foreach (json_array_at(scene->replay, "effects"), index, call) {
        if (strcmp(json_str_or(call, "rule", ""), rule) != 0)
            continue;
        json_t *effects = json_array_at(call, "effects");
        json_array_foreach (effects, place, former) {
            if (json_bool(former, "suppressed", false) || !same_key(former, &key))
                continue;
            json_incref(former);
            json_array_remove(effects, place);
            return former;
        }
    }
    return NULL;
}

void replay_suppress(struct scene *scene, const char *rule, json_t *effects)
{
    size_t index;
    json_t *effect;
    json_array_foreach (scene->replay ? effects : NULL, index, effect) {
        json_t *former = strike(scene, rule, effect);
        if (!former)
            continue;
        json_put_bool(effect, "suppressed", true);
        if (json_object_get(former, "made"))
            json_object_set(effect, "made", json_object_get(former, "made"));
        json_decref(former);
    }
}

void replay_apply_former(struct scene *scene, const json_t *effect)
{
    const char *handle = json_str(effect, "handle");
    int64_t id = json_int(json_object_at(effect, "made"), "conversation", 0);
    json_t *conversation = rows_by_id(scene->desk->rows, ROWS_CONVERSATION, id);
    if (!handle || !conversation)
        return;
    json_put_int(scene->handles, handle, id);
    if (!scene->conversation)
        scene->conversation = conversation;
}
