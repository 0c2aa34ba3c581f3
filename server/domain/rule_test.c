#include "domain/rule_test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "domain/desk.h"
#include "domain/rule_test_text.h"
#include "domain/rule_test_world.h"
#include "rules/rule_review.h"

/* Monday, 5 January 2026, 10:00 UTC: a working hour without a change of clocks near. */
#define BEGINNING_MS ((msec_t)1767607200 * 1000)
#define MAX_EVENTS_OF_ONE_ACT 2000
#define MAX_MOMENTS_OF_ONE_ACT 100000 /* at which a timer or a message is due */
#define MAX_DEPTH 8
#define REPORT_MAX_BYTES ((size_t)64 * 1024)

int64_t world_next_id(void *arg)
{
    struct world *world = arg;
    return ++world->last_id;
}

void world_begin_act(struct world *world)
{
    json_array_clear(world->traces);
    json_array_clear(world->events);
}

void world_count(struct world *world, const char *part, const char *name, const char *what)
{
    if (!world->coverage || !name)
        return;
    json_t *all = json_object_at(world->coverage, part);
    if (!all) {
        all = json_object();
        json_put(world->coverage, part, all);
    }
    json_t *counts = json_object_at(all, name);
    if (!counts) {
        counts = json_object();
        json_put(all, name, counts);
    }
    json_put_int(counts, what, json_int(counts, what, 0) + 1);
}

static void take_traces(struct world *world, const json_t *event, const json_t *traces)
{
    size_t index;
    json_t *trace;
    json_array_foreach (traces, index, trace) {
        json_t *kept = json_deep_copy(trace);
        json_object_set(kept, "type", json_object_get(event, "type"));
        json_array_append(world->traces, kept);
        const char *verdict = json_str_or(trace, "verdict", "");
        if (strcmp(verdict, "failed") == 0 || strcmp(verdict, "over_budget") == 0)
            json_array_append(world->errors, kept);
        json_decref(kept);
        world_count(world, "rules", json_str(trace, "rule"), json_str_or(trace, "verdict", ""));
    }
}

/* What the event means to a desk that knows these contacts. New reference. */
static json_t *changes_of(struct world *world, const json_t *event, const json_t *cases)
{
    const struct fact_reader reader = memory_store_reader(world->store);
    const struct desk_settings settings = {
        .next_id = world_next_id,
        .id_arg = world,
        .reader = &reader,
        .sources = world->sources,
        .max_depth = MAX_DEPTH,
    };
    struct desk *desk = desk_new(&settings, world->rules);
    size_t index;
    json_t *one;
    json_array_foreach (cases, index, one)
        desk_add_case(desk, json_incref(one));
    desk_handle(desk, event, world->now);
    json_t *changes = desk_take_changes(desk);
    desk_free(desk);
    return changes;
}

static void handle_one(struct world *world, const json_t *event)
{
    json_t *cases = memory_store_cases(world->store, event, NULL);
    json_t *changes = changes_of(world, event, cases);
    /* As the engine: a rule that named somebody else's identity is run again, with that contact at hand. */
    json_t *unseen = memory_store_unseen(world->store, cases, changes);
    json_decref(cases);
    if (unseen) {
        json_decref(changes);
        cases = memory_store_cases(world->store, event, unseen);
        changes = changes_of(world, event, cases);
        json_decref(cases);
        json_decref(unseen);
    }
    size_t before = memory_store_delivery_count(world->store);
    memory_store_apply(world->store, changes);
    world_hold_excess(world, before);
    take_traces(world, event, json_array_at(changes, "traces"));
    json_decref(changes);
    json_array_append(world->events, (json_t *)(uintptr_t)event);
}

static void note_endless(struct world *world, const char *text)
{
    json_t *endless = json_object();
    json_put_str(endless, "rule", "answerd.test");
    json_put_str(endless, "verdict", "failed");
    json_put_str(endless, "error", text);
    json_array_append_new(world->errors, endless);
}

static void settle(struct world *world)
{
    for (int i = 0; i < MAX_EVENTS_OF_ONE_ACT; i++) {
        json_t *event = memory_store_next_event(world->store);
        if (!event) {
            event = memory_store_fire_timer(world->store, world->now);
            if (event) {
                json_put_int(event, "id", world_next_id(world));
                json_put_time(event, "received_at", world->now);
            }
        }
        if (event) {
            handle_one(world, event);
            json_decref(event);
            continue;
        }
        json_t *delivery = memory_store_due_delivery(world->store, world->now);
        if (!delivery)
            return;
        world_dispatch(world, delivery);
    }
    note_endless(world, "one act led to more than 2000 events: do rules make each other run in a circle?");
}

void world_happen(struct world *world, json_t *event)
{
    handle_one(world, event);
    json_decref(event);
    settle(world);
}

void world_advance(struct world *world, msec_t until)
{
    settle(world);
    for (int i = 0;; i++) {
        msec_t timer = memory_store_next_timer(world->store), delivery = memory_store_next_delivery(world->store);
        msec_t next = timer > 0 && (delivery == 0 || timer < delivery) ? timer : delivery;
        if (next == 0 || next > until)
            break;
        if (i == MAX_MOMENTS_OF_ONE_ACT) {
            note_endless(world, "more than 100000 timers and messages were due: the rest of the time was passed over");
            break;
        }
        if (next > world->now)
            world->now = next;
        settle(world);
    }
    if (until > world->now)
        world->now = until;
}

err_t world_fail(struct world *world, struct error *reterr, const char *detail, const char *format, ...)
{
    char what[512];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof(what), format, list);
    va_end(list);
    buf_clear(&world->report);
    buf_addf(&world->report, "%s:%d: t:%s: %s\n", world->file, world->line, world->verb, what);
    if (detail)
        buf_add_text(&world->report, detail);
    if (json_array_size(world->events) == 0)
        buf_add_text(&world->report, "  nothing happened in the last act\n");
    else
        test_text_add_traces(&world->report, world->traces);
    return fail(reterr, ERR_INVALID, "%s:%d: t:%s: %s", world->file, world->line, world->verb, what);
}

static const struct world_verb *find_verb(const char *name)
{
    const struct world_verb *const lists[] = { world_acts, world_expectations, world_provider_verbs };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (const struct world_verb *verb = lists[i]; verb->name; verb++)
            if (strcmp(verb->name, name) == 0)
                return verb;
    return NULL;
}

static const char *nearest_verb(const char *name)
{
    const char *names[64];
    size_t count = 0;
    const struct world_verb *const lists[] = { world_acts, world_expectations, world_provider_verbs };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (const struct world_verb *verb = lists[i]; verb->name && count < ARRAY_LEN(names) - 1; verb++)
            names[count++] = verb->name;
    names[count] = NULL;
    return text_nearest(name, names);
}

err_t rule_test_review(struct rule_set *set, json_t *problems, struct error *reterr)
{
    json_t *calls CLEANUP(json_free) = NULL;
    err_t err = rule_review_test_calls(set, &calls, reterr);
    size_t index;
    json_t *call;
    json_array_foreach (calls, index, call) {
        const char *name = json_str_or(call, "name", "");
        if (find_verb(name))
            continue;
        const char *nearest = nearest_verb(name);
        char text[200];
        snprintf(text, sizeof(text), "tests have no verb 't:%.60s'%s%s%s", name, nearest ? "; did you mean '" : "",
                 nearest ? nearest : "", nearest ? "'?" : "");
        json_t *problem = json_object();
        json_put_str(problem, "file", json_str(call, "file"));
        json_put_int(problem, "line", json_int(call, "line", 0));
        json_put_str(problem, "severity", nearest ? "error" : "warning");
        json_put_str(problem, "text", text);
        json_put_str(problem, "hint", "rules/README.md, section Tests, lists the verbs");
        json_array_append_new(problems, problem);
    }
    return err;
}

static json_t *run_verb(void *arg, const char *name, const json_t *arguments, const char *file, int line,
                        struct error *reterr)
{
    struct world *world = arg;
    world->verb = name;
    world->file = file;
    world->line = line;
    const struct world_verb *verb = find_verb(name);
    if (!verb) {
        const char *nearest = nearest_verb(name);
        world_fail(world, reterr, NULL, "there is no such verb%s%s%s", nearest ? "; did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'" : "");
        return NULL;
    }
    return verb->run(world, json_array_get(arguments, 0), json_array_get(arguments, 1), reterr);
}

static msec_t read_now(void *arg)
{
    const struct world *world = arg;
    return world->now;
}

/* A rule that failed without the test expecting it fails the test, whatever else came out. */
static bool errors_left(struct world *world)
{
    const json_t *error = json_array_get(world->errors, 0);
    if (!error)
        return false;
    buf_clear(&world->report);
    buf_addf(&world->report, "rule '%s' failed on %s: %s\n", json_str_or(error, "rule", ""),
             json_str_or(error, "type", "an event"), json_str_or(error, "error", ""));
    json_t *one = json_pack("[O]", (json_t *)(uintptr_t)error);
    test_text_add_traces(&world->report, one);
    json_decref(one);
    buf_add_text(&world->report, "  (when that is meant, say t:expect_error { rule = … })\n");
    return true;
}

/* The same for a message that its channel does not take as it is. */
static bool mistakes_left(struct world *world)
{
    size_t index;
    json_t *held;
    json_array_foreach (world->held, index, held) {
        if (!json_bool(held, "mistaken", false))
            continue;
        buf_clear(&world->report);
        buf_addf(&world->report, "rule '%s' wrote a message that cannot leave: %s\n", json_str_or(held, "rule", "?"),
                 json_str_or(held, "reason", ""));
        test_text_add_line(&world->report, "message:", json_object_at(json_object_at(held, "request"), "free"));
        buf_add_text(&world->report, "  (when that is meant, say t:expect_held { reason = … })\n");
        return true;
    }
    return false;
}

void rule_test_run(struct rule_set *set, size_t index, const json_t *sources, json_t *coverage,
                   struct rule_test_outcome *ret_outcome)
{
    struct world world = {
        .rules = set,
        .sources = sources,
        .store = memory_store_new(),
        .now = BEGINNING_MS,
        .last_id = 1000,
        .sent = json_array(),
        .webhooks = json_array(),
        .held = json_array(),
        .alerts = json_object(),
        .traces = json_array(),
        .errors = json_array(),
        .events = json_array(),
        .provider = json_object(),
        .coverage = coverage,
    };
    buf_init(&world.report, REPORT_MAX_BYTES);
    struct rule_test_host host = { .verb = run_verb, .now = read_now, .arg = &world };
    struct error error = { .code = ERR_NONE };
    bool passed = rule_set_run_test(set, index, &host, &error) == ERR_NONE;
    if (!passed && world.report.len == 0) {
        buf_addf(&world.report, "%s\n", error.text);
        if (json_array_size(world.traces) > 0)
            test_text_add_traces(&world.report, world.traces);
    }
    if (passed && (errors_left(&world) || mistakes_left(&world)))
        passed = false;
    *ret_outcome = (struct rule_test_outcome){ .passed = passed };
    if (passed)
        buf_clear(&world.report);
    ret_outcome->report = buf_take(&world.report);
    json_t *const owned[] = { world.sent,   world.webhooks, world.held,   world.alerts,
                              world.traces, world.errors,   world.events, world.provider };
    for (size_t i = 0; i < ARRAY_LEN(owned); i++)
        json_decref(owned[i]);
    memory_store_free(world.store);
    buf_done(&world.report);
}

void rule_test_outcome_done(struct rule_test_outcome *outcome)
{
    free(outcome->report);
    *outcome = (struct rule_test_outcome){ .passed = false };
}
