/* A server that hangs, and one that is only slow, against a real PostgreSQL, named by ANSWERD_TEST_DATABASE (a libpq
 * keyword string); without it the cases are skipped. Between them and us is a relay that can hold everything up. */
#include "io/pg.h"

#include "patience.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/macros.h"

static const char *conninfo;

/* --- the relay --------------------------------------------------------------------------------------------------- */

#define MOST_PAIRS 16

static struct relay {
    int listener;
    int port;
    struct sockaddr_un server;
    pthread_t thread;
    atomic_bool hangs;
    atomic_bool lets_nobody_in;
    atomic_bool ends;
    atomic_int accepted;
    int pairs[MOST_PAIRS][2]; /* client, server */
    size_t count;
} relay;

static void relay_accept(void)
{
    int client = accept(relay.listener, NULL, NULL);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(client >= 0 && relay.count < MOST_PAIRS);
    assert_int_equal(connect(server, (struct sockaddr *)&relay.server, sizeof(relay.server)), 0);
    relay.pairs[relay.count][0] = client;
    relay.pairs[relay.count++][1] = server;
    atomic_fetch_add(&relay.accepted, 1);
}

static void relay_close(size_t pair)
{
    close(relay.pairs[pair][0]);
    close(relay.pairs[pair][1]);
    memmove(relay.pairs[pair], relay.pairs[pair + 1], (relay.count - pair - 1) * sizeof(relay.pairs[0]));
    relay.count--;
}

static bool relay_pass(int from, int into)
{
    char data[16384];
    ssize_t got = recv(from, data, sizeof(data), MSG_DONTWAIT);
    return got > 0 && send(into, data, (size_t)got, MSG_NOSIGNAL) == got;
}

static void *relay_main(void *arg)
{
    while (!atomic_load(&relay.ends)) {
        if (atomic_load(&relay.lets_nobody_in) && relay.listener >= 0) {
            close(relay.listener);
            relay.listener = -1; /* which poll() leaves out */
        }
        struct pollfd watched[1 + 2 * MOST_PAIRS] = { { .fd = relay.listener, .events = POLLIN } };
        for (size_t i = 0; i < relay.count; i++)
            for (int side = 0; side < 2; side++)
                watched[1 + 2 * i + (size_t)side] = (struct pollfd){ .fd = relay.pairs[i][side], .events = POLLIN };
        size_t count = relay.count;
        if (poll(watched, 1 + 2 * count, 10) <= 0 || atomic_load(&relay.hangs))
            continue;
        for (size_t i = count; i-- > 0;) {
            bool alive = true;
            for (int side = 0; side < 2 && alive; side++)
                if (watched[1 + 2 * i + (size_t)side].revents)
                    alive = relay_pass(relay.pairs[i][side], relay.pairs[i][1 - side]);
            if (!alive)
                relay_close(i);
        }
        if (watched[0].revents)
            relay_accept();
    }
    return arg;
}

static int relay_start(void **state)
{
    (void)state;
    if (!conninfo)
        return 0;
    const char *host = getenv("PGHOST");
    struct pg *pg = NULL;
    struct error e;
    struct pg_result *r = NULL;
    const struct pg_settings settings = { .conninfo = conninfo };
    if (pg_open(&settings, &pg, &e) != ERR_NONE ||
        pg_run(pg, "SELECT current_setting('unix_socket_directories')", NULL, 0, &r, &e) != ERR_NONE)
        fail_msg("%s", e.text);
    struct bytes folder = host && host[0] == '/' ? bytes_of(host) : pg_text(r, 0, 0);
    relay = (struct relay){ .listener = socket(AF_INET, SOCK_STREAM, 0), .server.sun_family = AF_UNIX };
    snprintf(relay.server.sun_path, sizeof(relay.server.sun_path), "%.*s/.s.PGSQL.5432", (int)folder.len, folder.ptr);
    pg_result_free(&r);
    pg_close(pg);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(address);
    if (bind(relay.listener, (struct sockaddr *)&address, size) != 0 || listen(relay.listener, 10) != 0)
        return -1;
    getsockname(relay.listener, (struct sockaddr *)&address, &size);
    relay.port = ntohs(address.sin_port);
    return pthread_create(&relay.thread, NULL, relay_main, NULL);
}

static int relay_stop(void **state)
{
    (void)state;
    if (!conninfo)
        return 0;
    atomic_store(&relay.ends, true);
    pthread_join(relay.thread, NULL);
    while (relay.count > 0)
        relay_close(0);
    if (relay.listener >= 0)
        close(relay.listener);
    return 0;
}

static struct pg *open_over_relay(void)
{
    if (!conninfo)
        skip();
    char over[512];
    snprintf(over, sizeof(over), "%s host=127.0.0.1 port=%d sslmode=disable", conninfo, relay.port);
    const struct pg_settings settings = { .conninfo = over, .statement_timeout_ms = 4 * PATIENCE_MS };
    struct pg *pg = NULL;
    struct error e;
    if (pg_open(&settings, &pg, &e) != ERR_NONE)
        fail_msg("%s", e.text);
    return pg;
}

/* --- cases ------------------------------------------------------------------------------------------------------- */

static void test_a_server_that_hangs_is_left_soon(void **state)
{
    (void)state;
    struct pg *pg = open_over_relay();
    struct error e;
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_NONE);
    atomic_store(&relay.hangs, true);
    msec_t began = clock_steady();
    assert_int_equal(pg_run(pg, "SELECT 1", NULL, 0, NULL, &e), ERR_LOST);
    msec_t took = clock_steady() - began;
    atomic_store(&relay.hangs, false);
    assert_in_range(took, 1000, 2 * PATIENCE_MS); /* long before the time of a statement */
    assert_true(pg_is_broken(pg));
    pg_close(pg);
}

static void test_a_slow_statement_is_waited_for(void **state)
{
    (void)state;
    struct pg *pg = open_over_relay();
    struct error e;
    int before = atomic_load(&relay.accepted);
    struct pg_result *r CLEANUP(pg_result_free) = NULL;
    assert_int_equal(pg_run(pg, "SELECT pg_sleep(6), 7", NULL, 0, &r, &e), ERR_NONE);
    assert_int_equal(pg_int8(r, 0, 1), 7);
    /* It was asked after one second, and after two more; a machine that was halted may have skipped one, or added the
     * one after four more. */
    assert_in_range(atomic_load(&relay.accepted) - before, 1, 3);
    assert_false(pg_is_broken(pg));
    pg_close(pg);
}

static void test_a_server_that_lets_nobody_in_is_there(void **state)
{
    (void)state;
    struct pg *pg = open_over_relay();
    struct error e;
    atomic_store(&relay.lets_nobody_in, true);
    assert_int_equal(pg_run(pg, "SELECT pg_sleep(4)", NULL, 0, NULL, &e), ERR_NONE);
    pg_close(pg);
}

int main(void)
{
    conninfo = getenv("ANSWERD_TEST_DATABASE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_hangs_is_left_soon),
        cmocka_unit_test(test_a_slow_statement_is_waited_for),
        cmocka_unit_test(test_a_server_that_lets_nobody_in_is_there),
    };
    return cmocka_run_group_tests(tests, relay_start, relay_stop);
}
