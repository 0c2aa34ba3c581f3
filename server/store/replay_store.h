/* Stored events that run again, and stored webhooks that are read again. */
#ifndef STORE_REPLAY_STORE_H
#define STORE_REPLAY_STORE_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"
#include "store/store.h"

struct replay_choice {
    const int64_t *ids; /* NULL: all that fit the rest */
    size_t id_count;
    msec_t since;
    msec_t until;
    const char *source;    /* NULL: any */
    const char *type;      /* NULL: any; "payment.*" is a family */
    const char *condition; /* SQL on event_log, or NULL */
};

/* Chooses events for this connection, in the order they were received. Those that wait to be handled anyway are left
 * out. */
err_t replay_store_select(struct pg *pg, const struct replay_choice *choice, int64_t *ret_count,
                          struct error *reterr) MUST_CHECK;
/* What was chosen: array of {type, source, state, count, first, last}; new reference. */
err_t replay_store_preview(struct pg *pg, json_t **ret_rows, struct error *reterr) MUST_CHECK;
/* The names of rules that one can mean: those in force, and those that had to do with what was chosen; array of texts
 * in their order, new reference. */
err_t replay_store_rules(struct pg *pg, json_t **ret_names, struct error *reterr) MUST_CHECK;
/* A new replay of `count` events; `selection` is an object that tells what was asked for. */
err_t replay_store_begin(struct pg *pg, const json_t *selection, int64_t count, int64_t *ret_id,
                         struct error *reterr) MUST_CHECK;
/* Puts the chosen events from number `first` to `last` (from 1) to work, marked with the replay. */
err_t replay_store_append(struct pg *pg, int64_t replay_id, int64_t first, int64_t last, int64_t *ret_added,
                          struct error *reterr) MUST_CHECK;
/* The same in a transaction that is left open, with their work and cases as an engine would claim them; takes no locks
 * on contacts. End it with engine_store_rollback(). */
err_t replay_store_try(struct pg *pg, const json_t *selection, int64_t first, int64_t last, struct claim *ret_claim,
                       struct error *reterr) MUST_CHECK;

/* --- webhooks --- */

struct stored_webhook {
    int64_t id;
    msec_t received_at;
    struct bytes source; /* borrowed from the page */
    json_t *headers;     /* new reference: names in lower case, without those that hold secrets */
    struct bytes body_hex;
};
/* A page of stored webhooks after `after_id` in the order of ids; an erased one is left out. Rows are read with
 * replay_store_webhook(). */
err_t replay_store_webhooks(struct pg *pg, msec_t since, const char *source, int64_t after_id,
                            struct pg_result **ret_page, struct error *reterr) MUST_CHECK;
err_t replay_store_webhook(const struct pg_result *page, size_t row, struct stored_webhook *ret_webhook,
                           struct error *reterr) MUST_CHECK;
/* Appends those of `events` (canonical, with id and lane) that nobody knew, and notes the parser and its problem (NULL:
 * none). */
err_t replay_store_reparse(struct pg *pg, int64_t webhook_id, const json_t *events, const char *problem, int parser,
                           int64_t *ret_added, struct error *reterr) MUST_CHECK;

#endif
