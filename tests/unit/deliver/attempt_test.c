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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verdict_has_its_outcome),
        cmocka_unit_test(tells_what_the_address_is_worth),
        cmocka_unit_test(a_limit_of_the_source_holds_up_all),
        cmocka_unit_test(an_accepted_send_has_an_id_and_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
