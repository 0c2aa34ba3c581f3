/* The verbs that look at what came of it. Each fails with what was expected, what there is, and why. */
#include <stdio.h>
#include <string.h>

#include "domain/rule_test_text.h"
#include "domain/rule_test_world.h"

#define DETAIL_MAX_BYTES ((size_t)16 * 1024)

/* Is everything that `wanted` says true of `got`? Objects may have more keys, arrays more entries. */
static bool matches(const json_t *wanted, const json_t *got)
{
    bool is_empty = (json_is_object(wanted) && json_object_size(wanted) == 0) ||
                    (json_is_array(wanted) && json_array_size(wanted) == 0);
    if (is_empty) /* tags = {}: there is none; Lua does not tell an empty list from an empty object */
        return !got || json_is_null(got) || (json_is_array(got) && json_array_size(got) == 0) ||
               (json_is_object(got) && json_object_size(got) == 0);
    if (json_is_object(wanted)) {
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
            if (!matches(value, json_object_get(got, key)))
                return false;
        }
        return json_is_object(got);
    }
    if (json_is_array(wanted)) {
        size_t index, position;
        json_t *value, *candidate;
        json_array_foreach (wanted, index, value) {
            bool found = false;
            json_array_foreach (got, position, candidate)
                found = found || matches(value, candidate);
            if (!found)
                return false;
        }
        return json_is_array(got);
    }
    if (json_is_number(wanted) && json_is_number(got))
        return json_number_value(wanted) == json_number_value(got);
    if (json_is_false(wanted) && (!got || json_is_null(got)))
        return true;
    if (json_is_string(wanted) && json_is_array(got)) { /* tags = "vip" */
        size_t position;
        json_t *candidate;
        json_array_foreach (got, position, candidate) {
            if (matches(wanted, candidate))
                return true;
        }
        return false;
    }
    return json_equal(wanted, got);
}

static bool contains_all(const json_t *wanted, const char *text)
{
    if (json_is_string(wanted))
        return text && strstr(text, json_string_value(wanted));
    size_t index;
    json_t *part;
    json_array_foreach (wanted, index, part) {
        if (!text || !json_is_string(part) || !strstr(text, json_string_value(part)))
            return false;
    }
    return true;
}

/* Compares field by field; `contains` looks into `text`. Adds the lines of the difference and returns false. */
static bool compare(const json_t *wanted, const json_t *got, struct buf *detail)
{
    bool same = true;
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
        bool is_contains = strcmp(key, "contains") == 0;
        const json_t *actual = json_object_get(got, is_contains ? "text" : key);
        if (is_contains ? contains_all(value, json_string_value(actual)) : matches(value, actual))
            continue;
        if (same)
            buf_add_text(detail, "  differs:\n");
        same = false;
        test_text_add_difference(detail, key, value, actual);
    }
    return same;
}

/* What a test says about a message that left. New reference. */
static json_t *facts_of_sent(const json_t *sent)
{
    const json_t *message = json_object_at(sent, "message"), *request = json_object_at(sent, "request");
    const json_t *content = json_object_at(message, "content"), *to = json_object_at(request, "to");
    json_t *facts = json_object();
    json_object_set(facts, "text", json_object_get(message, "text"));
    json_object_set(facts, "kind", json_object_get(message, "kind"));
    json_object_set(facts, "author", json_object_get(message, "author"));
    json_object_set(facts, "channel", json_object_get(sent, "source"));
    json_object_set(facts, "to", json_object_get(to, "identity"));
    json_object_set(facts, "recipient", json_object_get(to, "recipient"));
    json_object_set(facts, "topic", json_object_get(sent, "topic"));
    json_object_set(facts, "rule", json_object_get(sent, "rule"));
    json_object_set(facts, "reply_to", json_object_get(message, "reply_to"));
    static const char *const copied[] = { "template", "language", "vars", "media", "survey", "step" };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_object_get(content, copied[i]))
            json_object_set(facts, copied[i], json_object_get(content, copied[i]));
    bool approved = strcmp(json_str_or(sent, "sent_as", ""), "approved") == 0;
    json_put_bool(facts, "approved", approved);
    if (approved) {
        json_t *parameters = json_array();
        const json_t *form = json_object_at(request, "approved");
        size_t index;
        json_t *parameter;
        json_array_foreach (json_array_at(form, "body"), index, parameter)
            json_array_append(parameters, json_object_get(parameter, "text"));
        json_put(facts, "parameters", parameters);
        json_object_set(facts, "approved_name", json_object_get(form, "name"));
    }
    json_t *buttons = json_array();
    size_t index;
    json_t *button;
    json_array_foreach (json_array_at(content, "buttons"), index, button)
        json_array_append(buttons, json_object_get(button, "text"));
    json_put(facts, "buttons", buttons);
    return facts;
}

void world_describe_sent(const json_t *sent, struct buf *out)
{
    json_t *facts = facts_of_sent(sent);
    if (json_array_size(json_array_at(facts, "buttons")) == 0)
        json_object_del(facts, "buttons");
    test_text_add_line(out, "sent:    ", facts);
    json_decref(facts);
}

static void describe_held(const struct world *world, struct buf *out)
{
    size_t index;
    json_t *held;
    json_array_foreach (world->held, index, held) {
        buf_addf(out, "  held back: %s\n", json_str_or(held, "reason", ""));
        const json_t *form = json_object_at(json_object_at(held, "request"), "free");
        test_text_add_line(out, "           ", form);
    }
}

/* t:expect_sent { template =, text =, contains =, to =, channel =, approved =, buttons =, parameters = }: the next
 * message that no expectation has taken. Returns its fields. */
static json_t *expect_sent(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    struct buf detail CLEANUP(buf_done);
    buf_init(&detail, DETAIL_MAX_BYTES);
    json_t *wanted = json_is_object(first) ? json_deep_copy(first) : json_object();
    if (json_is_string(first))
        json_object_set(wanted, "text", (json_t *)(uintptr_t)first);
    const json_t *sent = json_array_get(world->sent, world->sent_taken);
    if (!sent) {
        test_text_add_line(&detail, "expected:", wanted);
        buf_addf(&detail, "  got:      nothing %swas sent\n", world->sent_taken > 0 ? "more " : "");
        describe_held(world, &detail);
        json_decref(wanted);
        world_fail(world, reterr, detail.ptr, "no message was sent");
        return NULL;
    }
    json_t *facts = facts_of_sent(sent);
    const json_t *to = json_object_get(wanted, "to");
    if (json_is_object(to) && json_str(to, "identity")) {
        json_t *identity = json_incref(json_object_get(to, "identity"));
        json_put(wanted, "to", identity);
    }
    const char *recipient = json_str(wanted, "to");
    if (recipient && !strchr(recipient, ':'))
        json_object_set(facts, "to", json_object_get(facts, "recipient"));
    if (!compare(wanted, facts, &detail)) {
        test_text_add_line(&detail, "expected:", wanted);
        test_text_add_line(&detail, "got:     ", facts);
        world_fail(world, reterr, detail.ptr, "another message was sent");
        json_decref(facts);
        facts = NULL;
    } else {
        world->sent_taken++;
    }
    json_decref(wanted);
    return facts;
}

/* t:expect_nothing(): no message was sent that no expectation has taken. */
static json_t *expect_nothing(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)first;
    (void)second;
    if (world->sent_taken >= json_array_size(world->sent))
        return NULL;
    struct buf detail CLEANUP(buf_done);
    buf_init(&detail, DETAIL_MAX_BYTES);
    for (size_t i = world->sent_taken; i < json_array_size(world->sent) && i < world->sent_taken + 5; i++)
        world_describe_sent(json_array_get(world->sent, i), &detail);
    world_fail(world, reterr, detail.ptr, "a message was sent");
    return NULL;
}

/* t:expect_held { reason = }: a message that could not leave. */
static json_t *expect_held(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    struct buf detail CLEANUP(buf_done);
    buf_init(&detail, DETAIL_MAX_BYTES);
    const json_t *held = json_array_get(world->held, json_array_size(world->held) - 1);
    const char *reason = json_str(held, "reason");
    if (held && (!json_str(first, "reason") || strstr(reason, json_str(first, "reason")))) {
        json_array_remove(world->held, json_array_size(world->held) - 1);
        return NULL;
    }
    test_text_add_line(&detail, "expected:", first);
    describe_held(world, &detail);
    world_fail(world, reterr, detail.ptr,
               held ? "a message was held back for another reason" : "no message was held back");
    return NULL;
}

/* Rows of a table that belong to the contact in question, newest last; new reference. */
static json_t *rows_in_question(struct world *world, enum rows_table table, const json_t *wanted)
{
    const json_t *of = json_object_get(wanted, "of");
    const json_t *contact = world_contact(world, of);
    json_t *list = contact ? rows_of_contact(memory_store_rows(world->store), table, json_int(contact, "id", 0)) : NULL;
    return list ? json_copy(list) : json_array();
}

/* Expects one of `rows` to be as wanted; fails with the difference to the newest. `count` wants that many. */
static json_t *expect_row(struct world *world, const json_t *rows, const json_t *given, const char *what,
                          struct error *reterr)
{
    struct buf detail CLEANUP(buf_done);
    buf_init(&detail, DETAIL_MAX_BYTES);
    json_t *wanted = json_is_object(given) ? json_copy((json_t *)(uintptr_t)given) : json_object();
    json_object_del(wanted, "of");
    int64_t count = json_int(wanted, "count", -1);
    json_object_del(wanted, "count");
    if (json_is_false(given))
        count = 0;
    int64_t found = 0;
    json_t *result = NULL;
    for (size_t i = json_array_size(rows); i > 0; i--) {
        struct buf scratch CLEANUP(buf_done);
        buf_init(&scratch, DETAIL_MAX_BYTES);
        json_t *row = json_array_get(rows, i - 1);
        if (!compare(wanted, row, &scratch))
            continue;
        found++;
        if (!result)
            result = row;
    }
    if (count >= 0 ? found == count : found > 0) {
        json_decref(wanted);
        return result ? json_deep_copy(result) : NULL;
    }
    const json_t *newest = json_array_get(rows, json_array_size(rows) - 1);
    if (newest && found == 0)
        compare(wanted, newest, &detail);
    test_text_add_line(&detail, "expected:", wanted);
    if (!newest)
        buf_addf(&detail, "  got:      no %s at all\n", what);
    else
        test_text_add_line(&detail, "newest:  ", newest);
    json_decref(wanted);
    if (count >= 0)
        world_fail(world, reterr, detail.ptr, "expected %lld such %s%s, got %lld", (long long)count, what,
                   count == 1 ? "" : "s", (long long)found);
    else
        world_fail(world, reterr, detail.ptr, newest ? "no %s is like that" : "there is no %s", what);
    return NULL;
}

/* What tests call the channel is the column `source`. New reference. */
static json_t *with_channel(const json_t *rows)
{
    json_t *shown = json_array();
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        json_t *one = json_copy(row);
        json_object_set(one, "channel", json_object_get(one, "source"));
        json_array_append_new(shown, one);
    }
    return shown;
}

static json_t *expect_conversation(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    json_t *rows = rows_in_question(world, ROWS_CONVERSATION, first);
    json_t *shown = with_channel(rows);
    json_t *result = expect_row(world, shown, first, "conversation", reterr);
    json_decref(shown);
    json_decref(rows);
    return result;
}

static json_t *expect_of(struct world *world, enum rows_table table, const json_t *first, const char *what,
                         struct error *reterr)
{
    json_t *rows = rows_in_question(world, table, first);
    json_t *result = expect_row(world, rows, first, what, reterr);
    json_decref(rows);
    return result;
}

static json_t *expect_survey(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    return expect_of(world, ROWS_SURVEY, first, "survey", reterr);
}

static json_t *expect_outreach(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    return expect_of(world, ROWS_OUTREACH, first, "outreach", reterr);
}

/* Timers that answerd sets for itself; a test that means one of them names it. */
static bool is_own_timer(const json_t *row)
{
    static const char *const names[] = { "window.closing", "snooze", "survey.expired", "outreach.step" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(json_str_or(row, "name", ""), names[i]) == 0)
            return true;
    return false;
}

static json_t *expect_timer(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    json_t *all = rows_in_question(world, ROWS_TIMER, first), *rows = json_array();
    size_t index;
    json_t *row;
    json_array_foreach (all, index, row) {
        if (json_str(first, "name") || !is_own_timer(row))
            json_array_append(rows, row);
    }
    json_t *result = expect_row(world, rows, first, "timer", reterr);
    json_decref(rows);
    json_decref(all);
    return result;
}

static json_t *expect_contact(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    const json_t *contact = world_contact(world, json_object_get(first, "of"));
    json_t *rows = json_array();
    if (contact) {
        json_t *shown = json_copy((json_t *)(uintptr_t)contact), *identities = json_array();
        size_t index;
        json_t *row;
        json_array_foreach (rows_of_contact(memory_store_rows(world->store), ROWS_IDENTITY, json_int(contact, "id", 0)),
                            index, row)
            json_array_append(identities, json_object_get(row, "identity"));
        json_put(shown, "identities", identities);
        json_array_append_new(rows, shown);
    }
    json_t *result = expect_row(world, rows, first, "contact", reterr);
    json_decref(rows);
    return result;
}

/* t:expect_note { text = } or t:expect_note("text") */
static json_t *expect_note(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    json_t *rows = rows_in_question(world, ROWS_MESSAGE, first), *notes = json_array();
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        if (strcmp(json_str_or(row, "direction", ""), "note") == 0)
            json_array_append(notes, row);
    }
    json_t *wanted = json_is_string(first) ? json_pack("{s:O}", "text", (json_t *)(uintptr_t)first)
                                           : json_copy((json_t *)(uintptr_t)first);
    json_t *result = expect_row(world, notes, wanted, "note", reterr);
    json_decref(wanted);
    json_decref(notes);
    json_decref(rows);
    return result;
}

/* t:expect_message { direction =, text =, state = }: any message of the contact, with its ledger. */
static json_t *expect_message(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    json_t *rows = rows_in_question(world, ROWS_MESSAGE, first);
    json_t *shown = with_channel(rows);
    json_t *result = expect_row(world, shown, first, "message", reterr);
    json_decref(shown);
    json_decref(rows);
    return result;
}

/* t:expect_webhook { endpoint =, type =, body = }: the next one that no expectation has taken; false for none. */
static json_t *expect_webhook(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    struct buf detail CLEANUP(buf_done);
    buf_init(&detail, DETAIL_MAX_BYTES);
    const json_t *webhook = json_array_get(world->webhooks, world->webhooks_taken);
    json_t *facts = NULL;
    if (webhook) {
        facts = json_copy(json_object_at(webhook, "request"));
        json_object_set(facts, "endpoint", json_object_get(webhook, "endpoint"));
    }
    if (json_is_false(first) ? !webhook : webhook && compare(first, facts, &detail)) {
        world->webhooks_taken += webhook ? 1 : 0;
        return facts;
    }
    test_text_add_line(&detail, "expected:", first);
    test_text_add_line(&detail, "got:     ", facts);
    json_decref(facts);
    world_fail(world, reterr, detail.ptr, webhook ? "another webhook was sent" : "no webhook was sent");
    return NULL;
}

/* t:expect_effect { ["do"] = "tag", tag = "vip", rule = "…" } or t:expect_effect("tag", { tag = "vip" }): of the last
 * act. */
static json_t *expect_effect(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    json_t *effects = json_array();
    size_t index, position;
    json_t *trace, *effect;
    json_array_foreach (world->traces, index, trace) {
        json_array_foreach (json_array_at(trace, "effects"), position, effect) {
            json_t *one = json_copy(effect);
            json_object_set(one, "rule", json_object_get(trace, "rule"));
            json_array_append_new(effects, one);
        }
    }
    json_t *wanted = json_is_object(first) ? json_copy((json_t *)(uintptr_t)first) : json_object();
    if (json_is_string(first)) {
        if (json_is_object(second))
            json_object_update(wanted, (json_t *)(uintptr_t)second);
        json_object_set(wanted, "do", (json_t *)(uintptr_t)first);
    }
    json_t *result = expect_row(world, effects, wanted, "effect of the last act", reterr);
    json_decref(wanted);
    json_decref(effects);
    return result;
}

/* t:expect_event { type = "custom.x", body = {…} } or t:expect_event("conversation.opened"): of the last act. */
static json_t *expect_event(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    json_t *wanted = json_is_string(first) ? json_pack("{s:O}", "type", (json_t *)(uintptr_t)first)
                                           : json_copy((json_t *)(uintptr_t)first);
    json_t *result = expect_row(world, world->events, wanted, "event of the last act", reterr);
    json_decref(wanted);
    return result;
}

/* t:expect_error { rule =, contains = }: a rule that failed. */
static json_t *expect_error(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    for (size_t i = 0; i < json_array_size(world->errors); i++) {
        const json_t *error = json_array_get(world->errors, i);
        const char *rule = json_str(first, "rule"), *text = json_string_value(first);
        const char *part = text ? text : json_str(first, "contains");
        if ((!rule || strcmp(rule, json_str_or(error, "rule", "")) == 0) &&
            (!part || strstr(json_str_or(error, "error", ""), part))) {
            json_array_remove(world->errors, i);
            return NULL;
        }
    }
    world_fail(world, reterr, NULL, "no rule failed like that");
    return NULL;
}

const struct world_verb world_expectations[] = {
    { "expect_sent", expect_sent },
    { "expect_nothing", expect_nothing },
    { "expect_held", expect_held },
    { "expect_conversation", expect_conversation },
    { "expect_survey", expect_survey },
    { "expect_outreach", expect_outreach },
    { "expect_timer", expect_timer },
    { "expect_contact", expect_contact },
    { "expect_note", expect_note },
    { "expect_message", expect_message },
    { "expect_webhook", expect_webhook },
    { "expect_effect", expect_effect },
    { "expect_event", expect_event },
    { "expect_error", expect_error },
    { NULL, NULL },
};
