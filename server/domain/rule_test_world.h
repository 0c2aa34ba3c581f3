/* What the files of the rule test runner share. Internal to domain/. */
#ifndef DOMAIN_RULE_TEST_WORLD_H
#define DOMAIN_RULE_TEST_WORLD_H

#include "domain/memory_store.h"
#include "domain/rule_test.h"

struct world {
    struct rule_set *rules;
    const json_t *sources;
    struct memory_store *store;
    msec_t now;
    int64_t last_id;
    int64_t default_contact; /* the first that the test named; 0 none */

    json_t *sent;      /* array: deliveries of messages as they left, with "sent_as" and "message" */
    size_t sent_taken; /* asserted so far, in order */
    json_t *webhooks;  /* array: those to endpoints */
    size_t webhooks_taken;
    json_t *held;              /* array: what could not leave, with "reason" */
    json_t *alerts;            /* object by key: those that were raised */
    json_t *traces;            /* of the last act: array of trace rows with "type" of their event */
    json_t *errors;            /* traces of rules that failed and that no expect_error has taken */
    json_t *events;            /* internal and given events of the last act, in order */
    json_t *provider;          /* object by channel ("*": any): what t:provider said of it; empty: all works */
    int64_t undelivered_depth; /* of reports that lead to messages that are reported */
    json_t *coverage;
    struct buf report; /* of the failure */

    const char *file; /* of the verb at work */
    int line;
    const char *verb;
};

/* Handles an event and everything that follows from it at this time. Takes over `event`. */
void world_happen(struct world *world, json_t *event);
/* Lets time pass until `until`: timers and deliveries in the order they are due. */
void world_advance(struct world *world, msec_t until);
int64_t world_next_id(void *world);
/* Holds what goes beyond the budget of its rule among the deliveries from number `first` on, which are new. */
void world_hold_excess(struct world *world, size_t first);
/* A delivery that is due goes to the provider, or is held back. Ends or postpones it. */
void world_dispatch(struct world *world, json_t *delivery);
/* One more of `what` under a name: coverage[part][name][what]; `name` may be NULL. */
void world_count(struct world *world, const char *part, const char *name, const char *what);
/* Begins a new act: the traces of the one before are forgotten. */
void world_begin_act(struct world *world);

/* The test's contact: by the value that t:contact returned, an identity, or (NULL) the default one. NULL: none. */
json_t *world_contact(struct world *world, const json_t *named);
/* How the contact appears in events of this source, as canonical events have it; new reference. */
json_t *world_person(struct world *world, const json_t *contact, const char *source);
/* The source to use for this contact: `channel` when given, its conversation's, its first address. NULL: none. */
const char *world_channel(struct world *world, const json_t *contact, const char *channel);
/* A new event with what all have; `fields` (may be NULL) are put over it. New reference. */
json_t *world_event(struct world *world, const char *type, const char *source, const json_t *contact,
                    const json_t *fields);

/* Fails the running verb: "FILE:LINE: t:VERB: …". `detail` lines and the last traces are added. */
err_t world_fail(struct world *world, struct error *reterr, const char *detail, const char *format, ...)
    PRINTF_LIKE(4, 5);
void world_describe_sent(const json_t *sent, struct buf *out);

/* The verbs; new reference or NULL for nil. `first` and `second` are arguments (borrowed, may be NULL). */
struct world_verb {
    const char *name;
    json_t *(*run)(struct world *world, const json_t *first, const json_t *second, struct error *reterr);
};
extern const struct world_verb world_acts[]; /* end with a NULL name */
extern const struct world_verb world_expectations[];
extern const struct world_verb world_provider_verbs[];

#endif
