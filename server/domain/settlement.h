/* What was paid, ordered or begun lately: the goals that ended nothing, because no outreach was running. Webhooks come
 * in any order; a failure that arrives after the success of the same invoice starts nothing, as it would have been
 * ended had it come in time. Internal to domain/.
 *
 * Kept with the contact, in its column `settled`: the last 10 of 35 days, each {"type", "at", "recorded_at", "event",
 * "references": [text], "payment"} with `payment` as reference_payment() makes it.
 */
#ifndef DOMAIN_SETTLEMENT_H
#define DOMAIN_SETTLEMENT_H

#include "domain/scene.h"

/* Remembers the event when it is a payment, order or subscription that names itself. */
void settlement_note(struct scene *scene);

/* Is an event of this type such a one as `arg` is interested in? */
typedef bool settlement_filter(const void *arg, const char *type);

/* The entry that settled, later than the scene's event happened, what it is about; NULL when there is none. `reference`
 * may be "": then any entry of the contact counts. `payment` as reference_payment() makes it. */
const json_t *settlement_find(const struct scene *scene, const char *reference, const json_t *payment,
                              settlement_filter *filter, const void *arg);

/* The same for a payment that failed or waits for the customer, and what paid it: {"type", "occurred_at", "event"}, new
 * reference; NULL when the event is no such one, or nothing has. */
json_t *settlement_of_event(const struct scene *scene);

/* `from` was merged into `into`. */
void settlement_merge(json_t *into, const json_t *from);

#endif
