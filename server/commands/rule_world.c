#include "commands/rule_world.h"

#include "base/text.h"
#include "channel/channel.h"
#include "rules/rule_feed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRAW_EVERY_MS 200
#define BAR_WIDTH 30

json_t *rule_world_sources(const struct config *config)
{
    json_t *sources = json_object();
    for (size_t i = 0; i < config->source_count; i++) {
        const struct channel_kind *kind = channel_find(config->sources[i].kind);
        json_t *source = json_object();
        json_put_str(source, "kind", config->sources[i].kind);
        if (kind != NULL) {
            json_put_str(source, "provider", kind->provider);
            json_put_bool(source, "sends", kind->render != NULL);
            json_put_int(source, "window_ms", kind->window_ms);
        }
        json_put(sources, config->sources[i].name, source);
    }
    return sources;
}

struct rule_limits rule_world_limits(const struct config *config)
{
    struct rule_limits limits = rule_limits_default();
    limits.max_instructions = config->rules.max_instructions;
    limits.max_memory_bytes = config->rules.max_memory_bytes;
    limits.max_effects = config->rules.max_effects;
    limits.max_wall_ms = config->rules.max_wall_ms;
    return limits;
}

/* Loads the sources, which it takes over; `origin` is what the message calls them. Returns the exit code. */
static int load_sources(const struct command *command, const struct config *config, struct rule_sources *sources,
                        const char *origin, struct loaded_rules *ret_rules)
{
    struct loaded_rules rules = { sources, NULL };
    const struct rule_limits limits = rule_world_limits(config);
    struct error e;
    json_t *problems = json_array();
    err_t err = rule_set_load(rules.sources, &limits, problems, &rules.set, &e);
    if (err != ERR_NONE) {
        struct buf text;
        buf_init(&text, (size_t)256 * 1024);
        for (size_t i = 0; i < json_array_size(problems); i++)
            config_add_problem_text(&text, json_array_get(problems, i));
        if (text.len > 0)
            fprintf(stderr, "%sanswerd %s: the rules %s do not load\n", text.ptr, command->name, origin);
        else
            fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
        buf_done(&text);
        loaded_rules_done(&rules);
    }
    json_decref(problems);
    if (err != ERR_NONE)
        return EXIT_CONFIGURATION;
    *ret_rules = rules;
    return EXIT_OK;
}

int loaded_rules_read(const struct command *command, const struct config *config, const char *directory,
                      struct loaded_rules *ret_rules)
{
    struct rule_sources *sources = NULL;
    struct error e;
    if (rule_sources_read(directory, false, &sources, &e) != ERR_NONE) {
        fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
        return EXIT_CONFIGURATION;
    }
    struct buf origin CLEANUP(buf_done);
    buf_init(&origin, 4096);
    buf_addf(&origin, "in %s", directory);
    return load_sources(command, config, sources, origin.ptr, ret_rules);
}

int loaded_rules_in_force(const struct command *command, const struct config *config, struct pg *pg,
                          struct loaded_rules *ret_rules)
{
    struct rule_pointer pointer;
    struct rule_sources *sources = NULL;
    struct error e;
    err_t err = version_store_pointer(pg, &pointer, &e);
    if (err == ERR_NONE && pointer.current[0] == '\0')
        return loaded_rules_read(command, config, config->rules.directory, ret_rules);
    if (err == ERR_NONE)
        err = rule_feed_read_stored(pg, pointer.current, &sources, &e);
    if (err != ERR_NONE)
        return command_failed(command, &e);
    return load_sources(command, config, sources, "in force", ret_rules);
}

void loaded_rules_done(struct loaded_rules *rules)
{
    rule_set_free(rules->set);
    rule_sources_free(rules->sources);
    *rules = (struct loaded_rules){ NULL, NULL };
}

bool parse_moment(const char *text, msec_t now, msec_t *ret_at)
{
    int64_t ago = 0;
    if (strcmp(text, "now") == 0) {
        *ret_at = now;
        return true;
    }
    if (text_to_duration(bytes_of(text), &ago)) {
        *ret_at = now - ago;
        return true;
    }
    return clock_parse_iso(bytes_of(text), ret_at);
}

bool progress_is_shown(void)
{
    return isatty(STDERR_FILENO) == 1;
}

void progress_begin(struct progress *progress, const char *what, int64_t expected)
{
    *progress = (struct progress){
        .what = what,
        .expected = expected,
        .began = clock_steady(),
        .visible = progress_is_shown(),
    };
}

static void draw(struct progress *progress, msec_t now)
{
    msec_t passed = now - progress->began > 0 ? now - progress->began : 1;
    char bar[BAR_WIDTH + 1];
    int64_t filled = progress->expected > 0 ? progress->done * BAR_WIDTH / progress->expected : 0;
    for (int i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    int64_t percent = progress->expected > 0 ? progress->done * 100 / progress->expected : 0;
    fprintf(stderr, "\r[%s] %3" PRId64 " %%  %" PRId64 " %s, %" PRId64 "/s ", bar, percent < 100 ? percent : 100,
            progress->done, progress->what, progress->done * 1000 / passed);
    progress->drawn = now;
}

void progress_step(struct progress *progress)
{
    progress->done++;
    if (!progress->visible || progress->done % 64 != 0)
        return;
    msec_t now = clock_steady();
    if (now - progress->drawn >= DRAW_EVERY_MS)
        draw(progress, now);
}

void progress_end(struct progress *progress)
{
    if (progress->visible && progress->drawn > 0)
        fprintf(stderr, "\r%*s\r", 78, "");
}
