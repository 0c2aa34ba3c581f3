/* What the tests of the channels share: parsing a body, and looking into the result by path. */
#ifndef TESTS_CHANNEL_SUPPORT_H
#define TESTS_CHANNEL_SUPPORT_H

#include "channel/channel.h"
#include "io/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEST_NOW 1795420800000 /* 2026-11-23T08:00:00Z */

/* The value at `path` as text: a text as it is, others as JSON, "-" when there is none. The caller frees it. */
static inline char *text_at(const json_t *json, const char *path)
{
    const json_t *value = json_at(json, path);
    if (value == NULL) {
        return strdup("-");
    }
    return json_is_string(value) ? strdup(json_string_value(value)) : json_dump(value);
}

static inline void expect_at_line(const json_t *json, const char *path, const char *expected, const char *file,
                                  int line)
{
    char *text = text_at(json, path);
    if (strcmp(text, expected) != 0) {
        char *whole = json_dump(json);
        print_error("%s:%d: %s is '%s', not '%s', in %s\n", file, line, path, text, expected, whole);
        free(whole);
        free(text);
        fail();
    }
    free(text);
}
#define expect_at(json, path, expected) expect_at_line(json, path, expected, __FILE__, __LINE__)

/* The events of a body; new reference. Fails the test when it cannot be parsed. */
static inline json_t *events_of(const char *kind, const json_t *settings, const char *body)
{
    struct webhook w = { .method = "POST", .source = kind, .url = "", .body = bytes_of(body), .now = TEST_NOW };
    struct error e = { .code = ERR_NONE };
    json_t *events = json_array();
    if (channel_parse(channel_find(kind), &w, settings, events, &e) != ERR_NONE) {
        print_error("not parsed: %s\n", e.text);
        fail();
    }
    return events;
}

/* The JSON body of the call for a request given as JSON; new reference. `ret_url` may be NULL; the caller frees it. */
static inline json_t *body_of(const char *kind, const char *settings, bool approved, const char *request,
                              char **ret_url)
{
    json_t *parsed_settings CLEANUP(json_free) = json_loads(settings, 0, NULL);
    json_t *parsed CLEANUP(json_free) = json_loads(request, 0, NULL);
    assert_non_null(parsed_settings);
    assert_non_null(parsed);
    struct outgoing_request out = { .headers = { NULL } };
    struct error e = { .code = ERR_NONE };
    if (channel_find(kind)->render(parsed, approved, parsed_settings, &out, &e) != ERR_NONE) {
        print_error("not rendered: %s\n", e.text);
        fail();
    }
    json_t *body = json_loadb(out.body.ptr, out.body.len, 0, NULL);
    assert_non_null(body);
    if (ret_url) {
        *ret_url = strdup(out.url.ptr);
    }
    outgoing_request_done(&out);
    return body;
}

/* The text of the error for a request that cannot be rendered. */
static inline void expect_not_rendered(const char *kind, const char *settings, bool approved, const char *request,
                                       const char *words)
{
    json_t *parsed_settings CLEANUP(json_free) = json_loads(settings, 0, NULL);
    json_t *parsed CLEANUP(json_free) = json_loads(request, 0, NULL);
    assert_non_null(parsed);
    struct outgoing_request out = { .headers = { NULL } };
    struct error e = { .code = ERR_NONE };
    assert_int_not_equal(channel_find(kind)->render(parsed, approved, parsed_settings, &out, &e), ERR_NONE);
    if (strstr(e.text, words) == NULL) {
        print_error("'%s' does not say '%s'\n", e.text, words);
        fail();
    }
}

static inline struct send_result judged(const char *kind, int status, const char *body)
{
    struct http_exchange exchange = {
        .outcome = HTTP_ANSWERED, .status = status, .body = bytes_of(body), .retry_after_ms = -1
    };
    struct send_result result;
    channel_find(kind)->classify(&exchange, &result);
    return result;
}

#endif
