/* The verbs that make things happen in a rule test. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "channel/payment.h"
#include "domain/cron_event.h"
#include "domain/rule_test_people.h"
#include "domain/rule_test_world.h"
#include "rules/schedule.h"

static const char *provider_of(const struct world *world, const char *source)
{
    const json_t *settings = json_object_get(world->sources, source);
    return settings ? json_str_or(settings, "provider", source) : source;
}

json_t *world_event(struct world *world, const char *type, const char *source, const json_t *contact,
                    const json_t *fields)
{
    json_t *event = json_object();
    int64_t id = world_next_id(world);
    char key[64];
    snprintf(key, sizeof(key), "test-%lld", (long long)id);
    json_put_int(event, "id", id);
    json_put_str(event, "type", type);
    json_put_str(event, "source", source);
    json_put_str(event, "provider", provider_of(world, source));
    json_put_str(event, "key", key);
    json_put_time(event, "occurred_at", world->now);
    json_put_time(event, "received_at", world->now);
    if (contact)
        json_put(event, "contact", world_person(world, contact, source));
    if (json_is_object(fields))
        json_object_update(event, (json_t *)(uintptr_t)fields);
    const json_t *who = json_object_at(event, "contact");
    const char *primary = json_string_value(json_array_get(json_array_at(who, "identities"), 0));
    char lane[128];
    snprintf(lane, sizeof(lane), "source:%s", source);
    json_put_int(event, "lane", lane_of(primary ? primary : lane));
    return event;
}

static err_t need_person(struct world *world, const json_t *named, const char *channel, json_t **ret_contact,
                         const char **ret_source, struct error *reterr)
{
    *ret_contact = world_contact(world, named);
    if (!*ret_contact)
        return world_fail(world, reterr, NULL,
                          named ? "there is no such contact"
                                : "the test has no contact yet; begin with t:contact { whatsapp = \"15550100\" }");
    *ret_source = world_channel(world, *ret_contact, channel);
    if (!*ret_source)
        return world_fail(world, reterr, NULL, "the contact has no channel%s%s", channel ? " " : "",
                          channel ? channel : " to write on");
    return ERR_NONE;
}

static void put_message_id(struct world *world, json_t *message, const char *wanted)
{
    char id[64];
    snprintf(id, sizeof(id), "in-%lld", (long long)(world->last_id + 1));
    json_put_str(message, "id", wanted ? wanted : id);
}

/* Somebody whom no t:contact has introduced: a new contact will be made of them. NULL when `from` does not say who. */
static json_t *stranger(const struct world *world, const json_t *from, const char *channel, const char **ret_source)
{
    json_t *somebody = from ? NULL : json_string("whatsapp:15550100");
    json_t *person = world_person_of_fields(from ? from : somebody);
    json_decref(somebody);
    const char *primary = json_string_value(json_array_get(json_array_at(person, "identities"), 0));
    const char *source = NULL;
    json_t *settings;
    *ret_source = NULL;
    json_object_foreach ((json_t *)(uintptr_t)world->sources, source, settings) {
        const char *provider = json_str_or(settings, "provider", source);
        bool is_it =
            channel ? strcmp(channel, source) == 0
                    : primary && strncmp(primary, provider, strlen(provider)) == 0 && primary[strlen(provider)] == ':';
        if (is_it && !*ret_source)
            *ret_source = source;
    }
    if (primary && *ret_source)
        return person;
    json_decref(person);
    return NULL;
}

/* t:message("hello") or t:message { text =, from =, channel =, kind =, media =, … }. Returns the message's id. */
static json_t *act_message(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    const json_t *from = json_object_get(first, "from");
    json_t *contact = world_contact(world, from), *person = NULL;
    const char *source = NULL, *text = json_string_value(first), *channel = json_str(first, "channel");
    if (!contact)
        person = stranger(world, from, channel, &source);
    if (!person && need_person(world, from, channel, &contact, &source, reterr) != ERR_NONE)
        return NULL;
    json_t *message = json_object();
    if (json_is_object(first))
        json_object_update(message, (json_t *)(uintptr_t)first);
    json_object_del(message, "from");
    json_object_del(message, "channel");
    json_put_str(message, "text", text ? text : json_str(first, "text"));
    if (!json_str(message, "kind"))
        json_put_str(message, "kind", json_str_or(json_object_at(message, "media"), "kind", "text"));
    put_message_id(world, message, json_str(first, "id"));
    json_t *fields = json_object();
    json_t *id = json_incref(json_object_get(message, "id"));
    json_put(fields, "message", message);
    json_put(fields, "contact", person);
    world_begin_act(world);
    world_happen(world, world_event(world, "message.received", source, contact, fields));
    json_decref(fields);
    return id;
}

/* t:edit { id =, text = } and t:delete { id = } of a message of the customer's; without id the last one. */
static json_t *change_message(struct world *world, const char *type, const json_t *first, struct error *reterr)
{
    json_t *contact = NULL;
    const char *source = NULL;
    if (need_person(world, json_object_get(first, "from"), json_str(first, "channel"), &contact, &source, reterr) !=
        ERR_NONE)
        return NULL;
    const char *id = json_str(first, "id");
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(memory_store_rows(world->store), ROWS_MESSAGE, json_int(contact, "id", 0)),
                        index, row) {
        if (!json_str(first, "id") && strcmp(json_str_or(row, "direction", ""), "in") == 0)
            id = json_str(row, "provider_message_id");
    }
    json_t *message = json_object();
    json_put_str(message, "id", id);
    json_put_str(message, "kind", "text");
    json_put_str(message, "text", json_string_value(first) ? json_string_value(first) : json_str(first, "text"));
    json_t *fields = json_object();
    json_put(fields, "message", message);
    world_begin_act(world);
    world_happen(world, world_event(world, type, source, contact, fields));
    json_decref(fields);
    return NULL;
}

static json_t *act_edit(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    return change_message(world, "message.edited", first, reterr);
}

static json_t *act_delete(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    return change_message(world, "message.deleted", first, reterr);
}

static bool is_button(const json_t *button, const char *wanted)
{
    const char *id = json_str_or(button, "id", ""), *text = json_str_or(button, "text", "");
    if (strcmp(id, wanted) == 0 || strcmp(text, wanted) == 0)
        return true;
    const char *score = strncmp(id, "survey:", 7) == 0 ? strrchr(id, ':') : NULL;
    return score && strcmp(score + 1, wanted) == 0;
}

/* The newest message sent to the contact that has such a button. */
static const json_t *find_button(const struct world *world, int64_t contact_id, const char *wanted,
                                 const json_t **ret_sent)
{
    for (size_t i = json_array_size(world->sent); i > 0; i--) {
        const json_t *sent = json_array_get(world->sent, i - 1);
        size_t index;
        json_t *button;
        if (json_int(sent, "contact_id", 0) != contact_id)
            continue;
        json_array_foreach (json_array_at(json_object_at(json_object_at(sent, "message"), "content"), "buttons"), index,
                            button) {
            if (is_button(button, wanted)) {
                *ret_sent = sent;
                return button;
            }
        }
    }
    return NULL;
}

/* t:tap("Yes"), t:tap(4) for a survey, or t:tap { button =, from = }: by the button's text, id or score. */
static json_t *act_tap(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    const json_t *wanted = json_is_object(first) ? json_object_get(first, "button") : first;
    char text[256] = "";
    if (json_is_string(wanted))
        snprintf(text, sizeof(text), "%s", json_string_value(wanted));
    else if (json_is_number(wanted))
        snprintf(text, sizeof(text), "%lld", (long long)json_number_value(wanted));
    json_t *contact = NULL;
    const char *source = NULL;
    if (need_person(world, json_object_get(first, "from"), NULL, &contact, &source, reterr) != ERR_NONE)
        return NULL;
    const json_t *sent = NULL;
    const json_t *button = find_button(world, json_int(contact, "id", 0), text, &sent);
    if (!button) {
        world_fail(world, reterr, NULL, "no message was sent with a button '%s'", text);
        return NULL;
    }
    json_t *message = json_object();
    put_message_id(world, message, NULL);
    json_put_str(message, "kind", "button");
    json_put_str(message, "text", json_str(button, "text"));
    json_put_str(message, "reply_to", json_str(sent, "provider_message_id"));
    json_put(message, "button", json_deep_copy(button));
    json_t *fields = json_object();
    json_put(fields, "message", message);
    world_begin_act(world);
    world_happen(world, world_event(world, "message.button", json_str_or(sent, "source", source), contact, fields));
    json_decref(fields);
    return NULL;
}

static const char *source_of_type(const struct world *world, const char *type)
{
    static const char *const payment_families[] = { "payment.", "subscription.", "order." };
    if (strncmp(type, "webhook.", 8) == 0)
        return type + 8;
    for (size_t i = 0; i < ARRAY_LEN(payment_families); i++)
        if (strncmp(type, payment_families[i], strlen(payment_families[i])) == 0)
            return "stripe";
    (void)world;
    return "answerd";
}

/* t:event("payment.failed", { payment = {…}, contact = { email = … }, source = "stripe" }): about the test's contact
 * unless `contact` says otherwise; contact = false for nobody. */
static json_t *act_event(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    const char *type = json_string_value(first);
    if (!type || !strchr(type, '.')) {
        world_fail(world, reterr, NULL, "the first argument is an event type such as \"payment.failed\"");
        return NULL;
    }
    json_t *fields = json_is_object(second) ? json_deep_copy(second) : json_object();
    const char *source = json_str_or(fields, "source", NULL);
    const json_t *who = json_object_get(fields, "contact");
    const json_t *contact = NULL;
    if (!who || json_int(who, "contact_id", 0) > 0) {
        contact = world_contact(world, who);
        json_object_del(fields, "contact");
        if (strncmp(type, "message.", 8) == 0 && contact && !source)
            source = world_channel(world, contact, NULL);
    } else if (json_is_false(who) || json_is_null(who)) {
        json_object_del(fields, "contact");
    } else {
        json_put(fields, "contact", world_person_of_fields(who));
    }
    if (!source)
        source = source_of_type(world, type);
    json_t *event = world_event(world, type, source, contact, fields);
    json_decref(fields);
    if (strncmp(type, "payment.", 8) == 0 && json_object_at(event, "payment"))
        payment_finish(event, payment_reference_keys); /* as every parser of payments does */
    world_begin_act(world);
    world_happen(world, event);
    return NULL;
}

/* t:status("failed", { code = "131026", of = 1 }): what the provider reports of the last message sent, or of number
 * `of`. */
static json_t *act_status(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    const char *state = json_string_value(first);
    size_t count = json_array_size(world->sent);
    int64_t number = json_int(second, "of", (int64_t)count);
    const json_t *sent = number >= 1 ? json_array_get(world->sent, (size_t)number - 1) : NULL;
    if (!state || !sent) {
        world_fail(world, reterr, NULL,
                   state ? "no message was sent" : "the first argument is a state such as \"delivered\"");
        return NULL;
    }
    json_t *status = json_object();
    json_put_str(status, "message_id", json_str(sent, "provider_message_id"));
    json_put_str(status, "state", state);
    const json_t *request = json_object_at(sent, "request");
    json_put_str(status, "echo", json_str(request, "echo"));
    const json_t *code = json_object_get(second, "code");
    if (code || strcmp(state, "failed") == 0) {
        char text[32] = "";
        if (json_is_integer(code))
            snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(code));
        json_t *error = json_object();
        json_put_str(error, "code", json_is_string(code) ? json_string_value(code) : text);
        json_put_str(error, "title", json_str_or(second, "reason", "the provider could not deliver it"));
        json_put(status, "error", error);
    }
    json_t *fields = json_object();
    json_put(fields, "status", status);
    const json_t *contact = rows_by_id(memory_store_rows(world->store), ROWS_CONTACT, json_int(sent, "contact_id", 0));
    world_begin_act(world);
    world_happen(world, world_event(world, "message.status", json_str_or(sent, "source", ""), contact, fields));
    json_decref(fields);
    return NULL;
}

/* t:advance("23h"), or seconds. */
static json_t *act_advance(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    int64_t ms = 0;
    const char *text = json_string_value(first);
    bool understood = text ? text_to_duration(bytes_of(text), &ms) : json_is_number(first);
    if (!text && understood)
        ms = (int64_t)(json_number_value(first) * 1000);
    if (!understood || ms < 0) {
        world_fail(world, reterr, NULL, "the argument is a duration such as \"23h\"");
        return NULL;
    }
    world_begin_act(world);
    world_advance(world, world->now + ms);
    return NULL;
}

/* t:at("2026-03-29T00:30:00Z"): it is that time now; timers that are due before it fire. */
static json_t *act_at(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    msec_t at = 0;
    const char *text = json_string_value(first);
    bool understood = text ? clock_parse_iso(bytes_of(text), &at) : json_is_number(first);
    if (!text && understood)
        at = (msec_t)(json_number_value(first) * 1000);
    bool is_first =
        world->sent_taken == 0 && json_array_size(world->traces) == 0 && memory_store_next_timer(world->store) == 0;
    if (!understood || (at < world->now && !is_first)) {
        world_fail(world, reterr, NULL,
                   understood ? "time does not run backwards"
                              : "the argument is a time such as \"2026-03-29T10:00:00Z\"");
        return NULL;
    }
    world_begin_act(world);
    if (at < world->now)
        world->now = at;
    world_advance(world, at);
    return NULL;
}

/* t:cron("digest"): time passes until that cron's next time, and it fires. Crons do not fire by themselves. */
static json_t *act_cron(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    const char *name = json_string_value(first);
    const json_t *declaration = name ? rule_set_declaration(world->rules, "cron", name) : NULL;
    msec_t due = 0;
    struct error reason;
    if (!declaration) {
        world_fail(world, reterr, NULL, "the argument is the name of a cron, and there is none '%s'", name ? name : "");
        return NULL;
    }
    const json_t *schedule = json_object_at(declaration, "schedule");
    if (schedule_next(schedule, world->now, &due, &reason) != ERR_NONE) {
        world_fail(world, reterr, NULL, "%s", reason.text);
        return NULL;
    }
    world_begin_act(world);
    world_advance(world, due);
    json_t *fields = json_object();
    json_put(fields, "body", cron_event_body(name, schedule, due));
    char type[256];
    snprintf(type, sizeof(type), "cron.%s", name);
    world_happen(world, world_event(world, type, "answerd", NULL, fields));
    json_decref(fields);
    return NULL;
}

static json_t *act_now(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)first;
    (void)second;
    (void)reterr;
    return world->now % 1000 == 0 ? json_integer(world->now / 1000) : json_real((double)world->now / 1000.0);
}

/* t:window("closed") or t:window("open"): as if the contact had written long ago, or just now. */
static json_t *act_window(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    const char *state = json_string_value(first);
    const json_t *contact = world_contact(world, json_object_get(second, "of"));
    bool open = state && strcmp(state, "open") == 0;
    if (!contact || !state || (!open && strcmp(state, "closed") != 0)) {
        world_fail(world, reterr, NULL,
                   contact ? "the argument is \"open\" or \"closed\"" : "the test has no contact yet");
        return NULL;
    }
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(memory_store_rows(world->store), ROWS_ADDRESS, json_int(contact, "id", 0)),
                        index, row) {
        json_object_del(row, "last_inbound_at");
        if (open)
            json_put_time(row, "last_inbound_at", world->now);
    }
    return NULL;
}

static void act_as_agent(struct world *world, const char *agent, json_t *effect)
{
    const json_t *contact = world_contact(world, NULL), *latest = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (
        contact ? rows_of_contact(memory_store_rows(world->store), ROWS_CONVERSATION, json_int(contact, "id", 0))
                : NULL,
        index, row) {
        if (!latest || json_time(row, "updated_at", 0) >= json_time(latest, "updated_at", 0))
            latest = row;
    }
    json_t *effects = json_array();
    json_array_append_new(effects, effect);
    json_t *fields = json_object();
    json_put(fields, "effects", effects);
    json_put_str(fields, "agent", agent);
    if (contact)
        json_object_set(fields, "contact_id", json_object_get(contact, "id"));
    if (latest)
        json_object_set(fields, "conversation_id", json_object_get(latest, "id"));
    world_begin_act(world);
    world_happen(world, world_event(world, "agent.action", "answerd", NULL, fields));
    json_decref(fields);
}

/* t:agent("reply", "I am on it"), t:agent("resolve"), t:agent("assign", "ann"), "note", "tag", "prioritize", "survey",
 * …: what a person does in the support tool, on the contact's latest conversation. */
static json_t *act_agent(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    static const struct {
        const char *verb;
        const char *effect;
        const char *key;
    } actions[] = {
        { "reply", "send", "text" },
        { "note", "note", "text" },
        { "tag", "tag", "tag" },
        { "untag", "untag", "tag" },
        { "assign", "assign", "assignee" },
        { "resolve", "resolve", NULL },
        { "survey", "survey", "survey" },
        { "snooze", "snooze", NULL },
        { "prioritize", "prioritize", "priority" },
    };
    const char *name = json_string_value(first);
    for (size_t i = 0; name && i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].verb, name) != 0)
            continue;
        json_t *effect = json_object();
        json_put_str(effect, "do", actions[i].effect);
        json_put_str(effect, "conversation", "@");
        if (actions[i].key)
            json_put_str(effect, actions[i].key, json_string_value(second));
        int64_t for_ms = 0;
        bool snoozes = strcmp(name, "snooze") == 0;
        if (snoozes && text_to_duration(bytes_of(json_string_value(second) ? json_string_value(second) : ""), &for_ms))
            json_put_int(effect, "for_ms", for_ms);
        if (snoozes && for_ms <= 0) {
            json_decref(effect);
            world_fail(world, reterr, NULL, "the second argument is a duration such as \"4h\"");
            return NULL;
        }
        act_as_agent(world, "test", effect);
        return NULL;
    }
    world_fail(world, reterr, NULL,
               "the first argument is reply, note, tag, untag, assign, prioritize, snooze, resolve or survey");
    return NULL;
}

const struct world_verb world_acts[] = {
    { "contact", world_act_contact },
    { "message", act_message },
    { "edit", act_edit },
    { "delete", act_delete },
    { "tap", act_tap },
    { "event", act_event },
    { "status", act_status },
    { "advance", act_advance },
    { "at", act_at },
    { "cron", act_cron },
    { "now", act_now },
    { "window", act_window },
    { "agent", act_agent },
    { NULL, NULL },
};
