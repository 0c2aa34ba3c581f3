/* A desk with rules that a test gives as data, in a world in memory: events in, rows and changes out.
 *
 * JSON texts in tests may use single quotes. A failing expectation ends the test and prints what there was.
 */
#ifndef TESTS_UNIT_DOMAIN_STAGE_H
#define TESTS_UNIT_DOMAIN_STAGE_H

#include "domain/memory_store.h"

#define HOUR ((msec_t)3600 * 1000)
#define MINUTE ((msec_t)60 * 1000)

struct stage {
    struct memory_store *store;
    struct rule_set *rules;
    json_t *sources;
    msec_t now;
    int64_t last_id;
    json_t *changes; /* of the last act, appended over all events it led to */
    json_t *sent;    /* deliveries of the whole test, in order */
};

int stage_set_up(void **state);
int stage_tear_down(void **state);

/* A rule that asks for these effects (JSON array) whenever an event of the type comes. Rules run in the order given. */
void stage_rule(struct stage *stage, const char *name, const char *on, const char *effects);
/* One that fails with this error, or (NULL) is skipped by its `when`. */
void stage_failing_rule(struct stage *stage, const char *name, const char *on, const char *error);
void stage_stop_after(struct stage *stage, const char *rule);
void stage_declare(struct stage *stage, const char *kind, const char *name, const char *declaration);
/* How often a rule was asked to run. */
int stage_runs(const struct stage *stage, const char *name);
/* The facts that a rule saw last, borrowed. */
const json_t *stage_facts(const struct stage *stage, const char *name);

/* Handles an event and all internal ones that follow from it; what is missing (id, times, key) is filled in. */
void stage_event(struct stage *stage, const char *event);
/* The same for several that are handled in one batch, before what follows from them. */
void stage_batch(struct stage *stage, const char *const *events, size_t count);
/* A WhatsApp or Telegram message from this handle. */
void stage_message(struct stage *stage, const char *identity, const char *text);
void stage_tap(struct stage *stage, const char *identity, const char *button_id);
void stage_advance(struct stage *stage, msec_t ms);

json_t *json_of(const char *text); /* new */
bool json_covers(const json_t *wanted, const json_t *got);

/* Exactly `count` rows of the table are like this (a subset of columns). */
void expect_rows(const struct stage *stage, enum rows_table table, const char *wanted, int count);
/* Exactly `count` entries of this list of the last act's changes ("traces", "deliveries", "events", …) are like this.
 */
void expect_changes(const struct stage *stage, const char *list, const char *wanted, int count);
/* The newest row of the table that is like this, borrowed; fails when there is none. */
json_t *find_row(const struct stage *stage, enum rows_table table, const char *wanted);

#endif
