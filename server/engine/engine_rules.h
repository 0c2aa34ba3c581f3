/* The rules that one engine thread runs: its own sets of the sources in force and of their shadow. Owned by one thread.
 */
#ifndef ENGINE_ENGINE_RULES_H
#define ENGINE_ENGINE_RULES_H

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "engine/shadow.h"
#include "rules/rule_feed.h"

struct engine_rules {
    struct rule_feed *feed; /* outlives it */
    struct rule_limits limits;
    struct rule_budget budget; /* of rules that declare none */
    struct rule_set *set;      /* NULL before the first one was loaded */
    struct shadow *shadow;
    uint64_t generation;            /* of the feed, that was looked at last */
    int64_t pointer;                /* of the database, that `set` belongs to; see struct rule_pointer */
    bool set_is_due, shadow_is_due; /* of that generation: not loaded yet */
    msec_t next_try;                /* steady clock; of loading what is due */
    struct log_throttle troubles, shadow_troubles;
};

/* `sources` as in desk_settings; it and the configuration outlive the rules. */
void engine_rules_init(struct engine_rules *rules, struct rule_feed *feed, const struct config *config,
                       const json_t *sources);
void engine_rules_done(struct engine_rules *rules);

/* Loads what was published since the last call; a set that does not load leaves the one before in force, and is tried
 * again every few seconds, as are shadow rules that do not load. False while there is nothing to run: nobody knows yet
 * what is in force, or it does not load. */
bool engine_rules_follow(struct engine_rules *rules);

#endif
