/* Pure: is each request on a connection unambiguous? Looks at the raw bytes before the HTTP library does.
 *
 * evhttp repairs or ignores what it does not understand. Two parsers that disagree about where a request ends let one
 * client put words into another's mouth (request smuggling, RFC 9112 section 11.2), so that what is doubtful is
 * refused and its connection closed, without looking at what follows.
 *
 * Taken are HTTP/1.0 and 1.1 requests with lines that end with CRLF, a target that is a path, no folded lines, at most
 * one Content-Length, no Transfer-Encoding (RFC 9112 section 6.3 allows a server to insist on a length; senders of
 * webhooks give one, and chunked coding is where parsers differ most), and one Host.
 */
#ifndef IO_HTTP_GUARD_H
#define IO_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/* Senders use some 10 to 30; each one costs memory and time. */
#define HTTP_GUARD_MAX_FIELDS 100

enum http_guard_place {
    HTTP_GUARD_METHOD,
    HTTP_GUARD_TARGET,
    HTTP_GUARD_VERSION,
    HTTP_GUARD_LINE_FEED, /* a CR was read */
    HTTP_GUARD_LINE_START,
    HTTP_GUARD_NAME,
    HTTP_GUARD_VALUE,
    HTTP_GUARD_LAST_LINE_FEED,
    HTTP_GUARD_BODY,
    HTTP_GUARD_REFUSED,
};

struct http_guard {
    size_t max_head_bytes;
    size_t max_body_bytes;
    enum http_guard_place place;
    uint64_t complete;  /* requests that were seen to their last byte */
    uint64_t body_left; /* of the one that is coming in */
    int status;         /* of the refusal, or 0 */
    const char *reason; /* a constant text for the answer */

    /* Of the head that is coming in. */
    size_t head_bytes;
    size_t text_length;  /* of what is in `text`, or would be if there were room */
    char text[24];       /* the method, the version, a name in lower case, or the value of a field that is read */
    unsigned char field; /* which one that is */
    bool needs_length;   /* by its method */
    bool http_1_1;
    bool has_encoding;
    bool bad_expectation;
    bool host_ended; /* a space was read behind it */
    unsigned char host_count;
    unsigned char length_count;
    unsigned char field_count;
    uint64_t length;
};

void http_guard_init(struct http_guard *guard, size_t max_head_bytes, size_t max_body_bytes);

/* How many of the next `size` bytes are the body of a request that was let pass: they need not be shown. */
size_t http_guard_skip_body(struct http_guard *guard, size_t size);

/* Shows it the next bytes. False: refused, for good; `status` and `reason` say why, and `complete` how many requests
 * before it were fine. */
bool http_guard_look(struct http_guard *guard, struct bytes bytes);

#endif
