#include "domain/departure.h"

#include <stdio.h>
#include <string.h>

static bool window_is_open(const struct rows *rows, const json_t *sources, const json_t *delivery, msec_t now)
{
    char key[512];
    snprintf(key, sizeof(key), "%s %s", json_str_or(delivery, "source", ""), json_str_or(delivery, "identity", ""));
    const json_t *address = rows_by_key(rows, ROWS_ADDRESS, key);
    const json_t *source = json_object_get(sources, json_str_or(delivery, "source", ""));
    msec_t window = source ? json_int(source, "window_ms", 0) : 0;
    msec_t last = address ? json_time(address, "last_inbound_at", 0) : 0;
    return window <= 0 || (last > 0 && now < last + window);
}

static bool has_opted_out(const struct rows *rows, const json_t *delivery)
{
    const json_t *contact = rows_by_id(rows, ROWS_CONTACT, json_int(delivery, "contact_id", 0));
    const char *topic = json_str(delivery, "topic");
    if (!contact || json_bool(json_object_at(delivery, "request"), "confirms_opt_out", false))
        return false;
    size_t index;
    json_t *entry;
    json_array_foreach(json_array_at(contact, "opted_out"), index, entry)
    {
        const char *stopped = json_string_value(entry);
        if (stopped && (strcmp(stopped, "all") == 0 || (topic && strcmp(stopped, topic) == 0)))
            return true;
    }
    return false;
}

struct departure departure_decide(const struct rows *rows, const json_t *sources, const json_t *delivery, msec_t now)
{
    const json_t *request = json_object_at(delivery, "request");
    struct departure departure = { .sent_as = "free" };
    if (has_opted_out(rows, delivery))
        departure.refused = "the contact has opted out";
    if (!json_object_at(request, "free") || !window_is_open(rows, sources, delivery, now)) {
        departure.sent_as = "approved";
        if (!json_object_at(request, "approved"))
            departure.refused = "the window is closed and there is no approved template";
    }
    return departure;
}
