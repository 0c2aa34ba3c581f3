/* `answerd health`: asks a running server on this machine whether it is ready. Containers call it as their health
 * check, because their image holds no other HTTP client. */
#include "commands/commands.h"

#include "io/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEALTH_TIMEOUT_MS = 3000 };

struct answer {
    bool arrived;
    int status;
    char text[512];
};

static void keep_answer(const struct http_exchange *exchange, void *arg)
{
    struct answer *answer = arg;
    answer->arrived = true;
    answer->status = exchange->outcome == HTTP_ANSWERED ? exchange->status : 0;
    snprintf(answer->text, sizeof answer->text, "%.*s", (int)exchange->body.len,
             exchange->outcome == HTTP_ANSWERED ? exchange->body.ptr : "");
    if (exchange->outcome != HTTP_ANSWERED) {
        snprintf(answer->text, sizeof answer->text, "%s", exchange->error);
    }
}

/* A listener on all addresses is asked on the loopback one. */
static void ready_url(const char *admin_listen, char *url, size_t size)
{
    const char *colon = strrchr(admin_listen, ':');
    bool any = strncmp(admin_listen, "0.0.0.0:", 8) == 0 || strncmp(admin_listen, "[::]:", 5) == 0;
    if (any && colon) {
        snprintf(url, size, "http://127.0.0.1%s/readyz", colon);
    } else {
        snprintf(url, size, "http://%s/readyz", admin_listen);
    }
}

static int run_health(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    void *const values[] = { &config_path };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0) {
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    }
    struct config *config = NULL;
    exit_code = command_load_config(command, config_path, false, &config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    char url[300];
    ready_url(config->http.admin_listen, url, sizeof url);
    config_free(config);

    http_client_start();
    struct http_client_settings settings = { .max_connections = 1 };
    struct http_client *client = http_client_new(&settings);
    struct answer answer = { 0 };
    struct http_client_request request = { .method = "GET", .url = url, .timeout_ms = HEALTH_TIMEOUT_MS };
    http_client_send(client, &request, keep_answer, &answer);
    while (!answer.arrived) {
        http_client_wait(client, HEALTH_TIMEOUT_MS);
    }
    http_client_free(client);
    if (answer.status == 0) {
        fprintf(stderr,
                "answerd health: %s does not answer: %s\n"
                "HINT: is `answerd serve` running there, with this configuration?\n",
                url, answer.text);
        return EXIT_WRONG;
    }
    printf("%s%s", answer.text, answer.text[0] && answer.text[strlen(answer.text) - 1] == '\n' ? "" : "\n");
    return answer.status == 200 ? EXIT_OK : EXIT_WRONG;
}

static const struct command_option options[] = {
    { "config", OPTION_TEXT, "FILE", "the configuration of the server" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_health = {
    .name = "health",
    .summary = "ask the server on this machine whether it is ready",
    .usage = "[--config FILE]",
    .details = "Prints what /readyz of the admin listener says. Exits 0 when the server is ready, 1 when it is not.",
    .options = options,
    .run = run_health,
};
