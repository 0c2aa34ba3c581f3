/* Which word of a provider is which event, and which of them only says again what another one says: rules that write to
 * people, and whoever counts payments, go by the first alone. */
#include "channel/channel_support.h"

struct word {
    const char *said; /* where the template has @ */
    const char *type;
    bool again;
};

static void check(const char *kind, const char *template, const struct word *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char body[600];
        const char *place = strchr(template, '@');
        assert_non_null(place);
        snprintf(body, sizeof(body), "%.*s%s%s", (int)(place - template), template, words[i].said, place + 1);
        json_t *events = events_of(kind, NULL, body);
        const json_t *event = json_array_get(events, 0);
        if (strcmp(json_str_or(event, "type", ""), words[i].type) != 0 ||
            json_bool(json_object_at(event, "payment"), "secondary", false) != words[i].again) {
            fail_msg("%s: %s is %s", kind, words[i].said, json_str_or(event, "type", "nothing"));
        }
        assert_int_equal(json_array_size(events), 1);
        json_decref(events);
    }
}
#define CHECK(kind, template, ...)                                                                                     \
    do {                                                                                                               \
        static const struct word words_[] = { __VA_ARGS__ };                                                           \
        check(kind, template, words_, ARRAY_LEN(words_));                                                              \
    } while (0)

static void one_word_of_several_is_the_payment(void **state)
{
    (void)state;
    CHECK("paddle", "{\"event_id\":\"e\",\"event_type\":\"@\",\"data\":{\"id\":\"txn_1\"}}",
          { "transaction.payment_failed", "payment.failed", false }, { "transaction.past_due", "payment.failed", true },
          { "transaction.completed", "payment.succeeded", false }, { "transaction.paid", "payment.succeeded", true },
          { "transaction.updated", "webhook.paddle", false });
    CHECK(
        "razorpay",
        "{\"event\":\"@\",\"payload\":{\"payment\":{\"entity\":{\"id\":\"p\"}},\"invoice\":{\"entity\":{\"id\":\"i\"}},"
        "\"refund\":{\"entity\":{\"id\":\"r\",\"payment_id\":\"p\"}},\"dispute\":{\"entity\":{\"id\":\"d\"}},"
        "\"order\":{\"entity\":{\"id\":\"o\"}},\"subscription\":{\"entity\":{\"id\":\"s\"}}}}",
        { "payment.failed", "payment.failed", false }, { "payment.captured", "payment.succeeded", false },
        { "invoice.paid", "payment.succeeded", true }, { "subscription.charged", "payment.succeeded", true },
        { "payment_link.paid", "payment.succeeded", true }, { "refund.processed", "payment.refunded", false },
        { "payment.dispute.created", "payment.disputed", false }, { "order.paid", "order.completed", false },
        { "payment.authorized", "webhook.razorpay", false });
    CHECK("gocardless", "{\"events\":[{\"id\":\"e\",\"resource_type\":\"@\",\"links\":{\"payment\":\"PM1\"}}]}",
          { "payments\",\"action\":\"failed", "payment.failed", false },
          { "payments\",\"action\":\"late_failure_settled", "payment.failed", true },
          { "payments\",\"action\":\"confirmed", "payment.succeeded", false },
          { "payments\",\"action\":\"paid_out", "payment.succeeded", true },
          { "payments\",\"action\":\"charged_back", "payment.disputed", false },
          { "refunds\",\"action\":\"paid", "payment.refunded", false },
          { "payments\",\"action\":\"submitted", "webhook.gocardless", false });
    CHECK(
        "lemonsqueezy",
        "{\"meta\":{\"event_name\":\"@\"},\"data\":{\"type\":\"x\",\"id\":\"1\",\"attributes\":{\"total\":1,\"currency\":\"EUR\"}}}",
        { "subscription_payment_failed", "payment.failed", false },
        { "subscription_payment_success", "payment.succeeded", false },
        { "subscription_payment_recovered", "payment.succeeded", true },
        { "subscription_payment_refunded", "payment.refunded", false }, { "order_refunded", "payment.refunded", false },
        { "order_created", "order.completed", false }, { "license_key_created", "webhook.lemonsqueezy", false });
    CHECK("mollie", "{\"id\":\"event_1\",\"type\":\"@\",\"entityId\":\"tr_1\"}",
          { "payment.failed", "payment.failed", false }, { "payment.expired", "payment.failed", false },
          { "payment.paid", "payment.succeeded", false }, { "payment.refunded", "payment.refunded", false },
          { "chargeback.received", "payment.disputed", false }, { "payment.created", "webhook.mollie", false });
    CHECK("chargebee",
          "{\"id\":\"e\",\"event_type\":\"@\",\"content\":{\"transaction\":{\"id\":\"t\"},\"invoice\":{\"id\":\"i\"},"
          "\"customer\":{\"id\":\"c\"},\"subscription\":{\"id\":\"s\"}}}",
          { "payment_failed", "payment.failed", false }, { "payment_succeeded", "payment.succeeded", false },
          { "payment_refunded", "payment.refunded", false }, { "invoice_generated", "webhook.chargebee", false });
}

/* What Square calls updated is what the state of the object says. */
static void squares_states_are_what_happened(void **state)
{
    (void)state;
#define OF(type, object, state) type "\",\"data\":{\"object\":{\"" object "\":{\"id\":\"i\"," state "}}},\"x\":\""
#define IN(status) "\"status\":\"" status "\""
    CHECK("square", "{\"event_id\":\"e\",\"type\":\"@\"}",
          { OF("payment.created", "payment", IN("COMPLETED")), "payment.succeeded", false },
          { OF("payment.updated", "payment", IN("COMPLETED")), "payment.succeeded", false },
          { OF("payment.created", "payment", IN("FAILED")), "payment.failed", false },
          { OF("payment.updated", "payment", IN("FAILED")), "payment.failed", false },
          { OF("payment.updated", "payment", IN("APPROVED")), "webhook.square", false },
          { OF("payment.updated", "payment", IN("CANCELED")), "webhook.square", false },
          { OF("invoice.scheduled_charge_failed", "invoice", IN("UNPAID")), "payment.failed", false },
          { OF("invoice.payment_made", "invoice", IN("PAID")), "payment.succeeded", true },
          { OF("invoice.refunded", "invoice", IN("REFUNDED")), "payment.refunded", true },
          { OF("refund.created", "refund", IN("COMPLETED")), "payment.refunded", false },
          { OF("refund.updated", "refund", IN("COMPLETED")), "payment.refunded", false },
          { OF("refund.updated", "refund", IN("REJECTED")), "webhook.square", false },
          { OF("dispute.created", "dispute", "\"state\":\"INQUIRY_EVIDENCE_REQUIRED\""), "payment.disputed", false },
          { OF("order.updated", "order_updated", "\"state\":\"COMPLETED\""), "order.completed", false });
#undef OF
#undef IN
}

static void what_becomes_of_a_subscription_is_no_payment(void **state)
{
    (void)state;
    CHECK("paddle", "{\"event_id\":\"e\",\"event_type\":\"@\",\"data\":{\"id\":\"sub_1\"}}",
          { "subscription.created", "subscription.created", false },
          { "subscription.past_due", "subscription.updated", false },
          { "subscription.paused", "subscription.updated", false },
          { "subscription.canceled", "subscription.canceled", false });
    CHECK("razorpay", "{\"event\":\"@\",\"payload\":{\"subscription\":{\"entity\":{\"id\":\"s\"}}}}",
          { "subscription.authenticated", "subscription.created", false },
          { "subscription.halted", "subscription.updated", false },
          { "subscription.paused", "subscription.updated", false },
          { "subscription.activated", "subscription.updated", false },
          { "subscription.pending", "subscription.updated", false },
          { "subscription.resumed", "subscription.updated", false },
          { "subscription.updated", "subscription.updated", false },
          { "subscription.cancelled", "subscription.canceled", false },
          { "subscription.completed", "subscription.canceled", false });
    CHECK(
        "gocardless",
        "{\"events\":[{\"id\":\"e\",\"resource_type\":\"subscriptions\",\"action\":\"@\",\"links\":{\"subscription\":\"SB1\"}}]}",
        { "created", "subscription.created", false }, { "paused", "subscription.updated", false },
        { "amended", "subscription.updated", false }, { "resumed", "subscription.updated", false },
        { "cancelled", "subscription.canceled", false }, { "finished", "subscription.canceled", false });
    CHECK("lemonsqueezy",
          "{\"meta\":{\"event_name\":\"@\"},\"data\":{\"type\":\"subscriptions\",\"id\":\"1\",\"attributes\":{}}}",
          { "subscription_created", "subscription.created", false },
          { "subscription_paused", "subscription.updated", false },
          { "subscription_unpaused", "subscription.updated", false },
          { "subscription_cancelled", "subscription.canceled", false },
          { "subscription_expired", "subscription.canceled", false });
    CHECK("mollie", "{\"id\":\"event_1\",\"type\":\"@\",\"entityId\":\"sub_1\"}",
          { "subscription.created", "subscription.created", false },
          { "subscription.suspended", "subscription.updated", false },
          { "subscription.canceled", "subscription.canceled", false },
          { "subscription.completed", "subscription.canceled", false });
    CHECK("chargebee", "{\"id\":\"e\",\"event_type\":\"@\",\"content\":{\"subscription\":{\"id\":\"s\"}}}",
          { "subscription_created", "subscription.created", false },
          { "subscription_paused", "subscription.updated", false },
          { "subscription_cancellation_scheduled", "subscription.updated", false },
          { "subscription_cancelled", "subscription.canceled", false },
          { "subscription_deleted", "subscription.canceled", false });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_word_of_several_is_the_payment),
        cmocka_unit_test(squares_states_are_what_happened),
        cmocka_unit_test(what_becomes_of_a_subscription_is_no_payment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
