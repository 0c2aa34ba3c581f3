/* `answerd replay`: runs stored events again, and makes only what has not been made before. */
#include "base/memory.h"
#include "base/text.h"
#include "commands/replay_dry.h"
#include "commands/rule_world.h"
#include "domain/lua_text.h"
#include "store/replay_store.h"
#include "store/store.h"
#include "store/why_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SINCE "7d"
#define EVENTS_AT_ONCE 500
#define EXAMPLES 3
#define SHOWN_MAX_BYTES 400
#define EXAMPLE_MAX_BYTES ((size_t)64 * 1024)

struct replay_wish {
    const char *config_path;
    const char *since;
    const char *until;
    const char *source;
    const char *type;
    const char *condition;
    bool dry;
    bool yes;
    const char *rate;
    struct option_texts rules;
    bool json;
    char **events; /* operands */
    int event_count;
};

static void print_preview(const json_t *rows, int64_t count)
{
    size_t index;
    json_t *row;
    fprintf(stderr, "%s:\n", text_counted(count, "event").text);
    json_array_foreach (rows, index, row)
        fprintf(stderr, "  %8" PRId64 "  %-28s from %-16s %s, %.19s to %.19s UTC\n", json_int(row, "count", 0),
                json_str_or(row, "type", ""), json_str_or(row, "source", ""), json_str_or(row, "state", ""),
                json_str_or(row, "first", ""), json_str_or(row, "last", ""));
}

static int print_dry(const json_t *report, bool as_json)
{
    if (as_json) {
        char *text = json_dump(report);
        printf("%s\n", text);
        free(text);
        return EXIT_OK;
    }
    size_t index, place;
    json_t *total, *example;
    json_array_foreach (json_array_at(report, "rules"), index, total) {
        printf("%-28s %-18s %8" PRId64 "\n", json_str_or(total, "rule", ""), json_str_or(total, "kind", ""),
               json_int(total, "count", 0));
        json_array_foreach (json_array_at(total, "examples"), place, example) {
            const json_t *effect = json_object_get(example, "effect");
            struct buf text CLEANUP(buf_done);
            buf_init(&text, EXAMPLE_MAX_BYTES);
            if (json_is_string(effect))
                buf_add_text(&text, json_string_value(effect));
            else
                lua_text_add_effect(&text, effect, SHOWN_MAX_BYTES);
            printf("    event %" PRId64 ": %.*s\n", json_int(example, "event", 0), (int)text.len, text.ptr);
        }
    }
    if (json_array_size(json_array_at(report, "rules")) == 0)
        printf("nothing would be made\n");
    int64_t events = json_int(report, "events", 0), suppressed = json_int(report, "suppressed", 0);
    printf("%s, %" PRId64 " of them for the first time; %s made before and %s out\n",
           text_counted(events, "event").text, json_int(report, "first_time", 0),
           text_counted(suppressed, "effect").text, suppressed == 1 ? "stays" : "stay");
    return EXIT_OK;
}

static json_t *describe(const struct replay_wish *wish, const struct replay_choice *choice)
{
    json_t *selection = json_object();
    if (wish->event_count > 0) {
        json_t *ids = json_array();
        for (size_t i = 0; i < choice->id_count; i++)
            json_array_append_new(ids, json_integer(choice->ids[i]));
        json_put(selection, "events", ids);
    }
    json_put_time(selection, "since", choice->since);
    json_put_time(selection, "until", choice->until);
    json_put_str(selection, "source", choice->source);
    json_put_str(selection, "type", choice->type);
    json_put_str(selection, "where", choice->condition);
    if (wish->rules.count > 0) {
        json_t *rules = json_array();
        for (size_t i = 0; i < wish->rules.count; i++)
            json_array_append_new(rules, json_string(wish->rules.items[i]));
        json_put(selection, "rules", rules);
    }
    return selection;
}

/* Puts the chosen events to work, at most `rate` a second (0: as fast as it goes). */
static err_t append_all(struct pg *pg, int64_t replay_id, int64_t count, int64_t rate, int64_t *ret_added,
                        struct error *reterr)
{
    int64_t step = rate > 0 && rate < EVENTS_AT_ONCE ? rate : EVENTS_AT_ONCE;
    struct progress progress;
    progress_begin(&progress, "events", count);
    msec_t began = clock_steady();
    err_t err = ERR_NONE;
    for (int64_t first = 1; first <= count && err == ERR_NONE; first += step) {
        if (rate > 0) {
            msec_t wait = began + (first - 1) * 1000 / rate - clock_steady();
            if (wait > 0)
                nanosleep(&(struct timespec){ .tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000 }, NULL);
        }
        int64_t last = first + step - 1 < count ? first + step - 1 : count, added = 0;
        err = replay_store_append(pg, replay_id, first, last, &added, reterr);
        *ret_added += added;
        for (int64_t i = first; i <= last; i++)
            progress_step(&progress);
    }
    progress_end(&progress);
    return err;
}

static bool is_confirmed(int64_t count)
{
    char answer[16] = "";
    fprintf(stderr, "Run %s again? [y/N] ", text_counted(count, "event").text);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

static int replay_chosen(const struct command *command, const struct replay_wish *wish, struct pg *pg,
                         const struct replay_choice *choice, int64_t count, int64_t rate)
{
    struct error e;
    if (!wish->yes && isatty(STDIN_FILENO) != 1)
        return command_usage_error(command, "asks before it does anything; say --yes when nobody is there to answer");
    if (!wish->yes && !is_confirmed(count)) {
        fprintf(stderr, "nothing was done\n");
        return EXIT_WRONG;
    }
    json_t *selection = describe(wish, choice);
    int64_t id = 0, added = 0;
    err_t err = replay_store_begin(pg, selection, count, &id, &e);
    json_decref(selection);
    if (err == ERR_NONE)
        err = append_all(pg, id, count, rate, &added, &e);
    if (err != ERR_NONE)
        return command_failed(command, &e);
    printf("replay %" PRId64 ": %" PRId64 " %s at work\n"
           "HINT: SELECT * FROM trace WHERE replay_id = %" PRId64 " tells what their rules did\n",
           id, added, added == 1 ? "event is" : "events are", id);
    return EXIT_OK;
}

/* A condition that PostgreSQL cannot read, or that asks for what event_log does not have, is the caller's mistake. */
static int not_selected(const struct command *command, const struct replay_wish *wish, const struct error *error)
{
    if (!wish->condition || (strncmp(error->sqlstate, "42", 2) != 0 && strncmp(error->sqlstate, "22", 2) != 0))
        return command_failed(command, error);
    fprintf(stderr,
            "answerd replay: --where \"%s\": %s\n"
            "HINT: it is a condition on event_log, such as \"type = 'payment.failed' AND contact_id = 1001\"\n",
            wish->condition, error->text);
    return EXIT_USAGE;
}

static bool is_among(const json_t *names, const char *name)
{
    size_t index;
    json_t *known;
    json_array_foreach (names, index, known) {
        if (strcmp(json_string_value(known), name) == 0)
            return true;
    }
    return false;
}

static void print_nearest_rule(const json_t *names, const char *name)
{
    size_t count = json_array_size(names), index;
    const char **known = memory_new((count + 1) * sizeof(*known));
    json_t *one;
    json_array_foreach (names, index, one)
        known[index] = json_string_value(one);
    const char *nearest = text_nearest(name, known);
    if (nearest)
        fprintf(stderr, "HINT: did you mean '%s'?\n", nearest);
    else if (count == 0)
        fprintf(stderr, "HINT: no rules are in force: `answerd serve` or `answerd reload` puts them there\n");
    for (index = 0; !nearest && index < count; index++)
        fprintf(stderr, "%s%s%s", index == 0 ? "HINT: the rules are " : ", ", known[index],
                index + 1 == count ? "\n" : "");
    free(known);
}

/* Each --rule must be in force, loaded for the dry run (`loaded`, or NULL), or on record for the events that were
 * chosen: a misspelt name would ask nobody, and look as if there had been nothing to do. */
static int know_rules(const struct command *command, const struct replay_wish *wish, struct pg *pg,
                      const struct rule_set *loaded)
{
    struct error e;
    json_t *names CLEANUP(json_free) = NULL;
    if (wish->rules.count == 0)
        return EXIT_OK;
    if (replay_store_rules(pg, &names, &e) != ERR_NONE)
        return command_failed(command, &e);
    for (size_t i = 0; loaded && i < rule_set_count(loaded); i++) {
        if (!is_among(names, rule_set_rule(loaded, i)->name))
            json_array_append_new(names, json_string(rule_set_rule(loaded, i)->name));
    }
    for (size_t i = 0; i < wish->rules.count; i++) {
        if (is_among(names, wish->rules.items[i]))
            continue;
        fprintf(stderr,
                "answerd replay: --rule %s: no rule has this name, neither now nor when these events were handled\n",
                wish->rules.items[i]);
        print_nearest_rule(names, wish->rules.items[i]);
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int work_on(const struct command *command, const struct replay_wish *wish, const struct config *config,
                   struct pg *pg, struct replay_choice *choice, int64_t rate)
{
    struct error e;
    int64_t count = 0;
    json_t *rows CLEANUP(json_free) = NULL;
    if (store_check_schema(pg, &e) != ERR_NONE)
        return command_failed(command, &e);
    if (replay_store_select(pg, choice, &count, &e) != ERR_NONE || replay_store_preview(pg, &rows, &e) != ERR_NONE)
        return not_selected(command, wish, &e);
    struct loaded_rules rules = { NULL, NULL };
    int exit_code = wish->dry ? loaded_rules_in_force(command, config, pg, &rules) : EXIT_OK;
    if (exit_code == EXIT_OK)
        exit_code = know_rules(command, wish, pg, rules.set);
    if (exit_code == EXIT_OK)
        print_preview(rows, count);
    if (exit_code == EXIT_OK && !wish->dry && count > 0)
        exit_code = replay_chosen(command, wish, pg, choice, count, rate);
    json_t *report CLEANUP(json_free) = NULL;
    json_t *selection CLEANUP(json_free) = describe(wish, choice);
    if (exit_code == EXIT_OK && wish->dry)
        exit_code = replay_dry_run(pg, config, rules.set, selection, count, EXAMPLES, &report, &e) == ERR_NONE
                        ? print_dry(report, wish->json)
                        : command_failed(command, &e);
    loaded_rules_done(&rules);
    return exit_code;
}

static int find_events(const struct command *command, const struct replay_wish *wish, struct pg *pg, int64_t *ids)
{
    for (int i = 0; i < wish->event_count; i++) {
        struct error e;
        err_t err = why_store_find(pg, wish->events[i], &ids[i], &e);
        if (err == ERR_NOT_FOUND) {
            fprintf(stderr, "answerd replay: %s\n", e.text);
            return EXIT_WRONG;
        }
        if (err != ERR_NONE)
            return command_failed(command, &e);
    }
    return EXIT_OK;
}

/* "30" or "30/s". */
static bool parse_rate(const char *text, int64_t *ret_rate)
{
    struct bytes rest = bytes_of(text);
    struct bytes number = text_next_field(&rest, '/');
    bool has_unit = rest.len > 0;
    return text_to_i64(number, ret_rate) && *ret_rate > 0 && (!has_unit || (rest.len == 1 && rest.ptr[0] == 's'));
}

static int run_replay(const struct command *command, int argc, char **argv)
{
    struct replay_wish wish = { .until = "now" };
    void *const values[] = { &wish.config_path, &wish.since, &wish.until, &wish.source, &wish.type, &wish.condition,
                             &wish.rules,       &wish.dry,   &wish.yes,   &wish.rate,   &wish.json };
    int exit_code;
    if (!options_parse(command, argc, argv, values, &wish.event_count, &exit_code))
        return exit_code;
    wish.events = argv + 1;
    bool chooses = wish.since || wish.source || wish.type || wish.condition;
    if (wish.event_count == 0 && !chooses)
        return command_usage_error(command, "needs events, or --since, --source, --type or --where");
    struct replay_choice choice = { .source = wish.source, .type = wish.type, .condition = wish.condition };
    msec_t now = clock_now();
    if ((wish.event_count == 0 || wish.since) &&
        !parse_moment(wish.since ? wish.since : DEFAULT_SINCE, now, &choice.since))
        return command_usage_error(command, "--since takes a duration such as 7d or a time, got '%s'", wish.since);
    if (!parse_moment(wish.until, now, &choice.until))
        return command_usage_error(command, "--until takes a duration such as 1h or a time, got '%s'", wish.until);
    int64_t rate = 0;
    if (wish.rate && !parse_rate(wish.rate, &rate))
        return command_usage_error(command, "--rate takes events a second such as 20/s, got '%s'", wish.rate);

    struct config *config = NULL;
    struct pg *pg = NULL;
    exit_code = command_load_config(command, wish.config_path, false, &config);
    if (exit_code != EXIT_OK)
        return exit_code;
    exit_code = command_open_database(command, config, "answerd replay", &pg);
    int64_t *ids = wish.event_count > 0 ? memory_new((size_t)wish.event_count * sizeof(*ids)) : NULL;
    if (exit_code == EXIT_OK && ids)
        exit_code = find_events(command, &wish, pg, ids);
    choice.ids = ids;
    choice.id_count = (size_t)wish.event_count;
    if (exit_code == EXIT_OK)
        exit_code = work_on(command, &wish, config, pg, &choice, rate);
    pg_close(pg);
    free(ids);
    config_free(config);
    return exit_code;
}

static const struct command_option options[] = {
    OPTION_CONFIG,
    { "since", OPTION_TEXT, "TIME", "received since: 7d (the default), or 2026-11-23T08:00:00Z" },
    { "until", OPTION_TEXT, "TIME", "received before; otherwise now" },
    { "source", OPTION_TEXT, "NAME", "only of this source" },
    { "type", OPTION_TEXT, "TYPE", "only of this type, or family such as payment.*" },
    { "where", OPTION_TEXT, "SQL", "only those in event_log for which this holds" },
    { "rule", OPTION_TEXTS, "NAME", "ask this rule again, too, though it had its say; may be repeated" },
    { "dry", OPTION_FLAG, NULL, "only tell what the rules in force would make that has not been made" },
    { "yes", OPTION_FLAG, NULL, "do not ask" },
    { "rate", OPTION_TEXT, "N/s", "at most so many events a second" },
    { "json", OPTION_FLAG, NULL, "with --dry: print one JSON object" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_replay = {
    .name = "replay",
    .summary = "run stored events again; only what has not been made before is made",
    .usage =
        "EVENT... [--dry] [--yes]\n--since TIME [--until TIME] [--source NAME] [--type TYPE] [--where SQL] [--dry] "
        "[--yes] [--rate N/s]",
    .details =
        "Counts and asks first. The running server handles the events behind what waits already, with the rules and the\n"
        "facts of today. A rule that ran, or was skipped by its `when`, had its say then and is not asked again: those run\n"
        "that failed, were quarantined or did not exist yet, and those that --rule names. An effect that the rule was given\n"
        "for the event before is not made again: same kind and same name (the template, the tag, the timer, ...), as often\n"
        "as it was. What was refused then counts as made.\n"
        "Messages are not recorded again, surveys and outreaches not started again. An event that was parked is handled\n"
        "for the first time. Everything that a replay writes carries its number in replay_id.",
    .options = options,
    .run = run_replay,
};
