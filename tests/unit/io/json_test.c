#include "io/json.h"

#include "support.h"

#include <stdlib.h>

#include "base/macros.h"

/* What the text becomes when it is read and written again; NULL when it is refused. */
static char *again(struct bytes text)
{
    json_t *json = NULL;
    if (json_parse(text, &json, NULL) != ERR_NONE)
        return NULL;
    char *dump = json_dump(json);
    json_decref(json);
    return dump;
}

static void check(const char *text, const char *expected)
{
    char *got = again(bytes_of(text));
    if (!expected ? got != NULL : !got || strcmp(got, expected) != 0)
        fail_msg("%s gives %s", text, got ? got : "(refused)");
    free(got);
}

static void test_what_jsonb_refuses_is_rewritten(void **state)
{
    (void)state;
    check("[\"a\\u0000b\"]", "[\"a\xef\xbf\xbd"
                             "b\"]");
    check("{\"a\\u0000\":1}", "{\"a\xef\xbf\xbd\":1}");
    check("[\"\\ud800\"]", "[\"\xef\xbf\xbd\"]");
    check("[\"\\udc00x\"]", "[\"\xef\xbf\xbdx\"]");
    check("[\"\\ud800\\ud800\\udc00\"]", "[\"\xef\xbf\xbd\xf0\x90\x80\x80\"]");
    check("[\"\\ud83d\\uDE00\"]", "[\"\xf0\x9f\x98\x80\"]");
    check("[\"\\ud83d\\\\ude00\"]", "[\"\xef\xbf\xbd\\\\ude00\"]");
    check("[\"\\\\u0000\"]", "[\"\\\\u0000\"]"); /* an escaped backslash, not an escape */
    check("[\"\\\\\\u0000\"]", "[\"\\\\\xef\xbf\xbd\"]");
    check("[1e400000]", "[\"1e400000\"]");
    check("[-1E+309, 1]", "[\"-1E+309\",1]");
    check("{\"n\":123456789012345678901234567890}", "{\"n\":\"123456789012345678901234567890\"}");
    check("[9223372036854775807,-9223372036854775808,9223372036854775808]",
          "[9223372036854775807,-9223372036854775808,\"9223372036854775808\"]");
    check("1e999", "\"1e999\"");
    char *got = again((struct bytes){ "[\"a\xff\"]", 6 });
    assert_string_equal(got, "[\"a\xef\xbf\xbd\"]");
    free(got);
}

static void test_numbers_stay_as_they_were(void **state)
{
    (void)state;
    check("[0.1,19.99,-0.0,1e3,1.5e-7,123456789.125]", "[0.1,19.99,-0.0,1000.0,1.5e-07,123456789.125]");
    check("[0,-0,10]", "[0,0,10]");
    check("[5e-324,1.7976931348623157e308]", "[4.94065645841247e-324,1.7976931348623157e+308]");
}

static void test_duplicates_and_order(void **state)
{
    (void)state;
    check("{\"b\":1,\"a\":2,\"b\":3}", "{\"b\":3,\"a\":2}");
}

static void test_refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",     " ",     "{",     "[1,]",  "{\"a\":}",  "[01]",        "[1.]",         "[.5]",  "[+1]",
        "[1e]", "nul",   "[1] x", "[\"a]", "[\"\\x\"]", "[\"\\u12\"]", "[\"\n\"]",     "[NaN]", "[Infinity]",
        "'a'",  "{a:1}", "[1 2]", "\"\\",  "\"\\u",     "[-]",         "[1e400000.5]", "[--1]"
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        check(wrong[i], NULL);
    struct error e;
    json_t *json = (json_t *)(uintptr_t)42;
    assert_int_equal(json_parse(BYTES_LITERAL("[\"my secret text"), &json, &e), ERR_INVALID);
    assert_null(strstr(e.text, "secret"));
    assert_ptr_equal(json, (json_t *)(uintptr_t)42);
}

static void test_a_byte_order_mark_is_overlooked(void **state)
{
    (void)state;
    check("\xef\xbb\xbf{\"a\":1}", "{\"a\":1}");
    check("\xef\xbb\xbf", NULL);
    check("\xef\xbb\xbf\xef\xbb\xbf{}", NULL);
    check("{}\xef\xbb\xbf", NULL);
}

static char *nested(size_t depth, char open, char close)
{
    char *text = malloc(depth * 2 + 1);
    memset(text, open, depth);
    memset(text + depth, close, depth);
    text[depth * 2] = '\0';
    return text;
}

static void test_depth(void **state)
{
    (void)state;
    char *fits = nested(64, '[', ']');
    char *too_deep = nested(65, '[', ']');
    char *bomb = nested(2000000, '[', ']');
    check(fits, fits);
    check(too_deep, NULL);
    check(bomb, NULL);
    free(fits);
    free(too_deep);
    free(bomb);
    check("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]",
          "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]");
}

/* A few megabytes of what has to be rewritten must take a moment, not minutes. */
static void test_time_is_linear(void **state)
{
    (void)state;
    static const char *const units[] = { "\"\\u0000\",", "1e999,", "99999999999999999999,", "\"\\ud800\"," };
    for (size_t n = 0; n < ARRAY_LEN(units); n++) {
        struct buf text CLEANUP(buf_done);
        buf_init(&text, 8000000);
        buf_add_char(&text, '[');
        while (text.len < 3000000)
            buf_add_text(&text, units[n]);
        buf_add_text(&text, "0]");
        int64_t started_us = clock_thread_us();
        json_t *json;
        assert_int_equal(json_parse(buf_bytes(&text), &json, NULL), ERR_NONE);
        json_decref(json);
        assert_in_range(clock_thread_us() - started_us, 0, 5000000);
    }
    struct buf digits CLEANUP(buf_done);
    buf_init(&digits, 8000000);
    while (digits.len < 4000000)
        buf_add_text(&digits, "1234567890");
    json_t *json;
    assert_int_equal(json_parse(buf_bytes(&digits), &json, NULL), ERR_NONE);
    assert_true(json_is_string(json));
    json_decref(json);

    /* What begins like a number, is none, and would be one again behind its first digit. */
    static const char *const starts[] = { "0", "", "", "-" }, *const ends[] = { "", ".", "1e", "-" };
    for (size_t n = 0; n < ARRAY_LEN(starts); n++) {
        buf_clear(&digits);
        buf_add_text(&digits, starts[n]);
        while (digits.len < 3000000)
            buf_add_text(&digits, "1234567890");
        buf_add_text(&digits, ends[n]);
        int64_t started_us = clock_thread_us();
        assert_int_equal(json_parse(buf_bytes(&digits), &json, NULL), ERR_INVALID);
        assert_in_range(clock_thread_us() - started_us, 0, 5000000);
    }
}

static void test_paths_and_reads(void **state)
{
    (void)state;
    json_t *json = NULL;
    assert_int_equal(
        json_parse(BYTES_LITERAL("{\"a\":[{\"b\":\"x\"},{\"b\":\"17\"}],\"n\":7,\"f\":12.0,\"g\":12.5,\"t\":true,"
                                 "\"o\":{},\"at\":\"2026-11-23T08:00:00.123456+00:00\",\"huge\":1e300}"),
                   &json, NULL),
        ERR_NONE);
    assert_string_equal(json_string_value(json_at(json, "a.0.b")), "x");
    assert_null(json_at(json, "a.2.b"));
    assert_null(json_at(json, "a.x"));
    assert_null(json_at(json, "n.x"));
    assert_ptr_equal(json_at(json, ""), json);
    assert_null(json_at(NULL, "a"));
    assert_int_equal(json_int(json_at(json, "a.1"), "b", -1), 17);
    assert_int_equal(json_int(json_at(json, "a.0"), "b", -1), -1);
    assert_int_equal(json_int(json, "n", -1), 7);
    assert_int_equal(json_int(json, "f", -1), 12);
    assert_int_equal(json_int(json, "g", -1), -1);
    assert_int_equal(json_int(json, "huge", -1), -1);
    assert_int_equal(json_int(NULL, "n", -1), -1);
    assert_true(json_bool(json, "t", false));
    assert_false(json_bool(json, "n", false));
    assert_non_null(json_array_at(json, "a"));
    assert_null(json_array_at(json, "o"));
    assert_non_null(json_object_at(json, "o"));
    assert_null(json_object_at(json, "a"));
    assert_string_equal(json_str_or(json, "n", "none"), "none");
    assert_int_equal(json_time(json, "at", 0), 1795420800123);
    assert_int_equal(json_time(json, "n", 5), 5);
    json_free(&json);
    assert_null(json);
}

static void test_writes(void **state)
{
    (void)state;
    json_t *json CLEANUP(json_free) = json_object();
    json_put_str(json, "none", NULL);
    json_put_time(json, "never", 0);
    json_put(json, "nothing", NULL);
    json_put_bytes(json, "no bytes", (struct bytes){ NULL, 0 });
    json_put_str(json, "bad", "a\xff");
    json_put_bytes(json, "nul", (struct bytes){ "a\0\x01\"\\/\n", 7 });
    json_put_int(json, "int", INT64_MIN);
    json_put_bool(json, "bool", true);
    json_put_time(json, "at", 1795420800123);
    json_put_bytes(json, "empty", (struct bytes){ "", 0 });
    char *text = json_dump(json);
    assert_string_equal(
        text, "{\"bad\":\"a\xef\xbf\xbd\",\"nul\":\"a\xef\xbf\xbd\\u0001\\\"\\\\/\\n\",\"int\":-9223372036854775808,"
              "\"bool\":true,\"at\":\"2026-11-23T08:00:00.123Z\",\"empty\":\"\"}");
    free(text);
    struct buf small CLEANUP(buf_done);
    buf_init(&small, 5);
    json_add(&small, json);
    assert_true(small.overflowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_jsonb_refuses_is_rewritten),
        cmocka_unit_test(test_numbers_stay_as_they_were),
        cmocka_unit_test(test_duplicates_and_order),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_a_byte_order_mark_is_overlooked),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_time_is_linear),
        cmocka_unit_test(test_paths_and_reads),
        cmocka_unit_test(test_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
