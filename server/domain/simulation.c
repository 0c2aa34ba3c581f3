#include "domain/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "domain/departure.h"
#include "domain/desk.h"
#include "domain/simulation_world.h"
#include "domain/trial_render.h"

/* Above every id that a database will ever give out, and exact in a double. */
#define FIRST_ID ((int64_t)1 << 52)
#define EVENTS_BETWEEN_TRIMS 512
#define ROWS_KEPT 200
#define ROOTS_KEPT ((size_t)1 << 20)
/* A contact's world that does more than this within one advance goes round in a circle. */
#define STEPS_OF_ONE_ADVANCE 100000

static int64_t next_id(void *arg)
{
    struct simulation *simulation = arg;
    return ++simulation->last_id;
}

struct simulation *simulation_new(struct rule_set *rules, const json_t *sources, unsigned max_depth,
                                  struct rule_rival *rival)
{
    struct simulation *simulation = memory_new(sizeof(*simulation));
    simulation->rules = rules;
    simulation->sources = sources;
    simulation->max_depth = max_depth;
    simulation->store = memory_store_new();
    simulation->reader = memory_store_reader(simulation->store);
    const struct desk_settings settings = {
        .next_id = next_id,
        .id_arg = simulation,
        .reader = &simulation->reader,
        .sources = simulation->sources,
        .max_depth = simulation->max_depth,
        .world = memory_store_rows(simulation->store),
        .rival = rival,
        .tells_briefly = true,
    };
    simulation->desk = desk_new(&settings, rules);
    simulation_begin(simulation, NULL);
    return simulation;
}

void simulation_free(struct simulation *simulation)
{
    if (!simulation)
        return;
    desk_free(simulation->desk);
    memory_store_free(simulation->store);
    simulation_forget_outcomes(simulation);
    free(simulation->outcomes);
    free(simulation->roots);
    free(simulation);
}

void simulation_begin(struct simulation *simulation, const json_t *seed)
{
    memory_store_clear(simulation->store);
    simulation->last_id = FIRST_ID;
    simulation->first_root = FIRST_ID;
    simulation->root_count = 0;
    simulation->now = 0;
    simulation->handled = 0;
    if (!seed)
        return;
    struct rows *rows = memory_store_rows(simulation->store);
    if (json_object_at(seed, "contact"))
        rows_load(rows, ROWS_CONTACT, json_deep_copy(json_object_at(seed, "contact")));
    for (int i = 0; i < ROWS_TABLE_COUNT; i++) {
        size_t index;
        json_t *row;
        json_array_foreach (json_array_at(seed, rows_table_name((enum rows_table)i)), index, row)
            rows_load(rows, (enum rows_table)i, json_deep_copy(row));
    }
}

/* --- ids, and what they go back to -------------------------------------------------------------------------------- */

static int64_t root_of(const struct simulation *simulation, int64_t event_id)
{
    if (event_id < FIRST_ID)
        return event_id;
    int64_t place = event_id - simulation->first_root;
    return place >= 0 && (size_t)place < simulation->root_count ? simulation->roots[place] : 0;
}

static void note_root(struct simulation *simulation, int64_t event_id, int64_t root)
{
    if (simulation->root_count > ROOTS_KEPT) {
        size_t half = simulation->root_count / 2;
        memmove(simulation->roots, simulation->roots + half, (simulation->root_count - half) * sizeof(int64_t));
        simulation->root_count -= half;
        simulation->first_root += (int64_t)half;
    }
    int64_t place = event_id - simulation->first_root;
    if (place < 0)
        return;
    size_t wanted = (size_t)place + 1;
    if (wanted > simulation->root_capacity) {
        simulation->root_capacity = wanted * 2;
        simulation->roots = memory_resize(simulation->roots, simulation->root_capacity * sizeof(int64_t));
    }
    while (simulation->root_count < wanted)
        simulation->roots[simulation->root_count++] = 0;
    simulation->roots[place] = root;
}

/* --- handling ----------------------------------------------------------------------------------------------------- */

static void handle(struct simulation *simulation, const json_t *event)
{
    int64_t id = json_int(event, "id", 0);
    simulation->root = id;
    if (id >= FIRST_ID) {
        simulation->root = root_of(simulation, json_int(json_object_at(event, "cause"), "event", 0));
        note_root(simulation, id, simulation->root);
    }
    if (simulation->handled++ % EVENTS_BETWEEN_TRIMS == EVENTS_BETWEEN_TRIMS - 1)
        memory_store_trim(simulation->store, ROWS_KEPT);
    desk_handle(simulation->desk, event, simulation->now);
    json_t *logs = desk_take_logs(simulation->desk);
    simulation_note_changes(simulation, logs);
    memory_store_take_logs(simulation->store, logs);
}

/* A message that does not leave is an event, as it is live. */
static void report_undelivered(struct simulation *simulation, const json_t *delivery, const char *state,
                               const struct departure *departure)
{
    json_t *status = json_object(), *error = json_object(), *cause = json_object(), *event = json_object();
    json_put_str(error, "code", departure->code);
    json_put_str(error, "title", departure->reason);
    json_object_set(status, "echo", json_object_get(json_object_at(delivery, "request"), "echo"));
    json_put_str(status, "state", state);
    json_put(status, "error", error);
    json_object_set(cause, "event", json_object_get(delivery, "event_id"));
    json_put_str(cause, "rule", json_str(delivery, "rule"));
    json_put_int(cause, "depth", 1);
    json_put_int(event, "id", next_id(simulation));
    json_put_str(event, "type", "message.status");
    json_object_set(event, "source", json_object_get(delivery, "source"));
    json_put_str(event, "provider", "answerd");
    json_put_time(event, "occurred_at", simulation->now);
    json_put_time(event, "received_at", simulation->now);
    json_object_set(event, "contact_id", json_object_get(delivery, "contact_id"));
    json_object_set(event, "conversation_id", json_object_get(delivery, "conversation_id"));
    json_put(event, "status", status);
    json_put(event, "cause", cause);
    handle(simulation, event);
    json_decref(event);
}

static void dispatch(struct simulation *simulation, json_t *delivery)
{
    struct memory_store *store = simulation->store;
    simulation->root = root_of(simulation, json_int(delivery, "event_id", 0));
    json_incref(delivery);
    if (strcmp(json_str_or(delivery, "kind", ""), "webhook") == 0) {
        memory_store_end_delivery(store, delivery, "sent", NULL, NULL, simulation->now);
        simulation_note_webhook(simulation, delivery);
        json_decref(delivery);
        return;
    }
    struct departure departure =
        departure_decide_in(memory_store_rows(store), simulation->sources, delivery, simulation->now);
    const char *state = departure.sent_as ? "sent" : "blocked";
    struct error error = { .code = ERR_NONE };
    if (departure.sent_as && trial_render(simulation->sources, delivery, departure.sent_as, &error) != ERR_NONE) {
        departure = (struct departure){ .code = "render", .reason = error.text };
        state = "failed";
    }
    const bool leaves = departure.sent_as != NULL;
    char provider_id[64];
    snprintf(provider_id, sizeof(provider_id), "sent-%lld", (long long)json_int(delivery, "id", 0));
    memory_store_end_delivery(store, delivery, state, leaves ? NULL : departure.reason, leaves ? provider_id : NULL,
                              simulation->now);
    simulation_note_message(simulation, delivery, state, &departure);
    if (!leaves)
        report_undelivered(simulation, delivery, state, &departure);
    json_decref(delivery);
}

/* One thing that is due now; false when nothing is. */
static bool do_next(struct simulation *simulation)
{
    json_t *event = memory_store_next_event(simulation->store);
    if (!event) {
        event = memory_store_fire_timer(simulation->store, simulation->now);
        if (event) {
            json_put_int(event, "id", next_id(simulation));
            json_put_time(event, "received_at", simulation->now);
        }
    }
    if (event) {
        handle(simulation, event);
        json_decref(event);
        return true;
    }
    json_t *delivery = memory_store_due_delivery(simulation->store, simulation->now);
    if (delivery)
        dispatch(simulation, delivery);
    return delivery != NULL;
}

static void settle(struct simulation *simulation, int *steps)
{
    while (*steps < STEPS_OF_ONE_ADVANCE && do_next(simulation))
        (*steps)++;
}

void simulation_advance(struct simulation *simulation, msec_t until)
{
    int steps = 0;
    settle(simulation, &steps);
    while (steps < STEPS_OF_ONE_ADVANCE) {
        msec_t timer = memory_store_next_timer(simulation->store);
        msec_t delivery = memory_store_next_delivery(simulation->store);
        msec_t next = timer > 0 && (delivery == 0 || timer < delivery) ? timer : delivery;
        if (next == 0 || next > until)
            break;
        if (next > simulation->now)
            simulation->now = next;
        settle(simulation, &steps);
    }
    if (steps >= STEPS_OF_ONE_ADVANCE)
        simulation_note_endless(simulation);
    if (until > simulation->now)
        simulation->now = until;
}

void simulation_event(struct simulation *simulation, const json_t *event)
{
    simulation_advance(simulation, json_time(event, "received_at", simulation->now));
    json_t *adapted = simulation_adapt(simulation, event);
    if (adapted)
        handle(simulation, adapted);
    json_decref(adapted);
    int steps = 0;
    settle(simulation, &steps);
    if (steps >= STEPS_OF_ONE_ADVANCE)
        simulation_note_endless(simulation);
}
