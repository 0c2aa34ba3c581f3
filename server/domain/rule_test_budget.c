/* Budgets of sends in a test's world: what a rule declares holds there as on the server (hold_excess() in migrations/).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "domain/rule_test_world.h"

#define MINUTE_MS ((msec_t)60 * 1000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static const struct rule_info *find_rule(const struct rule_set *rules, const char *name)
{
    for (size_t i = 0; i < rule_set_count(rules); i++)
        if (strcmp(rule_set_rule(rules, i)->name, name) == 0)
            return rule_set_rule(rules, i);
    return NULL;
}

static bool is_state(const json_t *delivery, const char *state)
{
    return strcmp(json_str_or(delivery, "state", ""), state) == 0;
}

/* How many messages the rule has asked for since, to anybody or (`contact_id` > 0) to one contact. */
static int64_t count_asked(const struct world *world, const char *rule, msec_t since, int64_t contact_id)
{
    int64_t count = 0;
    for (size_t i = 0; i < memory_store_delivery_count(world->store); i++) {
        const json_t *delivery = memory_store_delivery(world->store, i);
        bool counts = strcmp(json_str_or(delivery, "rule", ""), rule) == 0 && !is_state(delivery, "held") &&
                      strcmp(json_str_or(delivery, "kind", ""), "message") == 0 &&
                      json_time(delivery, "created_at", 0) > since;
        if (counts && contact_id > 0)
            counts = json_int(delivery, "contact_id", 0) == contact_id && !is_state(delivery, "canceled");
        count += counts;
    }
    return count;
}

struct excess {
    const char *budget; /* NULL: it is within all of them */
    const char *span;
    int64_t limit;
};

static struct excess find_excess(const struct world *world, const json_t *delivery)
{
    const char *rule = json_str_or(delivery, "rule", "");
    const struct rule_info *info = find_rule(world->rules, rule);
    if (!info)
        return (struct excess){ NULL, NULL, 0 };
    const struct {
        struct excess excess;
        msec_t ms;
        int64_t contact_id;
    } limits[] = {
        { { "sends_per_contact_per_day", "to this contact in a day", info->budget.sends_per_contact_per_day },
          DAY_MS,
          json_int(delivery, "contact_id", 0) },
        { { "sends_per_hour", "in an hour", info->budget.sends_per_hour }, HOUR_MS, 0 },
        { { "sends_per_minute", "in a minute", info->budget.sends_per_minute }, MINUTE_MS, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        int64_t limit = limits[i].excess.limit;
        if (limit > 0 && count_asked(world, rule, world->now - limits[i].ms, limits[i].contact_id) >= limit)
            return limits[i].excess;
    }
    return (struct excess){ NULL, NULL, 0 };
}

/* Once an hour for one rule, as the server does. */
static void raise_alert(struct world *world, const char *rule, const char *reason)
{
    char key[300], target[200], summary[600];
    snprintf(target, sizeof(target), "rule %s", rule);
    snprintf(key, sizeof(key), "alert:sends_held:%s:%" PRId64, target, (int64_t)(world->now / HOUR_MS));
    if (json_object_get(world->alerts, key))
        return;
    json_put_bool(world->alerts, key, true);
    snprintf(summary, sizeof(summary),
             "messages of the rule %s are held: %s; look at them with: answerd held list --rule %s", rule, reason,
             rule);
    json_t *body = json_object(), *fields = json_object();
    json_put_str(body, "problem", "sends_held");
    json_put_str(body, "source", target);
    json_put_str(body, "rule", rule);
    json_put_str(body, "severity", "critical");
    json_put_str(body, "reason", reason);
    json_put_str(body, "summary", summary);
    json_put(fields, "body", body);
    json_t *event = world_event(world, "custom.system_alert", "answerd", NULL, fields);
    memory_store_add_event(world->store, event);
    json_decref(event);
    json_decref(fields);
}

static void hold(struct world *world, json_t *delivery, const struct excess *excess)
{
    char reason[200], told[220];
    snprintf(reason, sizeof(reason), "more than %" PRId64 " message%s of this rule %s", excess->limit,
             excess->limit == 1 ? "" : "s", excess->span);
    snprintf(told, sizeof(told), "held: %s", reason);
    json_put_str(delivery, "state", "held");
    json_put_str(delivery, "reason", reason);
    json_put_str(delivery, "error_code", excess->budget);
    json_t *message = memory_store_message(world->store, json_int(delivery, "message_id", 0));
    if (message)
        json_put_str(message, "reason", told);
    json_array_append_new(world->held, json_deep_copy(delivery));
    raise_alert(world, json_str_or(delivery, "rule", ""), reason);
}

void world_hold_excess(struct world *world, size_t first)
{
    size_t count = memory_store_delivery_count(world->store);
    /* One after the other: those that were not looked at yet do not count. */
    for (size_t i = first; i < count; i++)
        if (strcmp(json_str_or(memory_store_delivery(world->store, i), "kind", ""), "message") == 0)
            json_put_str(memory_store_delivery(world->store, i), "state", "held");
    for (size_t i = first; i < count; i++) {
        json_t *delivery = memory_store_delivery(world->store, i);
        if (!is_state(delivery, "held"))
            continue;
        const struct excess excess = find_excess(world, delivery);
        if (excess.budget)
            hold(world, delivery, &excess);
        else
            json_put_str(delivery, "state", "queued");
    }
}
