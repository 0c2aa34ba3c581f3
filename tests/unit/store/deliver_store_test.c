#include "store/database.h"

#define SCHEMA "answerd_deliver_store_test"

static void add_delivery(struct pg *pg, const char *policy)
{
    char sql[1500];
    snprintf(sql, sizeof(sql),
             "INSERT INTO contact (id, lane, opted_out) VALUES (100, 1, '{marketing}') ON CONFLICT DO NOTHING;"
             "INSERT INTO address (source, identity, contact_id, recipient, last_inbound_at) VALUES ('whatsapp', "
             "'whatsapp:1', 100, '1', now()) ON CONFLICT DO NOTHING;"
             "SELECT engine_commit(jsonb_build_object("
             " 'messages', jsonb_build_array(jsonb_build_object('id', 11, 'created_at', now(), 'direction', 'out', "
             "'kind', 'text', 'text', 'hi', 'contact_id', 100, 'source', 'whatsapp')),"
             " 'deliveries', jsonb_build_array(jsonb_build_object('id', 12, 'created_at', now(), 'kind', 'message', "
             "'source', 'whatsapp', 'identity', 'whatsapp:1', 'contact_id', 100,"
             "   'message_id', 11, 'message_created_at', now(), 'recipient', 'whatsapp whatsapp:1', 'request', "
             "jsonb_build_object('on_unknown', '%s')))), '{}')",
             policy);
    SUCCEEDS(pg_script(pg, sql, e));
}

static json_t *outcome_of(const json_t *delivery, const char *outcome)
{
    json_t *said = json_object();
    json_put_int(said, "id", json_int(delivery, "id", 0));
    json_put_str(said, "created_at", json_str(delivery, "created_at"));
    json_put_int(said, "number", json_int(delivery, "attempts", 0) + 1);
    json_put_int(said, "duration_ms", 5);
    json_put_str(said, "outcome", outcome);
    json_t *outcomes = json_array();
    json_array_append_new(outcomes, said);
    return outcomes;
}

static void test_claim_and_record(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    json_t *deliveries = NULL;
    msec_t next_due = -1;
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 60000, NULL, &deliveries, &next_due, e));
    assert_int_equal(json_array_size(deliveries), 0);
    assert_int_equal(next_due, 0);
    json_decref(deliveries);

    add_delivery(pg, "hold");
    json_t *paces CLEANUP(json_free) = document("{'whatsapp': {'per_second': 80, 'address_interval_ms': 6000, "
                                                "'address_burst': 45}, 'telegram': {'per_second': 0}}");
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 60000, paces, &deliveries, &next_due, e));
    assert_int_equal(json_array_size(deliveries), 1);
    const json_t *delivery = json_array_get(deliveries, 0);
    assert_int_equal(json_int(delivery, "id", 0), 12);
    assert_int_equal(json_int(delivery, "attempts", -1), 0);
    assert_string_equal(json_str(json_object_at(delivery, "request"), "on_unknown"), "hold");
    assert_true(json_time(json_object_at(delivery, "address"), "last_inbound_at", 0) > 0);
    assert_string_equal(
        json_string_value(json_array_get(json_array_at(json_object_at(delivery, "contact"), "opted_out"), 0)),
        "marketing");

    json_t *outcomes CLEANUP(json_free) = outcome_of(delivery, "sent");
    json_put_str(json_array_get(outcomes, 0), "provider_message_id", "wamid.1");
    SUCCEEDS(deliver_store_record(pg, outcomes, e));
    SUCCEEDS(deliver_store_record(pg, outcomes, e));
    assert_int_equal(
        database_number(pg, "SELECT count(*) FROM message WHERE state = 'sent' AND provider_message_id = 'wamid.1'"),
        1);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM outbox"), 0);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM attempt"), 1);

    json_t *nonsense CLEANUP(json_free) = outcome_of(delivery, "lost");
    struct error error;
    assert_int_equal(deliver_store_record(pg, nonsense, &error), ERR_INVALID);
    json_decref(deliveries);
    database_drop(pg, SCHEMA);
}

static void test_settle(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    add_delivery(pg, "give_up");
    json_t *deliveries = NULL;
    msec_t next_due = -1;
    int64_t settled = -1;
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 0, NULL, &deliveries, &next_due, e));
    json_decref(deliveries);
    SUCCEEDS(deliver_store_settle(pg, 0, 60000, &settled, e));
    assert_int_equal(settled, 1);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM message WHERE state = 'unknown'"), 1);
    SUCCEEDS(deliver_store_settle(pg, 0, 60000, &settled, e));
    assert_int_equal(settled, 0);
    SUCCEEDS(deliver_store_settle(pg, 0, 0, &settled, e));
    assert_int_equal(settled, 1);
    assert_int_equal(
        database_number(pg, "SELECT count(*) FROM delivery WHERE state = 'failed' AND error_code = 'unknown_outcome'"),
        1);
    database_drop(pg, SCHEMA);
}

static void test_one_that_cannot_be_settled(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    add_delivery(pg, "give_up");
    SUCCEEDS(pg_script(
        pg,
        "SELECT engine_commit(jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('id', 13, "
        "'created_at', now(), 'kind', 'webhook', 'endpoint', 'e', 'contact_id', 100, 'recipient', 'endpoint e', "
        "'request', '{}'::jsonb))), '{}');"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'not this one' USING ERRCODE = '22023'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON delivery FOR EACH ROW WHEN (new.id = 12 AND new.state = 'unknown') "
        "EXECUTE FUNCTION refuse()",
        e));
    json_t *deliveries = NULL;
    json_t *refused CLEANUP(json_free) = NULL;
    msec_t next_due = -1;
    int64_t settled = -1;
    struct error error;
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 0, NULL, &deliveries, &next_due, e));
    assert_int_equal(json_array_size(deliveries), 2);
    json_decref(deliveries);
    assert_int_equal(deliver_store_settle(pg, 0, 60000, &settled, &error), ERR_INVALID);
    SUCCEEDS(deliver_store_settle_each(pg, 0, 60000, &settled, &refused, e));
    assert_int_equal(settled, 1);
    assert_int_equal(json_array_size(refused), 1);
    assert_int_equal(json_int(json_array_get(refused, 0), "delivery", 0), 12);
    assert_string_equal(json_str(json_array_get(refused, 0), "sqlstate"), "22023");
    assert_string_equal(json_str(json_array_get(refused, 0), "reason"), "not this one");
    assert_int_equal(database_number(pg, "SELECT count(*) FROM delivery WHERE id = 13 AND state = 'unknown'"), 1);
    assert_int_equal(database_number(pg, "SELECT count(*) FROM outbox WHERE delivery_id = 12 AND state = 'sending'"),
                     1);
    /* Trouble of the server's is no row's. */
    SUCCEEDS(pg_script(pg,
                       "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                       "RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$",
                       e));
    json_t *none = NULL;
    assert_int_equal(deliver_store_settle_each(pg, 0, 60000, &settled, &none, &error), ERR_BUSY);
    assert_null(none);
    database_drop(pg, SCHEMA);
}

/* The number that `pg` sends under; `former` as a connection had it before. */
static int64_t sender_of(struct pg *pg, int64_t former)
{
    int64_t sender = former;
    SUCCEEDS(deliver_store_start_sender(pg, &sender, e));
    return sender;
}

static void test_a_lost_connection_is_a_dead_sender(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    struct pg *other = database_open(SCHEMA);
    int64_t mine = sender_of(pg, 0);
    int64_t theirs = sender_of(other, 0);
    assert_true(mine > 0 && theirs > 0 && mine != theirs);
    add_delivery(pg, "hold");
    json_t *deliveries = NULL;
    msec_t next_due = -1;
    int64_t settled = -1;
    SUCCEEDS(deliver_store_claim(other, theirs, 10, 60000, NULL, &deliveries, &next_due, e));
    SUCCEEDS(deliver_store_settle(pg, mine, 60000, &settled, e));
    assert_int_equal(settled, 0);
    pg_close(other);
    for (int i = 0; i < 500 && settled == 0; i++) {
        SUCCEEDS(deliver_store_settle(pg, mine, 60000, &settled, e)); /* the server notices in its own time */
    }
    assert_int_equal(settled, 1);

    other = database_open(SCHEMA);
    assert_int_equal(sender_of(other, theirs), theirs);
    json_t *outcomes CLEANUP(json_free) = outcome_of(json_array_get(deliveries, 0), "failed");
    json_decref(deliveries);
    SUCCEEDS(deliver_store_record(other, outcomes, e));
    assert_int_equal(database_number(pg, "SELECT count(*) FROM message WHERE state = 'failed'"), 1);
    pg_close(other);
    database_drop(pg, SCHEMA);
}

static void test_a_retry_says_when(void **state)
{
    (void)state;
    struct pg *pg = database_open_migrated(SCHEMA);
    add_delivery(pg, "hold");
    json_t *deliveries = NULL;
    msec_t next_due = -1;
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 60000, NULL, &deliveries, &next_due, e));
    json_t *outcomes CLEANUP(json_free) = outcome_of(json_array_get(deliveries, 0), "retry");
    json_put_time(json_array_get(outcomes, 0), "due_at", clock_now() + 100000);
    json_decref(deliveries);
    SUCCEEDS(deliver_store_record(pg, outcomes, e));
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 60000, NULL, &deliveries, &next_due, e));
    assert_int_equal(json_array_size(deliveries), 0);
    assert_true(next_due > clock_now() + 90000 && next_due <= clock_now() + 100001);
    json_decref(deliveries);

    /* Paused for ever: there is no time to come back at. */
    SUCCEEDS(pg_script(pg, "UPDATE outbox SET due_at = now(); SELECT pause_source('whatsapp', 'infinity', 'gone')", e));
    SUCCEEDS(deliver_store_claim(pg, 0, 10, 60000, NULL, &deliveries, &next_due, e));
    assert_int_equal(next_due, 0);
    json_decref(deliveries);
    database_drop(pg, SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claim_and_record),           cmocka_unit_test(test_settle),
        cmocka_unit_test(test_one_that_cannot_be_settled), cmocka_unit_test(test_a_lost_connection_is_a_dead_sender),
        cmocka_unit_test(test_a_retry_says_when),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
