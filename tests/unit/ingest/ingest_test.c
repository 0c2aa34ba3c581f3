/* The whole actor against a real PostgreSQL, named by ANSWERD_TEST_DATABASE; without it the cases are skipped. */
#include "ingest_stage.h"

#include "patience.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "base/text.h"

/* --- cases ------------------------------------------------------------------------------------------------------ */

static void test_genuine_and_again(void **state)
{
    (void)state;
    need_database();
    int before = atomic_load(&nudges);
    assert_int_equal(post(hmac_name, SECRET, "{\"id\":\"e1\",\"n\":1}"), 200);
    assert_int_equal(post(hmac_name, SECRET, "{\"id\":\"e1\",\"n\":1}"), 200);
    assert_int_equal(post(hmac_name, SECRET, "{\"id\":\"e2\"}"), 200);
    assert_int_equal(number(webhooks_sql, hmac_name), 3);
    assert_int_equal(number(events_sql, hmac_name), 2);
    assert_int_equal(number(work_sql, hmac_name), 2);
    assert_int_equal(atomic_load(&nudges), before + 2);
    assert_int_equal(number("SELECT count(DISTINCT lane) FROM event WHERE source = $1", hmac_name), 1);
}

static void test_forged_leaves_its_count(void **state)
{
    (void)state;
    need_database();
    char forged[4096];
    char unknown[4096];
    char request[4096];
    for (int i = 0; i < 3; i++) {
        signed_request(request, sizeof(request), hmac_name, "wrong", "{\"id\":\"f\"}");
        assert_int_equal(ask(request, forged, sizeof(forged)), 401);
    }
    signed_request(request, sizeof(request), "nobody", SECRET, "{}");
    assert_int_equal(ask(request, unknown, sizeof(unknown)), 401);
    /* The same but for the date. */
    assert_string_equal(strstr(forged, "Content-Length"), strstr(unknown, "Content-Length"));
    assert_int_equal(number(webhooks_sql, hmac_name), 0);
    struct error e;
    /* What the database does not take waits until it does. */
    assert_int_equal(pg_script(pg, "BEGIN READ ONLY", &e), ERR_NONE);
    assert_int_not_equal(ingest_flush_rejects(ingest, pg, &e), ERR_NONE);
    assert_int_equal(pg_script(pg, "ROLLBACK", &e), ERR_NONE);
    assert_int_equal(ingest_flush_rejects(ingest, pg, &e), ERR_NONE);
    assert_int_equal(ingest_flush_rejects(ingest, pg, &e), ERR_NONE);
    assert_int_equal(number("SELECT sum(count) FROM webhook_reject WHERE source = $1", hmac_name), 3);
    assert_int_equal(number("SELECT count(*) FROM webhook_reject WHERE source = $1", "nobody"), 0);
    assert_true(number("SELECT sum(count) FROM webhook_reject WHERE source = $1", "(unknown)") >= 1);
}

/* Also without HTTPS nobody learns which sources there are. */
static void test_only_by_https(void **state)
{
    (void)state;
    need_database();
    char known[4096];
    char unknown[4096];
    char request[4096];
    signed_request(request, sizeof(request), hmac_name, SECRET, "{\"id\":\"plain\"}");
    assert_int_equal(ask(request, known, sizeof(known)), 403);
    signed_request(request, sizeof(request), "nobody", SECRET, "{\"id\":\"plain\"}");
    assert_int_equal(ask(request, unknown, sizeof(unknown)), 403);
    assert_string_equal(strstr(known, "Content-Length"), strstr(unknown, "Content-Length"));
    assert_int_equal(number(webhooks_sql, hmac_name), 0);
}

static void test_paths_and_methods(void **state)
{
    (void)state;
    need_database();
    char request[1024];
    char answer[4096];
    static const char *const missing[] = { "/",        "/webhooks", "/webhooks/",  "/webhooks/a/b",
                                           "/healthz", "/metrics",  "//webhooks/x" };
    for (size_t i = 0; i < ARRAY_LEN(missing); i++) {
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", missing[i]);
        assert_int_equal(ask(request, answer, sizeof(answer)), 404);
    }
    static const char *const methods[] = { "GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW" };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        snprintf(request, sizeof(request), "%s /webhooks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
                 methods[i], hmac_name);
        assert_int_equal(ask(request, answer, sizeof(answer)), 405);
        assert_non_null(strstr(answer, "Allow: POST\r\n"));
    }
    snprintf(request, sizeof(request), "PUT /webhooks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
             whatsapp_name);
    assert_int_equal(ask(request, answer, sizeof(answer)), 405);
    assert_non_null(strstr(answer, "Allow: GET, POST\r\n"));
    snprintf(request, sizeof(request), "POST /webhooks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n",
             hmac_name);
    assert_int_equal(ask(request, answer, sizeof(answer)), 413);
}

static void test_handshake(void **state)
{
    (void)state;
    need_database();
    char request[1024];
    char answer[4096];
    static const char form[] =
        "GET /webhooks/%s?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=%s HTTP/1.1\r\nHost: h\r\n\r\n";
    snprintf(request, sizeof(request), form, whatsapp_name, "vt");
    assert_int_equal(ask(request, answer, sizeof(answer)), 200);
    assert_non_null(strstr(answer, "\r\n\r\n1158201444"));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n1158201444");
    assert_non_null(strstr(answer, "Content-Type: text/plain"));
    snprintf(request, sizeof(request), form, whatsapp_name, "wrong");
    assert_int_equal(ask(request, answer, sizeof(answer)), 403);
    assert_null(strstr(answer, "1158201444"));
    snprintf(request, sizeof(request), "GET /webhooks/%s HTTP/1.1\r\nHost: h\r\n\r\n", whatsapp_name);
    assert_int_equal(ask(request, answer, sizeof(answer)), 403);

    /* What cannot be read is said, and nothing is taken for what was meant. */
    static const char *const unreadable[] = {
        "vt&utm=100%", "vt&utm=%zz", "vt&utm=%00", "vt%00",
        "vt&1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20&21&22&23&24&25&26&27&28&29&30"
    };
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        snprintf(request, sizeof(request), form, whatsapp_name, unreadable[i]);
        assert_int_equal(ask(request, answer, sizeof(answer)), 400);
        assert_non_null(strstr(answer, "\r\n\r\nthe query cannot be read: "));
        assert_null(strstr(answer, "1158201444"));
    }
    snprintf(request, sizeof(request), form, whatsapp_name, "vt&utm=100%25&campaign=%C3%BC&empty");
    assert_int_equal(ask(request, answer, sizeof(answer)), 200);
}

static void test_headers_without_secrets(void **state)
{
    (void)state;
    need_database();
    char request[1024];
    char answer[4096];
    static const char body[] =
        "{\"update_id\":1,\"message\":{\"message_id\":1,\"date\":1763884800,\"chat\":{\"id\":42,\"type\":\"private\"},"
        "\"from\":{\"id\":42,\"is_bot\":false,\"first_name\":\"A\"},\"text\":\"hi\\u0000\"}}";
    snprintf(request, sizeof(request),
             "POST /webhooks/%s HTTP/1.1\r\nHost: h\r\nX-Telegram-Bot-Api-Secret-Token: tele-secret\r\nX-Echo: "
             "tele-secret\r\n"
             "X-Twice: a\r\nX-Twice: b\r\nContent-Length: %zu\r\n\r\n%s",
             telegram_name, strlen(body), body);
    assert_int_equal(ask(request, answer, sizeof(answer)), 200);
    assert_int_equal(post(hmac_name, SECRET, "{}"), 200);
    assert_int_equal(
        number("SELECT count(*) FROM webhook WHERE source = $1 AND headers::text LIKE '%tele-secret%'", telegram_name),
        0);
    assert_int_equal(
        number("SELECT count(*) FROM webhook WHERE source = $1 AND headers->>'x-twice' = 'a, b'", telegram_name), 1);
    assert_int_equal(
        number("SELECT count(*) FROM webhook WHERE source = $1 AND headers ?| array['cookie', 'authorization']",
               hmac_name),
        0);
    assert_int_equal(
        number("SELECT count(*) FROM webhook WHERE source = $1 AND headers ?& array['x-note', 'x-signature']",
               hmac_name),
        1);
    assert_int_equal(number("SELECT lane FROM event WHERE source = $1", telegram_name), lane_of("telegram:42"));
}

/* A verify token is a secret that somebody may try to guess. */
static void test_guesses_of_the_token_come_to_an_end(void **state)
{
    (void)state;
    need_database();
    char request[1024];
    char answer[4096];
    static const char form[] = "GET /webhooks/%s?hub.mode=subscribe&hub.challenge=1&hub.verify_token=%s HTTP/1.1\r\n"
                               "Host: h\r\n\r\n";
    static const char *const guesses[] = { "v", "t", "100%" };
    for (size_t i = 0; i < ARRAY_LEN(guesses); i++) {
        snprintf(request, sizeof(request), form, whatsapp_name, guesses[i]);
        assert_int_equal(ask(request, answer, sizeof(answer)), i < 2 ? 403 : 400);
    }
    snprintf(request, sizeof(request), form, whatsapp_name, "vt");
    assert_int_equal(ask(request, answer, sizeof(answer)), 429);
    assert_non_null(strstr(answer, "Retry-After: "));
}

static void test_unparsed_is_kept(void **state)
{
    (void)state;
    need_database();
    char request[1024];
    char answer[4096];
    snprintf(request, sizeof(request),
             "POST /webhooks/%s HTTP/1.1\r\nHost: h\r\nX-Telegram-Bot-Api-Secret-Token: tele-secret\r\nContent-Length: "
             "8\r\n\r\nnot json",
             telegram_name);
    assert_int_equal(ask(request, answer, sizeof(answer)), 200);
    assert_int_equal(
        number("SELECT count(*) FROM webhook WHERE source = $1 AND problem IS NOT NULL AND body = 'not json'::bytea",
               telegram_name),
        1);
    assert_int_equal(number(events_sql, telegram_name), 0);
}

/* --- many at once ----------------------------------------------------------------------------------------------- */

struct sender {
    pthread_t thread;
    int number;
    int requests;
    int accepted;
    int busy;
    int failed;
    int other;
};

static atomic_bool stop_sending;
static atomic_int accepted; /* of all senders so far, as is the next */
static atomic_int busy;

static void *send_many(void *arg)
{
    struct sender *s = arg;
    int fd = -1;
    for (int i = 0; i < s->requests && !atomic_load(&stop_sending); i++) {
        char body[128];
        char request[2048];
        char answer[4096];
        snprintf(body, sizeof(body), "{\"id\":\"m-%d-%d\"%s}", s->number, i,
                 s->number == 3 && i == 2 ? ",\"x\":\"POISON\"" : "");
        signed_request(request, sizeof(request), hmac_name, SECRET, body);
        if (fd < 0)
            fd = open_client();
        if (fd < 0)
            break;
        bool sent = send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request);
        int status = sent ? read_answer(fd, answer, sizeof(answer)) : 0;
        if (status == 200) {
            s->accepted++;
            atomic_fetch_add(&accepted, 1);
        }
        if (status == 503 && strstr(answer, "Retry-After: ")) {
            s->busy++;
            atomic_fetch_add(&busy, 1);
        }
        if (status == 503)
            usleep(20 * 1000); /* a sender would wait longer */
        s->failed += status == 500;
        s->other += status != 200 && status != 503 && status != 500;
        if (status == 0 || strstr(answer, "Connection: close")) {
            close(fd);
            fd = -1;
        }
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

#define SENDERS 24

static void start_senders(struct sender *senders, int requests)
{
    atomic_store(&stop_sending, false);
    atomic_store(&accepted, 0);
    atomic_store(&busy, 0);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .number = i, .requests = requests };
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
}

static struct sender join_senders(struct sender *senders)
{
    struct sender sum = { .number = 0 };
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        sum.accepted += senders[i].accepted;
        sum.busy += senders[i].busy;
        sum.failed += senders[i].failed;
        sum.other += senders[i].other;
    }
    return sum;
}

static void test_a_poison_row_costs_only_itself(void **state)
{
    (void)state;
    need_database();
    struct error e;
    /* A stand-in for whatever PostgreSQL may refuse one day. */
    assert_int_equal(
        pg_script(pg,
                  "CREATE OR REPLACE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN IF position('POISON' IN convert_from(NEW.body, 'UTF8')) > 0 THEN "
                  "RAISE EXCEPTION 'poison' USING ERRCODE = '22000'; END IF; RETURN NEW; END $$;"
                  "CREATE OR REPLACE TRIGGER refuse_poison BEFORE INSERT ON webhook FOR EACH ROW EXECUTE FUNCTION "
                  "refuse_poison()",
                  &e),
        ERR_NONE);
    struct sender senders[SENDERS];
    start_senders(senders, 20);
    struct sender sum = join_senders(senders);
    assert_int_equal(pg_script(pg, "DROP TRIGGER refuse_poison ON webhook; DROP FUNCTION refuse_poison()", &e),
                     ERR_NONE);
    assert_int_equal(sum.failed, 1);
    assert_int_equal(sum.accepted, SENDERS * 20 - 1);
    assert_int_equal(sum.other + sum.busy, 0);
    assert_int_equal(number(webhooks_sql, hmac_name), SENDERS * 20 - 1);
    assert_int_equal(number(events_sql, hmac_name), SENDERS * 20 - 1);
}

/* 500 would tell the provider that we are broken: some give up for good then. */
static void test_a_conflict_that_stays_is_to_come_again(void **state)
{
    (void)state;
    need_database();
    struct error e;
    assert_int_equal(
        pg_script(pg,
                  "CREATE OR REPLACE FUNCTION meet_conflict() RETURNS trigger LANGUAGE plpgsql AS "
                  "$$ BEGIN IF position('CONFLICT' IN convert_from(NEW.body, 'UTF8')) > 0 THEN "
                  "RAISE EXCEPTION 'conflict' USING ERRCODE = '40P01'; END IF; RETURN NEW; END $$;"
                  "CREATE OR REPLACE TRIGGER meet_conflict BEFORE INSERT ON webhook FOR EACH ROW EXECUTE FUNCTION "
                  "meet_conflict()",
                  &e),
        ERR_NONE);
    int status = post(hmac_name, SECRET, "{\"id\":\"CONFLICT\"}");
    assert_int_equal(pg_script(pg, "DROP TRIGGER meet_conflict ON webhook; DROP FUNCTION meet_conflict()", &e),
                     ERR_NONE);
    assert_int_equal(status, 503);
    assert_int_equal(number(webhooks_sql, hmac_name), 0);
    assert_int_equal(post(hmac_name, SECRET, "{\"id\":\"CONFLICT\"}"), 200);
    assert_int_equal(number(events_sql, hmac_name), 1);
}

static void kill_connections(void)
{
    struct error e;
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    assert_int_equal(
        pg_run(pg,
               "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'answerd ingest' "
               "AND datname = current_database()",
               NULL, 0, &r, &e),
        ERR_NONE);
}

static void test_nothing_acknowledged_is_lost_when_connections_break(void **state)
{
    (void)state;
    need_database();
    struct sender senders[SENDERS];
    start_senders(senders, INT_MAX);
    msec_t began = clock_steady();
    /* Each time when it is back at work; and until somebody was put off. */
    for (int i = 0; i < 5 || atomic_load(&busy) == 0; i++) {
        int before = atomic_load(&accepted);
        WAIT_UNTIL(atomic_load(&accepted) > before + SENDERS);
        kill_connections();
        assert_true(clock_steady() - began < 2 * PATIENCE_MS);
    }
    atomic_store(&stop_sending, true);
    struct sender sum = join_senders(senders);
    print_message("accepted=%d busy=%d failed=%d other=%d\n", sum.accepted, sum.busy, sum.failed, sum.other);
    assert_int_equal(sum.failed + sum.other, 0);
    assert_true(number(events_sql, hmac_name) >= sum.accepted);
    /* It is back by itself. */
    WAIT_UNTIL(post(hmac_name, SECRET, "{\"id\":\"after\"}") == 200);
}

static void test_drain_loses_no_answer(void **state)
{
    (void)state;
    need_database();
    struct sender senders[SENDERS];
    start_senders(senders, INT_MAX);
    WAIT_UNTIL(atomic_load(&accepted) > 200);
    ingest_drain(ingest);
    atomic_store(&stop_sending, true);
    struct sender sum = join_senders(senders);
    print_message("accepted=%d busy=%d other=%d\n", sum.accepted, sum.busy, sum.other);
    assert_int_equal(sum.failed, 0);
    /* What was stored was also answered, and the other way round; only a request that was never read may end in a
     * reset. */
    assert_int_equal(number(events_sql, hmac_name), sum.accepted);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start_ingest, stop_ingest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_genuine_and_again),
        CASE(test_forged_leaves_its_count),
        cmocka_unit_test_setup_teardown(test_only_by_https, start_strict_ingest, stop_ingest),
        CASE(test_paths_and_methods),
        CASE(test_handshake),
        cmocka_unit_test_setup_teardown(test_guesses_of_the_token_come_to_an_end, start_limited_ingest, stop_ingest),
        CASE(test_headers_without_secrets),
        CASE(test_unparsed_is_kept),
        CASE(test_a_poison_row_costs_only_itself),
        CASE(test_a_conflict_that_stays_is_to_come_again),
        CASE(test_nothing_acknowledged_is_lost_when_connections_break),
        CASE(test_drain_loses_no_answer),
    };
    return cmocka_run_group_tests(tests, connect_database, disconnect_database);
}
