/* The providers of a test's world: they take every message, until the test says otherwise. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "domain/departure.h"
#include "domain/rule_test_world.h"
#include "domain/trial_render.h"

/* How often a message is tried again while its provider is down. */
#define RETRY_MS ((msec_t)60 * 1000)

/* What the test said about this channel; NULL: it works. One that was to refuse so many messages works after that. */
static const json_t *trouble_of(struct world *world, const char *channel)
{
    json_t *own = json_object_get(world->provider, channel);
    json_t *found = own ? own : json_object_get(world->provider, "*");
    if (!found || strcmp(json_str_or(found, "is", ""), "works") == 0)
        return NULL;
    int64_t left = json_int(found, "count", -1);
    if (left == 0)
        return NULL;
    if (left > 0)
        json_put_int(found, "count", left - 1);
    return found;
}

/* As the store reports what did not leave or was refused at once. */
static void report_undelivered(struct world *world, const json_t *delivery, const char *state, const char *code,
                               const char *reason)
{
    json_t *fields = json_object(), *status = json_object(), *error = json_object(), *cause = json_object();
    char echo[32];
    snprintf(echo, sizeof(echo), "%lld", (long long)json_int(delivery, "id", 0));
    json_put_str(error, "code", code);
    json_put_str(error, "title", reason);
    json_put_str(status, "echo", echo);
    json_put_str(status, "state", state);
    json_put(status, "error", error);
    json_put(fields, "status", status);
    json_put_str(fields, "provider", "answerd");
    json_object_set(fields, "contact_id", json_object_get(delivery, "contact_id"));
    json_object_set(fields, "conversation_id", json_object_get(delivery, "conversation_id"));
    json_put_int(cause, "event", json_int(delivery, "event_id", 0));
    json_put_str(cause, "rule", json_str(delivery, "rule"));
    json_put_int(cause, "depth", world->undelivered_depth + 1);
    json_put(fields, "cause", cause);
    json_t *event = world_event(world, "message.status", json_str_or(delivery, "source", ""), NULL, fields);
    json_decref(fields);
    world->undelivered_depth++;
    world_happen(world, event);
    world->undelivered_depth--;
}

static void put_error_code(struct world *world, const json_t *delivery, const char *code)
{
    json_t *message = memory_store_message(world->store, json_int(delivery, "message_id", 0));
    if (message && *code)
        json_put_str(message, "error_code", code);
}

static void hold(struct world *world, json_t *delivery, const struct departure *departure)
{
    json_t *kept = json_deep_copy(delivery);
    json_put_str(kept, "reason", departure->reason);
    json_array_append_new(world->held, kept);
    memory_store_end_delivery(world->store, delivery, "blocked", departure->reason, NULL, world->now);
    put_error_code(world, kept, departure->code);
    report_undelivered(world, kept, "blocked", departure->code, departure->reason);
}

/* A rule wrote what no provider would take. Unlike other messages that do not leave it is a mistake: it fails the test
 * unless that says t:expect_held. */
static void give_up(struct world *world, json_t *delivery, const char *reason)
{
    json_t *kept = json_deep_copy(delivery);
    json_put_str(kept, "reason", reason);
    json_put_bool(kept, "mistaken", true);
    json_array_append_new(world->held, kept);
    memory_store_end_delivery(world->store, delivery, "failed", reason, NULL, world->now);
    put_error_code(world, kept, "render");
    report_undelivered(world, kept, "failed", "render", reason);
}

static void refuse(struct world *world, json_t *delivery, const json_t *trouble)
{
    const char *code = json_str_or(trouble, "code", "");
    json_t *kept = json_deep_copy(delivery), *why = json_deep_copy(trouble);
    const char *reason = json_str_or(why, "reason", "the provider refused it");
    memory_store_end_delivery(world->store, delivery, "failed", reason, NULL, world->now);
    put_error_code(world, kept, code);
    report_undelivered(world, kept, "failed", json_str_or(why, "code", ""), reason);
    json_decref(kept);
    json_decref(why);
}

static void count_sent(struct world *world, const json_t *sent)
{
    const json_t *content = json_object_at(json_object_at(sent, "message"), "content");
    const json_t *survey = rule_set_declaration(world->rules, "survey", json_str_or(content, "survey", ""));
    bool approved = strcmp(json_str_or(sent, "sent_as", ""), "approved") == 0;
    world_count(world, "templates", json_str_or(content, "template", approved ? json_str(survey, "template") : NULL),
                "sent");
    world_count(world, "surveys", json_str(survey, "name"), "sent");
}

static void accept(struct world *world, json_t *delivery, const char *sent_as)
{
    json_t *sent = json_deep_copy(delivery);
    char provider_id[64];
    snprintf(provider_id, sizeof(provider_id), "sent-%lld", (long long)json_int(delivery, "id", 0));
    memory_store_end_delivery(world->store, delivery, "sent", NULL, provider_id, world->now);
    json_put_str(sent, "sent_as", sent_as);
    json_put_str(sent, "provider_message_id", provider_id);
    const json_t *message = memory_store_message(world->store, json_int(delivery, "message_id", 0));
    if (message) {
        json_put(sent, "message", json_deep_copy(message));
        count_sent(world, sent);
    }
    json_array_append_new(world->sent, sent);
}

void world_dispatch(struct world *world, json_t *delivery)
{
    if (strcmp(json_str_or(delivery, "kind", ""), "webhook") == 0) {
        json_array_append_new(world->webhooks, json_deep_copy(delivery));
        memory_store_end_delivery(world->store, delivery, "sent", NULL, NULL, world->now);
        return;
    }
    const struct departure departure =
        departure_decide_in(memory_store_rows(world->store), world->sources, delivery, world->now);
    if (!departure.sent_as) {
        hold(world, delivery, &departure);
        return;
    }
    struct error error = { .code = ERR_NONE };
    if (trial_render(world->sources, delivery, departure.sent_as, &error) != ERR_NONE) {
        give_up(world, delivery, error.text);
        return;
    }
    const json_t *trouble = trouble_of(world, json_str_or(delivery, "source", ""));
    if (!trouble)
        accept(world, delivery, departure.sent_as);
    else if (strcmp(json_str_or(trouble, "is", ""), "down") == 0)
        json_put_time(delivery, "due_at", world->now + RETRY_MS);
    else
        refuse(world, delivery, trouble);
}

/* t:provider("refuses", { code = "131026", reason = "…", channel = "whatsapp", count = 1 }), t:provider("down"),
 * t:provider("works"): from now on, for all channels or for one. */
static json_t *act_provider(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    static const char *const states[] = { "works", "down", "refuses", NULL };
    const char *state = json_string_value(first);
    bool known = false;
    for (size_t i = 0; state && states[i]; i++)
        known = known || strcmp(states[i], state) == 0;
    const char *channel = json_str_or(second, "channel", "*");
    if (!known || (strcmp(channel, "*") != 0 && !json_object_get(world->sources, channel))) {
        const char *nearest = state && !known ? text_nearest(state, states) : NULL;
        world_fail(world, reterr, NULL, "%s%s%s%s",
                   known ? "there is no such channel" : "the first argument is \"works\", \"down\" or \"refuses\"",
                   nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'" : "");
        return NULL;
    }
    json_t *said = json_object();
    const json_t *code = json_object_get(second, "code");
    char text[32] = "";
    if (json_is_integer(code))
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(code));
    json_put_str(said, "is", state);
    json_put_str(said, "code", json_is_string(code) ? json_string_value(code) : text);
    json_put_str(said, "reason", json_str(second, "reason"));
    if (json_int(second, "count", 0) > 0)
        json_put_int(said, "count", json_int(second, "count", 0));
    if (strcmp(channel, "*") == 0)
        json_object_clear(world->provider);
    json_put(world->provider, channel, said);
    return NULL;
}

const struct world_verb world_provider_verbs[] = {
    { "provider", act_provider },
    { NULL, NULL },
};
