/* How a backtest's result reads, and whether it keeps to its budgets. */
#ifndef COMMANDS_BACKTEST_REPORT_H
#define COMMANDS_BACKTEST_REPORT_H

#include "base/error.h"
#include "io/json.h"

/* Prints the report of backtest_report() for a person: a line for each rule and kind, then the examples. */
void backtest_print(const json_t *report);

/* One limit: "sends:+5%", "tags:0", "failure:+2", "sends:-10%", "differences:0". */
struct backtest_budget {
    char kind[32]; /* singular, as in the report; "difference" for everything that differs */
    double amount; /* with sign: how many more (or, negative, fewer) are allowed */
    bool is_percent;
    const char *text; /* as given */
};
err_t backtest_budget_parse(const char *text, struct backtest_budget *ret_budget, struct error *reterr) MUST_CHECK;
/* True when the report keeps to it; otherwise `ret_line` says what is exceeded. */
bool backtest_budget_holds(const struct backtest_budget *budget, const json_t *report, char *ret_line, size_t size);

#endif
