/* One batch of events: claimed, run through the desk and committed in one transaction, or not at all. */
#ifndef ENGINE_BATCH_H
#define ENGINE_BATCH_H

#include "base/log.h"
#include "engine/id_pool.h"
#include "engine/shadow.h"
#include "rules/rule_set.h"
#include "store/store.h"

#define BATCH_MAX_EVENTS 1024

struct batch_context {
    struct pg *pg;      /* claims and commits */
    struct pg *note_pg; /* notes what is in flight, outside the transaction */
    int64_t worker_id;
    struct rule_set *rules;
    int64_t rules_pointer;            /* generation of the rules in force that `rules` belongs to */
    const struct rule_budget *budget; /* of rules that declare none */
    struct shadow *shadow;
    void (*committed)(void *arg); /* as soon as there is something to send, when more is done after that */
    void *committed_arg;
    struct id_pool *ids;
    const json_t *sources;
    unsigned max_depth;
    bool (*may_run)(void *arg, const char *rule);
    void (*ran)(void *arg, const char *rule);
    void *may_run_arg; /* of both */
    struct log_throttle *rule_failures;
    msec_t max_handling_ms; /* after this long no further event is begun */
    msec_t max_silence_ms;  /* between two rules, when the database has not heard of us for so long, it does */
};

/* What was tried; also filled when the batch failed, as far as it came. */
struct batch_outcome {
    int64_t positions[BATCH_MAX_EVENTS];
    size_t count;
    size_t made_and_handled; /* events that the batch made and handled as well, beside those of `count` */
    unsigned attempts;       /* earlier tries of the first event */
    bool more_work;          /* the commit left new events to handle */
    bool more_deliveries;    /* the commit left something to send */
    bool rules_failed;       /* the commit counted failures of rules */
    bool other_rules;        /* nothing was tried, because other rules are in force now */
};

/* Claims up to `limit` events and handles them, or the first of them when rules take long: the rest stays for the next
 * batch. ERR_NONE with `count` 0: there was nothing to do. On failure the
 * transaction is rolled back (or lost) and nothing has changed:
 *   ERR_CONFLICT   another transaction was in the way; try again
 *   ERR_INVALID    the database refused what one of the events led to
 *   ERR_LOST, ERR_BUSY, ERR_TIMEOUT   the database is away; after ERR_LOST the outcome is unknown, which is safe
 *                  because the work rows disappear with the commit */
err_t batch_run(const struct batch_context *context, size_t limit, struct batch_outcome *ret_outcome,
                struct error *reterr) MUST_CHECK;

#endif
