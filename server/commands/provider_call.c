#include "commands/provider_call.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "io/http_client.h"

#define CALL_TIMEOUT_MS 20000
#define ANSWER_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct call {
    bool done;
    enum http_outcome outcome;
    struct provider_answer *answer;
    char error[256];
};

void provider_answer_done(struct provider_answer *answer)
{
    buf_done(&answer->body);
}

static void on_done(const struct http_exchange *exchange, void *arg)
{
    struct call *call = arg;
    call->done = true;
    call->outcome = exchange->outcome;
    call->answer->status = exchange->status;
    buf_add_bytes(&call->answer->body, exchange->body);
    (void)snprintf(call->error, sizeof(call->error), "%s", exchange->error);
}

static void hide_secret(char *text, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    for (char *at = text; length >= 4 && (at = strstr(at, secret)) != NULL; at += length) {
        memset(at, '*', length);
    }
}

void provider_hide_secrets(char *text, const struct channel_kind *kind, const json_t *settings)
{
    for (const struct channel_setting *s = kind->settings; s && s->name; s++) {
        if (s->type != SETTING_SECRET && s->type != SETTING_SECRETS) {
            continue;
        }
        const json_t *value = json_object_get(settings, s->name);
        hide_secret(text, json_string_value(value));
        size_t index;
        json_t *element;
        json_array_foreach (value, index, element) {
            hide_secret(text, json_string_value(element));
        }
    }
}

err_t provider_call(const char *method, const struct outgoing_request *request, const struct channel_kind *kind,
                    const json_t *settings, struct provider_answer *ret_answer, struct error *reterr)
{
    http_client_start();
    struct http_client_settings limits = { .max_connections = 1, .max_answer_bytes = ANSWER_MAX_BYTES };
    struct http_client *client = http_client_new(&limits);
    *ret_answer = (struct provider_answer){ .status = 0 };
    buf_init(&ret_answer->body, ANSWER_MAX_BYTES);
    struct call call = { .answer = ret_answer };

    const char *headers[ARRAY_LEN(request->headers) + 1] = { NULL };
    for (size_t i = 0; i < ARRAY_LEN(request->headers) && request->headers[i]; i++) {
        headers[i] = request->headers[i];
    }
    struct http_client_request outgoing = {
        .method = method,
        .url = request->url.ptr,
        .headers = headers,
        .body = buf_bytes(&request->body),
        .timeout_ms = CALL_TIMEOUT_MS,
    };
    http_client_send(client, &outgoing, on_done, &call);
    while (!call.done) {
        http_client_wait(client, 1000);
    }
    http_client_free(client);
    if (call.outcome == HTTP_ANSWERED) {
        return ERR_NONE;
    }
    struct error lost = { 0 };
    err_t err = fail(&lost, ERR_LOST, "the provider could not be reached: %s", call.error);
    provider_hide_secrets(lost.text, kind, settings);
    if (reterr != NULL) {
        *reterr = lost;
    }
    return err;
}
