/* When a message that respects quiet hours may leave. Pure but for the time zone database. */
#ifndef DOMAIN_QUIET_H
#define DOMAIN_QUIET_H

#include "domain/scene.h"

/* `now` itself, or the next time at which the declared calendars let messages out: not within the hours of the calendar
 * "quiet", and within those of "sending" (without either: of "business"). The hours of "quiet" are in the contact's own
 * time zone when it is known. Without such a calendar, or when there is no such time, it is `now`. */
msec_t quiet_due(const struct desk *desk, const json_t *contact, msec_t now);

#endif
