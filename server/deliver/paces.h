/* How much may leave at once, and how fast: what a sender tells the database with each claim. */
#ifndef DELIVER_PACES_H
#define DELIVER_PACES_H

#include "config/config.h"
#include "deliver/attempt.h"
#include "rules/rule_set.h"
#include "store/known_sources.h"

/* {source: {per_second, address_interval_ms, address_burst}} of every source that can send. New reference. */
json_t *paces_of_sources(const struct config *config);

/* The same with `room`, how many may be in flight in addition to those that are; with the endpoints of `rules` (may be
 * NULL), under the names that pauses have, too; and no room for what only other processes can send. `sources` is
 * changed. New reference. */
json_t *paces_with_room(json_t *sources, const struct config *config, const struct attempt_context *attempts,
                        const struct rule_set *rules, const struct known_sources *known);

#endif
