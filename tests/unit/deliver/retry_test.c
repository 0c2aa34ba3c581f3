#include "deliver/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs those above */

#include "base/macros.h"

#define SECOND_MS ((msec_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

static msec_t total(enum retry_schedule schedule, uint32_t random)
{
    msec_t sum = 0;
    msec_t delay;
    for (unsigned attempts = 1; (delay = retry_delay(schedule, attempts, -1, random)) >= 0; attempts++) {
        sum += delay;
    }
    return sum;
}

static void expect_schedule(enum retry_schedule schedule, const msec_t *delays, size_t count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(retry_delay(schedule, i + 1, -1, 0), delays[i]);
    }
    assert_int_equal(retry_delay(schedule, (unsigned)count + 1, -1, 0), -1);
    assert_int_equal(retry_delay(schedule, 0, -1, 0), delays[0]);
}

static void follows_the_schedule_of_messages(void **state)
{
    (void)state;
    static const msec_t delays[] = { 5 * SECOND_MS,  30 * SECOND_MS, 2 * MINUTE_MS, 10 * MINUTE_MS,
                                     30 * MINUTE_MS, HOUR_MS,        2 * HOUR_MS,   4 * HOUR_MS,
                                     4 * HOUR_MS,    6 * HOUR_MS,    6 * HOUR_MS };
    expect_schedule(RETRY_MESSAGE, delays, ARRAY_LEN(delays));
    assert_in_range(total(RETRY_MESSAGE, 0), 20 * HOUR_MS, 28 * HOUR_MS);
}

static void follows_the_standard_schedule_of_webhooks(void **state)
{
    (void)state;
    static const msec_t delays[] = { 5 * SECOND_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 2 * HOUR_MS, 5 * HOUR_MS,
                                     10 * HOUR_MS,  14 * HOUR_MS,  20 * HOUR_MS,   24 * HOUR_MS };
    expect_schedule(RETRY_WEBHOOK, delays, ARRAY_LEN(delays));
    /* 75 h 35 min 5 s in all, by the specification. */
    assert_int_equal(total(RETRY_WEBHOOK, 0), 75 * HOUR_MS + 35 * MINUTE_MS + 5 * SECOND_MS);
}

static void asks_seldom_whether_a_channel_is_back(void **state)
{
    (void)state;
    static const msec_t delays[] = { 5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS,      2 * HOUR_MS,  4 * HOUR_MS,
                                     8 * HOUR_MS,   12 * HOUR_MS,   12 * HOUR_MS, 12 * HOUR_MS, 24 * HOUR_MS };
    expect_schedule(RETRY_CHANNEL_DOWN, delays, ARRAY_LEN(delays));
    assert_in_range(total(RETRY_CHANNEL_DOWN, 0), 3 * 24 * HOUR_MS, 4 * 24 * HOUR_MS);
}

static void jitter_only_adds_and_is_bounded(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 5000; random += 37) {
        assert_in_range(retry_delay(RETRY_WEBHOOK, 2, -1, random), 300000, 450000);
    }
    assert_in_range(retry_delay(RETRY_WEBHOOK, 2, -1, 1023), 449000, 450000);
    assert_true(retry_delay(RETRY_MESSAGE, 3, -1, 1) != retry_delay(RETRY_MESSAGE, 3, -1, 900));
}

static void never_undercuts_what_the_other_side_asked_for(void **state)
{
    (void)state;
    assert_int_equal(retry_delay(RETRY_MESSAGE, 1, 60000, 0), 60000);
    /* It asked all of us: we do not come at the same time. */
    assert_in_range(retry_delay(RETRY_MESSAGE, 1, 60000, 1023), 62000, 62500);
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
        cmocka_unit_test(asks_seldom_whether_a_channel_is_back),
        cmocka_unit_test(jitter_only_adds_and_is_bounded),
        cmocka_unit_test(never_undercuts_what_the_other_side_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
