/* What providers send seldom: ids in other places, words that are missing, placeholders for what a customer did not
 * give. A payment must not be made up from it, fall on a stranger, or be taken for two. */
#include "channel/channel_support.h"

struct expectation {
    const char *path, *value;
};

static void check(const char *kind, const struct webhook_header *headers, size_t header_count, const char *body,
                  const struct expectation *expected, size_t count)
{
    struct webhook w = { .method = "POST",
                         .source = kind,
                         .url = "",
                         .headers = headers,
                         .header_count = header_count,
                         .body = bytes_of(body),
                         .now = TEST_NOW };
    json_t *events CLEANUP(json_free) = json_array();
    assert_int_equal(channel_parse(channel_find(kind), &w, NULL, events, NULL), ERR_NONE);
    assert_int_equal(json_array_size(events), 1);
    for (size_t i = 0; i < count; i++) {
        expect_at(json_array_get(events, 0), expected[i].path, expected[i].value);
    }
}
#define CHECK(kind, body, ...)                                                                                         \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check(kind, NULL, 0, body, expected_, ARRAY_LEN(expected_));                                                   \
    } while (0)

/* Whoever sends a genuine webhook once more can add headers that nobody signed: it stays the same event. */
static void an_id_that_was_not_signed_names_nothing(void **state)
{
    (void)state;
    static const struct webhook_header headers[] = { { "svix-id", "msg_other" },
                                                     { "webhook-id", "msg_1" },
                                                     { "webhook-timestamp", "1795420800" },
                                                     { "webhook-signature", "v1,AAAA" } };
    static const char *const kinds[] = { "standard_webhooks", "svix", "polar" };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        check(kinds[i], headers, ARRAY_LEN(headers), "{\"type\":\"x\"}", &(struct expectation){ "key", "msg_1" }, 1);
    }
}

#define ADYEN_ITEM(code, success)                                                                                      \
    "{\"notificationItems\":[{\"NotificationRequestItem\":{\"eventCode\":\"" code "\",\"pspReference\":\"P2\","        \
    "\"originalReference\":\"P1\"," success "\"amount\":{\"value\":1130,\"currency\":\"EUR\"},"                        \
    "\"additionalData\":{\"recurring.shopperReference\":\"S\"}}}]}"

static void adyen_says_what_succeeded(void **state)
{
    (void)state;
    static const char *const unclear[] = {
        ADYEN_ITEM("AUTHORISATION", ""),
        ADYEN_ITEM("AUTHORISATION", "\"success\":null,"),
        ADYEN_ITEM("AUTHORISATION", "\"success\":\"\","),
        ADYEN_ITEM("AUTHORISATION", "\"success\":\"pending\","),
        ADYEN_ITEM("AUTHORISATION", "\"success\":0,"),
    };
    for (size_t i = 0; i < ARRAY_LEN(unclear); i++) {
        CHECK("adyen", unclear[i], { "type", "webhook.adyen" }, { "provider_type", "AUTHORISATION" },
              { "contact.identities", "[\"adyen:S\"]" }, { "payment", "-" });
    }
    CHECK("adyen", ADYEN_ITEM("AUTHORISATION", "\"success\":\"FALSE\","), { "type", "payment.failed" });
    CHECK("adyen", ADYEN_ITEM("AUTHORISATION", "\"success\":false,"), { "type", "payment.failed" });
    CHECK("adyen", ADYEN_ITEM("AUTHORISATION", "\"success\":\"True\","), { "type", "payment.succeeded" });
    CHECK("adyen", ADYEN_ITEM("AUTHORISATION", "\"success\":true,"), { "type", "payment.succeeded" });
}

/* As for the other providers, a refund and a dispute have their ids beside the one of what was paid. */
static void adyen_names_refunds_and_disputes(void **state)
{
    (void)state;
    static const char *const disputes[] = { ADYEN_ITEM("CHARGEBACK", "\"success\":\"true\","),
                                            ADYEN_ITEM("NOTIFICATION_OF_CHARGEBACK", "\"success\":\"true\","),
                                            ADYEN_ITEM("SECOND_CHARGEBACK", "\"success\":\"true\",") };
    for (size_t i = 0; i < ARRAY_LEN(disputes); i++) {
        CHECK("adyen", disputes[i], { "type", "payment.disputed" }, { "payment.id", "P1" }, { "payment.dispute", "P2" },
              { "payment.refund", "-" }, { "payment.modification", "P2" });
    }
    CHECK("adyen", ADYEN_ITEM("REFUND", "\"success\":\"true\","), { "type", "payment.refunded" },
          { "payment.id", "P1" }, { "payment.refund", "P2" }, { "payment.dispute", "-" });
    CHECK("adyen", ADYEN_ITEM("CAPTURE_FAILED", "\"success\":\"true\","), { "type", "payment.failed" },
          { "payment.modification", "P2" }, { "payment.refund", "-" }, { "payment.dispute", "-" });
}

/* What is kept because it is no payment is about somebody all the same. */
static void what_is_kept_names_its_customer(void **state)
{
    (void)state;
    CHECK(
        "adyen",
        "{\"notificationItems\":[{\"NotificationRequestItem\":{\"eventCode\":\"CANCEL_OR_REFUND\",\"success\":true,"
        "\"pspReference\":\"P2\",\"additionalData\":{\"modification.action\":\"cancel\",\"shopperReference\":\"S\"}}}]}",
        { "type", "webhook.adyen" }, { "provider_type", "CANCEL_OR_REFUND" },
        { "contact.identities", "[\"adyen:S\"]" });
    CHECK("adyen", "{\"notificationItems\":[{\"x\":1}]}", { "type", "webhook.adyen" },
          { "provider_type", "notificationItems" }, { "body", "{\"x\":1}" });
    CHECK("lemonsqueezy",
          "{\"meta\":{\"event_name\":\"order_created\"},\"data\":{\"type\":\"orders\",\"id\":\"5\",\"attributes\":"
          "{\"status\":\"pending\",\"customer_id\":7,\"user_email\":\"a@b.c\"}}}",
          { "type", "webhook.lemonsqueezy" }, { "provider_type", "order_created" },
          { "contact.identities", "[\"lemonsqueezy:7\",\"email:a@b.c\"]" });
}

/* How a dispute goes on and ends is told apart by its own type, with every provider alike. */
static void only_what_begins_or_takes_money_is_a_dispute(void **state)
{
    (void)state;
#define KEPT(kind, body, type)                                                                                         \
    CHECK(kind, body, { "type", "webhook." kind }, { "provider_type", type }, { "payment", "-" })
#define ADYEN_KEPT(code) KEPT("adyen", ADYEN_ITEM(code, "\"success\":\"true\","), code)
#define STRIPE_KEPT(type)                                                                                              \
    KEPT("stripe",                                                                                                     \
         "{\"id\":\"evt_1\",\"type\":\"" type "\",\"data\":{\"object\":{\"object\":\"dispute\",\"id\":\"dp_1\"}}}",    \
         type)
#define PAYPAL_KEPT(type)                                                                                              \
    KEPT("paypal", "{\"id\":\"WH-1\",\"event_type\":\"" type "\",\"resource\":{\"dispute_id\":\"PP-1\"}}", type)
#define RAZORPAY_KEPT(type)                                                                                            \
    KEPT("razorpay", "{\"event\":\"" type "\",\"payload\":{\"dispute\":{\"entity\":{\"id\":\"disp_1\"}}}}", type)
    ADYEN_KEPT("INFORMATION_SUPPLIED");
    ADYEN_KEPT("CHARGEBACK_REVERSED");
    ADYEN_KEPT("PREARBITRATION_WON");
    ADYEN_KEPT("PREARBITRATION_LOST");
    STRIPE_KEPT("charge.dispute.updated");
    STRIPE_KEPT("charge.dispute.funds_withdrawn");
    STRIPE_KEPT("charge.dispute.funds_reinstated");
    STRIPE_KEPT("charge.dispute.closed");
    PAYPAL_KEPT("CUSTOMER.DISPUTE.UPDATED");
    PAYPAL_KEPT("CUSTOMER.DISPUTE.RESOLVED");
    RAZORPAY_KEPT("payment.dispute.action_required");
    RAZORPAY_KEPT("payment.dispute.won");
    RAZORPAY_KEPT("payment.dispute.closed");
    KEPT("square",
         "{\"event_id\":\"e\",\"type\":\"dispute.state.updated\",\"data\":{\"object\":{\"dispute\":{\"id\":\"d\"}}}}",
         "dispute.state.updated");
}

/* An envelope without anything in it is kept whole, so that the webhook is not without a trace. */
static void an_empty_envelope_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *type, *body;
    } cases[] = {
        { "whatsapp", "webhook.whatsapp", "{\"object\":\"whatsapp_business_account\",\"entry\":[]}" },
        { "whatsapp", "webhook.whatsapp",
          "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[]}]}" },
        { "messenger", "webhook.messenger", "{\"object\":\"page\",\"entry\":[]}" },
        { "messenger", "webhook.messenger", "{\"object\":\"page\",\"entry\":[{\"id\":\"1\",\"messaging\":[]}]}" },
        { "instagram", "webhook.instagram", "{\"object\":\"instagram\",\"entry\":[]}" },
        { "meta", "webhook.meta", "{\"object\":\"page\",\"entry\":[]}" },
        { "adyen", "webhook.adyen", "{\"live\":\"false\",\"notificationItems\":[]}" },
        { "gocardless", "webhook.gocardless", "{\"events\":[]}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *events CLEANUP(json_free) = events_of(cases[i].kind, NULL, cases[i].body);
        assert_int_equal(json_array_size(events), 1);
        json_t *event = json_array_get(events, 0);
        expect_at(event, "type", cases[i].type);
        expect_at(event, "provider_type", "empty");
        char *body = json_dump(json_object_get(event, "body"));
        assert_string_equal(body, cases[i].body);
        free(body);
    }
}

#define RAZORPAY(event, payload) "{\"entity\":\"event\",\"event\":\"" event "\",\"payload\":{" payload "}}"
#define ENTITY(name, content) "\"" name "\":{\"entity\":{" content "}}"

static void razorpay_names_its_customer_in_many_places(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        RAZORPAY("invoice.paid", ENTITY("payment", "\"id\":\"pay_1\",\"customer_id\":null") "," ENTITY(
                                     "invoice", "\"id\":\"inv_1\",\"customer_id\":\"cust_1\"")),
        RAZORPAY("invoice.paid", ENTITY("invoice", "\"id\":\"inv_1\",\"customer_details\":{\"id\":\"cust_1\"}")),
        RAZORPAY("payment_link.paid", ENTITY("payment", "\"id\":\"pay_1\"") "," ENTITY(
                                          "payment_link", "\"id\":\"plink_1\",\"customer_id\":\"cust_1\"")),
        RAZORPAY("payment.captured", ENTITY("payment", "\"id\":\"pay_1\"") "," ENTITY("customer", "\"id\":\"cust_1\"")),
        RAZORPAY("payment.captured", ENTITY("payment", "\"id\":\"pay_1\",\"customer_id\":\"cust_1\"") "," ENTITY(
                                         "order", "\"id\":\"order_1\",\"customer_id\":\"cust_1\"")),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        CHECK("razorpay", bodies[i], { "type", "payment.succeeded" }, { "payment.customer", "cust_1" },
              { "contact.identities", "[\"razorpay:cust_1\"]" });
    }
    CHECK("razorpay",
          RAZORPAY("order.paid", ENTITY("order", "\"id\":\"order_1\",\"customer_id\":\"cust_1\"") "," ENTITY(
                                     "payment", "\"id\":\"pay_1\"")),
          { "order.customer", "cust_1" });
    CHECK("razorpay",
          RAZORPAY("virtual_account.credited", ENTITY("virtual_account", "\"id\":\"va_1\",\"customer_id\":\"cust_1\"")),
          { "type", "webhook.razorpay" }, { "contact.identities", "[\"razorpay:cust_1\"]" });
}

/* All who gave no address would be one person. */
static void razorpays_placeholder_is_nobody(void **state)
{
    (void)state;
    CHECK("razorpay",
          RAZORPAY("payment.failed", ENTITY("payment", "\"id\":\"pay_1\",\"email\":\"void@razorpay.com\","
                                                       "\"contact\":\"+919876543210\"")),
          { "type", "payment.failed" }, { "contact.identities", "[\"phone:919876543210\"]" });
    CHECK("razorpay",
          RAZORPAY("payment_link.paid",
                   ENTITY("payment", "\"id\":\"pay_1\",\"email\":\"Void@Razorpay.com\"") "," ENTITY(
                       "payment_link", "\"id\":\"p\",\"customer\":{\"email\":\"void@razorpay.com\"}")),
          { "type", "payment.succeeded" }, { "contact", "-" });
}

static void square_orders_may_begin_complete(void **state)
{
    (void)state;
#define SQUARE_ORDER(type, object, order_state)                                                                        \
    "{\"type\":\"" type "\",\"event_id\":\"e\",\"data\":{\"object\":{\"" object                                        \
    "\":{\"order_id\":\"O1\",\"state\":\"" order_state "\",\"version\":1}}}}"
    CHECK("square", SQUARE_ORDER("order.created", "order_created", "COMPLETED"), { "type", "order.completed" },
          { "provider_type", "order.created" }, { "order.id", "O1" }, { "order.status", "completed" });
    CHECK("square", SQUARE_ORDER("order.created", "order_created", "OPEN"), { "type", "webhook.square" });
    CHECK("square", SQUARE_ORDER("order.updated", "order_updated", "COMPLETED"), { "type", "order.completed" },
          { "order.id", "O1" });
}

static void shopifys_global_ids_are_ids(void **state)
{
    (void)state;
    static const struct webhook_header topic = { "X-Shopify-Topic", "subscription_billing_attempts/failure" };
    static const struct expectation global[] = { { "type", "payment.failed" },
                                                 { "payment.subscription", "9998878778" },
                                                 { "payment.order", "7" },
                                                 { "payment.reference", "9998878778" } };
    check("shopify", &topic, 1,
          "{\"id\":1,\"admin_graphql_api_subscription_contract_id\":\"gid://shopify/SubscriptionContract/9998878778\","
          "\"subscription_contract_id\":null,\"admin_graphql_api_order_id\":\"gid://shopify/Order/7\"}",
          global, ARRAY_LEN(global));
    static const struct expectation plain[] = { { "payment.subscription", "5" }, { "payment.order", "-" } };
    check("shopify", &topic, 1,
          "{\"id\":1,\"admin_graphql_api_subscription_contract_id\":\"gid://shopify/\",\"subscription_contract_id\":5}",
          plain, ARRAY_LEN(plain));
}

/* The reference is what the failure and the refund of one payment share: not the refund's own id. */
static void paypals_refunds_refer_to_what_was_paid(void **state)
{
    (void)state;
    CHECK("paypal",
          "{\"id\":\"WH-1\",\"event_type\":\"PAYMENT.CAPTURE.REFUNDED\",\"resource\":{\"id\":\"R1\",\"amount\":"
          "{\"currency_code\":\"USD\",\"value\":\"1.00\"},\"links\":[{\"rel\":\"up\","
          "\"href\":\"https://api.paypal.com/v2/payments/captures/C1\"}]}}",
          { "type", "payment.refunded" }, { "payment.id", "C1" }, { "payment.refund", "R1" },
          { "payment.reference", "C1" });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_that_was_not_signed_names_nothing),
        cmocka_unit_test(adyen_says_what_succeeded),
        cmocka_unit_test(only_what_begins_or_takes_money_is_a_dispute),
        cmocka_unit_test(an_empty_envelope_is_kept),
        cmocka_unit_test(adyen_names_refunds_and_disputes),
        cmocka_unit_test(what_is_kept_names_its_customer),
        cmocka_unit_test(razorpay_names_its_customer_in_many_places),
        cmocka_unit_test(razorpays_placeholder_is_nobody),
        cmocka_unit_test(square_orders_may_begin_complete),
        cmocka_unit_test(shopifys_global_ids_are_ids),
        cmocka_unit_test(paypals_refunds_refer_to_what_was_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
