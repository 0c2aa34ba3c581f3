#include "deliver/conflicts.h"

#include "captured.h"

#include <string.h>

#define NOW ((msec_t)1000000)

static void one_that_does_not_go_away_is_told(void **state)
{
    (void)state;
    struct conflicts conflicts = { .during = "settling" };
    const struct error error = { .code = ERR_CONFLICT, .sqlstate = "23505", .text = "duplicate key" };
    assert_false(conflicts_last(&conflicts, &error, NOW));
    assert_false(conflicts_last(&conflicts, &error, NOW + CONFLICT_LASTS_MS - 1));
    assert_int_equal(conflicts.said_at, 0);
    assert_true(conflicts_last(&conflicts, &error, NOW + CONFLICT_LASTS_MS));
    assert_int_equal(conflicts.said_at, NOW + CONFLICT_LASTS_MS);
    assert_true(conflicts_last(&conflicts, &error, NOW + CONFLICT_LASTS_MS + 59999));
    assert_int_equal(conflicts.said_at, NOW + CONFLICT_LASTS_MS);
    assert_true(conflicts_last(&conflicts, &error, NOW + CONFLICT_LASTS_MS + 60000));
    assert_int_equal(conflicts.said_at, NOW + CONFLICT_LASTS_MS + 60000);

    /* Whoever got through in between begins from the start. */
    conflicts_end(&conflicts, NOW + 80000);
    assert_false(conflicts_last(&conflicts, &error, NOW + 80000));
    conflicts_end(&conflicts, NOW + 85000);
    assert_false(conflicts_last(&conflicts, &error, NOW + 89000));
    assert_false(conflicts_last(&conflicts, &error, NOW + 98000));
}

/* What the log says of a conflict that is met at `now`, and whether it lasts. */
static const char *said_at(struct conflicts *conflicts, msec_t now, bool lasts)
{
    const struct error error = { .code = ERR_CONFLICT, .sqlstate = "40P01", .text = "deadlock detected" };
    struct capture capture;
    capture_begin(&capture);
    bool found = conflicts_last(conflicts, &error, now);
    const char *said = capture_end(&capture);
    assert_int_equal(found, lasts);
    return said;
}

static const char *said_at_end(struct conflicts *conflicts, msec_t now)
{
    struct capture capture;
    capture_begin(&capture);
    conflicts_end(conflicts, now);
    return capture_end(&capture);
}

/* Also on a machine that has just started, whose steady clock is young. */
static void the_log_has_its_beginning_and_its_end(void **state)
{
    (void)state;
    struct conflicts conflicts = { .during = "claiming" };
    assert_string_equal(said_at(&conflicts, 1, false), "");
    assert_string_equal(said_at_end(&conflicts, 5000), ""); /* one that nobody heard of */
    assert_string_equal(said_at(&conflicts, 5000, false), "");
    const char *said = said_at(&conflicts, 5000 + CONFLICT_LASTS_MS, true);
    assert_non_null(strstr(said, "level=error"));
    assert_non_null(strstr(said, "during=\"claiming\" for_ms=10000 sqlstate=40P01 reason=\"deadlock detected\" hint="));
    assert_string_equal(said_at(&conflicts, 6000 + CONFLICT_LASTS_MS, true), "");
    said = said_at_end(&conflicts, 20000);
    assert_non_null(strstr(said, "the conflict is over\" during=\"claiming\" after_ms=15000"));
    assert_string_equal(said_at_end(&conflicts, 20001), "");

    /* The next one is told, however short a time ago it was that the last one was. */
    assert_string_equal(said_at(&conflicts, 21000, false), "");
    assert_non_null(strstr(said_at(&conflicts, 21000 + CONFLICT_LASTS_MS, true), "level=error"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_does_not_go_away_is_told),
        cmocka_unit_test(the_log_has_its_beginning_and_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
