#include "domain/rule_test_people.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "channel/handle.h"

static const char *const handle_kinds[] = {
    "whatsapp", "telegram", "messenger", "instagram", "stripe", "phone", "email"
};

static const char *provider_of(const struct world *world, const char *source)
{
    const json_t *settings = json_object_get(world->sources, source);
    return settings ? json_str_or(settings, "provider", source) : source;
}

static bool sends(const struct world *world, const char *source)
{
    const json_t *settings = json_object_get(world->sources, source);
    return settings && json_bool(settings, "sends", false);
}

/* In the form in which events have it; what cannot be one is taken as it is. */
static void add_identity(json_t *list, const char *kind, const char *value)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 300);
    buf_addf(&text, "%s:", kind);
    handle_read(kind, value, &text);
    json_array_append_new(list, json_string(text.ptr));
}

/* A number that no channel could report would let a test pass that means nobody. Other handles may be any text: a test
 * may call somebody "ada". */
static bool are_numbers(struct world *world, const json_t *fields, struct error *reterr)
{
    static const char *const kinds[] = { "whatsapp", "phone" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const char *value = json_str(fields, kinds[i]);
        struct buf known CLEANUP(buf_done);
        buf_init(&known, HANDLE_MAX_BYTES);
        const char *wrong = value && strpbrk(value, "0123456789") ? handle_read(kinds[i], value, &known) : NULL;
        if (wrong) {
            world_fail(world, reterr, NULL, "'%s' is not a handle of the kind %s: %s", value, kinds[i], wrong);
            return false;
        }
    }
    return true;
}

static bool has(const json_t *list, const char *text)
{
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry) {
        if (strcmp(json_string_value(entry), text) == 0)
            return true;
    }
    return false;
}

/* The identities that a table such as { whatsapp = "1555", email = "a@b.c" } names; new reference. */
static json_t *identities_of(const json_t *fields)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_LEN(handle_kinds); i++) {
        const json_t *value = json_object_get(fields, handle_kinds[i]);
        char number[32];
        if (json_is_integer(value)) {
            snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
            add_identity(list, handle_kinds[i], number);
        } else if (json_is_string(value)) {
            add_identity(list, handle_kinds[i], json_string_value(value));
        }
        const char *last = json_string_value(json_array_get(list, json_array_size(list) - 1));
        if (last && strncmp(last, "whatsapp:", 9) == 0 && last[9] >= '0' && last[9] <= '9')
            add_identity(list, "phone", last + 9);
    }
    size_t index;
    json_t *entry;
    json_array_foreach (json_array_at(fields, "identities"), index, entry) {
        if (json_is_string(entry) && strchr(json_string_value(entry), ':') && !has(list, json_string_value(entry)))
            json_array_append(list, entry);
    }
    return list;
}

static void add_addresses(struct world *world, const json_t *contact, const json_t *identities, bool open)
{
    struct rows *rows = memory_store_rows(world->store);
    const char *source;
    json_t *settings;
    json_object_foreach ((json_t *)(uintptr_t)world->sources, source, settings) {
        size_t index;
        json_t *entry;
        const char *provider = json_str_or(settings, "provider", source);
        size_t length = strlen(provider);
        json_array_foreach (identities, index, entry) {
            const char *identity = json_string_value(entry);
            if (!json_bool(settings, "sends", false) || strncmp(identity, provider, length) != 0 ||
                identity[length] != ':')
                continue;
            json_t *row = json_object();
            json_put_str(row, "source", source);
            json_put_str(row, "identity", identity);
            json_object_set(row, "contact_id", json_object_get(contact, "id"));
            json_put_str(row, "recipient", identity + length + 1);
            if (open)
                json_put_time(row, "last_inbound_at", world->now - 60000);
            rows_upsert(rows, ROWS_ADDRESS, row);
        }
    }
}

/* t:contact { name =, whatsapp =, telegram =, email =, …, language =, timezone =, prefer =, window = "closed",
 * opted_out =, attributes = }: somebody we know, who wrote a minute ago unless the window is "closed". Returns a value
 * that names the contact. */
json_t *world_act_contact(struct world *world, const json_t *first, const json_t *second, struct error *reterr)
{
    (void)second;
    if (!are_numbers(world, first, reterr))
        return NULL;
    struct rows *rows = memory_store_rows(world->store);
    json_t *identities = identities_of(first);
    const char *primary = json_string_value(json_array_get(identities, 0));
    if (!json_is_object(first) || !primary) {
        json_decref(identities);
        world_fail(world, reterr, NULL, "a contact needs a handle, as in t:contact { whatsapp = \"15550100\" }");
        return NULL;
    }
    json_t *row = json_object();
    json_put_int(row, "id", world_next_id(world));
    json_put_time(row, "created_at", world->now);
    json_put_time(row, "updated_at", world->now);
    json_put_str(row, "name", json_str(first, "name"));
    json_put_str(row, "language", json_str(first, "language"));
    json_put_str(row, "timezone", json_str(first, "timezone"));
    json_put_str(row, "preferred_channel", json_str_or(first, "prefer", json_str(first, "preferred_channel")));
    json_put_int(row, "lane", lane_of(primary));
    const json_t *attributes = json_object_at(first, "attributes");
    json_put(row, "attributes", attributes ? json_deep_copy(attributes) : json_object());
    const json_t *opted_out = json_object_get(first, "opted_out");
    json_t *topics = json_is_array(opted_out) ? json_deep_copy(opted_out) : json_array();
    if (json_is_string(opted_out))
        json_array_append(topics, (json_t *)(uintptr_t)opted_out);
    json_put(row, "opted_out", topics);
    row = rows_insert(rows, ROWS_CONTACT, row);

    size_t index;
    json_t *entry;
    json_array_foreach (identities, index, entry) {
        json_t *identity = json_object();
        json_object_set(identity, "identity", entry);
        json_object_set(identity, "contact_id", json_object_get(row, "id"));
        json_put_time(identity, "created_at", world->now);
        json_put_str(identity, "proven_by", "test");
        rows_upsert(rows, ROWS_IDENTITY, identity);
    }
    add_addresses(world, row, identities, strcmp(json_str_or(first, "window", "open"), "closed") != 0);
    if (world->default_contact == 0)
        world->default_contact = json_int(row, "id", 0);
    json_t *named = json_object();
    json_object_set(named, "contact_id", json_object_get(row, "id"));
    json_put_str(named, "identity", primary);
    json_put_str(named, "name", json_str(row, "name"));
    json_decref(identities);
    return named;
}

json_t *world_contact(struct world *world, const json_t *named)
{
    struct rows *rows = memory_store_rows(world->store);
    int64_t id = named ? json_int(named, "contact_id", 0) : world->default_contact;
    const char *identity = json_string_value(named);
    if (identity) {
        const json_t *row = rows_by_key(rows, ROWS_IDENTITY, identity);
        id = row ? json_int(row, "contact_id", 0) : 0;
    }
    json_t *contact = rows_by_id(rows, ROWS_CONTACT, id);
    if (!contact && !named) { /* the one that events have made */
        const char *key;
        json_t *row;
        json_object_foreach (rows_all(rows, ROWS_CONTACT), key, row) {
            if (!contact)
                contact = row;
        }
    }
    for (int i = 0; contact && json_int(contact, "merged_into", 0) > 0 && i < 16; i++)
        contact = rows_by_id(rows, ROWS_CONTACT, json_int(contact, "merged_into", 0));
    return contact;
}

const char *world_channel(struct world *world, const json_t *contact, const char *channel)
{
    if (channel)
        return json_object_get(world->sources, channel) ? channel : NULL;
    struct rows *rows = memory_store_rows(world->store);
    int64_t id = json_int(contact, "id", 0);
    const char *best = NULL;
    msec_t latest = -1;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(rows, ROWS_MESSAGE, id), index, row) {
        const char *source = json_str(row, "source");
        msec_t at = json_time(row, "created_at", 0);
        if (source && sends(world, source) && at >= latest) {
            latest = at;
            best = source;
        }
    }
    if (best)
        return best;
    json_array_foreach (rows_of_contact(rows, ROWS_ADDRESS, id), index, row) {
        const char *source = json_str(row, "source");
        if (source && sends(world, source))
            return source;
    }
    return NULL;
}

json_t *world_person(struct world *world, const json_t *contact, const char *source)
{
    const char *provider = provider_of(world, source);
    size_t length = strlen(provider);
    json_t *own = json_array(), *others = json_array();
    size_t index;
    json_t *row;
    bool is_channel = sends(world, source);
    json_array_foreach (rows_of_contact(memory_store_rows(world->store), ROWS_IDENTITY, json_int(contact, "id", 0)),
                        index, row) {
        const char *identity = json_str_or(row, "identity", "");
        bool mine = strncmp(identity, provider, length) == 0 && identity[length] == ':';
        bool is_number = strcmp(provider, "whatsapp") == 0 && strncmp(identity, "phone:", 6) == 0;
        if (mine)
            json_array_append(own, json_object_get(row, "identity"));
        else if (!is_channel || is_number)
            json_array_append(others, json_object_get(row, "identity"));
    }
    json_array_extend(own, others);
    json_decref(others);
    json_t *person = json_object();
    const char *primary = json_string_value(json_array_get(own, 0));
    if (primary && is_channel)
        json_put_str(person, "recipient", strchr(primary, ':') + 1);
    json_put(person, "identities", own);
    json_put_str(person, "name", json_str(contact, "name"));
    json_put_str(person, "language", json_str(contact, "language"));
    return person;
}

json_t *world_person_of_fields(const json_t *fields)
{
    json_t *person = json_object(), *identities;
    const char *text = json_string_value(fields), *colon = text ? strchr(text, ':') : NULL;
    if (colon) {
        identities = json_array();
        json_array_append(identities, (json_t *)(uintptr_t)fields);
        json_put_str(person, "recipient", colon + 1);
        if (strncmp(text, "whatsapp:", 9) == 0 && colon[1] >= '0' && colon[1] <= '9')
            add_identity(identities, "phone", colon + 1);
    } else {
        identities = identities_of(fields);
    }
    json_put(person, "identities", identities);
    static const char *const copied[] = {
        "name", "language", "timezone", "username", "recipient", "former_identities"
    };
    for (size_t i = 0; i < ARRAY_LEN(copied); i++)
        if (json_object_get(fields, copied[i]))
            json_object_set(person, copied[i], json_object_get(fields, copied[i]));
    return person;
}
