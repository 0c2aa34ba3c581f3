#include "commands/webhook.h"

#include "channel/channel.h"
#include "io/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTRATION_TIMEOUT_MS 20000

struct answer {
    bool done;
    enum http_outcome outcome;
    int status;
    struct buf body;
    char error[256];
};

static void answer_done(struct answer *answer)
{
    buf_done(&answer->body);
}

static void on_done(const struct http_exchange *exchange, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->outcome = exchange->outcome;
    answer->status = exchange->status;
    buf_add_bytes(&answer->body, exchange->body);
    (void)snprintf(answer->error, sizeof(answer->error), "%s", exchange->error);
}

/* Overwrites each secret of the source that the text repeats. */
static void hide_secret(char *text, const char *secret)
{
    size_t length = secret ? strlen(secret) : 0;
    for (char *at = text; length >= 4 && (at = strstr(at, secret)) != NULL; at += length) {
        memset(at, '*', length);
    }
}

static void hide_secrets(char *text, const struct channel_kind *kind, const json_t *settings)
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

/* Telegram answers 200 {"ok":false} in some cases; a body without "ok" is judged by its status. */
static bool is_accepted(const struct answer *answer)
{
    json_t *body CLEANUP(json_free) = NULL;
    bool ok = answer->status >= 200 && answer->status < 300;
    if (json_parse(buf_bytes(&answer->body), &body, NULL) == ERR_NONE) {
        ok = ok && json_bool(body, "ok", true) && json_bool(body, "success", true);
    }
    return ok;
}

static int call(const struct command *command, const struct channel_kind *kind, const json_t *settings,
                const struct outgoing_request *request)
{
    http_client_start();
    struct http_client_settings limits = { .max_connections = 1 };
    struct http_client *client = http_client_new(&limits);
    struct answer answer CLEANUP(answer_done) = { .done = false };
    buf_init(&answer.body, 65536);

    const char *headers[ARRAY_LEN(request->headers) + 1] = { NULL };
    for (size_t i = 0; i < ARRAY_LEN(request->headers) && request->headers[i]; i++) {
        headers[i] = request->headers[i];
    }
    struct http_client_request outgoing = {
        .url = request->url.ptr,
        .headers = headers,
        .body = buf_bytes(&request->body),
        .timeout_ms = REGISTRATION_TIMEOUT_MS,
    };
    http_client_send(client, &outgoing, on_done, &answer);
    while (!answer.done) {
        http_client_wait(client, 1000);
    }
    http_client_free(client);

    if (answer.outcome != HTTP_ANSWERED) {
        struct error e = { 0 };
        (void)fail(&e, ERR_LOST, "the provider could not be reached: %s", answer.error);
        hide_secrets(e.text, kind, settings);
        fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
        return EXIT_WRONG;
    }
    bool accepted = is_accepted(&answer);
    char *text = buf_take(&answer.body);
    hide_secrets(text ? text : (char[]){ "" }, kind, settings);
    printf("%d %s\n", answer.status, text ? text : "");
    free(text);
    return accepted ? EXIT_OK : EXIT_WRONG;
}

int webhook_register(const struct command *command, const char *source, const struct webhook_options *options)
{
    struct config *config = NULL;
    int code = command_load_config(command, options->config, options->dev, &config);
    if (code != EXIT_OK) {
        return code;
    }
    const struct source_config *found = config_source(config, source);
    const struct channel_kind *kind = found ? channel_find(found->kind) : NULL;
    struct buf url CLEANUP(buf_done);
    buf_init(&url, 4096);
    if (options->url) {
        buf_add_text(&url, options->url);
    } else if (config->http.public_url && *config->http.public_url) {
        const char *base = config->http.public_url;
        size_t length = strlen(base);
        while (length > 0 && base[length - 1] == '/') {
            length--;
        }
        buf_addf(&url, "%.*s/webhooks/%s", (int)length, base, source);
    }

    struct outgoing_request request CLEANUP(outgoing_request_done) = { 0 };
    struct error e = { 0 };
    if (kind == NULL) {
        code = command_usage_error(command, "the configuration has no source '%s'", source);
    } else if (url.len == 0) {
        code = command_usage_error(command, "the address is not known: give --url, or set http.public_url");
    } else if (kind->registration == NULL) {
        printf("sources of the kind %s are registered at the provider by hand; the address is %s\n", kind->name,
               url.ptr);
        code = EXIT_WRONG;
    } else if (kind->registration(url.ptr, found->settings, &request, &e) != ERR_NONE) {
        code = command_failed(command, &e);
    } else {
        code = call(command, kind, found->settings, &request);
    }
    config_free(config);
    return code;
}
