#include "store/database.h"

#include "patience.h"

#define SCHEMA "answerd_migrate_test"

static size_t applied_count;

static void count_applied(const char *name, msec_t took_ms, void *arg)
{
    assert_non_null(name);
    assert_true(took_ms >= 0);
    assert_ptr_equal(arg, &applied_count);
    applied_count++;
}

static void test_from_nothing_to_current(void **state)
{
    (void)state;
    crypto_start();
    struct pg *pg = database_open_empty(SCHEMA);
    struct error error;
    assert_int_equal(store_check_schema(pg, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(error.text, "HINT: run answerd migrate"));

    size_t count = 0;
    applied_count = 0;
    SUCCEEDS(store_migrate(pg, count_applied, &applied_count, &count, e));
    assert_int_equal(count, applied_count);
    assert_int_equal(count, database_number(pg, "SELECT count(*) FROM schema_migration"));
    SUCCEEDS(store_check_schema(pg, e));
    SUCCEEDS(store_migrate(pg, count_applied, &applied_count, &count, e));
    assert_int_equal(count, 0);

    json_t *rows CLEANUP(json_free) = NULL;
    SUCCEEDS(store_migration_status(pg, &rows, e));
    assert_int_equal(json_array_size(rows), applied_count);
    assert_string_equal(json_str(json_array_get(rows, 0), "state"), "applied");
    assert_string_equal(json_str(json_array_get(rows, 0), "name"), "0001_tables.sql");
    assert_int_equal(store_schema_version(), json_int(json_array_get(rows, applied_count - 1), "number", 0));
    database_drop(pg, SCHEMA);
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct error error;
    size_t count = 0;
    SUCCEEDS(
        pg_script(pg, "DELETE FROM schema_migration WHERE number = (SELECT max(number) FROM schema_migration)", e));
    assert_int_equal(store_check_schema(pg, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "lacks migration"));

    SUCCEEDS(pg_script(pg, "INSERT INTO schema_migration VALUES (9999, '9999_later.sql', 'x')", e));
    assert_int_equal(store_check_schema(pg, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "newer"));
    assert_int_equal(store_migrate(pg, NULL, NULL, &count, &error), ERR_INVALID);

    SUCCEEDS(pg_script(
        pg,
        "DELETE FROM schema_migration WHERE number = 9999; UPDATE schema_migration SET checksum = 'x' WHERE number = 1",
        e));
    assert_int_equal(store_migrate(pg, NULL, NULL, &count, &error), ERR_INVALID);
    assert_non_null(strstr(error.text, "is not the one that was applied"));
    database_drop(pg, SCHEMA);
}

static void test_upkeep(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    int64_t first = 0;
    int64_t second = 0;
    SUCCEEDS(store_reserve_ids(pg, 1000, &first, e));
    SUCCEEDS(store_reserve_ids(pg, 1, &second, e));
    assert_true(second >= first + 1000);
    struct error error;
    assert_int_equal(store_reserve_ids(pg, 1001, &second, &error), ERR_INVALID);

    SUCCEEDS(store_add_rejects(pg, "stripe", "signature", 3, e));
    SUCCEEDS(store_add_rejects(pg, "stripe", "signature", 4, e));
    assert_int_equal(database_number(pg, "SELECT count FROM webhook_reject"), 7);
    SUCCEEDS(store_make_partitions(pg, e));
    SUCCEEDS(store_drop_old_partitions(pg, 6, e));
    SUCCEEDS(store_drop_old_partitions(pg, 0, e));
    assert_int_equal(database_number(pg, "SELECT count(*) FROM webhook_reject"), 1);

    json_t *description CLEANUP(json_free) = document("{'rules': [{'name': 'inbox'}]}");
    SUCCEEDS(store_record_rule_set(pg, "abc", description, e));
    SUCCEEDS(store_record_rule_set(pg, "abc", description, e));
    assert_int_equal(
        database_number(pg, "SELECT count(*) FROM rule_set WHERE description #>> '{rules,0,name}' = 'inbox'"), 1);
    database_drop(pg, SCHEMA);
}

/* Months from two to seven months ago, of three tables. */
static const char old_months[] =
    "DO $$ BEGIN EXECUTE (SELECT string_agg(format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition_name(t, -n), t,"
    " month_of(now()) - make_interval(months => n), month_of(now()) - make_interval(months => n - 1)), ';')"
    " FROM unnest(ARRAY['event', 'event_key', 'webhook']) AS t, generate_series(2, 7) AS n); END $$";

/* Whoever writes has keys first, then events, and webhooks last: what is dropped of one may not be held while another
 * is awaited. */
static void months_of_a_table_in_use_stay_and_the_others_go(void **state)
{
    (void)state;
    static const char left_sql[] =
        "SELECT count(*) FROM generate_series(4, 7) AS n, unnest(ARRAY['event', 'webhook']) AS t"
        " WHERE to_regclass(partition_name(t, -n)) IS NOT NULL";
    static const char keys_sql[] = "SELECT count(*) FROM generate_series(2, 7) AS n"
                                   " WHERE to_regclass(partition_name('event_key', -n)) IS NOT NULL";
    struct pg *pg = database_open_migrated(SCHEMA);
    struct pg *writer = database_open(SCHEMA);
    SUCCEEDS(pg_script(pg, old_months, e));
    SUCCEEDS(pg_script(writer, "BEGIN; LOCK TABLE event_key IN ROW EXCLUSIVE MODE", e));
    struct error error;
    msec_t began = clock_steady();
    assert_int_not_equal(store_drop_old_partitions(pg, 0, &error), ERR_NONE);
    assert_int_equal(database_number(pg, left_sql), 8);
    /* PostgreSQL's own autovacuum may have one of the others in hand for a moment. */
    do {
        assert_int_not_equal(store_drop_old_partitions(pg, 3, &error), ERR_NONE);
        assert_string_equal(error.sqlstate, "55P03");
        assert_true(clock_steady() - began < PATIENCE_MS);
    } while (database_number(pg, left_sql) > 0);
    assert_int_equal(database_number(pg, keys_sql), 6);
    SUCCEEDS(pg_script(writer, "COMMIT", e));
    WAIT_UNTIL(store_drop_old_partitions(pg, 3, &error) == ERR_NONE);
    assert_int_equal(database_number(pg, keys_sql), 2);
    pg_close(writer);
    database_drop(pg, SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_nothing_to_current),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_upkeep),
        cmocka_unit_test(months_of_a_table_in_use_stay_and_the_others_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
