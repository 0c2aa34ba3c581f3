/* What the changes of a simulated desk mean for the world outside: the outcomes that a backtest compares. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "domain/effect_key.h"
#include "domain/simulation_world.h"

#define NAME_MAX_BYTES ((size_t)512)
#define CONTENT_MAX_BYTES ((size_t)16 * 1024)

const char *const outcome_kinds[] = {
    "send",
    "held",
    "note",
    "tag",
    "untag",
    "assign",
    "set",
    "snooze",
    "resolve",
    "survey",
    "after",
    "cancel",
    "emit",
    "webhook",
    "contact_set",
    "identify",
    "opt_out",
    "opt_in",
    "prefer",
    "outreach",
    "prioritize",
    "reopen",
    "open_conversation",
    "failure",
    NULL,
};

/* Takes over `name` and `content`. */
static void add(struct simulation *simulation, const char *kind, const char *rule, char *name, char *content)
{
    if (simulation->outcome_count == simulation->outcome_capacity) {
        simulation->outcome_capacity = simulation->outcome_capacity ? simulation->outcome_capacity * 2 : 64;
        simulation->outcomes =
            memory_resize(simulation->outcomes, simulation->outcome_capacity * sizeof(*simulation->outcomes));
    }
    simulation->outcomes[simulation->outcome_count++] = (struct outcome){
        .kind = kind,
        .rule = memory_text(rule ? rule : "answerd"),
        .name = name ? name : memory_text(""),
        .content = content ? content : memory_text(""),
        .event = simulation->root,
        .at = simulation->now,
    };
}

const struct outcome *simulation_outcomes(const struct simulation *simulation, size_t *ret_count)
{
    *ret_count = simulation->outcome_count;
    return simulation->outcomes;
}

void simulation_forget_outcomes(struct simulation *simulation)
{
    for (size_t i = 0; i < simulation->outcome_count; i++) {
        free(simulation->outcomes[i].rule);
        free(simulation->outcomes[i].name);
        free(simulation->outcomes[i].content);
    }
    simulation->outcome_count = 0;
}

static char *name_of_effect(const json_t *effect)
{
    struct buf name;
    buf_init(&name, NAME_MAX_BYTES);
    effect_add_name(effect, &name);
    return name.ptr ? buf_take(&name) : NULL;
}

/* Kinds that are outcomes as soon as a rule asks for them. The others show in what came of them: messages when they
 * leave, changes of a conversation in the events that tell of them. */
static const char *kind_of_effect(const char *kind)
{
    static const char *const kinds[] = { "untag",    "set",     "survey", "after",  "cancel",   "contact_set",
                                         "identify", "opt_out", "opt_in", "prefer", "outreach", "emit" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (strcmp(kinds[i], kind) == 0)
            return kinds[i];
    return NULL;
}

static void note_trace(struct simulation *simulation, const json_t *trace)
{
    const char *verdict = json_str_or(trace, "verdict", ""), *rule = json_str_or(trace, "rule", "");
    if (strcmp(verdict, "failed") == 0 || strcmp(verdict, "over_budget") == 0) {
        add(simulation, "failure", rule, NULL, memory_text(json_str_or(trace, "error", verdict)));
        return;
    }
    if (strcmp(verdict, "ran") != 0)
        return;
    size_t index;
    json_t *effect;
    json_array_foreach (json_array_at(trace, "effects"), index, effect) {
        const char *kind = kind_of_effect(json_str_or(effect, "do", ""));
        if (kind && !json_object_get(effect, "refused"))
            add(simulation, kind, rule, name_of_effect(effect), effect_content(effect));
    }
}

static void note_conversation_event(struct simulation *simulation, const json_t *event)
{
    static const struct {
        const char *type;
        const char *kind;
        const char *name; /* key of the body; NULL: topic and reference of the conversation */
    } kinds[] = {
        { "conversation.opened", "open_conversation", NULL },
        { "conversation.reopened", "reopen", NULL },
        { "conversation.assigned", "assign", "assignee" },
        { "conversation.tagged", "tag", "tag" },
        { "conversation.snoozed", "snooze", NULL },
        { "conversation.resolved", "resolve", NULL },
        { "conversation.prioritized", "prioritize", "priority" },
    };
    const char *type = json_str_or(event, "type", "");
    if (strncmp(type, "conversation.", 13) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        struct buf name;
        buf_init(&name, NAME_MAX_BYTES);
        const json_t *conversation = kinds[i].name ? NULL
                                                   : rows_by_id(memory_store_rows(simulation->store), ROWS_CONVERSATION,
                                                                json_int(event, "conversation_id", 0));
        if (kinds[i].name)
            buf_add_text(&name, json_str_or(json_object_at(event, "body"), kinds[i].name, ""));
        else if (conversation)
            buf_addf(&name, "%s%s%s", json_str_or(conversation, "topic", ""),
                     *json_str_or(conversation, "reference", "") ? " " : "",
                     json_str_or(conversation, "reference", ""));
        add(simulation, kinds[i].kind, json_str(json_object_at(event, "cause"), "rule"), buf_take(&name), NULL);
        return;
    }
}

static void note_note(struct simulation *simulation, const json_t *message)
{
    if (strcmp(json_str_or(message, "direction", ""), "note") != 0)
        return;
    const char *author = json_str_or(message, "author", "answerd");
    add(simulation, "note", strncmp(author, "rule:", 5) == 0 ? author + 5 : author, NULL,
        memory_text(json_str_or(message, "text", "")));
}

void simulation_note_changes(struct simulation *simulation, const json_t *logs)
{
    size_t index;
    const char *key;
    json_t *row;
    json_array_foreach (json_array_at(logs, "traces"), index, row)
        note_trace(simulation, row);
    json_array_foreach (json_array_at(logs, "events"), index, row)
        note_conversation_event(simulation, row);
    json_object_foreach (rows_changed(memory_store_rows(simulation->store), ROWS_MESSAGE), key, row)
        note_note(simulation, row);
}

static const char *kind_of_message(const char *state)
{
    if (strcmp(state, "sent") == 0)
        return "send";
    return strcmp(state, "blocked") == 0 ? "held" : "failure";
}

void simulation_note_message(struct simulation *simulation, const json_t *delivery, const char *state,
                             const struct departure *departure)
{
    const json_t *message = memory_store_message(simulation->store, json_int(delivery, "message_id", 0));
    const json_t *content = json_object_at(message, "content"), *request = json_object_at(delivery, "request");
    const char *template = json_str(content, "template"), *survey = json_str(content, "survey");
    struct buf name, text;
    buf_init(&name, NAME_MAX_BYTES);
    buf_init(&text, CONTENT_MAX_BYTES);
    if (template)
        buf_addf(&name, "template %s", template);
    else if (survey)
        buf_addf(&name, "survey %s %s", survey, json_str_or(content, "part", ""));
    else
        buf_add_text(&name, json_str_or(message, "kind", "text"));
    buf_addf(&text, "%s: ", json_str_or(delivery, "source", ""));
    if (!departure->sent_as)
        buf_addf(&text, "(%s) ", departure->reason);
    else if (strcmp(departure->sent_as, "approved") == 0)
        buf_addf(&text, "(as %s) ", json_str_or(json_object_at(request, "approved"), "name", "approved"));
    buf_add_text(&text, json_str_or(message, "text", ""));
    const json_t *media = json_object_at(content, "media");
    if (media)
        buf_addf(&text, " [%s %s]", json_str_or(media, "kind", "media"),
                 json_str_or(media, "url", json_str_or(media, "id", "")));
    add(simulation, kind_of_message(state), json_str(delivery, "rule"), buf_take(&name), buf_take(&text));
}

void simulation_note_webhook(struct simulation *simulation, const json_t *delivery)
{
    const json_t *request = json_object_at(delivery, "request");
    struct buf name;
    buf_init(&name, NAME_MAX_BYTES);
    buf_addf(&name, "%s %s", json_str_or(delivery, "endpoint", ""), json_str_or(request, "type", ""));
    const json_t *body = json_object_get(request, "body");
    add(simulation, "webhook", json_str(delivery, "rule"), buf_take(&name),
        body ? json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL);
}

void simulation_note_endless(struct simulation *simulation)
{
    add(simulation, "failure", "answerd", NULL,
        memory_text("more than 100000 things follow from each other: do rules make each other run in a circle?"));
}
