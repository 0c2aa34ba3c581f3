#include "commands/rule_check.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "channel/channel.h"
#include "rules/rule_review.h"

size_t problems_count_errors(const json_t *problems)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(problems); i++)
        count += strcmp(json_str_or(json_array_get(problems, i), "severity", "error"), "error") == 0;
    return count;
}

static int compare_places(const json_t *left, const json_t *right)
{
    int order = strcmp(json_str_or(left, "file", ""), json_str_or(right, "file", ""));
    int64_t left_line = json_int(left, "line", 0), right_line = json_int(right, "line", 0);
    return order != 0 ? order : (left_line > right_line) - (left_line < right_line);
}

void problems_sort(json_t *problems, size_t first)
{
    /* By insertion: there are few, and most are in order. */
    for (size_t i = first + 1; i < json_array_size(problems); i++) {
        size_t place = i;
        json_t *problem = json_incref(json_array_get(problems, i));
        while (place > first && compare_places(json_array_get(problems, place - 1), problem) > 0)
            place--;
        if (place < i) {
            json_array_remove(problems, i);
            json_array_insert(problems, place, problem);
        }
        json_decref(problem);
    }
}

static bool is_of_no_source(const char *type, const struct config *config)
{
    static const char family[] = "webhook.";
    if (strncmp(type, family, sizeof(family) - 1) != 0 || strcmp(type, "webhook.*") == 0)
        return false;
    for (size_t i = 0; i < config->source_count; i++)
        if (strcmp(config->sources[i].name, type + sizeof(family) - 1) == 0)
            return false;
    return true;
}

/* A rule that listens to nothing but webhooks of sources that are not configured can never run. */
static void check_sources(const struct rule_set *set, const struct config *config, json_t *problems)
{
    for (size_t i = 0; i < rule_set_count(set); i++) {
        const struct rule_info *rule = rule_set_rule(set, i);
        bool silent = rule->on[0] != NULL;
        for (const char *const *type = rule->on; *type; type++)
            silent = silent && is_of_no_source(*type, config);
        if (!silent)
            continue;
        json_t *problem = json_object();
        json_put_str(problem, "file", rule->file);
        json_put_int(problem, "line", rule->line);
        json_put_str(problem, "severity", "warning");
        char text[512];
        snprintf(text, sizeof(text), "rule '%s' never runs: no source is called '%s'", rule->name,
                 rule->on[0] + strlen("webhook."));
        json_put_str(problem, "text", text);
        json_put_str(problem, "hint", "sources are declared in the configuration: source \"NAME\" { kind = … }");
        json_array_append_new(problems, problem);
    }
}

/* A folder that was named by mistake, or one whose rules lie elsewhere, is not well because nothing in it is wrong. */
static void check_not_empty(const struct rule_set *set, json_t *problems)
{
    if (rule_set_count(set) > 0 || json_array_size(problems) > 0)
        return;
    json_t *problem = json_object();
    json_put_str(problem, "file", rule_set_directory(set));
    json_put_int(problem, "line", 0);
    json_put_str(problem, "severity", "warning");
    json_put_str(problem, "text", "there is no rule in this directory");
    json_put_str(problem, "hint",
                 "rules are in files NAME.lua of the directory itself; those that come with answerd are a beginning");
    json_array_append_new(problems, problem);
}

/* The kinds of the sources that send, by name; new reference. */
static json_t *senders_of(const struct config *config)
{
    json_t *senders = json_object();
    for (size_t i = 0; i < config->source_count; i++) {
        const struct channel_kind *kind = channel_find(config->sources[i].kind);
        if (kind && kind->render)
            json_put_str(senders, config->sources[i].name, kind->name);
    }
    return senders;
}

err_t rule_check(struct rule_set *set, const struct config *config, json_t *problems, struct error *reterr)
{
    json_t *senders CLEANUP(json_free) = config ? senders_of(config) : NULL;
    err_t err = rule_review(set, senders, problems, reterr);
    if (err == ERR_NONE)
        check_not_empty(set, problems);
    if (err == ERR_NONE && config)
        check_sources(set, config, problems);
    return err;
}
