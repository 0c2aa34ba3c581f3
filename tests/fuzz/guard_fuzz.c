/* What the guard lets pass is unambiguous to a much simpler reader, however the bytes are cut. The input: raw bytes. */
#include "io/http_guard.h"

#include <strings.h>

#include "fuzz.h"

#define MAX_HEAD 1024
#define MAX_BODY 256

static void look(struct http_guard *guard, struct bytes text, size_t piece)
{
    http_guard_init(guard, MAX_HEAD, MAX_BODY);
    bool fine = true;
    while (text.len > 0 && fine) {
        size_t length = text.len < piece ? text.len : piece;
        fine = http_guard_look(guard, (struct bytes){ text.ptr, length });
        text.ptr += length;
        text.len -= length;
    }
    MUST_HOLD(fine == (guard->status == 0) && fine == (guard->reason[0] == '\0'));
}

/* A header line of a head that passed; returns 1 when it has that name. */
static size_t named(struct bytes line, const char *name)
{
    return line.len > strlen(name) && strncasecmp(line.ptr, name, strlen(name)) == 0 && line.ptr[strlen(name)] == ':';
}

/* Cuts the next request off, which the guard took. */
static void check_request(struct bytes *rest)
{
    const char *end = memmem(rest->ptr, rest->len, "\r\n\r\n", 4);
    MUST_HOLD(end);
    struct bytes head = { rest->ptr, (size_t)(end - rest->ptr) + 2 };
    MUST_HOLD(head.len + 2 <= MAX_HEAD);
    size_t lengths = 0;
    size_t hosts = 0;
    uint64_t length = 0;
    for (size_t n = 0; head.len > 0; n++) {
        struct bytes line = text_next_field(&head, '\n');
        MUST_HOLD(line.len > 1 && line.ptr[line.len - 1] == '\r' && !memchr(line.ptr, '\r', line.len - 1));
        MUST_HOLD(!memchr(line.ptr, '\0', line.len));
        line.len--;
        if (n == 0) {
            MUST_HOLD(line.len >= strlen("M / HTTP/1.1") && memcmp(line.ptr + line.len - 9, " HTTP/1.", 8) == 0);
            continue;
        }
        const char *colon = memchr(line.ptr, ':', line.len);
        MUST_HOLD(colon && colon > line.ptr && !memchr(line.ptr, ' ', (size_t)(colon - line.ptr)));
        MUST_HOLD(!memchr(line.ptr, '\t', (size_t)(colon - line.ptr)));
        MUST_HOLD(!named(line, "Transfer-Encoding"));
        hosts += named(line, "Host");
        if (named(line, "Content-Length")) {
            lengths++;
            line.ptr += 15;
            line.len -= 15;
            MUST_HOLD(text_to_u64(text_trim(line), &length) && length <= MAX_BODY);
        }
    }
    MUST_HOLD(lengths <= 1 && hosts <= 1);
    size_t whole = (size_t)(end - rest->ptr) + 4 + length;
    MUST_HOLD(rest->len >= whole);
    rest->ptr += whole;
    rest->len -= whole;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes text = { (const char *)data, size };
    struct http_guard whole;
    struct http_guard bytewise;
    struct http_guard pieces;
    look(&whole, text, size + 1);
    look(&bytewise, text, 1);
    look(&pieces, text, 2 + size % 97);
    MUST_HOLD(whole.status == bytewise.status && whole.complete == bytewise.complete);
    MUST_HOLD(whole.status == pieces.status && whole.complete == pieces.complete);
    for (uint64_t i = 0; i < whole.complete; i++)
        check_request(&text);
    return 0;
}
