/* The connection of an event loop: connect, one statement at a time, reconnect.
 *
 * Connecting happens on a thread of its own that ends with it. libpq can connect without blocking, except for looking
 * up the name of the host and for what happens inside TLS; and a name server that does not answer must not keep the
 * loop from telling its clients "503, try again later".
 */
#include "io/pg_internal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/backoff.h"
#include "base/macros.h"
#include "base/memory.h"
#include "io/crypto.h"
#include "io/loop.h"

/* One attempt to connect. Shared by the loop's thread and the connecting one; the last of both frees it. */
struct connecting {
    pthread_mutex_t lock;
    unsigned owners;
    bool abandoned;              /* nobody wants the connection any more */
    int finished_fd;             /* an eventfd that the loop watches and closes; not to be touched once abandoned */
    struct pg_settings settings; /* with texts of its own */
    PGconn *connection;          /* the result, when `problem.code` is ERR_NONE */
    struct error problem;
};

enum state {
    WAITING,    /* for the back-off timer */
    CONNECTING, /* the thread is at work */
    IDLE,
    PREPARING,
    RUNNING,
    BROKEN, /* found inside a call of our user; the `soon` timer goes on from here */
};

struct pg_async {
    struct loop *loop;
    struct pg_settings settings; /* with texts of its own */
    enum state state;

    struct connecting *connecting;
    struct event *connected; /* on connecting->finished_fd */
    unsigned attempts;       /* in a row that failed */

    PGconn *connection;
    struct event *readable;
    struct event *writable;
    struct pg_statements statements;
    struct metric *round_trips;

    /* What is in flight; `done` is NULL when nothing is. */
    pg_async_done *done;
    void *done_arg;
    const char *sql;
    struct pg_params params;
    PGresult *result; /* the first one; a failure replaces a success */

    struct loop_timer *retry;
    struct loop_timer *deadline;
    struct loop_timer *soon;
    void (*ready)(void *arg);
    void *ready_arg;
    void (*trouble)(const struct error *e, void *arg);
    void *trouble_arg;
};

static const msec_t retry_base_ms = 100;
static const msec_t retry_max_ms = 2000;

static struct pg_settings settings_copy(const struct pg_settings *settings)
{
    struct pg_settings copy = *settings;
    copy.beside = NULL; /* it may be closed before this one connects again */
    copy.conninfo = memory_text(settings->conninfo ? settings->conninfo : "");
    copy.application_name = memory_text(settings->application_name ? settings->application_name : "answerd");
    return copy;
}

static void settings_done(struct pg_settings *settings)
{
    free((char *)(uintptr_t)settings->conninfo);
    free((char *)(uintptr_t)settings->application_name);
}

/* --- connecting ------------------------------------------------------------------------------------------------- */

static void connecting_release(struct connecting *c)
{
    pthread_mutex_lock(&c->lock);
    bool last = --c->owners == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    if (c->connection)
        PQfinish(c->connection);
    settings_done(&c->settings);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void *connect_thread(void *arg)
{
    struct connecting *c = arg;
    PGconn *connection = NULL;
    struct error problem = { 0 };
    err_t ignored_result = pg_connect(&c->settings, &connection, &problem);
    (void)ignored_result; /* it is in `problem` */
    pthread_mutex_lock(&c->lock);
    c->connection = connection;
    c->problem = problem;
    if (!c->abandoned) {
        uint64_t one = 1;
        ssize_t ignored = write(c->finished_fd, &one, sizeof(one));
        (void)ignored;
    }
    pthread_mutex_unlock(&c->lock);
    connecting_release(c);
    return NULL;
}

static void connection_finished(evutil_socket_t fd, short what, void *arg);

static void start_connecting(struct pg_async *pg)
{
    struct connecting *c = memory_new(sizeof(*c));
    pthread_mutex_init(&c->lock, NULL);
    c->owners = 2;
    c->finished_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->settings = settings_copy(&pg->settings);
    pg->connecting = c;
    pg->state = CONNECTING;
    pg->connected = event_new(loop_base(pg->loop), c->finished_fd, EV_READ, connection_finished, pg);
    event_add(pg->connected, NULL);

    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t thread;
    /* The new thread has the signal mask of this one: the program blocks all signals in its actors. */
    if (c->finished_fd < 0 || pthread_create(&thread, &detached, connect_thread, c) != 0)
        abort();
    pthread_attr_destroy(&detached);
}

static void stop_connecting(struct pg_async *pg)
{
    if (!pg->connecting)
        return;
    event_free(pg->connected);
    pg->connected = NULL;
    pthread_mutex_lock(&pg->connecting->lock);
    pg->connecting->abandoned = true;
    /* Here and not by the other thread: epoll forgets the descriptor only at the loop's next turn. */
    close(pg->connecting->finished_fd);
    pthread_mutex_unlock(&pg->connecting->lock);
    connecting_release(pg->connecting);
    pg->connecting = NULL;
}

static void connect_later(struct pg_async *pg, const struct error *e)
{
    pg->state = WAITING;
    pg->attempts++;
    loop_timer_set(pg->retry, backoff_delay(pg->attempts, retry_base_ms, retry_max_ms, crypto_random_u32()));
    if (pg->trouble)
        pg->trouble(e, pg->trouble_arg);
}

static void retry_fired(void *arg)
{
    start_connecting(arg);
}

/* --- in flight -------------------------------------------------------------------------------------------------- */

/* Calls `done`. The state is what it will be afterwards, so that `done` may start the next statement. */
static void complete(struct pg_async *pg, const PGresult *result, const struct error *e)
{
    pg_async_done *done = pg->done;
    if (!done)
        return;
    pg->done = NULL;
    loop_timer_cancel(pg->deadline);
    pg_params_done(&pg->params);
    struct pg_result rows = { .result = (PGresult *)(uintptr_t)result };
    done(result ? &rows : NULL, e, pg->done_arg);
}

/* Closes the connection, tells who waits for a result, and connects again after a while. */
static void lose(struct pg_async *pg, const struct error *e)
{
    /* Both events must be gone before the descriptor is closed: its number may be another one's a moment later. */
    if (pg->readable)
        event_free(pg->readable);
    if (pg->writable)
        event_free(pg->writable);
    pg->readable = NULL;
    pg->writable = NULL;
    PQclear(pg->result);
    pg->result = NULL;
    if (pg->connection)
        PQfinish(pg->connection);
    pg->connection = NULL;
    pg_statements_done(&pg->statements);
    connect_later(pg, e);
    complete(pg, NULL, e);
}

static void lose_as_lost(struct pg_async *pg)
{
    struct error e = { 0 };
    err_t ignored = pg_judge(pg->connection, NULL, &e);
    (void)ignored;
    lose(pg, &e);
}

static void soon_fired(void *arg)
{
    struct pg_async *pg = arg;
    if (pg->state == BROKEN)
        lose_as_lost(pg);
}

static void deadline_fired(void *arg)
{
    struct error e = { 0 };
    fail(&e, ERR_TIMEOUT, "the database did not answer in time");
    lose(arg, &e);
}

/* Asks for another write event when libpq could not send all. False: the connection is lost. */
static bool flush(struct pg_async *pg)
{
    int left = PQflush(pg->connection);
    if (left > 0)
        event_add(pg->writable, NULL);
    return left >= 0;
}

/* Sends what comes next: the PREPARE when the statement is new on this connection, otherwise the statement. */
static bool send_next(struct pg_async *pg)
{
    char name[PG_STATEMENT_NAME_SIZE];
    pg_statement_name(pg->sql, name);
    const struct pg_params *params = &pg->params;
    int sent;
    metric_add(pg->round_trips, 1);
    if (pg_statements_has(&pg->statements, pg->sql)) {
        pg->state = RUNNING;
        sent = PQsendQueryPrepared(pg->connection, name, params->count, params->values, params->lengths,
                                   params->formats, 0);
    } else {
        pg->state = PREPARING;
        sent = PQsendPrepare(pg->connection, name, pg->sql, params->count, params->types);
    }
    return sent == 1 && flush(pg);
}

/* All results of what was sent are here. */
static void handle_result(struct pg_async *pg)
{
    PGresult *result = pg->result;
    pg->result = NULL;
    struct error e = { 0 };
    err_t judged = pg_judge(pg->connection, result, &e);
    /* A server that takes no writes any more is left: another one may, or this one may have become a standby. */
    if (judged == ERR_LOST || strcmp(e.sqlstate, "25006") == 0) {
        PQclear(result);
        lose(pg, &e);
        return;
    }
    if (judged == ERR_NONE && pg->state == PREPARING) {
        PQclear(result);
        pg_statements_add(&pg->statements, pg->sql);
        if (!send_next(pg))
            lose_as_lost(pg);
        return;
    }
    pg->state = IDLE;
    complete(pg, judged == ERR_NONE ? result : NULL, &e);
    PQclear(result);
    if (pg->state == IDLE && pg->ready)
        pg->ready(pg->ready_arg);
}

/* Takes the results that are here without waiting; true when the statement has ended. */
static bool take_results(struct pg_async *pg)
{
    while (!PQisBusy(pg->connection)) {
        PGresult *result = PQgetResult(pg->connection);
        if (!result)
            return true;
        if (!pg->result || PQresultStatus(result) == PGRES_FATAL_ERROR) {
            PQclear(pg->result);
            pg->result = result;
        } else {
            PQclear(result);
        }
    }
    return false;
}

static void connection_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct pg_async *pg = arg;
    if (pg->state == BROKEN)
        return;
    bool alive = PQconsumeInput(pg->connection) == 1 && flush(pg);
    if (pg->state == IDLE) {
        /* Nothing was asked: this is a notice, a parameter that changed, or the end of the connection. */
        PQisBusy(pg->connection);
        if (!alive || PQstatus(pg->connection) == CONNECTION_BAD)
            lose_as_lost(pg);
        return;
    }
    /* Results that came before the loss tell more than "lost": the server may have said why it goes. */
    if (take_results(pg))
        handle_result(pg);
    else if (!alive || PQstatus(pg->connection) == CONNECTION_BAD)
        lose_as_lost(pg);
}

static void connection_finished(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct pg_async *pg = arg;
    pthread_mutex_lock(&pg->connecting->lock);
    PGconn *connection = pg->connecting->connection;
    pg->connecting->connection = NULL;
    struct error problem = pg->connecting->problem;
    pthread_mutex_unlock(&pg->connecting->lock);
    stop_connecting(pg);
    if (!connection) {
        connect_later(pg, &problem);
        return;
    }
    pg->attempts = 0;
    pg->connection = connection;
    pg->state = IDLE;
    struct event_base *base = loop_base(pg->loop);
    pg->readable = event_new(base, PQsocket(connection), EV_READ | EV_PERSIST, connection_event, pg);
    pg->writable = event_new(base, PQsocket(connection), EV_WRITE, connection_event, pg);
    event_add(pg->readable, NULL);
    if (pg->ready)
        pg->ready(pg->ready_arg);
}

/* --- what others call ------------------------------------------------------------------------------------------- */

struct pg_async *pg_async_new(struct loop *loop, const struct pg_settings *settings)
{
    struct pg_async *pg = memory_new(sizeof(*pg));
    pg->loop = loop;
    pg->settings = settings_copy(settings);
    pg->round_trips = pg_round_trips(settings->application_name);
    pg->retry = loop_timer_new(loop, retry_fired, pg);
    pg->deadline = loop_timer_new(loop, deadline_fired, pg);
    pg->soon = loop_timer_new(loop, soon_fired, pg);
    start_connecting(pg);
    return pg;
}

void pg_async_free(struct pg_async *pg)
{
    if (!pg)
        return;
    pg->ready = NULL;
    pg->trouble = NULL;
    stop_connecting(pg);
    struct error e = { 0 };
    fail(&e, ERR_LOST, "the connection to the database was closed");
    lose(pg, &e);
    loop_timer_free(pg->retry);
    loop_timer_free(pg->deadline);
    loop_timer_free(pg->soon);
    settings_done(&pg->settings);
    free(pg);
}

bool pg_async_is_ready(const struct pg_async *pg)
{
    return pg->state == IDLE;
}

bool pg_async_is_connected(const struct pg_async *pg)
{
    return pg->state == IDLE || pg->state == PREPARING || pg->state == RUNNING;
}

err_t pg_async_run(struct pg_async *pg, const char *sql, const struct pg_value *values, size_t count,
                   msec_t deadline_ms, pg_async_done *done, void *arg)
{
    assert(done);
    if (pg->state != IDLE)
        return ERR_BUSY;
    err_t result = pg_params_init(&pg->params, values, count, NULL);
    if (result != ERR_NONE)
        return result;
    pg->sql = sql;
    pg->done = done;
    pg->done_arg = arg;
    loop_timer_set(pg->deadline, deadline_ms);
    if (!send_next(pg)) {
        /* `done` is never called from in here. */
        pg->state = BROKEN;
        loop_timer_set(pg->soon, 0);
    }
    return ERR_NONE;
}

void pg_async_on_ready(struct pg_async *pg, void (*ready)(void *arg), void *arg)
{
    pg->ready = ready;
    pg->ready_arg = arg;
}

void pg_async_on_trouble(struct pg_async *pg, void (*trouble)(const struct error *e, void *arg), void *arg)
{
    pg->trouble = trouble;
    pg->trouble_arg = arg;
}
