/* What the server does with connections that are slow, silent, idle, cut off or too many, and how it ends. */
#include "io/http_server.h"

#include "io/http_stage.h"
#include "support.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"
#include "io/loop.h"

/* Sends `text` byte by byte; milliseconds until the server closes. */
static long drip(const char *first, const char *text)
{
    int fd = open_client();
    if (first[0])
        send_text(fd, first);
    msec_t started = clock_steady();
    for (const char *c = text; *c; c++) {
        if (send(fd, c, 1, MSG_NOSIGNAL) < 0)
            break;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte;
        if (poll(&p, 1, 50) > 0 && recv(fd, &byte, 1, 0) <= 0)
            break;
    }
    long took = (long)(clock_steady() - started);
    close(fd);
    return took;
}

static const char slow_text[] =
    "X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static void test_slow_header(void **state)
{
    (void)state;
    assert_in_range(drip("GET / HTTP/1.1\r\n", slow_text), DEADLINE_MS - 100, DEADLINE_MS + 800);
}

static void test_slow_body(void **state)
{
    (void)state;
    assert_in_range(drip("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n", slow_text), DEADLINE_MS - 100,
                    DEADLINE_MS + 800);
}

static void test_slow_second_request(void **state)
{
    (void)state;
    int fd = open_client();
    char answer[4096];
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(read_all(fd, 200, answer, sizeof(answer)));
    send_text(fd, "GET / HTTP/1.1\r\nHo");
    assert_in_range(close_time(fd, 5000), DEADLINE_MS - 100, DEADLINE_MS + 800);
    close(fd);
}

static void test_silent_connection(void **state)
{
    (void)state;
    int fd = open_client();
    assert_in_range(close_time(fd, 5000), DEADLINE_MS - 100, DEADLINE_MS + 800);
    close(fd);
}

static void test_idle_connection(void **state)
{
    (void)state;
    int fd = open_client();
    char answer[4096];
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(read_all(fd, 100, answer, sizeof(answer)));
    assert_in_range(close_time(fd, 5000), IDLE_MS - 400, IDLE_MS + 800);
    close(fd);
}

static void test_slow_handler_is_not_cut_off(void **state)
{
    (void)state;
    int fd = open_client();
    char answer[4096];
    /* Longer than both deadlines; the second request is only looked at when the first is answered. */
    send_text(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(read_all(fd, 1900, answer, 1000) && count_answers(answer) < 2);
    assert_int_equal(count_answers(answer), 2);
    assert_non_null(strstr(answer, "late"));
    assert_non_null(strstr(answer, "/next"));
    close(fd);
}

static void test_client_that_does_not_read(void **state)
{
    (void)state;
    int fd = open_client();
    send_text(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    /* Not one byte is read; the server must not keep 16 MiB for it for ever. */
    msec_t started = clock_steady();
    char byte[65536];
    usleep((DEADLINE_MS + 1000) * 1000);
    while (recv(fd, byte, sizeof(byte), 0) > 0) {
    }
    assert_in_range(clock_steady() - started, DEADLINE_MS, DEADLINE_MS + 3000);
    close(fd);
}

static void test_client_that_leaves(void **state)
{
    (void)state;
    int fd = open_client();
    send_text(fd, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    usleep(100 * 1000);
    struct linger reset = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    usleep(1700 * 1000); /* it is answered into the void */
    char answer[4096];
    fd = open_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_all(fd, 200, answer, sizeof(answer));
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
}

static void test_closed_connections_are_let_go(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        int fd = open_client();
        if (i % 2)
            send_text(fd, "GET / HT");
        close(fd);
    }
    for (int i = 0; i < 2000 && count_connections() > 0; i++)
        usleep(10 * 1000);
    assert_int_equal(count_connections(), 0);
}

static void test_more_connections_than_allowed(void **state)
{
    (void)state;
    int fds[60];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = open_client();
    for (int i = 0; i < 200 && count_connections() < 45; i++)
        usleep(10 * 1000);
    assert_in_range(count_connections(), 45, 50);
    /* The silent ones go at their deadline, and the rest gets its turn. */
    char answer[4096];
    int fd = open_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_all(fd, 3000, answer, sizeof(answer));
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_idle_connections_make_room(void **state)
{
    (void)state;
    int fds[50];
    char answer[4096];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = open_client();
        send_text(fds[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        read_all(fds[i], 10, answer, sizeof(answer));
    }
    int fd = open_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_all(fd, 600, answer, sizeof(answer)); /* before the idle time of the others is over */
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_drain_answers_what_is_in_flight(void **state)
{
    (void)state;
    int idle = open_client();
    char answer[4096];
    send_text(idle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(read_all(idle, 100, answer, sizeof(answer)));
    int slow = open_client();
    send_text(slow, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    int half = open_client();
    send_text(half, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    usleep(100 * 1000);

    drain_server();
    usleep(50 * 1000);
    send_text(half, "cd");
    assert_true(read_all(half, 1000, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "body=4"));
    assert_non_null(strstr(answer, "Connection: close"));
    assert_true(read_all(idle, 500, answer, sizeof(answer)));
    assert_true(read_all(slow, 3000, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "late"));
    for (int i = 0; i < 100 && !atomic_load(&stage_was_drained); i++)
        usleep(20 * 1000);
    assert_true(atomic_load(&stage_was_drained));
    close(idle);
    close(slow);
    close(half);
}

static void test_address_in_use_is_reported(void **state)
{
    (void)state;
    struct loop *other_loop = loop_new();
    struct http_server *other = http_server_new(other_loop, NULL, NULL, NULL);
    char address[64];
    struct error e;
    snprintf(address, sizeof(address), "127.0.0.1:%d", stage_port);
    assert_int_equal(http_server_listen(other, address, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "in use"));
    assert_int_equal(http_server_listen_shared(other, address, &e), ERR_NONE);
    assert_int_equal(http_server_listen(other, "nonsense", NULL, &e), ERR_INVALID);
    http_server_free(other);
    loop_free(other_loop);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, stage_start_server, stage_stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_slow_header),
        CASE(test_slow_body),
        CASE(test_slow_second_request),
        CASE(test_silent_connection),
        CASE(test_idle_connection),
        CASE(test_slow_handler_is_not_cut_off),
        CASE(test_client_that_does_not_read),
        CASE(test_client_that_leaves),
        CASE(test_closed_connections_are_let_go),
        CASE(test_more_connections_than_allowed),
        CASE(test_idle_connections_make_room),
        CASE(test_drain_answers_what_is_in_flight),
        CASE(test_address_in_use_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
