/* `answerd serve`: the server. */
#include "commands/certificate_check.h"
#include "commands/clock_watch.h"
#include "commands/commands.h"
#include "commands/descriptors.h"
#include "commands/serve_process.h"
#include "commands/serve_rules.h"
#include "commands/service_manager.h"
#include "commands/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/heartbeat.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/crypto.h"
#include "io/http_client.h"
#include "store/store.h"

#define DATABASE_PATIENCE_MS 60000
#define DATABASE_RETRY_MS 250
#define DATABASE_RETRY_MAX_MS 1000
/* Nobody is told to stop while it waits for the database: not for long. */
#define DATABASE_STATEMENT_MS 15000
#define UPKEEP_EVERY_MS 1000

static bool parse_roles(const char *text, struct serve_roles *ret_roles)
{
    struct bytes rest = bytes_of(text);
    *ret_roles = (struct serve_roles){ .ingest = false };
    while (rest.len > 0) {
        struct bytes role = text_trim(text_next_field(&rest, ','));
        if (bytes_equal(role, BYTES_LITERAL("ingest"))) {
            ret_roles->ingest = true;
        } else if (bytes_equal(role, BYTES_LITERAL("engine"))) {
            ret_roles->engine = true;
        } else if (bytes_equal(role, BYTES_LITERAL("deliver"))) {
            ret_roles->deliver = true;
        } else {
            return false;
        }
    }
    return ret_roles->ingest || ret_roles->engine || ret_roles->deliver;
}

static void on_stop_signals(void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

static void leave_before_the_start(int received)
{
    (void)received;
    _exit(EXIT_OK);
}

/* While the configuration and the rules are read there is nothing to stop, so who is told to stop leaves. As the first
 * process of a container it would not even hear of it: the kernel keeps signals without a handler from that one. A
 * SIGHUP waits until there are rules to load again. */
static void obey_signals_before_the_start(void)
{
    on_stop_signals(leave_before_the_start);
    sigset_t later;
    sigemptyset(&later);
    sigaddset(&later, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &later, NULL);
}

/* The signals that main waits for; blocked here, before there is any thread, and so in all of them. */
static sigset_t block_signals(void)
{
    sigset_t waited_for;
    sigemptyset(&waited_for);
    sigaddset(&waited_for, SIGTERM);
    sigaddset(&waited_for, SIGINT);
    sigaddset(&waited_for, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    /* These mean that the program itself is broken, in whatever thread. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigdelset(&all, SIGPROF);
    sigdelset(&all, SIGTSTP);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    return waited_for;
}

/* The next signal, or 0 after `wait_ms`. */
static int next_signal(const sigset_t *waited_for, msec_t wait_ms)
{
    const struct timespec wait = { .tv_sec = (time_t)(wait_ms / 1000), .tv_nsec = (long)(wait_ms % 1000) * 1000000 };
    heartbeat_rest();
    int received = sigtimedwait(waited_for, NULL, &wait);
    heartbeat_beat();
    return received > 0 ? received : 0;
}

static void leave_at_once(int received)
{
    (void)received;
    _exit(EXIT_INTERNAL);
}

/* From here on a second signal ends the process where it stands; leases and open work are for others. */
static void obey_second_signal(void)
{
    on_stop_signals(leave_at_once);
    sigset_t open;
    sigemptyset(&open);
    sigaddset(&open, SIGTERM);
    sigaddset(&open, SIGINT);
    pthread_sigmask(SIG_UNBLOCK, &open, NULL);
}

static err_t try_database(const struct config *config, struct error *reterr)
{
    const struct pg_settings settings = {
        .conninfo = config->database.url,
        .application_name = "answerd serve",
        .statement_timeout_ms = DATABASE_STATEMENT_MS,
        .writes = true,
    };
    struct pg *pg = NULL;
    err_t err = pg_open(&settings, &pg, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    err = store_check_schema(pg, reterr);
    if (err == ERR_NONE) {
        err = clock_watch(pg, reterr);
    }
    if (err == ERR_NONE) {
        err = store_make_partitions(pg, reterr);
    }
    pg_close(pg);
    return err;
}

static void reload(struct serve_process *process)
{
    service_manager_tell("RELOADING=1");
    json_t *report = NULL;
    struct error error;
    serve_process_reload_certificates(process);
    if (serve_process_reload(process, &report, &error) == ERR_NONE) {
        json_decref(report);
    }
    service_manager_tell("READY=1");
}

/* Waits for the database, as long as it takes; meanwhile webhooks are answered 503 and /readyz says why. A database
 * that answers and has another schema is an error. */
static int wait_for_database(struct serve_process *process, const struct config *config, const sigset_t *signals,
                             bool *ret_stop)
{
    msec_t next_word = clock_steady() + DATABASE_PATIENCE_MS;
    struct error error;
    for (unsigned attempt = 1;; attempt++) {
        err_t err = try_database(config, &error);
        if (err == ERR_NONE) {
            return EXIT_OK;
        }
        if (err != ERR_LOST && err != ERR_BUSY && err != ERR_TIMEOUT && err != ERR_CONFLICT) {
            log_error("the database does not fit", "reason='%s'", error.text);
            return EXIT_DATABASE;
        }
        if (attempt == 1) {
            log_warn("waiting for the database", "reason='%s'", error.text);
        }
        if (clock_steady() >= next_word) {
            log_error("still waiting for the database", "reason='%s'", error.text);
            service_manager_tell("READY=1"); /* as far as it goes: started again, it would wait as well */
            next_word = clock_steady() + DATABASE_PATIENCE_MS;
        }
        int received =
            next_signal(signals, backoff_delay(attempt, DATABASE_RETRY_MS, DATABASE_RETRY_MAX_MS, crypto_random_u32()));
        if (received == SIGTERM || received == SIGINT) {
            *ret_stop = true;
            return EXIT_OK;
        }
        if (received == SIGHUP) {
            reload(process);
        }
    }
}

/* Until a signal says stop, or the database has gone on without this program; returns the exit code. */
static int serve_until_stopped(struct serve_process *process, const sigset_t *signals)
{
    for (;;) {
        int received = next_signal(signals, UPKEEP_EVERY_MS);
        if (received == SIGTERM || received == SIGINT) {
            log_info("stopping", "signal=%s", received == SIGTERM ? "SIGTERM" : "SIGINT");
            return EXIT_OK;
        }
        if (received == SIGHUP) {
            reload(process);
        }
        serve_process_upkeep(process);
        if (serve_process_is_unfit(process)) {
            return EXIT_DATABASE;
        }
    }
}

static int serve(const struct config *config, struct serve_roles roles, struct rule_sources *sources)
{
    sigset_t signals = block_signals();
    struct serve_process *process = NULL;
    struct watchdog *watchdog = NULL;
    struct error error;
    err_t err = serve_process_start(config, roles, sources, &process, &error);
    if (err == ERR_NONE) {
        err = watchdog_start(config->process.stalled_after_ms, &watchdog, &error);
    }
    if (err != ERR_NONE) {
        log_error("cannot start", "reason='%s'", error.text);
        serve_process_stop(process);
        return err == ERR_INVALID ? EXIT_CONFIGURATION : EXIT_INTERNAL; /* an address, a certificate, or the machine */
    }
    heartbeat_start("upkeep");
    bool stop = false;
    int exit_code = wait_for_database(process, config, &signals, &stop);
    if (exit_code == EXIT_OK && !stop) {
        if (serve_process_start_actors(process, &error) != ERR_NONE) {
            log_error("cannot start", "reason='%s'", error.text);
            exit_code = EXIT_INTERNAL;
        } else {
            service_manager_tell("READY=1");
            exit_code = serve_until_stopped(process, &signals);
        }
    }
    service_manager_tell("STOPPING=1");
    heartbeat_end(); /* from here on it only waits for the others, and the service manager for it */
    obey_second_signal();
    serve_process_stop(process);
    watchdog_stop(watchdog);
    log_info("stopped", "exit=%d", exit_code);
    return exit_code;
}

/* Prints what is wrong with them, as problems of the configuration. */
static bool certificates_are_usable(const struct config *config)
{
    json_t *problems CLEANUP(json_free) = json_array();
    if (certificates_check(config, problems)) {
        return true;
    }
    struct buf text CLEANUP(buf_done);
    buf_init(&text, (size_t)64 * 1024);
    size_t index;
    json_t *problem;
    json_array_foreach (problems, index, problem) {
        config_add_problem_text(&text, problem);
    }
    fputs(text.ptr, stderr);
    return false;
}

static int run_serve(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *rules_directory = NULL;
    const char *roles_text = "ingest,engine,deliver";
    bool dev = false;
    void *const values[] = { &config_path, &rules_directory, &roles_text, &dev };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0) {
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    }
    struct serve_roles roles;
    if (!parse_roles(roles_text, &roles)) {
        return command_usage_error(command, "--roles takes a list of ingest, engine and deliver, got '%s'", roles_text);
    }
    obey_signals_before_the_start();
    struct config *config = NULL;
    exit_code = command_load_config(command, config_path, dev, &config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    if (rules_directory != NULL) {
        free(config->rules.directory);
        config->rules.directory = memory_text(rules_directory);
    }
    crypto_start();
    http_client_start();
    if (roles.ingest && !certificates_are_usable(config)) {
        config_free(config);
        return EXIT_CONFIGURATION;
    }
    struct rule_sources *sources = NULL;
    struct error error;
    err_t err = rule_sources_read(config->rules.directory, false, &sources, &error);
    if (err == ERR_NONE) {
        err = serve_rules_check(config, sources, &error);
    }
    if (err != ERR_NONE) {
        log_error("the rules do not load", "reason='%s'", error.text);
        rule_sources_free(sources);
        exit_code = EXIT_CONFIGURATION;
    } else if (descriptors_fit(config, roles, &error) != ERR_NONE) {
        log_error("cannot start", "reason='%s'", error.text);
        rule_sources_free(sources);
        exit_code = EXIT_CONFIGURATION;
    } else {
        exit_code = serve(config, roles, sources);
    }
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "rules", OPTION_TEXT, "DIR", "the rules; otherwise what the configuration says" },
    { "roles", OPTION_TEXT, "LIST", "which actors this process runs; otherwise ingest,engine,deliver" },
    { "dev", OPTION_FLAG, NULL, "for development: allows sources without verification" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_serve = {
    .name = "serve",
    .summary = "run the server",
    .usage = "[--config FILE] [--rules DIR] [--roles LIST] [--dev]",
    .details = "Receives webhooks, runs the rules over them, and sends what they ask for. Any number of processes may\n"
               "serve one database. While that is away, webhooks are answered 503 and their senders try again. It\n"
               "refuses to start on a database whose schema is older or newer than the program (`answerd migrate`); a "
               "process\n"
               "that runs already goes on beside a newer one, unless a migration says that it ends it.\n"
               "\n"
               "SIGTERM and SIGINT stop it without losing anything; a second one stops it at once. SIGHUP loads the\n"
               "rules again, as `answerd reload` does: when they are wrong or their tests fail, the running ones stay\n"
               "and the log says why; otherwise all nodes swap.",
    .options = options,
    .run = run_serve,
};
