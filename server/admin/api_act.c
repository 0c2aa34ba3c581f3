/* Actions of people on a conversation. An action becomes an event of the contact's lane, and the engine applies its
 * effects as it applies those of rules: in order with everything else that happens to the contact, and with the same
 * events as its consequence. */
#include "admin/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "store/api_store.h"

#define TEXT_MAX_BYTES 16384
#define NAME_MAX_BYTES 200
#define AGENT_MAX_CHARACTERS 100
#define MESSAGES_SHOWN 20

/* One action: the fields of its body, and how they become an effect. False: the call was answered. */
struct action {
    const char *name;
    const char *fields[12];
    bool (*make)(struct api_call *call, json_t *effect);
};

static void copy_field(const json_t *input, json_t *effect, const char *key)
{
    json_t *value = json_object_get(input, key);
    if (value != NULL) {
        json_put(effect, key, json_deep_copy(value));
    }
}

static bool make_reply(struct api_call *call, json_t *effect)
{
    static const char *const what[] = { "text", "template", "media" };
    static const char *const copied[] = { "vars", "language", "buttons", "reply_to", "on_unknown", "quiet" };
    size_t given = 0;
    for (size_t i = 0; i < ARRAY_LEN(what); i++) {
        given += json_object_get(call->input, what[i]) != NULL;
    }
    if (given != 1) {
        api_refuse(call, 400, "missing_field", NULL, "a reply needs one of 'text', 'template' and 'media'");
        return false;
    }
    json_put_str(effect, "do", "send");
    if (json_object_get(call->input, "media") != NULL) {
        if (json_object_at(call->input, "media") == NULL) {
            api_refuse(call, 400, "invalid", NULL, "'media' must be an object with kind and url or id");
            return false;
        }
        copy_field(call->input, effect, "media");
    } else {
        const char *key = json_object_get(call->input, "text") != NULL ? "text" : "template";
        const char *text = api_text(call, key, TEXT_MAX_BYTES);
        if (text == NULL) {
            return false;
        }
        json_put_str(effect, key, text);
    }
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        copy_field(call->input, effect, copied[i]);
    }
    return true;
}

/* An effect `name` with one text. */
static bool make_with_text(struct api_call *call, json_t *effect, const char *name, const char *key, size_t max_bytes)
{
    const char *text = api_text(call, key, max_bytes);
    if (text == NULL) {
        return false;
    }
    json_put_str(effect, "do", name);
    json_put_str(effect, key, text);
    return true;
}

static bool make_note(struct api_call *call, json_t *effect)
{
    return make_with_text(call, effect, "note", "text", TEXT_MAX_BYTES);
}

static bool make_tag(struct api_call *call, json_t *effect)
{
    return make_with_text(call, effect, "tag", "tag", NAME_MAX_BYTES);
}

static bool make_untag(struct api_call *call, json_t *effect)
{
    return make_with_text(call, effect, "untag", "tag", NAME_MAX_BYTES);
}

/* null takes it back. */
static bool make_assign(struct api_call *call, json_t *effect)
{
    if (json_is_null(json_object_get(call->input, "assignee"))) {
        json_put_str(effect, "do", "assign");
        return true;
    }
    return make_with_text(call, effect, "assign", "assignee", NAME_MAX_BYTES);
}

static bool make_prioritize(struct api_call *call, json_t *effect)
{
    return make_with_text(call, effect, "prioritize", "priority", NAME_MAX_BYTES);
}

static bool make_survey(struct api_call *call, json_t *effect)
{
    return make_with_text(call, effect, "survey", "survey", NAME_MAX_BYTES);
}

static bool make_resolve(struct api_call *call, json_t *effect)
{
    (void)call;
    json_put_str(effect, "do", "resolve");
    return true;
}

static bool make_snooze(struct api_call *call, json_t *effect)
{
    const char *duration = json_str(call->input, "for");
    const char *until = json_str(call->input, "until");
    bool is_one = (json_object_get(call->input, "for") != NULL) != (json_object_get(call->input, "until") != NULL);
    int64_t ms = 0;
    msec_t at = 0;
    json_put_str(effect, "do", "snooze");
    if (is_one && duration != NULL && text_to_duration(bytes_of(duration), &ms) && ms > 0) {
        json_put_int(effect, "for_ms", ms);
        return true;
    }
    if (is_one && until != NULL && clock_parse_iso(bytes_of(until), &at)) {
        json_put_time(effect, "until", at);
        return true;
    }
    api_refuse(call, 400, "invalid", NULL, "a snooze needs one of 'for' (\"2h\") and 'until' (a time)");
    return false;
}

static const struct action actions[] = {
    { "reply",
      { "agent", "text", "template", "media", "vars", "language", "buttons", "reply_to", "on_unknown", "quiet" },
      make_reply },
    { "note", { "agent", "text" }, make_note },
    { "tag", { "agent", "tag" }, make_tag },
    { "untag", { "agent", "tag" }, make_untag },
    { "assign", { "agent", "assignee" }, make_assign },
    { "prioritize", { "agent", "priority" }, make_prioritize },
    { "snooze", { "agent", "for", "until" }, make_snooze },
    { "resolve", { "agent" }, make_resolve },
    { "survey", { "agent", "survey" }, make_survey },
};

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            return &actions[i];
        }
    }
    return NULL;
}

/* What a reply quotes is a message that its reader has: one of the conversation itself. Some providers number the
 * messages of each chat from 1, and the same number elsewhere is another message. Notes where it is; may answer the
 * call. */
static err_t check_quoted(struct api_call *call, json_t *effect, struct error *reterr)
{
    const json_t *given = json_object_get(call->input, "reply_to");
    if (given == NULL || json_is_null(given)) {
        return ERR_NONE;
    }
    const char *quoted = api_text(call, "reply_to", TEXT_MAX_BYTES);
    if (quoted == NULL) {
        return ERR_NONE;
    }
    char *source = NULL;
    err_t err = api_store_source_of_message(call->pg, call->id, quoted, &source, reterr);
    json_put_str(effect, "quoted_on", source);
    if (err == ERR_NONE && source == NULL) {
        api_refuse(call, 422, "not_in_conversation",
                   "'reply_to' is the provider_message_id of one of the messages that GET " API_PREFIX
                   "conversations/ID shows",
                   "conversation %lld has no message '%.200s' that a reply could quote", (long long)call->id, quoted);
    }
    free(source);
    return err;
}

static json_t *action_doc(struct api_call *call, const json_t *owner, json_t *effect)
{
    const char *agent = json_str_or(call->input, "agent", json_str_or(call->token, "name", "api"));
    json_put_str(effect, "conversation", "@");
    json_t *doc = api_event_doc(call, "agent.action");
    json_put_int(doc, "contact_id", json_int(owner, "contact_id", 0));
    json_put_int(doc, "conversation_id", call->id);
    json_put_int(doc, "lane", json_int(owner, "lane", 0));
    json_put_str(doc, "agent", agent);
    json_t *effects = json_array();
    json_array_append(effects, effect);
    json_put(doc, "effects", effects);
    return doc;
}

bool api_act_on_conversation(struct api_call *call)
{
    const struct action *action = find_action(call->word);
    if (action == NULL) {
        api_refuse(call, 404, "no_such_path", "reply, note, tag, untag, assign, prioritize, snooze, resolve or survey",
                   "there is no action '%s'", call->word);
        return true;
    }
    if (!api_check_keys(call, action->fields) || !api_check_text(call, "agent", AGENT_MAX_CHARACTERS)) {
        return true;
    }
    json_t *effect = json_object();
    if (!action->make(call, effect)) {
        json_decref(effect);
        return true;
    }
    json_t *owner = NULL;
    struct error error;
    err_t err = api_store_owner(call->pg, call->id, &owner, &error);
    if (err == ERR_NONE) {
        err = check_quoted(call, effect, &error);
    }
    if (err != ERR_NONE || call->status != 0) {
        json_decref(effect);
        json_decref(owner);
        return err == ERR_NONE || api_database_failed(call, &error);
    }
    json_t *doc = action_doc(call, owner, effect);
    json_decref(effect);
    json_decref(owner);
    return api_add_event(call, doc, call->id);
}

/* The trace of the action itself; others are of what is built in. */
static const json_t *find_trace(const json_t *outcome)
{
    size_t index;
    json_t *trace;
    json_array_foreach (json_array_at(outcome, "traces"), index, trace) {
        if (strncmp(json_str_or(trace, "rule", ""), "agent:", strlen("agent:")) == 0) {
            return trace;
        }
    }
    return NULL;
}

/* Why an action was not possible now, or NULL. */
static const char *find_refusal(const json_t *trace)
{
    size_t index;
    json_t *effect;
    json_array_foreach (json_array_at(trace, "effects"), index, effect) {
        if (json_str(effect, "refused") != NULL) {
            return json_str(effect, "refused");
        }
    }
    return NULL;
}

/* Why an action makes no sense, or NULL. */
static const char *find_failure(const json_t *outcome, const json_t *trace)
{
    if (strcmp(json_str_or(trace, "verdict", ""), "failed") == 0) {
        return json_str_or(trace, "error", "the action could not be applied");
    }
    return json_str(outcome, "problem");
}

/* The event was handled: tells what came of it. False: the connection was lost. */
static bool answer_handled(struct api_call *call, const json_t *outcome)
{
    const json_t *trace = find_trace(outcome);
    json_t *answer = json_object();
    json_put_int(answer, "event", call->waits_for_event);
    if (call->conversation_id != 0) {
        const char *failure = find_failure(outcome, trace);
        const char *refusal = failure == NULL ? find_refusal(trace) : NULL;
        if (failure != NULL || refusal != NULL) {
            json_decref(answer);
            api_refuse(call, failure != NULL ? 422 : 409, failure != NULL ? "failed" : "refused", NULL, "%s",
                       failure != NULL ? failure : refusal);
            return true;
        }
        json_t *conversation = NULL;
        struct error error;
        if (api_store_conversation(call->pg, call->conversation_id, MESSAGES_SHOWN, &conversation, &error) !=
            ERR_NONE) {
            json_decref(answer);
            return api_database_failed(call, &error);
        }
        json_put(answer, "conversation", conversation);
    }
    json_put_str(answer, "state", "handled");
    if (json_array_at(trace, "effects") != NULL) {
        json_put(answer, "effects", json_deep_copy(json_array_at(trace, "effects")));
    }
    api_answer(call, 200, answer);
    return true;
}

bool api_look_again(struct api_call *call)
{
    json_t *outcome = NULL;
    struct error error;
    if (api_store_event_outcome(call->pg, call->waits_for_event, &outcome, &error) != ERR_NONE) {
        return api_database_failed(call, &error);
    }
    const char *state = json_str_or(outcome, "state", "");
    bool kept = true;
    if (strcmp(state, "handled") == 0) {
        kept = answer_handled(call, outcome);
    } else if (strcmp(state, "parked") == 0) {
        api_refuse(call, 500, "parked", "retry it with POST /api/v1/events/ID/retry", "event %lld was parked: %s",
                   (long long)call->waits_for_event, json_str_or(outcome, "problem", ""));
    } else if (clock_steady() >= call->give_up_at) {
        json_t *answer = json_object();
        json_put_int(answer, "event", call->waits_for_event);
        json_put_str(answer, "state", state);
        api_answer(call, 202, answer);
    }
    json_decref(outcome);
    return kept;
}
