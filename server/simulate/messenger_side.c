/* Messenger and Instagram: POST /VERSION/PAGE_OR_ACCOUNT/messages, then an echo, a delivery and a read webhook. */
#include "simulate/simulator.h"

#include "base/log.h"

#include <stdio.h>

#define MOST_TEXT 2000
#define MOST_INSTAGRAM_BYTES 1000
#define MOST_METADATA 1000

static const struct source_config *find_source(const struct simulator *s, const char *object, const char *token)
{
    static const struct {
        const char *kind, *id;
    } kinds[] = { { "messenger", "page_id" }, { "instagram", "account_id" } };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct source_config *source = strcmp(object, "me") == 0
                                                 ? source_by_setting(s, kinds[i].kind, "access_token", token)
                                                 : source_by_setting(s, kinds[i].kind, kinds[i].id, object);
        if (source) {
            return source;
        }
    }
    return NULL;
}

static const char *account_of(const struct source_config *source)
{
    const char *id = json_str(source->settings, strcmp(source->kind, "messenger") == 0 ? "page_id" : "account_id");
    return id && *id ? id : "1000000001";
}

static const char *find_problem(const json_t *body, bool is_instagram)
{
    const json_t *message = json_object_at(body, "message");
    const char *text = json_str(message, "text");
    const char *metadata = json_str(message, "metadata");
    const json_t *replies = json_array_at(message, "quick_replies");
    size_t index;
    json_t *reply;
    if (json_str(json_object_at(body, "recipient"), "id") == NULL) {
        return "recipient.id is missing";
    }
    if (message == NULL || (text == NULL) == (json_object_at(message, "attachment") == NULL)) {
        return "message needs either text or attachment";
    }
    if (text && (*text == '\0' || strlen(text) > (is_instagram ? MOST_INSTAGRAM_BYTES : 4 * MOST_TEXT))) {
        return "the text is empty or too long";
    }
    if (metadata && strlen(metadata) >= MOST_METADATA) {
        return "metadata is too long";
    }
    if (json_array_size(replies) > 13) {
        return "more than 13 quick replies";
    }
    json_array_foreach (replies, index, reply) {
        if (json_str(reply, "title") == NULL || strlen(json_str(reply, "title")) > 80 ||
            json_str(reply, "payload") == NULL) {
            return "a quick reply without title or payload";
        }
    }
    return NULL;
}

/* One messaging element between the account and a person, in its envelope; `what` is taken over. */
static json_t *envelope(const struct source_config *source, const char *person, bool from_us, const char *key,
                        json_t *what)
{
    const char *account = account_of(source);
    msec_t now = clock_now();
    return json_pack("{s:s,s:[{s:s,s:I,s:[{s:{s:s},s:{s:s},s:I,s:o}]}]}", "object",
                     strcmp(source->kind, "messenger") == 0 ? "page" : "instagram", "entry", "id", account, "time",
                     (json_int_t)now, "messaging", "sender", "id", from_us ? account : person, "recipient", "id",
                     from_us ? person : account, "timestamp", (json_int_t)now, key, what);
}

static void accept(struct simulator *s, struct http_request *request, const struct source_config *source, json_t *body)
{
    const char *person = json_str(json_object_at(body, "recipient"), "id");
    const json_t *message = json_object_at(body, "message");
    const char *metadata = json_str(message, "metadata");
    bool is_messenger = strcmp(source->kind, "messenger") == 0;
    struct fault fault;
    char id[64];
    snprintf(id, sizeof(id), "m_SIM%lld", (long long)simulator_number(s));
    record_send(
        s, &(struct accepted_send){ .source = source, .to = person, .message_id = id, .echo = metadata, .body = body });
    if (!fault_take(&s->faults, source->name, FAULT_NO_STATUS, FAULT_NO_STATUS, &fault)) {
        json_t *echo = json_pack("{s:s,s:b}", "mid", id, "is_echo", 1);
        json_put_str(echo, "text", json_str(message, "text"));
        json_put_str(echo, "metadata", metadata);
        post_status(s, source, envelope(source, person, true, "message", echo), s->delay_ms);
        if (is_messenger) {
            json_t *delivery = json_pack("{s:[s],s:I}", "mids", id, "watermark", (json_int_t)clock_now());
            post_status(s, source, envelope(source, person, false, "delivery", delivery), 2 * s->delay_ms);
        }
        json_t *read =
            is_messenger ? json_pack("{s:I}", "watermark", (json_int_t)clock_now()) : json_pack("{s:s}", "mid", id);
        post_status(s, source, envelope(source, person, false, "read", read), 3 * s->delay_ms);
    }
    answer_accepted(s, request, source->name, json_pack("{s:s,s:s}", "recipient_id", person, "message_id", id));
}

bool messenger_side(struct simulator *s, struct http_request *request, const char *path)
{
    char object[128];
    if (!graph_path(path, object, sizeof(object))) {
        return false;
    }
    const char *token = bearer_token(request);
    const struct source_config *source = find_source(s, object, token);
    if (source == NULL) {
        return false;
    }
    json_t *body CLEANUP(json_free) = NULL;
    int code = 100;
    const char *problem = NULL;
    if (strcmp(token, json_str_or(source->settings, "access_token", "")) != 0) {
        code = 190;
        problem = "Invalid OAuth access token";
    } else if (json_parse(http_body(request), &body, NULL) != ERR_NONE || !json_is_object(body)) {
        problem = "Invalid JSON";
    } else {
        problem = find_problem(body, strcmp(source->kind, "instagram") == 0);
    }
    if (problem) {
        log_warn("send refused", "source=%s code=%d reason='%s'", source->name, code, problem);
        answer_json(request, graph_status_of(code), graph_error(code, problem));
    } else if (!answer_fault(s, request, source->name, graph_refuse)) {
        accept(s, request, source, body);
    }
    return true;
}
