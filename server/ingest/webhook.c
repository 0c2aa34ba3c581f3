#include "ingest/webhook.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "base/text.h"

#define PATH_PREFIX "/webhooks/"

/* The guard of io/http_server lets no more pass. */
#define MAX_HEADERS 100

/* More events in one body than any provider sends; the webhook is kept, and can be parsed again in parts. */
#define MAX_EVENTS 20000

#define MAX_ANSWER_BYTES 16384

/* Large webhooks are rare: their memory is given back. */
#define KEPT_SCRATCH_BYTES ((size_t)1024 * 1024)

/* A webhook on its way to the database. */
struct pending {
    struct http_request *request;
    const struct webhook_source *source;
    char *headers_json;
    char *problem;
    char *answer; /* for a provider that reads it, or NULL */
};

static void answer_text(struct http_request *request, int status, const char *text, const char *const *headers)
{
    http_answer(request, status, text[0] ? "text/plain; charset=utf-8" : NULL, bytes_of(text), headers);
}

static void answer_busy(struct http_request *request)
{
    static const char *const headers[] = { "Retry-After", "5", NULL };
    answer_text(request, 503, "try again later\n", headers);
}

static void answer_accepted(const struct pending *p)
{
    const char *text = p->source->kind->accepted_body;
    if (p->answer)
        http_answer(p->request, 200, "application/json", bytes_of(p->answer), NULL);
    else
        answer_text(p->request, 200, text ? text : "", NULL);
}

/* The same whatever was wrong, and whether or not the source exists. */
static void answer_denied(struct webhook_desk *desk, struct http_request *request, const char *source,
                          const char *reason)
{
    static struct log_throttle throttle;
    unsigned swallowed;
    rejects_add(desk->rejects, source, reason);
    refusals_add(desk->refusals, http_peer(request), clock_steady());
    if (log_allowed(&throttle, 5000, &swallowed))
        log_warn("webhook refused", "source=%s peer=%s reason='%s' swallowed=%u", source, http_peer(request), reason,
                 swallowed);
    answer_text(request, 401, "unauthorized\n", NULL);
}

/* 429: the sender is to come again, in so many whole seconds. `limit` says which one it is over, `hint` who sets it. */
static void answer_later(struct http_request *request, const struct webhook_source *source, msec_t wait_ms,
                         const char *limit, const char *hint)
{
    static struct log_throttle throttle;
    unsigned swallowed;
    if (log_allowed(&throttle, 5000, &swallowed))
        log_warn("webhook put off", "source=%s peer=%s wait_ms=%lld reason='%s' hint='%s' swallowed=%u",
                 source ? source->name : "(unknown)", http_peer(request), (long long)wait_ms, limit, hint, swallowed);
    char seconds[24];
    const char *const headers[] = { "Retry-After", seconds, NULL };
    snprintf(seconds, sizeof(seconds), "%lld", (long long)(wait_ms / 1000 + 1));
    answer_text(request, 429, "too many requests\n", headers);
}

static void answer_method(struct http_request *request, const struct webhook_source *source)
{
    const char *const headers[] = { "Allow", source && source->kind->handshake ? "GET, POST" : "POST", NULL };
    answer_text(request, 405, "method not allowed\n", headers);
}

/* The provider's dashboard shows this to whoever typed the address. */
static void answer_unreadable_query(struct webhook_desk *desk, struct http_request *request,
                                    const struct webhook_source *source)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 256);
    buf_addf(&text, "the query cannot be read: %s\n", http_query_problem(request));
    rejects_add(desk->rejects, source->name, "the query of the handshake cannot be read");
    refusals_add(desk->refusals, http_peer(request), clock_steady());
    answer_text(request, 400, text.ptr, NULL);
}

static void handle_handshake(struct webhook_desk *desk, struct http_request *request,
                             const struct webhook_source *source)
{
    if (http_query_problem(request)) {
        answer_unreadable_query(desk, request, source);
        return;
    }
    const char *mode = http_query(request, "hub.mode");
    const char *token = http_query(request, "hub.verify_token");
    const char *challenge = http_query(request, "hub.challenge");
    struct buf answer CLEANUP(buf_done);
    buf_init(&answer, 4096);
    err_t result = source->kind->handshake(mode ? mode : "", token ? token : "", challenge ? challenge : "",
                                           source->settings, &answer);
    metric_add(source->handshakes, 1);
    if (result != ERR_NONE || answer.overflowed) {
        rejects_add(desk->rejects, source->name, "the handshake does not match");
        refusals_add(desk->refusals, http_peer(request), clock_steady());
        answer_text(request, 403, "forbidden\n", NULL);
        return;
    }
    /* The bare challenge: Meta compares the whole body. */
    http_answer(request, 200, "text/plain", buf_bytes(&answer), NULL);
}

/* The lane of the first identity: what one handle sends is handled in the order it came. */
static int32_t lane_of_event(const json_t *event, const struct webhook_source *source)
{
    const char *identity = json_string_value(json_at(event, "contact.identities.0"));
    if (identity)
        return lane_of(identity);
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 512);
    buf_addf(&text, "source:%s", source->name);
    return lane_of(text.ptr);
}

static void stored(const struct error *e, void *arg)
{
    struct pending *p = arg;
    const struct webhook_source *source = p->source;
    switch (e->code) {
    case ERR_NONE:
        metric_add(p->problem ? source->unparsed : source->accepted, 1);
        answer_accepted(p);
        break;
    case ERR_LOST:
    case ERR_TIMEOUT:
    case ERR_BUSY:
    case ERR_CONFLICT:
        metric_add(source->busy, 1);
        answer_busy(p->request);
        break;
    default:
        metric_add(source->failed, 1);
        log_error("webhook refused by the database", "source=%s sqlstate=%s reason='%s'", source->name, e->sqlstate,
                  e->text);
        answer_text(p->request, 500, "internal error\n", NULL);
    }
    free(p->headers_json);
    free(p->problem);
    free(p->answer);
    free(p);
}

/* Why a part of a webhook is not taken as what it seems to be; NULL when all of it is. */
static const char *problem_of(const json_t *events)
{
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        if (json_str(event, "problem"))
            return json_str(event, "problem");
    }
    return NULL;
}

/* The events of a genuine webhook. `*ret_problem` is the caller's to free(). */
static json_t *parse(const struct webhook *w, const struct webhook_source *source, char **ret_problem)
{
    json_t *events = json_array();
    struct error e = { 0 };
    err_t result = channel_parse(source->kind, w, source->settings, events, &e);
    if (result == ERR_NONE && json_array_size(events) > MAX_EVENTS)
        result = fail(&e, ERR_TOO_BIG, "more than %d events in one webhook", MAX_EVENTS);
    *ret_problem = NULL;
    if (result != ERR_NONE) {
        json_array_clear(events);
        *ret_problem = memory_text(e.text[0] ? e.text : "cannot be parsed");
        log_warn("webhook cannot be parsed, kept as it is", "source=%s reason='%s'", source->name, *ret_problem);
    } else if (problem_of(events)) {
        static struct log_throttle throttle;
        unsigned swallowed;
        *ret_problem = memory_text(problem_of(events));
        if (log_allowed(&throttle, 5000, &swallowed))
            log_warn("a part of a webhook is kept and not handled", "source=%s reason='%s' swallowed=%u", source->name,
                     *ret_problem, swallowed);
    }
    return events;
}

/* In the form in which they wait and are stored, with their lanes. */
static err_t pack(struct webhook_desk *desk, const struct webhook_source *source, const json_t *events,
                  struct ingest_events *ret_events, struct error *reterr)
{
    err_t result = ingest_events_init(ret_events, events, &desk->scratch, reterr);
    for (size_t i = 0; i < ret_events->count; i++)
        ret_events->list[i].lane = lane_of_event(json_array_get(events, i), source);
    return result;
}

/* What the source's kind answers to these events; NULL when that does not depend on them. The caller's to free(). */
static char *answer_for(const struct webhook_source *source, const json_t *events)
{
    struct buf body CLEANUP(buf_done);
    buf_init(&body, MAX_ANSWER_BYTES);
    if (source->kind->answer)
        source->kind->answer(events, &body);
    return body.len > 0 && !body.overflowed ? memory_text(body.ptr) : NULL;
}

struct header_list {
    struct webhook_header headers[MAX_HEADERS];
    size_t count;
};

static void collect_header(const char *name, const char *value, void *arg)
{
    struct header_list *list = arg;
    if (list->count < MAX_HEADERS)
        list->headers[list->count++] = (struct webhook_header){ name, value };
}

static void handle_post(struct webhook_desk *desk, struct http_request *request, const struct webhook_source *source)
{
    struct header_list list = { .count = 0 };
    http_each_header(request, collect_header, &list);
    const struct webhook w = {
        .method = "POST",
        .source = source->name,
        .url = source->url,
        .headers = list.headers,
        .header_count = list.count,
        .body = http_body(request),
        .now = clock_now(),
    };
    struct error e = { 0 };
    if (!source->unverified && source->kind->verify(&w, source->settings, &e) != ERR_NONE) {
        metric_add(source->refused, 1);
        answer_denied(desk, request, source->name, e.text);
        return;
    }
    /* Only what is genuine counts: otherwise whoever floods us with forgeries would use up the sender's share. */
    msec_t wait_ms = rate_limit_take(source->rate, clock_steady_us());
    if (wait_ms > 0) {
        metric_add(source->limited, 1);
        answer_later(request, source, wait_ms, "more webhooks than the source may send",
                     "rate_limit and rate_burst of the source; nothing is lost while the provider tries again");
        return;
    }
    if (!atomic_load(desk->admits)) {
        metric_add(source->busy, 1);
        answer_busy(request);
        return;
    }
    struct pending *p = memory_new(sizeof(*p));
    p->request = request;
    p->source = source;
    buf_clear(&desk->scratch);
    webhook_source_add_headers(source, &w, &desk->scratch);
    struct batch_item item = { .source = source->name, .body = w.body, .done = stored, .arg = p };
    item.headers_json = (struct bytes){ memory_text_n(desk->scratch.ptr, desk->scratch.len), desk->scratch.len };
    p->headers_json = (char *)(uintptr_t)item.headers_json.ptr;
    json_t *events CLEANUP(json_free) = parse(&w, source, &p->problem);
    item.problem = p->problem;
    p->answer = answer_for(source, events);
    if (pack(desk, source, events, &item.events, &e) != ERR_NONE) {
        stored(&e, p);
    } else if (batcher_add(desk->batcher, &item) != ERR_NONE) {
        ingest_events_done(&item.events);
        e.code = ERR_BUSY;
        stored(&e, p);
    }
    if (desk->scratch.capacity > KEPT_SCRATCH_BYTES)
        buf_done(&desk->scratch);
}

void webhook_handle(struct http_request *request, void *arg)
{
    struct webhook_desk *desk = arg;
    const char *path = http_path(request);
    const char *method = http_method(request);
    size_t prefix = sizeof(PATH_PREFIX) - 1;
    if (strncmp(path, PATH_PREFIX, prefix) != 0 || path[prefix] == '\0' || strchr(path + prefix, '/')) {
        answer_text(request, 404, "not found\n", NULL);
        return;
    }
    const struct webhook_source *source = webhook_sources_find(desk->sources, path + prefix);
    if (desk->require_https && !http_is_https(request)) {
        rejects_add(desk->rejects, source ? source->name : "(unknown)", "not by HTTPS");
        answer_text(request, 403, "only by HTTPS\n", NULL);
        return;
    }
    msec_t wait_ms = refusals_wait(desk->refusals, http_peer(request), clock_steady());
    if (wait_ms > 0) {
        rejects_add(desk->rejects, source ? source->name : "(unknown)", "too many refusals of one address");
        answer_later(request, source, wait_ms, "too many refusals of one address",
                     "ingest.refusals_per_minute; is that a proxy, name it in http.trusted_proxies");
        return;
    }
    bool get = strcmp(method, "GET") == 0;
    if (get && source && source->kind->handshake)
        handle_handshake(desk, request, source);
    else if (strcmp(method, "POST") != 0)
        answer_method(request, source);
    else if (!source)
        answer_denied(desk, request, "(unknown)", "unknown source");
    else
        handle_post(desk, request, source);
}
