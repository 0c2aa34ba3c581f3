#include "deliver/dispatch.h"

#include <string.h>

/* A message on its way takes a moment: the provider's clock decides, not ours. */
#define WINDOW_MARGIN_MS 5000

static bool list_has(const json_t *list, const char *text)
{
    size_t index;
    json_t *item;
    json_array_foreach (list, index, item) {
        if (json_is_string(item) && strcmp(json_string_value(item), text) == 0) {
            return true;
        }
    }
    return false;
}

/* 'all' stops everything; a topic stops what was sent about it. The answer to the opt-out itself says so. */
static bool is_opted_out(const json_t *delivery)
{
    if (json_bool(json_object_at(delivery, "request"), "confirms_opt_out", false)) {
        return false;
    }
    const json_t *topics = json_array_at(json_object_at(delivery, "contact"), "opted_out");
    const char *topic = json_str(delivery, "topic");
    return list_has(topics, "all") || (topic != NULL && list_has(topics, topic));
}

static bool is_unreachable(const json_t *address)
{
    msec_t since = json_time(address, "unreachable_at", 0);
    /* Who writes to us can be reached again. */
    return since != 0 && json_time(address, "last_inbound_at", 0) <= since;
}

static bool window_is_open(const json_t *address, msec_t window_ms, msec_t now)
{
    msec_t last_inbound = json_time(address, "last_inbound_at", 0);
    return last_inbound != 0 && now + WINDOW_MARGIN_MS < last_inbound + window_ms;
}

static struct dispatch blocked(const char *code, const char *reason)
{
    return (struct dispatch){ DISPATCH_BLOCKED, code, reason };
}

struct dispatch dispatch_decide(const json_t *delivery, const struct channel_kind *kind, msec_t now)
{
    const json_t *contact = json_object_at(delivery, "contact");
    const json_t *address = json_object_at(delivery, "address");
    const json_t *request = json_object_at(delivery, "request");
    if (json_str(contact, "erased_at") != NULL) {
        return blocked("erased", "the contact was erased");
    }
    if (is_opted_out(delivery)) {
        return blocked("opted_out", "the contact opted out of this kind of message");
    }
    if (is_unreachable(address)) {
        return blocked("unreachable", "the provider said that this address cannot be reached");
    }
    bool has_free = json_object_at(request, "free") != NULL;
    bool has_approved = json_object_at(request, "approved") != NULL;
    bool may_be_free = kind->window_ms == 0 || window_is_open(address, kind->window_ms, now);
    if (has_free && may_be_free) {
        return (struct dispatch){ DISPATCH_FREE, "", "" };
    }
    if (has_approved) {
        return (struct dispatch){ DISPATCH_APPROVED, "", "" };
    }
    if (has_free) {
        return blocked("window_closed", "the provider's window is closed and there is no approved template");
    }
    return blocked("nothing_to_send", "the request has neither a text nor an approved template");
}
