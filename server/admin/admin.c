#include "admin/admin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/api_worker.h"
#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/process_metrics.h"
#include "base/text.h"
#include "io/http_server.h"
#include "io/loop.h"

#define MAX_BODY_BYTES ((size_t)1024 * 1024)
#define MAX_METRICS_BYTES ((size_t)8 * 1024 * 1024)
#define MAX_ANSWER_BYTES ((size_t)16 * 1024 * 1024)
#define WATCH_MS 1000

struct admin {
    struct admin_host host;
    struct loop *loop;
    struct http_server *server;
    struct api_worker *worker;
    pthread_t thread;
    atomic_bool stopping; /* announced */
    atomic_bool stop_listening;

    /* The listener's thread only. */
    bool draining;
    struct loop_timer *watch;
    const char *seen_reason;   /* not to be ready, at the last look; NULL: it was */
    const char *logged_reason; /* in the log, last; NULL: ready */
    msec_t unready_since;      /* steady clock */

    pthread_mutex_t lock;
    struct api_call *answered; /* by the worker, not yet sent; newest first */
};

static void answer_text(struct http_request *request, int status, const char *text)
{
    http_answer(request, status, "text/plain; charset=utf-8", bytes_of(text), NULL);
}

/* Why this process should get no traffic; a constant text, or NULL. */
static const char *not_ready(const struct admin *admin)
{
    if (atomic_load(&admin->stopping)) {
        return "the server is stopping";
    }
    const char *trouble = api_worker_database_trouble(admin->worker);
    return trouble != NULL ? trouble : admin->host.actor_trouble(admin->host.arg);
}

static void answer_ready(const struct admin *admin, struct http_request *request)
{
    char text[160];
    const char *reason = not_ready(admin);
    snprintf(text, sizeof(text), "%s\n", reason != NULL ? reason : "ready");
    answer_text(request, reason == NULL ? 200 : 503, text);
}

static bool is_same(const char *one, const char *other)
{
    return one == other || (one != NULL && other != NULL && strcmp(one, other) == 0);
}

/* One trouble makes others: what the log says is the cause that was still there at the next look. */
static void watch_readiness(void *arg)
{
    struct admin *admin = arg;
    const char *reason = not_ready(admin);
    loop_timer_set(admin->watch, WATCH_MS);
    if (atomic_load(&admin->stopping)) {
        return;
    }
    bool lasts = is_same(reason, admin->seen_reason);
    admin->seen_reason = reason;
    if (!lasts || is_same(reason, admin->logged_reason)) {
        return;
    }
    msec_t now = clock_steady();
    if (reason == NULL) {
        log_info("ready again", "unready_ms=%lld", (long long)(now - admin->unready_since));
    } else {
        if (admin->logged_reason == NULL) {
            admin->unready_since = now;
        }
        log_warn("not ready", "reason='%s' hint='/readyz answers 503 until it is over; the lines before say more'",
                 reason);
    }
    admin->logged_reason = reason;
}

static void answer_metrics(struct http_request *request)
{
    struct buf text;
    buf_init(&text, MAX_METRICS_BYTES);
    process_metrics_update();
    metrics_print(&text);
    http_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&text), NULL);
    buf_done(&text);
}

/* Of a name that comes twice the first one counts. */
static void copy_parameter(const char *name, const char *value, void *arg)
{
    json_t *query = arg;
    const char *key = text_is_utf8(bytes_of(name)) ? name : "\uFFFD";
    if (json_object_get(query, key) == NULL) {
        json_put_bytes(query, key, bytes_of(value));
    }
}

static void send_api_answer(struct api_call *call)
{
    static const char *const challenge[] = { "WWW-Authenticate", "Bearer", NULL };
    static const char *const retry[] = { "Retry-After", "2", NULL };
    const char *const allow[] = { "Allow", call->allowed_method, NULL };
    struct buf text;
    buf_init(&text, MAX_ANSWER_BYTES);
    if (call->raw_answer != NULL) {
        buf_add_text(&text, call->raw_answer);
    } else {
        json_add(&text, call->answer);
        buf_add_char(&text, '\n');
    }
    const char *const *headers = call->status == 401   ? challenge
                                 : call->status == 405 ? allow
                                 : call->status == 503 ? retry
                                                       : NULL;
    http_answer(call->request, call->status, "application/json", buf_bytes(&text), headers);
    buf_done(&text);
    char labels[80];
    snprintf(labels, sizeof(labels), "method=\"%s\",status=\"%d\"", strcmp(call->method, "GET") == 0 ? "GET" : "other",
             call->status);
    metric_add(metric_counter("answerd_api_calls_total", "Calls of the API by method and status.", labels), 1);
    api_call_free(call);
}

static void start_api_call(struct admin *admin, struct http_request *request)
{
    struct bytes body = http_body(request);
    struct api_call *call = memory_new(sizeof(*call));
    call->request = request;
    call->method = memory_text(http_method(request));
    call->path = memory_text(http_path(request));
    call->authorization = memory_text(http_header(request, "Authorization"));
    call->idempotency_key = memory_text(http_header(request, "Idempotency-Key"));
    call->query = json_object();
    http_each_query(request, copy_parameter, call->query);
    call->body = memory_text_n(body.ptr != NULL ? body.ptr : "", body.len);
    call->body_length = body.len;
    if (http_query_problem(request) != NULL) {
        /* As a filter that is misspelt: without it the answer would hold what was to be left out. */
        api_refuse(call, 400, "bad_query", "write % as %25", "the query cannot be read: %s",
                   http_query_problem(request));
        send_api_answer(call);
    } else if (call->idempotency_key != NULL && strlen(call->idempotency_key) > 200) {
        api_refuse(call, 400, "too_long", NULL, "the Idempotency-Key is longer than 200 bytes");
        send_api_answer(call);
    } else if (api_worker_add(admin->worker, call) != ERR_NONE) {
        api_refuse(call, 503, "busy", "try again in a moment", "too many calls wait already");
        send_api_answer(call);
    }
}

static void handle_request(struct http_request *request, void *arg)
{
    struct admin *admin = arg;
    const char *path = http_path(request);
    bool reads = strcmp(http_method(request), "GET") == 0 || strcmp(http_method(request), "HEAD") == 0;
    if (strncmp(path, API_PREFIX, strlen(API_PREFIX)) == 0) {
        start_api_call(admin, request);
    } else if (reads && strcmp(path, "/healthz") == 0) {
        answer_text(request, 200, "alive\n");
    } else if (reads && strcmp(path, "/readyz") == 0) {
        answer_ready(admin, request);
    } else if (reads && strcmp(path, "/metrics") == 0) {
        answer_metrics(request);
    } else {
        answer_text(request, 404, "there is /healthz, /readyz, /metrics and " API_PREFIX "openapi.json\n");
    }
}

/* On the worker's thread. */
static void call_answered(struct api_call *call, void *arg)
{
    struct admin *admin = arg;
    pthread_mutex_lock(&admin->lock);
    call->next = admin->answered;
    admin->answered = call;
    pthread_mutex_unlock(&admin->lock);
    loop_nudge(admin->loop);
}

static void drained(void *arg)
{
    struct admin *admin = arg;
    loop_stop(admin->loop);
}

static void nudged(void *arg)
{
    struct admin *admin = arg;
    pthread_mutex_lock(&admin->lock);
    struct api_call *call = admin->answered;
    admin->answered = NULL;
    pthread_mutex_unlock(&admin->lock);
    while (call != NULL) {
        struct api_call *next = call->next;
        send_api_answer(call);
        call = next;
    }
    if (atomic_load(&admin->stop_listening) && !admin->draining) {
        admin->draining = true;
        http_server_drain(admin->server, drained, admin);
    }
}

static void *admin_main(void *arg)
{
    struct admin *admin = arg;
    log_set_actor("admin");
    heartbeat_start("admin");
    loop_timer_set(admin->watch, WATCH_MS);
    loop_run(admin->loop);
    heartbeat_end();
    return NULL;
}

static void admin_free(struct admin *admin)
{
    http_server_free(admin->server);
    loop_timer_free(admin->watch);
    while (admin->answered != NULL) {
        struct api_call *call = admin->answered;
        admin->answered = call->next;
        api_call_free(call);
    }
    loop_free(admin->loop);
    pthread_mutex_destroy(&admin->lock);
    free(admin);
}

err_t admin_start(const struct config *config, const struct admin_host *host, struct admin **ret_admin, int *ret_port,
                  struct error *reterr)
{
    const struct http_limits limits = {
        .max_header_bytes = config->http.max_header_bytes,
        .max_body_bytes = MAX_BODY_BYTES,
        .read_deadline_ms = config->http.read_deadline_ms,
        .idle_ms = config->http.idle_ms,
        .max_connections = config->http.max_admin_connections,
    };
    process_metrics_update();
    struct admin *admin = memory_new(sizeof(*admin));
    admin->host = *host;
    pthread_mutex_init(&admin->lock, NULL);
    admin->loop = loop_new();
    loop_on_nudge(admin->loop, nudged, admin);
    admin->watch = loop_timer_new(admin->loop, watch_readiness, admin);
    admin->server = http_server_new(admin->loop, &limits, handle_request, admin);
    struct error e;
    err_t err = http_server_listen(admin->server, config->http.admin_listen, ret_port, &e);
    if (err != ERR_NONE) {
        err = fail(reterr, err, "http.admin: %s", e.text);
    } else {
        err = api_worker_start(config, &admin->host, call_answered, admin, &admin->worker, reterr);
    }
    if (err != ERR_NONE) {
        admin_free(admin);
        return err;
    }
    int failure = pthread_create(&admin->thread, NULL, admin_main, admin);
    if (failure != 0) {
        api_worker_stop(admin->worker);
        admin_free(admin);
        return fail(reterr, ERR_INTERNAL, "no thread for the admin listener: %s", strerror(failure));
    }
    *ret_admin = admin;
    return ERR_NONE;
}

void admin_announce_stop(struct admin *admin)
{
    atomic_store(&admin->stopping, true);
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    admin_announce_stop(admin);
    api_worker_refuse_all(admin->worker);
    atomic_store(&admin->stop_listening, true);
    loop_nudge(admin->loop);
    pthread_join(admin->thread, NULL);
    api_worker_stop(admin->worker);
    admin_free(admin);
}
