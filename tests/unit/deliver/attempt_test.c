#include "deliver/attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

#include "channel/channel.h"

#define NOW ((msec_t)1795420800000)

static json_t *conclude(enum send_verdict verdict, bool is_webhook, unsigned attempts, msec_t retry_after_ms)
{
    struct send_result result = { .verdict = verdict, .retry_after_ms = retry_after_ms };
    strcpy(result.provider_message_id, "wamid.1");
    strcpy(result.code, "131047");
    strcpy(result.reason, "because");
    json_t *outcome = json_object();
    attempt_conclude(&result, is_webhook, attempts, NOW, 0, outcome);
    return outcome;
}

static void expect(json_t *outcome, const char *name, msec_t due_in_ms)
{
    assert_string_equal(json_str(outcome, "outcome"), name);
    assert_int_equal(json_time(outcome, "due_at", NOW - 1) - NOW, due_in_ms);
    json_decref(outcome);
}

static void every_verdict_has_its_outcome(void **state)
{
    (void)state;
    expect(conclude(SEND_ACCEPTED, false, 1, -1), "sent", -1);
    expect(conclude(SEND_RETRY, false, 1, -1), "retry", 5000);
    expect(conclude(SEND_RETRY, false, 2, 90000), "retry", 90000);
    expect(conclude(SEND_RETRY, true, 2, -1), "retry", 300000);
    expect(conclude(SEND_RETRY, false, 50, -1), "parked", -1);
    expect(conclude(SEND_REFUSED, false, 1, -1), "failed", -1);
    expect(conclude(SEND_UNREACHABLE, false, 1, -1), "failed", -1);
    expect(conclude(SEND_OPTED_OUT, false, 1, -1), "failed", -1);
    expect(conclude(SEND_CHANNEL_DOWN, false, 1, -1), "retry", 300000);
    /* Promise 5: never again by a guess. */
    expect(conclude(SEND_UNKNOWN, false, 1, -1), "unknown", -1);
}

static void tells_what_the_address_is_worth(void **state)
{
    (void)state;
    json_t *outcome = conclude(SEND_UNREACHABLE, false, 1, -1);
    assert_true(json_bool(outcome, "unreachable", false));
    json_decref(outcome);
    outcome = conclude(SEND_OPTED_OUT, false, 1, -1);
    assert_true(json_bool(outcome, "opted_out", false));
    json_decref(outcome);
    outcome = conclude(SEND_CHANNEL_DOWN, false, 1, -1);
    assert_true(json_int(outcome, "pause_source_ms", 0) > 0);
    json_decref(outcome);
}

/* When a limit is not this message's alone, the others wait instead of being refused one by one. */
static void a_limit_of_the_source_holds_up_all(void **state)
{
    (void)state;
    struct send_result result = { .verdict = SEND_RETRY, .retry_after_ms = 5000, .pause_ms = 1000 };
    json_t *outcome = json_object();
    attempt_conclude(&result, false, 1, NOW, 0, outcome);
    assert_int_equal(json_int(outcome, "pause_source_ms", 0), 1000);
    expect(outcome, "retry", 5000);
    outcome = conclude(SEND_RETRY, false, 1, 5000);
    assert_int_equal(json_int(outcome, "pause_source_ms", 0), 0);
    json_decref(outcome);
}

static void an_accepted_send_has_an_id_and_no_error(void **state)
{
    (void)state;
    json_t *outcome = conclude(SEND_ACCEPTED, false, 1, -1);
    assert_string_equal(json_str(outcome, "provider_message_id"), "wamid.1");
    assert_null(json_str(outcome, "error_code"));
    json_decref(outcome);
}

/* Whatever it is, but taken: people are told what the other side said. */
static void every_other_ending_says_why(void **state)
{
    (void)state;
    static const enum send_verdict verdicts[] = { SEND_RETRY,       SEND_REFUSED,   SEND_CHANNEL_DOWN,
                                                  SEND_UNREACHABLE, SEND_OPTED_OUT, SEND_UNKNOWN };
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        json_t *outcome = conclude(verdicts[i], false, 1, -1);
        assert_string_equal(json_str(outcome, "error_code"), "131047");
        assert_string_equal(json_str(outcome, "reason"), "because");
        assert_null(json_str(outcome, "provider_message_id"));
        assert_null(json_str(outcome, "new_recipient"));
        json_decref(outcome);
    }
    const struct send_result moved = { .verdict = SEND_RETRY, .new_address = "-100777" };
    json_t *outcome = json_object();
    attempt_conclude(&moved, false, 1, NOW, 0, outcome);
    assert_string_equal(json_str(outcome, "new_recipient"), "-100777");
    assert_null(json_object_get(outcome, "error_code"));
    assert_null(json_object_get(outcome, "reason"));
    json_decref(outcome);
}

/* What ends before anything has left, with its outcome. */
static json_t *unsent(const char *delivery_text, struct attempt_context *context,
                      void (*begin)(struct attempt_context *context, json_t *delivery))
{
    json_t *delivery = NULL;
    assert_int_equal(json_parse(bytes_of(delivery_text), &delivery, NULL), ERR_NONE);
    context->outcomes = json_array();
    begin(context, delivery);
    assert_int_equal(json_array_size(context->outcomes), 1);
    assert_int_equal(attempt_count_to(context, "whatsapp"), 0);
    json_t *outcome = json_incref(json_array_get(context->outcomes, 0));
    json_decref(context->outcomes);
    assert_null(json_object_get(outcome, "duration_ms"));
    return outcome;
}

static void expect_unsent(json_t *outcome, const char *name, const char *code)
{
    assert_string_equal(json_str(outcome, "outcome"), name);
    assert_string_equal(json_str_or(outcome, "error_code", ""), code);
    assert_int_equal(json_int(outcome, "id", 0), 7);
    assert_int_equal(json_int(outcome, "number", 0), 3);
    assert_string_equal(json_str(outcome, "created_at"), "2026-11-23T08:00:00Z");
    assert_true(json_time(outcome, "started_at", 0) > 0);
    json_decref(outcome);
}

#define DELIVERY "\"id\":7,\"attempts\":2,\"created_at\":\"2026-11-23T08:00:00Z\""

static void what_cannot_leave_says_why(void **state)
{
    (void)state;
    json_t *settings = json_object();
    struct source_config sources[] = {
        { .name = (char[]){ "whatsapp" }, .kind = (char[]){ "whatsapp" }, .settings = settings },
        { .name = (char[]){ "stripe" }, .kind = (char[]){ "stripe" }, .settings = settings },
    };
    struct config config = { .sources = sources, .source_count = 2 };
    struct attempt_context context = { .config = &config };
    expect_unsent(unsent("{" DELIVERY ",\"kind\":\"message\",\"source\":\"gone\"}", &context, attempt_start), "parked",
                  "no_source");
    expect_unsent(unsent("{" DELIVERY ",\"kind\":\"message\",\"source\":\"stripe\"}", &context, attempt_start),
                  "parked", "no_source");
    expect_unsent(unsent("{" DELIVERY ",\"kind\":\"webhook\",\"endpoint\":\"gone\"}", &context, attempt_start),
                  "parked", "no_endpoint");
    expect_unsent(unsent("{" DELIVERY
                         ",\"kind\":\"message\",\"source\":\"whatsapp\",\"request\":{\"free\":{\"text\":\"a\"}}}",
                         &context, attempt_start),
                  "blocked", "window_closed");
    expect_unsent(unsent("{" DELIVERY ",\"kind\":\"message\",\"source\":\"whatsapp\",\"request\":{\"approved\":{}}}",
                         &context, attempt_start),
                  "failed", "render");
    expect_unsent(unsent("{" DELIVERY ",\"kind\":\"message\",\"source\":\"whatsapp\"}", &context, attempt_hand_back),
                  "postponed", "");
    json_decref(settings);
}

/* Another process may have read rules or a configuration that this one has not read yet. */
static void a_target_that_is_not_known_yet_is_waited_for(void **state)
{
    (void)state;
    static const char *const targets[] = { "'kind':'message','source':'coming'",
                                           "'kind':'webhook','endpoint':'coming'" };
    static const struct {
        msec_t age, wait;
    } waits[] = { { 0, 1000 }, { 3000, 1000 }, { 60000, 15000 }, { 9 * 60000, 135000 } };
    struct config config = { .source_count = 0 };
    struct attempt_context context = { .config = &config };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]) * (sizeof(waits) / sizeof(waits[0])); i++) {
        const msec_t age = waits[i / 2].age, wait = waits[i / 2].wait, created = clock_shared() - age;
        json_t *times = json_object();
        json_put_time(times, "created_at", created);
        char text[256];
        snprintf(text, sizeof(text), "{'id':7,'attempts':2,'created_at':'%s',%s}", json_str(times, "created_at"),
                 targets[i % 2]);
        for (char *quote = text; (quote = strchr(quote, '\'')) != NULL;)
            *quote = '"';
        json_t *outcome = unsent(text, &context, attempt_start);
        assert_string_equal(json_str(outcome, "outcome"), "postponed");
        assert_string_equal(json_str(outcome, "error_code"), i % 2 == 0 ? "no_source" : "no_endpoint");
        msec_t due_in = json_time(outcome, "due_at", 0) - created - age;
        assert_in_range(due_in, wait, wait + 30000);
        json_decref(outcome);
        json_decref(times);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verdict_has_its_outcome),
        cmocka_unit_test(tells_what_the_address_is_worth),
        cmocka_unit_test(a_limit_of_the_source_holds_up_all),
        cmocka_unit_test(an_accepted_send_has_an_id_and_no_error),
        cmocka_unit_test(every_other_ending_says_why),
        cmocka_unit_test(what_cannot_leave_says_why),
        cmocka_unit_test(a_target_that_is_not_known_yet_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
