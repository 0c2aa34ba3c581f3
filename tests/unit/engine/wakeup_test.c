#include "engine/wakeup.h"

#include "base/heartbeat.h"

#include "patience.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

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

static atomic_bool begun, may_end;

static void *sleep_for_long(void *arg)
{
    (void)arg;
    heartbeat_start("sleeper");
    wakeup_look_round(&first);
    atomic_store(&begun, true);
    wakeup_sleep(&first, 600000);
    while (!atomic_load(&may_end)) {
        usleep(1000);
    }
    heartbeat_end();
    return NULL;
}

static bool is_watched(void)
{
    msec_t at = 0;
    return heartbeat_oldest(&at) != NULL;
}

/* Who has nothing to do is neither stuck nor busy; who was woken is watched again. */
static void test_who_sleeps_is_not_at_work(void **state)
{
    (void)state;
    pthread_t sleeper;
    atomic_store(&begun, false);
    atomic_store(&may_end, false);
    assert_int_equal(pthread_create(&sleeper, NULL, sleep_for_long, NULL), 0);
    WAIT_UNTIL(atomic_load(&begun));
    WAIT_UNTIL(!is_watched());
    assert_int_equal(atomic_load(&first.busy_from), 0);
    wakeup_nudge(&first);
    WAIT_UNTIL(is_watched());
    WAIT_UNTIL(atomic_load(&first.busy_from) > 0);
    atomic_store(&may_end, true);
    pthread_join(sleeper, NULL);
    assert_false(is_awake(&second));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_is_enough),
        CASE(test_busy_for_long),
        CASE(test_more_than_one_can_do),
        CASE(test_sleep_ends_by_a_nudge),
        CASE(test_who_sleeps_is_not_at_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
