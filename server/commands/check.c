/* `answerd check`: every problem of configuration and rules, before they run. */
#include "base/text.h"
#include "commands/certificate_check.h"
#include "commands/commands.h"
#include "commands/rule_check.h"
#include "commands/source_check.h"
#include "commands/template_check.h"
#include "domain/rule_test.h"
#include "rules/rule_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct report {
    json_t *problems;
    char version[80]; /* "" when the rules did not load */
    size_t rule_count;
};

static void add_problem(struct report *report, const char *file, const struct error *e)
{
    static const char mark[] = "\nHINT: ";
    const char *hint = strstr(e->text, mark);
    json_t *problem = json_object();
    json_put_str(problem, "file", file);
    json_put_int(problem, "line", 0);
    json_put_str(problem, "severity", "error");
    json_put_bytes(problem, "text", (struct bytes){ e->text, hint ? (size_t)(hint - e->text) : strlen(e->text) });
    json_put_str(problem, "hint", hint ? hint + sizeof(mark) - 1 : NULL);
    json_array_append_new(report->problems, problem);
}

/* Gives each problem of the rules, from number `first` on, the path by which an editor finds its file, or the
 * directory. */
static void add_paths(const struct report *report, size_t first, const char *directory)
{
    size_t length = strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    for (size_t i = first; i < json_array_size(report->problems); i++) {
        json_t *problem = json_array_get(report->problems, i);
        const char *slash = strchr(json_str_or(problem, "file", ""), '/');
        if (json_str(problem, "path"))
            continue;
        struct buf path;
        buf_init(&path, 65536);
        buf_addf(&path, "%.*s%s", (int)length, directory, slash ? slash : "");
        json_put_str(problem, "path", path.ptr);
        buf_done(&path);
    }
}

static bool is_test_file(const char *file)
{
    static const char ending[] = "_test.lua";
    size_t length = strlen(file), ending_length = sizeof(ending) - 1;
    return length >= ending_length && strcmp(file + length - ending_length, ending) == 0;
}

/* The tests beside the rules: they are read and compiled, not run. What was said of the rules is not said again. */
static void check_tests(struct report *report, const char *directory, const struct rule_limits *limits)
{
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    json_t *found = json_array(), *problem;
    size_t index, before = json_array_size(report->problems);
    struct error e;
    err_t err = rule_sources_read(directory, true, &sources, &e);
    if (err == ERR_NONE)
        err = rule_set_load_for_review(sources, limits, found, &set, &e);
    if (err == ERR_NONE)
        err = rule_test_review(set, found, &e);
    json_array_foreach (found, index, problem) {
        if (is_test_file(json_str_or(problem, "file", "")))
            json_array_append(report->problems, problem);
    }
    if (err != ERR_NONE && json_array_size(report->problems) == before)
        add_problem(report, directory, &e);
    json_decref(found);
    rule_set_free(set);
    rule_sources_free(sources);
}

/* `config` is NULL when only rules are looked at. `online`: the providers are asked as well. */
static void check_rules(struct report *report, const char *directory, const struct config *config, bool online)
{
    struct rule_limits limits = rule_limits_default();
    if (config) {
        limits.max_instructions = config->rules.max_instructions;
        limits.max_memory_bytes = config->rules.max_memory_bytes;
        limits.max_effects = config->rules.max_effects;
        limits.max_wall_ms = config->rules.max_wall_ms;
    }
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    struct error e;
    if (rule_sources_read(directory, false, &sources, &e)) {
        add_problem(report, directory, &e);
        return;
    }
    size_t before = problems_count_errors(report->problems), first = json_array_size(report->problems);
    if (rule_set_load_for_review(sources, &limits, report->problems, &set, &e)) {
        add_problem(report, directory, &e);
    } else {
        bool sound = problems_count_errors(report->problems) == before;
        if (rule_check(set, config, report->problems, &e))
            add_problem(report, directory, &e);
        if (online && config)
            templates_check(set, config, report->problems);
        if (sound) {
            snprintf(report->version, sizeof(report->version), "%s", rule_set_version(set));
            report->rule_count = rule_set_count(set);
        }
        check_tests(report, directory, &limits);
    }
    problems_sort(report->problems, first);
    add_paths(report, first, directory);
    rule_set_free(set);
    rule_sources_free(sources);
}

/* Adds what is wrong with the sources of a configuration that has problems, but not where it has one already: a secret
 * that is not there is said once. */
static void check_sources_further(struct report *report, const struct config *config)
{
    size_t index, known = json_array_size(report->problems);
    json_t *found = json_array(), *problem;
    sources_check(config, found);
    json_array_foreach (found, index, problem) {
        bool is_said = false;
        for (size_t i = 0; i < known; i++)
            is_said |= json_int(json_array_get(report->problems, i), "line", 0) == json_int(problem, "line", 0);
        if (!is_said)
            json_array_append(report->problems, problem);
    }
    json_decref(found);
}

static bool is_directory(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static void check_all(struct report *report, const char *path, const char *rules, bool dev, bool online)
{
    struct config *config = NULL;
    struct error e;
    size_t before = json_array_size(report->problems);
    if (config_read(path, dev, report->problems, &config, &e)) {
        if (json_array_size(report->problems) == before) {
            add_problem(report, path ? path : "answerd.lua", &e);
            if (!path && !rules && e.code == ERR_NOT_FOUND)
                json_put_str(json_array_get(report->problems, before), "hint",
                             "name it with --config FILE, or look at rules alone with --rules DIR");
        }
        if (config)
            check_sources_further(report, config);
        if (rules || (config && is_directory(config->rules.directory)))
            check_rules(report, rules ? rules : config->rules.directory, NULL, false);
        config_free(config);
        return;
    }
    certificates_check(config, report->problems);
    sources_check(config, report->problems);
    check_rules(report, rules ? rules : config->rules.directory, config, online);
    config_free(config);
}

/* The same keys for every problem, whoever found it. */
static json_t *describe_problem(const json_t *problem)
{
    const char *file = json_str_or(problem, "file", ""), *hint = json_str(problem, "hint");
    json_t *object = json_object();
    json_put_str(object, "file", file);
    json_put_str(object, "path", json_str_or(problem, "path", file));
    json_put_int(object, "line", json_int(problem, "line", 0));
    json_put_str(object, "severity", json_str_or(problem, "severity", "error"));
    json_put_str(object, "text", json_str_or(problem, "text", ""));
    json_put(object, "hint", hint ? json_string(hint) : json_null());
    return object;
}

static void print_json(const struct report *report, bool ok)
{
    json_t *object = json_object();
    json_put_bool(object, "ok", ok);
    json_put_str(object, "rule_set", report->version[0] ? report->version : NULL);
    json_put_int(object, "rules", (int64_t)report->rule_count);
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(report->problems); i++)
        json_array_append_new(list, describe_problem(json_array_get(report->problems, i)));
    json_put(object, "problems", list);
    char *text = json_dump(object);
    printf("%s\n", text);
    free(text);
    json_decref(object);
}

static void print_text(const struct report *report, size_t errors, bool ok)
{
    struct buf text;
    buf_init(&text, (size_t)4 * 1024 * 1024);
    for (size_t i = 0; i < json_array_size(report->problems); i++)
        config_add_problem_text(&text, json_array_get(report->problems, i));
    fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout);
    buf_done(&text);
    size_t warnings = json_array_size(report->problems) - errors;
    if (errors > 0)
        printf("%s, %s\n", text_counted((int64_t)errors, "error").text,
               text_counted((int64_t)warnings, "warning").text);
    else
        printf("%s: %s, rule set %s, %s\n", ok ? "ok" : "not ok (--strict)",
               text_counted((int64_t)report->rule_count, "rule").text, report->version,
               text_counted((int64_t)warnings, "warning").text);
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *config_path = NULL;
    const char *rules = NULL;
    bool json = false;
    bool strict = false;
    bool online = false;
    bool dev = false;
    void *const values[] = { &config_path, &rules, &json, &strict, &online, &dev };
    int operands;
    int exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    if (operands > 0)
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    struct report report = { .problems = json_array() };
    if (rules && !config_path && !online)
        check_rules(&report, rules, NULL, false);
    else
        check_all(&report, config_path, rules, dev, online);
    size_t errors = problems_count_errors(report.problems);
    bool ok = errors == 0 && (!strict || json_array_size(report.problems) == 0);
    if (json)
        print_json(&report, ok);
    else
        print_text(&report, errors, ok);
    json_decref(report.problems);
    return ok ? EXIT_OK : EXIT_WRONG;
}

static const struct command_option options_table[] = {
    OPTION_CONFIG,
    { "rules", OPTION_TEXT, "DIR", "only the rules of this folder; with --config, instead of its own rules" },
    { "json", OPTION_FLAG, NULL, "print one JSON object: ok, rule_set, rules, problems" },
    { "strict", OPTION_FLAG, NULL, "warnings count as well: exit status 1" },
    { "online", OPTION_FLAG, NULL, "also ask WhatsApp which templates it approved; needs the configuration" },
    { "dev", OPTION_FLAG, NULL, "be as lenient as serve --dev" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_check = {
    .name = "check",
    .summary = "find what is wrong in the configuration, the sources and the rules",
    .usage = "[--config FILE] [--rules DIR] [--json] [--strict] [--online]",
    .details =
        "Prints each problem as `file:line: error|warning: text`, perhaps with a line `HINT: ...`. The exit status is\n"
        "1 when there is an error; warnings alone are fine without --strict. Rules are read, not run: fields that\n"
        "events of their types do not have, options that effects do not have, rules that never run or run\n"
        "themselves without end, and what nobody uses. Tests (*_test.lua) must compile and call verbs\n"
        "that there are. With --json each problem has file, path (for an editor),\n"
        "line, severity, text and hint. Needs no database; secrets and certificates must be where the configuration\n"
        "takes them from.\n"
        "With --online, templates are compared with those that the accounts have: their names, languages, states,\n"
        "parameters, headers and buttons. It sends nothing.",
    .options = options_table,
    .run = run,
};
