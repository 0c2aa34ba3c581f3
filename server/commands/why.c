/* `answerd why EVENT`: what one event meant, for a person: which rules ran or did not, and what became of each effect. */
#include "commands/commands.h"

#include "store/store.h"
#include "store/why_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_effects(const json_t *row)
{
    size_t index;
    json_t *effect;
    json_array_foreach (json_object_get(row, "effects"), index, effect) {
        char *text = json_dump(effect);
        printf("        %s\n", text);
        free(text);
    }
}

static void print_row(const json_t *row)
{
    const char *what = json_str_or(row, "what", "");
    const char *place = json_str(row, "place");
    printf("%-13s %s: %s", what, json_str_or(row, "subject", "-"), json_str_or(row, "outcome", "-"));
    if (place) {
        printf("  (%s)", place);
    }
    printf("\n");
    const char *detail = json_str(row, "detail");
    if (detail && detail[0]) {
        printf("        %s\n", detail);
    }
    if (strcmp(what, "rule") == 0) {
        printf("        %" PRId64 " instructions, %" PRId64 " microseconds, rule set %s\n",
               json_int(row, "instructions", 0), json_int(row, "micros", 0), json_str_or(row, "rule_set", "-"));
        print_effects(row);
    }
}

static int tell(const struct command *command, struct pg *pg, const char *event, bool as_json)
{
    struct error error;
    int64_t id = 0;
    json_t *rows CLEANUP(json_free) = NULL;
    err_t err = why_store_find(pg, event, &id, &error);
    if (err == ERR_NONE) {
        err = why_store_tell(pg, id, &rows, &error);
    }
    if (err == ERR_NOT_FOUND) {
        fprintf(stderr, "answerd why: %s\n", error.text);
        return EXIT_WRONG;
    }
    if (err != ERR_NONE) {
        return command_failed(command, &error);
    }
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        if (as_json) {
            char *text = json_dump(row);
            printf("%s\n", text);
            free(text);
        } else {
            print_row(row);
        }
    }
    return EXIT_OK;
}

static int run_why(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    bool as_json = false;
    void *const values[] = { &config_path, &as_json };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands != 1) {
        return command_usage_error(command, "takes one event, its id or the provider's key");
    }
    struct config *config = NULL;
    exit_code = command_load_config(command, config_path, false, &config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    struct pg *pg = NULL;
    exit_code = command_open_database(command, config, "answerd why", &pg);
    if (exit_code == EXIT_OK) {
        exit_code = tell(command, pg, argv[1], as_json);
        pg_close(pg);
    }
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    { "config", OPTION_TEXT, "FILE", "the configuration file" },
    { "json", OPTION_FLAG, NULL, "one JSON object a line" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_why = {
    .name = "why",
    .summary = "tell what one event meant: rules, effects, and what became of them",
    .usage = "[--config FILE] [--json] EVENT",
    .details = "EVENT is an id from event_log, or the provider's own key, such as evt_1Nx… or wamid.HBg….\n"
               "The same is to be had in SQL: SELECT * FROM why(EVENT).",
    .options = options,
    .run = run_why,
};
