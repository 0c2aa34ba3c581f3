/* Polar's events in our words. An order is an invoice that was paid, or a renewal that is tried. */
#ifndef CHANNEL_POLAR_PARSE_H
#define CHANNEL_POLAR_PARSE_H

#include "channel/payment.h"

/* subscription.past_due yields two events: the update, and the failed payment that it tells of. Its reference is the
 * subscription, as is that of the order.paid which settles it. */
err_t polar_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr);

/* The dedupe key of a Standard Webhooks request: its id header, else the hash of the body. `ret_key` is initialised. */
void standard_webhooks_key(const struct webhook *w, struct buf *ret_key);

#endif
