/* The Telegram Bot API: POST /botTOKEN/METHOD. */
#include "simulate/simulator.h"

#include "base/log.h"

#include <stdio.h>

static json_t *bot_error(int code, const char *description)
{
    return json_pack("{s:b,s:i,s:s}", "ok", 0, "error_code", code, "description", description);
}

static void refuse(struct http_request *request, const struct fault *fault)
{
    if (fault->kind == FAULT_RATE_LIMIT || fault->kind == FAULT_PAIR_LIMIT) {
        int wait = fault->number > 0 && fault->number < 3600 ? (int)fault->number : 1;
        char description[64];
        snprintf(description, sizeof(description), "Too Many Requests: retry after %d", wait);
        json_t *body = bot_error(429, description);
        json_put(body, "parameters", json_pack("{s:i}", "retry_after", wait));
        answer_json(request, 429, body);
        return;
    }
    int code = fault->kind == FAULT_SERVER_ERROR
                   ? 500
                   : (int)(fault->number >= 400 && fault->number <= 599 ? fault->number : 400);
    const char *description = code == 403   ? "Forbidden: bot was blocked by the user"
                              : code == 401 ? "Unauthorized"
                              : code >= 500 ? "Internal Server Error"
                                            : "Bad Request: chat not found";
    answer_json(request, code, bot_error(code, description));
}

static size_t units(const char *text)
{
    size_t count = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        count += (*p & 0xc0) == 0x80 ? 0 : *p >= 0xf0 ? 2 : 1;
    }
    return count;
}

static const char *keyboard_problem(const json_t *body)
{
    static const char *const actions[] = { "url", "callback_data", "web_app", "login_url", "pay", "copy_text" };
    const json_t *rows = json_array_at(json_object_at(body, "reply_markup"), "inline_keyboard");
    size_t i, j;
    json_t *row, *button;
    json_array_foreach (rows, i, row) {
        if (!json_is_array(row)) {
            return "Bad Request: object expected as inline keyboard row";
        }
        json_array_foreach (row, j, button) {
            size_t found = 0;
            for (size_t k = 0; k < ARRAY_LEN(actions); k++) {
                found += json_object_get(button, actions[k]) != NULL;
            }
            const char *data = json_str(button, "callback_data");
            if (json_str(button, "text") == NULL || found != 1) {
                return "Bad Request: a button needs a text and exactly one action";
            }
            if (data && (*data == '\0' || strlen(data) > 64)) {
                return "Bad Request: BUTTON_DATA_INVALID";
            }
        }
    }
    return NULL;
}

/* The methods that send, with the field that holds the content. */
static const struct {
    const char *method, *field;
} senders[] = {
    { "sendMessage", "text" },    { "sendPhoto", "photo" },         { "sendVideo", "video" },
    { "sendAudio", "audio" },     { "sendVoice", "voice" },         { "sendDocument", "document" },
    { "sendSticker", "sticker" }, { "sendAnimation", "animation" },
};

static const char *send_problem(const json_t *body, const char *field)
{
    const json_t *chat = json_object_get(body, "chat_id");
    const char *content = json_str(body, field);
    const char *caption = json_str_or(body, "caption", "");
    if (!json_is_integer(chat) && !json_is_string(chat)) {
        return "Bad Request: chat_id is empty";
    }
    if (content == NULL || *content == '\0') {
        return strcmp(field, "text") == 0 ? "Bad Request: message text is empty"
                                          : "Bad Request: there is no file in the request";
    }
    if (strcmp(field, "text") == 0 && units(content) > 4096) {
        return "Bad Request: message is too long";
    }
    if (units(caption) > 1024) {
        return "Bad Request: message caption is too long";
    }
    return keyboard_problem(body);
}

static void accept(struct simulator *s, struct http_request *request, const struct source_config *source,
                   const char *method, const char *field, json_t *body)
{
    json_t *chat = json_object_get(body, "chat_id");
    char to[64];
    char id[32];
    if (json_is_integer(chat)) {
        snprintf(to, sizeof(to), "%lld", (long long)json_integer_value(chat));
    } else {
        snprintf(to, sizeof(to), "%s", json_string_value(chat));
    }
    /* Message ids are 32 bits at Telegram. */
    int64_t number = simulator_number(s) % 2000000000 + 1;
    snprintf(id, sizeof(id), "%lld", (long long)number);
    record_send(
        s, &(struct accepted_send){ .source = source, .method = method, .to = to, .message_id = id, .body = body });
    json_t *result = json_pack("{s:I,s:I,s:{s:O,s:s}}", "message_id", (json_int_t)number, "date",
                               (json_int_t)(clock_now() / 1000), "chat", "id", chat, "type", "private");
    if (strcmp(field, "text") == 0) {
        json_put(result, "text", json_incref(json_object_get(body, "text")));
    }
    answer_accepted(s, request, source->name, json_pack("{s:b,s:o}", "ok", 1, "result", result));
}

static const char *webhook_problem(const json_t *body)
{
    const char *url = json_str_or(body, "url", "");
    const char *token = json_str_or(body, "secret_token", "");
    if (*url && strncmp(url, "https://", 8) != 0) {
        return "Bad Request: bad webhook: An HTTPS URL must be provided for webhook";
    }
    if (strlen(token) > 256 ||
        token[strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")]) {
        return "Bad Request: secret token contains unallowed characters";
    }
    return NULL;
}

/* Methods that answer `true`. False for any other; `*ret_problem` is NULL when it was done. */
static bool do_method(const char *method, const json_t *body, const char **ret_problem)
{
    static const char *const others[] = { "deleteWebhook", "sendChatAction", "deleteMessage", "setMessageReaction" };
    const char *problem = NULL;
    bool is_known = strcmp(method, "setWebhook") == 0 || strcmp(method, "answerCallbackQuery") == 0;
    if (strcmp(method, "setWebhook") == 0) {
        problem = webhook_problem(body);
    } else if (strcmp(method, "answerCallbackQuery") == 0 && json_str(body, "callback_query_id") == NULL) {
        problem = "Bad Request: query is too old and response timeout expired or query ID is invalid";
    }
    for (size_t i = 0; i < ARRAY_LEN(others) && !is_known; i++) {
        is_known = strcmp(method, others[i]) == 0;
    }
    *ret_problem = problem;
    return is_known;
}

/* `via` tells a call of ours from a method in the answer to a webhook. */
static void record_method(struct simulator *s, const struct source_config *source, const char *method, const char *via,
                          json_t *body, const char *problem)
{
    json_t *entry = record(s, s->methods);
    json_put_str(entry, "source", source->name);
    json_put_str(entry, "method", method);
    json_put_str(entry, "via", via);
    json_put(entry, "body", json_incref(body));
    json_put_str(entry, "problem", problem);
    log_info("bot method", "method=%s via=%s problem='%s'", method, via, problem ? problem : "");
}

void telegram_take_answer(struct simulator *s, const struct source_config *source, struct bytes body)
{
    json_t *call CLEANUP(json_free) = NULL;
    if (json_parse(body, &call, NULL) != ERR_NONE || json_str(call, "method") == NULL) {
        log_warn("answer without a method", "source=%s bytes=%zu", source->name, body.len);
        return;
    }
    const char *problem;
    const char *method = json_str(call, "method");
    bool is_known = do_method(method, call, &problem);
    record_method(s, source, method, "answer", call, is_known ? problem : "Not Found");
}

static bool other_method(struct simulator *s, struct http_request *request, const struct source_config *source,
                         const char *method, json_t *body)
{
    if (strcmp(method, "getMe") == 0) {
        answer_json(request, 200,
                    json_pack("{s:b,s:{s:i,s:b,s:s,s:s}}", "ok", 1, "result", "id", 4242, "is_bot", 1, "first_name",
                              "Simulated", "username", "simulated_bot"));
        return true;
    }
    const char *problem;
    if (!do_method(method, body, &problem)) {
        return false;
    }
    record_method(s, source, method, "call", body, problem);
    answer_json(request, problem ? 400 : 200,
                problem ? bot_error(400, problem) : json_pack("{s:b,s:b}", "ok", 1, "result", 1));
    return true;
}

bool telegram_side(struct simulator *s, struct http_request *request, const char *path)
{
    if (strncmp(path, "/bot", 4) != 0) {
        return false;
    }
    const char *method = strrchr(path, '/') + 1;
    char token[256];
    size_t length = method > path + 4 ? (size_t)(method - path - 5) : 0;
    snprintf(token, sizeof(token), "%.*s", (int)(length < sizeof(token) ? length : 0), path + 4);
    const struct source_config *source = source_by_setting(s, "telegram", "bot_token", token);
    if (source == NULL) {
        answer_json(request, 401, bot_error(401, "Unauthorized"));
        return true;
    }
    json_t *body CLEANUP(json_free) = NULL;
    if (http_body(request).len > 0 &&
        (json_parse(http_body(request), &body, NULL) != ERR_NONE || !json_is_object(body))) {
        answer_json(request, 400, bot_error(400, "Bad Request: can't parse request JSON object"));
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
        if (strcmp(senders[i].method, method) != 0) {
            continue;
        }
        const char *problem = send_problem(body, senders[i].field);
        if (problem) {
            log_warn("send refused", "source=%s method=%s reason='%s'", source->name, method, problem);
            answer_json(request, 400, bot_error(400, problem));
        } else if (!answer_fault(s, request, source->name, refuse)) {
            accept(s, request, source, method, senders[i].field, body);
        }
        return true;
    }
    if (!other_method(s, request, source, method, body)) {
        answer_json(request, 404, bot_error(404, "Not Found"));
    }
    return true;
}
