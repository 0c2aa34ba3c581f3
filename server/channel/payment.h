/* The payment family of canonical events: payment.*, subscription.*, order.*.
 *
 *   "payment": {"id", "amount", "currency", "reason", "message", "attempt", "next_attempt", "url", "invoice", "order",
 *               "customer", "subscription", "status", "description", "metadata", "reference", "secondary"}
 *   "subscription": {"id", "status", "previous_status", "cancel_at_period_end", "customer", "plan", …}
 *   "order": {"id", "amount", "currency", "customer", "reference", "payment_status", …}
 *
 * Amounts are integers in the currency's minor unit; currencies are in lower case. `attempt` is always there in
 * payment.failed and payment.action_required, and 1 when the provider does not count.
 *
 * Two fields exist so that a rule acts once on what a provider tells several times (Stripe sends
 * invoice.payment_failed, payment_intent.payment_failed and charge.failed for one failed renewal):
 *   `secondary`  true on an event that repeats, at a lower level, what another event of the same provider says; absent
 *                otherwise. A rule that sends something skips it (`not e.payment.secondary`).
 *   `reference`  what is owed: the invoice, else the order or subscription, else the payment itself. It is the same for
 *                the failure and for the success that settles it, so it is the natural reference of an outreach.
 * `invoice` is set, on secondary events as well, whenever the provider names one; for providers without invoices it is
 * the order.
 */
#ifndef CHANNEL_PAYMENT_H
#define CHANNEL_PAYMENT_H

#include "channel/customer.h"

/* The event's object of that name; made on first use. */
json_t *payment_of(json_t *event);
json_t *subscription_of(json_t *event);
json_t *order_of(json_t *event);

/* The number of decimals of a currency: 0, 2 or 3; any case. */
unsigned money_decimals(const char *currency);

/* An exact amount in minor units from a decimal text ("10", "10.5", "-0.50"). False when it is no number, has more
 * decimals than the currency (zeros excepted), or does not fit. */
bool money_from_decimal(const char *text, const char *currency, int64_t *ret_amount);

/* `amount` is in minor units; an integer or a text of digits. Anything else sets nothing. */
void payment_put_amount(json_t *object, const json_t *amount, const char *currency);
/* `amount` is a decimal text or number of the currency's main unit. */
void payment_put_decimal(json_t *object, const json_t *amount, const char *currency);

/* The amount is there as a provider counts it that gives the currency so many decimals; afterwards it is in ours. What
 * is no whole number of ours was not counted like that, and stays. */
void payment_recount(json_t *object, unsigned decimals);

/* A text, an integer, or an object with an `id`, as a text; other values set nothing. */
void payment_put_id(json_t *object, const char *key, const json_t *id);

/* A copy of the merchant's own data; later calls do not overwrite keys. Empty and non-objects set nothing. */
void payment_put_metadata(json_t *object, const json_t *metadata);

/* Fills what every payment event has: `attempt` where it must be there, and `reference` from the first of the named
 * keys that is set. To be called last. */
void payment_finish(json_t *event, const char *const *reference_keys);

/* The usual order: invoice, order, subscription, id. */
extern const char *const payment_reference_keys[];

/* --- what the parsers of most providers have in common ------------------------------------------------------------ */

/* What one type of the provider becomes. A type listed twice yields two events, the second with the key "KEY:2". */
struct payment_type {
    const char *provider_type;
    const char *type;
    void (*read)(json_t *event, const json_t *object);
    bool secondary;
};

struct payment_parser {
    const char *provider;
    const struct payment_type *types; /* ends with a NULL provider_type */
    void (*read_contact)(json_t *event, const json_t *object);
};

/* Reads the body of a webhook and what it calls its type, in its field `type_field`; `vendor` is for the error, which
 * is ERR_INVALID when the body is no JSON or has no type. The caller owns `*ret_body`; `*ret_provider_type` points into
 * it. */
err_t payment_read_body(const struct webhook *w, const char *vendor, const char *type_field, json_t **ret_body,
                        const char **ret_provider_type, struct error *reterr) MUST_CHECK;

/* Appends what `provider_type` becomes; `webhook.SOURCE` with `body` when the table does not have it or `object`, which
 * is the one that the event is about, is NULL. */
void payment_add_events(const struct payment_parser *parser, json_t *events, const struct webhook *w,
                        const char *provider_type, const char *key, msec_t occurred_at, const json_t *object,
                        json_t *body);

/* The key: `id` when it is a text or a number, else the hash of the body. `ret_key` is initialised. */
void payment_key(const struct webhook *w, const json_t *id, struct buf *ret_key);
/* The same from a header. */
void payment_key_from_header(const struct webhook *w, const char *header, struct buf *ret_key);

#endif
