#include "io/http_guard.h"

#include "base/macros.h"
#include "base/text.h"

enum {
    TOKEN = 1,  /* RFC 9110 section 5.6.2: methods and names of fields */
    VALUE = 2,  /* values of fields: no control characters but the tab */
    TARGET = 4, /* what is visible, without '#', which never leaves a client */
    HOST = 8,   /* RFC 3986 section 3.2.2, and the port */
};

/* clang-format off */
static const unsigned char classes[256] = {
    ['\t'] = VALUE, [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET | HOST, ['"'] = VALUE | TARGET, ['#'] = TOKEN | VALUE,
    ['$' ... '\''] = TOKEN | VALUE | TARGET | HOST, ['(' ... ')'] = VALUE | TARGET | HOST,
    ['*' ... '+'] = TOKEN | VALUE | TARGET | HOST, [','] = VALUE | TARGET,
    ['-' ... '.'] = TOKEN | VALUE | TARGET | HOST, ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET | HOST, [':'] = VALUE | TARGET | HOST,
    [';' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = TOKEN | VALUE | TARGET | HOST, ['['] = VALUE | TARGET | HOST, ['\\'] = VALUE | TARGET,
    [']'] = VALUE | TARGET | HOST, ['^'] = TOKEN | VALUE | TARGET, ['_'] = TOKEN | VALUE | TARGET | HOST,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'z'] = TOKEN | VALUE | TARGET | HOST, ['{'] = VALUE | TARGET, ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET, ['~'] = TOKEN | VALUE | TARGET | HOST,
    [0x80 ... 0xff] = VALUE,
};
/* clang-format on */

static bool is(char c, unsigned class)
{
    return (classes[(unsigned char)c] & class) != 0;
}

/* The fields that decide about framing; of all others only the shape matters. */
enum field { OTHER, CONTENT_LENGTH, TRANSFER_ENCODING, HOST_FIELD, EXPECT };

static bool refuse(struct http_guard *guard, int status, const char *reason)
{
    guard->place = HTTP_GUARD_REFUSED;
    guard->status = status;
    guard->reason = reason;
    return false;
}

static void begin_request(struct http_guard *guard)
{
    guard->place = HTTP_GUARD_METHOD;
    guard->head_bytes = 0;
    guard->text_length = 0;
    guard->needs_length = false;
    guard->has_encoding = false;
    guard->bad_expectation = false;
    guard->host_ended = false;
    guard->host_count = 0;
    guard->length_count = 0;
    guard->field_count = 0;
    guard->length = 0;
}

void http_guard_init(struct http_guard *guard, size_t max_head_bytes, size_t max_body_bytes)
{
    *guard = (struct http_guard){ .max_head_bytes = max_head_bytes, .max_body_bytes = max_body_bytes, .reason = "" };
    begin_request(guard);
}

size_t http_guard_skip_body(struct http_guard *guard, size_t size)
{
    if (guard->place != HTTP_GUARD_BODY)
        return 0;
    size_t skipped = size < guard->body_left ? size : (size_t)guard->body_left;
    guard->body_left -= skipped;
    if (guard->body_left == 0) {
        guard->complete++;
        begin_request(guard);
    }
    return skipped;
}

static void keep(struct http_guard *guard, char c)
{
    if (guard->text_length < sizeof(guard->text))
        guard->text[guard->text_length] = c;
    guard->text_length++;
}

/* How many bytes of that class stand at the beginning. */
static size_t run_length(struct bytes bytes, unsigned class)
{
    size_t length = 0;
    while (length < bytes.len && is(bytes.ptr[length], class))
        length++;
    return length;
}

/* The same, and keeps them. */
static size_t keep_run(struct http_guard *guard, struct bytes bytes, unsigned class)
{
    size_t length = run_length(bytes, class);
    if (guard->text_length < sizeof(guard->text)) {
        size_t room = sizeof(guard->text) - guard->text_length;
        memcpy(guard->text + guard->text_length, bytes.ptr, length < room ? length : room);
    }
    guard->text_length += length;
    return length;
}

/* What was kept, or something that equals nothing when it was too long. */
static struct bytes kept(const struct http_guard *guard)
{
    return (struct bytes){ guard->text, guard->text_length <= sizeof(guard->text) ? guard->text_length : 0 };
}

/* --- the parts of a head; each takes the next bytes and returns how many, or refuses ------------------------------ */

/* Methods that nobody knows are for the handler to refuse. */
static bool end_of_method(struct http_guard *guard)
{
    struct bytes method = kept(guard);
    if (method.len == 0 || bytes_equal(method, BYTES_LITERAL("CONNECT")))
        return refuse(guard, 501, "this method is not for here");
    guard->needs_length = bytes_equal(method, BYTES_LITERAL("POST")) || bytes_equal(method, BYTES_LITERAL("PUT")) ||
                          bytes_equal(method, BYTES_LITERAL("PATCH"));
    guard->place = HTTP_GUARD_TARGET;
    guard->text_length = 0;
    return true;
}

static bool end_of_version(struct http_guard *guard)
{
    struct bytes version = kept(guard);
    guard->place = HTTP_GUARD_LINE_FEED;
    guard->http_1_1 = bytes_equal(version, BYTES_LITERAL("HTTP/1.1"));
    if (guard->http_1_1 || bytes_equal(version, BYTES_LITERAL("HTTP/1.0")))
        return true;
    bool is_version = version.len == 8 && bytes_start_with(version, BYTES_LITERAL("HTTP/")) && version.ptr[6] == '.';
    return is_version ? refuse(guard, 505, "this version of HTTP is not spoken here")
                      : refuse(guard, 400, "malformed request line");
}

static enum field field_of(struct bytes name)
{
    switch (name.len) {
    case 4:
        return text_equal_ignore_case(name, BYTES_LITERAL("host")) ? HOST_FIELD : OTHER;
    case 6:
        return text_equal_ignore_case(name, BYTES_LITERAL("expect")) ? EXPECT : OTHER;
    case 14:
        return text_equal_ignore_case(name, BYTES_LITERAL("content-length")) ? CONTENT_LENGTH : OTHER;
    case 17:
        return text_equal_ignore_case(name, BYTES_LITERAL("transfer-encoding")) ? TRANSFER_ENCODING : OTHER;
    default:
        return OTHER;
    }
}

static bool end_of_name(struct http_guard *guard)
{
    if (guard->text_length == 0)
        return refuse(guard, 400, "malformed header field");
    if (++guard->field_count > HTTP_GUARD_MAX_FIELDS)
        return refuse(guard, 431, "too many header fields");
    guard->field = (unsigned char)field_of(kept(guard));
    guard->text_length = 0;
    guard->place = HTTP_GUARD_VALUE;
    return true;
}

static bool end_of_value(struct http_guard *guard)
{
    guard->place = HTTP_GUARD_LINE_FEED;
    switch ((enum field)guard->field) {
    case CONTENT_LENGTH:
        guard->length_count++;
        if (guard->length_count > 1 || !text_to_u64(text_trim(kept(guard)), &guard->length))
            return refuse(guard, 400, "ambiguous Content-Length");
        return true;
    case TRANSFER_ENCODING:
        guard->has_encoding = true;
        return true;
    case HOST_FIELD:
        if (++guard->host_count > 1)
            return refuse(guard, 400, "exactly one Host is needed");
        return true;
    case EXPECT:
        guard->bad_expectation |= !text_equal_ignore_case(text_trim(kept(guard)), BYTES_LITERAL("100-continue"));
        return true;
    case OTHER:
        break;
    }
    return true;
}

static bool end_of_head(struct http_guard *guard)
{
    if (guard->http_1_1 && guard->host_count == 0)
        return refuse(guard, 400, "exactly one Host is needed");
    if (guard->has_encoding || (guard->needs_length && guard->length_count == 0))
        return refuse(guard, 411, "Content-Length is needed, also for no body (curl: -d '')");
    /* Nothing here reads one, and not every parser that a request passes would take it for a body. */
    if (!guard->needs_length && guard->length > 0)
        return refuse(guard, 400, "a body with a method that takes none");
    if (guard->length > guard->max_body_bytes)
        return refuse(guard, 413, "the body is too large");
    if (guard->bad_expectation)
        return refuse(guard, 417, "unknown expectation");
    guard->body_left = guard->length;
    if (guard->body_left > 0) {
        guard->place = HTTP_GUARD_BODY;
    } else {
        guard->complete++;
        begin_request(guard);
    }
    return true;
}

static size_t look_at_method(struct http_guard *guard, struct bytes bytes)
{
    size_t i = keep_run(guard, bytes, TOKEN);
    if (i == bytes.len)
        return i;
    if (bytes.ptr[i] != ' ' || guard->text_length == 0)
        refuse(guard, 400, "malformed request line");
    else
        end_of_method(guard);
    return i + 1;
}

static size_t look_at_target(struct http_guard *guard, struct bytes bytes)
{
    size_t i = 0;
    for (; i < bytes.len && guard->text_length < 2 && is(bytes.ptr[i], TARGET); i++) {
        bool is_slash = bytes.ptr[i] == '/';
        if (guard->text_length == 0 && !is_slash)
            refuse(guard, 400, "the target must be a path"); /* anything else is for proxies */
        else if (guard->text_length == 1 && is_slash)
            refuse(guard, 404, "no such path"); /* evhttp would take what follows for the name of a host */
        if (guard->place == HTTP_GUARD_REFUSED)
            return i + 1;
        keep(guard, bytes.ptr[i]);
    }
    i += run_length((struct bytes){ bytes.ptr + i, bytes.len - i }, TARGET);
    if (i == bytes.len)
        return i;
    if (bytes.ptr[i] != ' ' || guard->text_length == 0)
        refuse(guard, 400, "malformed request line");
    guard->text_length = 0;
    if (guard->place == HTTP_GUARD_TARGET)
        guard->place = HTTP_GUARD_VERSION;
    return i + 1;
}

static size_t look_at_version(struct http_guard *guard, struct bytes bytes)
{
    size_t i = 0;
    while (i < bytes.len && is(bytes.ptr[i], TARGET) && guard->text_length <= 8)
        keep(guard, bytes.ptr[i++]);
    if (i == bytes.len)
        return i;
    if (bytes.ptr[i] != '\r')
        refuse(guard, 400, "malformed request line");
    else
        end_of_version(guard);
    return i + 1;
}

static size_t look_at_line_start(struct http_guard *guard, char first)
{
    if (first == '\r') {
        guard->place = HTTP_GUARD_LAST_LINE_FEED;
        return 1;
    }
    guard->text_length = 0;
    guard->place = HTTP_GUARD_NAME; /* where the space of a folded line is refused */
    return 0;
}

static size_t look_at_name(struct http_guard *guard, struct bytes bytes)
{
    size_t i = keep_run(guard, bytes, TOKEN);
    if (i == bytes.len)
        return i;
    if (bytes.ptr[i] != ':')
        refuse(guard, 400, "malformed header field");
    else
        end_of_name(guard);
    return i + 1;
}

static size_t look_at_value(struct http_guard *guard, struct bytes bytes)
{
    size_t i = 0;
    if (guard->field == OTHER) {
        i = run_length(bytes, VALUE);
    } else {
        for (; i < bytes.len && is(bytes.ptr[i], VALUE); i++) {
            char c = bytes.ptr[i];
            bool is_space = c == ' ' || c == '\t';
            if (guard->field == HOST_FIELD && !is_space && (guard->host_ended || !is(c, HOST))) {
                refuse(guard, 400, "malformed Host");
                return i + 1;
            }
            if (!is_space || guard->text_length > 0)
                keep(guard, c);
            guard->host_ended = is_space && guard->text_length > 0;
        }
    }
    if (i == bytes.len)
        return i;
    if (bytes.ptr[i] != '\r')
        refuse(guard, 400, "malformed header field");
    else
        end_of_value(guard);
    return i + 1;
}

static size_t look_at_line_feed(struct http_guard *guard, char feed)
{
    bool last = guard->place == HTTP_GUARD_LAST_LINE_FEED;
    guard->place = HTTP_GUARD_LINE_START;
    if (feed != '\n')
        refuse(guard, 400, "a line that does not end with CR LF");
    else if (last)
        end_of_head(guard);
    return 1;
}

static size_t look_at_part(struct http_guard *guard, struct bytes bytes)
{
    switch (guard->place) {
    case HTTP_GUARD_METHOD:
        return look_at_method(guard, bytes);
    case HTTP_GUARD_TARGET:
        return look_at_target(guard, bytes);
    case HTTP_GUARD_VERSION:
        return look_at_version(guard, bytes);
    case HTTP_GUARD_LINE_START:
        return look_at_line_start(guard, bytes.ptr[0]);
    case HTTP_GUARD_NAME:
        return look_at_name(guard, bytes);
    case HTTP_GUARD_VALUE:
        return look_at_value(guard, bytes);
    case HTTP_GUARD_LINE_FEED:
    case HTTP_GUARD_LAST_LINE_FEED:
        return look_at_line_feed(guard, bytes.ptr[0]);
    case HTTP_GUARD_BODY:
    case HTTP_GUARD_REFUSED:
        break;
    }
    return 0;
}

bool http_guard_look(struct http_guard *guard, struct bytes bytes)
{
    while (bytes.len > 0 && guard->place != HTTP_GUARD_REFUSED) {
        size_t taken = http_guard_skip_body(guard, bytes.len);
        if (taken == 0) {
            bool in_target = guard->place == HTTP_GUARD_TARGET;
            uint64_t before = guard->complete;
            /* No further than the limit, so that a head that is too large is refused for that. */
            size_t room = guard->max_head_bytes - guard->head_bytes;
            if (room == 0)
                return refuse(guard, in_target ? 414 : 431,
                              in_target ? "the target is too long" : "the header is too large");
            taken = look_at_part(guard, (struct bytes){ bytes.ptr, bytes.len < room ? bytes.len : room });
            if (guard->complete == before && guard->place != HTTP_GUARD_BODY)
                guard->head_bytes += taken;
        }
        bytes.ptr += taken;
        bytes.len -= taken;
    }
    return guard->place != HTTP_GUARD_REFUSED;
}
