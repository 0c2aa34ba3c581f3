/* The events of Stripe in our words.
 *
 * Shapes of objects follow the API version of the endpoint, so both sides of each move are read: before 2025-03-31
 * (basil) an invoice names its subscription and payment intent itself, and a payment intent its invoice; later ones are
 * under `parent.subscription_details` and `payments.data[]`, or gone. During the change both were sent.
 *
 * One failed renewal arrives as invoice.payment_failed, payment_intent.payment_failed and charge.failed; one paid
 * invoice as invoice.paid, invoice.payment_succeeded, payment_intent.succeeded and charge.succeeded. All become
 * payment.* events, with the invoice where it is known. `payment.secondary` is true on those that repeat what a higher
 * level tells: a payment intent of an invoice, every charge of a payment intent, invoice.payment_succeeded
 * (invoice.paid always comes with it), and a checkout session's failed asynchronous payment. From basil on, a payment
 * intent does not name its invoice; the descriptions that Stripe itself writes ("Subscription update") still tell that
 * it has one. A source with invoices need not subscribe to payment_intent.* and charge.* at all.
 *
 * checkout.session.completed is an order.completed when it is paid or nothing is to pay; while the payment is still
 * under way it stays `webhook.SOURCE`, and checkout.session.async_payment_succeeded completes the order.
 */
#ifndef CHANNEL_STRIPE_PARSE_H
#define CHANNEL_STRIPE_PARSE_H

#include "channel/payment.h"

err_t stripe_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr);

/* Complete `event` from the provider's object. `previous` is previous_attributes of an update, or NULL. */
void stripe_read_invoice(json_t *event, const json_t *invoice, const json_t *previous);
void stripe_read_payment_intent(json_t *event, const json_t *intent, const json_t *previous);
void stripe_read_charge(json_t *event, const json_t *charge, const json_t *previous);
void stripe_read_dispute(json_t *event, const json_t *dispute, const json_t *previous);
void stripe_read_session_failure(json_t *event, const json_t *session, const json_t *previous);
void stripe_read_session(json_t *event, const json_t *session, const json_t *previous);
void stripe_read_subscription(json_t *event, const json_t *subscription, const json_t *previous);

/* The identities and the name that any object of Stripe tells. */
void stripe_read_contact(json_t *event, const json_t *object);

#endif
