/* What the server does with connections that are slow, silent, idle, cut off or too many, and how it ends. */
#include "io/http_server.h"

#include "io/http_stage.h"
#include "patience.h"

#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macros.h"
#include "io/loop.h"

/* It began to wait at `began` or later, and its short time is over; not only a long one. */
static void assert_ended_by_short_time(msec_t began)
{
    assert_in_range(clock_steady() - began, SHORT_MS, LONG_MS / 2);
}

/* Sends `first`, and then a byte now and then, until the server closes. */
static void drip(const char *first)
{
    msec_t began = clock_steady();
    int fd = open_client();
    send_text(fd, first);
    bool closed = false;
    while (!closed) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte;
        if (poll(&p, 1, 50) > 0) {
            closed = recv(fd, &byte, 1, 0) <= 0;
            assert_true(closed); /* without an answer */
        } else {
            closed = send(fd, "a", 1, MSG_NOSIGNAL) < 0;
        }
        assert_true(clock_steady() - began < LONG_MS / 2);
    }
    assert_ended_by_short_time(began);
    close(fd);
}

/* A client whose first request was answered. One that was halted before it sent it may have been closed: another tries.
 */
static int open_answered_client(void)
{
    msec_t began = clock_steady();
    char answer[4096] = "";
    while (clock_steady() - began < PATIENCE_MS) {
        int fd = open_client();
        send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        if (read_answers(fd, 1, answer, sizeof(answer))) {
            assert_non_null(strstr(answer, "200 OK"));
            return fd;
        }
        close(fd);
    }
    fail_msg("no answer: '%s'", answer);
    return -1;
}

/* Not one byte is taken. */
static bool answer_begins(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;
    return poll(&p, 1, PATIENCE_MS) > 0 && recv(fd, &byte, 1, MSG_PEEK) > 0;
}

static void test_slow_header(void **state)
{
    (void)state;
    drip("GET / HTTP/1.1\r\nX-Slow: ");
}

static void test_slow_body(void **state)
{
    (void)state;
    drip("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n");
}

static void test_slow_second_request(void **state)
{
    (void)state;
    int fd = open_answered_client();
    char answer[4096];
    msec_t began = clock_steady();
    send_text(fd, "GET / HTTP/1.1\r\nHo");
    assert_true(read_until_closed(fd, answer, sizeof(answer)));
    assert_ended_by_short_time(began);
    assert_string_equal(answer, "");
    close(fd);
}

static void test_silent_connection(void **state)
{
    (void)state;
    msec_t began = clock_steady();
    int fd = open_client();
    char answer[4096];
    assert_true(read_until_closed(fd, answer, sizeof(answer)));
    assert_ended_by_short_time(began);
    close(fd);
}

static void test_idle_connection(void **state)
{
    (void)state;
    msec_t began = clock_steady();
    int fd = open_client();
    char answer[4096];
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(read_until_closed(fd, answer, sizeof(answer)));
    assert_ended_by_short_time(began);
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
}

static void test_slow_handler_is_not_cut_off(void **state)
{
    (void)state;
    msec_t began = clock_steady();
    char answer[4096];
    int fd = -1;
    while (atomic_load(&stage_handled) == 0) {
        assert_true(clock_steady() - began < PATIENCE_MS);
        close(fd);
        fd = open_client();
        /* The second request is only looked at when the first is answered. */
        send_text(fd, "GET /held HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
        for (struct pollfd p = { .fd = fd, .events = POLLIN }; atomic_load(&stage_handled) == 0;)
            if (poll(&p, 1, 10) > 0)
                break; /* it was halted before it sent this, and is closed */
    }
    /* Others come later, and both of their times are over. */
    int silent = open_client();
    assert_true(read_until_closed(silent, answer, sizeof(answer)));
    close(silent);
    int idle = open_answered_client();
    assert_true(read_until_closed(idle, answer, sizeof(answer)));
    close(idle);
    assert_int_equal(count_connections(), 1);
    answer_held();
    assert_true(read_answers(fd, 2, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "late"));
    assert_non_null(strstr(answer, "/next"));
    close(fd);
}

static void test_client_that_does_not_read(void **state)
{
    (void)state;
    msec_t began = clock_steady();
    int fd = open_client();
    send_text(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    while (!answer_begins(fd)) { /* halted before it sent this: another tries */
        assert_true(clock_steady() - began < PATIENCE_MS);
        close(fd);
        fd = open_client();
        send_text(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    /* The server must not keep 16 MiB for it for ever. */
    WAIT_UNTIL(count_connections() == 0);
    assert_ended_by_short_time(began);
    static char bytes[65536];
    size_t length = 0;
    ssize_t got;
    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        length += (size_t)got;
    assert_true(length < (size_t)16 * 1024 * 1024);
    close(fd);
}

static void test_client_that_leaves(void **state)
{
    (void)state;
    int fd = open_client();
    send_text(fd, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&stage_handled) == 1);
    struct linger reset = { .l_onoff = 1 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
    answer_held(); /* into the void */
    WAIT_UNTIL(count_connections() == 0);
    close(open_answered_client());
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
    close(open_answered_client()); /* behind all of them */
    WAIT_UNTIL(count_connections() == 0);
}

static void test_more_connections_than_allowed(void **state)
{
    (void)state;
    int fds[MAX_CONNECTIONS + 10];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = open_client();
    int fd = open_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(count_connections() == MAX_CONNECTIONS);
    for (int i = 0; i < 20; i++) /* each is a turn of the loop, in which it could accept */
        assert_int_equal(count_connections(), MAX_CONNECTIONS);
    assert_int_equal(atomic_load(&stage_handled), 0);
    /* When some leave, the rest gets its turn. */
    char answer[4096];
    for (size_t i = 0; i < 11; i++)
        close(fds[i]);
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "200 OK"));
    close(fd);
    for (size_t i = 11; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_silent_connections_make_room(void **state)
{
    (void)state;
    int fds[MAX_CONNECTIONS + 10];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = open_client();
    close(open_answered_client()); /* when their deadline is over */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_idle_connections_make_room(void **state)
{
    (void)state;
    int fds[MAX_CONNECTIONS];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = open_answered_client();
    close(open_answered_client()); /* long before the idle time of the others is over */
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_silent_connections_make_room_early(void **state)
{
    (void)state;
    int fds[MAX_CONNECTIONS];
    int half = open_client();
    send_text(half, "GET / HTTP/1.1\r\nHost: h");
    WAIT_UNTIL(count_receiving_bytes() > 0);
    for (size_t i = 1; i < ARRAY_LEN(fds); i++)
        fds[i] = open_client();
    msec_t began = clock_steady();
    close(open_answered_client()); /* long before the deadline of the others is over */
    assert_true(clock_steady() - began < LONG_MS / 2);
    /* Whoever has begun to speak stays. */
    char answer[4096];
    send_text(half, "\r\n\r\n");
    assert_true(read_answers(half, 1, answer, sizeof(answer)));
    close(half);
    for (size_t i = 1; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

/* Whoever is on the way to be answered stays; the one that takes longest to say what it wants goes. */
static void test_slow_connections_make_room(void **state)
{
    (void)state;
    int fds[MAX_CONNECTIONS];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = open_client();
        send_text(fds[i], i == 0 ? "GET /held HTTP/1.1\r\nHost: h\r\n\r\n" : "GET / HTTP/1.1\r\nHost: h");
    }
    WAIT_UNTIL(atomic_load(&stage_handled) == 1);
    close(open_answered_client()); /* long before the deadline of the others is over */
    char answer[4096];
    answer_held();
    assert_true(read_answers(fds[0], 1, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "late"));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

/* The next descriptor that is opened is the last one. */
static struct rlimit leave_one_descriptor(void)
{
    int lowest = dup(STDERR_FILENO);
    struct rlimit former;
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
    struct rlimit tight = { .rlim_cur = (rlim_t)lowest + 1, .rlim_max = former.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    return former;
}

static void test_idle_connections_make_room_when_there_is_no_descriptor(void **state)
{
    (void)state;
    char answer[4096];
    int oldest = open_answered_client();
    int other = open_answered_client();
    struct rlimit former = leave_one_descriptor();
    int fd = open_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "200 OK"));
    assert_true(read_until_closed(oldest, answer, sizeof(answer)));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
    close(fd);
    close(oldest);
    close(other);
}

/* RFC 9110 section 7.6.1: a list of options in any case, that may come in several lines. */
static void test_client_asks_to_close(void **state)
{
    (void)state;
    static const char *const closing[] = {
        "Connection: close\r\n",
        "Connection: CLOSE\r\n",
        "Connection: foo, Close\r\n",
        "Connection: close ,foo\r\n",
        "Connection: foo\r\nX-Other: 1\r\nConnection: close\r\n",
        "Connection: keep-alive, close\r\n",
    };
    static const char *const staying[] = { "", "Connection: foo, keep-alive\r\n", "Connection: closed, not-close\r\n" };
    char request[200], answer[4096];
    for (size_t i = 0; i < ARRAY_LEN(closing); i++) {
        int fd = open_client();
        snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", closing[i]);
        send_text(fd, request);
        assert_true(read_until_closed(fd, answer, sizeof(answer)));
        assert_int_equal(count_answers(answer), 1);
        assert_non_null(strstr(answer, "Connection: close"));
        close(fd);
    }
    for (size_t i = 0; i < ARRAY_LEN(staying); i++) {
        int fd = open_client();
        snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", staying[i]);
        for (int turn = 0; turn < 2; turn++) {
            send_text(fd, request);
            assert_true(read_answers(fd, 1, answer, sizeof(answer)));
            assert_null(strstr(answer, "Connection: close"));
        }
        close(fd);
    }
}

static void test_drain_answers_what_is_in_flight(void **state)
{
    (void)state;
    int idle = open_answered_client();
    char answer[4096];
    int slow = open_client();
    send_text(slow, "GET /held HTTP/1.1\r\nHost: h\r\n\r\n");
    int half = open_client();
    send_text(half, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
    WAIT_UNTIL(atomic_load(&stage_handled) == 2);
    WAIT_UNTIL(count_receiving_bytes() > 0);

    begin_to_drain();
    assert_true(read_until_closed(idle, answer, sizeof(answer)));
    assert_string_equal(answer, "");
    send_text(half, "cd");
    assert_true(read_until_closed(half, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "body=4"));
    assert_non_null(strstr(answer, "Connection: close"));
    assert_false(atomic_load(&stage_was_drained));
    answer_held();
    assert_true(read_until_closed(slow, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "late"));
    WAIT_UNTIL(atomic_load(&stage_was_drained));
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
    assert_non_null(strstr(e.text, "in use\nHINT: another program listens there"));
    assert_int_equal(http_server_listen_shared(other, address, &e), ERR_NONE);
    assert_int_equal(http_server_listen(other, "nonsense", NULL, &e), ERR_INVALID);
    http_server_free(other);
    loop_free(other_loop);
}

#define CASE(f, start) cmocka_unit_test_setup_teardown(f, start, stage_stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_slow_header, stage_start_server_with_short_deadline),
        CASE(test_slow_body, stage_start_server_with_short_deadline),
        CASE(test_slow_second_request, stage_start_server_with_short_deadline),
        CASE(test_silent_connection, stage_start_server_with_short_deadline),
        CASE(test_idle_connection, stage_start_server_with_short_idle_time),
        CASE(test_slow_handler_is_not_cut_off, stage_start_server_with_short_times),
        CASE(test_client_that_does_not_read, stage_start_server_with_short_deadline),
        CASE(test_client_that_leaves, stage_start_server),
        CASE(test_closed_connections_are_let_go, stage_start_server),
        CASE(test_more_connections_than_allowed, stage_start_server),
        CASE(test_silent_connections_make_room, stage_start_server_with_short_deadline),
        CASE(test_idle_connections_make_room, stage_start_server),
        CASE(test_silent_connections_make_room_early, stage_start_server),
        CASE(test_slow_connections_make_room, stage_start_server),
        CASE(test_idle_connections_make_room_when_there_is_no_descriptor, stage_start_server),
        CASE(test_client_asks_to_close, stage_start_server),
        CASE(test_drain_answers_what_is_in_flight, stage_start_server),
        CASE(test_address_in_use_is_reported, stage_start_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
