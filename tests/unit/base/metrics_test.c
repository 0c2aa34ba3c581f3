#include "base/metrics.h"

#include "support.h"

#include <pthread.h>
#include <stdio.h>

static void *add_many(void *arg)
{
    struct metric *counter = metric_counter("threads_total", "Added by threads", "");
    struct metric *histogram = metric_histogram("threads_seconds", "Seen by threads", "");
    for (int i = 0; i < 10000; i++) {
        metric_add(counter, 1);
        metric_observe(histogram, 0.002);
    }
    return arg;
}

static void test_threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(metric_value(metric_counter("threads_total", "", "")) >= 39999.5);
    assert_true(metric_value(metric_histogram("threads_seconds", "", "")) >= 39999.5);
}

static void test_prints_prometheus_text(void **state)
{
    (void)state;
    struct buf out CLEANUP(buf_done);
    buf_init(&out, 1000000);
    metric_add(metric_counter("b_total", "The b", "source=\"x\""), 2);
    metric_add(metric_counter("a_total", "The a", ""), 1);
    metric_add(metric_counter("b_total", "The b", "source=\"w\""), 3);
    metric_set(metric_gauge("c", "The c", ""), -1.5);
    metric_observe(metric_histogram("d_seconds", "The d", "k=\"v\""), 0.02);
    metrics_print(&out);
    assert_non_null(strstr(out.ptr, "# HELP a_total The a\n# TYPE a_total counter\na_total 1\n"));
    assert_non_null(strstr(out.ptr, "# TYPE b_total counter\nb_total{source=\"w\"} 3\nb_total{source=\"x\"} 2\n"));
    assert_non_null(strstr(out.ptr, "c -1.5\n"));
    assert_non_null(strstr(out.ptr, "d_seconds_bucket{k=\"v\",le=\"0.01\"} 0\n"));
    assert_non_null(strstr(out.ptr, "d_seconds_bucket{k=\"v\",le=\"0.025\"} 1\n"));
    assert_non_null(strstr(out.ptr, "d_seconds_bucket{k=\"v\",le=\"+Inf\"} 1\n"));
    assert_non_null(strstr(out.ptr, "d_seconds_sum{k=\"v\"} 0.02\nd_seconds_count{k=\"v\"} 1\n"));
}

static void test_series_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < 6000; i++) {
        char labels[64];
        snprintf(labels, sizeof(labels), "who=\"%d\"", i);
        metric_add(metric_counter("many_total", "Many", labels), 1);
    }
    struct metric *overflow = metric_counter("many_total", "Many", "overflow=\"true\"");
    assert_true(metric_value(overflow) > 1000);
    assert_ptr_equal(metric_counter("many_total", "Many", "who=\"5999\""), overflow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_prints_prometheus_text),
        cmocka_unit_test(test_series_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
