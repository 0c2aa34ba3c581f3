#include "commands/rule_tests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/macros.h"

void rule_tests_print_problems(const json_t *problems)
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

void rule_tests_print_one(const struct rule_tests *tests, const json_t *result)
{
    bool passed = json_bool(result, "passed", false), tap = tests->options->tap;
    const char *file = json_str_or(result, "file", ""), *name = json_str_or(result, "name", "");
    if (tap)
        printf("%sok %zu - %s: %s\n", passed ? "" : "not ", json_array_size(tests->results), file, name);
    else
        printf("%s %s: %s\n", passed ? "ok  " : "FAIL", file, name);
    if (!passed)
        print_indented(json_str_or(result, "report", ""), tap ? "# " : "     ");
}

/* --- coverage ------------------------------------------------------------------------------------------------------ */

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
    json_object_foreach(rule_set_declarations(set, kind), name, declaration)
    {
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
    printf("%s%zu of %zu rules ran; %zu of %zu 'when' were both true and false\n", prefix, ran, count, decided,
           predicates);
    print_unsent(set, coverage, "template", "templates", prefix);
    print_unsent(set, coverage, "survey", "surveys", prefix);
}

/* --- JUnit ---------------------------------------------------------------------------------------------------------- */

/* Control characters cannot be written in XML 1.0 at all, not even escaped. */
static void add_xml(struct buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            buf_add_text(out, "&amp;");
        else if (c == '<')
            buf_add_text(out, "&lt;");
        else if (c == '>')
            buf_add_text(out, "&gt;");
        else if (c == '"')
            buf_add_text(out, "&quot;");
        else if (c == '\n')
            buf_add_text(out, "&#10;");
        else if (c < 0x20 && c != '\t')
            buf_add_char(out, '?');
        else
            buf_add_char(out, *text);
    }
}

static void add_first_line(struct buf *out, const char *report)
{
    char line[512];
    size_t length = strcspn(report, "\n");
    snprintf(line, sizeof(line), "%.*s", (int)(length < sizeof(line) ? length : sizeof(line) - 1), report);
    add_xml(out, line);
}

static void add_case(struct buf *out, const json_t *result)
{
    buf_add_text(out, "    <testcase classname=\"");
    add_xml(out, json_str_or(result, "file", ""));
    buf_add_text(out, "\" name=\"");
    add_xml(out, json_str_or(result, "name", ""));
    buf_add_text(out, "\" file=\"");
    add_xml(out, json_str_or(result, "file", ""));
    buf_addf(out, "\" line=\"%" PRId64 "\" time=\"%.6f\"", json_int(result, "line", 0),
             (double)json_int(result, "micros", 0) / 1e6);
    if (json_bool(result, "passed", false)) {
        buf_add_text(out, "/>\n");
        return;
    }
    const char *report = json_str_or(result, "report", "");
    buf_add_text(out, ">\n      <failure message=\"");
    add_first_line(out, report);
    buf_add_text(out, "\">");
    add_xml(out, report);
    buf_add_text(out, "</failure>\n    </testcase>\n");
}

/* The results of one file, in the order of the files' first appearance. */
static void add_suite(struct buf *out, const json_t *results, const char *file)
{
    size_t index, count = 0, failures = 0;
    int64_t micros = 0;
    json_t *result;
    json_array_foreach(results, index, result)
    {
        if (strcmp(json_str_or(result, "file", ""), file) != 0)
            continue;
        count++;
        failures += !json_bool(result, "passed", false);
        micros += json_int(result, "micros", 0);
    }
    buf_add_text(out, "  <testsuite name=\"");
    add_xml(out, file);
    buf_addf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"0\" time=\"%.6f\">\n", count, failures,
             (double)micros / 1e6);
    json_array_foreach(results, index, result)
    {
        if (strcmp(json_str_or(result, "file", ""), file) == 0)
            add_case(out, result);
    }
    buf_add_text(out, "  </testsuite>\n");
}

err_t rule_tests_write_junit(const struct rule_tests *tests, const char *path, struct error *reterr)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, (size_t)64 * 1024 * 1024);
    buf_addf(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"answerd test\" tests=\"%zu\" "
                   "failures=\"%zu\" errors=\"%d\">\n",
             tests->passed + tests->failed, tests->failed, tests->broken);
    json_t *seen = json_object();
    size_t index;
    json_t *result;
    json_array_foreach(tests->results, index, result)
    {
        const char *file = json_str_or(result, "file", "");
        if (json_object_get(seen, file))
            continue;
        json_put_bool(seen, file, true);
        add_suite(&out, tests->results, file);
    }
    json_decref(seen);
    if (tests->broken)
        buf_add_text(&out, "  <testsuite name=\"rules\" tests=\"1\" failures=\"0\" errors=\"1\">\n"
                           "    <testcase classname=\"rules\" name=\"the rules load\"><error message=\"the rules do "
                           "not load\"/></testcase>\n  </testsuite>\n");
    buf_add_text(&out, "</testsuites>\n");
    FILE *file = fopen(path, "we");
    if (!file)
        return fail(reterr, ERR_NOT_FOUND, "'%s' cannot be written: %s", path, strerror(errno));
    bool written = fwrite(out.ptr, 1, out.len, file) == out.len;
    if (fclose(file) != 0 || !written)
        return fail(reterr, ERR_NOT_FOUND, "'%s' cannot be written: %s", path, strerror(errno));
    return ERR_NONE;
}
