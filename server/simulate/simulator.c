#include "simulate/simulator.h"

#include "base/log.h"
#include "base/memory.h"
#include "simulate/poster.h"

#include <stdio.h>
#include <stdlib.h>

/* More would be forgotten at the front; a test that sends more reads on from a number (?after=). */
#define MOST_RECORDED 100000

/* --- sources ------------------------------------------------------------------------------------------------------ */

const struct source_config *source_by_setting(const struct simulator *s, const char *kind, const char *name,
                                              const char *value)
{
    for (size_t i = 0; i < s->config->source_count; i++) {
        const struct source_config *source = &s->config->sources[i];
        const char *setting = json_str(source->settings, name);
        if (strcmp(source->kind, kind) == 0 && setting && *setting && strcmp(setting, value) == 0) {
            return source;
        }
    }
    return NULL;
}

const struct source_config *source_of_kind(const struct simulator *s, const char *kind)
{
    for (size_t i = 0; i < s->config->source_count; i++) {
        if (strcmp(s->config->sources[i].kind, kind) == 0) {
            return &s->config->sources[i];
        }
    }
    return NULL;
}

int64_t simulator_number(struct simulator *s)
{
    return ++s->last_number;
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

void answer_json(struct http_request *request, int status, json_t *body)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    json_add(&text, body);
    json_decref(body);
    http_answer(request, status, "application/json", buf_bytes(&text), NULL);
}

void answer_broken(struct http_request *request)
{
    static const char *const headers[] = { "Content-Length", "4096", "Connection", "close", NULL };
    http_answer(request, 200, "application/json", BYTES_LITERAL("{"), headers);
}

struct held_answer {
    struct http_request *request;
    int status;
    json_t *body;
    msec_t due;
    struct held_answer *next;
};

static void release_answers(void *arg)
{
    struct simulator *s = arg;
    msec_t now = clock_steady();
    msec_t next_due = 0;
    struct held_answer **at = &s->held;
    while (*at) {
        struct held_answer *held = *at;
        if (held->due <= now) {
            *at = held->next;
            answer_json(held->request, held->status, held->body);
            free(held);
            continue;
        }
        next_due = next_due == 0 || held->due < next_due ? held->due : next_due;
        at = &held->next;
    }
    if (next_due > 0) {
        loop_timer_set(s->hold_timer, next_due - now);
    }
}

void answer_later(struct simulator *s, struct http_request *request, int status, json_t *body, msec_t after_ms)
{
    struct held_answer *held = memory_new(sizeof(*held));
    *held = (struct held_answer){ request, status, body, clock_steady() + after_ms, s->held };
    s->held = held;
    release_answers(s);
}

void held_answers_free(struct simulator *s)
{
    while (s->held) {
        struct held_answer *held = s->held;
        s->held = held->next;
        json_decref(held->body);
        free(held);
    }
}

bool answer_fault(struct simulator *s, struct http_request *request, const char *source, refuse_function *refuse)
{
    struct fault fault;
    if (!fault_take(&s->faults, source, FAULT_RATE_LIMIT, FAULT_REFUSE, &fault)) {
        return false;
    }
    log_info("send refused on purpose", "source=%s fault=%s number=%lld", source, fault_name(fault.kind),
             (long long)fault.number);
    refuse(request, &fault);
    return true;
}

void answer_accepted(struct simulator *s, struct http_request *request, const char *source, json_t *body)
{
    struct fault fault;
    if (fault_take(&s->faults, source, FAULT_DROP_ANSWER, FAULT_BAD_GATEWAY, &fault)) {
        log_info("answer lost on purpose", "source=%s fault=%s", source, fault_name(fault.kind));
        json_decref(body);
        if (fault.kind == FAULT_DROP_ANSWER) {
            answer_broken(request);
        } else {
            http_answer(request, 502, "text/html", BYTES_LITERAL("<html>bad gateway</html>"), NULL);
        }
    } else if (fault_take(&s->faults, source, FAULT_SLOW, FAULT_SLOW, &fault)) {
        answer_later(s, request, 200, body, fault.number >= 0 ? fault.number : 1000);
    } else {
        answer_json(request, 200, body);
    }
}

/* --- what was accepted -------------------------------------------------------------------------------------------- */

json_t *record(struct simulator *s, json_t *list)
{
    json_t *entry = json_object();
    json_put_int(entry, "number", simulator_number(s));
    json_put_time(entry, "at", clock_now());
    json_array_append_new(list, entry);
    if (json_array_size(list) > MOST_RECORDED) {
        json_array_remove(list, 0);
    }
    return entry;
}

void record_send(struct simulator *s, const struct accepted_send *send)
{
    json_t *entry = record(s, s->sent);
    json_put_str(entry, "source", send->source->name);
    json_put_str(entry, "provider", send->source->kind);
    json_put_str(entry, "method", send->method);
    json_put_str(entry, "to", send->to);
    json_put_str(entry, "message_id", send->message_id);
    json_put_str(entry, "echo", send->echo);
    json_put(entry, "body", json_incref(send->body));
    log_info("message accepted", "source=%s to=%s message=%s", send->source->name, send->to, send->message_id);
}

void post_status(struct simulator *s, const struct source_config *source, json_t *body, msec_t after_ms)
{
    struct fault fault;
    struct error e = { .code = ERR_NONE };
    int copies = fault_take(&s->faults, source->name, FAULT_DUPLICATE, FAULT_DUPLICATE, &fault) ? 2 : 1;
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    json_add(&text, body);
    json_decref(body);
    for (int i = 0; i < copies; i++) {
        if (poster_add(s->poster, source, buf_bytes(&text), after_ms, NULL, NULL, &e) != ERR_NONE) {
            log_warn("status not posted", "source=%s reason='%s'", source->name, e.text);
            return;
        }
    }
}

/* --- routing ------------------------------------------------------------------------------------------------------ */

static void handle(struct http_request *request, void *arg)
{
    struct simulator *s = arg;
    const char *path = http_path(request);
    if (control_side(s, request, path) || telegram_side(s, request, path) || whatsapp_side(s, request, path) ||
        messenger_side(s, request, path) || hook_side(s, request, path)) {
        return;
    }
    log_info("request for nobody", "method=%s", http_method(request));
    answer_json(request, 404,
                json_pack("{s:{s:s,s:s,s:i}}", "error", "message", "no source of the configuration has this address",
                          "type", "OAuthException", "code", 100));
}

static void header_into(const char *name, const char *value, void *arg)
{
    json_put_str(arg, name, value);
}

/* Any receiver of outgoing webhooks: POST /hook/NAME. Faults are those of the source NAME. */
static void refuse_hook(struct http_request *request, const struct fault *fault)
{
    int status = fault->kind == FAULT_REFUSE ? (int)(fault->number >= 100 && fault->number <= 599 ? fault->number : 400)
                 : fault->kind == FAULT_SERVER_ERROR ? 500
                                                     : 429;
    static const char *const headers[] = { "Retry-After", "1", NULL };
    http_answer(request, status, "text/plain", BYTES_LITERAL("refused on purpose"), status == 429 ? headers : NULL);
}

bool hook_side(struct simulator *s, struct http_request *request, const char *path)
{
    if (strncmp(path, "/hook/", 6) != 0 || strcmp(http_method(request), "POST") != 0) {
        return false;
    }
    const char *name = path + 6;
    struct bytes raw = http_body(request);
    json_t *body = NULL;
    json_t *entry = record(s, s->hooks);
    json_t *headers = json_object();
    http_each_header(request, header_into, headers);
    json_put_str(entry, "name", name);
    json_put(entry, "headers", headers);
    json_put_bytes(entry, "raw", raw);
    if (json_parse(raw, &body, NULL) == ERR_NONE) {
        json_put(entry, "body", body);
    }
    char source[64];
    snprintf(source, sizeof(source), "%s", name);
    log_info("webhook received", "name=%s bytes=%zu", source, raw.len);
    bool is_refused = answer_fault(s, request, source, refuse_hook);
    json_put_bool(entry, "accepted", !is_refused);
    if (!is_refused) {
        answer_accepted(s, request, source, json_pack("{s:b}", "ok", 1));
    }
    return true;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void take_answer(const struct source_config *source, struct bytes body, void *arg)
{
    if (strcmp(source->kind, "telegram") == 0) {
        telegram_take_answer(arg, source, body);
    }
}

err_t simulator_new(const struct simulate_settings *settings, struct simulator **ret_simulator, struct error *reterr)
{
    struct simulator *s = memory_new(sizeof(*s));
    s->config = settings->config;
    s->delay_ms = settings->delay_ms;
    s->loop = loop_new();
    s->hold_timer = loop_timer_new(s->loop, release_answers, s);
    s->poster = poster_new(s->loop, settings->target, take_answer, s);
    s->server = http_server_new(s->loop, NULL, handle, s);
    s->sent = json_array();
    s->hooks = json_array();
    s->methods = json_array();
    s->templates = json_object();
    /* Ids of an earlier run must not come again: answerd takes them for duplicates. */
    s->last_number = clock_now() * 1000;
    err_t err = settings->faults ? fault_add_text(&s->faults, settings->faults, reterr) : ERR_NONE;
    if (err == ERR_NONE) {
        err = http_server_listen(s->server, settings->listen, NULL, reterr);
    }
    if (err != ERR_NONE) {
        simulator_free(s);
        return err;
    }
    log_info("simulated providers listen", "address=%s target=%s sources=%zu", settings->listen, settings->target,
             s->config->source_count);
    *ret_simulator = s;
    return ERR_NONE;
}

void simulator_run(struct simulator *s)
{
    loop_run(s->loop);
}

void simulator_stop(struct simulator *s)
{
    loop_stop(s->loop);
}

void simulator_free(struct simulator *s)
{
    if (s == NULL) {
        return;
    }
    http_server_free(s->server);
    poster_free(s->poster);
    held_answers_free(s);
    loop_timer_free(s->hold_timer);
    loop_free(s->loop);
    json_decref(s->sent);
    json_decref(s->hooks);
    json_decref(s->methods);
    json_decref(s->templates);
    free(s);
}
