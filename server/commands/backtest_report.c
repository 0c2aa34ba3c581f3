#include "commands/backtest_report.h"

#include "base/macros.h"
#include "base/text.h"
#include "domain/simulation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t differences_of(const json_t *total)
{
    return json_int(total, "added", 0) + json_int(total, "removed", 0) + json_int(total, "changed", 0);
}

static void print_side(const char *label, const char *text, const char *at)
{
    if (!text)
        return;
    printf("      %s %.19s%s", label, at ? at : "", *text ? "  " : "");
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            printf("\n                                  ");
        else
            putchar(*c);
    }
    putchar('\n');
}

static void print_examples(const json_t *total)
{
    size_t index;
    json_t *example;
    json_array_foreach (json_array_at(total, "examples"), index, example) {
        const char *name = json_str_or(example, "name", ""), *former = json_str(example, "former_name");
        printf("  %s: %s %s", json_str_or(total, "rule", ""), json_str_or(example, "change", ""),
               json_str_or(total, "kind", ""));
        if (former)
            printf(" from '%s' to '%s'", former, name);
        else if (*name)
            printf(" '%s'", name);
        if (json_str(example, "cron"))
            printf(", cron %s", json_str(example, "cron"));
        else
            printf(", event %" PRId64, json_int(example, "event", 0));
        if (json_int(example, "contact", 0) > 0)
            printf(", contact %" PRId64, json_int(example, "contact", 0));
        putchar('\n');
        print_side("before", json_str(example, "before"), json_str(example, "before_at"));
        print_side("after ", json_str(example, "after"), json_str(example, "after_at"));
    }
}

void backtest_print(const json_t *report)
{
    const json_t *rules = json_array_at(report, "rules");
    size_t index;
    json_t *total;
    int64_t differences = 0;
    json_t *cron;
    json_array_foreach (json_array_at(report, "crons"), index, cron)
        printf("cron %s fired %s before, %s after\n", json_str_or(cron, "name", ""),
               text_counted(json_int(cron, "before", 0), "time").text,
               text_counted(json_int(cron, "after", 0), "time").text);
    if (json_array_size(json_array_at(report, "crons")) > 0)
        putchar('\n');
    printf("%-28s %-18s %9s %9s %9s %9s %9s\n", "rule", "kind", "before", "after", "added", "removed", "changed");
    json_array_foreach (rules, index, total) {
        differences += differences_of(total);
        printf("%-28s %-18s %9" PRId64 " %9" PRId64 " %9" PRId64 " %9" PRId64 " %9" PRId64 "\n",
               json_str_or(total, "rule", ""), json_str_or(total, "kind", ""), json_int(total, "before", 0),
               json_int(total, "after", 0), json_int(total, "added", 0), json_int(total, "removed", 0),
               json_int(total, "changed", 0));
    }
    if (differences == 0) {
        printf("\nno difference\n");
        return;
    }
    printf("\n%s, for example:\n", text_counted(differences, "difference").text);
    json_array_foreach (rules, index, total)
        print_examples(total);
}

/* --- budgets -------------------------------------------------------------------------------------------------------
 */

#define DIFFERENCES "difference"

static bool is_outcome_kind(const char *word)
{
    for (const char *const *kind = outcome_kinds; *kind; kind++)
        if (strcmp(*kind, word) == 0)
            return true;
    return false;
}

err_t backtest_budget_parse(const char *text, struct backtest_budget *ret_budget, struct error *reterr)
{
    static const char hint[] = "HINT: write it like sends:+5%, tags:0, failures:0 or differences:0";
    const char *colon = strrchr(text, ':');
    size_t length = colon ? (size_t)(colon - text) : 0;
    struct backtest_budget budget = { .text = text };
    if (length == 0 || length >= sizeof(budget.kind))
        return fail(reterr, ERR_INVALID, "'%s' is no budget\n%s", text, hint);
    memcpy(budget.kind, text, length);
    if (length > 1 && budget.kind[length - 1] == 's')
        budget.kind[length - 1] = '\0';
    if (strcmp(budget.kind, DIFFERENCES) != 0 && !is_outcome_kind(budget.kind)) {
        const char *nearest = text_nearest(budget.kind, outcome_kinds);
        return fail(reterr, ERR_INVALID, "a report has no '%.*s'%s%s%s\n%s", (int)length, text,
                    nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "", hint);
    }
    char *end;
    budget.amount = strtod(colon + 1, &end);
    budget.is_percent = *end == '%';
    if (end == colon + 1 || strcmp(end, budget.is_percent ? "%" : "") != 0 ||
        !(budget.amount > -1e9 && budget.amount < 1e9))
        return fail(reterr, ERR_INVALID, "'%s' is no budget\n%s", text, hint);
    *ret_budget = budget;
    return ERR_NONE;
}

bool backtest_budget_holds(const struct backtest_budget *budget, const json_t *report, char *ret_line, size_t size)
{
    int64_t before = 0, after = 0;
    if (strcmp(budget->kind, DIFFERENCES) == 0) {
        size_t index;
        json_t *total;
        json_array_foreach (json_array_at(report, "rules"), index, total) {
            after += differences_of(total);
            before += json_int(total, "before", 0);
        }
        double allowed = budget->is_percent ? (double)before * budget->amount / 100 : budget->amount;
        snprintf(ret_line, size, "budget exceeded: %s, but %" PRId64 " of %s differ", budget->text, after,
                 text_counted(before, "effect").text);
        return (double)after <= allowed;
    }
    const json_t *sums = json_object_at(json_object_at(report, "kinds"), budget->kind);
    before = json_int(sums, "before", 0);
    after = json_int(sums, "after", 0);
    double limit = (double)before + (budget->is_percent ? (double)before * budget->amount / 100 : budget->amount);
    snprintf(ret_line, size, "budget exceeded: %s, but there are %" PRId64 " instead of %" PRId64 " (%+" PRId64 ")",
             budget->text, after, before, after - before);
    return budget->amount < 0 ? (double)after >= limit : (double)after <= limit;
}
