/* `answerd why`: what one event meant, for a person: which rules ran or did not, and what became of each effect; or why
 * one person got no message. */
#include "commands/commands.h"

#include "base/text.h"
#include "domain/lua_text.h"
#include "store/store.h"
#include "store/why_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX_BYTES ((size_t)2000)
#define EFFECT_MAX_BYTES ((size_t)64 * 1024)
#define USUAL_SINCE_MS ((msec_t)7 * 24 * 3600 * 1000)

static void print_effects(const json_t *row)
{
    size_t index;
    json_t *effect;
    json_array_foreach (json_object_get(row, "effects"), index, effect) {
        struct buf text CLEANUP(buf_done);
        buf_init(&text, EFFECT_MAX_BYTES);
        lua_text_add_effect(&text, effect, SHOWN_MAX_BYTES);
        printf("        %.*s\n", (int)text.len, text.ptr);
        if (json_str(effect, "refused")) {
            printf("          refused: %s\n", json_str(effect, "refused"));
        }
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
        printf("        %s, %s, rule set %s\n", text_counted(json_int(row, "instructions", 0), "instruction").text,
               text_counted(json_int(row, "micros", 0), "microsecond").text, json_str_or(row, "rule_set", "-"));
        print_effects(row);
    }
}

struct why_options {
    const char *config;
    const char *contact;
    msec_t since;
    bool json;
};

static void print_rows(const json_t *rows, bool as_json, void (*print)(const json_t *row))
{
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        if (as_json) {
            char *text = json_dump(row);
            printf("%s\n", text);
            free(text);
        } else {
            print(row);
        }
    }
}

/* What nobody finds is no trouble of the database. */
static int not_told(const struct command *command, const struct error *error)
{
    if (error->code == ERR_NOT_FOUND || error->code == ERR_CONFLICT) {
        fprintf(stderr, "answerd why: %s\n", error->text);
        return EXIT_WRONG;
    }
    return command_failed(command, error);
}

static int tell(const struct command *command, struct pg *pg, const char *event, const struct why_options *options)
{
    struct error error;
    int64_t id = 0;
    json_t *rows CLEANUP(json_free) = NULL;
    err_t err = why_store_find(pg, event, &id, &error);
    if (err == ERR_NONE) {
        err = why_store_tell(pg, id, &rows, &error);
    }
    if (err != ERR_NONE) {
        return not_told(command, &error);
    }
    print_rows(rows, options->json, print_row);
    return EXIT_OK;
}

/* Rules are told under the event that they decided on. */
static void print_silence(const json_t *row)
{
    const char *what = json_str_or(row, "what", ""), *place = json_str(row, "place"), *at = json_str(row, "at");
    bool is_under = strcmp(what, "rule") == 0 && at && place;
    printf("%s%-*s %s: %s", is_under ? "    " : "", is_under ? 6 : 10, what, json_str_or(row, "subject", "-"),
           json_str_or(row, "outcome", "-"));
    if (place) {
        printf("  (%s)", place);
    }
    if (at && !is_under) {
        printf("  %.19s", at);
    }
    printf("\n");
    if (json_str(row, "detail")) {
        printf("%s%s\n", is_under ? "               " : "           ", json_str(row, "detail"));
    }
}

static int tell_silence(const struct command *command, struct pg *pg, const struct why_options *options)
{
    struct error error;
    int64_t id = 0;
    json_t *rows CLEANUP(json_free) = NULL;
    err_t err = why_store_find_contact(pg, options->contact, &id, &error);
    if (err == ERR_NONE) {
        err = why_store_tell_nothing(pg, id, options->since, &rows, &error);
    }
    if (err != ERR_NONE) {
        return not_told(command, &error);
    }
    print_rows(rows, options->json, print_silence);
    return EXIT_OK;
}

static int run_why(const struct command *command, int argc, char **argv)
{
    struct why_options options = { .since = -1 };
    void *const values[] = { &options.config, &options.json, &options.contact, &options.since };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (options.contact && operands > 0) {
        return command_usage_error(command, "takes an event or --contact, not both");
    }
    if (!options.contact && (operands != 1 || options.since >= 0)) {
        return command_usage_error(command, options.since >= 0 && operands == 1
                                                ? "--since goes with --contact"
                                                : "takes one event, its id or the provider's key, or --contact");
    }
    if (options.since < 0) {
        options.since = USUAL_SINCE_MS;
    }
    struct config *config = NULL;
    exit_code = command_load_config(command, options.config, false, &config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    struct pg *pg = NULL;
    exit_code = command_open_database(command, config, "answerd why", &pg);
    if (exit_code == EXIT_OK) {
        exit_code = options.contact ? tell_silence(command, pg, &options) : tell(command, pg, argv[1], &options);
        pg_close(pg);
    }
    config_free(config);
    return exit_code;
}

static const struct command_option options_table[] = {
    OPTION_CONFIG,
    { "json", OPTION_FLAG, NULL, "one JSON object a line" },
    { "contact", OPTION_TEXT, "WHO",
      "tell why this contact got no message: a number, or a handle such as whatsapp:15550100" },
    { "since", OPTION_DURATION, "DURATION", "with --contact: how far to look back; 7d when it is not given" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_why = {
    .name = "why",
    .summary = "tell what one event meant, or why somebody got no message",
    .usage = "[--config FILE] [--json] EVENT\n[--config FILE] [--json] --contact WHO [--since DURATION]",
    .details =
        "EVENT is an id from event_log, or the provider's own key, such as evt_1Nx… or wamid.HBg….\n"
        "With --contact it tells of one person: opt-outs, windows, what was held back, failed or refused, rules in\n"
        "quarantine, and which rule decided what on their last events, by its `on` or its `when`.\n"
        "The same is to be had in SQL: SELECT * FROM why(EVENT), SELECT * FROM why_nothing(CONTACT, '7 days').",
    .options = options_table,
    .run = run_why,
};
