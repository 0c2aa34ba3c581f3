/* What the server does with requests that are slow, ambiguous, too large or cut off. Each case speaks through a raw
 * socket, because a client library would not send such things. */
#include "io/http_server.h"

#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/macros.h"
#include "io/loop.h"

#define DEADLINE_MS 600
#define IDLE_MS 1200

/* --- a server on its own thread --------------------------------------------------------------------------------- */

static struct loop *loop;
static struct http_server *server;
static pthread_t thread;
static int port;
static atomic_int handled;
static atomic_bool drain_now;
static atomic_bool was_drained;
static atomic_long connections = -1; /* as the loop's thread last saw it */
static struct http_request *held;
static struct loop_timer *answer_held;

static void answer_later(void *arg)
{
    (void)arg;
    struct http_request *request = held;
    held = NULL;
    http_answer(request, 200, "text/plain", BYTES_LITERAL("late"), NULL);
}

static void handle(struct http_request *request, void *arg)
{
    (void)arg;
    atomic_fetch_add(&handled, 1);
    if (strcmp(http_path(request), "/slow") == 0) {
        held = request;
        loop_timer_set(answer_held, 1500);
        return;
    }
    if (strcmp(http_path(request), "/big") == 0) {
        size_t size = (size_t)16 * 1024 * 1024;
        char *text = malloc(size);
        memset(text, 'x', size);
        http_answer(request, 200, "text/plain", (struct bytes){ text, size }, NULL);
        free(text);
        return;
    }
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 1024);
    const char *q = http_query(request, "q");
    buf_addf(&text, "%s %s q=%s body=%zu", http_method(request), http_path(request), q ? q : "-",
             http_body(request).len);
    http_answer(request, 200, "text/plain", buf_bytes(&text), NULL);
}

static void drained(void *arg)
{
    (void)arg;
    atomic_store(&was_drained, true);
    loop_stop(loop);
}

static void nudged(void *arg)
{
    (void)arg;
    atomic_store(&connections, (long)http_server_connections(server));
    if (atomic_exchange(&drain_now, false))
        http_server_drain(server, drained, NULL);
}

static void *run(void *arg)
{
    (void)arg;
    loop_run(loop);
    http_server_free(server);
    loop_timer_free(answer_held);
    return NULL;
}

static int start_server(void **state)
{
    (void)state;
    const struct http_limits limits = {
        .max_header_bytes = 4096,
        .max_body_bytes = 65536,
        .read_deadline_ms = DEADLINE_MS,
        .idle_ms = IDLE_MS,
        .max_connections = 50,
    };
    struct error e;
    atomic_store(&handled, 0);
    atomic_store(&was_drained, false);
    loop = loop_new();
    server = http_server_new(loop, &limits, handle, NULL);
    answer_held = loop_timer_new(loop, answer_later, NULL);
    loop_on_nudge(loop, nudged, NULL);
    assert_int_equal(http_server_listen(server, "127.0.0.1:0", &port, &e), ERR_NONE);
    assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
    return 0;
}

static int stop_server(void **state)
{
    (void)state;
    if (!atomic_load(&was_drained))
        loop_stop(loop);
    pthread_join(thread, NULL);
    loop_free(loop);
    return 0;
}

/* --- a client that sends what it is told ------------------------------------------------------------------------ */

static int open_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);
    assert_int_equal(sent, (ssize_t)strlen(text));
}

/* Reads until the server closes or `wait_ms` pass without a byte. True: it closed. */
static bool read_all(int fd, int wait_ms, char *into, size_t size)
{
    size_t length = 0;
    bool closed = false;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, wait_ms) <= 0)
            break;
        ssize_t got = recv(fd, into + length, size - 1 - length, 0);
        if (got <= 0) {
            closed = true;
            break;
        }
        length += (size_t)got;
    }
    into[length] = '\0';
    return closed;
}

static int count_answers(const char *text)
{
    int count = 0;
    while ((text = strstr(text, "HTTP/1."))) {
        count++;
        text++;
    }
    return count;
}

/* Milliseconds until the server closes the connection. */
static long close_time(int fd, long patience_ms)
{
    msec_t started = clock_steady();
    while (clock_steady() - started < patience_ms) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte[4096];
        if (poll(&p, 1, 20) > 0 && recv(fd, byte, sizeof(byte), 0) <= 0)
            break;
    }
    return (long)(clock_steady() - started);
}

static long count_connections(void)
{
    atomic_store(&connections, -1);
    loop_nudge(loop);
    while (atomic_load(&connections) < 0)
        usleep(1000);
    return atomic_load(&connections);
}

/* --- cases ------------------------------------------------------------------------------------------------------ */

static void test_plain_requests(void **state)
{
    (void)state;
    char answer[8192];
    int fd = open_client();
    send_text(fd, "POST /a%20b+c?q=x%2By+z HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_false(read_all(fd, 200, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK"));
    assert_non_null(strstr(answer, "POST /a b+c q=x+y z body=3"));
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); /* on the same connection */
    assert_false(read_all(fd, 200, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "GET / q=- body=0"));
    close(fd);
}

static void test_methods_reach_the_handler(void **state)
{
    (void)state;
    static const char *const methods[] = { "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW" };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        char request[256];
        char answer[4096];
        int fd = open_client();
        snprintf(request, sizeof(request), "%s / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", methods[i]);
        send_text(fd, request);
        read_all(fd, 200, answer, sizeof(answer));
        if (!strstr(answer, "200 OK"))
            fail_msg("%s: %s", methods[i], answer);
        close(fd);
    }
}

struct hostile {
    const char *name;
    const char *request;
    int status;
};

/* Each of these hides a second request where a parser that disagrees with ours would see one. */
#define HIDDEN "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"

static const struct hostile hostile[] = {
    { "length and chunked",
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, 411 },
    { "two lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n" HIDDEN, 400 },
    { "two equal lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" HIDDEN, 400 },
    { "list of lengths", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0, 0\r\n\r\n" HIDDEN, 400 },
    { "space before colon", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 35\r\n\r\n" HIDDEN, 400 },
    { "unknown coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n" HIDDEN, 411 },
    { "two codings",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
      411 },
    { "gzip, chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" HIDDEN, 411 },
    { "chunked", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" HIDDEN, 411 },
    { "chunk size 0x3",
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" HIDDEN, 411 },
    { "chunked on GET", "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN, 411 },
    { "chunked, folded", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" HIDDEN, 400 },
    { "length, folded", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 33\r\n\r\n" HIDDEN, 400 },
    { "length +5", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nabcde" HIDDEN, 400 },
    { "length -1", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n" HIDDEN, 400 },
    { "length 0x5", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\nabcde" HIDDEN, 400 },
    { "huge length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n" HIDDEN, 400 },
    { "empty length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \r\n\r\n" HIDDEN, 400 },
    { "no length", "POST / HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 411 },
    { "GET with a body", "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 33\r\n\r\n" HIDDEN, 400 },
    { "bare line feeds", "GET / HTTP/1.1\nHost: h\n\n" HIDDEN, 400 },
    { "bare line feed behind a length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 33\n\r\n" HIDDEN, 400 },
    { "bare carriage return", "GET / HTTP/1.1\r\nHost: h\rX-A: b\r\n\r\n" HIDDEN, 400 },
    { "folded line", "GET / HTTP/1.1\r\nHost: h\r\nX-A: b\r\n c\r\n\r\n" HIDDEN, 400 },
    { "empty line first", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "no host", "GET / HTTP/1.1\r\n\r\n" HIDDEN, 400 },
    { "two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" HIDDEN, 400 },
    { "control character in a value", "GET / HTTP/1.1\r\nHost: h\r\nX-A: a\001b\r\n\r\n" HIDDEN, 400 },
    { "name that is no token", "GET / HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n" HIDDEN, 400 },
    { "header without colon", "GET / HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n" HIDDEN, 400 },
    { "NUL in the path", "GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "bad escape", "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "half an escape", "GET /a%2 HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "overlong slash", "GET /%c0%af HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "target that is a URL", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 400 },
    { "target like a host", "GET //h/webhooks HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 404 },
    { "no request line", "nonsense\r\n\r\n" HIDDEN, 400 },
    { "HTTP/0.9", "GET /\r\n" HIDDEN, 400 },
    { "HTTP/2 without asking", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" HIDDEN, 400 },
    { "version 9", "GET / HTTP/9.9\r\nHost: h\r\n\r\n" HIDDEN, 505 },
    { "body with an unknown method", "BREW / HTTP/1.1\r\nHost: h\r\nContent-Length: 33\r\n\r\n" HIDDEN, 400 },
    { "long method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 501 },
    { "CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n" HIDDEN, 501 },
    { "unknown expectation", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 33\r\nExpect: x\r\n\r\n" HIDDEN, 417 },
    { "body over the limit", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n", 413 },
};

static int status_of(const char *answer)
{
    return strlen(answer) > 12 ? (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0') : 0;
}

/* Refused once, as plain text, at once, and nothing behind it is looked at. */
static void expect_refusal(const char *name, int fd, int status)
{
    char answer[16384];
    int before = atomic_load(&handled);
    bool closed = read_all(fd, DEADLINE_MS / 2, answer, sizeof(answer));
    close(fd);
    if (status_of(answer) != status)
        fail_msg("%s: %s", name, answer);
    if (!closed || count_answers(answer) != 1 || atomic_load(&handled) != before || strstr(answer, "hidden"))
        fail_msg("%s: closed=%d answers=%d handled=%d: %s", name, closed, count_answers(answer),
                 atomic_load(&handled) - before, answer);
    if (strcasestr(answer, "<html") || !strstr(answer, "Content-Type: text/plain") ||
        !strstr(answer, "Connection: close"))
        fail_msg("%s: %s", name, answer);
}

static void test_hostile_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        int fd = open_client();
        send_text(fd, hostile[i].request);
        expect_refusal(hostile[i].name, fd, hostile[i].status);
    }
}

static void test_hostile_second_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        char answer[4096];
        int fd = open_client();
        send_text(fd, "POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        while (!read_all(fd, 20, answer, sizeof(answer)) && answer[0] == '\0') {
        }
        assert_non_null(strstr(answer, "body=3"));
        send_text(fd, hostile[i].request);
        expect_refusal(hostile[i].name, fd, hostile[i].status);
    }
}

/* What is in order is answered, and then the connection is closed without a look at the rest. */
static void test_hostile_requests_behind_good_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        char text[2048];
        char answer[4096];
        int before = atomic_load(&handled);
        int fd = open_client();
        snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n%s", i % 8 == 7 ? "slow" : "first",
                 hostile[i].request);
        send_text(fd, text);
        bool closed = read_all(fd, 2500, answer, sizeof(answer));
        close(fd);
        /* A path that cannot be decoded is found by the one who decodes it: after the first answer. */
        int answers = strstr(hostile[i].request, "GET /a%") || strstr(hostile[i].request, "GET /%") ? 2 : 1;
        if (!closed || status_of(answer) != 200 || count_answers(answer) != answers ||
            atomic_load(&handled) != before + 1 || strcasestr(answer, "<html"))
            fail_msg("%s: closed=%d handled=%d: %s", hostile[i].name, closed, atomic_load(&handled) - before, answer);
    }
}

static void test_bodies_at_the_limit(void **state)
{
    (void)state;
    char answer[4096];
    char *body = calloc(1, 65536);
    memset(body, 'x', 65535);
    int fd = open_client();
    send_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n");
    send_text(fd, body);
    send_text(fd, "y");
    while (!read_all(fd, 20, answer, sizeof(answer)) && answer[0] == '\0') {
    }
    assert_non_null(strstr(answer, "body=65536"));

    /* All of it was sent before the refusal is read: it must not be lost in a reset. */
    send_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65537\r\n\r\n");
    for (int i = 0; i < 10 && send(fd, body, 65535, MSG_NOSIGNAL) > 0; i++) {
    }
    expect_refusal("a body of one more", fd, 413);
    free(body);
}

static void test_hundred_continue(void **state)
{
    (void)state;
    char answer[4096];
    int fd = open_client();
    send_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    while (!read_all(fd, 20, answer, sizeof(answer)) && answer[0] == '\0') {
    }
    assert_int_equal(status_of(answer), 100);
    send_text(fd, "abc");
    while (!read_all(fd, 20, answer, sizeof(answer)) && answer[0] == '\0') {
    }
    assert_non_null(strstr(answer, "body=3"));
    send_text(fd, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n");
    expect_refusal("an announced body over the limit", fd, 413);
}

static void test_large_headers(void **state)
{
    (void)state;
    char request[8192] = "GET / HTTP/1.1\r\nHost: h\r\nX-Long: ";
    size_t length = strlen(request);
    memset(request + length, 'a', 6000);
    memcpy(request + length + 6000, "\r\n\r\n", 5);
    int fd = open_client();
    send_text(fd, request);
    expect_refusal("large headers", fd, 431);
    memcpy(request, "GET /aaaaaaaaaa", 15);
    memset(request + 15, 'a', 6000);
    fd = open_client();
    send_text(fd, request);
    expect_refusal("a long target", fd, 414);
}

static void test_too_many_headers(void **state)
{
    (void)state;
    char request[4096] = "GET / HTTP/1.1\r\nHost: h\r\n";
    size_t length = strlen(request);
    for (int i = 0; i < 120; i++)
        length += (size_t)snprintf(request + length, sizeof(request) - length, "X-%d: a\r\n", i);
    snprintf(request + length, sizeof(request) - length, "\r\n");
    int fd = open_client();
    send_text(fd, request);
    expect_refusal("too many headers", fd, 431);
}

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

    atomic_store(&drain_now, true);
    loop_nudge(loop);
    usleep(50 * 1000);
    send_text(half, "cd");
    assert_true(read_all(half, 1000, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "body=4"));
    assert_non_null(strstr(answer, "Connection: close"));
    assert_true(read_all(idle, 500, answer, sizeof(answer)));
    assert_true(read_all(slow, 3000, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "late"));
    for (int i = 0; i < 100 && !atomic_load(&was_drained); i++)
        usleep(20 * 1000);
    assert_true(atomic_load(&was_drained));
    close(idle);
    close(slow);
    close(half);
}

static void test_address_in_use_is_reported(void **state)
{
    (void)state;
    struct loop *other_loop = loop_new();
    struct http_server *other = http_server_new(other_loop, NULL, handle, NULL);
    char address[64];
    struct error e;
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    assert_int_equal(http_server_listen(other, address, NULL, &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "in use"));
    assert_int_equal(http_server_listen_shared(other, address, &e), ERR_NONE);
    assert_int_equal(http_server_listen(other, "nonsense", NULL, &e), ERR_INVALID);
    http_server_free(other);
    loop_free(other_loop);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, start_server, stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_plain_requests),
        CASE(test_methods_reach_the_handler),
        CASE(test_hostile_requests),
        CASE(test_hostile_second_requests),
        CASE(test_hostile_requests_behind_good_ones),
        CASE(test_bodies_at_the_limit),
        CASE(test_hundred_continue),
        CASE(test_large_headers),
        CASE(test_too_many_headers),
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
