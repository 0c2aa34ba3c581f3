#include "channel/stripe_parse.h"

#include <string.h>

/* The first text found at one of the paths, each a text or an expanded object with an `id`. */
static const char *id_at(const json_t *object, const char *const *paths)
{
    for (; *paths; paths++) {
        const json_t *value = json_at(object, *paths);
        const char *id = json_is_object(value) ? json_str(value, "id") : json_string_value(value);
        if (id && *id) {
            return id;
        }
    }
    return NULL;
}

static const char *text_at(const json_t *object, const char *const *paths)
{
    for (; *paths; paths++) {
        const char *text = json_string_value(json_at(object, *paths));
        if (text && *text) {
            return text;
        }
    }
    return NULL;
}

#define ID_AT(object, ...) id_at((object), (const char *const[]){ __VA_ARGS__, NULL })
#define TEXT_AT(object, ...) text_at((object), (const char *const[]){ __VA_ARGS__, NULL })

void stripe_read_contact(json_t *event, const json_t *object)
{
    const json_t *customer = json_object_get(object, "customer");
    if (strcmp(json_str_or(object, "object", ""), "customer") == 0) {
        customer = object;
    }
    customer_add_id(event, "stripe", json_is_object(customer) ? json_object_get(customer, "id") : customer);

    /* What the merchant attached to the payment itself speaks before what is attached around it. */
    static const char *const metadata[] = { "metadata", "parent.subscription_details.metadata",
                                            "subscription_details.metadata", "subscription.metadata",
                                            "lines.data.0.metadata" };
    for (size_t i = 0; i < ARRAY_LEN(metadata); i++) {
        customer_add_metadata(event, json_at(object, metadata[i]));
    }
    customer_add_metadata(event, json_object_get(customer, "metadata"));
    (void)customer_add_identity(event, json_str(object, "client_reference_id"));

    static const char *const emails[] = {
        "customer_email",
        "customer_details.email",
        "receipt_email",
        "billing_details.email",
        "customer.email",
        "last_payment_error.payment_method.billing_details.email",
        "payment_method.billing_details.email",
        "latest_charge.billing_details.email",
        "charges.data.0.billing_details.email",
        "evidence.customer_email_address",
    };
    for (size_t i = 0; i < ARRAY_LEN(emails); i++) {
        customer_add_email(event, json_string_value(json_at(object, emails[i])));
    }
    static const char *const phones[] = {
        "customer_phone",
        "customer_details.phone",
        "billing_details.phone",
        "customer.phone",
        "last_payment_error.payment_method.billing_details.phone",
        "payment_method.billing_details.phone",
        "latest_charge.billing_details.phone",
        "charges.data.0.billing_details.phone",
        "shipping.phone",
        "customer_shipping.phone",
    };
    for (size_t i = 0; i < ARRAY_LEN(phones); i++) {
        customer_add_phone(event, json_string_value(json_at(object, phones[i])));
    }
    static const char *const names[] = {
        "customer_name",
        "customer_details.name",
        "customer.name",
        "billing_details.name",
        "last_payment_error.payment_method.billing_details.name",
        "payment_method.billing_details.name",
        "latest_charge.billing_details.name",
        "charges.data.0.billing_details.name",
        "shipping.name",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        customer_set_name(event, json_string_value(json_at(object, names[i])));
    }
    if (customer == object) {
        customer_add_email(event, json_str(object, "email"));
        customer_add_phone(event, json_str(object, "phone"));
        customer_set_name(event, json_str(object, "name"));
    }
}

/* Stripe goes on counting the hundredths of two currencies that have none any more, as its page on currencies says. */
static void put_amount(json_t *part, const json_t *amount, const char *currency)
{
    payment_put_amount(part, amount, currency);
    const char *code = json_str_or(part, "currency", "");
    if (strcmp(code, "isk") == 0 || strcmp(code, "ugx") == 0) {
        payment_recount(part, 2);
    }
}

static bool event_is(const json_t *event, const char *type)
{
    return strcmp(json_str_or(event, "type", ""), type) == 0;
}

static void put_customer(json_t *part, const json_t *object)
{
    payment_put_id(part, "customer", json_object_get(object, "customer"));
}

/* The decline code says more than the code ("insufficient_funds", where the code is "card_declined"). */
static void put_error(json_t *payment, const json_t *error)
{
    json_put_str(payment, "reason", TEXT_AT(error, "decline_code", "code", "type"));
    json_put_str(payment, "code", TEXT_AT(error, "code"));
    json_put_str(payment, "message", TEXT_AT(error, "message"));
}

/* The payment intent or charge of an invoice; `payments.data` is a list in which the last tried comes first. */
static const json_t *invoice_payment(const json_t *invoice)
{
    static const char *const paths[] = { "payment_intent", "payments.data.0.payment.payment_intent", "charge",
                                         "payments.data.0.payment.charge" };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        const json_t *value = json_at(invoice, paths[i]);
        if (json_is_string(value) || json_is_object(value)) {
            return value;
        }
    }
    return NULL;
}

static void put_invoice_error(json_t *payment, const json_t *invoice)
{
    const json_t *expanded = invoice_payment(invoice);
    put_error(payment, json_object_get(expanded, "last_payment_error"));
    if (json_str(payment, "reason") == NULL) {
        json_put_str(payment, "reason", TEXT_AT(expanded, "failure_code"));
        json_put_str(payment, "message", TEXT_AT(expanded, "failure_message"));
    }
    if (json_str(payment, "reason") == NULL) {
        put_error(payment, json_object_get(invoice, "last_finalization_error"));
    }
}

void stripe_read_invoice(json_t *event, const json_t *invoice, const json_t *previous)
{
    (void)previous;
    stripe_read_contact(event, invoice);
    json_t *payment = payment_of(event);
    const json_t *attempt = invoice_payment(invoice);
    payment_put_id(payment, "id", attempt ? attempt : json_object_get(invoice, "id"));

    bool paid = event_is(event, "payment.succeeded");
    const json_t *amount = event_value(invoice, paid ? "amount_paid" : "amount_due");
    put_amount(payment, amount ? amount : json_object_get(invoice, "total"), json_str(invoice, "currency"));
    if (!paid) {
        put_invoice_error(payment, invoice);
    }
    int64_t attempts = json_int(invoice, "attempt_count", 0);
    json_put_int(payment, "attempt", attempts > 0 ? attempts : 1);
    json_put_time(payment, "next_attempt", event_time_s(invoice, "next_payment_attempt"));
    json_put_str(payment, "url", TEXT_AT(invoice, "hosted_invoice_url"));
    payment_put_id(payment, "invoice", json_object_get(invoice, "id"));
    put_customer(payment, invoice);
    json_put_str(payment, "subscription",
                 ID_AT(invoice, "parent.subscription_details.subscription", "subscription",
                       "lines.data.0.parent.subscription_item_details.subscription", "lines.data.0.subscription"));
    json_put_str(payment, "status", TEXT_AT(invoice, "status"));
    json_put_str(payment, "number", TEXT_AT(invoice, "number"));
    json_put_str(payment, "billing_reason", TEXT_AT(invoice, "billing_reason"));
    json_put_str(payment, "collection_method", TEXT_AT(invoice, "collection_method"));
    json_put_str(payment, "description", TEXT_AT(invoice, "description", "lines.data.0.description"));
    json_put_time(payment, "due_at", event_time_s(invoice, "due_date"));
    payment_put_metadata(payment, json_object_at(invoice, "metadata"));
    payment_put_metadata(payment, json_at(invoice, "parent.subscription_details.metadata"));
    payment_put_metadata(payment, json_at(invoice, "subscription_details.metadata"));
    payment_finish(event, payment_reference_keys);
}

/* The invoice of a payment intent or charge, where the API version or the merchant tells it. */
static const char *invoice_of(const json_t *object)
{
    const char *invoice =
        ID_AT(object, "invoice", "payment_intent.invoice", "latest_charge.invoice", "charges.data.0.invoice",
              "payment_details.order_reference", "metadata.invoice", "metadata.invoice_id");
    /* The last ones are free text: only what looks like Stripe's own id counts. */
    return invoice && strncmp(invoice, "in_", 3) == 0 ? invoice : NULL;
}

/* What Stripe writes into the payment intents that its invoices make. */
static bool is_made_by_invoice(const json_t *intent)
{
    static const char *const descriptions[] = { "Subscription creation", "Subscription update", "Payment for Invoice" };
    const char *description = json_str_or(intent, "description", "");
    for (size_t i = 0; i < ARRAY_LEN(descriptions); i++) {
        if (strcmp(description, descriptions[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void put_card(json_t *payment, const json_t *details)
{
    json_t *card = json_object_at(details, "card");
    json_put_str(payment, "method", TEXT_AT(details, "type"));
    json_put_str(payment, "card_brand", TEXT_AT(card, "brand"));
    json_put_str(payment, "card_last4", TEXT_AT(card, "last4"));
}

void stripe_read_payment_intent(json_t *event, const json_t *intent, const json_t *previous)
{
    (void)previous;
    stripe_read_contact(event, intent);
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(intent, "id"));
    const json_t *received = json_object_get(intent, "amount_received");
    bool paid = event_is(event, "payment.succeeded") && json_integer_value(received) > 0;
    put_amount(payment, paid ? received : json_object_get(intent, "amount"), json_str(intent, "currency"));
    if (!event_is(event, "payment.succeeded")) {
        put_error(payment, json_object_at(intent, "last_payment_error"));
    }
    put_card(payment, json_at(intent, "last_payment_error.payment_method"));
    json_put_str(payment, "url",
                 TEXT_AT(intent, "next_action.redirect_to_url.url",
                         "next_action.boleto_display_details.hosted_voucher_url",
                         "next_action.oxxo_display_details.hosted_voucher_url"));
    json_put_str(payment, "invoice", invoice_of(intent));
    put_customer(payment, intent);
    json_put_str(payment, "status", TEXT_AT(intent, "status"));
    json_put_str(payment, "description", TEXT_AT(intent, "description"));
    payment_put_metadata(payment, json_object_at(intent, "metadata"));
    if (json_str(payment, "invoice") || is_made_by_invoice(intent)) {
        json_put_bool(payment, "secondary", true);
    }
    payment_finish(event, payment_reference_keys);
}

void stripe_read_charge(json_t *event, const json_t *charge, const json_t *previous)
{
    (void)previous;
    stripe_read_contact(event, charge);
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(charge, "id"));
    bool refunded = event_is(event, "payment.refunded");
    const json_t *amount = json_object_get(charge, refunded ? "amount_refunded" : "amount");
    put_amount(payment, amount, json_str(charge, "currency"));
    if (refunded) {
        json_put_str(payment, "reason", TEXT_AT(charge, "refunds.data.0.reason"));
    } else {
        json_put_str(payment, "reason", TEXT_AT(charge, "failure_code", "outcome.reason"));
        json_put_str(payment, "code", TEXT_AT(charge, "failure_code"));
        json_put_str(payment, "message", TEXT_AT(charge, "failure_message", "outcome.seller_message"));
    }
    put_card(payment, json_object_at(charge, "payment_method_details"));
    json_put_str(payment, "url", TEXT_AT(charge, "receipt_url"));
    json_put_str(payment, "invoice", invoice_of(charge));
    payment_put_id(payment, "intent", json_object_get(charge, "payment_intent"));
    put_customer(payment, charge);
    json_put_str(payment, "status", TEXT_AT(charge, "status"));
    json_put_str(payment, "description", TEXT_AT(charge, "description"));
    payment_put_metadata(payment, json_object_at(charge, "metadata"));
    if (!refunded && (json_str(payment, "intent") || json_str(payment, "invoice"))) {
        json_put_bool(payment, "secondary", true);
    }
    payment_finish(event, (const char *const[]){ "invoice", "intent", "id", NULL });
}

void stripe_read_dispute(json_t *event, const json_t *dispute, const json_t *previous)
{
    (void)previous;
    const json_t *charge = event_value(dispute, "charge");
    stripe_read_contact(event, dispute);
    if (json_is_object(charge)) {
        stripe_read_contact(event, charge);
    }
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", charge ? charge : json_object_get(dispute, "payment_intent"));
    payment_put_id(payment, "dispute", json_object_get(dispute, "id"));
    payment_put_id(payment, "intent", json_object_get(dispute, "payment_intent"));
    put_amount(payment, json_object_get(dispute, "amount"), json_str(dispute, "currency"));
    json_put_str(payment, "reason", TEXT_AT(dispute, "reason"));
    json_put_str(payment, "status", TEXT_AT(dispute, "status"));
    json_put_time(payment, "due_at", event_time_s(json_object_at(dispute, "evidence_details"), "due_by"));
    json_put_str(payment, "invoice", json_is_object(charge) ? invoice_of(charge) : NULL);
    put_customer(payment, json_is_object(charge) ? charge : dispute);
    payment_put_metadata(payment, json_object_at(dispute, "metadata"));
    payment_finish(event, (const char *const[]){ "invoice", "intent", "id", NULL });
}

void stripe_read_session_failure(json_t *event, const json_t *session, const json_t *previous)
{
    (void)previous;
    stripe_read_contact(event, session);
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(session, "id"));
    const char *intent = ID_AT(session, "payment_intent");
    json_put_str(payment, "id", intent);
    json_put_str(payment, "session", TEXT_AT(session, "id"));
    put_amount(payment, json_object_get(session, "amount_total"), json_str(session, "currency"));
    json_put_str(payment, "url", TEXT_AT(session, "after_expiration.recovery.url", "url"));
    json_put_str(payment, "invoice", ID_AT(session, "invoice"));
    json_put_str(payment, "subscription", ID_AT(session, "subscription"));
    put_customer(payment, session);
    json_put_str(payment, "status", TEXT_AT(session, "payment_status", "status"));
    payment_put_metadata(payment, json_object_at(session, "metadata"));
    payment_finish(event, payment_reference_keys);
}

void stripe_read_session(json_t *event, const json_t *session, const json_t *previous)
{
    (void)previous;
    stripe_read_contact(event, session);
    json_t *order = order_of(event);
    payment_put_id(order, "id", json_object_get(session, "id"));
    put_amount(order, json_object_get(session, "amount_total"), json_str(session, "currency"));
    put_customer(order, session);
    json_put_str(order, "reference", TEXT_AT(session, "client_reference_id"));
    json_put_str(order, "payment_status", TEXT_AT(session, "payment_status"));
    json_put_str(order, "status", TEXT_AT(session, "status"));
    json_put_str(order, "mode", TEXT_AT(session, "mode"));
    json_put_str(order, "invoice", ID_AT(session, "invoice"));
    json_put_str(order, "subscription", ID_AT(session, "subscription"));
    json_put_str(order, "payment", ID_AT(session, "payment_intent"));
    payment_put_metadata(order, json_object_at(session, "metadata"));
}

void stripe_read_subscription(json_t *event, const json_t *object, const json_t *previous)
{
    stripe_read_contact(event, object);
    json_t *subscription = subscription_of(event);
    const json_t *item = json_at(object, "items.data.0");
    payment_put_id(subscription, "id", json_object_get(object, "id"));
    json_put_str(subscription, "status", TEXT_AT(object, "status"));
    json_put_str(subscription, "previous_status", TEXT_AT(previous, "status"));
    json_put_bool(subscription, "cancel_at_period_end", json_bool(object, "cancel_at_period_end", false));
    put_customer(subscription, object);
    json_put_str(subscription, "plan", ID_AT(item, "price", "plan"));
    if (json_str(subscription, "plan") == NULL) {
        json_put_str(subscription, "plan", ID_AT(object, "price", "plan"));
    }
    json_put_str(subscription, "currency", TEXT_AT(object, "currency", "items.data.0.price.currency"));
    json_put_str(subscription, "invoice", ID_AT(object, "latest_invoice"));
    msec_t start = event_time_s(object, "current_period_start");
    msec_t end = event_time_s(object, "current_period_end");
    json_put_time(subscription, "current_period_start", start ? start : event_time_s(item, "current_period_start"));
    json_put_time(subscription, "current_period_end", end ? end : event_time_s(item, "current_period_end"));
    json_put_time(subscription, "trial_end", event_time_s(object, "trial_end"));
    json_put_time(subscription, "cancel_at", event_time_s(object, "cancel_at"));
    json_put_time(subscription, "canceled_at", event_time_s(object, "canceled_at"));
    json_put_time(subscription, "ended_at", event_time_s(object, "ended_at"));
    json_put_str(subscription, "reason", TEXT_AT(object, "cancellation_details.reason"));
    json_put_str(subscription, "feedback", TEXT_AT(object, "cancellation_details.feedback"));
    payment_put_metadata(subscription, json_object_at(object, "metadata"));
}
