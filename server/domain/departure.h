/* Whether a message may leave now, and in which form: decided at the moment of sending and not when the rule ran. Pure.
 * The dispatcher, rule tests and backtests ask the same function.
 */
#ifndef DOMAIN_DEPARTURE_H
#define DOMAIN_DEPARTURE_H

#include "base/clock.h"
#include "domain/rows.h"
#include "io/json.h"

struct departure {
    const char *sent_as; /* "free": as text; "approved": as the provider's template; NULL: it must not leave */
    /* Why not: "opted_out", "moved", "unreachable", "window_closed", "erased", "nothing_to_send"; else "". */
    const char *code;
    const char *reason; /* the same for a person; a constant, else "" */
};

/* `delivery` has the request and the topic. `contact` and `address` are who it goes to and where; may be NULL when
 * nothing is known of them. `window_ms` is the provider's window for free text; 0: there is none. */
struct departure departure_decide(const json_t *delivery, const json_t *contact, const json_t *address,
                                  msec_t window_ms, msec_t now);

/* The same for a delivery of a world in memory; `sources` as in desk_settings. */
struct departure departure_decide_in(const struct rows *rows, const json_t *sources, const json_t *delivery,
                                     msec_t now);

#endif
