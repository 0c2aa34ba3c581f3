/* Targets that were out of order for a while and work again.
 *
 * What failed meanwhile waits for its own schedule, for hours after a long outage, and all that stands behind it in its
 * line. So with the first calls that a target accepts, some of that may go again: one, then twice as many with each
 * further acceptance. A target that fails again gets no more; one that fails every now and then was never out of order,
 * and what it refuses keeps its schedule. Of one thread.
 */
#ifndef DELIVER_OUTAGES_H
#define DELIVER_OUTAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

#define OUTAGE_FAILURES 3 /* in a row, and over OUTAGE_MS: that is out of order */
#define OUTAGE_MS ((msec_t)60 * 1000)
#define OUTAGE_MOST_AT_ONCE 512

struct outages;

struct outages *outages_new(void);
void outages_free(struct outages *outages); /* NULL is fine */

/* A call failed because of the target, not of what it was called with. `now` is of the steady clock. */
void outages_failed(struct outages *outages, const char *target, msec_t now);
/* A call was accepted. The first one since the start counts as the end of an outage: who knows what was before. */
void outages_accepted(struct outages *outages, const char *target, msec_t now);

/* A target of which some may go again, and how many; NULL: none. It is asked about until outages_let_go() was told. The
 * text lives as long as `outages`. */
const char *outages_recovering(const struct outages *outages, size_t *ret_most);
/* So many were let go: fewer than `most` means that nothing is left. */
void outages_let_go(struct outages *outages, const char *target, size_t count);

#endif
