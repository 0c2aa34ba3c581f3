#include "domain/contact.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "domain/address.h"
#include "domain/identity.h"
#include "domain/outreach.h"

const char *contact_primary_identity(const struct desk *desk, const json_t *contact)
{
    json_t *list = rows_of_contact(desk->rows, ROWS_IDENTITY, row_id(contact));
    const char *first = NULL;
    size_t index;
    json_t *row;
    json_array_foreach (list, index, row) {
        const char *identity = json_str(row, "identity");
        if (identity && identity_is_handle(identity) && identity_find(desk, identity) == row)
            return identity;
        if (!first)
            first = identity;
    }
    return first;
}

static json_t *new_contact(struct scene *scene, const char *identity)
{
    json_t *row = json_object();
    json_put_int(row, "id", desk_next_id(scene->desk));
    json_put_time(row, "created_at", scene->now);
    json_put_time(row, "updated_at", scene->now);
    json_put_int(row, "lane", lane_of(identity));
    json_put(row, "attributes", json_object());
    json_put(row, "opted_out", json_array());
    return rows_insert(scene->desk->rows, ROWS_CONTACT, row);
}

/* Handles of providers first, then phone numbers, then addresses; each in the order of the event. New reference. */
static json_t *by_strength(const json_t *identities)
{
    json_t *sorted = json_array();
    for (int pass = 0; pass < 3; pass++) {
        size_t index;
        json_t *entry;
        json_array_foreach (identities, index, entry) {
            const char *identity = json_string_value(entry);
            if (!identity || !strchr(identity, ':'))
                continue;
            int strength = identity_is_handle(identity) ? 0 : identity_value(identity, "phone") ? 1 : 2;
            if (strength == pass && !json_list_has(sorted, identity))
                json_array_append(sorted, entry);
        }
    }
    return sorted;
}

/* The sender of the webhook vouches for its own handles, and a WhatsApp number is a phone number. What it merely passes
 * on (an address typed into a checkout, metadata) is not proof. */
static bool is_attested(const json_t *identities, const char *provider, const char *identity)
{
    if (identity_value(identity, provider))
        return true;
    const char *number = identity_value(identity, "phone");
    if (!number || strcmp(provider, "whatsapp") != 0)
        return false;
    char twin[300];
    text_append(twin, sizeof(twin), text_append(twin, sizeof(twin), 0, "whatsapp:"), number);
    return json_list_has(identities, twin);
}

/* The row behind the event's `identity` when the provider proves the identity, and the row is only the claim of
 * somebody else: then the event is not about them. Who is known by nothing but claims is taken for the one who proves
 * them. */
static json_t *false_claim(const struct scene *scene, const json_t *identities, const char *identity)
{
    json_t *row = identity_find(scene->desk, identity);
    if (!row || !identity_is_claim(scene->desk, row) ||
        !is_attested(identities, json_str_or(scene->event, "provider", ""), identity))
        return NULL;
    const json_t *owner = identity_owner(scene->desk, identity);
    return owner && owner != scene->contact && identity_is_proven(scene->desk, owner) ? row : NULL;
}

/* WhatsApp's own names for people, which unlike numbers pass to nobody else. */
static bool is_user_id(const char *identity)
{
    const char *value = identity ? identity_value(identity, "whatsapp") : NULL;
    return value && strchr(value, '.');
}

static bool names_user_id(const json_t *identities)
{
    size_t index;
    json_t *entry;
    json_array_foreach (identities, index, entry) {
        if (is_user_id(json_string_value(entry)))
            return true;
    }
    return false;
}

/* Does the event's source name somebody by a user id, and know `contact` by another one? Then they are two, whatever
 * number they share: it got a new owner. What tells of a change of names says so itself. Other accounts have other ids
 * for the same person. */
static bool is_another_person(const struct scene *scene, const json_t *contact)
{
    const json_t *who = json_object_at(scene->event, "contact");
    const json_t *identities = json_array_at(who, "identities"), *former = json_array_at(who, "former_identities");
    const char *source = json_str_or(scene->event, "source", "");
    if (strcmp(json_str_or(scene->event, "provider", ""), "whatsapp") != 0 || !names_user_id(identities) ||
        strcmp(scene->type, "contact.identity_changed") == 0)
        return false;
    bool has_other = false;
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(scene->desk->rows, ROWS_IDENTITY, row_id(contact)), index, row) {
        const char *identity = json_str_or(row, "identity", "");
        if (json_list_has(former, identity) || (is_user_id(identity) && json_list_has(identities, identity)))
            return false;
        has_other = has_other || (is_user_id(identity) && strcmp(json_str_or(row, "proven_by", ""), source) == 0);
    }
    return has_other;
}

/* The row of a number that is the former owner's no longer. */
static json_t *passed_on(const struct scene *scene, const json_t *identities, const char *identity)
{
    const json_t *owner = identity_owner(scene->desk, identity);
    if (!owner || owner == scene->contact || is_user_id(identity) ||
        !is_attested(identities, json_str_or(scene->event, "provider", ""), identity) ||
        !is_another_person(scene, owner))
        return NULL;
    return identity_find(scene->desk, identity);
}

static json_t *owner_of(const struct scene *scene, const json_t *identities, const char *identity)
{
    bool is_theirs = !false_claim(scene, identities, identity) && !passed_on(scene, identities, identity);
    return is_theirs ? identity_owner(scene->desk, identity) : NULL;
}

static void take_over_numbers(struct scene *scene, const json_t *identities)
{
    size_t index;
    json_t *entry;
    json_array_foreach (identities, index, entry) {
        const char *identity = json_string_value(entry);
        json_t *row = identity ? false_claim(scene, identities, identity) : NULL;
        if (identity && !row)
            row = passed_on(scene, identities, identity);
        if (row)
            identity_take_over(scene, scene->contact, row);
    }
}

static json_t *first_owner(const struct scene *scene, const json_t *identities)
{
    size_t index;
    json_t *entry;
    json_array_foreach (identities, index, entry) {
        json_t *owner = json_string_value(entry) ? owner_of(scene, identities, json_string_value(entry)) : NULL;
        if (owner)
            return owner;
    }
    return NULL;
}

static json_t *by_reference(struct scene *scene)
{
    const struct desk *desk = scene->desk;
    int64_t id = json_int(scene->event, "contact_id", 0);
    if (id > 0)
        return identity_follow_merge(desk, rows_by_id(desk->rows, ROWS_CONTACT, id));
    id = json_int(scene->event, "conversation_id", 0);
    const json_t *conversation = id > 0 ? rows_by_id(desk->rows, ROWS_CONVERSATION, id) : NULL;
    if (!conversation && scene->message && strcmp(scene->type, "message.status") == 0)
        conversation = scene->message; /* a status may name nobody but the message */
    if (!conversation)
        return NULL;
    id = json_int(conversation, "contact_id", 0);
    return identity_follow_merge(desk, rows_by_id(desk->rows, ROWS_CONTACT, id));
}

static void fill(struct scene *scene, json_t *row, const json_t *who, const char *key)
{
    const char *value = json_str(who, key);
    const char *known = json_str(row, key);
    if (!value || !*value || (known && *known))
        return;
    rows_edit(scene->desk->rows, ROWS_CONTACT, row);
    json_put_str(row, key, value);
    json_put_time(row, "updated_at", scene->now);
}

static void fill_username(struct scene *scene, json_t *row, const json_t *who)
{
    const char *username = json_str(who, "username");
    json_t *attributes = json_object_at(row, "attributes");
    if (!username || !attributes)
        return;
    char key[96];
    snprintf(key, sizeof(key), "%s_username", json_str_or(scene->event, "provider", "channel"));
    const char *known = json_str(attributes, key);
    if (known && strcmp(known, username) == 0)
        return;
    rows_edit(scene->desk->rows, ROWS_CONTACT, row);
    json_put_str(json_object_at(row, "attributes"), key, username);
}

static json_t *merge_attested(struct scene *scene, json_t *contact, const json_t *identities, const json_t *former)
{
    const char *provider = json_str_or(scene->event, "provider", "");
    const json_t *lists[] = { identities, former };
    for (size_t i = 0; i < 2; i++) {
        size_t index;
        json_t *entry;
        json_array_foreach (lists[i], index, entry) {
            const char *identity = json_string_value(entry);
            if (!identity || !is_attested(lists[i], provider, identity))
                continue;
            json_t *owner = owner_of(scene, lists[i], identity);
            if (owner && owner != contact)
                contact = identity_merge(scene, contact, owner);
        }
    }
    return contact;
}

/* Merging needs proof of the person in hand: the contact was found by a handle that the provider vouches for. */
static bool found_by_proof(struct scene *scene, const json_t *contact, const json_t *identities, const json_t *former)
{
    const char *provider = json_str_or(scene->event, "provider", "");
    const json_t *lists[] = { identities, former };
    for (size_t i = 0; i < 2; i++) {
        size_t index;
        json_t *entry;
        json_array_foreach (lists[i], index, entry) {
            const char *identity = json_string_value(entry);
            if (identity && is_attested(lists[i], provider, identity) &&
                identity_owner(scene->desk, identity) == contact)
                return true;
        }
    }
    return false;
}

static bool makes_contacts(const char *type)
{
    return strcmp(type, "message.status") != 0 && strcmp(type, "template.status") != 0;
}

/* Our own events name a contact that we know, but for custom ones: a rule or the API says whom those are about. */
static bool tells_of_known(const struct scene *scene)
{
    return strncmp(scene->type, "custom.", 7) != 0 && strcmp(json_str_or(scene->event, "source", ""), "answerd") == 0;
}

static void find_or_make(struct scene *scene)
{
    struct desk *desk = scene->desk;
    const json_t *who = json_object_at(scene->event, "contact");
    json_t *identities = by_strength(who ? json_array_at(who, "identities") : NULL);
    const json_t *former = who ? json_array_at(who, "former_identities") : NULL;

    json_t *contact = by_reference(scene);
    if (!contact)
        contact = first_owner(scene, identities);
    if (!contact)
        contact = first_owner(scene, former);
    bool is_new = false;
    if (!contact && json_array_size(identities) > 0 && makes_contacts(scene->type)) {
        const json_t *given = json_array_at(who, "identities");
        const char *primary = json_string_value(json_array_get(given, 0));
        contact = new_contact(scene, primary ? primary : json_string_value(json_array_get(identities, 0)));
        is_new = true;
    }
    if (contact && !is_new && found_by_proof(scene, contact, identities, former))
        contact = merge_attested(scene, contact, identities, former);
    scene->contact = contact;
    /* Of who was erased nothing is learned again; and a message to a number may be reported of its next owner. */
    if (contact && !json_str(contact, "erased_at") && !is_another_person(scene, contact)) {
        take_over_numbers(scene, identities);
        bool is_internal = !is_new && tells_of_known(scene);
        size_t index;
        json_t *entry;
        json_array_foreach (identities, index, entry) {
            /* phone:N of somebody who owns whatsapp:N belongs to them, whoever types it. */
            const char *identity = json_string_value(entry);
            json_t *owner = identity_owner(desk, identity);
            if (is_internal || (owner && owner != contact))
                continue;
            identity_attach(scene, contact, identity, json_str_or(scene->event, "source", ""));
            if (is_attested(identities, json_str_or(scene->event, "provider", ""), identity))
                identity_prove(scene, contact, identity);
        }
        json_array_foreach (former, index, entry) {
            const char *identity = json_string_value(entry);
            if (identity && !json_list_has(identities, identity) && identity_owner(desk, identity) == contact)
                identity_give_up(scene, identity);
        }
        if (who && !is_internal) {
            fill(scene, contact, who, "name");
            fill(scene, contact, who, "language");
            fill(scene, contact, who, "timezone");
            fill_username(scene, contact, who);
        }
        if (is_new)
            scene_emit(scene, "contact.created", contact, NULL, NULL, NULL);
    }
    json_decref(identities);
}

/* --- the same sender once more ------------------------------------------------------------------------------------ */

void contact_forget_sender(struct known_sender *known)
{
    json_decref(known->event);
    *known = (struct known_sender){ .event = NULL };
}

/* Is what is found decided by the event's contact alone? Statuses are about their message, and some events name nobody
 * but their conversation. */
static bool names_sender(const struct scene *scene)
{
    return makes_contacts(scene->type) && json_object_at(scene->event, "contact") &&
           (json_int(scene->event, "contact_id", 0) > 0 || !json_object_get(scene->event, "conversation_id"));
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    return strcmp(json_str_or(a, key, ""), json_str_or(b, key, "")) == 0;
}

/* Our own events come between those from outside that they follow from. */
static struct known_sender *known_sender_of(const struct scene *scene)
{
    return &scene->desk->known_senders[tells_of_known(scene)];
}

static bool is_known(const struct scene *scene, const struct known_sender *known)
{
    const struct rows *rows = scene->desk->rows;
    const json_t *event = scene->event, *other = known->event;
    return other && known->contacts == rows_version(rows, ROWS_CONTACT) &&
           known->identities == rows_version(rows, ROWS_IDENTITY) && names_sender(scene) &&
           json_int(event, "contact_id", 0) == json_int(other, "contact_id", 0) && same_text(event, other, "source") &&
           same_text(event, other, "provider") &&
           json_equal(json_object_at(event, "contact"), json_object_at(other, "contact"));
}

static void keep_sender(const struct scene *scene, struct known_sender *known)
{
    contact_forget_sender(known);
    if (!scene->contact || !names_sender(scene))
        return;
    known->event = json_incref((json_t *)(uintptr_t)scene->event);
    known->contact = scene->contact;
    known->contacts = rows_version(scene->desk->rows, ROWS_CONTACT);
    known->identities = rows_version(scene->desk->rows, ROWS_IDENTITY);
}

/* Most events are from whom the event before was from. Looking once more would find the same and change as little, when
 * all that one looks at is the same and nothing of it was changed then. */
void contact_find_or_make(struct scene *scene)
{
    const struct rows *rows = scene->desk->rows;
    struct known_sender *known = known_sender_of(scene);
    if (is_known(scene, known)) {
        scene->contact = known->contact;
        return;
    }
    const uint64_t contacts = rows_version(rows, ROWS_CONTACT), identities = rows_version(rows, ROWS_IDENTITY);
    find_or_make(scene);
    if (contacts == rows_version(rows, ROWS_CONTACT) && identities == rows_version(rows, ROWS_IDENTITY))
        keep_sender(scene, known);
}

bool contact_refuses(const json_t *contact, const char *topic)
{
    const json_t *topics = json_array_at(contact, "opted_out");
    return json_list_has(topics, "all") || (topic && *topic && json_list_has(topics, topic));
}

static void emit_opt(struct scene *scene, const char *type, json_t *contact, const char *topic)
{
    if (strcmp(scene->type, type) == 0)
        return; /* a provider reported it: this is that event */
    json_t *body = json_object();
    json_put_str(body, "topic", topic);
    scene_emit(scene, type, contact, scene->conversation, body, NULL);
}

bool contact_opt_out(struct scene *scene, json_t *contact, const char *topic)
{
    if (json_list_has(json_array_at(contact, "opted_out"), topic))
        return false;
    rows_edit(scene->desk->rows, ROWS_CONTACT, contact);
    json_array_append_new(json_array_at(contact, "opted_out"), json_string(topic));
    json_put_time(contact, "opted_out_at", scene->now);
    json_put_time(contact, "updated_at", scene->now);
    outreach_cancel_of_topic(scene, contact, topic);
    emit_opt(scene, "contact.opted_out", contact, topic);
    return true;
}

bool contact_opt_in(struct scene *scene, json_t *contact, const char *topic)
{
    bool everything = strcmp(topic, "all") == 0;
    if (everything ? json_array_size(json_array_at(contact, "opted_out")) == 0
                   : !json_list_has(json_array_at(contact, "opted_out"), topic))
        return false;
    rows_edit(scene->desk->rows, ROWS_CONTACT, contact);
    json_t *topics = json_array_at(contact, "opted_out");
    for (size_t i = json_array_size(topics); i > 0; i--) {
        const char *entry = json_string_value(json_array_get(topics, i - 1));
        if (everything || (entry && strcmp(entry, topic) == 0))
            json_array_remove(topics, i - 1);
    }
    if (json_array_size(topics) == 0)
        json_object_del(contact, "opted_out_at");
    json_put_time(contact, "updated_at", scene->now);
    emit_opt(scene, "contact.opted_in", contact, topic);
    return true;
}
