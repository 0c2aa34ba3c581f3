/* PayPal's events in our words. Resources come in two shapes: v1 (`state`, `amount{total, currency}`) and v2 (`status`,
 * `amount{value, currency_code}`); both are read. The reference of a renewal is its subscription, since the failure is
 * told about the subscription and the success about a sale. */
#ifndef CHANNEL_PAYPAL_PARSE_H
#define CHANNEL_PAYPAL_PARSE_H

#include "channel/payment.h"

err_t paypal_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr);

#endif
