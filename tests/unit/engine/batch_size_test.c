#include "engine/batch_size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h> /* needs those above */

#define MOST 200
#define QUICK (BATCH_TIME_US / 3 - 1)
#define SLOW (BATCH_TIME_US + 1)

static void it_grows_while_all_that_may_come_does_and_is_quick(void **state)
{
    (void)state;
    struct batch_size size;
    batch_size_init(&size, MOST);
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
    batch_size_committed(&size, BATCH_LEAST_EVENTS - 1, QUICK);
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS); /* no more was there */
    batch_size_committed(&size, BATCH_LEAST_EVENTS, QUICK + 1);
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS); /* twice as many would take too long */
    batch_size_committed(&size, BATCH_LEAST_EVENTS, QUICK);
    assert_int_equal(batch_size_next(&size), 64);
    batch_size_committed(&size, 64, QUICK);
    batch_size_committed(&size, 128, QUICK);
    assert_int_equal(batch_size_next(&size), MOST);
}

static void it_shrinks_when_it_takes_long(void **state)
{
    (void)state;
    struct batch_size size;
    batch_size_init(&size, MOST);
    for (int i = 0; i < 10; i++) {
        batch_size_committed(&size, MOST, QUICK);
    }
    batch_size_committed(&size, 10, BATCH_TIME_US);
    assert_int_equal(batch_size_next(&size), MOST);
    batch_size_committed(&size, 10, SLOW);
    assert_int_equal(batch_size_next(&size), MOST / 2);
    for (int i = 0; i < 10; i++) {
        batch_size_committed(&size, 10, SLOW);
    }
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
}

static void it_stays_within_a_small_setting(void **state)
{
    (void)state;
    struct batch_size size;
    batch_size_init(&size, 5);
    assert_int_equal(batch_size_next(&size), 5);
    batch_size_committed(&size, 5, QUICK);
    assert_int_equal(batch_size_next(&size), 5);
    batch_size_committed(&size, 5, SLOW);
    assert_int_equal(batch_size_next(&size), 5);
}

static void the_one_to_blame_is_looked_for_among_fewer(void **state)
{
    (void)state;
    struct batch_size size;
    batch_size_init(&size, MOST);
    batch_size_failed(&size, 160);
    assert_int_equal(batch_size_next(&size), 20);
    batch_size_failed(&size, 20);
    assert_int_equal(batch_size_next(&size), 2);
    batch_size_failed(&size, 2);
    assert_int_equal(batch_size_next(&size), 1);
    batch_size_committed(&size, 1, SLOW);
    assert_int_equal(batch_size_next(&size), 1); /* the other one */
    batch_size_put_off(&size);
    assert_int_equal(batch_size_next(&size), 2); /* what took one alone says nothing about a batch */
    batch_size_committed(&size, 2, QUICK);
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
}

static void a_few_are_handled_one_by_one(void **state)
{
    (void)state;
    struct batch_size size;
    batch_size_init(&size, MOST);
    batch_size_failed(&size, BATCH_SINGLES);
    for (int i = 0; i < BATCH_SINGLES; i++) {
        assert_int_equal(batch_size_next(&size), 1);
        batch_size_committed(&size, 1, QUICK);
    }
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
    batch_size_failed(&size, BATCH_SINGLES);
    batch_size_empty(&size); /* another engine took them */
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
    batch_size_put_off(&size);
    assert_int_equal(batch_size_next(&size), BATCH_LEAST_EVENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_while_all_that_may_come_does_and_is_quick),
        cmocka_unit_test(it_shrinks_when_it_takes_long),
        cmocka_unit_test(it_stays_within_a_small_setting),
        cmocka_unit_test(the_one_to_blame_is_looked_for_among_fewer),
        cmocka_unit_test(a_few_are_handled_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
