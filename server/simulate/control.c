/* /control/…: how a test or a person steers the simulated providers. See README.md. */
#include "simulate/simulator.h"

#include "base/log.h"
#include "base/text.h"
#include "simulate/poster.h"

#include <stdio.h>

static void answer_error(struct http_request *request, const struct error *e)
{
    json_t *body = json_object();
    json_put_bytes(body, "error", bytes_of(e->text));
    answer_json(request, e->code == ERR_NOT_FOUND ? 404 : 400, body);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The entries that fit ?source=, ?to=, ?name= and ?after=NUMBER. */
static void answer_list(struct http_request *request, const json_t *list)
{
    static const char *const filters[] = { "source", "to", "name" };
    const char *after_text = http_query(request, "after");
    int64_t after = 0;
    if (after_text) {
        (void)text_to_i64(bytes_of(after_text), &after);
    }
    json_t *found = json_array();
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry) {
        bool fits = json_int(entry, "number", 0) > after;
        for (size_t i = 0; i < ARRAY_LEN(filters) && fits; i++) {
            const char *wanted = http_query(request, filters[i]);
            fits = wanted == NULL || strcmp(json_str_or(entry, filters[i], ""), wanted) == 0;
        }
        if (fits) {
            json_array_append(found, entry);
        }
    }
    answer_json(request, 200, found);
}

static void get_sent(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    answer_list(request, s->sent);
}

static void get_hooks(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    answer_list(request, s->hooks);
}

static void get_methods(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    answer_list(request, s->methods);
}

static void get_state(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    answer_json(request, 200,
                json_pack("{s:I,s:I,s:I,s:o}", "sent", (json_int_t)json_array_size(s->sent), "hooks",
                          (json_int_t)json_array_size(s->hooks), "webhooks_waiting",
                          (json_int_t)poster_waiting(s->poster), "faults", fault_list_json(&s->faults)));
}

/* --- steering ----------------------------------------------------------------------------------------------------- */

static void post_faults(struct simulator *s, struct http_request *request, json_t *body)
{
    struct error e = { .code = ERR_NONE };
    struct fault_list changed = s->faults;
    size_t index;
    json_t *fault;
    err_t err = ERR_NONE;
    if (json_is_array(body)) {
        json_array_foreach (body, index, fault) {
            if (err == ERR_NONE) {
                err = fault_add_json(&changed, fault, &e);
            }
        }
    } else {
        err = fault_add_json(&changed, body, &e);
    }
    if (err != ERR_NONE) {
        answer_error(request, &e);
        return;
    }
    s->faults = changed;
    answer_json(request, 200, fault_list_json(&s->faults));
}

static void delete_faults(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    s->faults.count = 0;
    answer_json(request, 200, json_array());
}

static void post_templates(struct simulator *s, struct http_request *request, json_t *body)
{
    const char *source = json_str(body, "source");
    json_t *names = json_array_at(body, "names");
    if (source == NULL) {
        answer_error(request, &(struct error){ .code = ERR_INVALID, .text = "it takes {\"source\", \"names\": […]}" });
        return;
    }
    if (names) {
        json_put(s->templates, source, json_incref(names));
    } else {
        json_object_del(s->templates, source);
    }
    answer_json(request, 200, json_incref(s->templates));
}

static void post_reset(struct simulator *s, struct http_request *request, json_t *body)
{
    (void)body;
    s->faults.count = 0;
    json_array_clear(s->sent);
    json_array_clear(s->hooks);
    json_array_clear(s->methods);
    json_object_clear(s->templates);
    poster_clear(s->poster);
    answer_json(request, 200, json_pack("{s:b}", "ok", 1));
}

/* --- webhooks ----------------------------------------------------------------------------------------------------- */

/* Called after the first attempt: the request that asked for the webhook is answered with what became of it. */
static void posted(int status, const char *error, void *arg)
{
    json_t *answer = json_object();
    json_put_int(answer, "status", status);
    if (status == 0) {
        json_put_bytes(answer, "error", bytes_of(error));
    }
    json_put_bool(answer, "taken", status >= 200 && status < 300);
    answer_json(arg, 200, answer);
}

static void post_bytes(struct simulator *s, struct http_request *request, const struct source_config *source,
                       struct bytes body)
{
    struct error e = { .code = ERR_NONE };
    if (poster_add(s->poster, source, body, 0, posted, request, &e) != ERR_NONE) {
        answer_error(request, &e);
        return;
    }
    struct fault fault;
    bool is_twice = fault_take(&s->faults, source->name, FAULT_DUPLICATE, FAULT_DUPLICATE, &fault);
    if (is_twice && poster_add(s->poster, source, body, 0, NULL, NULL, &e) != ERR_NONE) {
        log_warn("duplicate not posted", "source=%s reason='%s'", source->name, e.text);
    }
    log_info("webhook posted on request", "source=%s bytes=%zu", source->name, body.len);
}

/* Takes `body` over. */
static void post_json(struct simulator *s, struct http_request *request, const struct source_config *source,
                      json_t *body)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    json_add(&text, body);
    json_decref(body);
    post_bytes(s, request, source, buf_bytes(&text));
}

/* The source that the body names, or the first one of `fallback_kind`. */
static const struct source_config *source_of(struct simulator *s, struct http_request *request, const json_t *body,
                                             const char *fallback_kind)
{
    const char *name = json_str(body, "source");
    const struct source_config *source = name            ? config_source(s->config, name)
                                         : fallback_kind ? source_of_kind(s, fallback_kind)
                                                         : NULL;
    if (source == NULL) {
        struct error e = { .code = ERR_NONE };
        fail(&e, ERR_NOT_FOUND, "the configuration has no source '%.60s'",
             name            ? name
             : fallback_kind ? fallback_kind
                             : "");
        answer_error(request, &e);
    }
    return source;
}

static void post_say(struct simulator *s, struct http_request *request, json_t *body)
{
    const struct source_config *source = source_of(s, request, body, "whatsapp");
    struct error e = { .code = ERR_NONE };
    if (source == NULL) {
        return;
    }
    json_t *webhook = say_body(s, source, body, &e);
    if (webhook == NULL) {
        answer_error(request, &e);
        return;
    }
    post_json(s, request, source, webhook);
}

static void post_stripe(struct simulator *s, struct http_request *request, json_t *body)
{
    const struct source_config *source = source_of(s, request, body, "stripe");
    if (source) {
        post_json(s, request, source, stripe_body(s, body));
    }
}

static void post_webhook(struct simulator *s, struct http_request *request, json_t *body)
{
    const struct source_config *source = source_of(s, request, body, NULL);
    json_t *content = json_object_get(body, "body");
    if (source == NULL) {
        return;
    }
    if (json_is_string(content)) {
        post_bytes(s, request, source, bytes_of(json_string_value(content)));
    } else if (content) {
        post_json(s, request, source, json_incref(content));
    } else {
        answer_error(request, &(struct error){ .code = ERR_INVALID, .text = "it takes {\"source\", \"body\"}" });
    }
}

static const struct {
    const char *method, *name;
    void (*handle)(struct simulator *s, struct http_request *request, json_t *body);
} routes[] = {
    { "GET", "sent", get_sent },         { "GET", "hooks", get_hooks },         { "GET", "state", get_state },
    { "POST", "faults", post_faults },   { "DELETE", "faults", delete_faults }, { "POST", "templates", post_templates },
    { "POST", "reset", post_reset },     { "POST", "say", post_say },           { "POST", "stripe", post_stripe },
    { "POST", "webhook", post_webhook }, { "GET", "methods", get_methods },
};

bool control_side(struct simulator *s, struct http_request *request, const char *path)
{
    if (strncmp(path, "/control/", 9) != 0) {
        return false;
    }
    json_t *body CLEANUP(json_free) = NULL;
    struct error e = { .code = ERR_NONE };
    if (http_body(request).len > 0 && json_parse(http_body(request), &body, &e) != ERR_NONE) {
        answer_error(request, &e);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (strcmp(routes[i].name, path + 9) == 0 && strcmp(routes[i].method, http_method(request)) == 0) {
            routes[i].handle(s, request, body);
            return true;
        }
    }
    answer_error(request, &(struct error){ .code = ERR_NOT_FOUND, .text = "no such control" });
    return true;
}
