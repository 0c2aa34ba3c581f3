#include "channel/paypal_parse.h"

#include <string.h>

static const char *const reference_keys[] = { "subscription", "invoice", "order", "id", NULL };

static void read_person(json_t *event, const json_t *person)
{
    customer_add_email(event, json_str(person, "email_address"));
    customer_add_email(event, json_str(person, "email"));
    customer_add_phone(event, json_str(person, "phone"));
    const json_t *phone = json_at(person, "phone.phone_number");
    const char *country = json_str(phone, "country_code");
    const char *national = json_str(phone, "national_number");
    if (country && national) { /* without the country it is nobody's number */
        struct buf number CLEANUP(buf_done);
        buf_init(&number, 64);
        buf_addf(&number, "+%s%s", country, national);
        customer_add_phone(event, number.ptr);
    }
    const json_t *name = json_object_at(person, "name");
    customer_set_name(event, json_str(name, "full_name"));
    customer_set_names(event, json_str(name, "given_name"), json_str(name, "surname"));
    customer_set_names(event, json_str(person, "first_name"), json_str(person, "last_name"));
}

static void read_contact(json_t *event, const json_t *resource)
{
    static const char *const people[] = { "payer", "payer.payer_info", "subscriber", "disputed_transactions.0.buyer" };
    for (size_t i = 0; i < ARRAY_LEN(people); i++) {
        const json_t *person = json_at(resource, people[i]);
        json_t *id = event_value(person, "payer_id");
        customer_add_id(event, "paypal", id ? id : json_object_get(person, "account_id"));
    }
    static const char *const customs[] = { "custom_id", "custom", "purchase_units.0.custom_id" };
    for (size_t i = 0; i < ARRAY_LEN(customs); i++) {
        (void)customer_add_identity(event, json_string_value(json_at(resource, customs[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(people); i++) {
        read_person(event, json_at(resource, people[i]));
    }
}

static void put_money(json_t *part, const json_t *money)
{
    json_t *value = event_value(money, "value");
    const char *currency = json_str(money, "currency_code");
    payment_put_decimal(part, value ? value : json_object_get(money, "total"),
                        currency ? currency : json_str(money, "currency"));
}

static void put_status(json_t *part, const json_t *resource)
{
    const char *status = json_str(resource, "status");
    event_put_lower(part, "status", status ? status : json_str(resource, "state"));
}

/* The capture or sale that a refund belongs to: the last part of the link "up". */
static const char *parent_of(const json_t *resource)
{
    size_t index;
    json_t *link;
    json_array_foreach (json_array_at(resource, "links"), index, link) {
        const char *relation = json_str_or(link, "rel", "");
        const char *href = json_str(link, "href");
        const char *slash = href ? strrchr(href, '/') : NULL;
        if (slash && slash[1] && (strcmp(relation, "up") == 0 || strcmp(relation, "sale") == 0)) {
            return slash + 1;
        }
    }
    return NULL;
}

static json_t *put_payment(json_t *event, const json_t *resource)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_object_get(resource, "id"));
    put_money(payment, json_object_at(resource, "amount"));
    const char *reason = json_string_value(json_at(resource, "status_details.reason"));
    event_put_lower(payment, "reason", reason ? reason : json_str(resource, "reason_code"));
    payment_put_id(payment, "invoice", json_object_get(resource, "invoice_number"));
    payment_put_id(payment, "invoice", json_object_get(resource, "invoice_id"));
    payment_put_id(payment, "order", json_object_get(resource, "parent_payment"));
    payment_put_id(payment, "order", json_at(resource, "supplementary_data.related_ids.order_id"));
    payment_put_id(payment, "subscription", json_object_get(resource, "billing_agreement_id"));
    payment_put_id(payment, "customer", json_at(resource, "payer.payer_id"));
    json_put_str(payment, "custom", json_str(resource, "custom_id"));
    put_status(payment, resource);
    return payment;
}

static void read_payment(json_t *event, const json_t *resource)
{
    (void)put_payment(event, resource);
    payment_finish(event, reference_keys);
}

static void read_refund(json_t *event, const json_t *resource)
{
    json_t *payment = put_payment(event, resource);
    const char *sale = json_str(resource, "sale_id");
    const char *parent = sale ? sale : parent_of(resource);
    payment_put_id(payment, "refund", json_object_get(resource, "id"));
    json_put_str(payment, "id", parent);
    json_put_str(payment, "message", json_str(resource, "note_to_payer"));
    payment_finish(event, reference_keys); /* what was paid is named by now */
}

/* The resource is the subscription: what failed is in its billing_info (v2) or agreement_details (v1). */
static void read_failed_renewal(json_t *event, const json_t *resource)
{
    json_t *payment = payment_of(event);
    const json_t *info = json_object_at(resource, "billing_info");
    const json_t *last = json_object_at(info, "last_failed_payment");
    const json_t *money = json_object_at(last, "amount");
    payment_put_id(payment, "id", json_object_get(resource, "id"));
    put_money(payment, money ? money : json_object_at(info, "outstanding_balance"));
    event_put_lower(payment, "reason", json_str(last, "reason_code"));
    int64_t attempts = json_int(info, "failed_payments_count", 0);
    if (attempts < 1) {
        attempts = json_int(json_object_at(resource, "agreement_details"), "failed_payment_count", 1);
    }
    json_put_int(payment, "attempt", attempts);
    json_put_time(payment, "next_attempt", event_time_s(last, "next_payment_retry_time"));
    payment_put_id(payment, "subscription", json_object_get(resource, "id"));
    payment_put_id(payment, "customer", json_at(resource, "subscriber.payer_id"));
    json_put_str(payment, "custom", json_str(resource, "custom_id"));
    put_status(payment, resource);
    payment_finish(event, reference_keys);
}

static void read_dispute(json_t *event, const json_t *resource)
{
    json_t *payment = payment_of(event);
    payment_put_id(payment, "id", json_at(resource, "disputed_transactions.0.seller_transaction_id"));
    payment_put_id(payment, "dispute", json_object_get(resource, "dispute_id"));
    put_money(payment, json_object_at(resource, "dispute_amount"));
    event_put_lower(payment, "reason", json_str(resource, "reason"));
    payment_put_id(payment, "invoice", json_at(resource, "disputed_transactions.0.invoice_number"));
    json_put_time(payment, "due_at", event_time_s(resource, "seller_response_due_date"));
    put_status(payment, resource);
    payment_finish(event, reference_keys);
}

static void read_invoice(json_t *event, const json_t *resource)
{
    json_t *payment = payment_of(event);
    const json_t *invoice = json_object_at(resource, "invoice");
    invoice = invoice ? invoice : resource;
    const json_t *amount = json_object_at(invoice, "amount");
    payment_put_id(payment, "id", json_object_get(invoice, "id"));
    put_money(payment, amount ? amount : json_object_at(invoice, "total_amount"));
    payment_put_id(payment, "invoice", json_object_get(invoice, "id"));
    json_put_str(payment, "number", json_string_value(json_at(invoice, "detail.invoice_number")));
    json_put_str(payment, "number", json_str(invoice, "number")); /* as invoices of the first version have it */
    json_put_str(payment, "url", json_string_value(json_at(invoice, "detail.metadata.recipient_view_url")));
    customer_add_email(event, json_string_value(json_at(invoice, "primary_recipients.0.billing_info.email_address")));
    read_person(event, json_at(invoice, "billing_info.0"));
    put_status(payment, invoice);
    payment_finish(event, reference_keys);
}

static void read_order(json_t *event, const json_t *resource)
{
    json_t *order = order_of(event);
    payment_put_id(order, "id", json_object_get(resource, "id"));
    put_money(order, json_at(resource, "purchase_units.0.amount"));
    payment_put_id(order, "customer", json_at(resource, "payer.payer_id"));
    json_put_str(order, "reference", json_string_value(json_at(resource, "purchase_units.0.reference_id")));
    json_put_str(order, "invoice", json_string_value(json_at(resource, "purchase_units.0.invoice_id")));
    put_status(order, resource);
}

static void read_subscription(json_t *event, const json_t *resource)
{
    json_t *subscription = subscription_of(event);
    payment_put_id(subscription, "id", json_object_get(resource, "id"));
    put_status(subscription, resource);
    payment_put_id(subscription, "plan", json_object_get(resource, "plan_id"));
    json_t *customer = event_value(json_object_at(resource, "subscriber"), "payer_id");
    payment_put_id(subscription, "customer", customer ? customer : json_at(resource, "payer.payer_info.payer_id"));
    json_put_str(subscription, "reason", json_str(resource, "status_change_note"));
    json_put_time(subscription, "next_billing_at",
                  event_time_s(json_object_at(resource, "billing_info"), "next_billing_time"));
}

static const struct payment_type types[] = {
    { "PAYMENT.CAPTURE.DENIED", "payment.failed", read_payment, false },
    { "PAYMENT.CAPTURE.DECLINED", "payment.failed", read_payment, false },
    { "PAYMENT.SALE.DENIED", "payment.failed", read_payment, false },
    { "BILLING.SUBSCRIPTION.PAYMENT.FAILED", "payment.failed", read_failed_renewal, false },
    { "PAYMENT.CAPTURE.COMPLETED", "payment.succeeded", read_payment, false },
    { "PAYMENT.SALE.COMPLETED", "payment.succeeded", read_payment, false },
    { "INVOICING.INVOICE.PAID", "payment.succeeded", read_invoice, false },
    { "PAYMENT.CAPTURE.REFUNDED", "payment.refunded", read_refund, false },
    { "PAYMENT.CAPTURE.REVERSED", "payment.refunded", read_refund, false },
    { "PAYMENT.SALE.REFUNDED", "payment.refunded", read_refund, false },
    { "PAYMENT.SALE.REVERSED", "payment.refunded", read_refund, false },
    { "CUSTOMER.DISPUTE.CREATED", "payment.disputed", read_dispute, false },
    { "CHECKOUT.ORDER.COMPLETED", "order.completed", read_order, false },
    { "BILLING.SUBSCRIPTION.CREATED", "subscription.created", read_subscription, false },
    { "BILLING.SUBSCRIPTION.ACTIVATED", "subscription.updated", read_subscription, false },
    { "BILLING.SUBSCRIPTION.RE-ACTIVATED", "subscription.updated", read_subscription, false },
    { "BILLING.SUBSCRIPTION.UPDATED", "subscription.updated", read_subscription, false },
    { "BILLING.SUBSCRIPTION.SUSPENDED", "subscription.updated", read_subscription, false },
    { "BILLING.SUBSCRIPTION.CANCELLED", "subscription.canceled", read_subscription, false },
    { "BILLING.SUBSCRIPTION.EXPIRED", "subscription.canceled", read_subscription, false },
    { NULL, NULL, NULL, false },
};

static const struct payment_parser parser = { "paypal", types, read_contact };

err_t paypal_parse(const struct webhook *w, const json_t *settings, json_t *events, struct error *reterr)
{
    (void)settings;
    json_t *body CLEANUP(json_free) = NULL;
    const char *provider_type;
    err_t err = payment_read_body(w, "PayPal", "event_type", &body, &provider_type, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf key CLEANUP(buf_done);
    payment_key(w, json_object_get(body, "id"), &key);
    payment_add_events(&parser, events, w, provider_type, key.ptr, event_time_s(body, "create_time"),
                       json_object_at(body, "resource"), body);
    return ERR_NONE;
}
