#include "commands/rule_tests.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/text.h"

void rule_tests_print_problems(const json_t *problems)
{
    size_t index;
    json_t *problem;
    json_array_foreach (problems, index, problem) {
        fprintf(stderr, "%s:%" PRId64 ": %s: %s\n", json_str_or(problem, "file", ""), json_int(problem, "line", 0),
                json_str_or(problem, "severity", "error"), json_str_or(problem, "text", ""));
        if (json_str(problem, "hint"))
            fprintf(stderr, "  HINT: %s\n", json_str(problem, "hint"));
    }
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

/* A `#` in a name would begin a directive: what is called "# SKIP" would count as passed. */
static void print_tap_name(const char *name)
{
    for (; *name; name++) {
        if (*name == '#' || *name == '\\')
            putchar('\\');
        putchar((unsigned char)*name < ' ' ? ' ' : *name);
    }
}

void rule_tests_print_one(const struct rule_tests *tests, const json_t *result)
{
    bool passed = json_bool(result, "passed", false), tap = tests->options->tap;
    const char *file = json_str_or(result, "file", ""), *name = json_str_or(result, "name", "");
    if (tap) {
        printf("%sok %zu - ", passed ? "" : "not ", json_array_size(tests->results));
        print_tap_name(file);
        printf(": ");
        print_tap_name(name);
        printf("\n");
    } else {
        printf("%s %s: %s\n", passed ? "ok  " : "FAIL", file, name);
    }
    if (!passed)
        print_indented(json_str_or(result, "report", ""), tap ? "# " : "     ");
}

/* --- coverage ------------------------------------------------------------------------------------------------------
 */

struct reach {
    int64_t ran;
    int64_t skipped;
    int64_t failed;
};

static struct reach reach_of(const json_t *coverage, const char *rule)
{
    const json_t *counts = json_object_get(json_object_at(coverage, "rules"), rule);
    return (struct reach){
        .ran = json_int(counts, "ran", 0),
        .skipped = json_int(counts, "skipped", 0),
        .failed = json_int(counts, "failed", 0) + json_int(counts, "over_budget", 0),
    };
}

/* What a reader of the table should look at; "" when all is reached. */
static const char *gap_of(const struct rule_info *rule, const struct reach *reach)
{
    if (reach->ran + reach->skipped + reach->failed == 0)
        return "no test made one of its events";
    if (reach->ran + reach->failed == 0)
        return "'when' was never true";
    if (rule->has_when && reach->skipped == 0)
        return "'when' was always true";
    return "";
}

static void print_unsent(const struct rule_set *set, const json_t *coverage, const char *kind, const char *part,
                         const char *prefix)
{
    const json_t *sent = json_object_at(coverage, part);
    const char *name, *before = "";
    json_t *declaration;
    json_object_foreach (rule_set_declarations(set, kind), name, declaration) {
        if (json_object_get(sent, name))
            continue;
        if (!*before)
            printf("%s%s that no test saw sent: ", prefix, part);
        printf("%s%s", before, name);
        before = ", ";
    }
    if (*before)
        printf("\n");
}

void rule_tests_print_coverage(const struct rule_set *set, const json_t *coverage, const char *prefix)
{
    size_t count = rule_set_count(set), ran = 0, decided = 0, predicates = 0;
    printf("%s\n%s%-28s %6s %8s %7s\n", prefix, prefix, "rule", "ran", "skipped", "failed");
    for (size_t i = 0; i < count; i++) {
        const struct rule_info *rule = rule_set_rule(set, i);
        const struct reach reach = reach_of(coverage, rule->name);
        const char *gap = gap_of(rule, &reach);
        printf("%s%-28s %6" PRId64 " %8" PRId64 " %7" PRId64, prefix, rule->name, reach.ran, reach.skipped,
               reach.failed);
        if (*gap)
            printf("  <- %s (%s:%d)", gap, rule->file, rule->line);
        printf("\n");
        ran += reach.ran + reach.failed > 0;
        predicates += rule->has_when;
        decided += rule->has_when && reach.skipped > 0 && reach.ran + reach.failed > 0;
    }
    printf("%s%zu of %s ran; %zu of %zu 'when' were both true and false\n", prefix, ran,
           text_counted((int64_t)count, "rule").text, decided, predicates);
    print_unsent(set, coverage, "template", "templates", prefix);
    print_unsent(set, coverage, "survey", "surveys", prefix);
}
