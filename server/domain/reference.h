/* What an outreach is about: its reference, the other names of the same thing, and the payment behind it. Internal to
 * domain/.
 *
 * A provider may tell of one failed payment twice under different names: Stripe's payment_intent.payment_failed does
 * not say any more (from API version 2025-03-31 on) which invoice it was for, so it names the payment, and
 * invoice.payment_failed the invoice. What tells that they are one: the same contact, amount and currency within ten
 * minutes, and not two different invoices of one source. The names are then kept together, and either of them ends the
 * outreach.
 */
#ifndef DOMAIN_REFERENCE_H
#define DOMAIN_REFERENCE_H

#include "domain/scene.h"

/* Do the event's words about payment, order or subscription name this reference? 1 yes, 0 it names others, -1 it names
 * none. */
int reference_match(const json_t *event, const char *reference);

/* The same for the outreach's reference and its other names; -1 when it has none. */
int reference_match_outreach(const json_t *event, const json_t *outreach);

/* Is `reference` the outreach's own or one of its other names? */
bool reference_is_of(const json_t *outreach, const char *reference);

/* All the names that the event gives to what was paid, ordered or begun; new reference. */
json_t *reference_names(const json_t *event);

/* The payment (else the order) that the event is about, for the outreach's column `payment`: {"source", "at", "id",
 * "invoice", "amount", "currency"}, those that are known; new reference. */
json_t *reference_payment(const struct scene *scene);

/* Are these two, each as reference_payment() makes them, the same payment? False when one says too little. */
bool reference_same_payment(const json_t *a, const json_t *b);

#endif
