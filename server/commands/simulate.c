/* `answerd simulate`: the providers' side, for development and tests. */
#include "commands/commands.h"

#include "base/log.h"
#include "io/crypto.h"
#include "io/http_client.h"
#include "simulate/simulate.h"

#include <signal.h>
#include <string.h>

static struct simulator *running;

static void stop_on_signal(int received)
{
    (void)received;
    simulator_stop(running);
}

static void obey_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = stop_on_signal;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    struct simulate_settings settings = {
        .listen = "127.0.0.1:8090", .target = "http://127.0.0.1:8080", .faults = NULL, .delay_ms = 40
    };
    int64_t delay_ms = settings.delay_ms;
    void *const values[] = { &config_path, &settings.listen, &settings.target, &settings.faults, &delay_ms };
    int operands, code;
    if (!options_parse(command, argc, argv, values, &operands, &code)) {
        return code;
    }
    if (operands > 0) {
        return command_usage_error(command, "'%s' is one word too many", argv[1]);
    }
    if (strncmp(settings.target, "http://", 7) != 0 && strncmp(settings.target, "https://", 8) != 0) {
        return command_usage_error(command, "--target %s is no http or https URL", settings.target);
    }
    struct config *config = NULL;
    code = command_load_config(command, config_path, true, &config);
    if (code != EXIT_OK) {
        return code;
    }
    crypto_start();
    http_client_start();
    log_set_actor("simulate");
    settings.config = config;
    settings.delay_ms = delay_ms > 0 ? delay_ms : 0;
    struct error e = { .code = ERR_NONE };
    if (simulator_new(&settings, &running, &e) != ERR_NONE) {
        code = command_failed(command, &e);
        code = e.code == ERR_INVALID ? EXIT_USAGE : code; /* --listen or --faults */
    } else {
        obey_signals();
        simulator_run(running);
        /* A second signal ends the process where it stands: from here on the simulator is going away. */
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        simulator_free(running);
        running = NULL;
    }
    config_free(config);
    return code;
}

static const struct command_option options_table[] = {
    { "config", OPTION_TEXT, "FILE", "the configuration whose sources are simulated" },
    { "listen", OPTION_TEXT, "ADDRESS", "where answerd sends to; default 127.0.0.1:8090" },
    { "target", OPTION_TEXT, "URL", "answerd, for status webhooks; default http://127.0.0.1:8080" },
    { "faults", OPTION_TEXT, "SPEC", "faults from the start: [SOURCE:]KIND[=NUMBER][*TIMES], with commas" },
    { "delay", OPTION_DURATION, "TIME", "between sent, delivered and read; default 40ms" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_simulate = {
    .name = "simulate",
    .summary = "play the providers for development and tests",
    .usage = "[--config FILE] [--listen ADDRESS] [--target URL] [--faults SPEC] [--delay TIME]",
    .details =
        "Accepts sends to WhatsApp, Telegram, Messenger and Instagram as strictly as they do, and posts signed status\n"
        "webhooks to the target. Set api_url of the sources to http://ADDRESS. Sends nothing anywhere else.\n"
        "\n"
        "Faults: rate_limit pair_limit server_error refuse drop_answer bad_gateway slow duplicate reorder batch\n"
        "late_status no_status fail_status; also at run time: POST /control/faults. GET /control/sent lists what was\n"
        "accepted, POST /control/say lets a customer write. server/simulate/README.md describes it all.",
    .options = options_table,
    .run = run,
};
