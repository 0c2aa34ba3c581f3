/* The support desk as pure functions: contacts, conversations, messages, surveys, outreaches and timers, and what
 * events and effects do to them. No database, no clock: the caller gives facts and time, and gets changes back.
 *
 * The same code runs in the live engine (store/engine_store), in `answerd test` (domain/memory_store) and in a
 * backtest. Facts and changes are JSON objects whose keys are the columns of the tables in migrations/.
 */
#ifndef DOMAIN_DESK_H
#define DOMAIN_DESK_H

#include "base/clock.h"
#include "base/error.h"
#include "io/json.h"
#include "rules/rule_set.h"

struct desk;
struct rows;
struct rule_rival;

struct desk_settings {
    int64_t (*next_id)(void *arg); /* a number that no other object has */
    void *id_arg;
    const struct fact_reader *reader; /* may be NULL */
    const json_t *sources;            /* object by source name: {kind, provider, sends: bool, window_ms} */
    unsigned max_depth;               /* of causes; deeper events run no rules */
    /* May this rule run now (quarantine)? NULL: always. */
    bool (*may_run)(void *arg, const char *rule);
    /* This rule has run, well or not; its `when` did not say no. May be NULL. */
    void (*ran)(void *arg, const char *rule);
    void *may_run_arg; /* of both */
    /* Rules whose `when` said no are told by the handling, as `skipped`, and leave no traces of their own. */
    bool folds_skipped;
    /* Nobody will ask why: no handlings and no rule health are told, and of traces only the rule, the verdict, effects
     * and the error of what acted or failed. */
    bool tells_briefly;
    /* A world that is the desk's facts, all of them: it is worked on in place. NULL: facts come as cases. */
    struct rows *world;
    /* Another rule set that is watched, see rule_rival.h; NULL: none. */
    struct rule_rival *rival;
};

/* A desk holds the facts of the contacts that one batch of events is about. */
struct desk *desk_new(const struct desk_settings *settings, struct rule_set *rules);
void desk_free(struct desk *desk);

/* Takes over one contact's case: {contact, identities, addresses, conversations, surveys, outreaches, timers,
 * messages} as store and migrations name the columns; or the rows of many together, with `contacts`. */
void desk_add_case(struct desk *desk, json_t *contact_case);

/* Does everything that one event means: finds or makes the contact, records the message or the status, answers a
 * survey, moves an outreach, runs the rules in order and applies their effects.
 * `event` is the canonical document with id and received_at. Never fails: what goes wrong is in the trace. */
void desk_handle(struct desk *desk, const json_t *event, msec_t now);

/* Handles what the desk itself made and no rule takes, such as `contact.created` mostly, and marks it as `handled`: to
 * wait for a turn of its own would change nothing but the time. Returns how many. What is about somebody whom this desk
 * does not know waits. The store cannot know any of them already: their keys are made of their own new numbers. */
size_t desk_handle_made(struct desk *desk, msec_t now);

/* The changes since the last call, by table; new reference. See server/domain/README.md for the form. They show what
 * later events of this desk do to the same rows: use them, or copy them, before it handles another. */
json_t *desk_take_changes(struct desk *desk);
/* The same without the rows, which are in the world already. What changed there is for the world's owner to forget. */
json_t *desk_take_logs(struct desk *desk);

/* Copies of what the desk knows now of the contacts that an event is about: an array of cases for another desk that is
 * to handle the event, too; new reference. */
json_t *desk_copy_cases(const struct desk *desk, const json_t *event);

#endif
