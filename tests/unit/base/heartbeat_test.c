#include "base/heartbeat.h"

#include "support.h"

#include <pthread.h>
#include <string.h>

static void test_a_beat_counts_from_when_it_was(void **state)
{
    (void)state;
    struct stall_watch watch = { 0 };
    assert_int_equal(stall_watch_look(&watch, 10000, 3000, 10000), 0);
    assert_int_equal(stall_watch_look(&watch, 11000, 3000, 10500), 500);
    assert_int_equal(stall_watch_look(&watch, 12000, 3000, 10500), 1500);
    assert_int_equal(stall_watch_look(&watch, 13000, 3000, 12900), 100);
}

static void test_the_first_look_begins_the_count(void **state)
{
    (void)state;
    struct stall_watch watch = { 0 };
    assert_int_equal(stall_watch_look(&watch, 100000, 3000, 5), 0);
    assert_int_equal(stall_watch_look(&watch, 101000, 3000, 5), 1000);
}

static void test_a_stopped_process_is_not_a_stalled_actor(void **state)
{
    (void)state;
    struct stall_watch watch = { 0 };
    assert_int_equal(stall_watch_look(&watch, 10000, 3000, 10000), 0);
    assert_int_equal(stall_watch_look(&watch, 45000, 3000, 10000), 0);
    assert_int_equal(stall_watch_look(&watch, 46000, 3000, 10000), 1000);
}

static void *beat_and_end(void *arg)
{
    msec_t at = 0;
    heartbeat_start("other");
    assert_non_null(heartbeat_oldest(&at));
    heartbeat_rest();
    *(const char **)arg = heartbeat_oldest(&at);
    heartbeat_end();
    return NULL;
}

static void test_resting_threads_do_not_count(void **state)
{
    (void)state;
    msec_t at = 0;
    assert_null(heartbeat_oldest(&at));
    heartbeat_beat(); /* nothing, without a start */
    assert_false(heartbeat_is_kept());
    heartbeat_start("engine");
    assert_true(heartbeat_is_kept());
    assert_string_equal(heartbeat_oldest(&at), "engine");
    assert_true(at > 0 && at <= clock_steady());

    const char *seen = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, beat_and_end, &seen), 0);
    pthread_join(thread, NULL);
    assert_string_equal(seen, "engine");

    heartbeat_rest();
    assert_null(heartbeat_oldest(&at));
    heartbeat_beat();
    assert_string_equal(heartbeat_oldest(&at), "engine");
    heartbeat_end();
    assert_null(heartbeat_oldest(&at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_beat_counts_from_when_it_was),
        cmocka_unit_test(test_the_first_look_begins_the_count),
        cmocka_unit_test(test_a_stopped_process_is_not_a_stalled_actor),
        cmocka_unit_test(test_resting_threads_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
