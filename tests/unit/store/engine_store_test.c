#include "store/database.h"

#define SCHEMA "answerd_engine_store_test"

static void add_event(struct pg *pg, int64_t id, const char *doc_text)
{
    json_t *doc CLEANUP(json_free) = document(doc_text);
    json_put_int(doc, "id", id);
    char *text = json_dump(doc);
    const struct pg_value values[] = { PG_VALUE_TEXT(text) };
    static const char sql[] = "SELECT append_internal_events(jsonb_build_array($1::jsonb))";
    SUCCEEDS(pg_run(pg, sql, values, ARRAY_LEN(values), NULL, e));
    free(text);
}

static int64_t position_of(const struct claim *claim, size_t index)
{
    return json_int(json_array_get(claim->work, index), "position", 0);
}

static void test_claim_and_commit(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct claim claim = { .work = NULL };
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 0);
    claim_done(&claim);

    add_event(pg, 11,
              "{'type': 'message.received', 'key': 'k1', 'lane': 5, 'source': 'whatsapp', 'contact': {'identities': "
              "['whatsapp:1']}, 'message': {'text': 'hi'}}");
    add_event(pg, 12,
              "{'type': 'message.received', 'key': 'k2', 'lane': 5, 'source': 'whatsapp', 'contact': {'identities': "
              "['whatsapp:1']}}");
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 2);
    assert_int_equal(json_object_size(claim.facts), 0);
    const json_t *event = json_object_at(json_array_get(claim.work, 0), "event");
    assert_int_equal(json_int(event, "id", 0), 11);
    assert_int_equal(json_int(event, "lane", 0), 5);
    assert_string_equal(json_str(event, "key"), "k1");
    assert_true(json_time(event, "received_at", 0) > 0);

    const int64_t positions[] = { position_of(&claim, 0), position_of(&claim, 1) };
    json_t *changes CLEANUP(json_free) =
        document("{'contacts': [{'id': 100, 'lane': 5, 'name': 'Ada'}], 'identities': [{'identity': 'whatsapp:1', "
                 "'contact_id': 100}],"
                 " 'conversations': [{'id': 101, 'contact_id': 100}],"
                 " 'messages': [{'id': 102, 'direction': 'in', 'kind': 'text', 'text': 'hi', 'contact_id': 100, "
                 "'conversation_id': 101},"
                 "              {'id': 103, 'direction': 'note', 'kind': 'text', 'text': 'second', 'contact_id': 100, "
                 "'conversation_id': 101}],"
                 " 'handlings': [{'event_id': 11, 'contact_id': 100}, {'event_id': 12, 'contact_id': 100}]}");
    claim_done(&claim);
    SUCCEEDS(engine_store_commit(pg, changes, positions, ARRAY_LEN(positions), false, e));
    assert_int_equal(database_number(pg, "SELECT count(*) FROM work"), 0);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM handling"), 2);

    json_t *history CLEANUP(json_free) = NULL;
    SUCCEEDS(engine_store_history(pg, 101, 10, &history, e));
    assert_int_equal(json_array_size(history), 2);
    json_t *conversations CLEANUP(json_free) = NULL;
    SUCCEEDS(engine_store_conversations(pg, 100, 10, &conversations, e));
    assert_int_equal(json_array_size(conversations), 1);

    /* The same work a second time is refused as a whole. */
    struct error error;
    SUCCEEDS(pg_script(pg, "BEGIN", e));
    assert_int_equal(engine_store_commit(pg, changes, positions, ARRAY_LEN(positions), false, &error), ERR_CONFLICT);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM handling"), 2);
    database_drop(pg, SCHEMA);
}

static void test_conflicts_bring_facts(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg,
                       "INSERT INTO contact (id, lane) VALUES (200, 1); INSERT INTO identity (identity, contact_id) "
                       "VALUES ('email:a@b', 200)",
                       e));
    add_event(pg, 11,
              "{'type': 'message.received', 'key': 'k1', 'lane': 5, 'contact': {'identities': ['whatsapp:1']}}");
    json_t *changes CLEANUP(json_free) =
        document("{'contacts': [{'id': 100, 'lane': 5}], 'identities': [{'identity': 'whatsapp:1', 'contact_id': 100}, "
                 "{'identity': 'email:a@b', 'contact_id': 100}]}");
    struct claim claim;
    struct error error;
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    int64_t position = position_of(&claim, 0);
    assert_int_equal(json_object_size(claim.facts), 0);
    claim_done(&claim);
    assert_int_equal(engine_store_commit(pg, changes, &position, 1, false, &error), ERR_CONFLICT);
    assert_string_equal(error.sqlstate, "23505");
    assert_null(strstr(error.text, "a@b"));

    /* The connection is usable, and the next claim knows whom that handle belongs to: now it may move. */
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(json_array_at(claim.facts, "contacts")), 1);
    assert_int_equal(json_int(json_array_get(json_array_at(claim.facts, "contacts"), 0), "id", 0), 200);
    claim_done(&claim);
    SUCCEEDS(engine_store_commit(pg, changes, &position, 1, false, e));
    assert_int_equal(database_number(pg, "SELECT contact_id FROM identity WHERE identity = 'email:a@b'"), 100);
    database_drop(pg, SCHEMA);
}

/* "contacts/messages" that an event's claim brings. */
static void assert_leads_to(struct pg *pg, const char *type, const char *doc_text, const char *expected)
{
    static int64_t last_id = 5000;
    json_t *doc CLEANUP(json_free) = document(doc_text);
    json_put_str(doc, "type", type);
    json_put_str(doc, "source", "whatsapp");
    json_put_int(doc, "lane", 9);
    json_put_int(doc, "id", ++last_id);
    char *text = json_dump(doc);
    const struct pg_value values[] = { PG_VALUE_TEXT(text) };
    static const char sql[] = "SELECT append_internal_events(jsonb_build_array($1::jsonb))";
    SUCCEEDS(pg_run(pg, sql, values, ARRAY_LEN(values), NULL, e));
    free(text);
    struct claim claim = { .work = NULL };
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 1);
    struct buf found CLEANUP(buf_done);
    buf_init(&found, 1000);
    size_t index;
    json_t *contact;
    json_array_foreach (json_array_at(claim.facts, "contacts"), index, contact) {
        buf_addf(&found, "%lld ", (long long)json_int(contact, "id", 0));
    }
    buf_addf(&found, "/%zu", json_array_size(json_array_at(claim.facts, "messages")));
    buf_add_char(&found, '\0');
    if (strcmp(found.ptr, expected) != 0) {
        fail_msg("%s %s leads to %s, expected %s", type, doc_text, found.ptr, expected);
    }
    claim_done(&claim);
    SUCCEEDS(pg_script(pg, "DELETE FROM work; COMMIT", e));
}

static void test_facts_come_by_every_way_to_a_contact(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(
        pg,
        "INSERT INTO contact (id, lane) VALUES (1000, 1), (2000, 2), (3000, 3);"
        "INSERT INTO identity (identity, contact_id) VALUES ('whatsapp:1', 1000), ('telegram:2', 2000);"
        "INSERT INTO conversation (id, contact_id) VALUES (1001, 1000);"
        "INSERT INTO message (id, contact_id, conversation_id, direction, kind, state, source, provider_message_id)"
        " VALUES (1002, 1000, 1001, 'out', 'text', 'sent', 'whatsapp', 'wamid.1');"
        "INSERT INTO delivery (id, kind, source, message_id, message_created_at, contact_id, request)"
        " SELECT 1010, 'message', 'whatsapp', id, created_at, 1000, '{}' FROM message;"
        "INSERT INTO outreach (id, contact_id, topic, reference, other_references, goal, steps)"
        " VALUES (1006, 1000, 'billing', 'in_1', '{pi_1}', 'payment.succeeded', '[]'),"
        "        (1007, 2000, 'billing', '', '{}', 'payment.succeeded', '[]');",
        e));
    const char *received = "message.received";
    assert_leads_to(pg, received, "{'contact': {'identities': ['nobody:1']}}", "/0");
    assert_leads_to(pg, received, "{'contact': {'identities': ['phone:1', 'telegram:2', 7]}}", "1000 2000 /0");
    assert_leads_to(pg, received, "{'contact': {'former_identities': ['telegram:2']}}", "2000 /0");
    assert_leads_to(pg, "timer.x", "{'contact_id': 2000}", "2000 /0");
    assert_leads_to(pg, "timer.x", "{'contact_id': '2000'}", "2000 /0");
    assert_leads_to(pg, "custom.x", "{'contact_id': 'x', 'conversation_id': [1], 'contact': {'identities': 'no'}}",
                    "/0");
    assert_leads_to(pg, "custom.x", "{'conversation_id': 1001}", "1000 /0");
    assert_leads_to(pg, "message.status", "{'status': {'message_id': 'unknown', 'echo': '1010'}}", "1000 /1");
    assert_leads_to(pg, "message.status", "{'status': {'message_id': 'wamid.1'}}", "1000 /1");
    assert_leads_to(pg, "message.status", "{'status': {'message_id': 'wamid.1', 'echo': 1010}}", "1000 /1");
    assert_leads_to(pg, received, "{'contact': {'identities': ['whatsapp:1']}, 'message': {'reply_to': 'wamid.1'}}",
                    "1000 /1");
    assert_leads_to(pg, received, "{'contact': {'identities': ['whatsapp:1']}, 'message': {'id': 'wamid.1'}}",
                    "1000 /0");
    assert_leads_to(pg, "message.edited", "{'contact': {'identities': ['whatsapp:1']}, 'message': {'id': 'wamid.1'}}",
                    "1000 /1");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': 'pi_2', 'invoice': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': 'pi_1'}}", "1000 /0");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': 'pi_2', 'reference': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': 'pi_2', 'order': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': 'pi_2', 'subscription': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "payment.succeeded", "{'payment': {'id': '', 'reference': '', 'invoice': null}}", "/0");
    assert_leads_to(pg, "order.completed", "{'order': {'reference': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "order.completed", "{'order': {'id': 'in_1', 'reference': 7}}", "1000 /0");
    assert_leads_to(pg, "subscription.created", "{'subscription': {'id': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "custom.paid", "{'body': {'reference': 'in_1'}}", "1000 /0");
    assert_leads_to(pg, "custom.paid", "{'body': {'reference': 'in_2'}}", "/0");
    SUCCEEDS(pg_script(pg, "UPDATE contact SET merged_into = 2000 WHERE id = 1000", e));
    assert_leads_to(pg, "timer.x", "{'contact_id': 1000}", "2000 /0");
    database_drop(pg, SCHEMA);
}

static void test_failures_are_parked(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    add_event(pg, 11, "{'type': 't', 'key': 'k1', 'lane': 5}");
    add_event(pg, 12, "{'type': 't', 'key': 'k2', 'lane': 5}");
    struct claim claim;
    bool parked = true;
    int64_t position = database_number(pg, "SELECT min(position) FROM work");
    SUCCEEDS(engine_store_fail(pg, position, "it did not work", 2, 60000, &parked, e));
    assert_false(parked);
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 0);
    claim_done(&claim);
    SUCCEEDS(engine_store_fail(pg, position, "it did not work", 2, 60000, &parked, e));
    assert_true(parked);
    SUCCEEDS(engine_store_claim(pg, 10, &claim, e));
    assert_int_equal(json_array_size(claim.work), 1);
    claim_done(&claim);
    engine_store_rollback(pg);
    database_drop(pg, SCHEMA);
}

static void test_a_worker_that_dies(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    add_event(pg, 11, "{'type': 't', 'key': 'k1', 'lane': 5}");
    int64_t position = database_number(pg, "SELECT min(position) FROM work");
    int64_t blamed = -1;
    struct pg *worker = database_open(SCHEMA);
    SUCCEEDS(engine_store_start_worker(worker, 7000, e));
    SUCCEEDS(engine_store_note_in_flight(worker, 7000, &position, 1, e));
    SUCCEEDS(engine_store_blame_crashed(pg, &blamed, e));
    assert_int_equal(blamed, 0);
    pg_close(worker);
    for (int i = 0; i < 3000 && blamed == 0; i++) { /* the server notices the end of a session a moment later */
        SUCCEEDS(pg_script(pg, "SELECT pg_sleep(0.01)", e));
        SUCCEEDS(engine_store_blame_crashed(pg, &blamed, e));
    }
    assert_int_equal(blamed, 1);

    /* One that stops properly is not blamed. */
    worker = database_open(SCHEMA);
    SUCCEEDS(engine_store_start_worker(worker, 8000, e));
    SUCCEEDS(engine_store_note_in_flight(worker, 8000, &position, 1, e));
    SUCCEEDS(engine_store_note_in_flight(worker, 8000, NULL, 0, e));
    SUCCEEDS(engine_store_stop_worker(worker, 8000, e));
    pg_close(worker);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM engine_worker"), 0);
    database_drop(pg, SCHEMA);
}

static void test_timers(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    int64_t fired = -1;
    msec_t next_due = -1;
    SUCCEEDS(engine_store_fire_timers(pg, 100, &fired, &next_due, e));
    assert_int_equal(fired, 0);
    assert_int_equal(next_due, 0);
    SUCCEEDS(pg_script(pg,
                       "INSERT INTO timer (id, name, due_at, lane) VALUES (1, 'x', now(), 5), (2, 'y', now() + "
                       "interval '50 seconds', 5),"
                       " (3, 'z', '2099-01-01 00:00:00.25Z', 5)",
                       e));
    SUCCEEDS(engine_store_fire_timers(pg, 100, &fired, &next_due, e));
    assert_int_equal(fired, 1);
    assert_int_equal(next_due,
                     database_number(pg, "SELECT (extract(epoch FROM due_at) * 1000)::bigint FROM timer WHERE id = 2"));
    SUCCEEDS(pg_script(pg, "DELETE FROM timer WHERE id = 2", e));
    SUCCEEDS(engine_store_fire_timers(pg, 100, &fired, &next_due, e));
    assert_int_equal(next_due, 0); /* none within a minute */
    database_drop(pg, SCHEMA);
}

static void test_raw_bytes(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    SUCCEEDS(pg_script(pg,
                       "INSERT INTO webhook (id, source, headers, body, event_count, new_events, parser) VALUES (1, "
                       "'s', '{}', '\\x00ff41', 1, 1, 1);"
                       "INSERT INTO event (id, occurred_at, webhook_id, source, type, key, lane, doc) SELECT 2, now(), "
                       "1, 's', 't', 'k', 5, '{}'",
                       e));
    SUCCEEDS(pg_script(pg, "UPDATE event SET received_at = (SELECT received_at FROM webhook)", e));
    struct buf body CLEANUP(buf_done);
    buf_init(&body, 100);
    SUCCEEDS(engine_store_raw(pg, 2, &body, e));
    assert_int_equal(body.len, 3);
    assert_memory_equal(body.ptr,
                        "\0\xff"
                        "A",
                        3);
    struct error error;
    assert_int_equal(engine_store_raw(pg, 3, &body, &error), ERR_NOT_FOUND);
    database_drop(pg, SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_and_commit),
        cmocka_unit_test(test_conflicts_bring_facts),
        cmocka_unit_test(test_facts_come_by_every_way_to_a_contact),
        cmocka_unit_test(test_failures_are_parked),
        cmocka_unit_test(test_a_worker_that_dies),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_raw_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
