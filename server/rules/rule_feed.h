/* The rule sources that are in force, shared by the threads of a process.
 *
 * A reload publishes new sources; each thread notices the higher generation between two units of its work, loads a
 * set of its own from them, and goes on with the old set until that has succeeded. Safe from any thread.
 */
#ifndef RULES_RULE_FEED_H
#define RULES_RULE_FEED_H

#include "rules/rule_set.h"

struct rule_feed;

/* Takes over `sources`. */
struct rule_feed *rule_feed_new(struct rule_sources *sources);
void rule_feed_free(struct rule_feed *feed); /* when no thread uses it any more; NULL is fine */

/* Makes `sources` the ones in force and takes them over. They were loaded and checked by the caller. */
void rule_feed_publish(struct rule_feed *feed, struct rule_sources *sources);

uint64_t rule_feed_generation(const struct rule_feed *feed); /* cheap; starts at 1 */

/* Loads a set from the sources in force. `*ret_generation` is theirs, also on failure. */
err_t rule_feed_load(struct rule_feed *feed, const struct rule_limits *limits, uint64_t *ret_generation,
                     struct rule_set **ret_set, struct error *reterr) MUST_CHECK;

#endif
