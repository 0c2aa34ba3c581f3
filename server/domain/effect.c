#include "domain/effect.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "channel/handle.h"
#include "domain/address.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/identity.h"
#include "domain/message.h"
#include "domain/outreach.h"
#include "domain/replay.h"
#include "domain/send.h"
#include "domain/survey.h"
#include "domain/timer.h"

#define LONGEST_WAIT_MS ((msec_t)366 * 24 * 3600 * 1000)

/* One effect under way. `conversation` and `contact` are set for effects that need them. */
struct turn {
    struct scene *scene;
    json_t *effect;
    json_t *conversation;
    json_t *contact;
    json_t *made;
    const char *refused;
};

static const char *need(const struct turn *turn, const char *key, struct error *reterr)
{
    const char *value = json_str(turn->effect, key);
    if (!value || !*value) {
        fail(reterr, ERR_INVALID, "%s needs '%s'", json_str_or(turn->effect, "do", "the effect"), key);
        return NULL;
    }
    return value;
}

static err_t no_such_priority(const char *priority, struct error *reterr)
{
    return fail(reterr, ERR_INVALID, "there is no priority '%s'\nHINT: low, normal, high or urgent", priority);
}

static err_t apply_open(struct turn *turn, struct error *reterr)
{
    struct scene *scene = turn->scene;
    struct conversation_wish wish = {
        .topic = json_str_or(turn->effect, "topic", "support"),
        .reference = json_str_or(turn->effect, "reference", ""),
        .channel = json_str(turn->effect, "channel"),
        .tags = json_array_at(turn->effect, "tags"),
        .priority = json_str(turn->effect, "priority"),
        .reopen_ms = json_int(turn->effect, "reopen_ms", 0),
    };
    if (wish.priority && !conversation_knows_priority(wish.priority))
        return no_such_priority(wish.priority, reterr);
    if (wish.channel && !address_channel_known(scene->desk, wish.channel))
        return address_no_such_channel(scene->desk, wish.channel, reterr);
    json_t *conversation = conversation_open(scene, turn->contact, &wish);
    if (wish.channel && !json_str(conversation, "identity")) {
        struct address_wish address_wish = { .channel = wish.channel };
        const json_t *address = address_choose(scene, turn->contact, &address_wish);
        if (address) {
            rows_edit(scene->desk->rows, ROWS_CONVERSATION, conversation);
            json_put_str(conversation, "source", json_str(address, "source"));
            json_put_str(conversation, "identity", json_str(address, "identity"));
        }
    }
    const char *handle = json_str(turn->effect, "handle");
    if (handle)
        json_put_int(scene->handles, handle, row_id(conversation));
    json_put_int(turn->made, "conversation", row_id(conversation));
    return ERR_NONE;
}

static err_t apply_send(struct turn *turn, struct error *reterr)
{
    struct send_wish wish = {
        .conversation = turn->conversation,
        .what = turn->effect,
        .topic = json_str(turn->effect, "topic"),
    };
    return send_message(turn->scene, &wish, turn->made, &turn->refused, reterr);
}

static err_t apply_note(struct turn *turn, struct error *reterr)
{
    const char *text = need(turn, "text", reterr);
    if (!text)
        return ERR_INVALID;
    message_note(turn->scene, turn->conversation, text);
    return ERR_NONE;
}

static err_t apply_tag(struct turn *turn, struct error *reterr)
{
    const char *tag = need(turn, "tag", reterr);
    if (!tag)
        return ERR_INVALID;
    if (strcmp(json_str_or(turn->effect, "do", ""), "tag") == 0)
        conversation_tag(turn->scene, turn->conversation, tag);
    else
        conversation_untag(turn->scene, turn->conversation, tag);
    return ERR_NONE;
}

static err_t apply_assign(struct turn *turn, struct error *reterr)
{
    (void)reterr;
    const char *assignee = json_str(turn->effect, "assignee");
    conversation_assign(turn->scene, turn->conversation, assignee && *assignee ? assignee : NULL);
    return ERR_NONE;
}

static err_t apply_prioritize(struct turn *turn, struct error *reterr)
{
    const char *priority = need(turn, "priority", reterr);
    if (!priority)
        return ERR_INVALID;
    if (!conversation_knows_priority(priority))
        return no_such_priority(priority, reterr);
    conversation_prioritize(turn->scene, turn->conversation, priority);
    return ERR_NONE;
}

static void set_attribute(struct scene *scene, enum rows_table table, json_t *row, const char *key, json_t *value)
{
    rows_edit(scene->desk->rows, table, row);
    if (!json_object_at(row, "attributes"))
        json_put(row, "attributes", json_object());
    json_t *attributes = json_object_at(row, "attributes");
    if (!value || json_is_null(value))
        json_object_del(attributes, key);
    else
        json_put(attributes, key, json_deep_copy(value));
    json_put_time(row, "updated_at", scene->now);
}

static err_t apply_set(struct turn *turn, struct error *reterr)
{
    const char *key = need(turn, "key", reterr);
    if (!key)
        return ERR_INVALID;
    set_attribute(turn->scene, ROWS_CONVERSATION, turn->conversation, key, json_object_get(turn->effect, "value"));
    return ERR_NONE;
}

static err_t apply_snooze(struct turn *turn, struct error *reterr)
{
    msec_t until = json_time(turn->effect, "until", 0);
    msec_t wait = json_int(turn->effect, "for_ms", 0);
    if (until == 0 && wait > 0 && wait <= LONGEST_WAIT_MS)
        until = turn->scene->now + wait;
    if (until <= turn->scene->now)
        return fail(reterr, ERR_INVALID, "snooze needs a time to come\nHINT: `for` a duration or `until` a time");
    if (conversation_is_resolved(turn->conversation)) {
        turn->refused = "the conversation is resolved";
        return ERR_NONE;
    }
    conversation_snooze(turn->scene, turn->conversation, until);
    return ERR_NONE;
}

static err_t apply_resolve(struct turn *turn, struct error *reterr)
{
    (void)reterr;
    if (conversation_is_resolved(turn->conversation))
        turn->refused = "the conversation is resolved already";
    conversation_resolve(turn->scene, turn->conversation);
    return ERR_NONE;
}

static err_t apply_survey(struct turn *turn, struct error *reterr)
{
    const char *name = need(turn, "survey", reterr);
    return name ? survey_ask(turn->scene, turn->conversation, name, turn->made, &turn->refused, reterr) : ERR_INVALID;
}

static bool is_reserved_timer(const char *name)
{
    return strcmp(name, "snooze") == 0 || strcmp(name, "survey.expired") == 0 || strcmp(name, "outreach.step") == 0 ||
           strcmp(name, "window.closing") == 0;
}

static err_t apply_after(struct turn *turn, struct error *reterr)
{
    const char *name = need(turn, "name", reterr);
    if (!name)
        return ERR_INVALID;
    msec_t delay = json_int(turn->effect, "delay_ms", -1);
    if (is_reserved_timer(name))
        return fail(reterr, ERR_INVALID, "the timer name '%s' is taken", name);
    if (delay < 0 || delay > LONGEST_WAIT_MS)
        return fail(reterr, ERR_INVALID, "the delay of timer '%s' is not between 0 and 366 days", name);
    struct timer_wish wish = {
        .name = name,
        .due = turn->scene->now + delay,
        .unless = json_array_at(turn->effect, "unless"),
        .data = json_object_at(turn->effect, "data"),
    };
    json_put_int(turn->made, "timer", row_id(timer_arm(turn->scene, turn->conversation, &wish)));
    return ERR_NONE;
}

static err_t apply_cancel(struct turn *turn, struct error *reterr)
{
    const char *name = need(turn, "name", reterr);
    if (!name)
        return ERR_INVALID;
    if (!timer_cancel(turn->scene, row_id(turn->conversation), name))
        turn->refused = "there is no such timer";
    return ERR_NONE;
}

static err_t apply_contact_set(struct turn *turn, struct error *reterr)
{
    static const char *const columns[] = { "name", "language", "timezone" };
    const char *key = need(turn, "key", reterr);
    json_t *value = json_object_get(turn->effect, "value");
    if (!key)
        return ERR_INVALID;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        if (strcmp(columns[i], key) != 0)
            continue;
        if (value && !json_is_string(value) && !json_is_null(value))
            return fail(reterr, ERR_INVALID, "the contact's %s is a text", key);
        rows_edit(turn->scene->desk->rows, ROWS_CONTACT, turn->contact);
        json_object_del(turn->contact, key);
        json_put_str(turn->contact, key, json_string_value(value));
        json_put_time(turn->contact, "updated_at", turn->scene->now);
        return ERR_NONE;
    }
    set_attribute(turn->scene, ROWS_CONTACT, turn->contact, key, value);
    return ERR_NONE;
}

static err_t apply_identify(struct turn *turn, struct error *reterr)
{
    const char *identity = need(turn, "identity", reterr);
    if (!identity)
        return ERR_INVALID;
    const char *colon = strchr(identity, ':');
    if (!colon || colon == identity || !colon[1])
        return fail(reterr, ERR_INVALID, "'%s' is no identity\nHINT: write it like email:ada@example.com", identity);
    turn->refused = handle_wrong_identity(identity);
    if (turn->refused)
        return ERR_NONE;
    const json_t *owner = identity_owner(turn->scene->desk, identity);
    if ((owner && owner != turn->contact) ||
        !identity_attach(turn->scene, turn->contact, identity, turn->scene->author))
        turn->refused = "another contact has this identity";
    return ERR_NONE;
}

static err_t apply_opt(struct turn *turn, struct error *reterr)
{
    (void)reterr;
    const char *topic = json_str_or(turn->effect, "topic", "all");
    bool is_out = strcmp(json_str_or(turn->effect, "do", ""), "opt_out") == 0;
    bool changed =
        is_out ? contact_opt_out(turn->scene, turn->contact, topic) : contact_opt_in(turn->scene, turn->contact, topic);
    if (!changed)
        turn->refused = is_out ? "the contact has opted out already" : "the contact had not opted out";
    return ERR_NONE;
}

static err_t apply_prefer(struct turn *turn, struct error *reterr)
{
    const char *channel = need(turn, "channel", reterr);
    if (!channel)
        return ERR_INVALID;
    if (!address_channel_known(turn->scene->desk, channel))
        return address_no_such_channel(turn->scene->desk, channel, reterr);
    rows_edit(turn->scene->desk->rows, ROWS_CONTACT, turn->contact);
    json_put_str(turn->contact, "preferred_channel", channel);
    json_put_time(turn->contact, "updated_at", turn->scene->now);
    return ERR_NONE;
}

static err_t apply_outreach(struct turn *turn, struct error *reterr)
{
    return outreach_start(turn->scene, turn->effect, turn->made, &turn->refused, reterr);
}

static err_t apply_webhook(struct turn *turn, struct error *reterr)
{
    struct scene *scene = turn->scene;
    const char *name = need(turn, "endpoint", reterr);
    if (!name)
        return ERR_INVALID;
    const json_t *endpoint = desk_declaration(scene->desk, "endpoint", name);
    if (!endpoint)
        return fail(reterr, ERR_INVALID, "there is no endpoint '%s'", name);
    int64_t id = desk_next_id(scene->desk);
    json_t *request = json_object();
    json_put_str(request, "url", json_str(endpoint, "url"));
    json_put_str(request, "type", json_str_or(turn->effect, "type", scene->type));
    json_put_time(request, "at", json_time(scene->event, "occurred_at", scene->now));
    json_t *body = json_object_get(turn->effect, "body");
    json_put(request, "body", body ? json_deep_copy(body) : json_object());
    json_t *delivery = json_object();
    json_put_int(delivery, "id", id);
    json_put_time(delivery, "created_at", scene->now);
    json_put_str(delivery, "kind", "webhook");
    json_put_str(delivery, "endpoint", name);
    if (scene->contact)
        json_put_int(delivery, "contact_id", row_id(scene->contact));
    if (scene->conversation)
        json_put_int(delivery, "conversation_id", row_id(scene->conversation));
    json_put_int(delivery, "event_id", scene->event_id);
    json_put_str(delivery, "rule", scene->rule);
    json_put(delivery, "request", request);
    json_put_str(delivery, "state", "queued");
    json_put_int(delivery, "attempts", 0);
    json_put_time(delivery, "due_at", scene->now);
    /* What is about one contact arrives in order; nobody else waits for what the receiver does not take. */
    char recipient[256];
    snprintf(recipient, sizeof(recipient), "endpoint %s %s %lld", name, scene->contact ? "contact" : "event",
             (long long)(scene->contact ? row_id(scene->contact) : scene->event_id));
    json_put_str(delivery, "recipient", recipient);
    desk_log_add(scene->desk, LOG_DELIVERIES, delivery);
    json_put_int(turn->made, "delivery", id);
    return ERR_NONE;
}

/* Another contact is named by identity: its lane is not ours, so the event goes there. */
static json_t *event_for_other(const json_t *effect)
{
    const json_t *who = json_object_get(effect, "contact");
    json_t *identities = json_array();
    if (json_is_string(who))
        json_array_append(identities, (json_t *)(uintptr_t)who);
    else if (json_is_object(who) && json_array_at(who, "identities"))
        json_array_extend(identities, json_array_at(who, "identities"));
    const char *first = json_string_value(json_array_get(identities, 0));
    if (!first || !strchr(first, ':')) {
        json_decref(identities);
        return NULL;
    }
    json_t *extra = json_object();
    json_put_int(extra, "lane", lane_of(first));
    json_t *contact = json_is_object(who) ? json_copy((json_t *)(uintptr_t)who) : json_object();
    json_put(contact, "identities", identities);
    json_put(extra, "contact", contact);
    return extra;
}

static bool names_nobody(const json_t *who)
{
    const json_t *identities = json_object_get(who, "identities");
    return identities && json_array_size(identities) == 0 && json_object_size(identities) == 0 &&
           !json_is_string(identities);
}

static err_t apply_emit(struct turn *turn, struct error *reterr)
{
    struct scene *scene = turn->scene;
    const char *name = need(turn, "name", reterr);
    if (!name)
        return ERR_INVALID;
    char type[160];
    if (snprintf(type, sizeof(type), "custom.%s", name) >= (int)sizeof(type))
        return fail(reterr, ERR_INVALID, "the name of the event is too long");
    const json_t *who = json_object_get(turn->effect, "contact");
    json_t *extra = NULL;
    if (names_nobody(who)) { /* what another system sent did not say whom it is about: no mistake of the rule */
        turn->refused = "the contact has no identity";
        return ERR_NONE;
    }
    if (who) {
        extra = event_for_other(turn->effect);
        if (!extra)
            return fail(reterr, ERR_INVALID, "emit: 'contact' is an identity such as email:ada@example.com");
    }
    json_t *body = json_object_get(turn->effect, "body");
    const json_t *contact = extra ? NULL : scene->contact;
    const json_t *conversation = extra ? NULL : scene->conversation;
    int64_t id = scene_emit(scene, type, contact, conversation, body ? json_deep_copy(body) : json_object(), extra);
    json_put_int(turn->made, "event", id);
    return ERR_NONE;
}

enum needs { NEEDS_NOTHING, NEEDS_CONTACT, NEEDS_CONVERSATION };

static const struct effect_kind {
    const char *name;
    enum needs needs;
    err_t (*apply)(struct turn *turn, struct error *reterr);
} kinds[] = {
    { "open_conversation", NEEDS_CONTACT, apply_open },
    { "send", NEEDS_CONVERSATION, apply_send },
    { "note", NEEDS_CONVERSATION, apply_note },
    { "tag", NEEDS_CONVERSATION, apply_tag },
    { "untag", NEEDS_CONVERSATION, apply_tag },
    { "assign", NEEDS_CONVERSATION, apply_assign },
    { "prioritize", NEEDS_CONVERSATION, apply_prioritize },
    { "set", NEEDS_CONVERSATION, apply_set },
    { "snooze", NEEDS_CONVERSATION, apply_snooze },
    { "resolve", NEEDS_CONVERSATION, apply_resolve },
    { "survey", NEEDS_CONVERSATION, apply_survey },
    { "after", NEEDS_CONVERSATION, apply_after },
    { "cancel", NEEDS_CONVERSATION, apply_cancel },
    { "contact_set", NEEDS_CONTACT, apply_contact_set },
    { "identify", NEEDS_CONTACT, apply_identify },
    { "opt_out", NEEDS_CONTACT, apply_opt },
    { "opt_in", NEEDS_CONTACT, apply_opt },
    { "prefer", NEEDS_CONTACT, apply_prefer },
    { "outreach", NEEDS_CONTACT, apply_outreach },
    { "webhook", NEEDS_NOTHING, apply_webhook },
    { "emit", NEEDS_NOTHING, apply_emit },
};

static err_t find_conversation(struct turn *turn, struct error *reterr)
{
    struct scene *scene = turn->scene;
    const json_t *handle = json_object_get(turn->effect, "conversation");
    const char *text = json_string_value(handle);
    int64_t id = json_is_integer(handle) ? json_integer_value(handle) : 0;
    if (!handle || (text && strcmp(text, "@") == 0)) {
        turn->conversation = scene->conversation;
        return scene->conversation ? ERR_NONE
                                   : fail(reterr, ERR_INVALID,
                                          "the event has no conversation\nHINT: open one with fx:open_conversation{}");
    }
    if (text && text[0] == '#')
        id = json_int(scene->handles, text, 0);
    else if (text)
        id = json_int(turn->effect, "conversation", 0);
    turn->conversation = rows_by_id(scene->desk->rows, ROWS_CONVERSATION, id);
    return turn->conversation ? ERR_NONE
                              : fail(reterr, ERR_INVALID, "there is no conversation %s among the facts of this event",
                                     text ? text : "of that number");
}

static err_t apply_one(struct scene *scene, json_t *effect, struct error *reterr)
{
    const char *name = json_str_or(effect, "do", "");
    const struct effect_kind *kind = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && !kind; i++)
        if (strcmp(kinds[i].name, name) == 0)
            kind = &kinds[i];
    if (!kind)
        return fail(reterr, ERR_INVALID, "there is no effect '%s'", name);
    if (json_bool(effect, "suppressed", false)) {
        replay_apply_former(scene, effect);
        return ERR_NONE;
    }

    struct turn turn = { .scene = scene, .effect = effect, .contact = scene->contact };
    if (kind->needs == NEEDS_CONTACT && !scene->contact)
        return fail(reterr, ERR_INVALID, "%s: the event is about no contact", name);
    err_t err = kind->needs == NEEDS_CONVERSATION ? find_conversation(&turn, reterr) : ERR_NONE;
    if (err != ERR_NONE)
        return err;
    turn.made = json_object();
    err = kind->apply(&turn, reterr);
    if (json_object_size(turn.made) > 0)
        json_object_set(effect, "made", turn.made);
    json_decref(turn.made);
    json_put_str(effect, "refused", turn.refused);
    return err;
}

static bool has_opt_out(const json_t *effects)
{
    size_t index;
    json_t *effect;
    json_array_foreach (effects, index, effect) {
        if (strcmp(json_str_or(effect, "do", ""), "opt_out") == 0)
            return true;
    }
    return false;
}

err_t effects_apply(struct scene *scene, json_t *effects, struct error *reterr)
{
    struct desk *desk = scene->desk;
    struct scene before = *scene;
    for (int i = 0; i < LOG_COUNT; i++)
        desk->marks[i] = json_array_size(desk->logs[i]);
    rows_mark(desk->rows);
    json_object_clear(scene->handles);
    scene->confirms_opt_out = has_opt_out(effects);

    err_t err = ERR_NONE;
    struct error reason = { .code = ERR_NONE };
    size_t index;
    json_t *effect;
    json_array_foreach (effects, index, effect) {
        err = apply_one(scene, effect, &reason);
        if (err != ERR_NONE)
            break;
    }
    scene->confirms_opt_out = false;
    if (err == ERR_NONE) {
        rows_commit(desk->rows);
        return ERR_NONE;
    }
    rows_rollback(desk->rows);
    for (int i = 0; i < LOG_COUNT; i++)
        while (json_array_size(desk->logs[i]) > desk->marks[i])
            json_array_remove(desk->logs[i], json_array_size(desk->logs[i]) - 1);
    *scene = before;
    int64_t line = json_int(effect, "line", 0);
    const char *what = json_str_or(effect, "do", "effect");
    return line > 0 ? fail(reterr, err, "%lld: %s: %s", (long long)line, what, reason.text)
                    : fail(reterr, err, "%s: %s", what, reason.text);
}
