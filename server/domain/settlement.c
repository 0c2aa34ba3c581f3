#include "domain/settlement.h"

#include <string.h>

#include "base/macros.h"
#include "domain/reference.h"

#define KEPT_MS ((msec_t)35 * 24 * 3600 * 1000) /* providers deliver again for up to 30 days */
#define KEPT_MAX 10

/* What is overtaken arrives soon after; this much later, a payment that its provider does not date is another try. */
#define OVERTAKEN_WITHIN_MS ((msec_t)10 * 60 * 1000)

static bool is_of(const char *type, const char *family)
{
    return strncmp(type, family, strlen(family)) == 0;
}

/* Does money still have to come? */
static bool is_open(const char *type)
{
    return strcmp(type, "payment.failed") == 0 || strcmp(type, "payment.action_required") == 0;
}

static bool can_settle(const char *type)
{
    bool is_family = is_of(type, "payment.") || is_of(type, "order.") || is_of(type, "subscription.");
    return is_family && !is_open(type) && strcmp(type, "payment.disputed") != 0;
}

static json_t *settled_of(json_t *contact)
{
    json_t *list = json_array_at(contact, "settled");
    if (!list) {
        list = json_array();
        json_put(contact, "settled", list);
    }
    return list;
}

/* The last ones, by the time at which we heard of them. */
static void shorten(json_t *list, msec_t now)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (json_time(json_array_get(list, i - 1), "recorded_at", 0) + KEPT_MS < now)
            json_array_remove(list, i - 1);
    while (json_array_size(list) > KEPT_MAX)
        json_array_remove(list, 0);
}

void settlement_note(struct scene *scene)
{
    json_t *contact = scene->contact;
    if (!contact || !can_settle(scene->type))
        return;
    json_t *names CLEANUP(json_free) = reference_names(scene->event);
    if (json_array_size(names) == 0)
        return;
    rows_edit(scene->desk->rows, ROWS_CONTACT, contact);
    json_t *list = settled_of(contact);
    for (size_t i = json_array_size(list); i > 0; i--) { /* a replay, and the same thing told once more */
        const json_t *known = json_array_get(list, i - 1);
        if (json_int(known, "event", 0) == scene->event_id ||
            (strcmp(json_str_or(known, "type", ""), scene->type) == 0 &&
             json_equal(json_array_at(known, "references"), names)))
            json_array_remove(list, i - 1);
    }
    json_t *entry = json_object();
    json_put_str(entry, "type", scene->type);
    json_put_time(entry, "at", json_time(scene->event, "occurred_at", scene->now));
    json_put_time(entry, "recorded_at", scene->now);
    json_put_int(entry, "event", scene->event_id);
    json_put(entry, "references", json_incref(names));
    json_put(entry, "payment", reference_payment(scene));
    json_array_append_new(list, entry);
    shorten(list, scene->now);
}

/* Did the entry's event happen after this one, although it was heard of before? */
static bool overtook(const struct scene *scene, const json_t *entry)
{
    msec_t happened = json_time(scene->event, "occurred_at", scene->now), settled = json_time(entry, "at", 0);
    msec_t received = json_time(scene->event, "received_at", happened);
    if (json_time(entry, "recorded_at", 0) > scene->now || json_int(entry, "event", 0) == scene->event_id)
        return false; /* a backtest looks at the past with what is known today */
    if (!is_open(scene->type))
        return settled > happened;
    bool is_dated = happened != received;
    return settled + (is_dated ? 0 : OVERTAKEN_WITHIN_MS) >= happened;
}

const json_t *settlement_find(const struct scene *scene, const char *reference, const json_t *payment,
                              settlement_filter *filter, const void *arg)
{
    if (!scene->contact || !(is_open(scene->type) || can_settle(scene->type)))
        return NULL;
    const json_t *list = json_array_at(scene->contact, "settled");
    for (size_t i = json_array_size(list); i > 0; i--) {
        const json_t *entry = json_array_get(list, i - 1);
        bool is_about = !*reference || json_list_has(json_array_at(entry, "references"), reference) ||
                        reference_same_payment(json_object_at(entry, "payment"), payment);
        if (is_about && filter(arg, json_str_or(entry, "type", "")) && overtook(scene, entry))
            return entry;
    }
    return NULL;
}

static bool pays(const void *arg, const char *type)
{
    (void)arg;
    return strcmp(type, "payment.succeeded") == 0 || strcmp(type, "order.completed") == 0;
}

json_t *settlement_of_event(const struct scene *scene)
{
    if (!is_open(scene->type) || !scene->contact || !json_array_at(scene->contact, "settled"))
        return NULL;
    json_t *names CLEANUP(json_free) = reference_names(scene->event);
    json_t *payment CLEANUP(json_free) = reference_payment(scene);
    const char *reference = json_string_value(json_array_get(names, 0));
    const json_t *entry = reference ? settlement_find(scene, reference, payment, pays, NULL) : NULL;
    if (!entry)
        return NULL;
    json_t *made = json_object();
    json_put_str(made, "type", json_str(entry, "type"));
    json_put_str(made, "occurred_at", json_str(entry, "at"));
    json_put_int(made, "event", json_int(entry, "event", 0));
    return made;
}

void settlement_merge(json_t *into, const json_t *from)
{
    const json_t *list = json_array_at(from, "settled");
    if (json_array_size(list) == 0)
        return;
    json_t *kept = settled_of(into);
    json_array_extend(kept, (json_t *)(uintptr_t)list);
    shorten(kept, 0);
}
