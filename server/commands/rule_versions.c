/* `answerd reload`, `shadow`, `promote`, `rollback` and `versions`: which rules are in force, on all nodes at once. */
#include "commands/commands.h"
#include "commands/rule_release.h"
#include "rules/rule_feed.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

/* --- what they print -----------------------------------------------------------------------------------------------
 */

static void print_report(const json_t *report)
{
    size_t index;
    json_t *item;
    json_array_foreach (json_array_at(report, "problems"), index, item) {
        fprintf(stderr, "%s:%" PRId64 ": %s: %s\n", json_str_or(item, "file", "?"), json_int(item, "line", 0),
                json_str_or(item, "severity", "error"), json_str_or(item, "text", ""));
        if (json_str(item, "hint") != NULL) {
            fprintf(stderr, "HINT: %s\n", json_str(item, "hint"));
        }
    }
    json_array_foreach (json_array_at(report, "failed_tests"), index, item) {
        fprintf(stderr, "FAIL %s:%" PRId64 ": %s\n%s", json_str_or(item, "file", "?"), json_int(item, "line", 0),
                json_str_or(item, "name", ""), json_str_or(item, "report", ""));
    }
    json_array_foreach (json_array_at(report, "warnings"), index, item) {
        fprintf(stderr, "warning: %s\n", json_string_value(item));
    }
}

static void print_done(const json_t *report, const char *what, const char *before)
{
    int64_t rules = json_int(report, "rules", 0), tests = json_int(report, "tests", 0);
    printf("version %s %s: %s", json_str_or(report, "version", ""), what, text_counted(rules, "rule").text);
    if (json_object_get(report, "tests") != NULL) {
        printf(", %s passed", text_counted(tests, "test").text);
    }
    if (!json_bool(report, "changed", true)) {
        printf(", as before");
    } else if (before[0] != '\0') {
        printf("; before it was %s", before);
    }
    printf("\n");
}

/* --- what they share -----------------------------------------------------------------------------------------------
 */

struct version_call {
    const struct command *command;
    struct config *config;
    struct pg *pg;
    char by[RELEASE_BY_BYTES];
    struct rule_pointer pointer; /* as it was */
};

static int open_call(const struct command *command, const char *config_path, const char *by, struct version_call *call)
{
    call->command = command;
    if (by != NULL) {
        snprintf(call->by, sizeof(call->by), "%.*s", (int)sizeof(call->by) - 1, by);
    } else {
        rule_release_by(NULL, call->by);
    }
    int exit_code = command_load_config(command, config_path, false, &call->config);
    if (exit_code != EXIT_OK) {
        return exit_code;
    }
    char name[40];
    snprintf(name, sizeof(name), "answerd %s", command->name);
    exit_code = command_open_database(command, call->config, name, &call->pg);
    struct error error;
    if (exit_code == EXIT_OK && (store_check_schema(call->pg, &error) != ERR_NONE ||
                                 version_store_pointer(call->pg, &call->pointer, &error) != ERR_NONE)) {
        exit_code = command_failed(command, &error);
        exit_code = exit_code == EXIT_WRONG ? EXIT_DATABASE : exit_code;
    }
    return exit_code;
}

static void close_call(struct version_call *call)
{
    pg_close(call->pg);
    config_free(call->config);
}

/* What a release that was read leads to. */
static int finish(struct version_call *call, err_t err, struct rule_release *release, const char *action,
                  const char *what, const char *before, const struct error *read_error)
{
    struct error error;
    if (err != ERR_NONE) {
        error = *read_error;
    } else {
        err = rule_release_put(call->pg, release, action, call->by, &error);
    }
    print_report(release->report);
    int exit_code = EXIT_OK;
    if (err == ERR_NONE) {
        print_done(release->report, what, before);
    } else {
        exit_code = command_failed(call->command, &error);
        fprintf(stderr, "answerd %s: nothing was changed\n", call->command->name);
    }
    rule_release_done(release);
    return exit_code;
}

/* Puts a directory in force, or makes it the shadow. */
static int put_directory(struct version_call *call, const char *directory, const char *action, const char *what,
                         const char *before)
{
    struct rule_release release;
    struct error error = { .code = ERR_NONE };
    err_t err = rule_release_read(call->config, directory, &release, &error);
    return finish(call, err, &release, action, what, before, &error);
}

/* The same with a version that the database keeps. */
static int put_stored(struct version_call *call, const char *version, const char *action)
{
    struct rule_release release;
    struct error error = { .code = ERR_NONE };
    err_t err = rule_release_read_stored(call->config, call->pg, version, &release, &error);
    return finish(call, err, &release, action, "is in force", call->pointer.current, &error);
}

/* --- reload ----------------------------------------------------------------------------------------------------------
 */

static int run_reload(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *directory = NULL;
    const char *by = NULL;
    bool no_tests = false;
    void *const values[] = { &config_path, &directory, &by, &no_tests };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0) {
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    }
    struct version_call call = { .pg = NULL };
    exit_code = open_call(command, config_path, by, &call);
    if (exit_code == EXIT_OK) {
        call.config->rules.run_tests = call.config->rules.run_tests && !no_tests;
        exit_code = put_directory(&call, directory != NULL ? directory : call.config->rules.directory, "reload",
                                  "is in force", call.pointer.current);
    }
    if (exit_code == EXIT_OK && directory == NULL) {
        json_t *report = json_object();
        rule_release_put_shadow(call.config, call.pg, call.by, report);
        if (json_str(report, "shadow") != NULL) {
            printf("version %s is the shadow\n", json_str(report, "shadow"));
        } else if (json_str(report, "shadow_problem") != NULL) {
            fprintf(stderr, "answerd reload: the shadow stays as it was: %s\n", json_str(report, "shadow_problem"));
            exit_code = EXIT_WRONG;
        }
        json_decref(report);
    }
    close_call(&call);
    return exit_code;
}

static const struct command_option reload_options[] = {
    OPTION_CONFIG,
    { "rules", OPTION_TEXT, "DIR", "the rules; otherwise what the configuration says" },
    { "by", OPTION_TEXT, "NAME", "who does it, for the record; otherwise user@host" },
    { "no-tests", OPTION_FLAG, NULL, "put them in force without running their tests" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_reload = {
    .name = "reload",
    .summary = "put the rules of the directory in force, on all nodes",
    .usage = "[--config FILE] [--rules DIR] [--by NAME] [--no-tests]",
    .details =
        "Reads the rules, checks them, runs their own *_test.lua in a fresh state, and only then puts them in\n"
        "force: every event that any node claims after that runs the new version; what is being handled ends with\n"
        "the old one. What `answerd check` calls an error, and a test that fails, is refused: it says what, exits 1, and\n"
        "changes nothing. Warnings are told and do not stop it.\n"
        "Pending timers and outreaches follow the rules in force; it warns of those that would find no rule or\n"
        "template there.",
    .options = reload_options,
    .run = run_reload,
};

/* --- shadow ----------------------------------------------------------------------------------------------------------
 */

static int end_shadow(struct version_call *call)
{
    struct error error;
    bool changed = false;
    if (version_store_change(call->pg, "shadow", NULL, call->by, &changed, &error) != ERR_NONE) {
        return command_failed(call->command, &error);
    }
    printf("%s\n", changed ? "there is no shadow any more" : "there was no shadow");
    return EXIT_OK;
}

static int run_shadow(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *by = NULL;
    bool off = false;
    bool no_tests = false;
    void *const values[] = { &config_path, &by, &off, &no_tests };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands != (off ? 0 : 1)) {
        return command_usage_error(command, "takes one directory, or --off");
    }
    struct version_call call = { .pg = NULL };
    exit_code = open_call(command, config_path, by, &call);
    if (exit_code == EXIT_OK && off) {
        exit_code = end_shadow(&call);
    } else if (exit_code == EXIT_OK) {
        call.config->rules.run_tests = call.config->rules.run_tests && !no_tests;
        exit_code = put_directory(&call, argv[1], "shadow", "is the shadow", call.pointer.shadow);
    }
    close_call(&call);
    return exit_code;
}

static const struct command_option shadow_options[] = {
    OPTION_CONFIG,
    { "by", OPTION_TEXT, "NAME", "who does it, for the record; otherwise user@host" },
    { "off", OPTION_FLAG, NULL, "end the shadow" },
    { "no-tests", OPTION_FLAG, NULL, "do not run its tests before" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_shadow = {
    .name = "shadow",
    .summary = "try rules on live events without applying what they ask for",
    .usage = "[--config FILE] [--by NAME] DIR\n--off",
    .details =
        "From now on the rules of DIR are tried on each live event, right after the rules in force, on the same\n"
        "facts. What they would have done is recorded and never applied: the views shadow_diff (each difference)\n"
        "and shadow_summary (counts). `answerd promote` puts them in force.",
    .options = shadow_options,
    .run = run_shadow,
};

/* --- promote, rollback -----------------------------------------------------------------------------------------------
 */

static int run_promote(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *by = NULL;
    void *const values[] = { &config_path, &by };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0) {
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    }
    struct version_call call = { .pg = NULL };
    exit_code = open_call(command, config_path, by, &call);
    if (exit_code == EXIT_OK && call.pointer.shadow[0] == '\0') {
        fprintf(stderr, "answerd promote: there is no shadow to promote\nHINT: `answerd shadow DIR` makes one\n");
        exit_code = EXIT_WRONG;
    } else if (exit_code == EXIT_OK) {
        exit_code = put_stored(&call, call.pointer.shadow, "promote");
    }
    close_call(&call);
    return exit_code;
}

static int run_rollback(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *by = NULL;
    void *const values[] = { &config_path, &by };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 1) {
        return command_usage_error(command, "takes at most one version");
    }
    struct version_call call = { .pg = NULL };
    exit_code = open_call(command, config_path, by, &call);
    const char *version = operands == 1 ? argv[1] : call.pointer.previous;
    if (exit_code == EXIT_OK && version[0] == '\0') {
        fprintf(stderr, "answerd rollback: there is no version before the one in force\n");
        exit_code = EXIT_WRONG;
    } else if (exit_code == EXIT_OK) {
        exit_code = put_stored(&call, version, "rollback");
    }
    close_call(&call);
    return exit_code;
}

static const struct command_option swap_options[] = {
    OPTION_CONFIG,
    { "by", OPTION_TEXT, "NAME", "who does it, for the record; otherwise user@host" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_promote = {
    .name = "promote",
    .summary = "put the shadow rules in force, on all nodes",
    .usage = "[--config FILE] [--by NAME]",
    .details = "Instant and without restart; the rules that were in force are what `answerd rollback` returns to.",
    .options = swap_options,
    .run = run_promote,
};

const struct command command_rollback = {
    .name = "rollback",
    .summary = "put the rules in force that were before, on all nodes",
    .usage = "[--config FILE] [--by NAME] [VERSION]",
    .details =
        "Instant and without restart, from the files that the database keeps of the last 50 versions. It outlives\n"
        "restarts, until the files of the directory change or somebody calls `answerd reload`. A second rollback\n"
        "returns to where the first one came from. `answerd versions` lists the versions.",
    .options = swap_options,
    .run = run_rollback,
};

/* --- versions --------------------------------------------------------------------------------------------------------
 */

static void print_versions(const json_t *versions, const json_t *changes)
{
    size_t index;
    json_t *row;
    json_array_foreach (versions, index, row) {
        printf("%-12s  %-8s  %9s, %9s kept, last loaded %.19s from %s\n", json_str_or(row, "version", ""),
               json_str_or(row, "role", ""), text_counted(json_int(row, "rules", 0), "rule").text,
               text_counted(json_int(row, "files", 0), "file").text, json_str_or(row, "last_loaded", ""),
               json_str_or(row, "directory", ""));
    }
    printf("\n");
    json_array_foreach (changes, index, row) {
        const char *shadow = json_str(row, "shadow_version");
        printf("%.19s  %-8s  %s%s%s  by %s\n", json_str_or(row, "changed_at", ""), json_str_or(row, "action", ""),
               json_str_or(row, "current_version", ""), shadow != NULL ? ", shadow " : "", shadow != NULL ? shadow : "",
               json_str_or(row, "changed_by", ""));
    }
}

static int run_versions(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    int64_t limit = 20;
    bool as_json = false;
    void *const values[] = { &config_path, &limit, &as_json };
    int operands = 0;
    int exit_code = EXIT_OK;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code)) {
        return exit_code;
    }
    if (operands > 0 || limit < 1 || limit > 10000) {
        return command_usage_error(command, "takes no operand, and --limit is between 1 and 10000");
    }
    struct version_call call = { .pg = NULL };
    exit_code = open_call(command, config_path, NULL, &call);
    json_t *versions = NULL;
    json_t *changes = NULL;
    struct error error;
    if (exit_code == EXIT_OK && version_store_list(call.pg, (size_t)limit, &versions, &changes, &error) != ERR_NONE) {
        exit_code = command_failed(command, &error);
    } else if (exit_code == EXIT_OK && as_json) {
        json_t *all = json_object();
        json_object_set(all, "versions", versions);
        json_object_set(all, "changes", changes);
        char *text = json_dump(all);
        printf("%s\n", text);
        free(text);
        json_decref(all);
    } else if (exit_code == EXIT_OK) {
        print_versions(versions, changes);
    }
    json_decref(versions);
    json_decref(changes);
    close_call(&call);
    return exit_code;
}

static const struct command_option versions_options[] = {
    OPTION_CONFIG,
    { "limit", OPTION_NUMBER, "N", "how many versions and changes; otherwise 20" },
    { "json", OPTION_FLAG, NULL, "one JSON object" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_versions = {
    .name = "versions",
    .summary = "which versions of the rules there are, and who put which in force",
    .usage = "[--config FILE] [--limit N] [--json]",
    .details = "The same is to be had in SQL: rule_versions and rule_changes.",
    .options = versions_options,
    .run = run_versions,
};
