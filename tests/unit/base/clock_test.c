#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support.h"

#include "base/macros.h"

static void test_reads_what_postgres_and_providers_print(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        msec_t at;
    } cases[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2026-11-23T08:00:00.123Z", 1795420800123 },
        { "2026-11-23 08:00:00.123456+00", 1795420800123 },
        { "2026-11-23T08:00:00.123456+00:00", 1795420800123 },
        { "2026-11-23T10:00:00.1+02:00", 1795420800100 },
        { "2026-11-23T03:30:00-0430", 1795420800000 },
        { "2026-11-23T08:00:00", 1795420800000 },
        { "2026-11-23t08:00:00.999999999z", 1795420800999 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
        { "1969-12-31T23:59:59.999Z", -1 },
        { "2016-12-31T23:59:60Z", 1483228800000 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        msec_t at = 42;
        if (!clock_parse_iso(bytes_of(cases[i].text), &at) || at != cases[i].at)
            fail_msg("%s gives %lld", cases[i].text, (long long)at);
    }
}

static void test_refuses_everything_else(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "2026-11-23",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00Zx",
        "2026-01-01T00:00:00+",
        "2026-01-01T00:00:00+2",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+02:60",
        "2026-01-01T00:00:00+02:000",
        "+026-01-01T00:00:00Z",
        "2026-1-1T00:00:00Z",
        "infinity",
        "2026-01-01T00:00Z",
        " 2026-01-01T00:00:00Z",
        "0000-01-01T00:00:00.000Z",
        "2026-13-01T00:00:00.000Z",
        "2026-02-29T00:00:00.000Z",
        "2026-01-01T24:00:00.000Z",
        "2026-01-01T00:60:00.000Z",
        "2026-01-01T00:00:61.000Z",
        "2026-01-01T00:00:00.00aZ",
        "202x-01-01T00:00:00.000Z",
        "2026-01-01T0/:00:00.000Z",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        msec_t at = 42;
        if (clock_parse_iso(bytes_of(cases[i]), &at) || at != 42)
            fail_msg("'%s' was taken", cases[i]);
    }
}

static void test_prints_and_reads_back(void **state)
{
    (void)state;
    static const msec_t cases[] = { 0, -1, 1, 1795420800123, 951782400000, -62135596800000, 253402300799999 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf text CLEANUP(buf_done);
        msec_t back;
        buf_init(&text, 64);
        clock_add_iso(&text, cases[i]);
        assert_int_equal(text.len, 24);
        assert_true(clock_parse_iso(buf_bytes(&text), &back));
        assert_int_equal(back, cases[i]);
    }
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 200);
    clock_add_iso(&text, INT64_MAX);
    assert_string_equal(text.ptr, "9999-12-31T23:59:59.999Z");
    buf_clear(&text);
    clock_add_iso(&text, INT64_MIN);
    assert_string_equal(text.ptr, "0001-01-01T00:00:00.000Z");
}

/* Every day of five centuries, with a time of day that differs from day to day, as the C library sees it. */
static void test_dates_are_those_of_the_c_library(void **state)
{
    (void)state;
    for (msec_t day = -100 * 365; day < 400 * 366; day++) {
        msec_t at = day * 86400000 + (day * 7919 % 86400 + 86400) % 86400 * 1000 + (day * 31 % 1000 + 1000) % 1000,
               back;
        char text[CLOCK_ISO_BYTES], expected[80];
        time_t second = (time_t)((at - (at % 1000 + 1000) % 1000) / 1000);
        struct tm utc;
        gmtime_r(&second, &utc);
        size_t length = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &utc);
        snprintf(expected + length, sizeof(expected) - length, ".%03dZ", (int)((at % 1000 + 1000) % 1000));
        clock_iso(at, text);
        assert_string_equal(text, expected);
        assert_true(clock_parse_iso(bytes_of(text), &back));
        assert_int_equal(back, at);
    }
}

static void test_can_be_set(void **state)
{
    (void)state;
    clock_set(1795420800123);
    assert_int_equal(clock_now(), 1795420800123);
    clock_set(0);
    assert_true(clock_now() > 1700000000000);
    assert_true(clock_steady() <= clock_steady());
}

static void test_follows_another(void **state)
{
    (void)state;
    int64_t now = clock_now_us();
    clock_follow(now - 2000, now + 180000000, now + 2000);
    assert_int_equal(clock_shared_ahead_us(), 180000000);
    assert_in_range(clock_shared() - clock_now(), 179999, 180001);
    clock_follow(now - 2000, now + 180001999, now + 2000); /* may be the same */
    assert_int_equal(clock_shared_ahead_us(), 180000000);
    clock_follow(now, now + 180002000, now + 1000); /* cannot */
    assert_int_equal(clock_shared_ahead_us(), 180001500);
    clock_set(1795420800123);
    assert_int_equal(clock_shared(), 1795420800123);
    clock_set(0);
    clock_follow(now, now, now);
    assert_int_equal(clock_shared_ahead_us(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_postgres_and_providers_print),
        cmocka_unit_test(test_refuses_everything_else),
        cmocka_unit_test(test_prints_and_reads_back),
        cmocka_unit_test(test_dates_are_those_of_the_c_library),
        cmocka_unit_test(test_can_be_set),
        cmocka_unit_test(test_follows_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
