#include "engine/budget.h"

#include <string.h>

static const struct rule_info *find_rule(const struct rule_set *rules, const char *name)
{
    for (size_t i = 0; i < rule_set_count(rules); i++) {
        const struct rule_info *info = rule_set_rule(rules, i);
        if (strcmp(info->name, name) == 0) {
            return info;
        }
    }
    return NULL;
}

static void put_limit(json_t *budget, const char *key, int64_t declared, int64_t standard)
{
    int64_t limit = declared >= 0 ? declared : standard;
    if (limit > 0) {
        json_put_int(budget, key, limit);
    }
}

/* New reference; an empty object when it may send any number. What a rule of an earlier version began counts, too. */
static json_t *budget_of(const struct rule_budget *standard, const struct rule_set *rules, const char *name)
{
    static const struct rule_budget none = { -1, -1, -1 };
    const struct rule_info *info = find_rule(rules, name);
    const struct rule_budget *declared = info != NULL ? &info->budget : &none;
    json_t *budget = json_object();
    put_limit(budget, "sends_per_hour", declared->sends_per_hour, standard->sends_per_hour);
    put_limit(budget, "sends_per_minute", declared->sends_per_minute, standard->sends_per_minute);
    put_limit(budget, "sends_per_contact_per_day", declared->sends_per_contact_per_day,
              standard->sends_per_contact_per_day);
    return budget;
}

void budget_put(const struct rule_budget *standard, const struct rule_set *rules, json_t *changes)
{
    json_t *budgets = json_object();
    json_t *looked_at = json_object();
    size_t index;
    json_t *delivery;
    json_array_foreach (json_array_at(changes, "deliveries"), index, delivery) {
        const char *rule = json_str(delivery, "rule");
        if (rule == NULL || json_object_get(looked_at, rule) != NULL ||
            strcmp(json_str_or(delivery, "kind", ""), "message") != 0) {
            continue;
        }
        json_put_bool(looked_at, rule, true);
        json_t *budget = budget_of(standard, rules, rule);
        if (json_object_size(budget) > 0) {
            json_object_set(budgets, rule, budget);
        }
        json_decref(budget);
    }
    if (json_object_size(budgets) > 0) {
        json_object_set(changes, "budgets", budgets);
    }
    json_decref(budgets);
    json_decref(looked_at);
}
