/* `answerd migrate`: brings the database to the schema of this program, or says how far it is. */
#include "commands/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "store/collation_store.h"
#include "store/store.h"

static void print_applied(const char *name, msec_t took_ms, void *arg)
{
    (void)arg;
    printf("applied %s in %" PRId64 " ms\n", name, took_ms);
    fflush(stdout);
}

/* A database of another version is the database's fault, not the input's. */
static int database_failed(const struct command *command, const struct error *error)
{
    int exit_code = command_failed(command, error);
    return error->code == ERR_INVALID ? EXIT_DATABASE : exit_code;
}

/* A database works in any order, until that order changes: a warning, not an error. */
static err_t warn_of_collation(struct pg *pg, struct error *reterr)
{
    struct database_collation c;
    err_t result = collation_store_read(pg, &c, reterr);
    if (result != ERR_NONE || (c.stable && !c.changed)) {
        return result;
    }
    if (c.changed) {
        fprintf(
            stderr,
            "warning: the order of texts of '%s', by which the indexes of database '%s' are sorted, has changed since"
            " they were built: they may miss what they hold\n"
            "HINT: stop answerd, run REINDEX DATABASE \"%s\" and then"
            " ALTER DATABASE \"%s\" REFRESH COLLATION VERSION\n",
            c.locale, c.database, c.database, c.database);
        return ERR_NONE;
    }
    fprintf(stderr,
            "warning: database '%s' keeps its texts in the order of '%s', which an upgrade of the operating system can"
            " change: indexes that were built before then miss what they hold\n"
            "HINT: move it into one made with LC_COLLATE 'C'; docker/README.md says how, under The order of texts\n",
            c.database, c.locale);
    return ERR_NONE;
}

static int apply(const struct command *command, struct pg *pg)
{
    struct error error;
    size_t count = 0;
    if (store_migrate(pg, print_applied, NULL, &count, &error) != ERR_NONE ||
        store_make_partitions(pg, &error) != ERR_NONE || warn_of_collation(pg, &error) != ERR_NONE) {
        return database_failed(command, &error);
    }
    if (count == 0) {
        printf("the database is up to date (migration %d)\n", store_schema_version());
    }
    return EXIT_OK;
}

/* `wrong_exit` is for a database that is not up to date. */
static int show_status(const struct command *command, struct pg *pg, bool verbose, int wrong_exit)
{
    struct error error;
    json_t *rows CLEANUP(json_free) = NULL;
    if (store_migration_status(pg, &rows, &error) != ERR_NONE) {
        return command_failed(command, &error);
    }
    bool current = true;
    size_t index;
    json_t *row;
    json_array_foreach (rows, index, row) {
        const char *state = json_str_or(row, "state", "");
        bool applied = strcmp(state, "applied") == 0;
        current = current && applied;
        if (verbose || !applied) {
            printf("%-8s  %-28s  %s\n", state, json_str_or(row, "name", ""), json_str_or(row, "applied_at", ""));
        }
    }
    return current ? EXIT_OK : wrong_exit;
}

static int run_migrate(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    bool status = false;
    bool check = false;
    void *const values[] = { &config_path, &status, &check };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0) {
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    }
    if (status && check) {
        return command_usage_error(command, "takes --status or --check, not both");
    }
    struct config *config = NULL;
    exit_code = command_load_config(command, config_path, false, &config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    struct pg *pg = NULL;
    exit_code = command_open_database(command, config, "answerd migrate", &pg);
    if (exit_code == EXIT_OK) {
        exit_code = status  ? show_status(command, pg, true, EXIT_OK)
                    : check ? show_status(command, pg, false, EXIT_WRONG)
                            : apply(command, pg);
        pg_close(pg);
    }
    config_free(config);
    return exit_code;
}

static const struct command_option migrate_options[] = {
    OPTION_CONFIG,
    { "status", OPTION_FLAG, NULL, "only list the migrations: applied, pending, changed, or unknown to this program" },
    { "check", OPTION_FLAG, NULL, "only print what is not applied; exit 1 when there is something" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_migrate = {
    .name = "migrate",
    .summary = "bring the database to the schema of this program",
    .usage = "[--config FILE] [--status | --check]",
    .details =
        "Applies the migrations that are missing, in order, each in a transaction of its own, and makes the "
        "partitions of\n"
        "the coming months. Safe to run at any time and in several places at once: an advisory lock lets one "
        "work, the\n"
        "others find it done. There is no way back: a later migration mends what an earlier one did.\n"
        "\n"
        "A database that a newer program migrated is refused, and one whose applied migrations differ from the "
        "files of\n"
        "this program. `answerd serve` refuses to start on any schema but its own.\n"
        "\n"
        "Warns when the database keeps its texts in an order that an upgrade of the operating system can change, and "
        "when it\n"
        "has changed.",
    .options = migrate_options,
    .run = run_migrate,
};
