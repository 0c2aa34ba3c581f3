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

/* Begins the transaction and opens the events received in [since, until). `ret_count`: about how many
 * there are, for which all of them are read once more; NULL when nobody wants to know. */
err_t backtest_store_open(struct pg *pg, msec_t since, msec_t until, bool keep, struct backtest_stream **ret_stream,
                          int64_t *ret_count, struct error *reterr) MUST_CHECK;

/* The texts of a row, borrowed until the next call. */
enum backtest_text {
    BACKTEST_SEED, /* JSON; with the first event of a contact that was known before, else empty */
    BACKTEST_DOC,  /* JSON */
    BACKTEST_TYPE,
    BACKTEST_SOURCE,
    BACKTEST_KEY,
    BACKTEST_RECEIVED_AT,
    BACKTEST_OCCURRED_AT,
    BACKTEST_CONVERSATION, /* JSON: topic and reference of the conversation that the event names, else empty */
    BACKTEST_TEXT_COUNT,
};

struct backtest_row {
    int64_t contact_id; /* 0: nobody known */
    int64_t group_id;   /* the same for all events of one contact, which follow each other */
    int64_t id;         /* of the event */
    int64_t lane;
    struct bytes texts[BACKTEST_TEXT_COUNT];
};
/* The event as rules see it; new reference. NULL when the document cannot be read. */
json_t *backtest_row_event(const struct backtest_row *row);
/* The next event; ERR_NOT_FOUND at the end. */
err_t backtest_store_next(struct backtest_stream *stream, struct backtest_row *ret_row,
                          struct error *reterr) MUST_CHECK;
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
err_t backtest_store_begin_run(struct pg *pg, const struct backtest_run *run, int64_t *ret_id,
                               struct error *reterr) MUST_CHECK;
/* `rows`: array of objects with the columns of backtest_effect, numbers included. */
err_t backtest_store_add(struct pg *pg, int64_t run_id, const json_t *rows, struct error *reterr) MUST_CHECK;
err_t backtest_store_end_run(struct pg *pg, int64_t run_id, int64_t events, const json_t *report,
                             struct error *reterr) MUST_CHECK;

#endif
