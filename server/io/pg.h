/* PostgreSQL by libpq, in the two forms the actors need:
 *
 *   struct pg        one blocking connection, for threads that do one thing at a time (engine, deliver, commands);
 *   struct pg_async  one connection on an event loop with at most one statement in flight, for ingest.
 *
 * Values travel in `struct pg_value`; results are read by row and column. All SQL text lives in store/.
 */
#ifndef IO_PG_H
#define IO_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"

/* One parameter. Arrays are built in PostgreSQL's binary form; an element with `is_null` is NULL. */
enum pg_kind {
    PG_TEXT, /* text, also for jsonb, timestamptz, numeric, uuid parameters (the server casts) */
    PG_INT8, /* bigint */
    PG_BOOL,
    PG_BYTEA,
    PG_INT8_ARRAY,  /* bigint[] */
    PG_TEXT_ARRAY,  /* text[] */
    PG_BYTEA_ARRAY, /* bytea[] */
    PG_UUID_ARRAY   /* uuid[] */
};

struct pg_value {
    enum pg_kind kind;
    bool is_null;
    int64_t number;             /* PG_INT8, PG_BOOL */
    struct bytes bytes;         /* PG_TEXT, PG_BYTEA */
    const int64_t *numbers;     /* PG_INT8_ARRAY */
    const struct bytes *slices; /* PG_TEXT_ARRAY, PG_BYTEA_ARRAY, PG_UUID_ARRAY (16 bytes each); ptr == NULL is NULL */
    size_t count;               /* of the arrays */
};

#define PG_VALUE_TEXT(text) ((struct pg_value){ .kind = PG_TEXT, .is_null = (text) == NULL, .bytes = bytes_of(text) })
#define PG_VALUE_BYTES(b) ((struct pg_value){ .kind = PG_TEXT, .is_null = (b).ptr == NULL, .bytes = (b) })
#define PG_VALUE_INT8(n) ((struct pg_value){ .kind = PG_INT8, .number = (n) })
#define PG_VALUE_BOOL(b) ((struct pg_value){ .kind = PG_BOOL, .number = (b) })
#define PG_VALUE_BYTEA(b) ((struct pg_value){ .kind = PG_BYTEA, .is_null = (b).ptr == NULL, .bytes = (b) })
#define PG_VALUE_INT8S(p, n) ((struct pg_value){ .kind = PG_INT8_ARRAY, .numbers = (p), .count = (n) })
#define PG_VALUE_TEXTS(p, n) ((struct pg_value){ .kind = PG_TEXT_ARRAY, .slices = (p), .count = (n) })
#define PG_VALUE_BYTEAS(p, n) ((struct pg_value){ .kind = PG_BYTEA_ARRAY, .slices = (p), .count = (n) })
#define PG_VALUE_UUIDS(p, n) ((struct pg_value){ .kind = PG_UUID_ARRAY, .slices = (p), .count = (n) })

/* A result: rows of text-format columns. Freed by its owner with pg_result_free. */
struct pg_result;
size_t pg_rows(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, size_t row, size_t column);
struct bytes pg_text(const struct pg_result *r, size_t row, size_t column); /* borrowed; empty for NULL */
int64_t pg_int8(const struct pg_result *r, size_t row, size_t column);      /* 0 for NULL */
bool pg_bool(const struct pg_result *r, size_t row, size_t column);
size_t pg_affected(const struct pg_result *r);

/* What a column holds, for who makes a document of a row. */
enum pg_column {
    PG_COLUMN_TEXT, /* and whatever else the others are not */
    PG_COLUMN_INTEGER,
    PG_COLUMN_BOOL,
    PG_COLUMN_TIME,  /* timestamptz */
    PG_COLUMN_JSON,  /* json, jsonb */
    PG_COLUMN_TEXTS, /* text[] */
};
size_t pg_columns(const struct pg_result *r);
const char *pg_column_name(const struct pg_result *r, size_t column); /* borrowed */
enum pg_column pg_column_kind(const struct pg_result *r, size_t column);
void pg_result_free(struct pg_result **r);

/* --- blocking ------------------------------------------------------------------------------------------------- */

struct pg;

struct pg_settings {
    const char *conninfo;          /* a libpq URL or keyword string; "" uses the PG* environment */
    const char *application_name;  /* shown in pg_stat_activity, e.g. "answerd engine" */
    msec_t statement_timeout_ms;   /* 0: none; see pg_run */
    msec_t idle_in_transaction_ms; /* after which the server ends the session of a transaction left open; 0: never */
    bool writes;                   /* a server that takes no writes, like a standby, is as good as none */
    const struct pg
        *beside; /* of several servers in `conninfo`, the one that this is with; NULL: any; not for pg_async */
};

/* What error.sqlstate says of connections that pg_open() did not get. */
#define PG_WRONG_PASSWORD "28P01" /* or none where one is needed */
#define PG_READ_ONLY "25006"      /* `writes` was asked for */
#define PG_NOT_NOW "57P03"        /* it is there, and starts, stops, or has no room for more connections */

/* Can `conninfo` be read: a libpq URL, keywords, the name of a database, or ""? The error does not show it. Asks
 * nobody. */
err_t pg_check_conninfo(const char *conninfo, struct error *reterr) MUST_CHECK;
/* Connects, sets time zone UTC, times in ISO 8601, the timeouts and a quiet notice processor. `conninfo` may name
 * several hosts. */
err_t pg_open(const struct pg_settings *settings, struct pg **ret_pg, struct error *reterr) MUST_CHECK;
void pg_close(struct pg *pg);           /* NULL is fine; an open transaction is rolled back by the server */
bool pg_is_broken(const struct pg *pg); /* after ERR_LOST: close it and open another */

/* Runs one statement; it is prepared on first use under the address of `sql`, so `sql` must be a constant.
 * ERR_LOST: the connection broke, the outcome is unknown. So it is when the server fell silent: with a statement
 * timeout, a server that says nothing for a second is asked by another connection whether it is there. One that does
 * not answer that either is left after about three seconds in all; one that does has until a little after the timeout.
 * ERR_CONFLICT: serialization failure, deadlock, lock not available or unique violation. ERR_BUSY: out of connections,
 * disk full, read-only. ERR_TIMEOUT: the statement timeout; rolled back. ERR_INVALID: everything else that the server
 * refused, with sqlstate. `ret_result` may be NULL.
 */
err_t pg_run(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, struct pg_result **ret_result,
             struct error *reterr) MUST_CHECK;

/* One of several statements that are sent together; `sql` as for pg_run. */
struct pg_statement {
    const char *sql;
    const struct pg_value *values;
    size_t count;
};

#define PG_MAX_TOGETHER 16

/* Runs statements in their order and waits for the server once. The first that fails is the error; those behind it are
 * not run, and a transaction that is open can only be rolled back. Without one they are a transaction of their own.
 * `ret_results` has room for a result of each, or is NULL. */
err_t pg_run_together(struct pg *pg, const struct pg_statement *statements, size_t count,
                      struct pg_result **ret_results, struct error *reterr) MUST_CHECK;

/* Several statements in one text, no parameters (migrations, BEGIN, COMMIT, ROLLBACK). It may take as long as it takes
 * when the connection has no statement timeout. */
err_t pg_script(struct pg *pg, const char *sql, struct error *reterr) MUST_CHECK;

/* --- on an event loop ------------------------------------------------------------------------------------------ */

struct loop;
struct pg_async;

/* Connects and, after a loss, connects again by itself with back-off. */
struct pg_async *pg_async_new(struct loop *loop, const struct pg_settings *settings);
void pg_async_free(struct pg_async *pg);           /* completions still owed are called with ERR_LOST first */
bool pg_async_is_ready(const struct pg_async *pg); /* connected and nothing in flight */
bool pg_async_is_connected(const struct pg_async *pg);

/* `result` is valid during the call only. Called exactly once, later, on the loop's thread. */
typedef void pg_async_done(const struct pg_result *result, const struct error *e, void *arg);

/* Runs one statement (its own transaction). Values are copied before it returns. ERR_BUSY when not ready. After
 * `deadline_ms` the connection is dropped and `done` gets ERR_TIMEOUT: outcome unknown. */
err_t pg_async_run(struct pg_async *pg, const char *sql, const struct pg_value *values, size_t count,
                   msec_t deadline_ms, pg_async_done *done, void *arg) MUST_CHECK;

/* Calls `ready` on the loop's thread each time the connection becomes usable: after it was made, and after a statement
 * whose `done` did not start the next one. */
void pg_async_on_ready(struct pg_async *pg, void (*ready)(void *arg), void *arg);

/* Calls `trouble` each time the connection breaks or cannot be made; for the log. */
void pg_async_on_trouble(struct pg_async *pg, void (*trouble)(const struct error *e, void *arg), void *arg);

#endif
