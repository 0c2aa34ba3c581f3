#include "rules/schedule.h"

#include "base/clock.h"

#include "rule_files.h"

static const char *next_after(const char *schedule, const char *after)
{
    static char text[64];
    msec_t at, next;
    assert_true(clock_parse_iso(bytes_of(after), &at));
    json_t *json = document(schedule);
    struct error e;
    err_t err = schedule_next(json, at, &next, &e);
    json_decref(json);
    if (err != ERR_NONE) {
        snprintf(text, sizeof(text), "%s", err_name(err));
        return text;
    }
    struct buf iso;
    buf_init(&iso, 64);
    clock_add_iso(&iso, next);
    snprintf(text, sizeof(text), "%s", iso.ptr);
    buf_done(&iso);
    return text;
}

static void fields(void **state)
{
    (void)state;
    const char *monday = "2026-01-05T10:00:00Z";
    assert_string_equal(next_after("{\"cron\":\"*/15 * * * *\"}", monday), "2026-01-05T10:15:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"0 9 * * *\"}", monday), "2026-01-06T09:00:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"0 9 * * sat,sun\"}", monday), "2026-01-10T09:00:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"30 8-10 1 feb *\"}", monday), "2026-02-01T08:30:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"0 0 * * 7\"}", monday), "2026-01-11T00:00:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"0 0 29 2 *\"}", monday), "2028-02-29T00:00:00.000Z");
    /* Either is enough when both the day of the month and of the week are given. */
    assert_string_equal(next_after("{\"cron\":\"0 0 13 * fri\"}", monday), "2026-01-09T00:00:00.000Z");
    assert_string_equal(next_after("{\"every_ms\":900000}", "2026-01-05T10:00:01Z"), "2026-01-05T10:15:00.000Z");
}

static void time_zones(void **state)
{
    (void)state;
    assert_string_equal(next_after("{\"cron\":\"0 9 * * *\",\"timezone\":\"Europe/Zurich\"}", "2026-07-05T10:00:00Z"),
                        "2026-07-06T07:00:00.000Z");
    /* 02:30 does not exist on this day; it fires at 03:30 summer time, once. */
    assert_string_equal(next_after("{\"cron\":\"30 2 * * *\",\"timezone\":\"Europe/Zurich\"}", "2026-03-28T12:00:00Z"),
                        "2026-03-29T01:30:00.000Z");
    assert_string_equal(next_after("{\"cron\":\"30 2 * * *\",\"timezone\":\"Europe/Zurich\"}", "2026-03-29T01:30:00Z"),
                        "2026-03-30T00:30:00.000Z");
    /* 02:30 exists twice on this one. */
    assert_string_equal(next_after("{\"cron\":\"30 2 * * *\",\"timezone\":\"Europe/Zurich\"}", "2026-10-25T00:30:00Z"),
                        "2026-10-26T01:30:00.000Z");
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"cron\":\"60 * * * *\"}",
        "{\"cron\":\"* * * *\"}",
        "{\"cron\":\"* * * * * *\"}",
        "{\"cron\":\"5-1 * * * *\"}",
        "{\"cron\":\"*/0 * * * *\"}",
        "{\"cron\":\"x * * * *\"}",
        "{\"cron\":\"\"}",
        "{\"every_ms\":10}",
        "{}",
        "{\"cron\":\"0 0 30 2 *\"}",
        "{\"cron\":\"0 0 * * *\",\"timezone\":\"Nowhere\"}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        json_t *json = document(wrong[i]);
        struct error e;
        assert_int_equal(schedule_check(json, &e), ERR_INVALID);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(time_zones),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
