/* What the guard lets pass, what it refuses with which status, and that it does not matter how the bytes are cut. */
#include "io/http_guard.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#define MAX_HEAD 512
#define MAX_BODY 100
#define H "Host: h\r\n"
#define TEN "aaaaaaaaaa"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

struct verdict {
    int status;
    uint64_t complete;
};

/* Shows the text in pieces of `piece` bytes. */
static struct verdict look(struct bytes text, size_t piece)
{
    struct http_guard guard;
    http_guard_init(&guard, MAX_HEAD, MAX_BODY);
    while (text.len > 0) {
        size_t length = text.len < piece ? text.len : piece;
        if (!http_guard_look(&guard, (struct bytes){ text.ptr, length }))
            break;
        text.ptr += length;
        text.len -= length;
    }
    assert_true((guard.status == 0) == (guard.reason[0] == '\0'));
    return (struct verdict){ guard.status, guard.complete };
}

static const struct {
    const char *name;
    struct bytes text;
    int status;
    uint64_t complete;
} cases[] = {
    /* clang-format off */
    { "GET", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "\r\n"), 0, 1 },
    { "POST", BYTES_LITERAL("POST /a?b=c HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"), 0, 1 },
    { "a body that looks like a request", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nGET /\n"), 0, 1 },
    { "not complete", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab"), 0, 0 },
    { "two, one behind the other", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n" H "\r\n"), 0, 2 },
    { "a bad one behind a good one", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc GET / HTTP/1.1\r\n"), 400, 1 },
    { "HTTP/1.0 without Host", BYTES_LITERAL("GET / HTTP/1.0\r\n\r\n"), 0, 1 },
    { "spaces around a length", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length:\t 0 \t\r\n\r\n"), 0, 1 },
    { "any case", BYTES_LITERAL("POST / HTTP/1.1\r\nHOST:h\r\ncontent-LENGTH:0\r\n\r\n"), 0, 1 },
    { "100-continue", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 100-Continue\r\n\r\na"), 0, 1 },
    { "values of all sorts", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: [::1]:80\r\nX-A:\r\nX-B: \t\xc3\xbc \"{}\r\n\r\n"), 0, 1 },
    { "a body of the greatest size", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\n" HUNDRED), 0, 1 },

    { "bare line feeds", BYTES_LITERAL("GET / HTTP/1.1\nHost: h\n\n"), 400, 0 },
    { "a bare line feed behind a field", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"), 400, 0 },
    { "a bare line feed at the end", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "\n"), 400, 0 },
    { "a bare carriage return", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"), 400, 0 },
    { "a carriage return too many", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"), 400, 0 },
    { "an empty line first", BYTES_LITERAL("\r\nGET / HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a folded line", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X-A: b\r\n c\r\n\r\n"), 400, 0 },
    { "a line folded by a tab", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n\t0\r\n\r\n"), 400, 0 },
    { "a space before the first field", BYTES_LITERAL("GET / HTTP/1.1\r\n " H "\r\n"), 400, 0 },
    { "a space before the colon", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length : 3\r\n\r\nabc"), 400, 0 },
    { "a name with a space", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X A: b\r\n\r\n"), 400, 0 },
    { "no name", BYTES_LITERAL("GET / HTTP/1.1\r\n" H ": b\r\n\r\n"), 400, 0 },
    { "no colon", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n"), 400, 0 },
    { "a NUL in a value", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X-A: a\0b\r\n\r\n"), 400, 0 },
    { "a NUL in a name", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X\0A: a\r\n\r\n"), 400, 0 },
    { "a NUL in the target", BYTES_LITERAL("GET /\0 HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "an escape character in a value", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X-A: \x1b[2J\r\n\r\n"), 400, 0 },
    { "DEL in a value", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "X-A: \x7f\r\n\r\n"), 400, 0 },
    { "two lengths", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 3\r\n\r\nabc"), 400, 0 },
    { "the same length twice", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"), 400, 0 },
    { "a list of lengths", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0, 0\r\n\r\n"), 400, 0 },
    { "a length with a sign", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc"), 400, 0 },
    { "a length below zero", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n"), 400, 0 },
    { "a length in hexadecimal", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc"), 400, 0 },
    { "a length with a fraction", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 3.0\r\n\r\nabc"), 400, 0 },
    { "a length with a space inside", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\n"), 400, 0 },
    { "a length of 2^64", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n"), 400, 0 },
    { "a length of 2^64 - 1", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n\r\n"), 413, 0 },
    { "a length of many zeros", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: " HUNDRED "0\r\n\r\n"), 400, 0 },
    { "an empty length", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"), 400, 0 },
    { "a body of one more", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 101\r\n\r\n" HUNDRED "a"), 413, 0 },
    { "a length with GET", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"), 400, 0 },
    { "a length of zero with GET", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), 0, 1 },
    { "no length", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "\r\n"), 411, 0 },
    { "chunked", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411, 0 },
    { "chunked and a length", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 411, 0 },
    { "an unknown coding with GET", BYTES_LITERAL("GET / HTTP/1.1\r\n" H "transfer-encoding: \x0b" "chunked\r\n\r\n"), 400, 0 },
    { "identity", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n"), 411, 0 },
    { "no Host", BYTES_LITERAL("GET / HTTP/1.1\r\n\r\n"), 400, 0 },
    { "two Hosts", BYTES_LITERAL("GET / HTTP/1.1\r\n" H H "\r\n"), 400, 0 },
    { "two Hosts of HTTP/1.0", BYTES_LITERAL("GET / HTTP/1.0\r\n" H H "\r\n"), 400, 0 },
    { "a Host with a path", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n"), 400, 0 },
    { "a Host with a user", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400, 0 },
    { "a Host of two words", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, 0 },
    { "a Host list", BYTES_LITERAL("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), 400, 0 },
    { "HTTP/0.9", BYTES_LITERAL("GET /\r\n"), 400, 0 },
    { "HTTP/2 without asking", BYTES_LITERAL("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400, 0 },
    { "HTTP/1.2", BYTES_LITERAL("GET / HTTP/1.2\r\n" H "\r\n"), 505, 0 },
    { "HTTP/9.9", BYTES_LITERAL("GET / HTTP/9.9\r\n" H "\r\n"), 505, 0 },
    { "HTTP/11.1", BYTES_LITERAL("GET / HTTP/11.1\r\n" H "\r\n"), 400, 0 },
    { "http/1.1", BYTES_LITERAL("GET / http/1.1\r\n" H "\r\n"), 400, 0 },
    { "two spaces", BYTES_LITERAL("GET  / HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "two spaces before the version", BYTES_LITERAL("GET /  HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a tab", BYTES_LITERAL("GET\t/ HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a space behind the version", BYTES_LITERAL("GET / HTTP/1.1 \r\n" H "\r\n"), 400, 0 },
    { "a target of two words", BYTES_LITERAL("GET /a b HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "no target", BYTES_LITERAL("GET HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a target that is a URL", BYTES_LITERAL("GET http://h/ HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a target that begins like a host", BYTES_LITERAL("GET //evil/webhooks HTTP/1.1\r\n" H "\r\n"), 404, 0 },
    { "a target with a fragment", BYTES_LITERAL("GET /#a HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "a target of raw bytes", BYTES_LITERAL("GET /\xc3\xbc HTTP/1.1\r\n" H "\r\n"), 400, 0 },
    { "CONNECT", BYTES_LITERAL("CONNECT h:443 HTTP/1.1\r\n" H "\r\n"), 501, 0 },
    { "a method that nobody knows", BYTES_LITERAL("BREW / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n"), 0, 1 },
    { "a body with a method that nobody knows", BYTES_LITERAL("BREW / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na"), 400, 0 },
    { "a method in lower case", BYTES_LITERAL("post / HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\na"), 400, 0 },
    { "a long method", BYTES_LITERAL(HUNDRED " / HTTP/1.1\r\n" H "\r\n"), 501, 0 },
    { "TLS", BYTES_LITERAL("\x16\x03\x01\x02"), 400, 0 },
    { "an unknown expectation before a known one",
      BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nExpect: miracles\r\nExpect: 100-continue\r\n\r\n"), 417, 0 },
    { "an unknown expectation", BYTES_LITERAL("POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nExpect: miracles\r\n\r\n"), 417, 0 },
    { "a long target", BYTES_LITERAL("GET /" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED TEN " HTTP/1.1\r\n"), 414, 0 },
    { "a long value", BYTES_LITERAL("GET / HTTP/1.1\r\nX: " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED "\r\n"), 431, 0 },
    /* clang-format on */
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 1; piece <= cases[i].text.len; piece++) {
            struct verdict v = look(cases[i].text, piece);
            if (v.status != cases[i].status || v.complete != cases[i].complete)
                fail_msg("%s in pieces of %zu: status %d, %d complete", cases[i].name, piece, v.status,
                         (int)v.complete);
        }
    }
}

static void test_head_of_the_greatest_size(void **state)
{
    (void)state;
    for (size_t size = MAX_HEAD - 2; size <= MAX_HEAD + 2; size++) {
        char head[MAX_HEAD + 16];
        int start = snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" H "X: ");
        memset(head + start, 'a', size - (size_t)start - 4);
        memcpy(head + size - 4, "\r\n\r\n", 4);
        for (size_t piece = 1; piece <= size; piece += 7) {
            struct verdict v = look((struct bytes){ head, size }, piece);
            assert_int_equal(v.status, size <= MAX_HEAD ? 0 : 431);
            assert_int_equal(v.complete, size <= MAX_HEAD);
        }
    }
}

static void test_number_of_fields(void **state)
{
    (void)state;
    struct http_guard guard;
    http_guard_init(&guard, 65536, 0);
    assert_true(http_guard_look(&guard, BYTES_LITERAL("GET / HTTP/1.1\r\n" H)));
    for (int i = 1; i < HTTP_GUARD_MAX_FIELDS; i++)
        assert_true(http_guard_look(&guard, BYTES_LITERAL("X: y\r\n")));
    assert_false(http_guard_look(&guard, BYTES_LITERAL("X: y\r\n")));
    assert_int_equal(guard.status, 431);
    assert_false(http_guard_look(&guard, BYTES_LITERAL("\r\n"))); /* for good */
}

static void test_bodies_are_skipped(void **state)
{
    (void)state;
    struct http_guard guard;
    http_guard_init(&guard, MAX_HEAD, MAX_BODY);
    assert_int_equal(http_guard_skip_body(&guard, 10), 0);
    assert_true(http_guard_look(&guard, BYTES_LITERAL("PUT / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\na")));
    assert_int_equal(http_guard_skip_body(&guard, 3), 3);
    assert_int_equal(guard.complete, 0);
    assert_int_equal(http_guard_skip_body(&guard, 3), 1);
    assert_int_equal(guard.complete, 1);
    assert_int_equal(http_guard_skip_body(&guard, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_head_of_the_greatest_size),
        cmocka_unit_test(test_number_of_fields),
        cmocka_unit_test(test_bodies_are_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
