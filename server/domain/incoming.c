#include "domain/incoming.h"

#include <string.h>

#include "domain/address.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/message.h"
#include "domain/message_target.h"
#include "domain/outreach.h"
#include "domain/settlement.h"
#include "domain/survey.h"
#include "domain/timer.h"
#include "domain/window_refusal.h"

#define WITHDRAWN_MOST 8

static bool counts_for_window(const struct scene *scene)
{
    const char *kind = json_str_or(json_object_at(scene->event, "message"), "kind", "");
    return strcmp(kind, "system") != 0 && strcmp(kind, "reaction") != 0;
}

static void take_message(struct scene *scene)
{
    address_note_inbound(scene, counts_for_window(scene));
    message_record(scene, "in");
    if (survey_take_message(scene))
        return;
    if (scene->conversation)
        conversation_take_inbound(scene, scene->conversation);
}

/* The event asks for nothing any more; the trace says why. */
static void dismiss(struct scene *scene, const char *name, const char *reason)
{
    json_t *note = json_object();
    json_put_str(note, "do", name);
    json_put_str(note, "refused", reason);
    scene_note_built_in(scene, name, note);
    scene->consumed = true;
}

/* Did we send it ourselves? A business account's chats with its customers number their messages apart from our own. */
static bool is_echo(const struct scene *scene)
{
    const json_t *content = json_object_at(scene->message, "content");
    return json_int(content, "delivery", 0) > 0 &&
           json_str(json_object_at(scene->event, "message"), "business_connection") == NULL;
}

static void take_sent_elsewhere(struct scene *scene)
{
    if (is_echo(scene)) {
        /* Nobody answered: no timer that waits for an answer may end by it. */
        scene->conversation = NULL;
        scene->about_conversation = false;
        dismiss(scene, "echo", "it is a message of ours");
        return;
    }
    json_t *message = message_record(scene, "out");
    if (!scene->conversation)
        return;
    rows_edit(scene->desk->rows, ROWS_MESSAGE, message);
    json_put_int(message, "conversation_id", row_id(scene->conversation));
    rows_edit(scene->desk->rows, ROWS_CONVERSATION, scene->conversation);
    msec_t at = json_time(scene->event, "occurred_at", scene->now);
    if (at > json_time(scene->conversation, "last_outbound_at", 0))
        json_put_time(scene->conversation, "last_outbound_at", at);
    if (!json_str(scene->conversation, "first_reply_at"))
        json_put_time(scene->conversation, "first_reply_at", at);
    json_put_time(scene->conversation, "updated_at", scene->now);
}

static void take_edit(struct scene *scene)
{
    json_t *message = scene->message;
    if (!message) {
        /* The original is not known here: what it says now is still what the customer said. */
        message_record(scene, "in");
        json_t *columns = json_object();
        json_put_time(columns, "edited_at", json_time(scene->event, "occurred_at", scene->now));
        if (scene->conversation)
            json_put_int(columns, "conversation_id", row_id(scene->conversation));
        message_change(scene, scene->message, columns);
        return;
    }
    message_edit(scene, message);
    survey_take_edit(scene, message);
}

static void take_deletion(struct scene *scene)
{
    json_t *messages[WITHDRAWN_MOST];
    size_t count = message_target_withdrawn(scene, messages, WITHDRAWN_MOST);
    for (size_t i = 0; i < count; i++)
        message_delete(scene, messages[i]);
}

static void take_reaction(struct scene *scene)
{
    address_note_inbound(scene, false);
    json_t *message = message_record(scene, "in");
    json_put_str(message, "kind", "reaction");
    if (scene->conversation) /* a reaction wakes nobody up */
        json_put_int(message, "conversation_id", row_id(scene->conversation));
}

/* Our number in the status is another message's: it is a status of a message that we do not know, and the trace says
 * why. */
static void note_stranger(struct scene *scene)
{
    const char *refused = message_target_refused(scene);
    if (!refused)
        return;
    json_t *note = json_object();
    json_put_str(note, "do", "status");
    json_put_int(note, "delivery", json_int(json_object_at(scene->event, "status"), "echo", 0));
    json_put_str(note, "refused", refused);
    scene_note_built_in(scene, "status", note);
}

static void take_status(struct scene *scene)
{
    json_t *message = scene->message;
    message_take_status(scene, message);
    if (!message) {
        note_stranger(scene);
        return;
    }
    /* 131026: the number is not on WhatsApp, or cannot take messages from us (see shared error tables of Meta). */
    const json_t *error = json_object_at(json_object_at(scene->event, "status"), "error");
    const char *code = json_str_or(error, "code", "");
    if (strcmp(json_str_or(message, "state", ""), "failed") == 0 && strcmp(code, "131026") == 0)
        address_note_dead(scene, message, "the provider cannot deliver to it");
    if (strcmp(code, "131050") == 0 && scene->contact)
        contact_opt_out(scene, scene->contact, "marketing");
    if (!window_refusal_take_status(scene, message))
        outreach_take_status(scene, message);
}

/* A provider's word that somebody does or does not want to hear from us. The topic "channel" is about the event's
 * channel alone: who blocks a bot may still want to hear from us elsewhere, and who unblocks it takes back no STOP. */
static void take_preference(struct scene *scene, bool is_out)
{
    const char *topic = json_str(scene->event, "topic");
    if (!topic)
        topic = json_str(json_object_at(scene->event, "body"), "topic");
    bool is_internal = strcmp(json_str_or(scene->event, "source", ""), "answerd") == 0;
    if (!scene->contact || is_internal)
        return;
    bool whole_channel = !topic || strcmp(topic, "channel") == 0;
    if (whole_channel && is_out)
        address_note_blocked(scene, json_str_or(scene->event, "provider_reason", "blocked"));
    else if (whole_channel)
        address_note_inbound(scene, false);
    else if (is_out)
        contact_opt_out(scene, scene->contact, topic);
    else
        contact_opt_in(scene, scene->contact, topic);
}

static void take_timer(struct scene *scene)
{
    const json_t *timer = json_object_at(scene->event, "timer");
    const char *pointless = timer_pointless(scene);
    if (pointless) {
        dismiss(scene, "timer", pointless);
        return;
    }
    if (strcmp(json_str_or(timer, "name", ""), "snooze") != 0 || !scene->conversation)
        return;
    if (json_time(scene->conversation, "snoozed_until", 0) <= scene->now)
        conversation_wake(scene, scene->conversation);
    else
        dismiss(scene, "timer", "the conversation was snoozed again");
}

static void take_window_closing(struct scene *scene)
{
    const json_t *timer = json_object_at(scene->event, "timer");
    const json_t *conversation = scene->conversation;
    if (!conversation || conversation_is_resolved(conversation) ||
        json_time(conversation, "last_inbound_at", 0) > json_time(timer, "armed_at", 0))
        dismiss(scene, "timer", "the window does not close now");
}

static void take_agent_action(struct scene *scene)
{
    /* rule_turn.c applies the effects. Rules see what comes of them. */
    scene_act_as_agent(scene, json_str_or(scene->event, "agent", "api"));
}

void incoming_find_related(struct scene *scene)
{
    struct rows *rows = scene->desk->rows;
    if (!scene->survey)
        scene->survey = rows_by_id(rows, ROWS_SURVEY, json_int(json_object_at(scene->event, "survey"), "id", 0));
    if (!scene->outreach)
        scene->outreach = rows_by_id(rows, ROWS_OUTREACH, json_int(json_object_at(scene->event, "outreach"), "id", 0));
}

void incoming_handle(struct scene *scene)
{
    static const struct {
        const char *type;
        void (*take)(struct scene *scene);
    } takers[] = {
        { "message.received", take_message },  { "message.button", take_message },
        { "message.edited", take_edit },       { "message.reaction", take_reaction },
        { "message.status", take_status },     { "message.sent_elsewhere", take_sent_elsewhere },
        { "message.deleted", take_deletion },  { "window.closing", take_window_closing },
        { "agent.action", take_agent_action },
    };
    const char *type = scene->type;
    for (size_t i = 0; i < sizeof(takers) / sizeof(takers[0]); i++)
        if (strcmp(takers[i].type, type) == 0)
            takers[i].take(scene);
    if (strcmp(type, "contact.opted_out") == 0 || strcmp(type, "contact.opted_in") == 0)
        take_preference(scene, strcmp(type, "contact.opted_out") == 0);
    else if (strncmp(type, "timer.", 6) == 0)
        take_timer(scene);
    else if (strcmp(type, "survey.expired") == 0 && !survey_expire(scene))
        dismiss(scene, "survey", "it was answered in time");
    else if (strcmp(type, "outreach.step") == 0 && !outreach_step(scene))
        dismiss(scene, "outreach", "it has ended or gone on");
    outreach_check_goals(scene);
    settlement_note(scene);
    incoming_find_related(scene);
}
