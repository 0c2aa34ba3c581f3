/* The threads of a backtest. Each has its own rule sets and takes whole contacts, so that a contact's events stay in
 * order; what comes out is the same whatever their number is.
 */
#ifndef COMMANDS_BACKTEST_CREW_H
#define COMMANDS_BACKTEST_CREW_H

#include "domain/backtest.h"
#include "store/backtest_store.h"

struct crew;

struct crew_settings {
    struct backtest_settings backtest; /* with the rule sets of the first thread */
    const struct rule_sources *before; /* where the others load theirs from */
    const struct rule_sources *after;
    struct rule_limits limits;
    msec_t since;   /* crons fire from then on */
    msec_t until;   /* how long each contact's world goes on */
    size_t threads; /* 0: everything is done by the caller's thread, on_difference included */
};

/* Fails when rules do not load once more, or when the system has no threads. */
err_t crew_start(const struct crew_settings *settings, struct crew **ret_crew, struct error *reterr) MUST_CHECK;
/* The next event, contact by contact; waits while there is too much to do. */
void crew_add(struct crew *crew, const struct backtest_row *row);

struct crew_result {
    int64_t events; /* that were taken */
    int64_t contacts;
    json_t *report; /* new reference */
};
/* Waits until everything is done, and frees the crew. */
struct crew_result crew_finish(struct crew *crew);

#endif
