/* Rows as objects: every kind of column, and what its text can look like. */
#include "store/row_objects.h"

#include "store/database.h"

#define SCHEMA "answerd_row_objects_test"

static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        { "2026-01-02 03:04:05+00", "2026-01-02T03:04:05+00:00" },
        { "2026-01-02 03:04:05.678901+00", "2026-01-02T03:04:05.678901+00:00" },
        { "2026-01-02 03:04:05.6+05:30", "2026-01-02T03:04:05.6+05:30" },
        { "294276-12-31 23:59:59.999999-11", "294276-12-31T23:59:59.999999-11:00" },
        { "infinity", "infinity" },
        { "-infinity", "-infinity" },
        { "", "" },
        /* What is no time comes out as it is, as far as it can. */
        { "2026-01-02+03:04:05+00:00", "2026-01-02+03:04:05+00:00" },
        { "as long as there is room for with minutes ..", "asTlong as there is room for with minutes ..:00" },
        { "longer than there is room for with minutes ..", "longer than there is room for with minutes .." },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *time CLEANUP(json_free) = row_time(bytes_of(cases[i].text));
        assert_string_equal(json_string_value(time), cases[i].expected);
    }
}

#define QUERY(sql)                                                                                                     \
    {                                                                                                                  \
        sql, "SELECT coalesce(json_agg(r), '[]')::text FROM (" sql ") AS r"                                            \
    }

/* What the database itself makes of them is what is expected. */
static void test_columns(void **state)
{
    (void)state;
    static const struct {
        const char *rows, *documents;
    } queries[] = {
        QUERY("SELECT true AS yes, false AS no, NULL::boolean AS unknown"),
        QUERY("SELECT 1::smallint AS small, -2 AS middle, 9223372036854775807 AS large, NULL::bigint AS none"),
        QUERY("SELECT E'a \"b\" \\\\ c\n'::text AS text, ''::text AS empty, NULL::text AS none"),
        QUERY("SELECT '{\"a\": [1, null, {\"b\": \"c\"}]}'::jsonb AS document, 'null'::jsonb AS nothing, NULL::jsonb "
              "AS none"),
        QUERY("SELECT '2026-01-02 03:04:05.678Z'::timestamptz AS time, NULL::timestamptz AS none"),
        QUERY("SELECT '{}'::text[] AS empty, '{a}'::text[] AS one, '{a,\"\",NULL,\"NULL\",b}'::text[] AS nulls"),
        QUERY("SELECT ARRAY['a,b', '{c}', 'd\"e', 'f\\g', ' h ', '\xc5\xbc', '='] AS quoted, NULL::text[] AS none"),
        QUERY("SELECT '[0:1]={a,\"[b]={\"}'::text[] AS from_zero, '[-2:-2]={NULL}'::text[] AS from_below"),
        QUERY("SELECT n AS number FROM generate_series(1, 3) AS n"),
        QUERY("SELECT 1 AS none WHERE false"),
    };
    struct pg *pg = database_open(SCHEMA);
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct pg_result *rows CLEANUP(pg_result_free) = NULL, *documents CLEANUP(pg_result_free) = NULL;
        json_t *found CLEANUP(json_free) = NULL, *expected CLEANUP(json_free) = NULL;
        SUCCEEDS(pg_run(pg, queries[i].rows, NULL, 0, &rows, e));
        SUCCEEDS(row_objects(rows, &found, e));
        SUCCEEDS(pg_run(pg, queries[i].documents, NULL, 0, &documents, e));
        SUCCEEDS(json_parse(pg_text(documents, 0, 0), &expected, e));
        if (!json_equal(found, expected)) {
            char *text = json_dump(found);
            fail_msg("%s gives %s", queries[i].rows, text);
        }
    }
    pg_close(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_times), cmocka_unit_test(test_columns) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
