/* The rows that a claim reads are the documents that the database makes of them for programs of an earlier version. */
#include "store/database.h"

#define SCHEMA "answerd_engine_people_test"

/* Two people, one of them merged from a third, with something in each table; what the columns can hold is in them. */
static const char people[] =
    "INSERT INTO contact (id, lane, name, timezone, attributes, opted_out, opted_out_at, created_at)"
    " VALUES (1000, 1, E'Ada \"the \\\\ first\"\\nline, {x}', 'Europe/Berlin', '{\"plan\": {\"seats\": [1, 2.5, "
    "null]}}',"
    "         ARRAY['all', 'a b', '', 'c,d', E'e\"f\\\\g', '{h}', 'NULL', NULL], '2026-01-02T03:04:05.678901Z', "
    "'2026-01-01'),"
    "        (2000, 2, '', NULL, '{}', '{}', NULL, '2025-12-31T23:59:59.5Z'), (4000, 4, 'gone', NULL, '{}', '{}', "
    "NULL, now());"
    "UPDATE contact SET merged_into = 1000 WHERE id = 4000;"
    "INSERT INTO identity (identity, contact_id, created_at, proven_by) VALUES ('whatsapp:1', 1000, now(), 'whatsapp'),"
    "  ('email:a@b', 1000, now() - interval '1 day', ''), ('telegram:2', 2000, now(), '');"
    "INSERT INTO address (source, identity, contact_id, recipient, last_inbound_at, next_slot_at)"
    " VALUES ('whatsapp', 'whatsapp:1', 1000, '1', now(), 'infinity'), ('telegram', 'telegram:2', 2000, '2', NULL, "
    "NULL);"
    "INSERT INTO conversation (id, contact_id, tags, attributes) VALUES (1001, 1000, '{vip,\"two words\"}', '{\"a\": "
    "1}'),"
    "  (2001, 2000, '{}', '{}');"
    /* Beyond the five that ended last: one that an event names, one that was asked about lately. */
    "INSERT INTO conversation (id, contact_id, state, resolved_at, updated_at)"
    " SELECT 1100 + n, 1000, 'resolved', now(), now() - n * interval '1 hour' FROM generate_series(1, 9) AS n;"
    "INSERT INTO conversation (id, contact_id, state, resolved_at, updated_at) VALUES"
    "  (2100, 2000, 'resolved', now(), now() - interval '40 days'), (2101, 2000, 'resolved', now(), now() - interval "
    "'1 day');"
    "INSERT INTO survey (id, name, conversation_id, contact_id, episode, asked_at, state, score) VALUES"
    "  (1200, 'csat', 1108, 1000, 1, now() - interval '1 day', 'answered', 4),"
    "  (1201, 'csat', 1109, 1000, 1, now() - interval '50 days', 'expired', NULL),"
    "  (1202, 'other', 1109, 1000, 1, now() - interval '90 days', 'expired', NULL),"
    "  (1203, 'gone', 1107, 1000, 1, now(), 'canceled', NULL);"
    "INSERT INTO outreach (id, contact_id, topic, reference, other_references, goal, goals, steps, state, started_at)"
    " SELECT 1300 + n, 1000, 'billing', n::text, ARRAY['pi_' || n], 'payment.succeeded', '{payment.succeeded}', "
    "'[{\"after\": \"0s\"}]',"
    "        CASE WHEN n < 4 THEN 'active' ELSE 'exhausted' END, now() - n * interval '1 minute' FROM "
    "generate_series(1, 12) AS n;"
    "INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, unless) VALUES"
    "  (1400, 'b', now() + interval '2 hours', 1, 1000, 1001, '[\"message.received\"]'),"
    "  (1401, 'a', now() + interval '1 hour', 1, 1000, 1001, '[]'), (2400, 'a', now(), 1, 2000, 2001, '[]');"
    "INSERT INTO message (id, conversation_id, contact_id, direction, kind, state, source, provider_message_id, text, "
    "content) VALUES"
    "  (1500, 1001, 1000, 'out', 'text', 'sent', 'whatsapp', 'wamid.1', 'hi', '{\"delivery\": 1}'),"
    "  (4500, 1001, 4000, 'out', 'text', 'sent', 'whatsapp', 'wamid.4', NULL, '{}'),"
    "  (3500, 3001, 3000, 'out', 'text', 'sent', 'whatsapp', 'wamid.3', NULL, '{}'),"
    "  (1501, 1001, 1000, 'out', 'text', 'sent', 'other', 'wamid.1', NULL, '{}');"
    "INSERT INTO delivery (id, kind, source, message_id, message_created_at, contact_id, request)"
    " SELECT id + 10, 'message', 'whatsapp', id, created_at, contact_id, '{}' FROM message WHERE id = 4500;";

static const char events[] =
    "SELECT append_internal_events(jsonb_build_array("
    " '{\"id\": 1, \"lane\": 1, \"key\": \"a\", \"source\": \"whatsapp\", \"type\": \"message.received\", \"contact\":"
    "   {\"identities\": [\"phone:1\"]}, \"message\": {\"reply_to\": \"wamid.3\"}}'::jsonb,"
    " '{\"id\": 2, \"lane\": 2, \"key\": \"b\", \"source\": \"whatsapp\", \"type\": \"custom.x\", \"conversation_id\": "
    "2100}'::jsonb,"
    " '{\"id\": 3, \"lane\": 3, \"key\": \"c\", \"source\": \"whatsapp\", \"type\": \"custom.x\", \"conversation_id\": "
    "1109}'::jsonb,"
    " '{\"id\": 4, \"lane\": 4, \"key\": \"d\", \"source\": \"whatsapp\", \"type\": \"message.edited\", \"contact\":"
    "   {\"identities\": [\"whatsapp:1\"]}, \"message\": {\"id\": \"wamid.1\"}}'::jsonb,"
    " '{\"id\": 5, \"lane\": 5, \"key\": \"e\", \"source\": \"whatsapp\", \"type\": \"message.status\", \"status\": "
    "{\"echo\": 4510}}'::jsonb))";

static json_t *documents_of(struct pg *pg)
{
    static const char sql[] = "SELECT to_json(f)::text FROM claimed_facts(names_in_events(ARRAY(SELECT position FROM "
                              "work ORDER BY position)),"
                              " '{whatsapp,whatsapp}', '{wamid.1,wamid.3}', '{}', false) AS f";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    SUCCEEDS(pg_run(pg, sql, NULL, 0, &result, e));
    json_t *documents = NULL;
    SUCCEEDS(json_parse(pg_text(result, 0, 0), &documents, e));
    return documents;
}

static void assert_same_documents(const json_t *facts, const json_t *documents)
{
    const char *table;
    json_t *rows;
    assert_int_equal(json_object_size(facts), 8);
    json_object_foreach ((json_t *)(uintptr_t)documents, table, rows) {
        const json_t *found = json_array_at(facts, table);
        assert_true(json_array_size(rows) > 0);
        if (!json_equal(found, rows)) {
            char *as_rows = json_dump(found);
            char *as_documents = json_dump(rows);
            fail_msg("%s are read as\n%s\nbut are\n%s", table, as_rows, as_documents);
        }
    }
}

static void test_rows_are_the_documents(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg, people, e));
    SUCCEEDS(pg_script(pg, events, e));
    json_t *documents CLEANUP(json_free) = documents_of(pg);
    struct claim claim;
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 5);
    assert_same_documents(claim.facts, documents);
    claim_done(&claim);
    engine_store_rollback(pg);
    database_drop(pg, SCHEMA);
}

/* Rules are not run on half of what is known: the claim fails, its transaction is over, and the work stays. */
static void test_what_cannot_be_read_fails_the_claim(void **state)
{
    (void)state;
    static const struct {
        const char *breaks, *sqlstate;
        err_t err;
    } cases[] = {
        { "ALTER TABLE timer RENAME counts_from TO away", "42703", ERR_INVALID },
        { "ALTER TABLE survey RENAME scale TO away", "42703", ERR_INVALID },
        { "ALTER FUNCTION claimed_contacts(event_names, boolean) RENAME TO away", "42883", ERR_BUSY },
    };
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg, people, e));
    SUCCEEDS(pg_script(pg, events, e));
    pg_close(pg);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        pg = database_open(SCHEMA);
        SUCCEEDS(pg_script(pg, cases[i].breaks, e));
        struct claim claim = { .work = NULL };
        struct error error;
        assert_int_equal(engine_store_claim(pg, 10, &claim, &error), cases[i].err);
        assert_string_equal(error.sqlstate, cases[i].sqlstate);
        assert_null(claim.work);
        assert_int_equal(database_number(pg, "SELECT count(*) FROM work"), 5);
        SUCCEEDS(pg_script(pg, "BEGIN; ROLLBACK", e)); /* none was open */
        pg_close(pg);
    }
    pg = database_open(SCHEMA);
    database_drop(pg, SCHEMA);
}

/* Whatever form the owner of the database likes. */
static void test_the_form_of_times_is_ours(void **state)
{
    (void)state;
    const char *database = getenv("ANSWERD_TEST_DATABASE");
    if (database == NULL || database[0] == '\0') {
        skip();
    }
    char conninfo[1200];
    snprintf(conninfo, sizeof(conninfo), "%s options='-c DateStyle=German -c TimeZone=Asia/Kolkata'", database);
    const struct pg_settings settings = { .conninfo = conninfo, .application_name = "store test" };
    struct pg *pg = NULL;
    SUCCEEDS(pg_open(&settings, &pg, e));
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    SUCCEEDS(pg_run(pg, "SELECT '2026-01-02T03:04:05.678Z'::timestamptz", NULL, 0, &result, e));
    static const char expected[] = "2026-01-02 03:04:05.678+00";
    assert_int_equal(pg_text(result, 0, 0).len, strlen(expected));
    assert_memory_equal(pg_text(result, 0, 0).ptr, expected, strlen(expected));
    pg_close(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_the_documents),
        cmocka_unit_test(test_what_cannot_be_read_fails_the_claim),
        cmocka_unit_test(test_the_form_of_times_is_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
