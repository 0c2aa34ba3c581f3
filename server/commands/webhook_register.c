#include "commands/webhook.h"

#include "commands/provider_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Telegram answers 200 {"ok":false} in some cases; a body without "ok" is judged by its status. */
static bool is_accepted(const struct provider_answer *answer)
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
    struct provider_answer answer CLEANUP(provider_answer_done);
    struct error e = { 0 };
    if (provider_call("POST", request, kind, settings, &answer, &e) != ERR_NONE) {
        fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
        return EXIT_WRONG;
    }
    bool accepted = is_accepted(&answer);
    char *text = buf_take(&answer.body);
    provider_hide_secrets(text ? text : (char[]){ "" }, kind, settings);
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
