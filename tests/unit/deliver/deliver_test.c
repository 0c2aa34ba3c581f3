/* The actor that sends, with a real PostgreSQL and a receiver that answers when the case lets it: what is claimed, what
 * is recorded, and what becomes of it at the end. */
#include "deliver/deliver.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "io/http_client.h"
#include "store/database.h"

#include "patience.h"

#define SCHEMA "answerd_deliver_test"
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

/* Statements are known by where their text stands, so each has its own. */
#define COUNT(table) database_number(stage.pg, "SELECT count(*) FROM " table)

/* --- a receiver --------------------------------------------------------------------------------------------------- */

static int listener;
static int port;
static pthread_t receiver;
static atomic_int asked[2]; /* at /0 and /1 */
static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_is_open;

static void open_gate(bool open)
{
    pthread_mutex_lock(&gate_lock);
    gate_is_open = open;
    pthread_cond_broadcast(&gate_moved);
    pthread_mutex_unlock(&gate_lock);
}

static void wait_at_gate(void)
{
    pthread_mutex_lock(&gate_lock);
    while (!gate_is_open) {
        pthread_cond_wait(&gate_moved, &gate_lock);
    }
    pthread_mutex_unlock(&gate_lock);
}

/* One request: all of it has come when the document is closed that its body is. */
static void *answer(void *arg)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int fd = (int)(intptr_t)arg;
    char request[8192];
    size_t length = 0;
    ssize_t got = 1;
    while (got > 0 && (length == 0 || request[length - 1] != '}')) {
        got = recv(fd, request + length, sizeof(request) - length, 0);
        length += got > 0 ? (size_t)got : 0;
    }
    if (got > 0) {
        atomic_fetch_add(&asked[memcmp(request, "POST /1 ", 8) == 0], 1);
        wait_at_gate();
        send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL);
    }
    close(fd);
    return NULL;
}

static void *receive(void *arg)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) {
            return arg;
        }
        pthread_t connection;
        pthread_create(&connection, NULL, answer, (void *)(intptr_t)fd);
        pthread_detach(connection);
    }
}

static void start_receiver(void)
{
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 50), 0);
    getsockname(listener, (struct sockaddr *)&address, &size);
    port = ntohs(address.sin_port);
    atomic_store(&asked[0], 0);
    atomic_store(&asked[1], 0);
    open_gate(false);
    assert_int_equal(pthread_create(&receiver, NULL, receive, NULL), 0);
}

static void stop_receiver(void)
{
    open_gate(true);
    shutdown(listener, SHUT_RDWR);
    pthread_join(receiver, NULL);
    close(listener);
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

struct stage {
    struct pg *pg;
    struct config config;
    struct rule_feed *feed;
    struct deliver *deliver;
};

static struct stage stage;

/* The endpoints "0" and "1". */
static struct rule_sources *endpoints(void)
{
    char text[1000];
    snprintf(text, sizeof(text),
             "endpoint '0' { url = 'http://127.0.0.1:%d/0', secret = '" SECRET "', timeout = '60s' }\n"
             "endpoint '1' { url = 'http://127.0.0.1:%d/1', secret = '" SECRET "' }\n",
             port, port);
    const struct rule_source_file file = { "a.lua", bytes_of(text) };
    struct rule_sources *sources = NULL;
    SUCCEEDS(rule_sources_make("rules", &file, 1, &sources, e));
    return sources;
}

static int set_up(void **state)
{
    (void)state;
    http_client_start();
    stage = (struct stage){ .pg = database_open_migrated(SCHEMA) };
    start_receiver();
    stage.feed = rule_feed_new(endpoints());
    stage.config.database.url = (char *)(uintptr_t)database_conninfo(SCHEMA);
    stage.config.deliver.max_in_flight = 4;
    stage.config.deliver.timeout_ms = PATIENCE_MS;
    stage.config.deliver.poll_ms = 4 * (msec_t)PATIENCE_MS; /* what is seen before that is seen for a reason */
    stage.config.deliver.settle_ms = 60000;
    stage.config.deliver.allow_private_addresses = true;
    const struct deliver_settings settings = { .config = &stage.config, .rules = stage.feed };
    SUCCEEDS(deliver_start(&settings, &stage.deliver, e));
    WAIT_UNTIL(deliver_is_healthy(stage.deliver));
    return 0;
}

static void stop(void)
{
    deliver_stop(stage.deliver);
    deliver_join(stage.deliver);
    deliver_free(stage.deliver);
    stage.deliver = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    open_gate(true);
    if (stage.deliver != NULL) {
        stop();
    }
    stop_receiver();
    rule_feed_free(stage.feed);
    database_drop(stage.pg, SCHEMA);
    return 0;
}

/* Puts a call in the outbox. */
static void add(int64_t id, const char *endpoint, const char *recipient, const char *due)
{
    char sql[600];
    snprintf(sql, sizeof(sql),
             "SELECT engine_commit(jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('id', %lld, "
             "'created_at', now(), 'kind', 'webhook', 'endpoint', '%s', 'recipient', '%s', 'due_at', now() + interval "
             "'%s', 'request', jsonb_build_object('type', 'told')))), '{}')",
             (long long)id, endpoint, recipient, due);
    SUCCEEDS(pg_script(stage.pg, sql, e));
}

static void add_and_nudge(int64_t id, const char *endpoint, const char *recipient)
{
    add(id, endpoint, recipient, "0 seconds");
    deliver_nudge(stage.deliver);
}

/* --- cases -------------------------------------------------------------------------------------------------------- */

/* Claims that are left behind would count as unknown. There is no room for more when the stop comes, so that nothing is
 * being claimed at this very moment. */
static void test_what_left_before_the_stop_is_recorded_and_nothing_more_leaves(void **state)
{
    (void)state;
    add(1, "0", "a", "0 seconds");
    add(2, "0", "b", "0 seconds");
    add(3, "1", "c", "0 seconds");
    add(4, "1", "d", "0 seconds");
    deliver_nudge(stage.deliver);
    WAIT_UNTIL(asked[0] + asked[1] == 4);
    deliver_stop(stage.deliver);
    add_and_nudge(5, "1", "e");
    open_gate(true);
    stop();
    assert_int_equal(COUNT("delivery WHERE id < 5 AND state = 'sent'"), 4);
    assert_int_equal(COUNT("delivery WHERE id = 5 AND state = 'queued'"), 1);
    assert_int_equal(COUNT("outbox WHERE state = 'sending'"), 0);
    assert_int_equal(asked[0] + asked[1], 4);
}

/* While it is under way nobody else may take it for lost, however long the endpoint may take. */
static void test_a_claim_lasts_longer_than_the_longest_call(void **state)
{
    (void)state;
    add_and_nudge(1, "0", "one");
    WAIT_UNTIL(asked[0] == 1);
    assert_int_equal(
        COUNT("outbox JOIN delivery AS d ON d.id = delivery_id WHERE outbox.state = 'sending' AND lease_until "
              "> last_attempt_at + interval '75 seconds'"),
        1);
}

static void test_one_endpoint_does_not_take_all_the_room(void **state)
{
    (void)state;
    static const char *const recipients[] = { "a", "b", "c", "d", "e" };
    for (size_t i = 0; i < ARRAY_LEN(recipients); i++) {
        add((int64_t)i + 1, "0", recipients[i], "0 seconds");
    }
    deliver_nudge(stage.deliver);
    WAIT_UNTIL(asked[0] == 2);
    add_and_nudge(10, "1", "other");
    WAIT_UNTIL(asked[1] == 1);
    assert_int_equal(asked[0], 2);
    assert_int_equal(COUNT("outbox WHERE state = 'sending'"), 3);
    open_gate(true);
    WAIT_UNTIL(COUNT("outbox") == 0);
    assert_int_equal(asked[0], 5);
    assert_int_equal(COUNT("delivery WHERE state = 'sent' AND attempts = 1"), 6);
}

static void test_who_is_next_in_line_leaves_when_the_first_is_recorded(void **state)
{
    (void)state;
    add(1, "0", "one", "0 seconds");
    add(2, "0", "one", "0 seconds");
    deliver_nudge(stage.deliver);
    WAIT_UNTIL(asked[0] == 1);
    assert_int_equal(COUNT("outbox WHERE state = 'sending'"), 1);
    open_gate(true);
    WAIT_UNTIL(asked[0] == 2);
    WAIT_UNTIL(COUNT("outbox") == 0);
}

static void test_what_is_due_later_leaves_at_its_time(void **state)
{
    (void)state;
    open_gate(true);
    add(1, "0", "one", "1 second");
    deliver_nudge(stage.deliver);
    WAIT_UNTIL(COUNT("delivery WHERE state = 'sent'") == 1);
}

/* The database answers the outcome of the first delivery with these words, one after the other, and then takes it. */
static void refuse_outcome(const char *sqlstates)
{
    char sql[1000];
    snprintf(
        sql, sizeof(sql),
        "CREATE SEQUENCE refused;"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE"
        " word constant text := (ARRAY[%s])[nextval('refused')]; BEGIN"
        " IF word IS NOT NULL THEN RAISE EXCEPTION 'not this one' USING ERRCODE = word; END IF; RETURN new; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON delivery FOR EACH ROW WHEN (new.id = 1 AND new.state = 'sent') "
        "EXECUTE FUNCTION refuse()",
        sqlstates);
    SUCCEEDS(pg_script(stage.pg, sql, e));
}

/* It was taken by the other side: forgotten, it would be sent again. */
static void test_an_outcome_is_kept_while_the_database_is_in_trouble(void **state)
{
    (void)state;
    refuse_outcome("'53100', '40001', '22000', '53100'"); /* together three times, then alone */
    open_gate(true);
    add_and_nudge(1, "0", "one");
    WAIT_UNTIL(COUNT("delivery WHERE state = 'sent'") == 1);
    assert_int_equal(database_number(stage.pg, "SELECT last_value FROM refused"), 5);
    assert_int_equal(COUNT("attempt"), 1);
    assert_int_equal(asked[0], 1);
}

/* Its lease settles it; that it can never be recorded must not hold up all others. */
static void test_an_outcome_that_is_refused_for_itself_holds_up_nobody(void **state)
{
    (void)state;
    refuse_outcome("'22000', '22000'"); /* with others, then alone */
    open_gate(true);
    add_and_nudge(1, "0", "one");
    WAIT_UNTIL(database_number(stage.pg, "SELECT last_value FROM refused") == 2);
    add_and_nudge(2, "1", "other");
    WAIT_UNTIL(COUNT("delivery WHERE id = 2 AND state = 'sent'") == 1);
    assert_int_equal(COUNT("delivery WHERE id = 1 AND state = 'sending'"), 1);
    assert_int_equal(asked[0], 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_what_left_before_the_stop_is_recorded_and_nothing_more_leaves),
        CASE(test_a_claim_lasts_longer_than_the_longest_call),
        CASE(test_one_endpoint_does_not_take_all_the_room),
        CASE(test_who_is_next_in_line_leaves_when_the_first_is_recorded),
        CASE(test_what_is_due_later_leaves_at_its_time),
        CASE(test_an_outcome_is_kept_while_the_database_is_in_trouble),
        CASE(test_an_outcome_that_is_refused_for_itself_holds_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
