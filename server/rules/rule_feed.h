/* The rule sources that are in force, shared by the threads of a process.
 *
 * Which versions are in force on all nodes stands in the database (store/version_store.h); the feed follows it. Each
 * thread notices the higher generation between two units of its work, loads a set of its own from the sources, and goes
 * on with the old set until that has succeeded. Safe from any thread.
 */
#ifndef RULES_RULE_FEED_H
#define RULES_RULE_FEED_H

#include "rules/rule_set.h"
#include "store/version_store.h"

struct rule_feed;

/* Takes over `sources`, which are in force until the feed has followed the database. */
struct rule_feed *rule_feed_new(struct rule_sources *sources);
void rule_feed_free(struct rule_feed *feed); /* when no thread uses it any more; NULL is fine */

uint64_t rule_feed_generation(const struct rule_feed *feed); /* of this process; cheap; starts at 1 */

/* Looks whether other versions are in force than before, and publishes their sources, which it reads from the database
 * when the process does not have them. When they cannot be read, what was in force before stays. `*ret_changed` (may be
 * NULL): something was published. */
err_t rule_feed_follow(struct rule_feed *feed, struct pg *pg, bool *ret_changed, struct error *reterr) MUST_CHECK;
/* The database's generation that was followed last; 0: none yet, so nobody knows what is in force. Cheap. */
int64_t rule_feed_pointer(const struct rule_feed *feed);

/* Loads a set from the sources in force. `*ret_generation` is theirs, also on failure. */
err_t rule_feed_load(struct rule_feed *feed, const struct rule_limits *limits, uint64_t *ret_generation,
                     struct rule_set **ret_set, struct error *reterr) MUST_CHECK;
/* The same for the shadow; `*ret_set` is NULL when there is none. */
err_t rule_feed_load_shadow(struct rule_feed *feed, const struct rule_limits *limits, struct rule_set **ret_set,
                            struct error *reterr) MUST_CHECK;
/* Version of the sources in force, into `ret_version`. */
void rule_feed_version(struct rule_feed *feed, char ret_version[VERSION_BYTES]);

/* The sources in force; to be freed by the caller. */
struct rule_sources *rule_feed_sources(struct rule_feed *feed);

/* The kept sources of a version. ERR_NOT_FOUND: they are not kept. */
err_t rule_feed_read_stored(struct pg *pg, const char *version, struct rule_sources **ret_sources,
                            struct error *reterr) MUST_CHECK;
/* Keeps the files of these sources, without tests, under their version. */
err_t rule_feed_store(struct pg *pg, const struct rule_sources *sources, struct error *reterr) MUST_CHECK;

#endif
