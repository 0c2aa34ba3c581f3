#include "rules/rule_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

struct rule_limits rule_limits_default(void)
{
    return (struct rule_limits){
        .max_instructions = 1000000,
        .max_memory_bytes = (size_t)64 * 1024 * 1024,
        .max_effects = 100,
        .max_wall_ms = 250,
    };
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static void take_rules(struct rule_set *set, const json_t *list)
{
    size_t index;
    json_t *item;
    set->rules = memory_new((json_array_size(list) + 1) * sizeof(*set->rules));
    json_array_foreach (list, index, item) {
        struct rule_info *info = &set->rules[set->rule_count++].info;
        const json_t *on = json_array_at(item, "on");
        const char **names = memory_new((json_array_size(on) + 1) * sizeof(*names));
        for (size_t i = 0; i < json_array_size(on); i++) {
            names[i] = memory_text(json_string_value(json_array_get(on, i)));
        }
        info->name = memory_text(json_str_or(item, "name", ""));
        info->doc = memory_text(json_str_or(item, "doc", ""));
        info->file = memory_text(json_str_or(item, "file", ""));
        info->line = (int)json_int(item, "line", 0);
        info->priority = (int)json_int(item, "priority", 0);
        const json_t *budget = json_object_at(item, "budget");
        info->budget = (struct rule_budget){
            .sends_per_hour = json_int(budget, "sends_per_hour", -1),
            .sends_per_minute = json_int(budget, "sends_per_minute", -1),
            .sends_per_contact_per_day = json_int(budget, "sends_per_contact_per_day", -1),
        };
        info->on = names;
        info->has_when = json_bool(item, "has_when", false);
    }
}

static void take_tests(struct rule_set *set, const json_t *list)
{
    size_t index;
    json_t *item;
    set->tests = memory_new((json_array_size(list) + 1) * sizeof(*set->tests));
    json_array_foreach (list, index, item) {
        set->tests[set->test_count++] = (struct rule_test_info){
            memory_text(json_str_or(item, "name", "")),
            memory_text(json_str_or(item, "file", "")),
            (int)json_int(item, "line", 0),
        };
    }
}

/* Copies the problems; ERR_INVALID with the first error when there is one. */
static err_t judge(const json_t *list, json_t *problems, struct error *reterr)
{
    size_t index, errors = 0;
    json_t *item;
    const json_t *first = NULL;
    json_array_foreach (list, index, item) {
        if (problems != NULL) {
            json_array_append(problems, item);
        }
        if (strcmp(json_str_or(item, "severity", ""), "error") == 0 && errors++ == 0) {
            first = item;
        }
    }
    if (first == NULL) {
        return ERR_NONE;
    }
    char more[72] = "";
    if (errors > 1) {
        snprintf(more, sizeof(more), " (and %s)", text_counted((int64_t)errors - 1, "more error").text);
    }
    const char *hint = json_str(first, "hint");
    return fail(reterr, ERR_INVALID, "%s:%d: %s%s%s%s", json_str_or(first, "file", "?"),
                (int)json_int(first, "line", 0), json_str_or(first, "text", ""), more, hint != NULL ? "\nHINT: " : "",
                hint != NULL ? hint : "");
}

static err_t load(const struct rule_sources *sources, const struct rule_limits *limits, bool unsound_as_well,
                  json_t *problems, struct rule_set **ret_set, struct error *reterr)
{
    struct rule_set *set = memory_new(sizeof(*set));
    set->sources = rule_sources_share(sources);
    set->limits = limits != NULL ? *limits : rule_limits_default();
    set->none = json_object();
    set->bare_contact =
        json_loads("{\"attributes\": {}, \"opted_out\": [], \"identities\": [], \"channels\": []}", 0, NULL);
    set->bare_conversation = json_loads("{\"attributes\": {}, \"tags\": []}", 0, NULL);

    json_t *description = NULL;
    err_t err = rule_state_load(set, &description, reterr);
    err_t verdict = ERR_NONE;
    if (err == ERR_NONE) {
        verdict = judge(json_array_at(description, "problems"), problems, reterr);
        err = unsound_as_well ? ERR_NONE : verdict;
    }
    if (err == ERR_NONE) {
        set->declarations = json_incref(json_object_at(description, "declarations"));
        take_rules(set, json_array_at(description, "rules"));
        take_tests(set, json_array_at(description, "tests"));
    }
    if (err == ERR_NONE && verdict == ERR_NONE) {
        err = rule_state_settle(set, reterr);
    }
    json_decref(description);
    if (err != ERR_NONE) {
        rule_set_free(set);
        return err;
    }
    *ret_set = set;
    return ERR_NONE;
}

err_t rule_set_load(const struct rule_sources *sources, const struct rule_limits *limits, json_t *problems,
                    struct rule_set **ret_set, struct error *reterr)
{
    return load(sources, limits, false, problems, ret_set, reterr);
}

err_t rule_set_load_for_review(const struct rule_sources *sources, const struct rule_limits *limits, json_t *problems,
                               struct rule_set **ret_set, struct error *reterr)
{
    return load(sources, limits, true, problems, ret_set, reterr);
}

void rule_set_renew(struct rule_set *set)
{
    struct vm *old = set->vm;
    json_t *description = NULL;
    struct error e;
    set->worn = false;
    err_t err = rule_state_load(set, &description, &e);
    /* The files are the same, so the rules are; anything else would run one rule under the name of another. */
    if (err == ERR_NONE && json_array_size(json_array_at(description, "rules")) != set->rule_count) {
        err = fail(&e, ERR_INTERNAL, "other rules came out than before");
    }
    if (err == ERR_NONE) {
        err = rule_state_settle(set, &e);
    }
    json_decref(description);
    if (err != ERR_NONE) {
        log_debug("the state of the rules could not be made again", "reason='%s'", e.text);
        vm_free(set->vm);
        set->vm = old;
        return;
    }
    vm_free(old);
}

void rule_set_free(struct rule_set *set)
{
    if (set == NULL) {
        return;
    }
    rule_set_free(set->tester);
    vm_free(set->vm);
    for (size_t i = 0; i < set->rule_count; i++) {
        const struct rule_info *info = &set->rules[i].info;
        for (size_t n = 0; info->on[n] != NULL; n++) {
            free((void *)(uintptr_t)info->on[n]);
        }
        free((void *)(uintptr_t)info->on);
        free((void *)(uintptr_t)info->name);
        free((void *)(uintptr_t)info->doc);
        free((void *)(uintptr_t)info->file);
    }
    free(set->rules);
    for (size_t i = 0; i < set->test_count; i++) {
        free((void *)(uintptr_t)set->tests[i].name);
        free((void *)(uintptr_t)set->tests[i].file);
    }
    free(set->tests);
    for (size_t i = 0; i < set->zone_count; i++) {
        free(set->zones[i].name);
        zone_free(set->zones[i].zone);
    }
    free(set->zones);
    json_decref(set->shown_event);
    json_decref(set->shown_facts);
    json_decref(set->declarations);
    json_decref(set->none);
    json_decref(set->bare_contact);
    json_decref(set->bare_conversation);
    rule_sources_free(set->sources);
    free(set);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

const char *rule_set_version(const struct rule_set *set)
{
    return set->sources->version;
}

const char *rule_set_directory(const struct rule_set *set)
{
    return set->sources->directory;
}

size_t rule_set_count(const struct rule_set *set)
{
    return set->rule_count;
}

const struct rule_info *rule_set_rule(const struct rule_set *set, size_t index)
{
    return &set->rules[index].info;
}

static bool matches(const char *pattern, const char *event_type)
{
    for (char before = '\0';; before = *pattern++, event_type++) {
        if (pattern[0] == '*' && pattern[1] == '\0' && before == '.') {
            return true;
        }
        if (*pattern != *event_type) {
            return false;
        }
        if (*pattern == '\0') {
            return true;
        }
    }
}

bool rule_matches(const struct rule_info *rule, const char *event_type)
{
    for (size_t i = 0; rule->on[i] != NULL; i++) {
        if (matches(rule->on[i], event_type)) {
            return true;
        }
    }
    return false;
}

bool rule_set_takes(const struct rule_set *set, const char *event_type)
{
    size_t count = set != NULL ? rule_set_count(set) : 0;
    for (size_t i = 0; i < count; i++) {
        if (rule_matches(rule_set_rule(set, i), event_type)) {
            return true;
        }
    }
    return false;
}

json_t *rule_set_declarations(const struct rule_set *set, const char *kind)
{
    json_t *all = json_object_at(set->declarations, kind);
    return all != NULL ? all : set->none;
}

json_t *rule_set_declaration(const struct rule_set *set, const char *kind, const char *name)
{
    return name != NULL ? json_object_at(rule_set_declarations(set, kind), name) : NULL;
}

size_t rule_set_test_count(const struct rule_set *set)
{
    return set->test_count;
}

const struct rule_test_info *rule_set_test(const struct rule_set *set, size_t index)
{
    return &set->tests[index];
}
