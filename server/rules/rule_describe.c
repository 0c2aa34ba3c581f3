#include "base/macros.h"
#include "rules/rule_set.h"

json_t *rule_set_describe(const struct rule_set *rules)
{
    static const char *const kinds[] = { "template", "survey", "calendar", "cron" };
    json_t *list = json_array();
    for (size_t i = 0; i < rule_set_count(rules); i++) {
        const struct rule_info *info = rule_set_rule(rules, i);
        json_t *rule = json_object();
        json_put_str(rule, "name", info->name);
        json_put_str(rule, "doc", info->doc);
        json_put_str(rule, "file", info->file);
        json_put_int(rule, "line", info->line);
        json_put_int(rule, "priority", info->priority);
        json_t *on = json_array();
        for (size_t k = 0; info->on[k] != NULL; k++) {
            json_array_append_new(on, json_string(info->on[k]));
        }
        json_put(rule, "on", on);
        json_array_append_new(list, rule);
    }
    json_t *description = json_object();
    json_put(description, "rules", list);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        json_put(description, kinds[i], json_deep_copy(rule_set_declarations(rules, kinds[i])));
    }
    return description;
}
