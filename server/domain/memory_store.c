#include "domain/memory_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "domain/ledger.h"
#include "domain/memory_store_world.h"

struct memory_store *memory_store_new(void)
{
    struct memory_store *store = memory_new(sizeof(*store));
    store->rows = rows_new();
    store->by_provider_id = json_object();
    store->deliveries = json_array();
    store->events = json_array();
    return store;
}

void memory_store_free(struct memory_store *store)
{
    if (!store)
        return;
    rows_free(store->rows);
    json_decref(store->by_provider_id);
    json_decref(store->deliveries);
    json_decref(store->events);
    free(store);
}

struct rows *memory_store_rows(struct memory_store *store)
{
    return store->rows;
}

json_t *memory_store_message(const struct memory_store *store, int64_t id)
{
    return rows_by_id(store->rows, ROWS_MESSAGE, id);
}

/* --- taking changes ----------------------------------------------------------------------------------------------- */

/* Ids may be those of one chat only: then several messages have the same one, the latest is the last. */
static void index_message(struct memory_store *store, json_t *row)
{
    const char *source = json_str(row, "source"), *id = json_str(row, "provider_message_id");
    char key[512];
    if (!source || !id)
        return;
    size_t length = text_append(key, sizeof(key), 0, source);
    length = text_append(key, sizeof(key), length, " ");
    text_append(key, sizeof(key), length, id);
    json_t *known = json_object_get(store->by_provider_id, key);
    if (!known || known == row) {
        json_object_set(store->by_provider_id, key, row);
        return;
    }
    if (!json_is_array(known)) {
        json_t *first = json_incref(known);
        known = json_array();
        json_array_append_new(known, first);
        json_object_set_new(store->by_provider_id, key, known);
    }
    size_t index;
    json_t *other;
    json_array_foreach (known, index, other) {
        if (other == row)
            return;
    }
    json_array_append(known, row);
}

static void apply_rows(struct memory_store *store, enum rows_table table, const json_t *list)
{
    size_t index;
    json_t *row;
    json_array_foreach (list, index, row) {
        json_t *kept = rows_upsert(store->rows, table, json_incref(row));
        if (table == ROWS_MESSAGE)
            index_message(store, kept);
    }
}

/* What a merged contact said goes with it; the desk moves only what it was given. */
static void follow_merge(struct memory_store *store, const json_t *contact)
{
    int64_t into = json_int(contact, "merged_into", 0);
    if (into <= 0)
        return;
    json_t *messages = json_copy(rows_of_contact(store->rows, ROWS_MESSAGE, json_int(contact, "id", 0)));
    size_t position;
    json_t *message;
    json_array_foreach (messages, position, message)
        rows_move(store->rows, ROWS_MESSAGE, message, into);
    json_decref(messages);
}

static void apply_edits(struct memory_store *store, const json_t *edits)
{
    size_t index;
    json_t *edit;
    json_array_foreach (edits, index, edit) {
        json_t *row = rows_by_id(store->rows, ROWS_MESSAGE, json_int(edit, "id", 0));
        if (row)
            json_object_update(row, edit);
    }
}

static bool is_text(const json_t *row, const char *key, const char *text)
{
    return strcmp(json_str_or(row, key, ""), text) == 0;
}

/* Everything that was sent to an address until a time, and has arrived as far as one knows. */
static void apply_watermark(struct memory_store *store, const json_t *mark)
{
    const char *source = json_str_or(mark, "source", ""), *identity = json_str_or(mark, "identity", "");
    msec_t up_to = json_time(mark, "up_to", 0), at = json_time(mark, "at", up_to);
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(store->rows, ROWS_MESSAGE), key, row) {
        msec_t sent = json_time(row, "sent_at", 0);
        bool has_arrived = is_text(row, "state", "sent") || is_text(row, "state", "delivered");
        if (!is_text(row, "source", source) || !is_text(row, "identity", identity) ||
            !is_text(row, "direction", "out") || !has_arrived || sent == 0 || sent > up_to)
            continue;
        ledger_apply(row, json_str_or(mark, "state", ""), at, NULL, NULL);
        json_t *outreach = rows_by_id(store->rows, ROWS_OUTREACH, json_int(row, "outreach_id", 0));
        if (outreach && !json_str(outreach, "reached_at"))
            json_put_time(outreach, "reached_at", at);
    }
}

static void apply_states(struct memory_store *store, const json_t *states)
{
    size_t index;
    json_t *state;
    json_array_foreach (states, index, state) {
        if (json_str(state, "up_to")) {
            apply_watermark(store, state);
            continue;
        }
        json_t *row = rows_by_id(store->rows, ROWS_MESSAGE, json_int(state, "id", 0));
        if (!row)
            row = memory_store_by_provider_id(store, json_str(state, "source"), json_str(state, "provider_message_id"));
        if (row && is_text(row, "direction", "out"))
            ledger_apply(row, json_str_or(state, "state", ""), json_time(state, "at", 0), json_str(state, "error_code"),
                         json_str(state, "reason"));
    }
}

static bool is_queued(const json_t *delivery)
{
    return strcmp(json_str_or(delivery, "state", ""), "queued") == 0;
}

/* What a budget holds waits, too, for a person. */
static bool is_waiting(const json_t *delivery)
{
    return is_queued(delivery) || strcmp(json_str_or(delivery, "state", ""), "held") == 0;
}

static void apply_cancels(struct memory_store *store, const json_t *cancels)
{
    size_t index;
    json_t *cancel;
    json_array_foreach (cancels, index, cancel) {
        int64_t outreach_id = json_int(cancel, "outreach_id", -1), message_id = json_int(cancel, "message_id", -1);
        for (size_t i = store->first_queued; i < json_array_size(store->deliveries); i++) {
            json_t *delivery = json_array_get(store->deliveries, i);
            if (is_waiting(delivery) && (json_int(delivery, "outreach_id", 0) == outreach_id ||
                                         json_int(delivery, "message_id", 0) == message_id))
                memory_store_end_delivery(store, delivery, "canceled", "no longer needed", NULL, 0);
        }
    }
}

static bool cancels_timer(const json_t *cancel, const json_t *timer)
{
    if (json_object_get(cancel, "id"))
        return json_int(cancel, "id", 0) == json_int(timer, "id", -1);
    static const char *const owners[] = { "outreach_id", "survey_id" };
    for (size_t i = 0; i < ARRAY_LEN(owners); i++)
        if (json_object_get(cancel, owners[i]))
            return json_int(cancel, owners[i], 0) == json_int(timer, owners[i], -1);
    return json_int(cancel, "conversation_id", 0) == json_int(timer, "conversation_id", -1) &&
           strcmp(json_str_or(cancel, "name", ""), json_str_or(timer, "name", "")) == 0;
}

static void apply_timer_cancels(struct memory_store *store, const json_t *cancels)
{
    size_t index;
    json_t *cancel;
    json_array_foreach (cancels, index, cancel) {
        const char *key;
        json_t *timer, *found = NULL;
        json_object_foreach (rows_all(store->rows, ROWS_TIMER), key, timer) {
            if (cancels_timer(cancel, timer))
                found = timer;
        }
        if (found)
            rows_remove(store->rows, ROWS_TIMER, found);
    }
}

static void take_logs(struct memory_store *store, const json_t *logs)
{
    apply_states(store, json_array_at(logs, "message_states"));
    size_t index;
    json_t *row;
    json_array_foreach (json_array_at(logs, "deliveries"), index, row)
        json_array_append(store->deliveries, row);
    apply_cancels(store, json_array_at(logs, "cancel_deliveries"));
    json_array_foreach (json_array_at(logs, "events"), index, row)
        json_array_append(store->events, row);
    rows_forget_changed(store->rows); /* nobody else is to be told */
}

void memory_store_apply(struct memory_store *store, const json_t *changes)
{
    json_t *copy = json_deep_copy(changes); /* its rows change later */
    apply_timer_cancels(store, json_array_at(copy, "timer_cancels"));
    for (int i = 0; i < ROWS_TABLE_COUNT; i++)
        apply_rows(store, (enum rows_table)i, json_array_at(copy, rows_table_name((enum rows_table)i)));
    size_t index;
    json_t *contact;
    json_array_foreach (json_array_at(copy, "contacts"), index, contact)
        follow_merge(store, contact);
    apply_edits(store, json_array_at(copy, "message_edits"));
    take_logs(store, copy);
    json_decref(copy);
}

void memory_store_take_logs(struct memory_store *store, json_t *logs)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_changed(store->rows, ROWS_CONTACT), key, row)
        follow_merge(store, row);
    json_object_foreach (rows_changed(store->rows, ROWS_MESSAGE), key, row)
        index_message(store, row);
    take_logs(store, logs);
    json_decref(logs);
}

/* --- what happens next -------------------------------------------------------------------------------------------- */

void memory_store_add_event(struct memory_store *store, json_t *event)
{
    json_array_append(store->events, event);
}

json_t *memory_store_next_event(struct memory_store *store)
{
    if (store->next_event >= json_array_size(store->events))
        return NULL;
    json_t *event = json_incref(json_array_get(store->events, store->next_event++));
    if (store->next_event == json_array_size(store->events)) {
        json_array_clear(store->events);
        store->next_event = 0;
    }
    return event;
}

static json_t *first_timer(const struct memory_store *store)
{
    json_t *first = NULL;
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(store->rows, ROWS_TIMER), key, row) {
        msec_t due = json_time(row, "due_at", 0), best = first ? json_time(first, "due_at", 0) : 0;
        if (!first || due < best || (due == best && json_int(row, "id", 0) < json_int(first, "id", 0)))
            first = row;
    }
    return first;
}

msec_t memory_store_next_timer(const struct memory_store *store)
{
    const json_t *timer = first_timer(store);
    return timer ? json_time(timer, "due_at", 0) : 0;
}

static bool is_own_type(const char *name)
{
    return strcmp(name, "survey.expired") == 0 || strcmp(name, "outreach.step") == 0 ||
           strcmp(name, "window.closing") == 0;
}

json_t *memory_store_fire_timer(struct memory_store *store, msec_t now)
{
    json_t *timer = first_timer(store);
    if (!timer || json_time(timer, "due_at", 0) > now)
        return NULL;
    const char *name = json_str_or(timer, "name", "");
    json_t *event = json_object();
    char text[256];
    snprintf(text, sizeof(text), "%s%s", is_own_type(name) ? "" : "timer.", name);
    json_put_str(event, "type", text);
    json_put_str(event, "source", "answerd");
    json_put_str(event, "provider", "answerd");
    snprintf(text, sizeof(text), "timer:%lld:%s", (long long)json_int(timer, "id", 0),
             json_str_or(timer, "due_at", ""));
    json_put_str(event, "key", text);
    json_object_set(event, "occurred_at", json_object_get(timer, "due_at"));
    static const char *const copied[] = { "lane", "contact_id", "conversation_id", "outreach_id", "survey_id" };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_object_get(timer, copied[i]))
            json_object_set(event, copied[i], json_object_get(timer, copied[i]));
    static const char *const shown[] = { "id", "name", "data", "unless", "armed_at", "due_at", "rule", "rule_set" };
    json_t *about = json_object();
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        if (json_object_get(timer, shown[i]))
            json_object_set(about, shown[i], json_object_get(timer, shown[i]));
    json_put(event, "timer", about);
    json_t *cause = json_object();
    json_object_set(cause, "event", json_object_get(timer, "cause_event"));
    json_put_str(cause, "rule", json_str(timer, "rule"));
    json_put_int(cause, "depth", json_int(timer, "depth", 0));
    json_put(event, "cause", cause);
    rows_remove(store->rows, ROWS_TIMER, timer);
    return event;
}

static json_t *first_delivery(const struct memory_store *store)
{
    json_t *first = NULL;
    for (size_t i = store->first_queued; i < json_array_size(store->deliveries); i++) {
        json_t *delivery = json_array_get(store->deliveries, i);
        if (is_queued(delivery) && (!first || json_time(delivery, "due_at", 0) < json_time(first, "due_at", 0)))
            first = delivery;
    }
    return first;
}

msec_t memory_store_next_delivery(const struct memory_store *store)
{
    const json_t *delivery = first_delivery(store);
    return delivery ? json_time(delivery, "due_at", 0) : 0;
}

json_t *memory_store_due_delivery(const struct memory_store *store, msec_t now)
{
    json_t *delivery = first_delivery(store);
    return delivery && json_time(delivery, "due_at", 0) <= now ? delivery : NULL;
}

void memory_store_end_delivery(struct memory_store *store, json_t *delivery, const char *state, const char *reason,
                               const char *provider_message_id, msec_t at)
{
    json_put_str(delivery, "state", state);
    json_put_str(delivery, "reason", reason);
    json_put_str(delivery, "provider_message_id", provider_message_id);
    json_put_time(delivery, "ended_at", at);
    while (store->first_queued < json_array_size(store->deliveries) &&
           !is_waiting(json_array_get(store->deliveries, store->first_queued)))
        store->first_queued++;
    json_t *message = rows_by_id(store->rows, ROWS_MESSAGE, json_int(delivery, "message_id", 0));
    if (!message)
        return;
    json_put_str(message, "provider_message_id", provider_message_id);
    ledger_apply(message, state, at, NULL, reason);
    if (reason)
        json_put_str(message, "reason", reason);
    index_message(store, message);
}

size_t memory_store_delivery_count(const struct memory_store *store)
{
    return json_array_size(store->deliveries);
}

json_t *memory_store_delivery(const struct memory_store *store, size_t index)
{
    return json_array_get(store->deliveries, index);
}

/* --- forgetting ----------------------------------------------------------------------------------------------------
 */

void memory_store_clear(struct memory_store *store)
{
    rows_clear(store->rows);
    json_object_clear(store->by_provider_id);
    json_array_clear(store->deliveries);
    json_array_clear(store->events);
    store->first_queued = store->next_event = 0;
}

/* Removes the oldest rows of a table that `is_over` says are done with, until `keep` are left. */
static void trim_table(struct memory_store *store, enum rows_table table, size_t keep,
                       bool (*is_over)(const json_t *row))
{
    json_t *all = rows_all(store->rows, table), *old = json_array();
    size_t size = json_object_size(all);
    const char *key;
    json_t *row;
    json_object_foreach (all, key, row) {
        if (size - json_array_size(old) <= keep)
            break;
        if (is_over(row))
            json_array_append(old, row);
    }
    size_t index;
    json_array_foreach (old, index, row)
        rows_remove(store->rows, table, row);
    json_decref(old);
}

static bool is_settled_message(const json_t *row)
{
    return strcmp(json_str_or(row, "state", ""), "queued") != 0;
}

static bool is_resolved(const json_t *row)
{
    return strcmp(json_str_or(row, "state", ""), "resolved") == 0;
}

static bool is_ended_survey(const json_t *row)
{
    return strcmp(json_str_or(row, "state", ""), "asked") != 0;
}

static bool is_ended_outreach(const json_t *row)
{
    return strcmp(json_str_or(row, "state", ""), "active") != 0;
}

void memory_store_trim(struct memory_store *store, size_t keep)
{
    trim_table(store, ROWS_MESSAGE, keep, is_settled_message);
    trim_table(store, ROWS_CONVERSATION, keep, is_resolved);
    trim_table(store, ROWS_SURVEY, keep, is_ended_survey);
    trim_table(store, ROWS_OUTREACH, keep, is_ended_outreach);
    json_object_clear(store->by_provider_id);
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(store->rows, ROWS_MESSAGE), key, row)
        index_message(store, row);
    json_t *waiting = json_array();
    size_t index;
    json_array_foreach (store->deliveries, index, row) {
        if (is_waiting(row))
            json_array_append(waiting, row);
    }
    json_decref(store->deliveries);
    store->deliveries = waiting;
    store->first_queued = 0;
    rows_forget_changed(store->rows);
}

/* --- what rules read ---------------------------------------------------------------------------------------------- */

static json_t *read_history(void *arg, int64_t conversation_id, size_t limit)
{
    const struct memory_store *store = arg;
    const json_t *conversation = rows_by_id(store->rows, ROWS_CONVERSATION, conversation_id);
    json_t *list = json_array();
    size_t index;
    json_t *row;
    json_array_foreach (
        conversation ? rows_of_contact(store->rows, ROWS_MESSAGE, json_int(conversation, "contact_id", 0)) : NULL,
        index, row) {
        if (json_int(row, "conversation_id", 0) == conversation_id)
            json_array_append_new(list, json_deep_copy(row));
    }
    while (json_array_size(list) > limit)
        json_array_remove(list, 0);
    return list;
}

static json_t *read_conversations(void *arg, int64_t contact_id, size_t limit)
{
    const struct memory_store *store = arg;
    json_t *list = json_array();
    const json_t *all = rows_of_contact(store->rows, ROWS_CONVERSATION, contact_id);
    for (size_t i = json_array_size(all); i > 0 && json_array_size(list) < limit; i--)
        json_array_append_new(list, json_deep_copy(json_array_get(all, i - 1)));
    return list;
}

struct fact_reader memory_store_reader(struct memory_store *store)
{
    return (struct fact_reader){ .history = read_history, .conversations = read_conversations, .arg = store };
}
