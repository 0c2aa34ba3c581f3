#include "domain/address.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/macros.h"
#include "base/text.h"
#include "domain/identity.h"

#define CLOCKS_DIFFER_MS ((msec_t)60 * 1000)

static json_t *find_address(const struct desk *desk, const char *source, const char *identity)
{
    char key[512];
    size_t length = text_append(key, sizeof(key), 0, source);
    length = text_append(key, sizeof(key), length, " ");
    text_append(key, sizeof(key), length, identity);
    return rows_by_key(desk->rows, ROWS_ADDRESS, key);
}

static json_t *new_address(struct scene *scene, const json_t *contact, const char *source, const char *identity,
                           const char *recipient)
{
    json_t *row = json_object();
    json_put_str(row, "source", source);
    json_put_str(row, "identity", identity);
    json_put_int(row, "contact_id", row_id(contact));
    json_put_str(row, "recipient", recipient);
    return rows_upsert(scene->desk->rows, ROWS_ADDRESS, row);
}

static void touch(struct scene *scene, json_t *address, msec_t at, bool opens_window)
{
    bool later = opens_window && at > json_time(address, "last_inbound_at", 0);
    /* What was said before somebody left does not bring them back; clocks differ a little. */
    msec_t left = json_time(address, "unreachable_at", 0);
    bool is_back = left > 0 && at + CLOCKS_DIFFER_MS >= left;
    if (!later && !is_back)
        return;
    rows_edit(scene->desk->rows, ROWS_ADDRESS, address);
    if (later)
        json_put_time(address, "last_inbound_at", at);
    if (!is_back)
        return;
    json_object_del(address, "unreachable_at");
    json_object_del(address, "unreachable_reason");
}

/* The clock of a provider may be ahead; a window must not open longer than it will. */
static msec_t happened_at(const struct scene *scene)
{
    msec_t at = json_time(scene->event, "occurred_at", scene->now);
    return at < scene->now ? at : scene->now;
}

/* The address that the event came from, made when it is new; NULL when it came from none. */
static json_t *address_of_event(struct scene *scene)
{
    const json_t *who = json_object_at(scene->event, "contact");
    const json_t *identities = who ? json_array_at(who, "identities") : NULL;
    const char *primary = json_string_value(json_array_get(identities, 0));
    if (!scene->source || !scene->contact || !primary)
        return NULL;
    const char *recipient = json_str(who, "recipient");
    if (!recipient)
        recipient = strchr(primary, ':') ? strchr(primary, ':') + 1 : primary;
    json_t *address = find_address(scene->desk, scene->source, primary);
    if (!address)
        address = new_address(scene, scene->contact, scene->source, primary, recipient);
    if (json_int(address, "contact_id", 0) != row_id(scene->contact))
        rows_move(scene->desk->rows, ROWS_ADDRESS, address, row_id(scene->contact));
    if (strcmp(json_str_or(address, "recipient", ""), recipient) != 0) {
        rows_edit(scene->desk->rows, ROWS_ADDRESS, address);
        json_put_str(address, "recipient", recipient);
    }
    return address;
}

/* The addresses of the event's person at its source: the one it came from first, then those of their other handles,
 * which share its window. New reference. */
static json_t *addresses_of_event(struct scene *scene)
{
    json_t *addresses = json_array(), *first = address_of_event(scene);
    if (!first)
        return addresses;
    json_array_append(addresses, first);
    size_t index;
    json_t *entry;
    json_array_foreach (json_array_at(json_object_at(scene->event, "contact"), "identities"), index, entry) {
        const char *identity = json_string_value(entry);
        json_t *other = index > 0 && identity ? find_address(scene->desk, scene->source, identity) : NULL;
        if (other && json_int(other, "contact_id", 0) == row_id(scene->contact))
            json_array_append(addresses, other);
    }
    return addresses;
}

void address_note_inbound(struct scene *scene, bool opens_window)
{
    json_t *addresses = addresses_of_event(scene);
    size_t index;
    json_t *address;
    json_array_foreach (addresses, index, address)
        touch(scene, address, happened_at(scene), opens_window);
    json_decref(addresses);
}

static void mark_unreachable(struct scene *scene, json_t *address, msec_t at, const char *reason)
{
    rows_edit(scene->desk->rows, ROWS_ADDRESS, address);
    json_put_time(address, "unreachable_at", at);
    json_put_str(address, "unreachable_reason", reason);
}

void address_note_blocked(struct scene *scene, const char *reason)
{
    json_t *addresses = addresses_of_event(scene);
    size_t index;
    json_t *address;
    json_array_foreach (addresses, index, address) {
        if (json_time(address, "last_inbound_at", 0) <= happened_at(scene)) /* else they have come back since */
            mark_unreachable(scene, address, happened_at(scene), reason);
    }
    json_decref(addresses);
}

void address_note_dead(struct scene *scene, const json_t *message, const char *reason)
{
    const char *source = json_str(message, "source"), *identity = json_str(message, "identity");
    json_t *address = source && identity ? find_address(scene->desk, source, identity) : NULL;
    if (address && scene->contact && json_int(address, "contact_id", 0) == row_id(scene->contact))
        mark_unreachable(scene, address, scene->now, reason);
}

bool address_window_open(const struct desk *desk, const json_t *address, msec_t now)
{
    const json_t *settings = desk_source(desk, json_str(address, "source"));
    msec_t window = settings ? json_int(settings, "window_ms", 0) : 0;
    if (window <= 0)
        return true;
    msec_t last = json_time(address, "last_inbound_at", 0);
    return last > 0 && now < last + window;
}

static bool channel_is(const struct desk *desk, const char *source, const char *channel)
{
    if (!source || !channel)
        return false;
    if (strcmp(source, channel) == 0)
        return true;
    const json_t *settings = desk_source(desk, source);
    return settings && (strcmp(json_str_or(settings, "provider", ""), channel) == 0 ||
                        strcmp(json_str_or(settings, "kind", ""), channel) == 0);
}

bool address_channel_known(const struct desk *desk, const char *channel)
{
    const char *source;
    json_t *settings;
    json_object_foreach ((json_t *)(uintptr_t)desk->settings.sources, source, settings) {
        if (json_bool(settings, "sends", false) && channel_is(desk, source, channel))
            return true;
    }
    return false;
}

err_t address_no_such_channel(const struct desk *desk, const char *channel, struct error *reterr)
{
    const char *names[65];
    size_t count = 0;
    struct buf list CLEANUP(buf_done);
    buf_init(&list, 1024);
    const char *source;
    json_t *settings;
    json_object_foreach ((json_t *)(uintptr_t)desk->settings.sources, source, settings) {
        if (!json_bool(settings, "sends", false) || count == ARRAY_LEN(names) - 1)
            continue;
        buf_addf(&list, "%s%s", count > 0 ? ", " : "", source);
        names[count++] = source;
    }
    names[count] = NULL;
    const char *nearest = text_nearest(channel, names);
    return fail(reterr, ERR_INVALID, "there is no channel '%s' that sends%s%s%s\nHINT: %s%.*s", channel,
                nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "",
                count > 0 ? "those that send are " : "no source of the configuration sends messages", (int)list.len,
                count > 0 ? list.ptr : "");
}

/* What the provider would be given to reach this identity; NULL when the source cannot. `*ret_identity` is the one
 * that the address has then. */
static const char *recipient_for(const json_t *settings, const char *identity, char *space, size_t size,
                                 const char **ret_identity)
{
    const char *provider = json_str_or(settings, "provider", "");
    const char *value = identity_value(identity, provider);
    *ret_identity = identity;
    if (value)
        return *value ? value : NULL;
    value = identity_value(identity, "phone");
    if (value && *value && strcmp(provider, "whatsapp") == 0) {
        snprintf(space, size, "whatsapp:%s", value);
        *ret_identity = space;
        return value;
    }
    return NULL;
}

static bool has_live_address(const struct desk *desk, const json_t *contact, const char *source)
{
    size_t index;
    json_t *address;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_ADDRESS, row_id(contact)), index, address) {
        if (strcmp(json_str_or(address, "source", ""), source) == 0 && !json_str(address, "unreachable_at"))
            return true;
    }
    return false;
}

static void derive_address(struct scene *scene, const json_t *contact, const char *source, const json_t *identities)
{
    struct desk *desk = scene->desk;
    /* Handles of the provider first: a phone number may or may not be on WhatsApp. */
    for (int only_phones = 0; only_phones < 2; only_phones++) {
        size_t index;
        json_t *row;
        json_array_foreach (identities, index, row) {
            char space[300];
            const char *known = json_str_or(row, "identity", ""), *identity;
            const char *recipient = recipient_for(desk_source(desk, source), known, space, sizeof(space), &identity);
            if (!recipient || (identity != known) != (only_phones == 1) || identity_find(desk, known) != row)
                continue;
            const json_t *owner = identity_owner(desk, identity);
            if ((owner && owner != contact) || find_address(desk, source, identity))
                continue;
            new_address(scene, contact, source, identity, recipient);
            return;
        }
    }
}

/* Makes addresses for identities that a source can reach but nobody has written from. */
static void derive_addresses(struct scene *scene, const json_t *contact)
{
    struct desk *desk = scene->desk;
    json_t *identities = json_copy(rows_of_contact(desk->rows, ROWS_IDENTITY, row_id(contact)));
    const char *source;
    json_t *settings;
    json_object_foreach ((json_t *)(uintptr_t)desk->settings.sources, source, settings) {
        if (json_bool(settings, "sends", false) && !has_live_address(desk, contact, source))
            derive_address(scene, contact, source, identities);
    }
    json_decref(identities);
}

/* A phone number that we take for one on WhatsApp, and from which nobody has written. */
static bool is_guess(const struct desk *desk, const json_t *address)
{
    const char *identity = json_str_or(address, "identity", "");
    const json_t *known = identity_find(desk, identity);
    return known && strcmp(json_str_or(known, "identity", ""), identity) != 0 && !json_str(address, "last_inbound_at");
}

/* Lower is better; negative: cannot be used. */
static int rank(const struct scene *scene, const json_t *contact, const json_t *address,
                const struct address_wish *wish)
{
    const struct desk *desk = scene->desk;
    const char *source = json_str_or(address, "source", "");
    if (!desk_source_sends(desk, source))
        return -1;
    if (wish->channel && !channel_is(desk, source, wish->channel))
        return -1;
    if (wish->excluded_sources && json_list_has(wish->excluded_sources, source))
        return -1;
    bool has_approved = json_object_at(wish->template, json_str_or(desk_source(desk, source), "provider", "?")) != NULL;
    if (is_guess(desk, address) && !has_approved)
        return -1;
    int result = is_guess(desk, address) ? 5 : 0;
    if (json_str(address, "unreachable_at"))
        result += 100;
    if (wish->is_outreach && !has_approved && !address_window_open(desk, address, scene->now))
        result += 50;
    bool is_preferred = channel_is(desk, source, json_str(contact, "preferred_channel"));
    const char *talks_on = wish->conversation ? json_str(wish->conversation, "source") : NULL;
    bool is_conversations = talks_on && strcmp(talks_on, source) == 0;
    const char *talks_to = is_conversations ? json_str(wish->conversation, "identity") : NULL;
    if (wish->is_outreach)
        result += is_preferred ? 0 : is_conversations ? 10 : 20;
    else
        result += is_conversations ? 0 : is_preferred ? 10 : 20;
    if (talks_to && strcmp(talks_to, json_str_or(address, "identity", "")) != 0)
        result += 1;
    return result;
}

json_t *address_choose(struct scene *scene, json_t *contact, const struct address_wish *wish)
{
    struct desk *desk = scene->desk;
    derive_addresses(scene, contact);
    json_t *best = NULL;
    int best_rank = 0;
    size_t index;
    json_t *address;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_ADDRESS, row_id(contact)), index, address) {
        int r = rank(scene, contact, address, wish);
        if (r < 0)
            continue;
        msec_t at = json_time(address, "last_inbound_at", 0);
        if (!best || r < best_rank || (r == best_rank && at > json_time(best, "last_inbound_at", 0))) {
            best = address;
            best_rank = r;
        }
    }
    return best;
}

json_t *address_channels(const struct desk *desk, const json_t *contact)
{
    json_t *channels = json_array();
    size_t index;
    json_t *row;
    json_array_foreach (rows_of_contact(desk->rows, ROWS_ADDRESS, row_id(contact)), index, row) {
        const char *source = json_str_or(row, "source", "");
        if (desk_source_sends(desk, source) && !json_str(row, "unreachable_at") && !json_list_has(channels, source))
            json_array_append_new(channels, json_string(source));
    }
    const char *source;
    json_t *settings;
    json_object_foreach ((json_t *)(uintptr_t)desk->settings.sources, source, settings) {
        if (!json_bool(settings, "sends", false) || json_list_has(channels, source))
            continue;
        bool was_tried = false;
        json_array_foreach (rows_of_contact(desk->rows, ROWS_ADDRESS, row_id(contact)), index, row)
            was_tried = was_tried || strcmp(json_str_or(row, "source", ""), source) == 0;
        json_array_foreach (rows_of_contact(desk->rows, ROWS_IDENTITY, row_id(contact)), index, row) {
            char space[300];
            const char *identity;
            if (!was_tried && !json_list_has(channels, source) &&
                recipient_for(settings, json_str_or(row, "identity", ""), space, sizeof(space), &identity))
                json_array_append_new(channels, json_string(source));
        }
    }
    return channels;
}
