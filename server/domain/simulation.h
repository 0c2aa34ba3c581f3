/* One rule set in a world in memory with virtual time: recorded events go in, and what its rules would have done comes
 * out, as a list of outcomes. Nothing is sent or written.
 *
 * The desk is the one that runs live. A simulated provider takes each message as soon as it may leave. Internal events
 * and timers are the simulation's own. A world holds few contacts at a time and is emptied between them, so that memory
 * does not grow with the number of events. Deterministic: the same events give the same outcomes, whatever came before
 * the world was last emptied.
 */
#ifndef DOMAIN_SIMULATION_H
#define DOMAIN_SIMULATION_H

#include "base/clock.h"
#include "io/json.h"
#include "rules/rule_set.h"

/* What a rule set did for good, in the order it happened. Texts belong to the simulation. */
struct outcome {
    const char *kind; /* a constant: "send", "held", "note", "tag", "outreach", "webhook", "failure", … */
    char *rule;       /* "answerd" for what the desk does itself */
    char *name;       /* template, tag, timer, topic and reference, …; "" when the kind has none */
    char *content;    /* the text of a message, else JSON with the rest */
    int64_t event;    /* the recorded event that it goes back to */
    msec_t at;
};

/* All kinds of outcomes; ends with NULL. */
extern const char *const outcome_kinds[];

struct rule_rival;
struct simulation;

/* `rival` (may be NULL) is told what its rules would do otherwise. */
struct simulation *simulation_new(struct rule_set *rules, const json_t *sources, unsigned max_depth,
                                  struct rule_rival *rival);
void simulation_free(struct simulation *simulation);

/* Empties the world. Then `seed` (may be NULL) is what was known of a contact before: a case as desk_add_case takes it.
 */
void simulation_begin(struct simulation *simulation, const json_t *seed);
/* Lets time pass until the event's `received_at`, then handles the event and everything that follows from it at once.
 * Events come in the order of their times. What a colleague did to a conversation that the rules have not opened here
 * is left out. */
void simulation_event(struct simulation *simulation, const json_t *event);
/* Lets time pass: timers and deliveries in the order they are due. */
void simulation_advance(struct simulation *simulation, msec_t until);

/* The outcomes since they were last forgotten; valid until the next call that changes the world. */
const struct outcome *simulation_outcomes(const struct simulation *simulation, size_t *ret_count);
void simulation_forget_outcomes(struct simulation *simulation);

/* Is this an event that came from outside? What answerd itself made of such events is not simulated from the record:
 * the simulation makes its own, and whoever runs it fires crons. Statuses of what was really sent say nothing about
 * what is only simulated. */
bool simulation_takes(const json_t *event);

#endif
