#include "domain/outreach_say.h"

#include <string.h>

#include "domain/address.h"
#include "domain/contact.h"
#include "domain/conversation.h"
#include "domain/message.h"
#include "domain/send.h"

const json_t *outreach_step_at(const json_t *outreach, int64_t number)
{
    return number < 0 ? NULL : json_array_get(json_array_at(outreach, "steps"), (size_t)number);
}

/* The thread in which the outreach speaks, opened when it first has something to say. */
static json_t *open_thread(struct scene *scene, json_t *contact, json_t *outreach)
{
    struct rows *rows = scene->desk->rows;
    json_t *thread = rows_by_id(rows, ROWS_CONVERSATION, json_int(outreach, "conversation_id", 0));
    if (thread && !conversation_is_resolved(thread))
        return thread;
    struct conversation_wish wish = {
        .topic = json_str_or(outreach, "topic", "outreach"),
        .reference = json_str_or(outreach, "reference", ""),
    };
    thread = conversation_open(scene, contact, &wish);
    rows_edit(rows, ROWS_OUTREACH, outreach);
    json_put_int(outreach, "conversation_id", row_id(thread));
    return thread;
}

/* `channel = "other"`: not one on which this outreach has written before. */
static bool wants_other(const json_t *step)
{
    return strcmp(json_str_or(step, "channel", ""), "other") == 0;
}

/* Sources that may not be used for a step: those that failed for it, and perhaps all that were used. New reference. */
static json_t *excluded_sources(const json_t *outreach, const json_t *step, const json_t *tried)
{
    json_t *excluded = json_array();
    if (tried)
        json_array_extend(excluded, (json_t *)(uintptr_t)tried);
    size_t index;
    json_t *other;
    json_array_foreach (json_array_at(outreach, "steps"), index, other) {
        if (wants_other(step) && json_array_at(other, "sent_on"))
            json_array_extend(excluded, json_array_at(other, "sent_on"));
    }
    return excluded;
}

/* A wish for a channel that was tried in vain is none any more. */
static const char *channel_of(const json_t *step, const json_t *tried)
{
    return tried || wants_other(step) ? NULL : json_str(step, "channel");
}

static bool can_reach(struct scene *scene, json_t *contact, const json_t *step, const json_t *tried,
                      const json_t *excluded)
{
    struct address_wish wish = {
        .channel = channel_of(step, tried),
        .is_outreach = true,
        .template = desk_declaration(scene->desk, "template", json_str(step, "template")),
        .excluded_sources = excluded,
    };
    return address_choose(scene, contact, &wish) != NULL;
}

/* A channel that no source has is told apart from a contact who lacks an address there: it may be misspelt. */
static const char *why_unreachable(const struct scene *scene, const char *channel, const json_t *excluded)
{
    if (channel && !address_channel_known(scene->desk, channel))
        return "there is no channel of this name that sends";
    if (channel)
        return "the contact has no address on this channel";
    return json_array_size(excluded) > 0 ? "the contact has no other address to write to"
                                         : "the contact has no address to write to";
}

/* Keeps with the step on which channel it was said. */
static void note_source(struct scene *scene, json_t *outreach, int64_t number, const char *source)
{
    if (!source)
        return;
    rows_edit(scene->desk->rows, ROWS_OUTREACH, outreach);
    json_t *step = json_array_get(json_array_at(outreach, "steps"), (size_t)number);
    json_t *sent_on = json_array_at(step, "sent_on");
    if (!sent_on) {
        sent_on = json_array();
        json_put(step, "sent_on", sent_on);
    }
    if (!json_list_has(sent_on, source))
        json_array_append_new(sent_on, json_string(source));
}

static err_t send_step(struct scene *scene, json_t *thread, json_t *outreach, int64_t number, const json_t *tried,
                       const json_t *excluded, json_t *made, const char **ret_refused, struct error *reterr)
{
    const json_t *step = outreach_step_at(outreach, number);
    json_t *what = json_copy((json_t *)(uintptr_t)step);
    json_t *vars = json_object();
    json_object_update(vars, json_object_at(outreach, "vars"));
    if (json_object_at(step, "vars"))
        json_object_update(vars, json_object_at(step, "vars"));
    json_put(what, "vars", vars);
    if (!channel_of(step, tried))
        json_object_del(what, "channel");
    json_t *extra = json_object();
    json_put_int(extra, "step", number + 1);
    if (tried)
        json_object_set(extra, "tried", (json_t *)(uintptr_t)tried);
    struct send_wish wish = {
        .conversation = thread,
        .what = what,
        .topic = json_str(outreach, "topic"),
        .is_outreach = true,
        .excluded_sources = excluded,
        .outreach_id = row_id(outreach),
        .extra_content = extra,
    };
    err_t err = send_message(scene, &wish, made, ret_refused, reterr);
    json_decref(extra);
    json_decref(what);
    if (err == ERR_NONE && !*ret_refused)
        note_source(scene, outreach, number, json_str(made, "channel"));
    return err;
}

err_t outreach_say(struct scene *scene, json_t *contact, json_t *outreach, int64_t number, const json_t *tried,
                   json_t *made, const char **ret_refused, struct error *reterr)
{
    const json_t *step = outreach_step_at(outreach, number);
    *ret_refused = NULL;
    bool speaks = json_str(step, "text") || json_str(step, "template") || json_object_at(step, "media");
    const char *note = json_str(step, "note"), *assignee = json_str(step, "assign");
    const char *lacks = json_str(step, "lacks");
    if (speaks && lacks) {
        *ret_refused = lacks;
        speaks = false;
    }
    if (speaks && contact_refuses(contact, json_str(outreach, "topic"))) {
        *ret_refused = "the contact has opted out";
        speaks = false;
    }
    json_t *excluded CLEANUP(json_free) = excluded_sources(outreach, step, tried);
    if (speaks && !can_reach(scene, contact, step, tried, excluded)) {
        *ret_refused = why_unreachable(scene, channel_of(step, tried), excluded);
        speaks = false;
    }
    if (!speaks && (tried || (!note && !assignee)))
        return ERR_NONE; /* no empty conversation */
    json_t *thread = open_thread(scene, contact, outreach);
    json_put_int(made, "conversation", row_id(thread));
    err_t err = ERR_NONE;
    if (speaks)
        err = send_step(scene, thread, outreach, number, tried, excluded, made, ret_refused, reterr);
    if (err == ERR_NONE && note && !tried)
        message_note(scene, thread, note);
    if (err == ERR_NONE && assignee && !tried)
        conversation_assign(scene, thread, assignee);
    return err;
}
