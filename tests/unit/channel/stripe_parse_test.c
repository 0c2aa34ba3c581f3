/* Stripe's objects, in the shapes of old and new API versions. */
#include "channel/channel_support.h"

#define EVENT(type, object)                                                                                            \
    "{\"id\":\"evt_1\",\"object\":\"event\",\"created\":1763881200,\"type\":\"" type "\",\"data\":{\"object\":" object \
    "}}"

struct expectation {
    const char *path, *value;
};

static void check(const char *body, const struct expectation *expected, size_t count)
{
    json_t *events = events_of("stripe", NULL, body);
    assert_int_equal(json_array_size(events), 1);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
    json_decref(events);
}
#define CHECK(body, ...)                                                                                               \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check(body, expected_, ARRAY_LEN(expected_));                                                                  \
    } while (0)

static void an_invoice_of_any_version(void **state)
{
    (void)state;
    /* before basil */
    CHECK(EVENT("invoice.payment_failed",
                "{\"id\":\"in_1\",\"object\":\"invoice\",\"amount_due\":1900,\"currency\":\"usd\",\"attempt_count\":2,"
                "\"next_payment_attempt\":1764140400,\"customer\":\"cus_1\",\"customer_email\":\"A@B.c\","
                "\"customer_name\":\"Ada\",\"subscription\":\"sub_1\",\"payment_intent\":\"pi_1\","
                "\"hosted_invoice_url\":\"https://pay\",\"status\":\"open\","
                "\"subscription_details\":{\"metadata\":{\"whatsapp\":\"+15550100\"}},\"metadata\":{\"k\":\"v\"}}"),
          { "type", "payment.failed" }, { "provider", "stripe" }, { "key", "evt_1" },
          { "provider_type", "invoice.payment_failed" }, { "occurred_at", "2025-11-23T07:00:00.000Z" },
          { "contact.identities", "[\"stripe:cus_1\",\"whatsapp:15550100\",\"email:a@b.c\"]" },
          { "contact.name", "Ada" }, { "payment.id", "pi_1" }, { "payment.invoice", "in_1" },
          { "payment.reference", "in_1" }, { "payment.amount", "1900" }, { "payment.currency", "usd" },
          { "payment.attempt", "2" }, { "payment.next_attempt", "2025-11-26T07:00:00.000Z" },
          { "payment.url", "https://pay" }, { "payment.customer", "cus_1" }, { "payment.subscription", "sub_1" },
          { "payment.secondary", "-" }, { "payment.metadata", "{\"k\":\"v\",\"whatsapp\":\"+15550100\"}" });
    /* basil and later, no further attempt, everything expanded */
    CHECK(
        EVENT(
            "invoice.payment_failed",
            "{\"id\":\"in_1\",\"object\":\"invoice\",\"amount_due\":1900,\"currency\":\"EUR\",\"attempt_count\":0,"
            "\"next_payment_attempt\":null,"
            "\"customer\":{\"id\":\"cus_1\",\"email\":\"a@b.c\",\"phone\":\"+15550100\",\"name\":\"Ada\","
            "\"metadata\":{\"telegram\":\"42\"}},"
            "\"parent\":{\"type\":\"subscription_details\",\"subscription_details\":{\"subscription\":{\"id\":\"sub_1\"}}},"
            "\"subscription\":\"sub_other\","
            "\"payments\":{\"data\":[{\"payment\":{\"type\":\"payment_intent\",\"payment_intent\":{\"id\":\"pi_1\","
            "\"last_payment_error\":{\"code\":\"card_declined\",\"decline_code\":\"insufficient_funds\","
            "\"message\":\"Your card has insufficient funds.\"}}}}]}}"),
        { "contact.identities", "[\"stripe:cus_1\",\"telegram:42\",\"email:a@b.c\",\"phone:15550100\"]" },
        { "payment.attempt", "1" }, { "payment.next_attempt", "-" }, { "payment.currency", "eur" },
        { "payment.subscription", "sub_1" }, { "payment.id", "pi_1" }, { "payment.reason", "insufficient_funds" },
        { "payment.message", "Your card has insufficient funds." });
    /* the lines know the subscription where nothing else does */
    CHECK(EVENT("invoice.payment_action_required",
                "{\"id\":\"in_1\",\"object\":\"invoice\",\"lines\":{\"data\":[{\"parent\":"
                "{\"subscription_item_details\":{\"subscription\":\"sub_1\"}}}]}}"),
          { "type", "payment.action_required" }, { "payment.subscription", "sub_1" }, { "payment.attempt", "1" });
    CHECK(EVENT("invoice.payment_failed", "{\"id\":\"in_1\",\"lines\":{\"data\":[{\"subscription\":\"sub_2\"}]}}"),
          { "payment.subscription", "sub_2" });
    CHECK(EVENT("invoice.paid",
                "{\"id\":\"in_1\",\"object\":\"invoice\",\"amount_due\":5,\"amount_paid\":1900,\"currency\":\"jpy\"}"),
          { "type", "payment.succeeded" }, { "payment.amount", "1900" }, { "payment.secondary", "-" });
    CHECK(EVENT("invoice.payment_succeeded", "{\"id\":\"in_1\",\"object\":\"invoice\",\"amount_paid\":1900}"),
          { "type", "payment.succeeded" }, { "payment.secondary", "true" }, { "payment.invoice", "in_1" });
    /* smallest units, and two currencies whose hundredths Stripe goes on counting */
    CHECK(EVENT("invoice.payment_failed", "{\"id\":\"in_1\",\"amount_due\":1500,\"currency\":\"kwd\"}"),
          { "payment.amount", "1500" });
    CHECK(EVENT("invoice.payment_failed", "{\"id\":\"in_1\",\"amount_due\":50000,\"currency\":\"isk\"}"),
          { "payment.amount", "500" }, { "payment.currency", "isk" });
    CHECK(EVENT("charge.refunded", "{\"id\":\"ch_1\",\"amount_refunded\":500,\"currency\":\"UGX\"}"),
          { "payment.amount", "5" }, { "payment.currency", "ugx" });
    /* an upcoming invoice has no id */
    CHECK(EVENT("invoice.upcoming", "{\"object\":\"invoice\",\"customer\":\"cus_1\",\"amount_due\":1}"),
          { "type", "webhook.stripe" }, { "provider_type", "invoice.upcoming" }, { "key", "evt_1" },
          { "contact.identities", "[\"stripe:cus_1\"]" }, { "body.data.object.amount_due", "1" });
}

static void the_levels_below_an_invoice_are_secondary(void **state)
{
    (void)state;
    CHECK(
        EVENT(
            "payment_intent.payment_failed",
            "{\"id\":\"pi_1\",\"object\":\"payment_intent\",\"amount\":1900,\"currency\":\"usd\",\"customer\":\"cus_1\","
            "\"receipt_email\":\"r@b.c\",\"invoice\":\"in_1\",\"status\":\"requires_payment_method\","
            "\"last_payment_error\":{\"code\":\"card_declined\",\"decline_code\":\"do_not_honor\",\"payment_method\":"
            "{\"type\":\"card\",\"billing_details\":{\"email\":\"b@b.c\",\"phone\":\"+15550100\",\"name\":\"Ada\"},"
            "\"card\":{\"brand\":\"visa\",\"last4\":\"4242\"}}}}"),
        { "type", "payment.failed" }, { "payment.id", "pi_1" }, { "payment.invoice", "in_1" },
        { "payment.secondary", "true" }, { "payment.reason", "do_not_honor" }, { "payment.code", "card_declined" },
        { "payment.attempt", "1" }, { "payment.card_last4", "4242" }, { "contact.name", "Ada" },
        { "contact.identities", "[\"stripe:cus_1\",\"email:r@b.c\",\"email:b@b.c\",\"phone:15550100\"]" });
    CHECK(
        EVENT(
            "payment_intent.payment_failed",
            "{\"id\":\"pi_1\",\"object\":\"payment_intent\",\"amount\":1900,\"description\":\"Subscription update\"}"),
        { "payment.secondary", "true" }, { "payment.invoice", "-" }, { "payment.reference", "pi_1" });
    CHECK(EVENT("payment_intent.payment_failed", "{\"id\":\"pi_1\",\"object\":\"payment_intent\",\"amount\":1900}"),
          { "payment.secondary", "-" }, { "payment.reference", "pi_1" }, { "contact", "-" });
    CHECK(EVENT("payment_intent.succeeded",
                "{\"id\":\"pi_1\",\"amount\":1900,\"amount_received\":1800,\"invoice\":{\"id\":\"in_1\"},"
                "\"last_payment_error\":{\"code\":\"card_declined\"}}"),
          { "type", "payment.succeeded" }, { "payment.amount", "1800" }, { "payment.secondary", "true" },
          { "payment.reason", "-" }, { "payment.invoice", "in_1" });
    CHECK(
        EVENT("charge.failed",
              "{\"id\":\"ch_1\",\"object\":\"charge\",\"amount\":1900,\"currency\":\"usd\",\"payment_intent\":\"pi_1\","
              "\"failure_code\":\"expired_card\",\"failure_message\":\"Your card has expired.\","
              "\"billing_details\":{\"email\":\"a@b.c\",\"phone\":null,\"name\":\"Ada\"}}"),
        { "type", "payment.failed" }, { "payment.id", "ch_1" }, { "payment.reference", "pi_1" },
        { "payment.secondary", "true" }, { "payment.reason", "expired_card" },
        { "payment.message", "Your card has expired." }, { "contact.identities", "[\"email:a@b.c\"]" });
    CHECK(EVENT("charge.failed", "{\"id\":\"ch_1\",\"object\":\"charge\",\"amount\":1}"), { "payment.secondary", "-" },
          { "payment.reference", "ch_1" });
    CHECK(
        EVENT("charge.refunded",
              "{\"id\":\"ch_1\",\"object\":\"charge\",\"amount\":1900,\"amount_refunded\":500,\"currency\":\"usd\","
              "\"payment_intent\":\"pi_1\",\"invoice\":\"in_1\",\"refunds\":{\"data\":[{\"reason\":\"duplicate\"}]}}"),
        { "type", "payment.refunded" }, { "payment.amount", "500" }, { "payment.reason", "duplicate" },
        { "payment.secondary", "-" }, { "payment.reference", "in_1" });
    CHECK(
        EVENT("charge.dispute.created",
              "{\"id\":\"dp_1\",\"object\":\"dispute\",\"charge\":\"ch_1\",\"payment_intent\":\"pi_1\",\"amount\":1900,"
              "\"currency\":\"usd\",\"reason\":\"fraudulent\",\"status\":\"needs_response\"}"),
        { "type", "payment.disputed" }, { "payment.id", "ch_1" }, { "payment.dispute", "dp_1" },
        { "payment.reason", "fraudulent" }, { "payment.reference", "pi_1" });
}

static void checkouts(void **state)
{
    (void)state;
#define SESSION(status)                                                                                                  \
    "{\"id\":\"cs_1\",\"object\":\"checkout.session\",\"payment_status\":\"" status "\",\"status\":\"complete\","        \
    "\"mode\":\"payment\",\"amount_total\":1900,\"currency\":\"usd\",\"customer\":null,\"client_reference_id\":\"o-1\"," \
    "\"payment_intent\":\"pi_1\",\"customer_details\":{\"email\":\"a@b.c\",\"phone\":\"+15550100\",\"name\":\"Ada\"}}"
    CHECK(EVENT("checkout.session.completed", SESSION("paid")), { "type", "order.completed" }, { "order.id", "cs_1" },
          { "order.amount", "1900" }, { "order.reference", "o-1" }, { "order.payment_status", "paid" },
          { "order.payment", "pi_1" }, { "contact.identities", "[\"email:a@b.c\",\"phone:15550100\"]" });
    CHECK(EVENT("checkout.session.completed", SESSION("no_payment_required")), { "type", "order.completed" });
    CHECK(EVENT("checkout.session.completed", SESSION("unpaid")), { "type", "webhook.stripe" },
          { "contact.name", "Ada" });
    CHECK(EVENT("checkout.session.async_payment_succeeded", SESSION("paid")), { "type", "order.completed" });
    CHECK(EVENT("checkout.session.async_payment_failed", SESSION("unpaid")), { "type", "payment.failed" },
          { "payment.id", "pi_1" }, { "payment.session", "cs_1" }, { "payment.secondary", "true" });
    CHECK(EVENT("checkout.session.expired", SESSION("unpaid")), { "type", "webhook.stripe" });
}

/* Of Connect: on whose account it happened. */
static void connected_accounts(void **state)
{
    (void)state;
#define CONNECTED(type, object)                                                                                        \
    "{\"id\":\"evt_1\",\"account\":\"acct_7\",\"type\":\"" type "\",\"data\":{\"object\":" object "}}"
    CHECK(CONNECTED("invoice.paid", "{\"id\":\"in_1\"}"), { "type", "payment.succeeded" }, { "account", "acct_7" });
    CHECK(CONNECTED("checkout.session.completed", SESSION("paid")), { "type", "order.completed" },
          { "account", "acct_7" });
    CHECK(CONNECTED("account.updated", "{\"id\":\"acct_7\"}"), { "type", "webhook.stripe" }, { "account", "acct_7" });
    CHECK(EVENT("invoice.paid", "{\"id\":\"in_1\"}"), { "account", "-" });
}

static void subscriptions(void **state)
{
    (void)state;
    CHECK(
        "{\"id\":\"evt_1\",\"type\":\"customer.subscription.updated\",\"created\":1763881200,\"data\":{\"object\":"
        "{\"id\":\"sub_1\",\"object\":\"subscription\",\"status\":\"past_due\",\"cancel_at_period_end\":true,\"customer\":"
        "\"cus_1\",\"items\":{\"data\":[{\"current_period_end\":1764140400,\"price\":{\"id\":\"price_1\",\"currency\":\"usd\"}}]}},"
        "\"previous_attributes\":{\"status\":\"active\"}}}",
        { "type", "subscription.updated" }, { "subscription.id", "sub_1" }, { "subscription.status", "past_due" },
        { "subscription.previous_status", "active" }, { "subscription.cancel_at_period_end", "true" },
        { "subscription.plan", "price_1" }, { "subscription.current_period_end", "2025-11-26T07:00:00.000Z" },
        { "subscription.customer", "cus_1" });
    CHECK(
        EVENT("customer.subscription.deleted",
              "{\"id\":\"sub_1\",\"object\":\"subscription\",\"status\":\"canceled\",\"current_period_end\":1764140400,"
              "\"ended_at\":1763881200,\"cancellation_details\":{\"reason\":\"payment_failed\"}}"),
        { "type", "subscription.canceled" }, { "subscription.reason", "payment_failed" },
        { "subscription.ended_at", "2025-11-23T07:00:00.000Z" },
        { "subscription.current_period_end", "2025-11-26T07:00:00.000Z" });
    CHECK(EVENT("customer.subscription.created", "{\"id\":\"sub_1\"}"), { "type", "subscription.created" });
}

static void what_is_not_known_is_kept(void **state)
{
    (void)state;
    CHECK("{\"id\":\"evt_1\",\"object\":\"v2.core.event\",\"type\":\"v1.billing.meter.error_report_triggered\","
          "\"created\":\"2025-11-23T07:00:00.000Z\",\"related_object\":{\"id\":\"mtr_1\"}}",
          { "type", "webhook.stripe" }, { "key", "evt_1" }, { "occurred_at", "2025-11-23T07:00:00.000Z" },
          { "body.related_object.id", "mtr_1" });
    CHECK(
        EVENT(
            "customer.created",
            "{\"id\":\"cus_1\",\"object\":\"customer\",\"email\":\"a@b.c\",\"phone\":\"+15550100\",\"name\":\"Ada\"}"),
        { "type", "webhook.stripe" },
        { "contact.identities", "[\"stripe:cus_1\",\"email:a@b.c\",\"phone:15550100\"]" });
    CHECK(EVENT("invoice.payment_failed", "\"in_1\""), { "type", "webhook.stripe" });
    CHECK(EVENT("invoice.payment_failed", "{\"object\":\"charge\"}"), { "type", "webhook.stripe" });
    CHECK("{\"type\":\"x\"}", { "type", "webhook.stripe" }, { "occurred_at", "2026-11-23T08:00:00.000Z" },
          { "key", "sha256:c432d16d2a54b09f4af18a18a547a31b57d802f3e057950b50a62052c14cc999" });

    static const char *const no_events[] = {
        "", "{", "[]", "null", "\"x\"", "{}", "{\"type\":5}", "{\"type\":\"\"}", "{\"object\":{\"id\":\"in_1\"}}"
    };
    for (size_t i = 0; i < ARRAY_LEN(no_events); i++) {
        struct webhook w = { .source = "stripe", .body = bytes_of(no_events[i]), .now = TEST_NOW };
        json_t *events = json_array();
        struct error e = { .code = ERR_NONE };
        assert_int_equal(channel_find("stripe")->parse(&w, NULL, events, &e), ERR_INVALID);
        assert_true(e.text[0] != '\0');
        assert_int_equal(json_array_size(events), 0);
        json_decref(events);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_invoice_of_any_version),
        cmocka_unit_test(the_levels_below_an_invoice_are_secondary),
        cmocka_unit_test(checkouts),
        cmocka_unit_test(connected_accounts),
        cmocka_unit_test(subscriptions),
        cmocka_unit_test(what_is_not_known_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
