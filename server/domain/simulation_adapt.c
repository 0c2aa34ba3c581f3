/* Recorded events name what the live system made by its numbers; a simulated world has made its own. */
#include <stdio.h>
#include <string.h>

#include "domain/simulation_world.h"

bool simulation_takes(const json_t *event)
{
    const char *type = json_str_or(event, "type", "");
    if (strcmp(type, "message.status") == 0)
        return false;
    if (strcmp(json_str_or(event, "source", ""), "answerd") != 0)
        return true;
    if (strcmp(type, "agent.action") == 0)
        return true;
    /* The API tells of custom events; what a rule emitted has a cause. */
    return strncmp(type, "custom.", 7) == 0 && json_int(json_object_at(event, "cause"), "event", 0) == 0;
}

static json_t *only_contact(const struct simulation *simulation)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(simulation->store), ROWS_CONTACT), key, row) {
        if (json_int(row, "merged_into", 0) <= 0)
            return row;
    }
    return NULL;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(json_str_or(a, key, ""), json_str_or(b, key, "")) == 0;
}

/* `about` says which one was meant: {topic, reference}; may be NULL. The latest one that fits, else the latest. */
static json_t *latest_conversation(const struct simulation *simulation, const json_t *about)
{
    json_t *latest = NULL, *fitting = NULL;
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(simulation->store), ROWS_CONVERSATION), key, row) {
        latest = row;
        if (about && same_text(row, about, "topic") && same_text(row, about, "reference"))
            fitting = row;
    }
    return fitting ? fitting : latest;
}

static json_t *latest_survey(const struct simulation *simulation)
{
    json_t *latest = NULL;
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(simulation->store), ROWS_SURVEY), key, row)
        latest = row;
    return latest;
}

/* The event, or a copy of it that may be changed. */
static json_t *own(json_t *adapted, const json_t *event)
{
    if (adapted != event)
        return adapted;
    json_decref(adapted);
    return json_copy((json_t *)(uintptr_t)event);
}

static void put_number(json_t *event, const char *key, const json_t *row)
{
    if (row)
        json_object_set(event, key, json_object_get(row, "id"));
    else
        json_object_del(event, key);
}

/* "survey:1234:4" becomes a tap on the survey that was asked here. */
static json_t *adapt_button(const struct simulation *simulation, json_t *adapted, const json_t *event)
{
    const json_t *button = json_object_at(json_object_at(event, "message"), "button");
    const char *id = json_str(button, "id");
    const json_t *survey = id && strncmp(id, "survey:", 7) == 0 ? latest_survey(simulation) : NULL;
    const char *score = survey ? strrchr(id, ':') : NULL;
    if (!score)
        return adapted;
    json_t *message = json_deep_copy(json_object_at(event, "message"));
    char text[64];
    snprintf(text, sizeof(text), "survey:%lld%.16s", (long long)json_int(survey, "id", 0), score);
    json_put_str(json_object_at(message, "button"), "id", text);
    adapted = own(adapted, event);
    json_put(adapted, "message", message);
    return adapted;
}

/* Nobody acts on a conversation that is not there: what rules did not open, no colleague answers, tags or resolves. */
static bool lost_its_conversation(const json_t *event, const json_t *adapted)
{
    return strcmp(json_str_or(event, "type", ""), "agent.action") == 0 && json_object_get(event, "conversation_id") &&
           !json_object_get(adapted, "conversation_id");
}

json_t *simulation_adapt(struct simulation *simulation, const json_t *event)
{
    json_t *adapted = json_incref((json_t *)(uintptr_t)event);
    struct rows *rows = memory_store_rows(simulation->store);
    if (json_object_get(event, "contact_id") && !rows_by_id(rows, ROWS_CONTACT, json_int(event, "contact_id", 0))) {
        adapted = own(adapted, event);
        put_number(adapted, "contact_id", only_contact(simulation));
    }
    if (json_object_get(event, "conversation_id") &&
        !rows_by_id(rows, ROWS_CONVERSATION, json_int(event, "conversation_id", 0))) {
        adapted = own(adapted, event);
        put_number(adapted, "conversation_id", latest_conversation(simulation, json_object_at(event, "conversation")));
    }
    if (json_object_get(event, "conversation")) {
        adapted = own(adapted, event);
        json_object_del(adapted, "conversation");
    }
    if (lost_its_conversation(event, adapted)) {
        json_decref(adapted);
        return NULL;
    }
    return adapt_button(simulation, adapted, event);
}
