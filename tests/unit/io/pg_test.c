/* Both forms of connection against a real PostgreSQL, named by ANSWERD_TEST_DATABASE (a libpq keyword string); without
 * it the cases are skipped. They touch no tables but temporary ones. */
#include "io/pg.h"

#include "patience.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "io/loop.h"

static const char *conninfo;

static struct pg *open_pg(void)
{
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo,
                                          .application_name = "pg_test",
                                          .statement_timeout_ms = 20000 };
    struct pg *pg = NULL;
    struct error e;
    if (pg_open(&settings, &pg, &e) != ERR_NONE)
        fail_msg("%s", e.text);
    return pg;
}

static void run(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, struct pg_result **result)
{
    struct error e;
    if (pg_run(pg, sql, values, count, result, &e) != ERR_NONE)
        fail_msg("%s: %s", sql, e.text);
}

static bool text_is(const struct pg_result *r, size_t column, const char *expected)
{
    return bytes_equal(pg_text(r, 0, column), bytes_of(expected));
}

static void test_values_there_and_back(void **state)
{
    (void)state;
    struct pg *pg = open_pg();
    static const char sql[] =
        "SELECT $1::text, $2::bigint, $3::boolean, $4::bytea, $5::jsonb, $6::timestamptz, $7::text, "
        "$8::bigint + 1, $9::text";
    const struct pg_value values[] = {
        PG_VALUE_TEXT("gr\xc3\xbc\xc3\x9f dich"),
        PG_VALUE_INT8(INT64_MIN),
        PG_VALUE_BOOL(true),
        PG_VALUE_BYTEA(((struct bytes){ "a\0\xff", 3 })),
        PG_VALUE_TEXT("{\"b\": 1}"),
        PG_VALUE_TEXT("2026-11-23T08:00:00.123Z"),
        PG_VALUE_TEXT(NULL),
        PG_VALUE_INT8(41),
        PG_VALUE_BYTES(((struct bytes){ "x\0y", 3 })),
    };
    for (int i = 0; i < 2; i++) { /* prepared the first time */
        struct pg_result *r CLEANUP(pg_result_free) = NULL;
        run(pg, sql, values, ARRAY_LEN(values), &r);
        assert_int_equal(pg_rows(r), 1);
        assert_true(text_is(r, 0, "gr\xc3\xbc\xc3\x9f dich"));
        assert_int_equal(pg_int8(r, 0, 1), INT64_MIN);
        assert_true(pg_bool(r, 0, 2));
        assert_true(text_is(r, 3, "\\x6100ff"));
        assert_true(text_is(r, 4, "{\"b\": 1}"));
        assert_true(text_is(r, 5, "2026-11-23 08:00:00.123+00"));
        assert_true(pg_is_null(r, 0, 6));
        assert_int_equal(pg_text(r, 0, 6).len, 0);
        assert_int_equal(pg_int8(r, 0, 7), 42);
        assert_true(text_is(r, 8, "x\xef\xbf\xbdy"));
    }
    pg_close(pg);
}

static void test_arrays(void **state)
{
    (void)state;
    struct pg *pg = open_pg();
    const int64_t numbers[] = { 1, -1, INT64_MAX };
    const struct bytes texts[] = { BYTES_LITERAL("a,\"{}\\"), { NULL, 0 }, BYTES_LITERAL(""), { "n\0l", 3 } };
    const struct bytes blobs[] = { { "\0\1", 2 }, { NULL, 0 } };
    const struct pg_value values[] = { PG_VALUE_INT8S(numbers, 3), PG_VALUE_TEXTS(texts, 4), PG_VALUE_BYTEAS(blobs, 2),
                                       PG_VALUE_INT8S(NULL, 0), PG_VALUE_TEXTS(NULL, 0) };
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(pg, "SELECT $1::bigint[], array_to_json($2::text[]), $3::bytea[], cardinality($4::bigint[]), $5::text[]",
        values, 5, &r);
    assert_true(text_is(r, 0, "{1,-1,9223372036854775807}"));
    assert_true(text_is(r, 1, "[\"a,\\\"{}\\\\\",null,\"\",\"n\xef\xbf\xbdl\"]"));
    assert_true(text_is(r, 2, "{\"\\\\x0001\",NULL}"));
    assert_int_equal(pg_int8(r, 0, 3), 0);
    assert_true(text_is(r, 4, "{}"));
    pg_close(pg);
}

static void test_errors(void **state)
{
    (void)state;
    struct pg *pg = open_pg();
    struct error e;
    static const struct {
        const char *sql;
        err_t code;
        const char *sqlstate;
    } cases[] = {
        { "SELECT 1/0", ERR_INVALID, "22012" },
        { "SELECT nonsense", ERR_INVALID, "42703" },
        { "SELECT '{'::jsonb", ERR_INVALID, "22P02" },
        { "INSERT INTO once VALUES (1), (1)", ERR_CONFLICT, "23505" },
        { "LOCK TABLE once IN ACCESS EXCLUSIVE MODE NOWAIT; SELECT 1", ERR_INVALID, "42601" },
    };
    assert_int_equal(pg_script(pg, "CREATE TEMPORARY TABLE once (id integer PRIMARY KEY); SELECT 1", &e), ERR_NONE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        err_t code = pg_run(pg, cases[i].sql, NULL, 0, NULL, &e);
        if (code != cases[i].code || e.code != code || strcmp(e.sqlstate, cases[i].sqlstate) != 0 ||
            strchr(e.text, '\n'))
            fail_msg("%s: %s %s '%s'", cases[i].sql, err_name(code), e.sqlstate, e.text);
    }
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(pg, "INSERT INTO once VALUES (2), (3)", NULL, 0, &r);
    assert_int_equal(pg_affected(r), 2);
    assert_false(pg_is_broken(pg));
    pg_close(pg);
}

static void test_session_is_set_up(void **state)
{
    (void)state;
    struct pg *pg = open_pg();
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(pg,
        "SELECT current_setting('TimeZone'), current_setting('statement_timeout'), "
        "current_setting('application_name'), "
        "current_setting('client_encoding'), current_setting('synchronous_commit') <> 'off'",
        NULL, 0, &r);
    assert_true(text_is(r, 0, "UTC"));
    assert_true(text_is(r, 1, "20s"));
    assert_true(text_is(r, 2, "pg_test"));
    assert_true(text_is(r, 3, "UTF8"));
    assert_true(pg_bool(r, 0, 4));
    pg_close(pg);
}

/* Whatever the database, the role or the address says. */
static void test_each_statement_sees_what_was_committed(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    char address[512];
    snprintf(address, sizeof(address), "%s options='-c default_transaction_isolation=serializable'", conninfo);
    const struct pg_settings settings = { .conninfo = address, .application_name = "pg_test" };
    struct pg *pg = NULL;
    struct error e;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(pg, "SELECT current_setting('transaction_isolation')", NULL, 0, &r);
    assert_true(text_is(r, 0, "read committed"));
    pg_close(pg);
}

static void test_statement_timeout(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo, .statement_timeout_ms = 300 };
    struct pg *pg = NULL;
    struct error e;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    assert_int_equal(pg_run(pg, "SELECT pg_sleep(60)", NULL, 0, NULL, &e), ERR_TIMEOUT);
    assert_string_equal(e.sqlstate, "57014");
    assert_false(pg_is_broken(pg));
    pg_close(pg);
}

static const char kill_sql[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 "
                               "AND datname = current_database()";

static void kill_backend(const char *application_name)
{
    struct pg *killer = open_pg();
    const struct pg_value name = PG_VALUE_TEXT(application_name);
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(killer, kill_sql, &name, 1, &r);
    assert_int_equal(pg_rows(r), 1);
    pg_close(killer);
}

static void test_lost_connection(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo, .application_name = "pg_test victim" };
    struct pg *pg = NULL;
    struct error e;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    kill_backend("pg_test victim");
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    assert_true(pg_is_broken(pg));
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    assert_int_equal(pg_script(pg, "SELECT 1", &e), ERR_LOST);
    pg_close(pg);
}

/* A server that is stopped keeps its connections and says nothing: as after a machine froze. */
static void test_silent_server(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo, .statement_timeout_ms = 2000 };
    struct pg *pg = NULL;
    struct error e;
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    run(pg, "SELECT pg_backend_pid()", NULL, 0, &r);
    pid_t backend = (pid_t)pg_int8(r, 0, 0);
    if (kill(backend, SIGSTOP) != 0) {
        pg_close(pg);
        skip(); /* it runs as another user */
    }
    msec_t began = clock_steady();
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    msec_t took = clock_steady() - began;
    kill(backend, SIGCONT);
    assert_in_range(took, 2000, PATIENCE_MS);
    assert_true(pg_is_broken(pg));
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    pg_close(pg);
}

static void test_read_only_server(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    char text[600];
    snprintf(text, sizeof(text), "%s options='-c default_transaction_read_only=on'", conninfo);
    struct pg_settings settings = { .conninfo = text, .writes = true };
    struct pg *pg = NULL;
    struct error e;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_LOST);
    assert_non_null(strstr(e.text, "takes no writes"));
    assert_string_equal(e.sqlstate, PG_READ_ONLY);
    settings.writes = false;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    pg_close(pg);
}

/* A server that lets nobody in: says `answer` to whatever comes first, to one client. */
struct refusing_server {
    int fd;
    char conninfo[120];
    const char *answer;
    size_t length;
    pthread_t thread;
};

static void *refuse_one(void *arg)
{
    struct refusing_server *server = arg;
    char asked[1000];
    int client = accept(server->fd, NULL, NULL);
    if (client >= 0 && read(client, asked, sizeof(asked)) > 0 &&
        write(client, server->answer, server->length) == (ssize_t)server->length)
        while (read(client, asked, sizeof(asked)) > 0) {
        }
    close(client);
    return NULL;
}

static void test_a_connection_that_is_refused(void **state)
{
    (void)state;
    static const char wrong[] = "E\0\0\0\x40SFATAL\0C28P01\0Mpassword authentication failed for user 'x'\0";
    static const char many[] = "E\0\0\0\x40SFATAL\0C53300\0Msorry, too many clients already, come later\0\0";
    static const char starts[] = "E\0\0\0\x37SFATAL\0C57P03\0Mthe database system is starting up\0\0";
    static const char asks[] = "R\0\0\0\x08\0\0\0\x03";
    static const struct {
        const char *answer;
        size_t length;
        const char *sqlstate, *hint;
    } cases[] = {
        { wrong, sizeof(wrong), PG_WRONG_PASSWORD, "HINT: the role and its password" },
        { asks, sizeof(asks) - 1, PG_WRONG_PASSWORD, "HINT: the server asks for a password" },
        { many, sizeof(many) - 1, PG_NOT_NOW, "HINT: raise max_connections" },
        { starts, sizeof(starts) - 1, PG_NOT_NOW, "starting up" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct refusing_server server = { .fd = socket(AF_INET, SOCK_STREAM, 0),
                                          .answer = cases[i].answer,
                                          .length = cases[i].length };
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        assert_int_equal(bind(server.fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(server.fd, 1), 0);
        assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &size), 0);
        snprintf(server.conninfo, sizeof(server.conninfo),
                 "host=127.0.0.1 port=%d user=x dbname=x sslmode=disable gssencmode=disable passfile=/dev/null",
                 ntohs(address.sin_port));
        assert_int_equal(pthread_create(&server.thread, NULL, refuse_one, &server), 0);
        const struct pg_settings settings = { .conninfo = server.conninfo };
        struct pg *pg = NULL;
        struct error e;
        assert_int_equal(pg_open(&settings, &pg, &e), ERR_LOST);
        assert_non_null(strstr(e.text, cases[i].hint));
        assert_string_equal(e.sqlstate, cases[i].sqlstate);
        pthread_join(server.thread, NULL);
        close(server.fd);
    }
}

static bool has_backend(struct pg *pg, int64_t pid)
{
    const struct pg_value value = PG_VALUE_INT8(pid);
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    run(pg, "SELECT FROM pg_stat_activity WHERE pid = $1", &value, 1, &r);
    return pg_rows(r) > 0;
}

/* Who holds locks and is stopped does not hold them for ever. */
static void test_transaction_left_open(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    const struct pg_settings settings = { .conninfo = conninfo, .idle_in_transaction_ms = 50 };
    struct pg *pg = NULL;
    struct error e;
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_NONE);
    run(pg, "SELECT pg_backend_pid()", NULL, 0, &r);
    struct pg *watcher = open_pg();
    assert_int_equal(pg_script(pg, "BEGIN", &e), ERR_NONE);
    WAIT_UNTIL(!has_backend(watcher, pg_int8(r, 0, 0)));
    pg_close(watcher);
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    assert_string_equal(e.sqlstate, "25P03");
    pg_close(pg);
}

static void test_nobody_there(void **state)
{
    (void)state;
    const struct pg_settings settings = { .conninfo = "host=/nonexistent password=geheim connect_timeout=1" };
    struct pg *pg = NULL;
    struct error e;
    assert_int_equal(pg_open(&settings, &pg, &e), ERR_LOST);
    assert_null(pg);
    assert_null(strstr(e.text, "geheim"));
}

/* --- on a loop -------------------------------------------------------------------------------------------------- */

struct async_case {
    struct loop *loop;
    struct pg_async *pg;
    struct loop_timer *give_up;
    int ready;
    int troubles;
    int enough_troubles; /* it ends with; 0: does not */
    int calls;
    err_t last;
    char text[64];
};

static void give_up(void *arg)
{
    loop_stop(((struct async_case *)arg)->loop);
}

static void ready(void *arg)
{
    struct async_case *c = arg;
    if (c->ready++ == 0)
        kill_backend("pg_test idle");
    else
        loop_stop(c->loop);
}

static void trouble(const struct error *e, void *arg)
{
    (void)e;
    struct async_case *c = arg;
    c->troubles++;
    if (c->troubles == c->enough_troubles)
        loop_stop(c->loop);
}

static void async_done(const struct pg_result *result, const struct error *e, void *arg)
{
    struct async_case *c = arg;
    c->calls++;
    c->last = e->code;
    c->text[0] = '\0';
    if (result)
        snprintf(c->text, sizeof(c->text), "%.*s", (int)pg_text(result, 0, 0).len, pg_text(result, 0, 0).ptr);
}

static void start_async(struct async_case *c, const char *name)
{
    *c = (struct async_case){ .loop = loop_new() };
    const struct pg_settings settings = { .conninfo = conninfo, .application_name = name };
    c->pg = pg_async_new(c->loop, &settings);
    c->give_up = loop_timer_new(c->loop, give_up, c);
    loop_timer_set(c->give_up, 3 * PATIENCE_MS);
    pg_async_on_trouble(c->pg, trouble, c);
    assert_false(pg_async_is_connected(c->pg));
    assert_int_equal(pg_async_run(c->pg, "SELECT 1", NULL, 0, 1000, async_done, c), ERR_BUSY);
}

static void stop_async(struct async_case *c)
{
    pg_async_free(c->pg);
    loop_timer_free(c->give_up);
    loop_free(c->loop);
}

struct sequence {
    struct async_case c;
    int step;
};

static void next_step(void *arg)
{
    struct sequence *s = arg;
    struct async_case *c = &s->c;
    static char large[3000000];
    const struct pg_value number = PG_VALUE_INT8(s->step);
    err_t result = ERR_NONE;
    switch (s->step++) {
    case 0:
    case 1: /* prepared already */
        result = pg_async_run(c->pg, "SELECT $1::bigint + 100", &number, 1, PATIENCE_MS, async_done, c);
        break;
    case 2:
        assert_string_equal(c->text, "101");
        result = pg_async_run(c->pg, "SELECT 1/0", NULL, 0, PATIENCE_MS, async_done, c);
        break;
    case 3: {
        assert_int_equal(c->last, ERR_INVALID);
        memset(large, 'x', sizeof(large)); /* more than a socket takes at once */
        const struct pg_value value = PG_VALUE_BYTEA(((struct bytes){ large, sizeof(large) }));
        result = pg_async_run(c->pg, "SELECT length($1::bytea)", &value, 1, PATIENCE_MS, async_done, c);
        assert_int_equal(pg_async_run(c->pg, "SELECT 1", NULL, 0, PATIENCE_MS, async_done, c), ERR_BUSY);
        assert_false(pg_async_is_ready(c->pg));
        assert_true(pg_async_is_connected(c->pg));
        break;
    }
    case 4:
        assert_string_equal(c->text, "3000000");
        kill_backend("pg_test async");
        result = pg_async_run(c->pg, "SELECT 2", NULL, 0, PATIENCE_MS, async_done, c);
        break;
    case 5: /* it is back, and what was prepared is forgotten */
        assert_int_equal(c->last, ERR_LOST);
        assert_int_equal(c->troubles, 1);
        result = pg_async_run(c->pg, "SELECT $1::bigint + 100", &number, 1, PATIENCE_MS, async_done, c);
        break;
    case 6:
        assert_string_equal(c->text, "105");
        result = pg_async_run(c->pg, "SELECT pg_sleep(5)", NULL, 0, 200, async_done, c);
        break;
    case 7: /* back again after the deadline */
        assert_int_equal(c->last, ERR_TIMEOUT);
        assert_int_equal(c->troubles, 2);
        result = pg_async_run(c->pg, "SELECT pg_sleep(5)", NULL, 0, PATIENCE_MS, async_done, c);
        loop_stop(c->loop);
        break;
    default:
        fail_msg("too far");
    }
    assert_int_equal(result, ERR_NONE);
}

static void test_async_statements(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    struct sequence s = { .step = 0 };
    start_async(&s.c, "pg_test async");
    pg_async_on_ready(s.c.pg, next_step, &s);
    loop_run(s.c.loop);
    assert_int_equal(s.step, 8);
    assert_int_equal(s.c.calls, 7);
    stop_async(&s.c); /* with a statement in flight */
    assert_int_equal(s.c.calls, 8);
    assert_int_equal(s.c.last, ERR_LOST);
}

static void test_async_killed_while_idle(void **state)
{
    (void)state;
    if (!conninfo)
        skip();
    struct async_case c;
    start_async(&c, "pg_test idle");
    pg_async_on_ready(c.pg, ready, &c);
    loop_run(c.loop);
    assert_int_equal(c.ready, 2);
    assert_int_equal(c.troubles, 1);
    assert_true(pg_async_is_ready(c.pg));
    stop_async(&c);
}

static void test_async_without_a_server(void **state)
{
    (void)state;
    const char *former = conninfo;
    conninfo = "host=/nonexistent";
    struct async_case c;
    start_async(&c, "pg_test nobody");
    c.enough_troubles = 4;
    msec_t began = clock_steady();
    loop_run(c.loop);
    assert_int_equal(c.troubles, 4);
    assert_in_range(clock_steady() - began, 150, 3 * PATIENCE_MS); /* it pauses between */
    assert_int_equal(c.calls, 0);
    stop_async(&c);
    conninfo = former;
}

static void test_async_freed_while_connecting(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    const struct pg_settings settings = { .conninfo = conninfo ? conninfo : "host=/nonexistent" };
    for (int i = 0; i < 5; i++)
        pg_async_free(pg_async_new(loop, &settings));
    loop_free(loop);
}

int main(void)
{
    conninfo = getenv("ANSWERD_TEST_DATABASE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_there_and_back),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_session_is_set_up),
        cmocka_unit_test(test_each_statement_sees_what_was_committed),
        cmocka_unit_test(test_statement_timeout),
        cmocka_unit_test(test_lost_connection),
        cmocka_unit_test(test_silent_server),
        cmocka_unit_test(test_read_only_server),
        cmocka_unit_test(test_a_connection_that_is_refused),
        cmocka_unit_test(test_transaction_left_open),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_async_statements),
        cmocka_unit_test(test_async_killed_while_idle),
        cmocka_unit_test(test_async_without_a_server),
        cmocka_unit_test(test_async_freed_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
