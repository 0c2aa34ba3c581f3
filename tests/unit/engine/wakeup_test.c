#include "engine/wakeup.h"

#include "support.h"

#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

static struct wakeup first, second;

static int begin(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(wakeup_init(&second, NULL, &e), ERR_NONE);
    assert_int_equal(wakeup_init(&first, &second, &e), ERR_NONE);
    return 0;
}

static int end(void **state)
{
    (void)state;
    wakeup_done(&first);
    wakeup_done(&second);
    return 0;
}

static bool is_awake(const struct wakeup *wakeup)
{
    struct pollfd p = { .fd = wakeup->fd, .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

static void test_one_is_enough(void **state)
{
    (void)state;
    wakeup_nudge(&first);
    assert_true(is_awake(&first));
    assert_false(is_awake(&second));

    /* At work for no time worth mentioning. */
    wakeup_look_round(&first);
    atomic_fetch_add(&first.busy_from, 60000); /* whatever time the machine takes for this */
    wakeup_nudge(&first);
    assert_false(is_awake(&second));
}

static void test_busy_for_long(void **state)
{
    (void)state;
    wakeup_look_round(&first);
    atomic_fetch_sub(&first.busy_from, 1000);
    wakeup_nudge(&first);
    assert_true(is_awake(&first));
    assert_true(is_awake(&second));
}

static void test_more_than_one_can_do(void **state)
{
    (void)state;
    wakeup_call_next(&first);
    assert_false(is_awake(&first));
    assert_true(is_awake(&second));
    wakeup_call_next(&second); /* nobody is behind it */
}

static void test_sleep_ends_by_a_nudge(void **state)
{
    (void)state;
    wakeup_nudge(&first);
    wakeup_nudge(&first);
    wakeup_sleep(&first, 600000);
    assert_false(is_awake(&first));
    wakeup_sleep(&first, 1);
    wakeup_sleep(&first, -5);
    assert_true(atomic_load(&first.busy_from) > 0);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_is_enough),
        CASE(test_busy_for_long),
        CASE(test_more_than_one_can_do),
        CASE(test_sleep_ends_by_a_nudge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
