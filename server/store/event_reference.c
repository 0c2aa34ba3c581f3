#include "store/event_reference.h"

const char *event_reference(const json_t *event, size_t place)
{
    static const struct {
        const char *part, *key;
    } places[EVENT_REFERENCES] = {
        { "payment", "reference" }, { "payment", "invoice" },
        { "payment", "order" },     { "payment", "subscription" },
        { "payment", "id" },        { "subscription", "id" },
        { "order", "reference" },   { "order", "id" },
        { "body", "reference" },    [EVENT_REFERENCE_OUTREACH] = { "outreach", "reference" },
    };
    const char *name = json_str(json_object_at(event, places[place].part), places[place].key);
    return name != NULL && name[0] != '\0' ? name : NULL;
}
