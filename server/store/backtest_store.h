/* Recorded events for a backtest, and the tables that keep its result. All in one transaction: without `keep` it is
 * read-only, and what was begun and not finished leaves nothing.
 */
#ifndef STORE_BACKTEST_STORE_H
#define STORE_BACKTEST_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

struct backtest_stream;

/* Begins the transaction and opens the events received in [since, until). `ret_count`: about how many there are. */
err_t backtest_store_open(struct pg *pg, msec_t since, msec_t until, bool keep, struct backtest_stream **ret_stream,
                          int64_t *ret_count, struct error *reterr) MUST_CHECK;

struct backtest_row {
    int64_t contact_id; /* 0: nobody known */
    int64_t group_id;   /* the same for all events of one contact, which follow each other */
    struct bytes seed;  /* JSON, borrowed until the next call; with the first event of a contact that was known before */
    struct bytes event; /* JSON, borrowed until the next call */
};
/* The next event; ERR_NOT_FOUND at the end. */
err_t backtest_store_next(struct backtest_stream *stream, struct backtest_row *ret_row, struct error *reterr) MUST_CHECK;
/* Commits. */
err_t backtest_store_close(struct backtest_stream *stream, struct error *reterr) MUST_CHECK;
void backtest_store_free(struct backtest_stream *stream); /* rolls back what was not closed; NULL is fine */

/* --- with `keep` --- */

struct backtest_run {
    msec_t since;
    msec_t until;
    const char *before_rule_set;
    const char *after_rule_set;
};
err_t backtest_store_begin_run(struct pg *pg, const struct backtest_run *run, int64_t *ret_id, struct error *reterr) MUST_CHECK;
/* `rows`: array of objects with the columns of backtest_effect, numbers included. */
err_t backtest_store_add(struct pg *pg, int64_t run_id, const json_t *rows, struct error *reterr) MUST_CHECK;
err_t backtest_store_end_run(struct pg *pg, int64_t run_id, int64_t events, const json_t *report, struct error *reterr) MUST_CHECK;

#endif
