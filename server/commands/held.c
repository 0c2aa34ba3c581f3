/* `answerd held`: messages beyond a budget of their rule, for a person to look at, to let go or to give up. */
#include "base/text.h"
#include "commands/commands.h"
#include "store/held_store.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct held_options {
    const char *config_path;
    const char *rule;
    bool all;
    bool json;
    int64_t limit;
};

static void print_rows(const json_t *rows, bool as_json)
{
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        if (as_json) {
            char *text = json_dump(row);
            printf("%s\n", text);
            free(text);
            continue;
        }
        printf("%-12" PRId64 " %-24s to %s (%s): %s\n", json_int(row, "delivery_id", 0), json_str_or(row, "rule", ""),
               json_str_or(row, "identity", "?"), json_str_or(row, "contact_name", "no name"),
               json_str_or(row, "text", ""));
        printf("             held since %.19s, %s\n", json_str_or(row, "held_at", ""), json_str_or(row, "reason", ""));
    }
}

static err_t list(struct pg *pg, const struct held_choice *choice, const struct held_options *options,
                  struct error *reterr)
{
    json_t *rows = NULL;
    json_t *counts = NULL;
    err_t err = held_store_list(pg, choice, (size_t)options->limit, &rows, reterr);
    if (err == ERR_NONE) {
        err = held_store_summary(pg, &counts, reterr);
    }
    if (err == ERR_NONE) {
        print_rows(rows, options->json);
    }
    size_t index;
    json_t *row;
    if (err == ERR_NONE && !options->json) {
        json_array_foreach (counts, index, row) {
            printf("%" PRId64 " of rule %s: %s\n", json_int(row, "held", 0), json_str_or(row, "rule", ""),
                   json_str_or(row, "reason", ""));
        }
        if (json_array_size(counts) == 0) {
            printf("nothing is held\n");
        }
    }
    json_decref(rows);
    json_decref(counts);
    return err;
}

static int act(const struct command *command, struct pg *pg, const char *action, const struct held_choice *choice,
               const struct held_options *options)
{
    struct error error;
    int64_t count = 0;
    err_t err = store_check_schema(pg, &error);
    if (err == ERR_NONE && strcmp(action, "list") == 0) {
        err = list(pg, choice, options, &error);
    } else if (err == ERR_NONE && strcmp(action, "release") == 0) {
        err = held_store_release(pg, choice, &count, &error);
    } else if (err == ERR_NONE) {
        err = held_store_drop(pg, choice, "given up by a person", &count, &error);
    }
    if (err != ERR_NONE) {
        return command_failed(command, &error);
    }
    if (strcmp(action, "list") == 0) {
        return EXIT_OK;
    }
    printf("%" PRId64 " %s\n", count, strcmp(action, "release") == 0 ? "released" : "dropped");
    if (count == 0) {
        fprintf(stderr, "answerd held: nothing that is held fits\nHINT: `answerd held list` shows what is held\n");
    }
    return count > 0 ? EXIT_OK : EXIT_WRONG;
}

/* The ids among the operands; -1 when one is none. */
static bool read_ids(char **texts, size_t count, int64_t *ids, const char **ret_wrong)
{
    for (size_t i = 0; i < count; i++) {
        if (!text_to_i64(bytes_of(texts[i]), &ids[i]) || ids[i] <= 0) {
            *ret_wrong = texts[i];
            return false;
        }
    }
    return true;
}

static int run_held(const struct command *command, int argc, char **argv)
{
    struct held_options options = { .limit = 100 };
    void *const values[] = { &options.config_path, &options.rule, &options.all, &options.json, &options.limit };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    const char *action = operands > 0 ? argv[1] : "list";
    bool lists = strcmp(action, "list") == 0;
    if (!lists && strcmp(action, "release") != 0 && strcmp(action, "drop") != 0) {
        return command_usage_error(command, "takes list, release or drop, not '%s'", action);
    }
    size_t count = operands > 1 ? (size_t)operands - 1 : 0;
    if (!lists && count == 0 && options.rule == NULL && !options.all) {
        return command_usage_error(command, "%s needs ids, --rule or --all", action);
    }
    if (options.limit < 1 || options.limit > 100000) {
        return command_usage_error(command, "--limit is between 1 and 100000");
    }
    int64_t *ids = memory_new((count + 1) * sizeof(*ids));
    const char *wrong = NULL;
    if (!read_ids(argv + 2, count, ids, &wrong)) {
        free(ids);
        return command_usage_error(command, "'%s' is no id of a delivery", wrong);
    }
    struct config *config = NULL;
    struct pg *pg = NULL;
    exit_code = command_load_config(command, options.config_path, false, &config);
    if (exit_code == EXIT_OK) {
        exit_code = command_open_database(command, config, "answerd held", &pg);
    }
    if (exit_code == EXIT_OK) {
        const struct held_choice choice = { options.rule, ids, count };
        exit_code = act(command, pg, action, &choice, &options);
    }
    pg_close(pg);
    config_free(config);
    free(ids);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "rule", OPTION_TEXT, "NAME", "only messages of this rule" },
    { "all", OPTION_FLAG, NULL, "release or drop everything that is held" },
    { "json", OPTION_FLAG, NULL, "list one JSON object a line" },
    { "limit", OPTION_NUMBER, "N", "list at most N messages; otherwise 100" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_held = {
    .name = "held",
    .summary = "list, release or drop messages that are held beyond a rule's budget",
    .usage = "list [--rule NAME] [--limit N] [--json]\n"
             "release [--rule NAME | --all] [ID]...\n"
             "drop [--rule NAME | --all] [ID]...",
    .details =
        "A rule that sends more than its budget allows (sends_per_hour, sends_per_minute,\n"
        "sends_per_contact_per_day, in the rule or in the configuration) does not lose its messages: they are held.\n"
        "release puts them into the outbox, in the order the rule asked for them; opt-outs, the provider's window\n"
        "and goals that were reached meanwhile count as always. drop cancels them for good. In SQL: held_list.",
    .options = options,
    .run = run_held,
};
