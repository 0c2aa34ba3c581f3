/* The sources of all processes that share the database.
 *
 * Each process publishes those of its configuration. Engines decide with all of them, so that an event is handled the
 * same by each, also while a source is being added node by node; senders leave to others what only others can send.
 * `{name: {kind, provider, sends, window_ms}}`, as the desk takes them. Blocking.
 */
#ifndef STORE_KNOWN_SOURCES_H
#define STORE_KNOWN_SOURCES_H

#include <stdbool.h>

#include "base/error.h"
#include "io/json.h"
#include "io/pg.h"

/* Registers the connection as that of a process. `*process` is its number, 0 before the first time; it keeps that over
 * connections if it can. */
err_t known_sources_start_process(struct pg *pg, int64_t *process, struct error *reterr) MUST_CHECK;
/* Says what the process knows; to be repeated while it runs. `delivers`: it also sends. */
err_t known_sources_publish(struct pg *pg, int64_t process, const json_t *sources, bool delivers,
                            struct error *reterr) MUST_CHECK;

/* What one thread knows. */
struct known_sources {
    json_t *own;
    json_t *all;        /* the same object for as long as it lives; those of others also have `delivers` */
    int64_t generation; /* of rule_pointer when they were read; -1: never */
};
void known_sources_init(struct known_sources *known, const json_t *own); /* copies `own` */
void known_sources_done(struct known_sources *known);

/* Reads them again when `generation`, which a claim or the rule feed told, is another one. What one's own configuration
 * has counts as it is there. On failure they stay as they were. */
err_t known_sources_follow(struct known_sources *known, struct pg *pg, int64_t generation,
                           struct error *reterr) MUST_CHECK;

/* Can only other processes send to this source? Null-safe. */
bool known_sources_left_to_others(const struct known_sources *known, const char *source);

#endif
