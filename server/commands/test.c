/* `answerd test`: runs the *_test.lua files of rule directories, without a database or a network. */
#include "channel/channel.h"
#include "commands/commands.h"
#include "commands/rule_release.h"
#include "domain/rule_test.h"
#include "rules/rule_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"

struct test_options {
    const char *filter;
    const char *shuffle;
    bool tap;
    bool coverage;
};

struct totals {
    size_t passed;
    size_t failed;
    size_t number; /* of the last test printed */
    bool broken;   /* a directory did not load */
};

static void print_problems(const json_t *problems)
{
    size_t index;
    json_t *problem;
    json_array_foreach(problems, index, problem)
    {
        fprintf(stderr, "%s:%" PRId64 ": %s: %s\n", json_str_or(problem, "file", ""), json_int(problem, "line", 0),
                json_str_or(problem, "severity", "error"), json_str_or(problem, "text", ""));
        if (json_str(problem, "hint"))
            fprintf(stderr, "  HINT: %s\n", json_str(problem, "hint"));
    }
}

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15ull;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static bool is_wanted(const struct rule_test_info *info, const struct test_options *options, const char *only_file)
{
    if (only_file) {
        size_t length = strlen(info->file), wanted = strlen(only_file);
        bool ends_so = length >= wanted && strcmp(info->file + length - wanted, only_file) == 0;
        if (!ends_so || (length > wanted && info->file[length - wanted - 1] != '/'))
            return false;
    }
    return !options->filter || strstr(info->name, options->filter) || strstr(info->file, options->filter);
}

static void print_indented(const char *report, const char *prefix)
{
    struct bytes rest = bytes_of(report);
    while (rest.len > 0) {
        const char *end = memchr(rest.ptr, '\n', rest.len);
        size_t length = end ? (size_t)(end - rest.ptr) : rest.len;
        printf("%s%.*s\n", prefix, (int)length, rest.ptr);
        rest.ptr += end ? length + 1 : length;
        rest.len -= end ? length + 1 : length;
    }
}

static void run_one(struct rule_set *set, size_t index, const json_t *sources, json_t *coverage,
                    const struct test_options *options, struct totals *totals)
{
    const struct rule_test_info *info = rule_set_test(set, index);
    struct rule_test_outcome outcome;
    rule_test_run(set, index, sources, coverage, &outcome);
    totals->number++;
    *(outcome.passed ? &totals->passed : &totals->failed) += 1;
    if (options->tap)
        printf("%sok %zu - %s: %s\n", outcome.passed ? "" : "not ", totals->number, info->file, info->name);
    else
        printf("%s %s: %s\n", outcome.passed ? "ok  " : "FAIL", info->file, info->name);
    if (!outcome.passed)
        print_indented(outcome.report, options->tap ? "# " : "     ");
    rule_test_outcome_done(&outcome);
}

static void print_coverage(const struct rule_set *set, const json_t *coverage)
{
    printf("\nrules that the tests made run:\n");
    for (size_t i = 0; i < rule_set_count(set); i++) {
        const char *name = rule_set_rule(set, i)->name;
        const json_t *counts = json_object_at(coverage, name);
        printf("  %-28s ran %" PRId64 ", skipped %" PRId64 ", failed %" PRId64 "%s\n", name, json_int(counts, "ran", 0),
               json_int(counts, "skipped", 0), json_int(counts, "failed", 0) + json_int(counts, "over_budget", 0),
               json_int(counts, "ran", 0) == 0 ? "  <- never ran" : "");
    }
}

/* Runs the tests of one set, all in the order of the files or shuffled. */
static void run_set(struct rule_set *set, const char *only_file, const json_t *sources,
                    const struct test_options *options, struct totals *totals)
{
    size_t count = rule_set_test_count(set), wanted = 0;
    size_t *order = memory_new((count + 1) * sizeof(*order));
    for (size_t i = 0; i < count; i++)
        if (is_wanted(rule_set_test(set, i), options, only_file))
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
        run_one(set, order[i], sources, coverage, options, totals);
    if (coverage)
        print_coverage(set, coverage);
    json_decref(coverage);
    free(order);
}

static void run_path(const char *path, const json_t *sources, const struct test_options *options, struct totals *totals)
{
    /* A file stands for its tests; the rules are those of its directory. */
    char *directory = memory_text(path);
    const char *only_file = NULL;
    struct stat status;
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
        char *slash = strrchr(directory, '/');
        only_file = slash ? path + (slash - directory) + 1 : path;
        if (slash)
            *slash = '\0';
        char *whole = slash ? directory : memory_text(".");
        if (!slash) {
            free(directory);
            directory = whole;
        }
    }
    struct error e;
    struct rule_sources *files = NULL;
    struct rule_set *set = NULL;
    const struct rule_limits limits = rule_limits_default();
    json_t *problems = json_array();
    err_t err = rule_sources_read(directory, true, &files, &e);
    if (err == ERR_NONE)
        err = rule_set_load(files, &limits, problems, &set, &e);
    print_problems(problems);
    if (err == ERR_NONE) {
        run_set(set, only_file, sources, options, totals);
    } else {
        totals->broken = true;
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

static int run(const struct command *command, int argc, char **argv)
{
    struct test_options options = { NULL };
    void *const values[] = { &options.filter, &options.shuffle, &options.tap, &options.coverage };
    int operands, exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    if (options.shuffle && strspn(options.shuffle, "0123456789") != strlen(options.shuffle))
        return command_usage_error(command, "--shuffle takes a number, not '%s'", options.shuffle);

    json_t *sources = rule_test_sources();
    struct totals totals = { 0 };
    if (options.tap)
        printf("TAP version 13\n");
    if (operands == 0)
        run_path("rules", sources, &options, &totals);
    for (int i = 1; i <= operands; i++)
        run_path(argv[i], sources, &options, &totals);
    json_decref(sources);
    if (options.tap)
        printf("1..%zu\n", totals.number);
    printf("%s%zu passed, %zu failed\n", options.tap ? "# " : "", totals.passed, totals.failed);
    if (totals.broken)
        return EXIT_CONFIGURATION;
    if (totals.number == 0) {
        fprintf(stderr, "answerd test: no test%s%s%s\nHINT: tests are in files *_test.lua beside the rules\n",
                options.filter ? " has '" : " was found", options.filter ? options.filter : "",
                options.filter ? "' in its name" : "");
        return EXIT_WRONG;
    }
    return totals.failed > 0 ? EXIT_WRONG : EXIT_OK;
}

static const struct command_option options[] = {
    { "filter", OPTION_TEXT, "TEXT", "only tests with TEXT in their name or file" },
    { "shuffle", OPTION_TEXT, "SEED", "run them in another order, the same for the same SEED" },
    { "tap", OPTION_FLAG, NULL, "print the Test Anything Protocol" },
    { "coverage", OPTION_FLAG, NULL, "say which rules the tests made run" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_test = {
    .name = "test",
    .summary = "run the unit tests of rules",
    .usage = "[--filter TEXT] [--shuffle SEED] [--tap] [--coverage] [PATH]...",
    .details =
        "PATH is a directory of rules or one of its *_test.lua files; `rules` when none is given. The tests run\n"
        "in the real sandbox with a world in memory and virtual time: no database, no network, no waiting.\n"
        "They find one source of each kind, under the kind's name: whatsapp, telegram, stripe, ...",
    .options = options,
    .run = run,
};
