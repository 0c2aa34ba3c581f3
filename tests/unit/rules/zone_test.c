#include "rules/zone.h"

#include "rule_files.h"

static int offset_at(const char *name, int64_t at)
{
    struct zone *zone;
    assert_int_equal(zone_read(name, &zone, NULL), ERR_NONE);
    int offset = zone_offset(zone, at);
    zone_free(zone);
    return offset;
}

static int64_t utc_of(const char *name, int year, int month, int day, int minutes)
{
    struct zone *zone;
    assert_int_equal(zone_read(name, &zone, NULL), ERR_NONE);
    int64_t at = zone_to_utc(zone, date_to_days(year, month, day) * 86400 + minutes * 60);
    zone_free(zone);
    return at;
}

static void knows_winter_and_summer(void **state)
{
    (void)state;
    assert_int_equal(offset_at("UTC", 0), 0);
    assert_int_equal(offset_at("Europe/Zurich", 1767607200), 3600);
    assert_int_equal(offset_at("Europe/Zurich", 1782000000), 7200);
    assert_int_equal(offset_at("America/New_York", 1767607200), -5 * 3600);
    assert_int_equal(offset_at("America/New_York", 1782000000), -4 * 3600);
    assert_int_equal(offset_at("Asia/Kolkata", 1767607200), 19800);
    /* The southern summer goes over the new year. */
    assert_int_equal(offset_at("Australia/Sydney", 1767607200), 11 * 3600);
    assert_int_equal(offset_at("Australia/Sydney", 1782000000), 10 * 3600);
}

static void follows_the_rule_after_the_last_transition(void **state)
{
    (void)state;
    /* 15 January and 15 July 2090. */
    assert_int_equal(offset_at("Europe/Zurich", date_to_days(2090, 1, 15) * 86400), 3600);
    assert_int_equal(offset_at("Europe/Zurich", date_to_days(2090, 7, 15) * 86400), 7200);
    assert_int_equal(offset_at("Australia/Sydney", date_to_days(2090, 1, 15) * 86400), 11 * 3600);
    assert_int_equal(offset_at("America/New_York", date_to_days(2090, 7, 15) * 86400), -4 * 3600);
    assert_int_equal(offset_at("Asia/Tokyo", date_to_days(2090, 7, 15) * 86400), 9 * 3600);
}

static void changes_at_the_right_second(void **state)
{
    (void)state;
    int64_t change = date_to_days(2026, 3, 29) * 86400 + 3600; /* 01:00 UTC */
    assert_int_equal(offset_at("Europe/Zurich", change - 1), 3600);
    assert_int_equal(offset_at("Europe/Zurich", change), 7200);
}

static void local_times_that_are_skipped_or_shown_twice(void **state)
{
    (void)state;
    int64_t spring = date_to_days(2026, 3, 29) * 86400, autumn = date_to_days(2026, 10, 25) * 86400;
    assert_int_equal(utc_of("Europe/Zurich", 2026, 3, 29, 90), spring + 1800);
    assert_int_equal(utc_of("Europe/Zurich", 2026, 3, 29, 150),
                     spring + 5400); /* 02:30 is skipped: 03:30 summer time */
    assert_int_equal(utc_of("Europe/Zurich", 2026, 3, 29, 180), spring + 3600);
    assert_int_equal(utc_of("Europe/Zurich", 2026, 10, 25, 150), autumn + 1800); /* the first 02:30 */
    assert_int_equal(utc_of("Europe/Zurich", 2026, 10, 25, 180), autumn + 7200);
}

static void agrees_with_the_c_library(void **state)
{
    (void)state;
    static const char *const names[] = { "Europe/London", "America/Sao_Paulo", "Africa/Casablanca",   "Asia/Tehran",
                                         "Pacific/Apia",  "America/St_Johns",  "Australia/Lord_Howe", "Europe/Dublin" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct zone *zone;
        assert_int_equal(zone_read(names[i], &zone, NULL), ERR_NONE);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t at = 0; at < INT64_C(2200000000); at += 1234567) {
            time_t when = (time_t)at;
            struct tm local;
            localtime_r(&when, &local);
            assert_int_equal(zone_offset(zone, at), local.tm_gmtoff);
        }
        zone_free(zone);
    }
    unsetenv("TZ");
    tzset();
}

static void refuses_what_is_no_zone(void **state)
{
    (void)state;
    static const char *const names[] = { "Europe/Zurch",
                                         "",
                                         "/etc/passwd",
                                         "../../../etc/passwd",
                                         "Europe",
                                         "tzdata.zi",
                                         "Europe//Zurich",
                                         "posix/Europe/Zurich",
                                         "right/Europe/Zurich" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct zone *zone = NULL;
        struct error e;
        assert_int_equal(zone_read(names[i], &zone, &e), ERR_NOT_FOUND);
        assert_null(zone);
    }
}

static void names_what_is_meant(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        { "Europe/Zurch", "Europe/Zurich" },        { "europe/zurich", "Europe/Zurich" }, { "Zurich", "Europe/Zurich" },
        { "America/New York", "America/New_York" }, { "nowhere at all", NULL },           { "", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char nearest[ZONE_NAME_BYTES] = "";
        bool found = zone_nearest(cases[i][0], nearest);
        if (cases[i][1] != NULL) {
            assert_string_equal(nearest, cases[i][1]);
        } else {
            assert_false(found);
        }
    }
}

static void dates_there_and_back(void **state)
{
    (void)state;
    assert_int_equal(date_to_days(1970, 1, 1), 0);
    assert_int_equal(date_to_days(2000, 2, 29), 11016);
    for (int64_t days = -800000; days < 800000; days += 317) {
        int64_t year;
        int month, day;
        days_to_date(days, &year, &month, &day);
        assert_int_equal(date_to_days(year, month, day), days);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_winter_and_summer),     cmocka_unit_test(follows_the_rule_after_the_last_transition),
        cmocka_unit_test(changes_at_the_right_second), cmocka_unit_test(local_times_that_are_skipped_or_shown_twice),
        cmocka_unit_test(agrees_with_the_c_library),   cmocka_unit_test(refuses_what_is_no_zone),
        cmocka_unit_test(dates_there_and_back),        cmocka_unit_test(names_what_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
