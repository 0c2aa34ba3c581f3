/* Two rule sets over the same recorded events: what the second would have done otherwise than the first.
 *
 * Events come contact by contact, each contact's in the order they were received. The order of contacts does not
 * matter, and nothing but totals and a few examples is kept from one to the next. Outcomes of both sides are matched by
 * the recorded event that they go back to, the rule, the kind and the name; what then differs in content or time is
 * changed.
 *
 * Crons are not taken from the record: each side fires its own, at every time of its schedule. Such a firing has no
 * event in the record; a number below zero, the same for both sides at the same time, stands in its place.
 */
#ifndef DOMAIN_BACKTEST_H
#define DOMAIN_BACKTEST_H

#include "domain/simulation.h"

enum difference_kind { DIFFERENCE_ADDED, DIFFERENCE_REMOVED, DIFFERENCE_CHANGED };
const char *difference_name(enum difference_kind kind); /* "added", … */

struct difference {
    enum difference_kind kind;
    int64_t contact_id;           /* as given to backtest_begin; 0: nobody known */
    const struct outcome *before; /* NULL when added */
    const struct outcome *after;  /* NULL when removed */
};

struct backtest;

struct backtest_settings {
    struct rule_set *before; /* the rules as they are */
    struct rule_set *after;  /* the candidate */
    const json_t *sources;   /* as in desk_settings */
    unsigned max_depth;
    size_t max_examples;                                                   /* for each rule and kind */
    void (*on_difference)(void *arg, const struct difference *difference); /* may be NULL */
    void *arg;
};

struct backtest *backtest_new(const struct backtest_settings *settings);
void backtest_free(struct backtest *backtest);

/* The next contact. `order`: its place among all contacts, which rises; examples are those of the first contacts that
 * have some. `seed` (may be NULL): what was known of them before the first event, a case. */
void backtest_begin(struct backtest *backtest, int64_t contact_id, int64_t order, const json_t *seed);
void backtest_event(struct backtest *backtest, const json_t *event);
/* Lets what the contact's events began go on until then, and compares. */
void backtest_end(struct backtest *backtest, msec_t until);

/* After all contacts: fires the crons that the rule sets declare, at their times in [since, until), each cron in a
 * world of its own. `order` is above that of all contacts. */
void backtest_crons(struct backtest *backtest, int64_t order, msec_t since, msec_t until);

/* Adds what another backtest, of other contacts and with the same settings, has found. */
void backtest_merge(struct backtest *into, const struct backtest *from);

/* {"rules": [{rule, kind, before, after, added, removed, changed, examples: [{change, event, contact, name, before,
 * after, before_at, after_at}]}], "kinds": {kind: {before, after, added, removed, changed}}, "crons": [{name, before,
 * after}]}, sorted by rule and kind, and by name: how often each cron fired; new reference. Rules without a difference
 * are there, too. `event` is null in examples that go back to a cron, which is named by `cron` instead. */
json_t *backtest_report(const struct backtest *backtest);

#endif
