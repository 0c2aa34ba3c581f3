#include "commands/replay_dry.h"

#include "commands/rule_world.h"
#include "domain/desk.h"
#include "domain/effect_key.h"
#include "engine/facts_reader.h"
#include "store/replay_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_AT_ONCE 400
/* Above every id that the database has given out: nothing of this is stored. */
#define FIRST_ID ((int64_t)1 << 52)
#define MOST_CAUSED_EVENTS 20000

struct dry_run {
    struct pg *pg;
    struct rule_set *rules;
    json_t *sources;
    unsigned max_depth;
    int64_t last_id;
    size_t max_examples;
    int64_t first_time;
    int64_t suppressed;
    json_t *totals; /* object: "RULE\nKIND" -> {rule, kind, count, examples} */
};

static int64_t next_id(void *arg)
{
    struct dry_run *run = arg;
    return ++run->last_id;
}

static void count_effect(struct dry_run *run, const char *rule, const char *kind, int64_t event_id, const json_t *shown)
{
    char key[256];
    snprintf(key, sizeof(key), "%s\n%s", rule, kind);
    json_t *total = json_object_get(run->totals, key);
    if (!total) {
        total = json_object();
        json_put_str(total, "rule", rule);
        json_put_str(total, "kind", kind);
        json_put_int(total, "count", 0);
        json_put(total, "examples", json_array());
        json_put(run->totals, key, total);
    }
    json_put_int(total, "count", json_int(total, "count", 0) + 1);
    json_t *examples = json_array_at(total, "examples");
    if (json_array_size(examples) < run->max_examples) {
        json_t *example = json_object();
        if (event_id < FIRST_ID)
            json_put_int(example, "event", event_id);
        json_t *effect = json_deep_copy(shown);
        json_object_del(effect, "made"); /* it has numbers of things that nobody will ever see */
        json_put(example, "effect", effect);
        json_array_append_new(examples, example);
    }
}

static void count_trace(struct dry_run *run, const json_t *trace)
{
    const char *rule = json_str_or(trace, "rule", ""), *verdict = json_str_or(trace, "verdict", "");
    int64_t event_id = json_int(trace, "event_id", 0);
    if (strcmp(verdict, "failed") == 0 || strcmp(verdict, "over_budget") == 0) {
        count_effect(run, rule, "failure", event_id, json_object_get(trace, "error"));
        return;
    }
    size_t index;
    json_t *effect;
    json_array_foreach (strcmp(verdict, "ran") == 0 ? json_array_at(trace, "effects") : NULL, index, effect) {
        if (json_bool(effect, "suppressed", false))
            run->suppressed++;
        else if (!json_object_get(effect, "refused"))
            count_effect(run, rule, json_str_or(effect, "do", ""), event_id, effect);
    }
}

/* Handles the claimed events and what they cause, on one desk; fails when a rule could not read what it asked for. */
static err_t handle_claim(struct dry_run *run, const struct claim *claim, struct error *reterr)
{
    struct facts_reader facts;
    const struct fact_reader reader = facts_reader_begin(&facts, run->pg);
    const struct desk_settings settings = {
        .next_id = next_id,
        .id_arg = run,
        .reader = &reader,
        .sources = run->sources,
        .max_depth = run->max_depth,
    };
    struct desk *desk = desk_new(&settings, run->rules);
    json_t *events = json_array();
    size_t index;
    json_t *item;
    desk_add_case(desk, json_incref(claim->facts));
    json_array_foreach (claim->work, index, item)
        json_array_append(events, json_object_at(item, "event"));
    /* The array grows while it is walked: caused events come after those that were chosen. */
    for (size_t i = 0; i < json_array_size(events) && i < MOST_CAUSED_EVENTS; i++) {
        const json_t *event = json_array_get(events, i), *replay = json_object_at(event, "replay");
        run->first_time += replay && !json_bool(replay, "handled", false);
        desk_handle(desk, event, clock_now());
        json_t *changes = desk_take_changes(desk), *entry;
        size_t place;
        json_array_foreach (json_array_at(changes, "traces"), place, entry)
            count_trace(run, entry);
        json_array_foreach (json_array_at(changes, "events"), place, entry)
            json_array_append(events, entry);
        json_decref(changes);
    }
    json_decref(events);
    desk_free(desk);
    facts_reader_end(&facts);
    if (facts.err != ERR_NONE && reterr)
        *reterr = facts.error;
    return facts.err;
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static json_t *make_report(const struct dry_run *run, int64_t count)
{
    const char *keys[1024];
    size_t size = 0;
    const char *key;
    json_t *total;
    json_object_foreach (run->totals, key, total) {
        if (size < ARRAY_LEN(keys))
            keys[size++] = key;
    }
    // cppcheck-suppress uninitvar ; it thinks of a loop that does not run
    qsort(keys, size, sizeof(*keys), compare_texts);
    json_t *report = json_object(), *rules = json_array();
    json_put_int(report, "events", count);
    json_put_int(report, "first_time", run->first_time);
    json_put_int(report, "suppressed", run->suppressed);
    for (size_t i = 0; i < size; i++)
        json_array_append(rules, json_object_get(run->totals, keys[i]));
    json_put(report, "rules", rules);
    return report;
}

err_t replay_dry_run(struct pg *pg, const struct config *config, struct rule_set *rules, const json_t *selection,
                     int64_t count, size_t max_examples, json_t **ret_report, struct error *reterr)
{
    struct dry_run run = {
        .pg = pg,
        .rules = rules,
        .sources = rule_world_sources(config),
        .max_depth = config->engine.max_depth,
        .last_id = FIRST_ID,
        .max_examples = max_examples,
        .totals = json_object(),
    };
    err_t err = ERR_NONE;
    struct progress progress;
    progress_begin(&progress, "events", count);
    for (int64_t first = 1; first <= count && err == ERR_NONE; first += EVENTS_AT_ONCE) {
        struct claim claim = { .work = NULL };
        err = replay_store_try(pg, selection, first, first + EVENTS_AT_ONCE - 1, &claim, reterr);
        if (err != ERR_NONE)
            break;
        err = handle_claim(&run, &claim, reterr);
        for (size_t i = 0; i < json_array_size(claim.work); i++)
            progress_step(&progress);
        claim_done(&claim);
        engine_store_rollback(pg);
    }
    progress_end(&progress);
    if (err == ERR_NONE)
        *ret_report = make_report(&run, count);
    json_decref(run.totals);
    json_decref(run.sources);
    return err;
}
