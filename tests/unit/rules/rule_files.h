/* Rule directories for tests, and short forms of what all of them do. */
#ifndef TESTS_RULES_RULE_FILES_H
#define TESTS_RULES_RULE_FILES_H

#include "rules/rule_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct rule_file {
    const char *name; /* "a.lua", "lib/words.lua" */
    const char *text;
};

/* Writes the files (up to one without a name) into a new directory whose last part is "rules". */
static inline void write_files(const struct rule_file *files, char *ret_directory, size_t size)
{
    char base[] = "/tmp/answerd-rules-XXXXXX";
    assert_non_null(mkdtemp(base));
    snprintf(ret_directory, size, "%s/rules", base);
    assert_int_equal(mkdir(ret_directory, 0700), 0);
    char path[512];
    for (const char *const *folder = (const char *const[]){ "lib", "data", NULL }; *folder != NULL; folder++) {
        snprintf(path, sizeof(path), "%s/%s", ret_directory, *folder);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (; files->name != NULL; files++) {
        snprintf(path, sizeof(path), "%s/%s", ret_directory, files->name);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(files->text, file);
        fclose(file);
    }
}

static inline void remove_files(const struct rule_file *files, const char *directory)
{
    char path[512];
    for (; files->name != NULL; files++) {
        snprintf(path, sizeof(path), "%s/%s", directory, files->name);
        unlink(path);
    }
    for (const char *const *folder = (const char *const[]){ "lib", "data", ".", "..", NULL }; *folder != NULL;
         folder++) {
        snprintf(path, sizeof(path), "%s/%s", directory, *folder);
        if (strcmp(*folder, ".") == 0) {
            rmdir(directory);
        } else if (strcmp(*folder, "..") == 0) {
            snprintf(path, sizeof(path), "%.*s", (int)(strlen(directory) - strlen("/rules")), directory);
            rmdir(path);
        } else {
            rmdir(path);
        }
    }
}

/* Loads the files; `*ret_problems` gets the list (the caller's), `*ret_set` NULL when loading failed. */
static inline err_t load_files(const struct rule_file *files, const struct rule_limits *limits, json_t **ret_problems,
                               struct rule_set **ret_set, struct error *reterr)
{
    char directory[256];
    write_files(files, directory, sizeof(directory));
    struct rule_sources *sources;
    err_t err = rule_sources_read(directory, true, &sources, reterr);
    remove_files(files, directory);
    *ret_set = NULL;
    *ret_problems = json_array();
    if (err == ERR_NONE) {
        err = rule_set_load(sources, limits, *ret_problems, ret_set, reterr);
        rule_sources_free(sources);
    }
    return err;
}

/* A set of one file "a.lua" that must load. */
static inline struct rule_set *load_text(const char *text, const struct rule_limits *limits)
{
    const struct rule_file files[] = { { "a.lua", text }, { NULL, NULL } };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    err_t err = load_files(files, limits, &problems, &set, &e);
    if (err != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    json_decref(problems);
    return set;
}

static inline json_t *document(const char *text)
{
    json_error_t e;
    json_t *json = json_loads(text, 0, &e);
    if (json == NULL) {
        fail_msg("%s: %s", text, e.text);
    }
    return json;
}

#define TEST_NOW INT64_C(1767607200000) /* Monday, 5 January 2026, 10:00 UTC */

/* Runs rule 0 on the event; documents are texts, NULL for none. */
static inline struct rule_outcome run_rule(struct rule_set *set, const char *event, const char *facts)
{
    json_t *event_json = document(event), *facts_json = facts != NULL ? document(facts) : NULL;
    struct rule_outcome outcome;
    rule_run(set, 0, event_json, facts_json, NULL, TEST_NOW, 7, &outcome);
    json_decref(event_json);
    json_decref(facts_json);
    return outcome;
}

/* The same rule, and what came out as compact JSON with sorted keys, without lines; "FAILED: …" otherwise. */
static inline char *effects_of(const char *rules, const char *event, const char *facts)
{
    struct rule_set *set = load_text(rules, NULL);
    struct rule_outcome outcome = run_rule(set, event, facts);
    char *text;
    if (outcome.verdict == RULE_RAN) {
        size_t index;
        json_t *effect;
        json_array_foreach (outcome.effects, index, effect) {
            json_object_del(effect, "line");
        }
        text = json_dumps(outcome.effects, JSON_COMPACT | JSON_SORT_KEYS);
    } else {
        text = malloc(700);
        snprintf(text, 700, "%s: %s",
                 outcome.verdict == RULE_SKIPPED  ? "SKIPPED"
                 : outcome.verdict == RULE_FAILED ? "FAILED"
                                                  : "OVER BUDGET",
                 outcome.error);
    }
    rule_outcome_done(&outcome);
    rule_set_free(set);
    return text;
}

#endif
