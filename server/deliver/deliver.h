/* The deliver actor: makes the outgoing HTTP calls that the engine asked for.
 *
 * One thread with one database connection and one HTTP client. What it claims is committed as such before it leaves: a
 * process that dies in the middle leaves an unknown outcome behind, which is settled later and never guessed. Its death
 * is seen by its connection, which holds a lock; a lease is there for processes that hang. So no more is claimed than
 * can leave at once. Outcomes are recorded in batches.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "config/config.h"
#include "rules/rule_feed.h"

struct deliver;

struct deliver_settings {
    const struct config *config; /* outlives the actor */
    struct rule_feed *rules;     /* outlives the actor; endpoints are declared in rules */
    const json_t *sources;       /* of our configuration, as the desk takes them; copied */
};

err_t deliver_start(const struct deliver_settings *settings, struct deliver **ret_deliver,
                    struct error *reterr) MUST_CHECK;

/* There may be something to send. Any thread. */
void deliver_nudge(struct deliver *deliver);

/* Asks the thread to claim nothing more, to finish what is in flight within a bound, to record it and to end. */
void deliver_stop(struct deliver *deliver);

/* Waits until the thread has ended. The actor may still be nudged, without effect, until it is freed. */
void deliver_join(struct deliver *deliver);
void deliver_free(struct deliver *deliver); /* NULL is fine */

bool deliver_is_healthy(const struct deliver *deliver); /* any thread */

#endif
