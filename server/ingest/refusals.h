/* How often an address failed to prove itself in this minute, to stop listening to it for the rest of it.
 *
 * Memory is fixed: when there are more addresses than room, the one with the fewest failures is forgotten. IPv6 counts
 * by /64, which is what one customer of a provider gets. Any thread.
 */
#ifndef INGEST_REFUSALS_H
#define INGEST_REFUSALS_H

#include "base/clock.h"

struct refusals;

struct refusals *refusals_new(unsigned per_minute);
void refusals_free(struct refusals *refusals); /* NULL is fine */

/* Notes a failure of `address` (as http_peer() prints it) at `now` of the steady clock. */
void refusals_add(struct refusals *refusals, const char *address, msec_t now);
/* How long it must wait; 0 when it may speak. `refusals` may be NULL. */
msec_t refusals_wait(struct refusals *refusals, const char *address, msec_t now);

#endif
