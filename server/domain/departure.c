#include "domain/departure.h"

#include <stdio.h>
#include <string.h>

/* A message on its way takes a moment: the provider's clock decides, not ours. */
#define WINDOW_MARGIN_MS 5000

static bool list_has(const json_t *list, const char *text)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item) {
        if (json_is_string(item) && strcmp(json_string_value(item), text) == 0)
            return true;
    }
    return false;
}

/* 'all' stops everything; a topic stops what was sent about it. The answer to the opt-out itself says so. */
static bool is_opted_out(const json_t *delivery, const json_t *contact)
{
    if (json_bool(json_object_at(delivery, "request"), "confirms_opt_out", false))
        return false;
    const json_t *topics = json_array_at(contact, "opted_out");
    const char *topic = json_str(delivery, "topic");
    return list_has(topics, "all") || (topic && list_has(topics, topic));
}

static bool is_unreachable(const json_t *address)
{
    msec_t since = json_time(address, "unreachable_at", 0);
    /* Who writes to us can be reached again. */
    return since != 0 && json_time(address, "last_inbound_at", 0) <= since;
}

/* The number got a new owner, or somebody proved that the claim to it was not theirs to make, while the message waited.
 */
static bool is_of_somebody_else(const json_t *address, const json_t *contact)
{
    int64_t owner = json_int(address, "contact_id", 0), receiver = json_int(contact, "id", 0);
    return owner > 0 && receiver > 0 && owner != receiver;
}

static bool window_is_open(const json_t *address, msec_t window_ms, msec_t now)
{
    msec_t last_inbound = json_time(address, "last_inbound_at", 0);
    return last_inbound != 0 && now + WINDOW_MARGIN_MS < last_inbound + window_ms;
}

static struct departure blocked(const char *code, const char *reason)
{
    return (struct departure){ NULL, code, reason };
}

struct departure departure_decide(const json_t *delivery, const json_t *contact, const json_t *address,
                                  msec_t window_ms, msec_t now)
{
    const json_t *request = json_object_at(delivery, "request");
    if (json_str(contact, "erased_at"))
        return blocked("erased", "the contact was erased");
    if (is_opted_out(delivery, contact))
        return blocked("opted_out", "the contact opted out of this kind of message");
    if (is_of_somebody_else(address, contact))
        return blocked("moved", "the address belongs to somebody else by now");
    if (is_unreachable(address))
        return blocked("unreachable", "the provider said that this address cannot be reached");
    bool has_free = json_object_at(request, "free") != NULL;
    if (has_free && (window_ms == 0 || window_is_open(address, window_ms, now)))
        return (struct departure){ "free", "", "" };
    if (json_object_at(request, "approved"))
        return (struct departure){ "approved", "", "" };
    if (has_free)
        return blocked("window_closed", "the provider's window is closed and there is no approved template");
    return blocked("nothing_to_send", "the request has neither a text nor an approved template");
}

static const json_t *find_contact(const struct rows *rows, int64_t id)
{
    const json_t *contact = rows_by_id(rows, ROWS_CONTACT, id);
    for (int i = 0; i < 16 && json_int(contact, "merged_into", 0) > 0; i++)
        contact = rows_by_id(rows, ROWS_CONTACT, json_int(contact, "merged_into", 0));
    return contact;
}

struct departure departure_decide_in(const struct rows *rows, const json_t *sources, const json_t *delivery, msec_t now)
{
    char key[512];
    const char *source = json_str_or(delivery, "source", "");
    snprintf(key, sizeof(key), "%s %s", source, json_str_or(delivery, "identity", ""));
    return departure_decide(delivery, find_contact(rows, json_int(delivery, "contact_id", 0)),
                            rows_by_key(rows, ROWS_ADDRESS, key),
                            json_int(json_object_get(sources, source), "window_ms", 0), now);
}
