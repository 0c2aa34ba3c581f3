/* Statements that are sent together, against a real PostgreSQL, named by ANSWERD_TEST_DATABASE; without it the cases
 * are skipped. They touch no tables but temporary ones. */
#include "io/pg.h"

#include "patience.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/metrics.h"

static const char *conninfo;

static struct pg *open_pg(msec_t statement_timeout_ms)
{
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo,
                                          .application_name = "pg_together_test",
                                          .statement_timeout_ms = statement_timeout_ms };
    struct pg *pg = NULL;
    struct error e;
    if (pg_open(&settings, &pg, &e) != ERR_NONE)
        fail_msg("%s", e.text);
    return pg;
}

static int64_t number(struct pg *pg, const char *sql)
{
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    struct error e;
    if (pg_run(pg, sql, NULL, 0, &r, &e) != ERR_NONE)
        fail_msg("%s: %s", sql, e.text);
    return pg_int8(r, 0, 0);
}

static const char create[] = "CREATE TEMPORARY TABLE kept (id bigint PRIMARY KEY)";
static const char insert[] = "INSERT INTO kept VALUES ($1::bigint)";
static const char count_kept[] = "SELECT count(*) FROM kept";
static const char begin[] = "BEGIN ISOLATION LEVEL READ COMMITTED";
static const char commit[] = "COMMIT";
static const char two_rows[] = "SELECT n FROM generate_series(1, 2) AS n";
static const char one_row[] = "SELECT $1::text || '!'";

static void must_script(struct pg *pg, const char *sql)
{
    struct error e;
    if (pg_script(pg, sql, &e) != ERR_NONE)
        fail_msg("%s: %s", sql, e.text);
}

static void test_results_in_order(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    const struct pg_value word = PG_VALUE_TEXT("word");
    const struct pg_statement statements[] = { { two_rows, NULL, 0 }, { one_row, &word, 1 }, { two_rows, NULL, 0 } };
    struct error e;
    const struct metric *trips = metric_counter("answerd_database_round_trips_total", "", "actor=\"other\"");
    for (int i = 0; i < 2; i++) { /* prepared the first time */
        struct pg_result *results[3] = { NULL };
        double before = metric_value(trips);
        assert_int_equal(pg_run_together(pg, statements, 3, results, &e), ERR_NONE);
        assert_true(metric_value(trips) ==
                    before + (i == 0 ? 3 : 1)); /* two texts to prepare, and all of them together */
        assert_int_equal(pg_rows(results[0]), 2);
        assert_true(bytes_equal(pg_text(results[1], 0, 0), BYTES_LITERAL("word!")));
        assert_int_equal(pg_int8(results[2], 1, 0), 2);
        for (size_t j = 0; j < 3; j++)
            pg_result_free(&results[j]);
    }
    assert_int_equal(number(pg, "SELECT 7"), 7);
    pg_close(pg);
}

/* More than the buffers of both sides take, there and back: who only writes, or only reads, waits for ever. */
static void test_much_at_once(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    enum { SIZE = 1024 * 1024, COUNT = PG_MAX_TOGETHER };
    char *text = memory_new(SIZE + 1);
    memset(text, 'x', SIZE);
    const struct pg_value value = PG_VALUE_TEXT(text);
    struct pg_statement statements[COUNT];
    struct pg_result *results[COUNT] = { NULL };
    struct error e;
    for (size_t i = 0; i < COUNT; i++)
        statements[i] = (struct pg_statement){ one_row, &value, 1 };
    assert_int_equal(pg_run_together(pg, statements, COUNT, results, &e), ERR_NONE);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(pg_text(results[i], 0, 0).len, SIZE + 1);
        pg_result_free(&results[i]);
    }
    free(text);
    pg_close(pg);
}

static void test_first_failure_ends_it(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    const struct pg_value one = PG_VALUE_INT8(1), two = PG_VALUE_INT8(2);
    struct error e;
    must_script(pg, create);
    const struct pg_statement twice[] = { { begin, NULL, 0 },          { insert, &one, 1 }, { insert, &one, 1 },
                                          { "SELECT 1 / 0", NULL, 0 }, { insert, &two, 1 }, { commit, NULL, 0 } };
    struct pg_result *results[ARRAY_LEN(twice)] = { NULL };
    assert_int_equal(pg_run_together(pg, twice, ARRAY_LEN(twice), results, &e), ERR_CONFLICT);
    assert_string_equal(e.sqlstate, "23505");
    assert_null(results[0]);
    assert_false(pg_is_broken(pg));
    must_script(pg, "ROLLBACK");
    assert_int_equal(number(pg, count_kept), 0);

    const struct pg_statement once[] = {
        { begin, NULL, 0 }, { insert, &one, 1 }, { insert, &two, 1 }, { commit, NULL, 0 }
    };
    assert_int_equal(pg_run_together(pg, once, ARRAY_LEN(once), NULL, &e), ERR_NONE);
    must_script(pg, "ROLLBACK"); /* nothing is open */
    assert_int_equal(number(pg, count_kept), 2);
    pg_close(pg);
}

/* Nothing is sent when one of them cannot be prepared, and the connection is as it was. */
static void test_one_that_cannot_be_prepared(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    const struct pg_value one = PG_VALUE_INT8(1);
    struct pg_result *results[3] = { NULL };
    struct error e;
    must_script(pg, create);
    const struct pg_statement statements[] = { { insert, &one, 1 },
                                               { "SELECT n FROM nowhere", NULL, 0 },
                                               { "SELECT", NULL, 0 } };
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), results, &e), ERR_BUSY);
    assert_string_equal(e.sqlstate, "42P01");
    assert_null(results[0]);
    assert_false(pg_is_broken(pg));
    assert_int_equal(number(pg, count_kept), 0);
    pg_close(pg);
}

/* What is sent within a transaction that has failed, a commit as well, fails: nobody takes it for done. */
static void test_in_a_failed_transaction(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    const struct pg_value one = PG_VALUE_INT8(1);
    struct error e;
    must_script(pg, create);
    const struct pg_statement statements[] = { { insert, &one, 1 }, { commit, NULL, 0 } };
    must_script(pg, "BEGIN");
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e), ERR_NONE);
    must_script(pg, "BEGIN");
    assert_int_equal(pg_script(pg, "DELETE FROM kept; SELECT 1 / 0", &e), ERR_INVALID);
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e), ERR_INVALID);
    assert_string_equal(e.sqlstate, "25P02");
    must_script(pg, "ROLLBACK");
    assert_int_equal(number(pg, count_kept), 1);
    pg_close(pg);
}

static void test_timeout_is_of_each(void **state)
{
    (void)state;
    struct pg *pg = open_pg(1000);
    static const char nap[] = "SELECT pg_sleep(0.6)", sleep[] = "SELECT pg_sleep(60)";
    struct error e;
    const struct pg_statement naps[] = { { nap, NULL, 0 }, { nap, NULL, 0 }, { nap, NULL, 0 } };
    assert_int_equal(pg_run_together(pg, naps, ARRAY_LEN(naps), NULL, &e), ERR_NONE);
    const struct pg_statement sleeps[] = { { nap, NULL, 0 }, { sleep, NULL, 0 }, { sleep, NULL, 0 } };
    assert_int_equal(pg_run_together(pg, sleeps, ARRAY_LEN(sleeps), NULL, &e), ERR_TIMEOUT);
    assert_string_equal(e.sqlstate, "57014");
    assert_int_equal(number(pg, "SELECT 7"), 7);
    pg_close(pg);
}

static void test_lost_connection(void **state)
{
    (void)state;
    struct pg *pg = open_pg(20000);
    static const char end[] = "SELECT pg_terminate_backend(pg_backend_pid())";
    const struct pg_statement statements[] = { { two_rows, NULL, 0 }, { end, NULL, 0 }, { two_rows, NULL, 0 } };
    struct error e;
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e), ERR_LOST);
    assert_string_equal(e.sqlstate, "57P01");
    assert_true(pg_is_broken(pg));
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e), ERR_LOST);
    assert_string_equal(e.text, "the connection to the database broke before");
    pg_close(pg);
}

/* A server that is stopped keeps its connections and says nothing: as after a machine froze. */
static void test_silent_server(void **state)
{
    (void)state;
    struct pg *pg = open_pg(1000);
    pid_t backend = (pid_t)number(pg, "SELECT pg_backend_pid()");
    const struct pg_statement statements[] = { { two_rows, NULL, 0 }, { two_rows, NULL, 0 } };
    struct error e;
    assert_int_equal(pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e), ERR_NONE);
    if (kill(backend, SIGSTOP) != 0) {
        pg_close(pg);
        skip(); /* it runs as another user */
    }
    err_t err = pg_run_together(pg, statements, ARRAY_LEN(statements), NULL, &e);
    kill(backend, SIGCONT);
    assert_int_equal(err, ERR_LOST);
    assert_string_equal(e.text, "the database did not answer all that was sent together");
    assert_true(pg_is_broken(pg));
    pg_close(pg);
}

int main(void)
{
    conninfo = getenv("ANSWERD_TEST_DATABASE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_in_order),
        cmocka_unit_test(test_much_at_once),
        cmocka_unit_test(test_first_failure_ends_it),
        cmocka_unit_test(test_in_a_failed_transaction),
        cmocka_unit_test(test_one_that_cannot_be_prepared),
        cmocka_unit_test(test_timeout_is_of_each),
        cmocka_unit_test(test_lost_connection),
        cmocka_unit_test(test_silent_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
