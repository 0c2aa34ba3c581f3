#include "io/pg_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"

struct pg {
    PGconn *connection;
    struct pg_statements statements;
};

/* --- connecting ------------------------------------------------------------------------------------------------- */

/* PostgreSQL's notices ("relation exists already, skipping") are for a person at a terminal. */
static void drop_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* libpq's messages are sentences over several lines, with a line end. */
static void one_line(const char *message, char *ret_text, size_t size)
{
    size_t length = 0;
    for (const char *c = message; *c && length + 1 < size; c++) {
        bool space = *c == '\n' || *c == '\t' || *c == ' ';
        if (space && (length == 0 || ret_text[length - 1] == ' '))
            continue;
        ret_text[length++] = space ? ' ' : *c;
    }
    while (length > 0 && ret_text[length - 1] == ' ')
        length--;
    ret_text[length] = '\0';
}

/* Times are UTC everywhere. A commit is only reported when it is on the disk: a database that was tuned otherwise is
 * set right for our sessions, because a webhook that was answered 200 must not be lost. */
static const char session_sql[] = "SELECT set_config('TimeZone', 'UTC', false), "
                                  "set_config('statement_timeout', '%lld', false), "
                                  "set_config('bytea_output', 'hex', false), "
                                  "CASE WHEN current_setting('synchronous_commit') = 'off' "
                                  "THEN set_config('synchronous_commit', 'on', false) END";

err_t pg_connect(const char *conninfo, const char *application_name, msec_t statement_timeout_ms,
                 PGconn **ret_connection, struct error *reterr)
{
    bool has_conninfo = conninfo && conninfo[0] != '\0';
    /* A later keyword wins, and `dbname` is expanded where it stands: what comes before it is our default, what comes
     * after it is our demand. A peer that vanished is noticed after about half a minute. */
    const char *keywords[] = { "connect_timeout",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "tcp_user_timeout",
                               "fallback_application_name",
                               "client_encoding",
                               has_conninfo ? "dbname" : NULL,
                               NULL };
    const char *values[] = { "10",   "15",     "5", "3", "30000", application_name ? application_name : "answerd",
                             "UTF8", conninfo, NULL };
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    if (!connection)
        abort();
    char text[512];
    if (PQstatus(connection) != CONNECTION_OK) {
        one_line(PQerrorMessage(connection), text, sizeof(text));
        PQfinish(connection);
        return fail(reterr, ERR_LOST, "cannot connect to the database: %s", text);
    }
    PQsetNoticeReceiver(connection, drop_notice, NULL);
    char sql[sizeof(session_sql) + 32];
    snprintf(sql, sizeof(sql), session_sql, (long long)statement_timeout_ms);
    PGresult *result = PQexec(connection, sql);
    bool set_up = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!set_up)
        one_line(PQerrorMessage(connection), text, sizeof(text));
    PQclear(result);
    if (!set_up) {
        PQfinish(connection);
        return fail(reterr, ERR_LOST, "cannot set up the database session: %s", text);
    }
    *ret_connection = connection;
    return ERR_NONE;
}

/* --- errors ----------------------------------------------------------------------------------------------------- */

static err_t code_of_sqlstate(const char *sqlstate)
{
    /* Appendix A of PostgreSQL's manual; the first two characters are the class. */
    static const struct {
        const char *prefix;
        err_t code;
    } codes[] = {
        { "40", ERR_CONFLICT },    /* serialization failure, deadlock */
        { "55P03", ERR_CONFLICT }, /* lock not available */
        { "23505", ERR_CONFLICT }, /* unique violation */
        { "23P01", ERR_CONFLICT }, /* exclusion violation */
        { "53", ERR_BUSY },        /* out of connections, memory, disk */
        { "25006", ERR_BUSY },     /* read-only: a standby, or a full disk guard */
        { "57P03", ERR_BUSY },     /* starting up or shutting down */
        { "57014", ERR_TIMEOUT },  /* statement timeout: it was rolled back */
        { "57P01", ERR_LOST },     /* terminated by an administrator */
        { "57P02", ERR_LOST },     /* crash of another session */
        { "57P05", ERR_LOST },     /* idle session timeout */
        { "25P03", ERR_LOST },     /* idle transaction timeout */
        { "08", ERR_LOST },        /* connection exceptions */
    };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (bytes_start_with(bytes_of(sqlstate), bytes_of(codes[i].prefix)))
            return codes[i].code;
    return ERR_INVALID;
}

err_t pg_judge(PGconn *connection, const PGresult *result, struct error *reterr)
{
    ExecStatusType status = PQresultStatus(result);
    if (result && (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY))
        return ERR_NONE;
    char text[512];
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (!sqlstate) {
        one_line(PQerrorMessage(connection), text, sizeof(text));
        return fail(reterr, ERR_LOST, "the connection to the database broke: %s", text[0] ? text : "it was closed");
    }
    /* The primary message only: details quote the values, which may be what a customer wrote. */
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    one_line(message ? message : "no message", text, sizeof(text));
    err_t code = PQstatus(connection) == CONNECTION_BAD ? ERR_LOST : code_of_sqlstate(sqlstate);
    fail(reterr, code, "the database refused: %s", text);
    if (reterr)
        snprintf(reterr->sqlstate, sizeof(reterr->sqlstate), "%s", sqlstate);
    return code;
}

/* --- running ---------------------------------------------------------------------------------------------------- */

err_t pg_open(const struct pg_settings *settings, struct pg **ret_pg, struct error *reterr)
{
    PGconn *connection;
    err_t result =
        pg_connect(settings->conninfo, settings->application_name, settings->statement_timeout_ms, &connection, reterr);
    if (result != ERR_NONE)
        return result;
    struct pg *pg = memory_new(sizeof(*pg));
    pg->connection = connection;
    *ret_pg = pg;
    return ERR_NONE;
}

void pg_close(struct pg *pg)
{
    if (!pg)
        return;
    PQfinish(pg->connection);
    pg_statements_done(&pg->statements);
    free(pg);
}

bool pg_is_broken(const struct pg *pg)
{
    return PQstatus(pg->connection) != CONNECTION_OK;
}

static err_t prepare(struct pg *pg, const char *sql, const char *name, const struct pg_params *params,
                     struct error *reterr)
{
    if (pg_statements_has(&pg->statements, sql))
        return ERR_NONE;
    PGresult *result = PQprepare(pg->connection, name, sql, params->count, params->types);
    err_t judged = pg_judge(pg->connection, result, reterr);
    PQclear(result);
    if (judged == ERR_NONE)
        pg_statements_add(&pg->statements, sql);
    return judged;
}

err_t pg_run(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, struct pg_result **ret_result,
             struct error *reterr)
{
    if (pg_is_broken(pg))
        return fail(reterr, ERR_LOST, "the connection to the database broke before");
    struct pg_params params;
    err_t result = pg_params_init(&params, values, count, reterr);
    if (result != ERR_NONE)
        return result;
    char name[PG_STATEMENT_NAME_SIZE];
    pg_statement_name(sql, name);
    result = prepare(pg, sql, name, &params, reterr);
    PGresult *rows = NULL;
    if (result == ERR_NONE) {
        rows = PQexecPrepared(pg->connection, name, params.count, params.values, params.lengths, params.formats, 0);
        result = pg_judge(pg->connection, rows, reterr);
    }
    pg_params_done(&params);
    if (result == ERR_NONE && ret_result) {
        *ret_result = memory_new(sizeof(**ret_result));
        (*ret_result)->result = rows;
    } else {
        PQclear(rows);
    }
    return result;
}

err_t pg_script(struct pg *pg, const char *sql, struct error *reterr)
{
    if (pg_is_broken(pg))
        return fail(reterr, ERR_LOST, "the connection to the database broke before");
    PGresult *result = PQexec(pg->connection, sql);
    err_t judged = pg_judge(pg->connection, result, reterr);
    PQclear(result);
    return judged;
}
