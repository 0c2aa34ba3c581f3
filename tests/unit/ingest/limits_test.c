/* How much of a source and of an address is listened to. */
#include "ingest/rate_limit.h"
#include "ingest/refusals.h"

#include "support.h"

#include <stdio.h>

#include "base/macros.h"

#define SECOND_US ((int64_t)1000000)

static void bursts_and_the_rate_after_them(void **state)
{
    (void)state;
    struct rate_limit limit;
    int64_t now = 50 * SECOND_US;
    rate_limit_init(&limit, 10, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rate_limit_take(&limit, now), 0);
    assert_int_equal(rate_limit_take(&limit, now), 100);
    assert_int_equal(rate_limit_take(&limit, now + 50000), 50);
    assert_int_equal(rate_limit_take(&limit, now + 100000), 0);
    assert_in_range(rate_limit_take(&limit, now + 100000), 1, 100);

    /* In the long run as many as the rate says, however often somebody asks. */
    int taken = 0;
    now += 10 * SECOND_US;
    for (int ms = 0; ms < 10000; ms++)
        taken += rate_limit_take(&limit, now + ms * 1000) == 0;
    assert_in_range(taken, 100, 105);
}

static void odd_limits(void **state)
{
    (void)state;
    struct rate_limit limit;
    rate_limit_init(&limit, 0, 0);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rate_limit_take(&limit, 1), 0);
    rate_limit_init(&limit, -3, 5);
    assert_int_equal(rate_limit_take(&limit, 1), 0);
    rate_limit_init(&limit, 0.5, 0); /* a burst of less than one would let nothing pass */
    assert_int_equal(rate_limit_take(&limit, SECOND_US), 0);
    assert_int_equal(rate_limit_take(&limit, SECOND_US), 2000);
    rate_limit_init(&limit, 1e12, 1e300);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(rate_limit_take(&limit, SECOND_US), 0);
    rate_limit_init(&limit, 1e-300, 1);
    assert_int_equal(rate_limit_take(&limit, SECOND_US), 0);
    assert_true(rate_limit_take(&limit, SECOND_US) > 0);
}

static void addresses_that_fail_too_often(void **state)
{
    (void)state;
    struct refusals *refusals = refusals_new(3);
    msec_t now = 100000;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(refusals_wait(refusals, "192.0.2.1", now), 0);
        refusals_add(refusals, "192.0.2.1", now + i);
    }
    assert_int_equal(refusals_wait(refusals, "192.0.2.1", now + 1000), 59000);
    assert_int_equal(refusals_wait(refusals, "192.0.2.2", now + 1000), 0);
    assert_int_equal(refusals_wait(refusals, "192.0.2.1", now + 60000), 0);

    /* IPv6: a customer has a whole /64 to send from. */
    refusals_add(refusals, "2001:db8:1:2::1", now);
    refusals_add(refusals, "2001:db8:1:2::2", now);
    refusals_add(refusals, "2001:db8:1:2:ffff::3", now);
    assert_int_equal(refusals_wait(refusals, "2001:db8:1:2::4", now), 60000);
    assert_int_equal(refusals_wait(refusals, "2001:db8:1:3::4", now), 0);

    refusals_add(refusals, "no address", now);
    assert_int_equal(refusals_wait(refusals, "no address", now), 0);
    refusals_add(NULL, "192.0.2.1", now);
    assert_int_equal(refusals_wait(NULL, "192.0.2.1", now), 0);
    refusals_free(refusals);
}

/* More addresses than there is room: memory is what it was, and the worst ones are still known. */
static void more_addresses_than_room(void **state)
{
    (void)state;
    struct refusals *refusals = refusals_new(3);
    msec_t now = 100000;
    for (int i = 0; i < 3; i++)
        refusals_add(refusals, "192.0.2.1", now);
    for (int i = 0; i < 100000; i++) {
        char address[40];
        snprintf(address, sizeof(address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        refusals_add(refusals, address, now);
    }
    assert_true(refusals_wait(refusals, "192.0.2.1", now) > 0);
    refusals_free(refusals);
}

/* Who has a whole network of addresses sends from all of them in turn. */
static void neighbours_do_not_push_each_other_out(void **state)
{
    (void)state;
    struct refusals *refusals = refusals_new(3);
    char address[40];
    unsigned limited = 0;
    for (int i = 0; i < 3 * 256; i++) {
        snprintf(address, sizeof(address), "192.0.2.%d", i % 256);
        refusals_add(refusals, address, 100000);
    }
    for (int i = 0; i < 256; i++) {
        snprintf(address, sizeof(address), "192.0.2.%d", i);
        limited += refusals_wait(refusals, address, 100000) > 0;
    }
    assert_in_range(limited, 250, 256); /* a few may meet by chance */
    refusals_free(refusals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_and_the_rate_after_them),        cmocka_unit_test(odd_limits),
        cmocka_unit_test(addresses_that_fail_too_often),         cmocka_unit_test(more_addresses_than_room),
        cmocka_unit_test(neighbours_do_not_push_each_other_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
