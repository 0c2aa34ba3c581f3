#include "base/backoff.h"

#include "support.h"

static void test_doubles_up_to_the_ceiling(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 5000; random += 7) {
        assert_in_range(backoff_delay(1, 1000, 60000, random), 500, 1000);
        assert_in_range(backoff_delay(2, 1000, 60000, random), 1000, 2000);
        assert_in_range(backoff_delay(5, 1000, 60000, random), 8000, 16000);
        assert_in_range(backoff_delay(7, 1000, 60000, random), 30000, 60000);
        assert_in_range(backoff_delay(4000000000u, 1000, 60000, random), 30000, 60000);
    }
}

static void test_uses_the_whole_upper_half(void **state)
{
    (void)state;
    assert_int_equal(backoff_delay(1, 1000, 60000, 0), 500);
    assert_int_equal(backoff_delay(1, 1000, 60000, 500), 1000);
}

static void test_odd_bounds(void **state)
{
    (void)state;
    assert_in_range(backoff_delay(1, 0, 0, 12345), 0, 1);
    assert_in_range(backoff_delay(9, 1000, 10, 12345), 500, 1000);
    assert_true(backoff_delay(90, INT64_MAX / 2, INT64_MAX, UINT32_MAX) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_up_to_the_ceiling),
        cmocka_unit_test(test_uses_the_whole_upper_half),
        cmocka_unit_test(test_odd_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
