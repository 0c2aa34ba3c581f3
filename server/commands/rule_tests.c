#include "commands/rule_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/memory.h"
#include "commands/rule_release.h"
#include "domain/rule_test.h"

void rule_tests_begin(struct rule_tests *tests, const struct rule_tests_options *options)
{
    *tests = (struct rule_tests){ .options = options, .sources = rule_test_sources(), .results = json_array() };
}

void rule_tests_done(struct rule_tests *tests)
{
    json_decref(tests->sources);
    json_decref(tests->results);
}

static int64_t micros_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15ull;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static bool is_wanted(const struct rule_test_info *info, const char *filter, const char *only_file)
{
    if (only_file) {
        size_t length = strlen(info->file), wanted = strlen(only_file);
        bool ends_so = length >= wanted && strcmp(info->file + length - wanted, only_file) == 0;
        if (!ends_so || (length > wanted && info->file[length - wanted - 1] != '/'))
            return false;
    }
    return !filter || strstr(info->name, filter) || strstr(info->file, filter);
}

static void run_one(struct rule_tests *tests, struct rule_set *set, size_t index, json_t *coverage)
{
    const struct rule_test_info *info = rule_set_test(set, index);
    struct rule_test_outcome outcome;
    int64_t began = micros_now();
    rule_test_run(set, index, tests->sources, coverage, &outcome);
    json_t *result = json_object();
    json_put_str(result, "file", info->file);
    json_put_int(result, "line", info->line);
    json_put_str(result, "name", info->name);
    json_put_bool(result, "passed", outcome.passed);
    json_put_int(result, "micros", micros_now() - began);
    json_put_bytes(result, "report", bytes_of(outcome.report ? outcome.report : ""));
    *(outcome.passed ? &tests->passed : &tests->failed) += 1;
    json_array_append_new(tests->results, result);
    rule_tests_print_one(tests, result);
    rule_test_outcome_done(&outcome);
}

/* The tests of one set, in the order of the files or shuffled. */
static void run_set(struct rule_tests *tests, struct rule_set *set, const char *only_file)
{
    const struct rule_tests_options *options = tests->options;
    size_t count = rule_set_test_count(set), wanted = 0;
    size_t *order = memory_new((count + 1) * sizeof(*order));
    for (size_t i = 0; i < count; i++)
        if (is_wanted(rule_set_test(set, i), options->filter, only_file))
            order[wanted++] = i;
    if (options->shuffle) {
        uint64_t state = strtoull(options->shuffle, NULL, 10);
        for (size_t i = wanted; i > 1; i--) {
            size_t other = (size_t)(next_random(&state) % i), kept = order[i - 1];
            order[i - 1] = order[other];
            order[other] = kept;
        }
    }
    json_t *coverage = options->coverage ? json_object() : NULL;
    for (size_t i = 0; i < wanted; i++)
        run_one(tests, set, order[i], coverage);
    if (coverage)
        rule_tests_print_coverage(set, coverage, options->tap ? "# " : "");
    json_decref(coverage);
    free(order);
}

char *rule_tests_directory(const char *path, const char **ret_only_file)
{
    char *directory = memory_text(path);
    struct stat status;
    *ret_only_file = NULL;
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return directory;
    char *slash = strrchr(directory, '/');
    if (!slash) {
        *ret_only_file = path;
        free(directory);
        return memory_text(".");
    }
    *ret_only_file = path + (slash - directory) + 1;
    *slash = '\0';
    return directory;
}

void rule_tests_run(struct rule_tests *tests, const char *path)
{
    const char *only_file;
    char *directory = rule_tests_directory(path, &only_file);
    struct error e;
    struct rule_sources *files = NULL;
    struct rule_set *set = NULL;
    const struct rule_limits limits = rule_limits_default();
    json_t *problems = json_array();
    err_t err = rule_sources_read(directory, true, &files, &e);
    if (err == ERR_NONE)
        err = rule_set_load(files, &limits, problems, &set, &e);
    rule_tests_print_problems(problems);
    if (err == ERR_NONE) {
        run_set(tests, set, only_file);
    } else {
        tests->broken = true;
        if (json_array_size(problems) == 0)
            fprintf(stderr, "answerd test: %s\n", e.text);
        else
            fprintf(stderr, "answerd test: the rules in %s do not load\n", directory);
    }
    json_decref(problems);
    rule_set_free(set);
    rule_sources_free(files);
    free(directory);
}
