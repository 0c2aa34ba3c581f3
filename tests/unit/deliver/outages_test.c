#include "deliver/outages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs those above */

#define NOW ((msec_t)1000000)
#define AFTER (NOW + OUTAGE_MS)

static struct outages *outages;

static int set_up(void **state)
{
    (void)state;
    outages = outages_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    outages_free(outages);
    return 0;
}

static size_t wanted(void)
{
    size_t most = 0;
    return outages_recovering(outages, &most) != NULL ? most : 0;
}

/* Accepts a first call when nothing waits: from then on the target is known to work. */
static void prove(const char *target)
{
    outages_accepted(outages, target, 0);
    outages_let_go(outages, target, 0);
}

static void fail_times(const char *target, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        outages_failed(outages, target, NOW + (msec_t)i);
    }
}

static void after_an_outage_more_go_with_each_acceptance(void **state)
{
    (void)state;
    prove("telegram");
    fail_times("telegram", OUTAGE_FAILURES);
    assert_int_equal(wanted(), 0);
    for (size_t share = 1; share <= OUTAGE_MOST_AT_ONCE; share *= 2) {
        outages_accepted(outages, "telegram", AFTER);
        assert_int_equal(wanted(), share);
        outages_let_go(outages, "telegram", share);
        assert_int_equal(wanted(), 0);
    }
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), OUTAGE_MOST_AT_ONCE);
    outages_let_go(outages, "telegram", OUTAGE_MOST_AT_ONCE - 1);
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 0); /* nothing was left */
}

static void acceptances_before_they_go_count_together(void **state)
{
    (void)state;
    prove("telegram");
    fail_times("telegram", OUTAGE_FAILURES);
    outages_accepted(outages, "telegram", AFTER);
    outages_accepted(outages, "telegram", AFTER);
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 1 + 2 + 4);
    for (int i = 0; i < 20; i++) {
        outages_accepted(outages, "telegram", AFTER);
    }
    assert_int_equal(wanted(), OUTAGE_MOST_AT_ONCE);
}

static void what_fails_now_and_then_is_no_outage(void **state)
{
    (void)state;
    prove("telegram");
    fail_times("telegram", OUTAGE_FAILURES - 1);
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 0); /* too few */
    fail_times("telegram", OUTAGE_FAILURES - 1);
    outages_accepted(outages, "telegram", AFTER);
    fail_times("telegram", 1);
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 0); /* too few in a row */
    fail_times("telegram", OUTAGE_FAILURES + 5);
    outages_accepted(outages, "telegram", AFTER - 1);
    assert_int_equal(wanted(), 0); /* too short */
    outages_failed(outages, "telegram", AFTER - 1);
    outages_failed(outages, "telegram", AFTER);
    outages_failed(outages, "telegram", AFTER + 1);
    outages_accepted(outages, "telegram", AFTER + 2);
    assert_int_equal(wanted(), 0); /* it counts from the first failure since it last worked */
}

static void who_fails_again_gets_no_more(void **state)
{
    (void)state;
    prove("telegram");
    fail_times("telegram", OUTAGE_FAILURES);
    outages_accepted(outages, "telegram", AFTER);
    outages_accepted(outages, "telegram", AFTER);
    fail_times("telegram", 1);
    assert_int_equal(wanted(), 1 + 2); /* one alone is no sign */
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 1 + 2 + 4);
    fail_times("telegram", OUTAGE_FAILURES);
    assert_int_equal(wanted(), 0);
    outages_accepted(outages, "telegram", NOW + 5);
    assert_int_equal(wanted(), 0);
}

static void the_first_acceptance_of_all_counts_as_the_end_of_an_outage(void **state)
{
    (void)state;
    outages_accepted(outages, "telegram", NOW);
    assert_int_equal(wanted(), 1);
    outages_let_go(outages, "telegram", 1);
    outages_accepted(outages, "telegram", NOW);
    assert_int_equal(wanted(), 2);
    outages_let_go(outages, "telegram", 0);
    outages_accepted(outages, "telegram", NOW);
    assert_int_equal(wanted(), 0);
}

static void each_target_has_its_own(void **state)
{
    (void)state;
    size_t most = 0;
    prove("telegram");
    prove("endpoint telegram");
    fail_times("endpoint telegram", OUTAGE_FAILURES);
    outages_accepted(outages, "telegram", AFTER);
    assert_int_equal(wanted(), 0);
    outages_accepted(outages, "endpoint telegram", AFTER);
    assert_string_equal(outages_recovering(outages, &most), "endpoint telegram");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_an_outage_more_go_with_each_acceptance),
        TEST(acceptances_before_they_go_count_together),
        TEST(what_fails_now_and_then_is_no_outage),
        TEST(who_fails_again_gets_no_more),
        TEST(the_first_acceptance_of_all_counts_as_the_end_of_an_outage),
        TEST(each_target_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
