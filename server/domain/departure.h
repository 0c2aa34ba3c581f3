/* Whether a queued message may leave now, and in which form: what the dispatcher decides in SQL and deliver/, for worlds
 * in memory. Free text only within the provider's window, nothing to those who opted out.
 */
#ifndef DOMAIN_DEPARTURE_H
#define DOMAIN_DEPARTURE_H

#include "domain/rows.h"

struct departure {
    const char *refused; /* why it must not leave; NULL when it may */
    const char *sent_as; /* "free" or "approved" */
};

/* `delivery` is a row of the kind message; `sources` as in desk_settings. */
struct departure departure_decide(const struct rows *rows, const json_t *sources, const json_t *delivery, msec_t now);

#endif
