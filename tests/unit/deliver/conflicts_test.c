#include "deliver/conflicts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h> /* needs those above */

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

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(one_that_does_not_go_away_is_told) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
