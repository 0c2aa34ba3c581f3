/* What an operator hears of clocks that are apart: each change once, however often somebody looks. */
#include "commands/clock_watch.h"

#include "base/metrics.h"
#include "store/database.h"

#include "captured.h"
#include "patience.h"

#define SCHEMA "answerd_clock_watch_test"
#define APART "this machine's clock is not the database's"
#define AGREES "this machine's clock agrees with the database's again"

static struct pg *pg;

/* A database whose clock is moved by what the table says. */
static int set_up(void **state)
{
    (void)state;
    pg = database_open_empty(SCHEMA);
    SUCCEEDS(
        pg_script(pg,
                  "SET search_path = " SCHEMA ", pg_catalog; CREATE TABLE moved (by interval);"
                  "INSERT INTO moved VALUES ('0'); CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql "
                  "AS 'SELECT pg_catalog.clock_timestamp() + by FROM moved'",
                  e));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    database_drop(pg, SCHEMA);
    return 0;
}

static void move_to(const char *by)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "UPDATE moved SET by = '%s'", by);
    SUCCEEDS(pg_script(pg, sql, e));
}

/* What one look says. */
static const char *look(void)
{
    struct capture capture;
    capture_begin(&capture);
    struct error error;
    err_t err = clock_watch(pg, &error);
    const char *said = capture_end(&capture);
    assert_int_equal(err, ERR_NONE);
    return said;
}

static double ahead(void)
{
    return metric_value(metric_gauge("answerd_clock_ahead_seconds", "", ""));
}

static void test_each_change_is_told_once(void **state)
{
    (void)state;
    assert_string_equal(look(), "");
    move_to("1 hour");
    assert_non_null(strstr(look(), APART));
    assert_true(ahead() < -3000 && ahead() > -4000);
    assert_string_equal(look(), "");
    move_to("-1 hour");
    assert_non_null(strstr(look(), APART));
    assert_true(ahead() > 3000 && ahead() < 4000);
    assert_string_equal(look(), "");
    move_to("0");
    /* A look that takes long cannot tell exactly. */
    WAIT_UNTIL(strstr(look(), AGREES) != NULL);
    assert_string_equal(look(), "");
    assert_true(ahead() > -1 && ahead() < 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_change_is_told_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
