#include "deliver/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs those above */

#define HOUR_MS ((msec_t)3600 * 1000)

static msec_t total(enum retry_schedule schedule, uint32_t random)
{
    msec_t sum = 0;
    msec_t delay;
    for (unsigned attempts = 1; (delay = retry_delay(schedule, attempts, -1, random)) >= 0; attempts++) {
        sum += delay;
    }
    return sum;
}

static void follows_the_schedule_of_messages(void **state)
{
    (void)state;
    const msec_t first[] = { 5000, 30000, 120000, 600000, 1800000, HOUR_MS, 2 * HOUR_MS, 4 * HOUR_MS };
    for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        assert_int_equal(retry_delay(RETRY_MESSAGE, i + 1, -1, 0), first[i]);
    }
    assert_in_range(total(RETRY_MESSAGE, 0), 20 * HOUR_MS, 28 * HOUR_MS);
    assert_int_equal(retry_delay(RETRY_MESSAGE, 12, -1, 0), -1);
}

static void follows_the_standard_schedule_of_webhooks(void **state)
{
    (void)state;
    assert_int_equal(retry_delay(RETRY_WEBHOOK, 1, -1, 0), 5000);
    assert_int_equal(retry_delay(RETRY_WEBHOOK, 2, -1, 0), 300000);
    /* 75 h 35 min 5 s in all, by the specification. */
    assert_int_equal(total(RETRY_WEBHOOK, 0), 75 * HOUR_MS + 35 * 60000 + 5000);
}

static void jitter_only_adds_and_is_bounded(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 5000; random += 37) {
        assert_in_range(retry_delay(RETRY_WEBHOOK, 2, -1, random), 300000, 450000);
    }
    assert_true(retry_delay(RETRY_MESSAGE, 3, -1, 1) != retry_delay(RETRY_MESSAGE, 3, -1, 900));
}

static void never_undercuts_what_the_other_side_asked_for(void **state)
{
    (void)state;
    assert_int_equal(retry_delay(RETRY_MESSAGE, 1, 60000, 0), 60000);
    assert_true(retry_delay(RETRY_MESSAGE, 1, 60000, 1023) >= 60000);
    assert_int_equal(retry_delay(RETRY_MESSAGE, 1, 10, 0), 5000);
    /* Nor is it a way to make us wait for ever. */
    assert_int_equal(retry_delay(RETRY_MESSAGE, 1, 1000 * HOUR_MS, 0), 24 * HOUR_MS);
    assert_int_equal(retry_delay(RETRY_MESSAGE, 99, 60000, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_schedule_of_messages),
        cmocka_unit_test(follows_the_standard_schedule_of_webhooks),
        cmocka_unit_test(jitter_only_adds_and_is_bounded),
        cmocka_unit_test(never_undercuts_what_the_other_side_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
