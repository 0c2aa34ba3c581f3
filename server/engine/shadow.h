/* The shadow rules: tried on live events, recorded, never applied.
 *
 * Before an event is handled its facts are copied; after the batch has been committed, the shadow's rules run on these
 * copies, reading history from a snapshot that is as old as the facts. What they would have done is written by a
 * transaction of its own. So nothing that happens here can change, fail or delay the commit of the batch. What it takes
 * of the engine's time is limited: a quarter of it in the long run, whatever the rules do. Owned by one thread.
 */
#ifndef ENGINE_SHADOW_H
#define ENGINE_SHADOW_H

#include "domain/desk.h"
#include "io/pg.h"

struct shadow;

/* `percent` of the events are tried. `sources` as in desk_settings; outlives the shadow. */
struct shadow *shadow_new(unsigned percent, const json_t *sources, unsigned max_depth);
void shadow_free(struct shadow *shadow); /* NULL is fine */

/* Takes over the set to try from now on; NULL: none. */
void shadow_set_rules(struct shadow *shadow, struct rule_set *rules);
bool shadow_is_on(const struct shadow *shadow);

/* A batch begins: opens the snapshot on a connection that nothing else needs before shadow_finish or shadow_forget. */
void shadow_begin(struct shadow *shadow, struct pg *pg);
/* Keeps what `desk` knows now about an event that it is about to handle. */
void shadow_keep(struct shadow *shadow, const struct desk *desk, const json_t *event, msec_t now);
/* The batch was committed under the rules `live_version`: tries and records. */
void shadow_finish(struct shadow *shadow, struct pg *pg, const char *live_version);
/* The batch was not committed. */
void shadow_forget(struct shadow *shadow, struct pg *pg);

#endif
