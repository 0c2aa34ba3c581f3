/* `answerd backtest`: what a candidate rule set would have done with recorded events, compared with the current one. */
#include "base/text.h"
#include "commands/backtest_crew.h"
#include "commands/backtest_report.h"
#include "commands/rule_world.h"
#include "store/backtest_store.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 64
#define DEFAULT_EXAMPLES 3
#define DIFFERENCES_AT_ONCE 500

struct backtest_wish {
    const char *config_path;
    const char *rules;
    const char *against;
    const char *since;
    const char *until;
    bool sql;
    struct option_texts budgets;
    bool json;
    int64_t examples;
    int64_t threads;
};

/* The differences on their way into the tables. */
struct keeper {
    struct pg *pg;
    int64_t run_id;
    int64_t number;
    json_t *rows;
    struct error error; /* the first that happened */
};

struct result {
    msec_t since;
    msec_t until;
    int64_t events;
    int64_t contacts;
    int64_t run_id;
    msec_t took_ms;
    json_t *report;
};

static void keeper_flush(struct keeper *keeper)
{
    if (json_array_size(keeper->rows) == 0)
        return;
    struct error e = { .code = ERR_NONE };
    if (keeper->error.code == ERR_NONE && backtest_store_add(keeper->pg, keeper->run_id, keeper->rows, &e) != ERR_NONE)
        keeper->error = e;
    json_array_clear(keeper->rows);
}

static void keep(void *arg, const struct difference *difference)
{
    struct keeper *keeper = arg;
    const struct outcome *any = difference->after ? difference->after : difference->before;
    json_t *row = json_object();
    json_put_int(row, "number", ++keeper->number);
    json_put_str(row, "change", difference_name(difference->kind));
    json_put_str(row, "rule", any->rule);
    json_put_str(row, "kind", any->kind);
    json_put_str(row, "name", any->name);
    if (any->event > 0)
        json_put_int(row, "event_id", any->event);
    if (difference->contact_id > 0)
        json_put_int(row, "contact_id", difference->contact_id);
    if (difference->before) {
        json_put_str(row, "before", difference->before->content);
        json_put_time(row, "before_at", difference->before->at);
    }
    if (difference->after) {
        json_put_str(row, "after", difference->after->content);
        json_put_time(row, "after_at", difference->after->at);
    }
    json_array_append_new(keeper->rows, row);
    if (json_array_size(keeper->rows) >= DIFFERENCES_AT_ONCE)
        keeper_flush(keeper);
}

static err_t run_events(struct crew *crew, struct backtest_stream *stream, int64_t expected, struct error *reterr)
{
    struct progress progress;
    progress_begin(&progress, "events", expected);
    struct backtest_row row;
    err_t err;
    while ((err = backtest_store_next(stream, &row, reterr)) == ERR_NONE) {
        crew_add(crew, &row);
        progress_step(&progress);
    }
    progress_end(&progress);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static err_t run_crew(const struct crew_settings *settings, struct backtest_stream *stream, int64_t expected,
                      struct result *result, struct error *reterr)
{
    struct crew *crew = NULL;
    err_t err = crew_start(settings, &crew, reterr);
    if (err != ERR_NONE)
        return err;
    err = run_events(crew, stream, expected, reterr);
    const struct crew_result found = crew_finish(crew);
    result->events = found.events;
    result->contacts = found.contacts;
    result->report = found.report;
    return err;
}

static err_t run_backtest(struct pg *pg, const struct crew_settings *settings, bool keeps, struct result *result,
                          struct error *reterr)
{
    struct keeper keeper = { .pg = pg, .rows = json_array() };
    struct crew_settings wanted = *settings;
    struct backtest_stream *stream = NULL;
    int64_t expected = 0;
    err_t err = backtest_store_open(pg, result->since, result->until, keeps, &stream,
                                    progress_is_shown() ? &expected : NULL, reterr);
    if (err == ERR_NONE && keeps) {
        const struct backtest_run run = {
            .since = result->since,
            .until = result->until,
            .before_rule_set = rule_set_version(settings->backtest.before),
            .after_rule_set = rule_set_version(settings->backtest.after),
        };
        /* Rows are numbered, and written through the connection that is read from. */
        wanted.threads = 0;
        wanted.backtest.on_difference = keep;
        wanted.backtest.arg = &keeper;
        err = backtest_store_begin_run(pg, &run, &result->run_id, reterr);
        keeper.run_id = result->run_id;
    }
    if (err == ERR_NONE)
        err = run_crew(&wanted, stream, expected, result, reterr);
    if (err == ERR_NONE && keeps) {
        keeper_flush(&keeper);
        err = keeper.error.code;
        if (err != ERR_NONE && reterr)
            *reterr = keeper.error;
        if (err == ERR_NONE)
            err = backtest_store_end_run(pg, result->run_id, result->events, result->report, reterr);
    }
    if (err == ERR_NONE)
        err = backtest_store_close(stream, reterr);
    backtest_store_free(stream);
    json_decref(keeper.rows);
    return err;
}

static void print_json(const struct result *result, const struct loaded_rules *before, const struct loaded_rules *after)
{
    json_t *out = json_object();
    json_put_str(out, "before_rule_set", rule_set_version(before->set));
    json_put_str(out, "after_rule_set", rule_set_version(after->set));
    json_put_time(out, "since", result->since);
    json_put_time(out, "until", result->until);
    json_put_int(out, "events", result->events);
    json_put_int(out, "contacts", result->contacts);
    if (result->run_id > 0)
        json_put_int(out, "run", result->run_id);
    json_object_update(out, result->report);
    char *text = json_dump(out);
    printf("%s\n", text);
    free(text);
    json_decref(out);
}

static void print_text(const struct result *result, const struct loaded_rules *before, const struct loaded_rules *after)
{
    struct buf from CLEANUP(buf_done), to CLEANUP(buf_done);
    buf_init(&from, 64);
    buf_init(&to, 64);
    clock_add_iso(&from, result->since);
    clock_add_iso(&to, result->until);
    printf("%s of %s from %.19s to %.19s UTC\nbefore: rule set %s, after: rule set %s\n\n",
           text_counted(result->events, "event").text, text_counted(result->contacts, "contact").text, from.ptr, to.ptr,
           rule_set_version(before->set), rule_set_version(after->set));
    backtest_print(result->report);
    if (result->run_id > 0)
        printf("\nkept: SELECT * FROM backtest_effect WHERE run_id = %" PRId64 "\n", result->run_id);
}

static int check_budgets(const struct backtest_budget *budgets, size_t count, const json_t *report)
{
    int exit_code = EXIT_OK;
    for (size_t i = 0; i < count; i++) {
        char line[256];
        if (backtest_budget_holds(&budgets[i], report, line, sizeof(line)))
            continue;
        fprintf(stderr, "answerd backtest: %s\n", line);
        exit_code = EXIT_WRONG;
    }
    return exit_code;
}

static int compare_rules(const struct command *command, const struct backtest_wish *wish, const struct config *config,
                         const struct backtest_budget *budgets, struct result *result)
{
    struct loaded_rules before = { NULL, NULL }, after = { NULL, NULL };
    struct pg *pg = NULL;
    struct error e = { .code = ERR_NONE };
    int exit_code = loaded_rules_read(command, config, wish->rules, &after);
    if (exit_code == EXIT_OK)
        exit_code = command_open_database(command, config, "answerd backtest", &pg);
    if (exit_code == EXIT_OK && store_check_schema(pg, &e) != ERR_NONE)
        exit_code = command_failed(command, &e);
    if (exit_code == EXIT_OK)
        exit_code = wish->against ? loaded_rules_read(command, config, wish->against, &before)
                                  : loaded_rules_in_force(command, config, pg, &before);
    json_t *sources = rule_world_sources(config);
    if (exit_code == EXIT_OK) {
        const struct crew_settings settings = {
            .backtest = {
                .before = before.set,
                .after = after.set,
                .sources = sources,
                .max_depth = config->engine.max_depth,
                .max_examples = (size_t)wish->examples,
            },
            .before = before.sources,
            .after = after.sources,
            .limits = rule_world_limits(config),
            .since = result->since,
            .until = result->until,
            .threads = (size_t)wish->threads,
        };
        msec_t began = clock_steady();
        if (run_backtest(pg, &settings, wish->sql, result, &e) != ERR_NONE)
            exit_code = command_failed(command, &e);
        result->took_ms = clock_steady() - began;
    }
    if (exit_code == EXIT_OK) {
        if (wish->json)
            print_json(result, &before, &after);
        else
            print_text(result, &before, &after);
        fprintf(stderr, "%s in %.1f s\n", text_counted(result->events, "event").text, (double)result->took_ms / 1000);
        fflush(stdout);
        exit_code = check_budgets(budgets, wish->budgets.count, result->report);
    }
    pg_close(pg);
    json_decref(sources);
    loaded_rules_done(&before);
    loaded_rules_done(&after);
    return exit_code;
}

static int run_backtest_command(const struct command *command, int argc, char **argv)
{
    struct backtest_wish wish = { .since = "7d", .until = "now", .examples = DEFAULT_EXAMPLES };
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    wish.threads = processors < 1 ? 1 : processors > MAX_THREADS ? MAX_THREADS : processors;
    void *const values[] = { &wish.config_path, &wish.rules,   &wish.against, &wish.since,    &wish.until,
                             &wish.sql,         &wish.budgets, &wish.json,    &wish.examples, &wish.threads };
    int operands, exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    if (operands > 0)
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    if (!wish.rules)
        return command_usage_error(command, "needs --rules DIR, the candidate");
    if (wish.examples < 0 || wish.examples > 1000)
        return command_usage_error(command, "--limit-examples is between 0 and 1000");
    if (wish.threads < 0 || wish.threads > MAX_THREADS)
        return command_usage_error(command, "--threads is between 0 and %d", MAX_THREADS);
    struct result result = { .since = 0 };
    msec_t now = clock_now();
    if (!parse_moment(wish.since, now, &result.since) || !parse_moment(wish.until, now, &result.until))
        return command_usage_error(command, "--since and --until take a duration such as 7d or a time such as "
                                            "2026-11-23T08:00:00Z");
    if (result.since >= result.until)
        return command_usage_error(command, "--since is not before --until");
    struct backtest_budget budgets[OPTION_MAX_TEXTS];
    struct error e;
    for (size_t i = 0; i < wish.budgets.count; i++)
        if (backtest_budget_parse(wish.budgets.items[i], &budgets[i], &e) != ERR_NONE)
            return command_usage_error(command, "%s", e.text);

    struct config *config = NULL;
    exit_code = command_load_config(command, wish.config_path, false, &config);
    if (exit_code != EXIT_OK)
        return exit_code;
    exit_code = compare_rules(command, &wish, config, budgets, &result);
    json_decref(result.report);
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "rules", OPTION_TEXT, "DIR", "the candidate rules" },
    { "against", OPTION_TEXT, "DIR",
      "the rules to compare with; otherwise those in force, or configured when none ever were" },
    { "since", OPTION_TEXT, "TIME", "from when on: 7d (the default), or 2026-11-23T08:00:00Z" },
    { "until", OPTION_TEXT, "TIME", "up to when; otherwise now" },
    { "sql", OPTION_FLAG, NULL, "keep the differences in backtest_run and backtest_effect" },
    { "budget", OPTION_TEXTS, "LIMIT", "fail when exceeded: sends:+5%, tags:0, differences:0; may be repeated" },
    { "json", OPTION_FLAG, NULL, "print one JSON object" },
    { "limit-examples", OPTION_NUMBER, "N", "examples for each rule and kind; 3 when not given" },
    { "threads", OPTION_NUMBER, "N", "how many work; as many as there are processors when not given, one with --sql" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_backtest = {
    .name = "backtest",
    .summary = "show what other rules would have done with the recorded events",
    .usage = "--rules DIR [--against DIR] [--since 7d] [--until TIME] [--sql] [--budget LIMIT]... [--json]",
    .details =
        "Runs what came in through both rule sets in simulated worlds: conversations, timers, windows, surveys and\n"
        "outreaches included; each message is taken by the provider as soon as it may leave. Nothing is sent, and\n"
        "nothing is written without --sql. Statuses of messages that were really sent are left out.\n\n"
        "A budget is KIND:LIMIT: how many more there may be, in numbers or per cent of before; with a minus sign, how\n"
        "many fewer. KIND is a kind of the report (send, note, tag, webhook, failure, ...) or `differences`. When one is\n"
        "exceeded, the exit status is 1.",
    .options = options,
    .run = run_backtest_command,
};
