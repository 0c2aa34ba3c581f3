#include "admin/api_worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/heartbeat.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "store/api_store.h"
#include "store/store.h"

#define STATEMENT_TIMEOUT_MS 10000
#define MAX_CALLS 256
#define LOOK_AGAIN_MS 15
#define WATCH_MS 2000
#define CONNECT_RETRY_MS 1000
#define READY_WITHIN_MS 6000

struct call_list {
    struct api_call *first;
    struct api_call **end;
    size_t count;
};

struct api_worker {
    const struct config *config;
    const struct admin_host *host;
    void (*answered)(struct api_call *call, void *arg);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* of `arrived`, `refusing` and `ending` */
    pthread_cond_t changed;
    struct call_list arrived;
    bool refusing; /* calls get 503 from now on */
    bool ending;
    atomic_size_t held;                /* calls between api_worker_add() and `answered` */
    atomic_int_fast64_t database_seen; /* steady clock; 0: away */
    const char *_Atomic trouble;       /* why it is away; a constant text */

    /* Everything below belongs to the thread. */
    struct pg *pg;
    msec_t next_connect;
    msec_t next_watch;
    bool away_logged;
    struct call_list waiting; /* for the engine */
    json_t *paused;           /* sources that were paused at the last look */
};

static void list_init(struct call_list *list)
{
    list->first = NULL;
    list->end = &list->first;
    list->count = 0;
}

static void list_add(struct call_list *list, struct api_call *call)
{
    call->next = NULL;
    *list->end = call;
    list->end = &call->next;
    list->count++;
}

static struct api_call *list_take(struct call_list *list)
{
    struct api_call *call = list->first;
    if (call != NULL) {
        list->first = call->next;
        list->count--;
        if (list->first == NULL) {
            list->end = &list->first;
        }
    }
    return call;
}

static void show_database(bool up)
{
    metric_set(
        metric_gauge("answerd_database_up", "1 while the database answers; else the gauges from it are old.", ""),
        up ? 1 : 0);
}

static void worker_disconnect(struct api_worker *worker)
{
    show_database(false);
    pg_close(worker->pg);
    worker->pg = NULL;
    atomic_store(&worker->database_seen, 0);
}

/* The text of PostgreSQL is for the log only: /readyz asks for no token. */
static const char *trouble_of(const struct error *error)
{
    if (strcmp(error->sqlstate, PG_WRONG_PASSWORD) == 0) {
        return "the database does not take our password";
    }
    if (strcmp(error->sqlstate, PG_READ_ONLY) == 0) {
        return "the database takes no writes: it is a standby, or read-only";
    }
    if (error->sqlstate[0] == '\0' && (error->code == ERR_INVALID || error->code == ERR_NOT_FOUND)) {
        return "the database has a schema that is not the one of this program (answerd migrate)";
    }
    bool is_there = error->code == ERR_BUSY || strcmp(error->sqlstate, PG_NOT_NOW) == 0;
    return is_there ? "the database is starting, overloaded or being restored" : "the database cannot be reached";
}

static void worker_connect(struct api_worker *worker)
{
    if (worker->pg != NULL && !pg_is_broken(worker->pg)) {
        return;
    }
    worker_disconnect(worker);
    if (clock_steady() < worker->next_connect) {
        return;
    }
    worker->next_connect = clock_steady() + CONNECT_RETRY_MS;
    const struct pg_settings settings = {
        .conninfo = worker->config->database.url,
        .application_name = "answerd admin",
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .writes = true,
    };
    struct error error;
    err_t err = pg_open(&settings, &worker->pg, &error);
    if (err == ERR_NONE) {
        err = store_check_schema_fits(worker->pg, &error);
    }
    if (err != ERR_NONE) {
        worker_disconnect(worker);
        atomic_store(&worker->trouble, trouble_of(&error));
        if (!worker->away_logged) {
            log_warn("database is away", "reason='%s'", error.text);
        }
        worker->away_logged = true;
        return;
    }
    worker->away_logged = false;
    worker->next_watch = 0;
}

static void set_gauge(const char *name, const char *help, const char *labels, double value)
{
    metric_set(metric_gauge(name, help, labels), value);
}

static void show_gauges(struct api_worker *worker, const json_t *gauges)
{
    static const struct {
        const char *key;
        const char *name;
        const char *help;
    } shown[] = {
        { "work", "answerd_work_waiting", "Events that wait for the engine; beyond 100000 at most so many." },
        { "work_oldest_seconds", "answerd_work_oldest_seconds", "Age of the oldest event that waits for the engine." },
        { "work_failing", "answerd_work_failing", "Events that failed and will be tried again." },
        { "parked_events", "answerd_parked_events", "Events that were given up." },
        { "outbox_due", "answerd_outbox_due", "Deliveries that could leave now." },
        { "outbox_oldest_seconds", "answerd_outbox_oldest_seconds",
          "Time since the oldest due delivery could have left." },
        { "unknown", "answerd_deliveries_unknown", "Deliveries whose outcome is unknown." },
        { "held", "answerd_deliveries_held", "Messages that are held beyond a budget of their rule." },
        { "timers_due", "answerd_timers_due", "Timers that are due." },
        { "quarantined_rules", "answerd_rules_quarantined", "Rules that rest because they failed too often." },
    };
    for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
        set_gauge(shown[i].name, shown[i].help, "", json_number_value(json_object_get(gauges, shown[i].key)));
    }
    static const char *const paused_name = "answerd_source_paused";
    static const char *const paused_help = "1 while nothing leaves through this source or endpoint.";
    char labels[160];
    size_t index;
    json_t *source;
    json_array_foreach (worker->paused, index, source) {
        snprintf(labels, sizeof(labels), "source=\"%.120s\"", json_string_value(source));
        set_gauge(paused_name, paused_help, labels, 0);
    }
    for (size_t i = 0; i < worker->config->source_count; i++) {
        snprintf(labels, sizeof(labels), "source=\"%.120s\"", worker->config->sources[i].name);
        set_gauge(paused_name, paused_help, labels, 0);
    }
    json_decref(worker->paused);
    worker->paused = json_incref(json_array_at(gauges, "paused_sources"));
    json_array_foreach (worker->paused, index, source) {
        snprintf(labels, sizeof(labels), "source=\"%.120s\"", json_string_value(source));
        set_gauge(paused_name, paused_help, labels, 1);
    }
}

static void worker_watch(struct api_worker *worker)
{
    if (worker->pg == NULL || clock_steady() < worker->next_watch) {
        return;
    }
    worker->next_watch = clock_steady() + WATCH_MS;
    json_t *gauges = NULL;
    struct error error;
    if (api_store_gauges(worker->pg, &gauges, &error) != ERR_NONE) {
        log_warn("database does not answer", "reason='%s'", error.text);
        worker_disconnect(worker);
        atomic_store(&worker->trouble, "the database does not answer");
        return;
    }
    atomic_store(&worker->database_seen, clock_steady());
    show_database(true);
    show_gauges(worker, gauges);
    json_decref(gauges);
}

static void worker_answer(struct api_worker *worker, struct api_call *call)
{
    atomic_fetch_sub(&worker->held, 1);
    worker->answered(call, worker->arg);
}

static void refuse_without_database(struct api_worker *worker, struct api_call *call)
{
    api_refuse(call, 503, "database_away", "try again in a moment", "the database cannot be reached");
    worker_answer(worker, call);
}

/* Answers the call, or keeps it waiting for the engine. */
static void worker_settle(struct api_worker *worker, struct api_call *call, bool kept_connection)
{
    if (!kept_connection) {
        worker_disconnect(worker);
        refuse_without_database(worker, call);
    } else if (call->status != 0) {
        worker_answer(worker, call);
    } else {
        list_add(&worker->waiting, call);
    }
}

static void worker_handle(struct api_worker *worker, struct api_call *call)
{
    worker_connect(worker);
    if (worker->pg == NULL) {
        refuse_without_database(worker, call);
        return;
    }
    call->pg = worker->pg;
    call->config = worker->config;
    call->host = worker->host;
    worker_settle(worker, call, api_handle(call));
}

static void worker_look_again(struct api_worker *worker)
{
    for (size_t left = worker->waiting.count; left > 0; left--) {
        struct api_call *call = list_take(&worker->waiting);
        call->pg = worker->pg;
        worker_settle(worker, call, worker->pg != NULL && api_look_again(call));
    }
}

/* The next call that arrived, after waiting for at most `wait_ms`; NULL when none did. */
static struct api_call *worker_next(struct api_worker *worker, msec_t wait_ms, bool *ret_refusing, bool *ret_ending)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    heartbeat_rest();
    pthread_mutex_lock(&worker->lock);
    int waited = 0;
    while (worker->arrived.first == NULL && worker->refusing == *ret_refusing && !worker->ending && waited == 0) {
        waited = pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
    }
    struct api_call *call = list_take(&worker->arrived);
    *ret_refusing = worker->refusing;
    *ret_ending = worker->ending && call == NULL;
    pthread_mutex_unlock(&worker->lock);
    heartbeat_beat();
    return call;
}

static void refuse_stopping(struct api_worker *worker, struct api_call *call)
{
    api_refuse(call, 503, "stopping", "try again in a moment", "the server is stopping");
    worker_answer(worker, call);
}

static void *worker_main(void *arg)
{
    struct api_worker *worker = arg;
    log_set_actor("admin");
    heartbeat_start("api");
    bool refusing = false;
    bool ending = false;
    while (!ending) {
        if (!refusing) {
            worker_connect(worker);
            worker_watch(worker);
        }
        msec_t wait_ms = worker->waiting.count > 0 ? LOOK_AGAIN_MS : CONNECT_RETRY_MS / 2;
        struct api_call *call = worker_next(worker, wait_ms, &refusing, &ending);
        if (call != NULL && refusing) {
            refuse_stopping(worker, call);
        } else if (call != NULL) {
            worker_handle(worker, call);
        }
        if (!refusing) {
            worker_look_again(worker);
            continue;
        }
        while ((call = list_take(&worker->waiting)) != NULL) {
            refuse_stopping(worker, call);
        }
    }
    worker_disconnect(worker);
    heartbeat_end();
    return NULL;
}

static void worker_free(struct api_worker *worker)
{
    json_decref(worker->paused);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

err_t api_worker_start(const struct config *config, const struct admin_host *host,
                       void (*answered)(struct api_call *call, void *arg), void *arg, struct api_worker **ret_worker,
                       struct error *reterr)
{
    struct api_worker *worker = memory_new(sizeof(*worker));
    worker->config = config;
    worker->host = host;
    worker->answered = answered;
    worker->arg = arg;
    atomic_init(&worker->trouble, "the database was not asked yet");
    list_init(&worker->arrived);
    list_init(&worker->waiting);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int failure = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (failure != 0) {
        worker_free(worker);
        return fail(reterr, ERR_INTERNAL, "no thread for the api: %s", strerror(failure));
    }
    *ret_worker = worker;
    return ERR_NONE;
}

err_t api_worker_add(struct api_worker *worker, struct api_call *call)
{
    if (atomic_fetch_add(&worker->held, 1) >= MAX_CALLS) {
        atomic_fetch_sub(&worker->held, 1);
        return ERR_BUSY;
    }
    pthread_mutex_lock(&worker->lock);
    list_add(&worker->arrived, call);
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    return ERR_NONE;
}

static void worker_tell(struct api_worker *worker, bool *flag)
{
    pthread_mutex_lock(&worker->lock);
    *flag = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

void api_worker_refuse_all(struct api_worker *worker)
{
    worker_tell(worker, &worker->refusing);
}

void api_worker_stop(struct api_worker *worker)
{
    worker_tell(worker, &worker->refusing);
    worker_tell(worker, &worker->ending);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
}

const char *api_worker_database_trouble(const struct api_worker *worker)
{
    msec_t seen = atomic_load(&worker->database_seen);
    if (seen == 0) {
        return atomic_load(&worker->trouble);
    }
    return clock_steady() - seen < READY_WITHIN_MS ? NULL : "the database does not answer";
}
