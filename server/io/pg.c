#include "io/pg_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heartbeat.h"
#include "base/macros.h"
#include "base/memory.h"

/* The server ends a statement at its timeout; one that says nothing even then is stopped, cut off or gone. */
#define SILENCE_MS 3000
#define SET_UP_MS 5000
#define PG_TOO_MANY_HINT                                                                                               \
    "\nHINT: raise max_connections of PostgreSQL, lower engine.threads or ingest.threads, or end other clients; see "  \
    "pg_stat_activity"
/* After so long without an answer, and then twice as long each time, the server is asked whether it is there. */
#define PROBE_AFTER_MS 1000

struct metric *pg_round_trips(const char *application_name)
{
    static const char program[] = "answerd ";
    struct bytes name = bytes_of(application_name ? application_name : "");
    const char *actor = bytes_start_with(name, bytes_of(program)) ? application_name + sizeof(program) - 1 : "other";
    char labels[96];
    snprintf(labels, sizeof(labels), "actor=\"%.60s\"", actor);
    return metric_counter("answerd_database_round_trips_total",
                          "Times that somebody waited for an answer of PostgreSQL, by who it was.", labels);
}

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

/* --- waiting ---------------------------------------------------------------------------------------------------- */

/* How long an answer is waited for; steady clock. */
struct patience {
    msec_t deadline; /* 0: never */
    msec_t probe_at; /* 0: never */
    msec_t probe_after;
};

static struct patience patience_of(msec_t timeout_ms, bool probes)
{
    msec_t now = clock_steady();
    return (struct patience){
        .deadline = timeout_ms > 0 ? now + timeout_ms : 0,
        .probe_at = timeout_ms > 0 && probes ? now + PROBE_AFTER_MS : 0,
        .probe_after = PROBE_AFTER_MS,
    };
}

static bool has_data(PGconn *connection)
{
    struct pollfd look = { .fd = PQsocket(connection), .events = POLLIN };
    return poll(&look, 1, 0) > 0;
}

/* The server has been silent. */
static bool is_worth_waiting(PGconn *connection, struct patience *patience)
{
    bool answers = pg_server_answers(connection);
    patience->probe_after *= 2;
    patience->probe_at = clock_steady() + patience->probe_after;
    return answers || has_data(connection);
}

/* Until the socket can be read, or written when there is something left to send. False: waiting is in vain. */
static bool wait_for_socket(PGconn *connection, bool sends, struct patience *patience)
{
    for (;;) {
        msec_t now = clock_steady();
        if (patience->deadline != 0 && now >= patience->deadline)
            return false;
        if (patience->probe_at != 0 && now >= patience->probe_at && !is_worth_waiting(connection, patience))
            return false;
        msec_t until = patience->probe_at != 0 && patience->probe_at < patience->deadline ? patience->probe_at
                                                                                          : patience->deadline;
        msec_t left = until == 0 ? -1 : until - clock_steady();
        if (until != 0 && left < 0)
            left = 0;
        struct pollfd wait = { .fd = PQsocket(connection), .events = (short)(POLLIN | (sends ? POLLOUT : 0)) };
        heartbeat_rest();
        int ready = poll(&wait, 1, left > 60000 ? 60000 : (int)left);
        heartbeat_beat();
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true; /* also when it broke: libpq finds out */
    }
}

/* The result of what was sent: the first failure, or the last success. NULL with `*ret_silent`: the server did not
 * answer while there was patience. libpq's own PQexec would wait for a stopped server for ever. */
static PGresult *take_result(PGconn *connection, struct patience patience, bool *ret_silent)
{
    PGresult *kept = NULL;
    *ret_silent = false;
    for (;;) {
        int unsent = PQflush(connection);
        while (unsent > 0 || (unsent == 0 && PQisBusy(connection))) {
            if (!wait_for_socket(connection, unsent > 0, &patience)) {
                PQclear(kept);
                *ret_silent = true;
                return NULL;
            }
            if (PQconsumeInput(connection) == 0)
                break;
            unsent = unsent > 0 ? PQflush(connection) : 0;
        }
        PGresult *next = PQgetResult(connection);
        if (!next)
            return kept;
        ExecStatusType status = PQresultStatus(next);
        if (kept && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
            PQclear(next);
        } else {
            PQclear(kept);
            kept = next;
        }
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH)
            return kept; /* no statement of ours does that */
    }
}

/* --- connecting ------------------------------------------------------------------------------------------------- */

/* Times are UTC everywhere, and shown in one form. A commit is only reported when it is on the disk, and each statement
 * sees what others have committed before it: a database that was tuned otherwise is set right for our sessions, because
 * a webhook that was answered 200 must not be lost, and who leaves a line must see who stands behind it. */
static const char session_sql[] = "SELECT current_setting('transaction_read_only')::boolean, "
                                  "set_config('TimeZone', 'UTC', false), "
                                  "set_config('DateStyle', 'ISO', false), "
                                  "set_config('statement_timeout', '%lld', false), "
                                  "set_config('idle_in_transaction_session_timeout', '%lld', false), "
                                  "set_config('bytea_output', 'hex', false), "
                                  "set_config('default_transaction_isolation', 'read committed', false), "
                                  "CASE WHEN current_setting('synchronous_commit') = 'off' "
                                  "THEN set_config('synchronous_commit', 'on', false) END";

static void put_sqlstate(struct error *reterr, const char *sqlstate)
{
    if (reterr)
        snprintf(reterr->sqlstate, sizeof(reterr->sqlstate), "%s", sqlstate);
}

static err_t set_up_session(PGconn *connection, const struct pg_settings *settings, struct error *reterr)
{
    char sql[sizeof(session_sql) + 64];
    char text[512] = "the server does not answer";
    snprintf(sql, sizeof(sql), session_sql, (long long)settings->statement_timeout_ms,
             (long long)settings->idle_in_transaction_ms);
    bool silent = false;
    PGresult *result = NULL;
    if (PQsetnonblocking(connection, 1) == 0 && PQsendQuery(connection, sql) == 1)
        result = take_result(connection, patience_of(SET_UP_MS, false), &silent);
    bool set_up = PQresultStatus(result) == PGRES_TUPLES_OK;
    bool reads_only = set_up && PQgetvalue(result, 0, 0)[0] == 't';
    if (!set_up && !silent)
        one_line(PQerrorMessage(connection), text, sizeof(text));
    PQclear(result);
    if (!set_up)
        return fail(reterr, ERR_LOST, "cannot set up the database session: %s", text);
    if (reads_only && settings->writes) {
        fail(reterr, ERR_LOST, "the database takes no writes: it is a standby, or read-only");
        put_sqlstate(reterr, PG_READ_ONLY);
        return ERR_LOST;
    }
    return ERR_NONE;
}

/* As libpq takes it: anything else is the name of a database. */
static bool is_connection_string(const char *conninfo)
{
    return strchr(conninfo, '=') || bytes_start_with(bytes_of(conninfo), BYTES_LITERAL("postgresql://")) ||
           bytes_start_with(bytes_of(conninfo), BYTES_LITERAL("postgres://"));
}

/* A password whose '@' or '/' was not escaped ends up in the host or the port, which messages show. */
static bool option_is_plausible(const PQconninfoOption *option)
{
    if (strcmp(option->keyword, "host") == 0)
        return !strchr(option->val, '@');
    if (strcmp(option->keyword, "port") == 0)
        return strspn(option->val, "0123456789,") == strlen(option->val);
    return true;
}

/* libpq's own words on what it cannot read quote it, the password as well: so it is read here before. */
err_t pg_check_conninfo(const char *conninfo, struct error *reterr)
{
    if (!is_connection_string(conninfo) && !strstr(conninfo, "://"))
        return ERR_NONE;
    char *problem = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &problem);
    bool readable = options != NULL;
    for (PQconninfoOption *option = options; option && option->keyword; option++) {
        if (!option->val)
            continue;
        readable = readable && option_is_plausible(option);
        explicit_bzero(option->val, strlen(option->val));
    }
    PQconninfoFree(options);
    if (problem)
        explicit_bzero(problem, strlen(problem));
    PQfreemem(problem);
    if (readable)
        return ERR_NONE;
    return fail(
        reterr, ERR_INVALID,
        "the address of the database cannot be read; it is not shown, for it may hold a password\n"
        "HINT: write postgresql://user:password@host/name with %%40 for '@' and %%2F for '/' in the password, or "
        "host=… dbname=… password='…' with single quotes around spaces");
}

/* libpq keeps the server's code of a connection that failed to itself; the words are those of English servers. */
static void fail_connecting(PGconn *connection, struct error *reterr)
{
    char text[512];
    one_line(PQerrorMessage(connection), text, sizeof(text));
    const char *hint = "";
    bool is_refused = strstr(text, "authentication failed") || strstr(text, "no pg_hba.conf entry");
    bool lacks_password = PQconnectionNeedsPassword(connection) != 0;
    bool is_full = strstr(text, "too many clients") || strstr(text, "remaining connection slots") ||
                   strstr(text, "too many connections for ");
    if (lacks_password)
        hint = "\nHINT: the server asks for a password and none was given: in database.url, PGPASSWORD or PGPASSFILE";
    else if (is_refused)
        hint =
            "\nHINT: the role and its password are in database.url or the PG* variables, which are read once, when the "
            "program starts; the server's log says which line of pg_hba.conf refused";
    else if (is_full)
        hint = PG_TOO_MANY_HINT;
    fail(reterr, ERR_LOST, "cannot connect to the database: %s%s", text, hint);
    if (is_refused || lacks_password)
        put_sqlstate(reterr, PG_WRONG_PASSWORD);
    else if (is_full || strstr(text, "the database system is "))
        put_sqlstate(reterr, PG_NOT_NOW);
}

err_t pg_connect(const struct pg_settings *settings, PGconn **ret_connection, struct error *reterr)
{
    bool has_conninfo = settings->conninfo && settings->conninfo[0] != '\0';
    const char *name = settings->application_name ? settings->application_name : "answerd";
    if (has_conninfo) {
        err_t err = pg_check_conninfo(settings->conninfo, reterr);
        if (err != ERR_NONE)
            return err;
    }
    /* A later keyword wins, and `dbname` is expanded where it stands: what comes before it is our default, what comes
     * after it is our demand. A peer that vanished is noticed within ten seconds though nothing is asked of it;
     * `connect_timeout` is the time that each of several hosts may take. */
    const char *keywords[] = { "connect_timeout",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "tcp_user_timeout",
                               "fallback_application_name",
                               "client_encoding",
                               "dbname",
                               "host",
                               "hostaddr",
                               "port",
                               NULL };
    PGconn *beside = settings->beside ? settings->beside->connection : NULL;
    const char *values[] = { "3",
                             "5",
                             "2",
                             "3",
                             "10000",
                             name,
                             "UTF8",
                             has_conninfo ? settings->conninfo : NULL,
                             beside ? PQhost(beside) : NULL,
                             beside ? PQhostaddr(beside) : NULL,
                             beside ? PQport(beside) : NULL,
                             NULL };
    heartbeat_rest();
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    heartbeat_beat();
    if (!connection)
        abort();
    if (PQstatus(connection) != CONNECTION_OK) {
        fail_connecting(connection, reterr);
        PQfinish(connection);
        return ERR_LOST;
    }
    PQsetNoticeReceiver(connection, drop_notice, NULL);
    err_t result = set_up_session(connection, settings, reterr);
    if (result != ERR_NONE) {
        PQfinish(connection);
        return result;
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
        { "42501", ERR_BUSY },     /* rights were taken from our role: it is not about what we work on */
        { "42P01", ERR_BUSY },     /* tables or functions are gone: somebody restores a backup */
        { "42883", ERR_BUSY },     { "3F000", ERR_BUSY },
        { "57014", ERR_TIMEOUT }, /* statement timeout: it was rolled back */
        { "57P01", ERR_LOST },    /* terminated by an administrator */
        { "57P02", ERR_LOST },    /* crash of another session */
        { "57P05", ERR_LOST },    /* idle session timeout */
        { "25P03", ERR_LOST },    /* idle transaction timeout */
        { "08", ERR_LOST },       /* connection exceptions */
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
    if (strcmp(sqlstate, "42501") == 0)
        fail(reterr, code,
             "the database refused: %s\n"
             "HINT: this is '%s'; who owns the tables says GRANT answerd_app TO it, and runs answerd migrate",
             text, PQuser(connection));
    else
        fail(reterr, code, "the database refused: %s%s", text,
             strcmp(sqlstate, "53300") == 0 ? PG_TOO_MANY_HINT
             : strcmp(sqlstate, "53100") == 0
                 ? "\nHINT: the disk of the database is full; what it refused is tried again"
                 : "");
    put_sqlstate(reterr, sqlstate);
    return code;
}

/* --- running ---------------------------------------------------------------------------------------------------- */

err_t pg_open(const struct pg_settings *settings, struct pg **ret_pg, struct error *reterr)
{
    PGconn *connection;
    err_t result = pg_connect(settings, &connection, reterr);
    if (result != ERR_NONE)
        return result;
    struct pg *pg = memory_new(sizeof(*pg));
    pg->connection = connection;
    pg->round_trips = pg_round_trips(settings->application_name);
    pg->patience_ms = settings->statement_timeout_ms > 0 ? settings->statement_timeout_ms + SILENCE_MS : 0;
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
    return pg->given_up || PQstatus(pg->connection) != CONNECTION_OK;
}

PGresult *pg_take(struct pg *pg, bool *ret_silent)
{
    return take_result(pg->connection, patience_of(pg->patience_ms, true), ret_silent);
}

/* What came of a statement that was sent (`sent` is what libpq said to it); the result is the caller's. */
static err_t conclude(struct pg *pg, int sent, PGresult **ret_result, struct error *reterr)
{
    bool silent = false;
    PGresult *result = NULL;
    metric_add(pg->round_trips, 1);
    msec_t asked = clock_steady();
    if (sent == 1)
        result = pg_take(pg, &silent);
    *ret_result = result;
    if (silent) {
        pg->given_up = true;
        return fail(reterr, ERR_LOST, "the database did not answer within %lld ms",
                    (long long)(clock_steady() - asked));
    }
    return pg_judge(pg->connection, result, reterr);
}

err_t pg_prepare(struct pg *pg, const char *sql, const char *name, const struct pg_params *params, struct error *reterr)
{
    if (pg_statements_has(&pg->statements, sql))
        return ERR_NONE;
    PGresult *result;
    err_t judged =
        conclude(pg, PQsendPrepare(pg->connection, name, sql, params->count, params->types), &result, reterr);
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
    result = pg_prepare(pg, sql, name, &params, reterr);
    PGresult *rows = NULL;
    if (result == ERR_NONE) {
        int sent =
            PQsendQueryPrepared(pg->connection, name, params.count, params.values, params.lengths, params.formats, 0);
        result = conclude(pg, sent, &rows, reterr);
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
    PGresult *result;
    err_t judged = conclude(pg, PQsendQuery(pg->connection, sql), &result, reterr);
    PQclear(result);
    return judged;
}
