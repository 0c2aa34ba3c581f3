/* Which contacts an event is about, and everything that the world in memory knows of them. */
#include <stdio.h>
#include <string.h>

#include "domain/memory_store_world.h"
#include "domain/reference.h"

static void want_contact(const struct memory_store *store, json_t *wanted, int64_t id)
{
    for (int i = 0; i < 16; i++) {
        const json_t *contact = rows_by_id(store->rows, ROWS_CONTACT, id);
        int64_t into = contact ? json_int(contact, "merged_into", 0) : 0;
        if (into <= 0)
            break;
        id = into;
    }
    if (!rows_by_id(store->rows, ROWS_CONTACT, id))
        return;
    char key[32];
    snprintf(key, sizeof(key), "%lld", (long long)id);
    json_object_set_new(wanted, key, json_integer(id));
}

static void want_identity(const struct memory_store *store, json_t *wanted, const char *identity)
{
    const json_t *row = rows_by_key(store->rows, ROWS_IDENTITY, identity);
    if (row)
        want_contact(store, wanted, json_int(row, "contact_id", 0));
    const char *colon = strchr(identity, ':');
    bool is_phone = strncmp(identity, "phone:", 6) == 0, is_whatsapp = strncmp(identity, "whatsapp:", 9) == 0;
    if (!colon || (!is_phone && !is_whatsapp))
        return;
    char twin[300];
    snprintf(twin, sizeof(twin), "%s%s", is_phone ? "whatsapp" : "phone", colon);
    row = rows_by_key(store->rows, ROWS_IDENTITY, twin);
    if (row)
        want_contact(store, wanted, json_int(row, "contact_id", 0));
}

/* A message, or an array of several. */
static json_t *all_by_provider_id(const struct memory_store *store, const char *source, const char *id)
{
    char key[512];
    if (!source || !id)
        return NULL;
    snprintf(key, sizeof(key), "%s %s", source, id);
    return json_object_get(store->by_provider_id, key);
}

json_t *memory_store_by_provider_id(const struct memory_store *store, const char *source, const char *id)
{
    json_t *found = all_by_provider_id(store, source, id);
    return json_is_array(found) ? json_array_get(found, json_array_size(found) - 1) : found;
}

static json_t *message_of_delivery(const struct memory_store *store, int64_t delivery_id)
{
    size_t index;
    json_t *delivery;
    json_array_foreach (store->deliveries, index, delivery) {
        if (json_int(delivery, "id", 0) == delivery_id)
            return rows_by_id(store->rows, ROWS_MESSAGE, json_int(delivery, "message_id", 0));
    }
    return NULL;
}

/* The stored messages that the event's status, edit, deletion or reaction is about. New reference. */
static json_t *referred_messages(const struct memory_store *store, const json_t *event)
{
    json_t *list = json_array();
    const char *source = json_str(event, "source");
    const json_t *status = json_object_at(event, "status"), *message = json_object_at(event, "message");
    json_t *found[] = {
        status ? all_by_provider_id(store, source, json_str(status, "message_id")) : NULL,
        status && json_int(status, "echo", 0) > 0 ? message_of_delivery(store, json_int(status, "echo", 0)) : NULL,
        message ? all_by_provider_id(store, source, json_str(message, "id")) : NULL,
        message ? all_by_provider_id(store, source, json_str(message, "reply_to")) : NULL,
    };
    for (size_t i = 0; i < ARRAY_LEN(found); i++) {
        if (json_is_array(found[i]))
            json_array_extend(list, found[i]);
        else if (found[i])
            json_array_append(list, found[i]);
    }
    return list;
}

static void want_by_reference(const struct memory_store *store, json_t *wanted, const json_t *event)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(store->rows, ROWS_OUTREACH), key, row) {
        if (strcmp(json_str_or(row, "state", ""), "active") == 0 && reference_match_outreach(event, row) == 1)
            want_contact(store, wanted, json_int(row, "contact_id", 0));
    }
}

static json_t *make_case(const struct memory_store *store, int64_t contact_id, const json_t *messages)
{
    json_t *made = json_object();
    json_put(made, "contact", json_deep_copy(rows_by_id(store->rows, ROWS_CONTACT, contact_id)));
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        if (i == ROWS_CONTACT || i == ROWS_MESSAGE)
            continue;
        json_t *list = rows_of_contact(store->rows, (enum rows_table)i, contact_id);
        if (json_array_size(list) > 0)
            json_put(made, rows_table_name((enum rows_table)i), json_deep_copy(list));
    }
    json_t *referred = json_array();
    size_t index;
    json_t *message;
    json_array_foreach (messages, index, message) {
        if (json_int(message, "contact_id", 0) == contact_id)
            json_array_append_new(referred, json_deep_copy(message));
    }
    json_put(made, "messages", referred);
    return made;
}

static void want_identities(const struct memory_store *store, json_t *wanted, const json_t *list)
{
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry) {
        if (json_is_string(entry))
            want_identity(store, wanted, json_string_value(entry));
    }
}

json_t *memory_store_cases(const struct memory_store *store, const json_t *event, const json_t *also)
{
    json_t *wanted = json_object(), *cases = json_array();
    if (json_int(event, "contact_id", 0) > 0)
        want_contact(store, wanted, json_int(event, "contact_id", 0));
    const json_t *conversation = rows_by_id(store->rows, ROWS_CONVERSATION, json_int(event, "conversation_id", 0));
    if (conversation)
        want_contact(store, wanted, json_int(conversation, "contact_id", 0));
    const json_t *who = json_object_at(event, "contact");
    want_identities(store, wanted, json_array_at(who, "identities"));
    want_identities(store, wanted, json_array_at(who, "former_identities"));
    want_identities(store, wanted, also);
    json_t *messages = referred_messages(store, event);
    size_t index;
    json_t *message;
    json_array_foreach (messages, index, message)
        want_contact(store, wanted, json_int(message, "contact_id", 0));
    want_by_reference(store, wanted, event);

    const char *key;
    json_t *id;
    json_object_foreach (wanted, key, id)
        json_array_append_new(cases, make_case(store, json_integer_value(id), messages));
    json_decref(messages);
    json_decref(wanted);
    return cases;
}

static bool has_case_of(const json_t *cases, int64_t contact_id)
{
    size_t index;
    json_t *one;
    json_array_foreach (cases, index, one) {
        if (json_int(json_object_at(one, "contact"), "id", 0) == contact_id)
            return true;
    }
    return false;
}

json_t *memory_store_unseen(const struct memory_store *store, const json_t *cases, const json_t *changes)
{
    json_t *unseen = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (json_array_at(changes, "identities"), index, row) {
        const char *identity = json_str(row, "identity");
        const json_t *known = identity ? rows_by_key(store->rows, ROWS_IDENTITY, identity) : NULL;
        if (!known || has_case_of(cases, json_int(known, "contact_id", 0)))
            continue;
        if (!unseen)
            unseen = json_array();
        json_array_append(unseen, json_object_get(row, "identity"));
    }
    return unseen;
}
