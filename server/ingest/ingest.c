#include "ingest/ingest.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "ingest/batcher.h"
#include "ingest/refusals.h"
#include "ingest/rejects.h"
#include "ingest/webhook.h"
#include "ingest/webhook_source.h"
#include "io/http_server.h"
#include "io/http_tls.h"
#include "io/loop.h"

/* Of the bodies that wait for their commit, for each loop. */
#define QUEUE_BYTES ((size_t)128 * 1024 * 1024)

/* How long requests that are on their way may take when the server stops. */
#define DRAIN_MS 12000

/* Of what is made of one webhook before it waits. */
#define MAX_WEBHOOK_BYTES ((size_t)256 * 1024 * 1024)

#define PRESSURE_LOG_MS 60000

#define CERTIFICATE_WARNING_MS ((msec_t)14 * 86400 * 1000)

struct ingest_loop {
    struct ingest *ingest;
    struct loop *loop;
    struct http_server *server;
    struct pg_async *pg;
    struct batcher *batcher;
    struct webhook_desk desk;
    struct loop_timer *drain_deadline;
    struct loop_timer *pulse;
    struct metric *connections;
    struct metric *receiving;
    double shown_connections;
    double shown_receiving;
    struct metric *closed_for_room;
    struct metric *failed_accepts;
    struct http_pressure shown_pressure;
    struct log_throttle room_throttle;
    struct log_throttle accept_throttle;
    pthread_t thread;
    bool started;
    atomic_bool drain; /* set by others, together with a nudge */
    atomic_bool connected;
};

struct ingest {
    const struct config *config;
    void (*stored)(void *arg);
    void *arg;
    struct webhook_sources sources;
    struct rejects *rejects;
    struct refusals *refusals; /* NULL when addresses have no such limit */
    struct http_tls *tls;      /* NULL for plain HTTP */
    struct ingest_loop *loops;
    size_t loop_count;
    atomic_bool admits;
    int port;
    bool drained;
};

/* --- on the loop's thread --------------------------------------------------------------------------------------- */

/* Of a gauge that is the sum over all loops: what this one has more or less than the last time. */
static void show_sum(struct metric *metric, double *shown, size_t value)
{
    metric_add(metric, (double)value - *shown);
    *shown = (double)value;
}

/* Counts and says what the server had to do for want of room since the last time. */
static void show_pressure(struct ingest_loop *l)
{
    struct http_pressure now = http_server_pressure(l->server);
    uint64_t closed = now.closed - l->shown_pressure.closed;
    uint64_t failed = now.failed_accepts - l->shown_pressure.failed_accepts;
    if (closed > 0)
        metric_add(l->closed_for_room, (double)closed);
    if (failed > 0)
        metric_add(l->failed_accepts, (double)failed);
    if (closed > 0 && failed == 0 && log_allowed(&l->room_throttle, PRESSURE_LOG_MS, NULL))
        log_warn("connections are at their limit: silent, idle and slow clients make room for those that wait",
                 "connections=%zu hint='if they are genuine, raise http.max_connections; see who it is with `ss -tn`'",
                 http_server_connections(l->server));
    if (failed > 0 && log_allowed(&l->accept_throttle, PRESSURE_LOG_MS, NULL))
        log_error("a client has to wait, there is no file descriptor for it",
                  "connections=%zu hint='raise `ulimit -n` or lower http.max_connections and deliver.max_in_flight'",
                  http_server_connections(l->server));
    l->shown_pressure = now;
}

static void pulse(void *arg)
{
    struct ingest_loop *l = arg;
    atomic_store(&l->connected, pg_async_is_connected(l->pg));
    show_sum(l->connections, &l->shown_connections, http_server_connections(l->server));
    show_sum(l->receiving, &l->shown_receiving, http_server_receiving_bytes(l->server));
    show_pressure(l);
    loop_timer_set(l->pulse, 100);
}

static void stop_loop(void *arg)
{
    struct ingest_loop *l = arg;
    loop_stop(l->loop);
}

static void drain_late(void *arg)
{
    struct ingest_loop *l = arg;
    log_warn("requests were still on their way at the stop", "connections=%zu", http_server_connections(l->server));
    loop_stop(l->loop);
}

static void nudged(void *arg)
{
    struct ingest_loop *l = arg;
    if (!atomic_exchange(&l->drain, false))
        return;
    loop_timer_set(l->drain_deadline, DRAIN_MS);
    http_server_drain(l->server, stop_loop, l);
}

static void *run_loop(void *arg)
{
    struct ingest_loop *l = arg;
    const struct config *config = l->ingest->config;
    log_set_actor("ingest");
    heartbeat_start("ingest");
    const struct pg_settings pg_settings = {
        .conninfo = config->database.url,
        .application_name = "answerd ingest",
        .statement_timeout_ms = config->ingest.commit_deadline_ms,
        .writes = true,
    };
    l->pg = pg_async_new(l->loop, &pg_settings);
    const struct batcher_settings batcher_settings = {
        .batch_rows = config->ingest.batch_rows > 0 ? config->ingest.batch_rows : 1,
        .queue_rows = config->ingest.queue_rows > 0 ? config->ingest.queue_rows : 1,
        .queue_bytes = QUEUE_BYTES,
        .commit_deadline_ms = config->ingest.commit_deadline_ms,
        .stored = l->ingest->stored,
        .arg = l->ingest->arg,
    };
    l->batcher = batcher_new(l->loop, l->pg, &batcher_settings);
    l->desk = (struct webhook_desk){
        .sources = &l->ingest->sources,
        .rejects = l->ingest->rejects,
        .refusals = l->ingest->refusals,
        .batcher = l->batcher,
        .admits = &l->ingest->admits,
        .require_https = config->http.require_https,
    };
    buf_init(&l->desk.scratch, MAX_WEBHOOK_BYTES);
    l->connections = metric_gauge("answerd_http_connections", "Open connections of the webhook listener.", "");
    l->receiving = metric_gauge("answerd_http_receiving_bytes", "Memory of requests that are not complete.", "");
    l->closed_for_room = metric_counter("answerd_http_connections_closed_for_room_total",
                                        "Connections that were closed because others waited.", "");
    l->failed_accepts = metric_counter("answerd_http_accepts_failed_total",
                                       "Clients that had to wait because there was no file descriptor for them.", "");
    l->drain_deadline = loop_timer_new(l->loop, drain_late, l);
    l->pulse = loop_timer_new(l->loop, pulse, l);
    loop_on_nudge(l->loop, nudged, l);
    pulse(l);
    loop_run(l->loop);

    atomic_store(&l->connected, false);
    /* Requests that still wait are answered by the two that hold them, as far as that goes; then the server may go. */
    pg_async_free(l->pg);
    batcher_free(l->batcher);
    http_server_free(l->server);
    loop_timer_free(l->drain_deadline);
    loop_timer_free(l->pulse);
    buf_done(&l->desk.scratch);
    heartbeat_end();
    return NULL;
}

/* --- on the owner's thread -------------------------------------------------------------------------------------- */

static void show_expiry(struct ingest *ingest)
{
    const char *file;
    msec_t at;
    for (size_t i = 0; http_tls_expires_at(ingest->tls, i, &file, &at); i++) {
        struct buf labels CLEANUP(buf_done);
        buf_init(&labels, 5000);
        buf_add_text(&labels, "certificate=\"");
        for (const char *c = file; *c; c++)
            buf_add_char(&labels, *c == '"' || *c == '\\' || *c == '\n' ? '_' : *c);
        buf_add_char(&labels, '"');
        metric_set(metric_gauge("answerd_tls_certificate_expires_seconds",
                                "When the certificate ends to be valid, as unix time.", labels.ptr),
                   (double)at / 1000);
        msec_t now = clock_now();
        if (at < now)
            log_error(
                "a certificate is not valid any more",
                "file='%s' days=%lld hint='providers refuse to connect: write a renewed one into this file, then SIGHUP'",
                file, (long long)((now - at) / 86400000));
        else if (at < now + CERTIFICATE_WARNING_MS)
            log_warn("a certificate ends to be valid soon", "file='%s' days=%lld", file,
                     (long long)((at - now) / 86400000));
    }
}

static err_t loop_open(struct ingest *ingest, struct ingest_loop *l, bool first, struct error *reterr)
{
    const struct config *config = ingest->config;
    const struct http_limits limits = {
        .max_header_bytes = config->http.max_header_bytes,
        .max_body_bytes = config->http.max_body_bytes,
        .read_deadline_ms = config->http.read_deadline_ms,
        .idle_ms = config->http.idle_ms,
        .max_connections = config->http.max_connections / ingest->loop_count + 1,
        .max_receiving_bytes = config->http.max_receiving_bytes / ingest->loop_count,
    };
    l->ingest = ingest;
    l->loop = loop_new();
    l->server = http_server_new(l->loop, &limits, webhook_handle, &l->desk);
    if (ingest->tls)
        http_server_use_tls(l->server, ingest->tls);
    http_server_trust_proxies(l->server, &config->http.proxies);
    if (first) {
        struct error e;
        err_t result = http_server_listen(l->server, config->http.listen, &ingest->port, &e);
        return result == ERR_NONE ? ERR_NONE : fail(reterr, result, "http.listen: %s", e.text);
    }
    /* The port may have been chosen by the system for the first one. */
    const char *colon = strrchr(config->http.listen, ':');
    struct buf address CLEANUP(buf_done);
    buf_init(&address, 512);
    buf_add(&address, config->http.listen, colon ? (size_t)(colon - config->http.listen) : 0);
    buf_addf(&address, ":%d", ingest->port);
    return http_server_listen_shared(l->server, address.ptr, reterr);
}

static err_t open_tls(struct ingest *ingest, struct error *reterr)
{
    const struct config *config = ingest->config;
    struct http_tls_files files[HTTP_TLS_MAX_CERTIFICATES];
    size_t count = json_array_size(config->http.tls_certificates);
    if (count == 0)
        return ERR_NONE;
    for (size_t i = 0; i < count && i < HTTP_TLS_MAX_CERTIFICATES; i++)
        files[i] = (struct http_tls_files){
            .certificate = json_string_value(json_array_get(config->http.tls_certificates, i)),
            .key = json_string_value(json_array_get(config->http.tls_keys, i)),
        };
    err_t result = http_tls_new(files, count, strcmp(config->http.tls_minimum, "1.3") == 0, &ingest->tls, reterr);
    if (result == ERR_NONE)
        show_expiry(ingest);
    return result;
}

/* Starts the thread with all signals blocked: they are for the main thread. */
static bool loop_start(struct ingest_loop *l)
{
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    l->started = pthread_create(&l->thread, NULL, run_loop, l) == 0;
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return l->started;
}

err_t ingest_new(const struct config *config, void (*stored)(void *arg), void *arg, struct ingest **ret_ingest,
                 struct error *reterr)
{
    struct ingest *ingest = memory_new(sizeof(*ingest));
    ingest->config = config;
    ingest->stored = stored;
    ingest->arg = arg;
    ingest->loop_count = config->ingest.threads > 0 ? config->ingest.threads : 1;
    ingest->loops = memory_new(ingest->loop_count * sizeof(*ingest->loops));
    ingest->rejects = rejects_new();
    webhook_sources_init(&ingest->sources, config);
    if (config->ingest.refusals_per_minute > 0)
        ingest->refusals = refusals_new(config->ingest.refusals_per_minute);
    err_t result = open_tls(ingest, reterr);
    for (size_t i = 0; i < ingest->loop_count && result == ERR_NONE; i++)
        result = loop_open(ingest, &ingest->loops[i], i == 0, reterr);
    for (size_t i = 0; i < ingest->loop_count && result == ERR_NONE; i++)
        if (!loop_start(&ingest->loops[i]))
            result = fail(reterr, ERR_INTERNAL, "the system has no thread for ingest");
    if (result != ERR_NONE) {
        ingest_free(ingest);
        return result;
    }
    log_info("ingest listens", "address=%s port=%d threads=%zu sources=%zu tls=%s", config->http.listen, ingest->port,
             ingest->loop_count, ingest->sources.count, ingest->tls ? "yes" : "no");
    *ret_ingest = ingest;
    return ERR_NONE;
}

void ingest_admit(struct ingest *ingest)
{
    atomic_store(&ingest->admits, true);
}

int ingest_port(const struct ingest *ingest)
{
    return ingest->port;
}

err_t ingest_reload_certificates(struct ingest *ingest, struct error *reterr)
{
    if (!ingest->tls)
        return ERR_NONE;
    err_t result = http_tls_reload(ingest->tls, reterr);
    if (result == ERR_NONE)
        show_expiry(ingest);
    return result;
}

bool ingest_is_healthy(const struct ingest *ingest)
{
    for (size_t i = 0; i < ingest->loop_count; i++)
        if (!atomic_load(&ingest->loops[i].connected))
            return false;
    return true;
}

err_t ingest_flush_rejects(struct ingest *ingest, struct pg *pg, struct error *reterr)
{
    return rejects_flush(ingest->rejects, pg, reterr);
}

void ingest_drain(struct ingest *ingest)
{
    if (ingest->drained)
        return;
    ingest->drained = true;
    for (size_t i = 0; i < ingest->loop_count; i++) {
        if (!ingest->loops[i].started)
            continue;
        atomic_store(&ingest->loops[i].drain, true);
        loop_nudge(ingest->loops[i].loop);
    }
    for (size_t i = 0; i < ingest->loop_count; i++) {
        struct ingest_loop *l = &ingest->loops[i];
        if (l->started)
            pthread_join(l->thread, NULL);
        else
            http_server_free(l->server);
        if (l->loop)
            loop_free(l->loop); /* here, because we nudged it from here */
    }
}

void ingest_free(struct ingest *ingest)
{
    if (!ingest)
        return;
    ingest_drain(ingest);
    webhook_sources_done(&ingest->sources);
    rejects_free(ingest->rejects);
    refusals_free(ingest->refusals);
    http_tls_free(ingest->tls);
    free(ingest->loops);
    free(ingest);
}
