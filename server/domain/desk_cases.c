/* What a desk knows of the contacts that an event is about, as copies: for handling the event once more elsewhere. */
#include <stdio.h>
#include <string.h>

#include "domain/scene.h"

static void want(const struct desk *desk, json_t *wanted, int64_t id)
{
    const json_t *contact = rows_by_id(desk->rows, ROWS_CONTACT, id);
    for (int i = 0; contact && i < 16; i++) {
        char key[32];
        snprintf(key, sizeof(key), "%lld", (long long)row_id(contact));
        json_put_int(wanted, key, row_id(contact));
        contact = rows_by_id(desk->rows, ROWS_CONTACT, json_int(contact, "merged_into", 0));
    }
}

static void want_identity(const struct desk *desk, json_t *wanted, const char *identity)
{
    static const char *const twins[][2] = { { "phone:", "whatsapp:" }, { "whatsapp:", "phone:" } };
    want(desk, wanted, json_int(rows_by_key(desk->rows, ROWS_IDENTITY, identity), "contact_id", 0));
    for (size_t i = 0; i < ARRAY_LEN(twins); i++) {
        size_t length = strlen(twins[i][0]);
        if (strncmp(identity, twins[i][0], length) != 0)
            continue;
        char twin[300];
        snprintf(twin, sizeof(twin), "%s%s", twins[i][1], identity + length);
        want(desk, wanted, json_int(rows_by_key(desk->rows, ROWS_IDENTITY, twin), "contact_id", 0));
    }
}

static bool same_text(const char *left, const char *right)
{
    return left && right && strcmp(left, right) == 0;
}

/* The message that a status, an edit, a deletion or a reaction is about. */
static bool refers_to(const json_t *event, const json_t *message)
{
    const json_t *status = json_object_at(event, "status"), *said = json_object_at(event, "message");
    const char *id = json_str(message, "provider_message_id");
    int64_t echo = json_int(status, "echo", 0);
    return same_text(id, json_str(status, "message_id")) || same_text(id, json_str(said, "id")) ||
           same_text(id, json_str(said, "reply_to")) || (echo > 0 && json_int(message, "delivery_id", 0) == echo);
}

static bool names_reference(const json_t *event, const char *reference)
{
    static const char *const places[] = { "payment.invoice", "payment.subscription", "payment.id",
                                          "subscription.id", "order.reference",      "order.id" };
    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (same_text(json_string_value(json_at(event, places[i])), reference))
            return true;
    return false;
}

static json_t *find_contacts(const struct desk *desk, const json_t *event)
{
    static const char *const lists[] = { "identities", "former_identities" };
    json_t *wanted = json_object();
    want(desk, wanted, json_int(event, "contact_id", 0));
    const json_t *conversation = rows_by_id(desk->rows, ROWS_CONVERSATION, json_int(event, "conversation_id", 0));
    want(desk, wanted, json_int(conversation, "contact_id", 0));
    size_t index;
    const char *key;
    json_t *row;
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        json_array_foreach (json_array_at(json_object_at(event, "contact"), lists[i]), index, row) {
            if (json_is_string(row))
                want_identity(desk, wanted, json_string_value(row));
        }
    }
    json_object_foreach (rows_all(desk->rows, ROWS_MESSAGE), key, row) {
        if (refers_to(event, row))
            want(desk, wanted, json_int(row, "contact_id", 0));
    }
    json_object_foreach (rows_all(desk->rows, ROWS_OUTREACH), key, row) {
        if (names_reference(event, json_str(row, "reference")))
            want(desk, wanted, json_int(row, "contact_id", 0));
    }
    return wanted;
}

json_t *desk_copy_cases(const struct desk *desk, const json_t *event)
{
    json_t *wanted = find_contacts(desk, event);
    json_t *cases = json_array();
    const char *key;
    json_t *id;
    json_object_foreach (wanted, key, id) {
        json_t *made = json_object();
        int64_t contact = json_integer_value(id);
        json_put(made, "contact", json_deep_copy(rows_by_id(desk->rows, ROWS_CONTACT, contact)));
        for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
            const json_t *rows = rows_of_contact(desk->rows, (enum rows_table)i, contact);
            if (i != ROWS_CONTACT && json_array_size(rows) > 0)
                json_put(made, rows_table_name((enum rows_table)i), json_deep_copy(rows));
        }
        json_array_append_new(cases, made);
    }
    json_decref(wanted);
    return cases;
}
