/* Pure: is this request unambiguous?
 *
 * evhttp repairs or ignores what it does not understand. Two parsers that disagree about where a request ends let one
 * client put words into another's mouth (request smuggling, RFC 9112 section 11.2), so that what is doubtful is
 * refused and its connection closed, without looking at what follows.
 */
#ifndef IO_HTTP_GUARD_H
#define IO_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

struct http_guard {
    bool http_1_1;      /* or later */
    bool may_have_body; /* by its method */
    size_t header_count;
    size_t host_count;
    size_t length_count; /* Content-Length */
    bool bad_header;     /* a name that is no token, or a value with control characters */
    bool bad_length;
    bool has_encoding; /* Transfer-Encoding */
};

/* Feed it all headers of the request, duplicates included, then ask. */
void http_guard_header(struct http_guard *guard, const char *name, const char *value);

/* 0: fine. Otherwise the status to refuse with; `ret_reason` is a constant text for the answer. */
int http_guard_verdict(const struct http_guard *guard, const char **ret_reason);

#endif
