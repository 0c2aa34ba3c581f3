/* What a person must look at: said in the log at once, and as an event `custom.system_alert` that rules can answer to.
 * An event that the database does not take is kept and tried again. */
#ifndef DELIVER_ALERTS_H
#define DELIVER_ALERTS_H

#include "base/clock.h"
#include "io/json.h"
#include "io/pg.h"

struct alerts;

struct alerts *alerts_new(void);
void alerts_free(struct alerts *alerts); /* says how many were not stored */

/* Takes the alerts {problem, source, code, reason} out of `said`: logs them, and keeps their events. Once an hour for
 * one target and problem there is an event, whatever happens; of more than 100 that wait the oldest go. */
void alerts_take(struct alerts *alerts, json_t *said);
size_t alerts_waiting(const struct alerts *alerts);

/* Stores what waits, as far as the database takes it. ERR_NONE also for those that it will never take, which are logged
 * and dropped; after anything else the rest stays, and alerts_due() says when to try again. */
err_t alerts_store(struct alerts *alerts, struct pg *pg, struct error *reterr) MUST_CHECK;
msec_t alerts_due(const struct alerts *alerts); /* steady clock; 0: nothing waits */

#endif
