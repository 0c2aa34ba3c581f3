#include "io/http_guard.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Senders use some 10 to 30; each one costs memory and time. */
#define MAX_HEADERS 100

/* RFC 9110 section 5.6.2. A name that ends with a space is the classic: "Content-Length : 5". */
static bool is_token(const char *name)
{
    if (*name == '\0')
        return false;
    for (const char *c = name; *c; c++) {
        bool letter_or_digit = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!letter_or_digit && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    }
    return true;
}

static bool is_field_value(const char *value)
{
    for (const char *c = value; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

void http_guard_header(struct http_guard *guard, const char *name, const char *value)
{
    guard->header_count++;
    if (!is_token(name) || !is_field_value(value))
        guard->bad_header = true;
    if (strcasecmp(name, "Content-Length") == 0) {
        uint64_t length;
        guard->length_count++;
        if (!text_to_u64(bytes_of(value), &length))
            guard->bad_length = true;
    } else if (strcasecmp(name, "Transfer-Encoding") == 0) {
        guard->has_encoding = true;
    } else if (strcasecmp(name, "Host") == 0) {
        guard->host_count++;
    }
}

int http_guard_verdict(const struct http_guard *guard, const char **ret_reason)
{
    *ret_reason = "";
    if (guard->header_count > MAX_HEADERS)
        *ret_reason = "too many header fields";
    else if (guard->bad_header)
        *ret_reason = "malformed header field";
    else if (guard->bad_length || guard->length_count > 1)
        *ret_reason = "ambiguous Content-Length";
    else if (guard->host_count > 1 || (guard->http_1_1 && guard->host_count == 0))
        *ret_reason = "exactly one Host is needed";
    if (**ret_reason)
        return 400;
    /* RFC 9112 section 6.3 allows a server to insist on a length. Senders of webhooks give one, and chunked coding is
     * where evhttp's parser and others' differ most. */
    if (guard->has_encoding || (guard->may_have_body && guard->length_count == 0)) {
        *ret_reason = "Content-Length is needed";
        return 411;
    }
    return 0;
}
