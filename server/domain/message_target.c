#include "domain/message_target.h"

#include <string.h>

#include "domain/identity.h"

static bool names(const json_t *row, const char *key, const char *value)
{
    const char *known = json_str(row, key);
    return value && known && strcmp(known, value) == 0;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(json_str_or(a, key, ""), json_str_or(b, key, "")) == 0;
}

static bool has_id(const struct scene *scene, const json_t *row, const char *provider_id)
{
    return names(row, "provider_message_id", provider_id) && names(row, "source", json_str(scene->event, "source"));
}

static const json_t *identities_of(const struct scene *scene)
{
    return json_array_at(json_object_at(scene->event, "contact"), "identities");
}

/* Is the message of one of the persons whom the event names? */
static bool is_theirs(const struct scene *scene, const json_t *row)
{
    const struct desk *desk = scene->desk;
    const json_t *contact =
        identity_follow_merge(desk, rows_by_id(desk->rows, ROWS_CONTACT, json_int(row, "contact_id", 0)));
    size_t index;
    json_t *identity;
    json_array_foreach (identities_of(scene), index, identity) {
        const char *name = json_string_value(identity);
        const json_t *owner = name ? identity_owner(desk, name) : NULL;
        if (names(row, "identity", name) || (owner && owner == contact))
            return true;
    }
    return false;
}

/* --- edits, deletions, reactions and echoes ----------------------------------------------------------------------- */

/* Some providers number the messages of each chat from 1, and somebody may write in several: to the bot, in a group, to
 * an account of the business. */
static bool is_in_chat(const struct scene *scene, const json_t *row)
{
    const json_t *message = json_object_at(scene->event, "message"), *content = json_object_at(row, "content");
    return same_text(message, content, "chat") && same_text(message, content, "business_connection");
}

/* What somebody edits is one of their own messages, never another person's with the same number. */
static size_t find_of_sender(const struct scene *scene, const char *provider_id, json_t **found, size_t most)
{
    bool names_nobody = json_array_size(identities_of(scene)) == 0;
    size_t count = 0;
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(scene->desk->rows, ROWS_MESSAGE), key, row) {
        if (count < most && has_id(scene, row, provider_id) && is_in_chat(scene, row) &&
            (names_nobody || is_theirs(scene, row)))
            found[count++] = row;
    }
    return count;
}

/* --- statuses ----------------------------------------------------------------------------------------------------- */

static bool is_sent(const json_t *row)
{
    return names(row, "direction", "out");
}

static json_t *find_by_id(const struct scene *scene, const char *provider_id)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(scene->desk->rows, ROWS_MESSAGE), key, row) {
        if (is_sent(row) && has_id(scene, row, provider_id))
            return row;
    }
    return NULL;
}

static json_t *find_by_delivery(const struct scene *scene, int64_t delivery_id)
{
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(scene->desk->rows, ROWS_MESSAGE), key, row) {
        if (is_sent(row) && (json_int(row, "delivery_id", 0) == delivery_id ||
                             json_int(json_object_at(row, "content"), "delivery", 0) == delivery_id))
            return row;
    }
    return NULL;
}

/* Who was erased has no handle that could be compared; what is said of their messages is still found and erased with
 * them. */
static bool is_erased(const struct scene *scene, const json_t *row)
{
    const json_t *contact = rows_by_id(scene->desk->rows, ROWS_CONTACT, json_int(row, "contact_id", 0));
    return json_str(contact, "erased_at") && !json_str(row, "identity");
}

/* The provider may write the number that it sent to in another way than we do. */
static bool went_to_variant(const struct scene *scene, const json_t *row)
{
    const char *sent_to = json_str(row, "identity");
    size_t index;
    json_t *identity;
    json_array_foreach (identities_of(scene), index, identity) {
        const char *name = json_string_value(identity);
        if (sent_to && name && identity_same_number(name, sent_to))
            return true;
    }
    return false;
}

/* Numbers are given twice after a restore from a backup, and by two installations that share an account of a provider.
 */
static const char *why_not(const struct scene *scene, const json_t *row)
{
    if (strcmp(json_str_or(scene->event, "provider", ""), "answerd") == 0)
        return NULL; /* our own word */
    if (!names(row, "source", json_str(scene->event, "source")))
        return "the message that has this number was sent through another source";
    bool names_somebody = json_array_size(identities_of(scene)) > 0;
    if (!names_somebody || is_theirs(scene, row) || went_to_variant(scene, row) || is_erased(scene, row))
        return NULL;
    return "the message that has this number went to somebody else";
}

static json_t *find_reported(const struct scene *scene)
{
    const json_t *status = json_object_at(scene->event, "status");
    const char *provider_id = json_str(status, "message_id");
    int64_t delivery_id = json_int(status, "echo", 0);
    json_t *row = provider_id ? find_by_id(scene, provider_id) : NULL;
    if (row || delivery_id <= 0)
        return row;
    row = find_by_delivery(scene, delivery_id);
    return row && !why_not(scene, row) ? row : NULL;
}

const char *message_target_refused(const struct scene *scene)
{
    int64_t delivery_id = json_int(json_object_at(scene->event, "status"), "echo", 0);
    const json_t *row = delivery_id > 0 ? find_by_delivery(scene, delivery_id) : NULL;
    return row ? why_not(scene, row) : NULL;
}

json_t *message_target_find(const struct scene *scene)
{
    static const struct {
        const char *type, *key;
    } about[] = {
        { "message.edited", "id" },
        { "message.deleted", "id" },
        { "message.sent_elsewhere", "id" },
        { "message.reaction", "reply_to" },
    };
    if (strcmp(scene->type, "message.status") == 0)
        return find_reported(scene);
    for (size_t i = 0; i < sizeof(about) / sizeof(about[0]); i++) {
        const char *id = json_str(json_object_at(scene->event, "message"), about[i].key);
        json_t *found;
        if (id && strcmp(about[i].type, scene->type) == 0)
            return find_of_sender(scene, id, &found, 1) > 0 ? found : NULL;
    }
    return NULL;
}

size_t message_target_withdrawn(const struct scene *scene, json_t **ret_messages, size_t most)
{
    const char *id = json_str(json_object_at(scene->event, "message"), "id");
    return id ? find_of_sender(scene, id, ret_messages, most) : 0;
}
