/* What pg.c, pg_probe.c, pg_value.c and pg_async.c share. Not for others: the only header that includes libpq. */
#ifndef IO_PG_INTERNAL_H
#define IO_PG_INTERNAL_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "io/pg.h"

struct pg_result {
    PGresult *result;
};

/* --- parameters (pg_value.c) --- */

#define PG_MAX_VALUES 64

/* Values in the form that libpq takes. Holds copies of everything. */
struct pg_params {
    int count;
    Oid types[PG_MAX_VALUES];
    const char *values[PG_MAX_VALUES];
    int lengths[PG_MAX_VALUES];
    int formats[PG_MAX_VALUES];
    struct buf bytes;
};

/* ERR_TOO_BIG when the values are larger than PostgreSQL takes in one message. */
err_t pg_params_init(struct pg_params *params, const struct pg_value *values, size_t count,
                     struct error *reterr) MUST_CHECK;
void pg_params_done(struct pg_params *params);

/* --- statements that a connection has prepared (pg_value.c) --- */

struct pg_statements {
    const char **sql; /* open addressing by address; NULL is free */
    size_t capacity;  /* a power of two, or 0 */
    size_t count;
};

void pg_statements_done(struct pg_statements *statements);
bool pg_statements_has(const struct pg_statements *statements, const char *sql);
void pg_statements_add(struct pg_statements *statements, const char *sql);

#define PG_STATEMENT_NAME_SIZE 32
void pg_statement_name(const char *sql, char ret_name[PG_STATEMENT_NAME_SIZE]);

/* --- connections (pg.c) --- */

struct pg {
    PGconn *connection;
    struct pg_statements statements;
    msec_t patience_ms; /* with one statement; 0: for ever */
    bool given_up;
    struct metric *round_trips;
};

/* The next result of what was sent, or NULL; `*ret_silent` when the server did not answer within the connection's
 * patience. */
PGresult *pg_take(struct pg *pg, bool *ret_silent);

/* Prepares the statement under this name, unless that was done before; one exchange. */
err_t pg_prepare(struct pg *pg, const char *sql, const char *name, const struct pg_params *params,
                 struct error *reterr) MUST_CHECK;

/* The counter of exchanges with the server of sessions with this name ("answerd engine" counts as engine). */
struct metric *pg_round_trips(const char *application_name);

/* Connects and sets up the session; blocks. Any thread. */
err_t pg_connect(const struct pg_settings *settings, PGconn **ret_connection, struct error *reterr) MUST_CHECK;

/* Does the server that `connection` is with still answer to a new one (pg_probe.c)? Blocks, for up to two seconds. */
bool pg_server_answers(PGconn *connection);

/* What `result` (may be NULL) of a statement on `connection` means; ERR_NONE when it succeeded. */
err_t pg_judge(PGconn *connection, const PGresult *result, struct error *reterr) MUST_CHECK;

#endif
