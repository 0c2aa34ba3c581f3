/* The payloads of payment providers other than Stripe, and that no wrong type in any of them does harm. */
#include "channel/channel_support.h"

struct expectation {
    const char *path, *value;
};

/* Paths that start with a digit choose the event. */
static void check(const char *kind, const char *body, const struct expectation *expected, size_t count)
{
    json_t *events = events_of(kind, NULL, body);
    for (size_t i = 0; i < count; i++) {
        expect_at(events, expected[i].path, expected[i].value);
    }
    json_decref(events);
}
#define CHECK(kind, body, ...)                                                                                         \
    do {                                                                                                               \
        const struct expectation expected_[] = { __VA_ARGS__ };                                                        \
        check(kind, body, expected_, ARRAY_LEN(expected_));                                                            \
    } while (0)

#define PADDLE                                                                                                               \
    "{\"event_id\":\"evt_1\",\"event_type\":\"transaction.payment_failed\",\"occurred_at\":\"2023-08-22T07:13:34.599095Z\"," \
    "\"data\":{\"id\":\"txn_1\",\"status\":\"past_due\",\"customer_id\":\"ctm_1\",\"subscription_id\":\"sub_1\","            \
    "\"currency_code\":\"USD\",\"custom_data\":{\"whatsapp\":\"15550100\"},\"checkout\":{\"url\":\"https://c\"},"            \
    "\"details\":{\"totals\":{\"grand_total\":\"65215\",\"currency_code\":\"USD\"}},"                                        \
    "\"payments\":[{\"status\":\"error\",\"error_code\":\"declined\",\"method_details\":{\"type\":\"card\","                 \
    "\"card\":{\"type\":\"visa\",\"last4\":\"0000\"}}},{\"status\":\"error\"},{\"status\":\"canceled\"}]}}"
#define RAZORPAY                                                                                                       \
    "{\"entity\":\"event\",\"event\":\"payment.failed\",\"payload\":{\"payment\":{\"entity\":{\"id\":\"pay_1\","       \
    "\"amount\":100,\"currency\":\"INR\",\"status\":\"failed\",\"order_id\":\"order_1\",\"invoice_id\":null,"          \
    "\"email\":\"a@b.c\",\"contact\":\"+919876543210\",\"notes\":[],\"error_code\":\"BAD_REQUEST_ERROR\","             \
    "\"error_reason\":\"payment_failed\",\"error_description\":\"Failed\"}}},\"created_at\":1567675356}"
#define ADYEN                                                                                                               \
    "{\"live\":\"false\",\"notificationItems\":[{\"NotificationRequestItem\":{\"eventCode\":\"AUTHORISATION\","             \
    "\"success\":\"false\",\"eventDate\":\"2024-01-01T01:00:00+01:00\",\"pspReference\":\"P1\",\"originalReference\":\"\"," \
    "\"merchantReference\":\"M1\",\"amount\":{\"value\":1130,\"currency\":\"EUR\"},\"reason\":\"Refused\","                 \
    "\"additionalData\":{\"shopperEmail\":\"a@b.c\",\"recurring.shopperReference\":\"S1\",\"metadata.telegram\":\"42\"}}}," \
    "{\"NotificationRequestItem\":{\"eventCode\":\"REFUND\",\"success\":true,\"eventDate\":\"2024-01-01T01:00:00+01:00\","  \
    "\"pspReference\":\"P2\",\"originalReference\":\"P1\",\"amount\":{\"value\":500,\"currency\":\"EUR\"}}},"               \
    "{\"NotificationRequestItem\":{\"eventCode\":\"REPORT_AVAILABLE\",\"success\":\"true\",\"pspReference\":\"P3\"}},7]}"
#define PAYPAL                                                                                                                \
    "{\"id\":\"WH-1\",\"event_type\":\"BILLING.SUBSCRIPTION.PAYMENT.FAILED\",\"create_time\":\"2025-11-23T07:00:00Z\","       \
    "\"resource\":{\"id\":\"I-1\",\"status\":\"ACTIVE\",\"custom_id\":\"whatsapp:15550100\","                                 \
    "\"subscriber\":{\"payer_id\":\"PAYER\",\"email_address\":\"a@b.c\",\"name\":{\"given_name\":\"Ada\",\"surname\":\"L\"}," \
    "\"phone\":{\"phone_number\":{\"country_code\":\"48\",\"national_number\":\"600100200\"}}},"                              \
    "\"billing_info\":{\"failed_payments_count\":2,\"last_failed_payment\":{\"amount\":{\"currency_code\":\"USD\","           \
    "\"value\":\"19.90\"},\"reason_code\":\"PAYMENT_DENIED\",\"next_payment_retry_time\":\"2025-11-28T07:00:00Z\"}}}}"
#define SQUARE                                                                                                                  \
    "{\"type\":\"payment.updated\",\"event_id\":\"e1\",\"created_at\":\"2025-11-23T07:00:00Z\",\"data\":{\"type\":\"payment\"," \
    "\"object\":{\"payment\":{\"id\":\"p1\",\"status\":\"FAILED\",\"order_id\":\"o1\",\"customer_id\":\"c1\","                  \
    "\"buyer_email_address\":\"a@b.c\",\"amount_money\":{\"amount\":1900,\"currency\":\"USD\"},"                                \
    "\"card_details\":{\"errors\":[{\"code\":\"CARD_DECLINED\",\"detail\":\"Declined\"}],\"card\":{\"last_4\":\"1111\"}}}}}}"
#define MOLLIE                                                                                                         \
    "{\"resource\":\"event\",\"id\":\"event_1\",\"type\":\"payment.failed\",\"entityId\":\"tr_1\","                    \
    "\"createdAt\":\"2025-11-23T07:00:00.0Z\",\"_embedded\":{\"entity\":{\"id\":\"tr_1\",\"status\":\"failed\","       \
    "\"amount\":{\"currency\":\"EUR\",\"value\":\"10.00\"},\"customerId\":\"cst_1\",\"subscriptionId\":\"sub_1\","     \
    "\"details\":{\"failureReason\":\"insufficient_funds\"},\"metadata\":{\"phone\":\"+15550100\"},"                   \
    "\"billingAddress\":{\"email\":\"a@b.c\",\"givenName\":\"Ada\",\"familyName\":\"L\"},"                             \
    "\"_links\":{\"checkout\":{\"href\":\"https://c\"}}}}}"
#define GOCARDLESS                                                                                                        \
    "{\"events\":[{\"id\":\"EV1\",\"created_at\":\"2025-11-23T07:00:00.000Z\",\"resource_type\":\"payments\",\"action\":" \
    "\"failed\",\"links\":{\"payment\":\"PM1\",\"mandate\":\"MD1\"},\"details\":{\"cause\":\"insufficient_funds\","       \
    "\"will_attempt_retry\":true},\"resource_metadata\":{\"whatsapp\":\"15550100\"}},"                                    \
    "{\"id\":\"EV2\",\"resource_type\":\"mandates\",\"action\":\"cancelled\",\"links\":{\"mandate\":\"MD1\"}},5]}"
#define LEMONSQUEEZY                                                                                                   \
    "{\"meta\":{\"event_name\":\"subscription_payment_failed\",\"custom_data\":{\"telegram\":42}},\"data\":{\"type\":" \
    "\"subscription-invoices\",\"id\":\"101\",\"attributes\":{\"subscription_id\":77,\"customer_id\":555,"             \
    "\"user_name\":\"Ada\",\"user_email\":\"a@b.c\",\"status\":\"pending\",\"currency\":\"EUR\",\"total\":999,"        \
    "\"updated_at\":\"2023-01-18T12:16:24.000000Z\"}}}"
#define SHOPIFY                                                                                                           \
    "{\"id\":820982911946154508,\"email\":\"a@b.c\",\"phone\":null,\"financial_status\":\"paid\",\"currency\":\"USD\","   \
    "\"total_price\":\"199.00\",\"name\":\"#1001\",\"customer\":{\"id\":115310627314723954,\"first_name\":\"Ada\","       \
    "\"last_name\":\"L\",\"phone\":\"+15550100\"},\"note_attributes\":[{\"name\":\"WhatsApp\",\"value\":\"+15550100\"}]," \
    "\"created_at\":\"2026-11-23T02:00:00-05:00\"}"
#define CHARGEBEE                                                                                                       \
    "{\"id\":\"ev_1\",\"occurred_at\":1763881200,\"event_type\":\"payment_failed\",\"content\":{\"transaction\":"       \
    "{\"id\":\"txn_1\",\"amount\":1999,\"currency_code\":\"USD\",\"error_code\":\"insufficient_funds\"},"               \
    "\"invoice\":{\"id\":\"42\",\"status\":\"payment_due\",\"next_retry_at\":1764140400,\"dunning_attempts\":[{},{}]}," \
    "\"customer\":{\"id\":\"c1\",\"email\":\"a@b.c\",\"phone\":\"+15550100\",\"cf_whatsapp\":\"15550100\"},"            \
    "\"subscription\":{\"id\":\"s1\"}}}"
#define POLAR                                                                                                                   \
    "{\"type\":\"subscription.past_due\",\"timestamp\":\"2025-11-23T07:00:00Z\",\"data\":{\"id\":\"s1\",\"status\":"            \
    "\"past_due\",\"amount\":1900,\"currency\":\"usd\",\"customer_id\":\"c1\",\"customer\":{\"id\":\"c1\",\"email\":\"a@b.c\"," \
    "\"external_id\":\"telegram:42\"}}}"
#define STRIPE                                                                                                                                \
    "{\"id\":\"evt_1\",\"created\":1763881200,\"type\":\"invoice.payment_failed\",\"data\":{\"object\":{\"id\":\"in_1\","                     \
    "\"object\":\"invoice\",\"amount_due\":1900,\"currency\":\"usd\",\"customer\":{\"id\":\"cus_1\",\"metadata\":{\"phone\":\"+15550100\"}}," \
    "\"parent\":{\"subscription_details\":{\"subscription\":\"sub_1\",\"metadata\":{\"a\":\"b\"}}},"                                          \
    "\"payments\":{\"data\":[{\"payment\":{\"payment_intent\":{\"id\":\"pi_1\",\"last_payment_error\":{\"code\":\"x\"}}}}]},"                 \
    "\"lines\":{\"data\":[{\"metadata\":{},\"description\":\"d\"}]},\"next_payment_attempt\":1764140400}}}"

static void the_failed_payment_of_each(void **state)
{
    (void)state;
    CHECK("paddle", PADDLE, { "0.type", "payment.failed" }, { "0.key", "evt_1" },
          { "0.contact.identities", "[\"paddle:ctm_1\",\"whatsapp:15550100\"]" }, { "0.payment.amount", "65215" },
          { "0.payment.reason", "declined" }, { "0.payment.attempt", "2" }, { "0.payment.subscription", "sub_1" },
          { "0.payment.url", "https://c" }, { "0.payment.reference", "txn_1" }, { "1", "-" });
    CHECK("razorpay", RAZORPAY, { "0.type", "payment.failed" }, { "0.payment.id", "pay_1" },
          { "0.contact.identities", "[\"email:a@b.c\",\"phone:919876543210\"]" }, { "0.payment.reference", "order_1" },
          { "0.payment.invoice", "order_1" }, { "0.payment.reason", "payment_failed" }, { "0.payment.attempt", "1" });
    CHECK("adyen", ADYEN, { "0.type", "payment.failed" },
          { "0.key", "P1:AUTHORISATION:false:2024-01-01T01:00:00+01:00" },
          { "0.occurred_at", "2024-01-01T00:00:00.000Z" }, { "0.payment.reason", "Refused" },
          { "0.payment.amount", "1130" }, { "0.payment.reference", "M1" },
          { "0.contact.identities", "[\"adyen:S1\",\"telegram:42\",\"email:a@b.c\"]" },
          { "1.type", "payment.refunded" }, { "1.payment.id", "P1" }, { "1.payment.modification", "P2" },
          { "2.type", "webhook.adyen" }, { "2.provider_type", "REPORT_AVAILABLE" },
          { "2.body.NotificationRequestItem.pspReference", "P3" }, { "3.type", "webhook.adyen" }, { "3.body", "7" });
    CHECK("adyen",
          "{\"notificationItems\":[{\"NotificationRequestItem\":{\"eventCode\":\"AUTHORISATION\",\"success\":true,"
          "\"pspReference\":\"P1\",\"amount\":{\"value\":279000,\"currency\":\"ISK\"}}},{\"NotificationRequestItem\":"
          "{\"eventCode\":\"AUTHORISATION\",\"success\":\"true\",\"pspReference\":\"P2\","
          "\"amount\":{\"value\":15000,\"currency\":\"IDR\"}}}]}",
          { "0.payment.amount", "2790" }, { "0.payment.currency", "isk" }, { "1.payment.amount", "1500000" });
    CHECK("paypal", PAYPAL, { "0.type", "payment.failed" }, { "0.payment.amount", "1990" },
          { "0.payment.attempt", "2" }, { "0.payment.reason", "payment_denied" }, { "0.payment.subscription", "I-1" },
          { "0.payment.reference", "I-1" }, { "0.payment.next_attempt", "2025-11-28T07:00:00.000Z" },
          { "0.contact.name", "Ada L" },
          { "0.contact.identities", "[\"paypal:PAYER\",\"whatsapp:15550100\",\"email:a@b.c\",\"phone:48600100200\"]" });
    CHECK("square", SQUARE, { "0.type", "payment.failed" }, { "0.provider_type", "payment.updated" },
          { "0.payment.amount", "1900" }, { "0.payment.reason", "card_declined" }, { "0.payment.reference", "o1" },
          { "0.contact.identities", "[\"square:c1\",\"email:a@b.c\"]" });
    CHECK("mollie", MOLLIE, { "0.type", "payment.failed" }, { "0.key", "event_1" }, { "0.payment.id", "tr_1" },
          { "0.payment.amount", "1000" }, { "0.payment.reason", "insufficient_funds" },
          { "0.payment.url", "https://c" },
          { "0.contact.identities", "[\"mollie:cst_1\",\"phone:15550100\",\"email:a@b.c\"]" },
          { "0.contact.name", "Ada L" });
    CHECK("mollie", "{\"id\":\"event_1\",\"type\":\"payment.failed\",\"entityId\":\"tr_1\"}",
          { "0.type", "payment.failed" }, { "0.payment.id", "tr_1" }, { "0.payment.amount", "-" });
    CHECK("gocardless", GOCARDLESS, { "0.type", "payment.failed" }, { "0.key", "EV1" }, { "0.payment.id", "PM1" },
          { "0.payment.will_retry", "true" }, { "0.contact.identities", "[\"gocardless:MD1\",\"whatsapp:15550100\"]" },
          { "1.type", "webhook.gocardless" }, { "1.provider_type", "mandates.cancelled" },
          { "1.contact.identities", "[\"gocardless:MD1\"]" }, { "2.type", "webhook.gocardless" }, { "2.body", "5" });
    CHECK("lemonsqueezy", LEMONSQUEEZY, { "0.type", "payment.failed" }, { "0.payment.invoice", "101" },
          { "0.payment.subscription", "77" }, { "0.payment.amount", "999" }, { "0.payment.currency", "eur" },
          { "0.contact.identities", "[\"lemonsqueezy:555\",\"telegram:42\",\"email:a@b.c\"]" });
    CHECK("shopify", SHOPIFY, { "0.type", "order.completed" }, { "0.order.id", "820982911946154508" },
          { "0.order.amount", "19900" }, { "0.order.reference", "#1001" }, { "0.contact.name", "Ada L" },
          { "0.contact.identities",
            "[\"shopify:115310627314723954\",\"whatsapp:15550100\",\"email:a@b.c\",\"phone:15550100\"]" });
    CHECK("chargebee", CHARGEBEE, { "0.type", "payment.failed" }, { "0.payment.invoice", "42" },
          { "0.payment.attempt", "2" }, { "0.payment.next_attempt", "2025-11-26T07:00:00.000Z" },
          { "0.contact.identities", "[\"chargebee:c1\",\"whatsapp:15550100\",\"email:a@b.c\",\"phone:15550100\"]" });
    CHECK("polar", POLAR, { "0.type", "subscription.updated" }, { "0.subscription.status", "past_due" },
          { "1.type", "payment.failed" }, { "1.payment.reference", "s1" }, { "1.payment.amount", "1900" },
          { "1.contact.identities", "[\"polar:c1\",\"telegram:42\",\"email:a@b.c\"]" });
}

static void other_things_of_each(void **state)
{
    (void)state;
    CHECK("paddle", "{\"event_id\":\"e\",\"event_type\":\"transaction.paid\",\"data\":{\"id\":\"txn_1\"}}",
          { "0.type", "payment.succeeded" }, { "0.payment.secondary", "true" });
    CHECK(
        "paddle",
        "{\"event_id\":\"e\",\"event_type\":\"adjustment.updated\",\"data\":{\"id\":\"adj_1\",\"action\":\"refund\",\"status\":"
        "\"approved\",\"transaction_id\":\"txn_1\",\"currency_code\":\"USD\",\"totals\":{\"total\":\"500\"}}}",
        { "0.type", "payment.refunded" }, { "0.payment.reference", "txn_1" }, { "0.payment.amount", "500" });
    CHECK("paddle",
          "{\"event_id\":\"e\",\"event_type\":\"customer.created\",\"data\":{\"id\":\"ctm_1\",\"email\":\"a@b.c\"}}",
          { "0.type", "webhook.paddle" }, { "0.contact.identities", "[\"paddle:ctm_1\",\"email:a@b.c\"]" });
    CHECK(
        "paypal",
        "{\"id\":\"WH-2\",\"event_type\":\"PAYMENT.SALE.COMPLETED\",\"resource\":{\"id\":\"S1\",\"state\":\"completed\","
        "\"billing_agreement_id\":\"I-1\",\"amount\":{\"total\":\"1000\",\"currency\":\"JPY\"}}}",
        { "0.type", "payment.succeeded" }, { "0.payment.reference", "I-1" }, { "0.payment.amount", "1000" });
    CHECK(
        "paypal",
        "{\"id\":\"WH-3\",\"event_type\":\"PAYMENT.CAPTURE.REFUNDED\",\"resource\":{\"id\":\"R1\",\"amount\":{\"value\":\"2.51\","
        "\"currency_code\":\"USD\"},\"links\":[{\"rel\":\"up\",\"href\":\"https://api/v2/payments/captures/C1\"}]}}",
        { "0.type", "payment.refunded" }, { "0.payment.id", "C1" }, { "0.payment.refund", "R1" },
        { "0.payment.amount", "251" });
    CHECK(
        "paypal",
        "{\"id\":\"WH-4\",\"event_type\":\"INVOICING.INVOICE.PAID\",\"resource\":{\"id\":\"INV2-8FSD\",\"number\":\"MM00063\","
        "\"status\":\"PAID\",\"billing_info\":[{\"email\":\"a@b.c\",\"first_name\":\"Ada\",\"last_name\":\"L\"}],"
        "\"total_amount\":{\"currency\":\"USD\",\"value\":\"1.00\"}}}",
        { "0.type", "payment.succeeded" }, { "0.payment.invoice", "INV2-8FSD" }, { "0.payment.number", "MM00063" },
        { "0.payment.amount", "100" }, { "0.contact", "{\"identities\":[\"email:a@b.c\"],\"name\":\"Ada L\"}" });
    CHECK(
        "square",
        "{\"type\":\"subscription.updated\",\"event_id\":\"e\",\"data\":{\"object\":{\"subscription\":{\"id\":\"s1\",\"status\":"
        "\"CANCELED\"}}}}",
        { "0.type", "subscription.canceled" }, { "0.subscription.status", "canceled" });
    CHECK(
        "square",
        "{\"type\":\"payment.created\",\"event_id\":\"e\",\"data\":{\"object\":{\"payment\":{\"status\":\"APPROVED\"}}}}",
        { "0.type", "webhook.square" });
    CHECK(
        "lemonsqueezy",
        "{\"meta\":{\"event_name\":\"order_created\"},\"data\":{\"type\":\"orders\",\"id\":\"5\",\"attributes\":{\"status\":\"paid\","
        "\"total\":100,\"currency\":\"USD\"}}}",
        { "0.type", "order.completed" }, { "0.order.amount", "100" });
    CHECK(
        "lemonsqueezy",
        "{\"meta\":{\"event_name\":\"order_created\"},\"data\":{\"type\":\"orders\",\"id\":\"5\",\"attributes\":{\"status\":\"pending\"}}}",
        { "0.type", "webhook.lemonsqueezy" });
    CHECK("adyen", "{\"type\":\"merchant.updated\",\"createdAt\":\"2025-11-23T07:00:00+00:00\"}",
          { "0.type", "webhook.adyen" }, { "0.provider_type", "merchant.updated" });
    CHECK(
        "razorpay",
        "{\"event\":\"order.paid\",\"payload\":{\"order\":{\"entity\":{\"id\":\"order_1\",\"amount\":5,\"currency\":\"INR\"}}}}",
        { "0.type", "order.completed" }, { "0.order.id", "order_1" });
    CHECK("chargebee",
          "{\"id\":\"e\",\"event_type\":\"card_expiry_reminder\",\"content\":{\"customer\":{\"id\":\"c1\"}}}",
          { "0.type", "webhook.chargebee" }, { "0.contact.identities", "[\"chargebee:c1\"]" });
    CHECK("polar",
          "{\"type\":\"order.paid\",\"data\":{\"id\":\"o1\",\"subscription_id\":\"s1\",\"total_amount\":1900}}",
          { "0.type", "payment.succeeded" }, { "0.payment.reference", "s1" }, { "0.payment.amount", "1900" });
    CHECK("standard_webhooks",
          "{\"type\":\"contact.created\",\"timestamp\":\"2022-11-03T20:26:10.344522Z\",\"data\":{}}",
          { "0.type", "webhook.standard_webhooks" }, { "0.provider_type", "contact.created" },
          { "0.occurred_at", "2022-11-03T20:26:10.344Z" });
}

static void headers_name_the_event(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *body, *name, *value, *path, *expected;
    } cases[] = {
        { "razorpay", RAZORPAY, "X-Razorpay-Event-Id", "evt_9", "0.key", "evt_9" },
        { "standard_webhooks", "{\"type\":\"x\"}", "Webhook-Id", "msg_9", "0.key", "msg_9" },
        { "svix", "{\"type\":\"x\"}", "svix-id", "msg_8", "0.key", "msg_8" },
        { "polar", POLAR, "webhook-id", "msg_7", "1.key", "msg_7:2" },
        { "shopify", SHOPIFY, "X-Shopify-Webhook-Id", "w-1", "0.key", "w-1" },
        { "shopify", "{\"id\":1}", "Shopify-Topic", "orders/create", "0.provider_type", "orders/create" },
        { "shopify",
          "{\"id\":1,\"order_id\":2,\"status\":\"failure\",\"kind\":\"sale\",\"amount\":\"5.00\",\"currency\":\"USD\"}",
          "X-Shopify-Topic", "order_transactions/create", "0.type", "payment.failed" },
        { "shopify",
          "{\"id\":7,\"order_id\":2,\"transactions\":[{\"amount\":\"5.00\",\"currency\":\"USD\",\"kind\":\"refund\"},"
          "{\"amount\":\"1.50\",\"currency\":\"USD\",\"kind\":\"refund\"}]}",
          "X-Shopify-Topic", "refunds/create", "0.payment.amount", "650" },
        { "hmac", "a=1&b=x+y%20z&a%5B%5D=%C5%BB", "Content-Type", "application/x-www-form-urlencoded; charset=utf-8",
          "0.body", "{\"a\":\"1\",\"b\":\"x y z\",\"a[]\":\"\xc5\xbb\"}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct webhook_header header = { cases[i].name, cases[i].value };
        struct webhook w = {
            .source = "s", .headers = &header, .header_count = 1, .body = bytes_of(cases[i].body), .now = TEST_NOW
        };
        json_t *events = json_array();
        assert_int_equal(channel_find(cases[i].kind)->parse(&w, NULL, events, NULL), ERR_NONE);
        expect_at(events, cases[i].path, cases[i].expected);
        json_decref(events);
    }
}

/* curl -d, and many a script, calls JSON a form: what is JSON as a whole is JSON. */
static void hmac_bodies_are_what_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *body, *expected; /* NULL: it is neither */
    } cases[] = {
        { "{\"type\":\"invoice.failed\",\"id\":7}", "{\"type\":\"invoice.failed\",\"id\":7}" },
        { " \r\n\t{ \"a\": \"x=1&y=%7B\" }\n", "{\"a\":\"x=1&y=%7B\"}" },
        { "{}", "{}" },
        { "[{\"id\":1},{\"id\":2}]", "[{\"id\":1},{\"id\":2}]" },
        { "[]", "[]" },
        /* A form's names may begin so, too. */
        { "{=1", "{\"{\":\"1\"}" },
        { "{id}=1&[]=2", "{\"{id}\":\"1\",\"[]\":\"2\"}" },
        { "[0]=a&[1]=b", "{\"[0]\":\"a\",\"[1]\":\"b\"}" },
        { "{}&a=1", "{\"{}\":\"\",\"a\":\"1\"}" },
        /* Encoded braces are a form's, and so is what would be JSON without being a document. */
        { "%7B%22a%22%3A1%7D", "{\"{\\\"a\\\":1}\":\"\"}" },
        { "17", "{\"17\":\"\"}" },
        { "true", "{\"true\":\"\"}" },
        { "\"a\"", "{\"\\\"a\\\"\":\"\"}" },
        { "payload={\"a\":1}", "{\"payload\":\"{\\\"a\\\":1}\"}" },
        { "", "{}" },
        { "{", "{\"{\":\"\"}" },
        /* JSON that is cut off or broken is not taken for a form with a strange name. */
        { "{\"type\":\"invoice.failed\",\"url\":\"https://a.example/?x=1&y", NULL },
        { "{ \"a\": 1", NULL },
        { "{\"a\":1}&b=2", NULL },
        { "{\"a\":1}{\"a\":2}", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct webhook_header header = { "content-type", "application/x-www-form-urlencoded" };
        struct webhook w = {
            .source = "s", .headers = &header, .header_count = 1, .body = bytes_of(cases[i].body), .now = TEST_NOW
        };
        json_t *events = json_array();
        struct error e = { 0 };
        err_t err = channel_find("hmac")->parse(&w, NULL, events, &e);
        if (cases[i].expected) {
            assert_int_equal(err, ERR_NONE);
            expect_at(events, "0.body", cases[i].expected);
        } else {
            assert_int_equal(err, ERR_INVALID);
            assert_non_null(strstr(e.text, "not JSON"));
            assert_int_equal(json_array_size(events), 0);
        }
        json_decref(events);
    }
}

static void hmac_settings_name_the_parts(void **state)
{
    (void)state;
    json_t *settings = json_loads("{\"type\":\"event.name\",\"id\":\"event.id\"}", 0, NULL);
    json_t *events = events_of("hmac", settings, "{\"event\":{\"name\":\"ticket.created\",\"id\":17}}");
    expect_at(events, "0.type", "webhook.hmac");
    expect_at(events, "0.provider_type", "ticket.created");
    expect_at(events, "0.key", "17");
    json_decref(events);
    json_decref(settings);
}

/* --- wrong types everywhere
 * ------------------------------------------------------------------------------------------- */

static const struct {
    const char *kind, *body;
} samples[] = {
    { "stripe", STRIPE },
    { "paddle", PADDLE },
    { "razorpay", RAZORPAY },
    { "adyen", ADYEN },
    { "paypal", PAYPAL },
    { "square", SQUARE },
    { "mollie", MOLLIE },
    { "gocardless", GOCARDLESS },
    { "shopify", SHOPIFY },
    { "polar", POLAR },
    { "lemonsqueezy", LEMONSQUEEZY },
    { "chargebee", CHARGEBEE },
    { "hmac", POLAR },
    { "standard_webhooks", POLAR },
};

/* Parses with `root`; what comes out, if it parses, must be events with a type and a key. */
static void parse_changed(const char *kind, const json_t *root)
{
    char *body = json_dumps(root, JSON_ENCODE_ANY);
    struct webhook w = { .source = "s", .body = bytes_of(body), .now = TEST_NOW };
    json_t *events = json_array();
    struct error e = { .code = ERR_NONE };
    err_t err = channel_find(kind)->parse(&w, NULL, events, &e);
    if (err != ERR_NONE && (err != ERR_INVALID || e.text[0] == '\0')) {
        fail_msg("%s: %d for %s", kind, err, body);
    }
    size_t index;
    json_t *event;
    json_array_foreach (events, index, event) {
        assert_true(json_str(event, "type") != NULL);
        assert_true(*json_str_or(event, "key", "") != '\0');
        size_t i;
        json_t *identity;
        json_array_foreach (json_at(event, "contact.identities"), i, identity) {
            assert_true(json_is_string(identity));
        }
    }
    json_decref(events);
    free(body);
}

/* Ids longer than any provider's: the keys of two of them differ, however they are shortened. In the body, and in the
 * headers that name the event. */
static void long_ids_stay_apart(void **state)
{
    (void)state;
    static const char *const in_body[] = { "stripe", "paddle", "paypal", "square", "mollie", "chargebee", "hmac" };
    static const char *const in_header[] = { "razorpay", "shopify", "polar", "standard_webhooks", "hmac" };
    static const char *const names[] = { "x-razorpay-event-id", "X-Shopify-Webhook-Id", "webhook-id", "webhook-id",
                                         "webhook-id" };
    json_t *settings = json_pack("{s:s, s:s}", "id", "id", "id_header", "webhook-id");
    char id[2][9001];
    for (size_t i = 0; i < 2; i++) {
        memset(id[i], 'x', sizeof(id[i]) - 1);
        id[i][sizeof(id[i]) - 2] = i == 0 ? 'a' : 'b';
        id[i][sizeof(id[i]) - 1] = '\0';
    }
    for (size_t k = 0; k < ARRAY_LEN(in_body) + ARRAY_LEN(in_header); k++) {
        bool is_header = k >= ARRAY_LEN(in_body);
        const char *kind = is_header ? in_header[k - ARRAY_LEN(in_body)] : in_body[k];
        json_t *keys[2];
        for (size_t i = 0; i < 2; i++) {
            const char *body_id = is_header ? "same" : id[i];
            json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{}}", "id", body_id, "event_id", body_id,
                                     "event_type", "t", "type", "t", "event", "t", "data");
            char *body = json_dumps(root, 0);
            struct webhook_header header = { is_header ? names[k - ARRAY_LEN(in_body)] : "X-Other", id[i] };
            struct webhook w = {
                .source = "s", .body = bytes_of(body), .now = TEST_NOW, .headers = &header, .header_count = 1
            };
            keys[i] = json_array();
            assert_int_equal(channel_find(kind)->parse(&w, settings, keys[i], NULL), ERR_NONE);
            free(body);
            json_decref(root);
        }
        const char *first = json_str_or(json_array_get(keys[0], 0), "key", "");
        const char *second = json_str_or(json_array_get(keys[1], 0), "key", "");
        if (*first == '\0' || strcmp(first, second) == 0) {
            fail_msg("%s: the keys are '%s' and '%s'", kind, first, second);
        }
        json_decref(keys[0]);
        json_decref(keys[1]);
    }
    json_decref(settings);
}

/* What a provider sends once more, because nobody answered, is the same event, whatever else is in it. */
static void another_try_is_the_same_event(void **state)
{
    (void)state;
    static const char *const kinds[] = { "stripe", "paddle", "paypal", "square", "mollie", "chargebee" };
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        for (int i = 0; i < 2; i++) {
            char body[200];
            snprintf(
                body, sizeof(body),
                "{\"id\":\"e-1\",\"event_id\":\"e-1\",\"event_type\":\"t\",\"type\":\"t\",\"data\":{},\"tries\":%d}",
                i);
            json_t *events = events_of(kinds[k], NULL, body);
            expect_at(events, "0.key", "e-1");
            json_decref(events);
        }
    }
}

/* Replaces each value below `node`, one at a time, by values of every type. */
static void change_each(const char *kind, const json_t *root, json_t *node)
{
    static const char *const replacements[] = { "null",  "true", "0",      "-1",     "9223372036854775807",
                                                "1e300", "0.5",  "\"\"",   "\"x\"",  "\"\\u0001\xf0\x9f\x98\x80\"",
                                                "[]",    "{}",   "[null]", "[[{}]]", "{\"id\":{},\"data\":[{}]}" };
    for (size_t r = 0; r < ARRAY_LEN(replacements); r++) {
        json_t *replacement = json_loads(replacements[r], JSON_DECODE_ANY, NULL);
        const char *key;
        void *next;
        json_t *value;
        json_object_foreach_safe (node, next, key, value) {
            json_t *before = json_incref(value);
            json_object_set(node, key, replacement);
            parse_changed(kind, root);
            json_object_set_new(node, key, before);
        }
        for (size_t i = 0; i < json_array_size(node); i++) {
            json_t *before = json_incref(json_array_get(node, i));
            json_array_set(node, i, replacement);
            parse_changed(kind, root);
            json_array_set_new(node, i, before);
        }
        json_decref(replacement);
    }
    const char *key;
    json_t *value;
    json_object_foreach (node, key, value) {
        change_each(kind, root, value);
    }
    size_t index;
    json_array_foreach (node, index, value) {
        change_each(kind, root, value);
    }
}

static void no_wrong_type_does_harm(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        json_t *root = json_loads(samples[i].body, 0, NULL);
        assert_non_null(root);
        change_each(samples[i].kind, root, root);
        json_decref(root);
    }
}

static void what_is_no_payload_is_refused(void **state)
{
    (void)state;
    static const char *const bodies[] = { "", "{", "x=1", "null", "[]", "5", "\"x\"" };
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        for (size_t k = 0; k < ARRAY_LEN(bodies); k++) {
            struct webhook w = { .source = "s", .body = bytes_of(bodies[k]), .now = TEST_NOW };
            json_t *events = json_array();
            err_t err = channel_find(samples[i].kind)->parse(&w, NULL, events, NULL);
            bool generic = strcmp(samples[i].kind, "hmac") == 0 || strcmp(samples[i].kind, "standard_webhooks") == 0;
            assert_true(err == ERR_INVALID || (generic && k > 2));
            json_decref(events);
        }
    }
}

static int start(void **state)
{
    (void)state;
    crypto_start();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_failed_payment_of_each),    cmocka_unit_test(other_things_of_each),
        cmocka_unit_test(headers_name_the_event),        cmocka_unit_test(hmac_settings_name_the_parts),
        cmocka_unit_test(hmac_bodies_are_what_they_are), cmocka_unit_test(no_wrong_type_does_harm),
        cmocka_unit_test(what_is_no_payload_is_refused), cmocka_unit_test(long_ids_stay_apart),
        cmocka_unit_test(another_try_is_the_same_event),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
