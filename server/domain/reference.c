#include "domain/reference.h"

#include <string.h>

#include "store/event_reference.h"

#define SAME_PAYMENT_WITHIN_MS ((msec_t)10 * 60 * 1000)

int reference_match(const json_t *event, const char *reference)
{
    int match = -1;
    for (size_t i = 0; match != 1 && i < EVENT_REFERENCES; i++) {
        const char *name = event_reference(event, i);
        if (name)
            match = strcmp(name, reference) == 0;
    }
    return match;
}

json_t *reference_names(const json_t *event)
{
    json_t *names = json_array();
    for (size_t i = 0; i < EVENT_REFERENCES; i++) {
        const char *name = event_reference(event, i);
        if (name && !json_list_has(names, name))
            json_array_append_new(names, json_string(name));
    }
    return names;
}

int reference_match_outreach(const json_t *event, const json_t *outreach)
{
    const char *reference = json_str_or(outreach, "reference", "");
    int match = *reference ? reference_match(event, reference) : -1;
    size_t index;
    json_t *name;
    json_array_foreach (json_array_at(outreach, "other_references"), index, name) {
        if (match != 1 && json_is_string(name))
            match = reference_match(event, json_string_value(name));
    }
    return match;
}

bool reference_is_of(const json_t *outreach, const char *reference)
{
    return strcmp(json_str_or(outreach, "reference", ""), reference) == 0 ||
           json_list_has(json_array_at(outreach, "other_references"), reference);
}

json_t *reference_payment(const struct scene *scene)
{
    json_t *made = json_object();
    const json_t *part = json_object_at(scene->event, "payment");
    if (!part)
        part = json_object_at(scene->event, "order");
    if (!part)
        return made;
    json_put_str(made, "source", json_str(scene->event, "source"));
    json_put_time(made, "at", json_time(scene->event, "occurred_at", scene->now));
    json_put_str(made, "id", json_str(part, "id"));
    json_put_str(made, "invoice", json_str(part, "invoice"));
    json_put_str(made, "currency", json_str(part, "currency"));
    if (json_is_integer(json_object_get(part, "amount")))
        json_put_int(made, "amount", json_int(part, "amount", 0));
    return made;
}

static bool same_text(const json_t *a, const json_t *b, const char *key)
{
    const char *x = json_str(a, key), *y = json_str(b, key);
    return x && y && strcmp(x, y) == 0;
}

bool reference_same_payment(const json_t *a, const json_t *b)
{
    if (!json_is_integer(json_object_get(a, "amount")) || !json_is_integer(json_object_get(b, "amount")) ||
        json_int(a, "amount", 0) != json_int(b, "amount", 0) || !same_text(a, b, "currency"))
        return false;
    msec_t apart = json_time(a, "at", 0) - json_time(b, "at", 0);
    if (apart > SAME_PAYMENT_WITHIN_MS || apart < -SAME_PAYMENT_WITHIN_MS)
        return false;
    /* Two subscriptions of one price may well fail in the same minute. */
    bool both_have_invoices = json_str(a, "invoice") && json_str(b, "invoice");
    return !both_have_invoices || same_text(a, b, "invoice") || !same_text(a, b, "source");
}
