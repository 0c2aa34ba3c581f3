/* What the files of the simulation share. Internal to domain/. */
#ifndef DOMAIN_SIMULATION_WORLD_H
#define DOMAIN_SIMULATION_WORLD_H

#include "domain/departure.h"
#include "domain/memory_store.h"
#include "domain/simulation.h"

struct simulation {
    struct rule_set *rules;
    const json_t *sources;
    unsigned max_depth;
    struct memory_store *store;
    struct fact_reader reader;
    struct desk *desk; /* works on the rows of the store */
    uint64_t handled;  /* events of this world */
    msec_t now;
    int64_t last_id;

    int64_t root;   /* the recorded event that what happens now goes back to */
    int64_t *roots; /* of our own events, by id from `first_root` on; 0 for other ids */
    int64_t first_root;
    size_t root_count;
    size_t root_capacity;

    struct outcome *outcomes;
    size_t outcome_count;
    size_t outcome_capacity;
};

/* The recorded event as it would be in this world: contacts, conversations and surveys have other numbers here. New
 * reference; NULL when it cannot happen here. */
json_t *simulation_adapt(struct simulation *simulation, const json_t *event);

/* Add to the outcomes what a desk's logs and the changed rows, a message that is sent, blocked or failed, and a call to
 * an endpoint mean. */
void simulation_note_changes(struct simulation *simulation, const json_t *logs);
void simulation_note_message(struct simulation *simulation, const json_t *delivery, const char *state,
                             const struct departure *departure);
void simulation_note_webhook(struct simulation *simulation, const json_t *delivery);
void simulation_note_endless(struct simulation *simulation);

#endif
