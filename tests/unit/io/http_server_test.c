/* What the server does with requests that are plain, ambiguous or too large. */
#include "io/http_server.h"

#include "io/http_stage.h"
#include "patience.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/macros.h"

static void test_plain_requests(void **state)
{
    (void)state;
    char answer[8192];
    int fd = open_client();
    send_text(fd, "POST /a%20b+c?q=x%2By+z HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK"));
    assert_non_null(strstr(answer, "POST /a b+c q=x+y z body=3"));
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); /* on the same connection */
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "GET / q=- body=0"));
    close(fd);
}

/* An answer says once when it was made. */
static void test_date(void **state)
{
    (void)state;
    char answer[8192];
    int fd = open_client();
    msec_t before = clock_now();
    send_text(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    const char *date = strstr(answer, "\r\nDate: ");
    assert_non_null(date);
    struct tm said = { 0 };
    assert_non_null(strptime(date + 8, "%a, %d %b %Y %H:%M:%S GMT\r\n", &said));
    assert_in_range(timegm(&said), before / 1000, clock_now() / 1000);
    assert_null(strstr(date + 8, "\r\nDate: "));
    close(fd);
}

/* HEAD tells how long the answer to a GET would be, and nothing comes behind the headers. */
static void test_head(void **state)
{
    (void)state;
    char answer[8192];
    int fd = open_client();
    send_text(fd, "HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(read_until_closed(fd, answer, sizeof(answer)));
    assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
    char length[64];
    snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", strlen("HEAD /a q=- body=0"));
    assert_non_null(strstr(answer, length));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
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
        assert_true(read_answers(fd, 1, answer, sizeof(answer)));
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
    int before = atomic_load(&stage_handled);
    bool closed = read_until_closed(fd, answer, sizeof(answer));
    close(fd);
    if (status_of(answer) != status)
        fail_msg("%s: %s", name, answer);
    if (!closed || count_answers(answer) != 1 || atomic_load(&stage_handled) != before || strstr(answer, "hidden"))
        fail_msg("%s: closed=%d answers=%d handled=%d: %s", name, closed, count_answers(answer),
                 atomic_load(&stage_handled) - before, answer);
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
        assert_true(read_answers(fd, 1, answer, sizeof(answer)));
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
        int before = atomic_load(&stage_handled);
        int fd = open_client();
        bool is_held = i % 8 == 7;
        snprintf(text, sizeof(text), "GET /%s HTTP/1.1\r\nHost: h\r\n\r\n%s", is_held ? "held" : "first",
                 hostile[i].request);
        send_text(fd, text);
        if (is_held) {
            WAIT_UNTIL(atomic_load(&stage_handled) == before + 1);
            answer_held();
        }
        bool closed = read_until_closed(fd, answer, sizeof(answer));
        close(fd);
        /* A path that cannot be decoded is found by the one who decodes it: after the first answer. */
        int answers = strstr(hostile[i].request, "GET /a%") || strstr(hostile[i].request, "GET /%") ? 2 : 1;
        if (!closed || status_of(answer) != 200 || count_answers(answer) != answers ||
            atomic_load(&stage_handled) != before + 1 || strcasestr(answer, "<html"))
            fail_msg("%s: closed=%d handled=%d: %s", hostile[i].name, closed, atomic_load(&stage_handled) - before,
                     answer);
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
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
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
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
    assert_int_equal(status_of(answer), 100);
    send_text(fd, "abc");
    assert_true(read_answers(fd, 1, answer, sizeof(answer)));
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

#define CASE(f) cmocka_unit_test_setup_teardown(f, stage_start_server, stage_stop_server)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_plain_requests),
        CASE(test_date),
        CASE(test_head),
        CASE(test_methods_reach_the_handler),
        CASE(test_hostile_requests),
        CASE(test_hostile_second_requests),
        CASE(test_hostile_requests_behind_good_ones),
        CASE(test_bodies_at_the_limit),
        CASE(test_hundred_continue),
        CASE(test_large_headers),
        CASE(test_too_many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
