#include "base/text.h"

#include "support.h"

#include "base/macros.h"

typedef bool decoder(struct bytes text, struct buf *out);
typedef void encoder(struct bytes data, struct buf *out);

static void check_decode(decoder *decode, const char *text, const char *expected)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, 1000);
    buf_add_text(&out, "<");
    bool valid = decode(bytes_of(text), &out);
    if (valid != (expected != NULL))
        fail_msg("'%s' is %s", text, valid ? "taken" : "refused");
    assert_string_equal(out.ptr + 1, expected ? expected : "");
}

static void check_encode(encoder *encode, const char *data, const char *expected)
{
    struct buf out CLEANUP(buf_done);
    buf_init(&out, 1000);
    encode(bytes_of(data), &out);
    assert_string_equal(out.ptr, expected);
}

static void test_integers(void **state)
{
    (void)state;
    uint64_t u;
    int64_t i;
    assert_true(text_to_u64(BYTES_LITERAL("18446744073709551615"), &u) && u == UINT64_MAX);
    assert_false(text_to_u64(BYTES_LITERAL("18446744073709551616"), &u));
    assert_true(text_to_i64(BYTES_LITERAL("-9223372036854775808"), &i) && i == INT64_MIN);
    assert_true(text_to_i64(BYTES_LITERAL("9223372036854775807"), &i) && i == INT64_MAX);
    assert_false(text_to_i64(BYTES_LITERAL("9223372036854775808"), &i));
    assert_false(text_to_i64(BYTES_LITERAL("-9223372036854775809"), &i));
    static const char *const wrong[] = { "", "-", "+1", " 1", "1 ", "0x1", "1.0", "1e3", "--1", "١" };
    for (size_t n = 0; n < ARRAY_LEN(wrong); n++)
        assert_false(text_to_i64(bytes_of(wrong[n]), &i));
    assert_false(text_to_u64(BYTES_LITERAL("-0"), &u));
}

static void test_hex(void **state)
{
    (void)state;
    check_decode(text_decode_hex, "", "");
    check_decode(text_decode_hex, "4a4B", "JK");
    check_decode(text_decode_hex, "4a4", NULL);
    check_decode(text_decode_hex, "4a4g", NULL);
    check_decode(text_decode_hex, "0x4a", NULL);
    check_encode(text_encode_hex, "\xffJ", "ff4a");
}

static void test_base64(void **state)
{
    (void)state;
    check_decode(text_decode_base64, "", "");
    check_decode(text_decode_base64, "Zg==", "f");
    check_decode(text_decode_base64, "Zg", "f");
    check_decode(text_decode_base64, "Zm8=", "fo");
    check_decode(text_decode_base64, "Zm9v", "foo");
    check_decode(text_decode_base64, "Zm9vYmFy", "foobar");
    static const char *const wrong[] = { "Z",     "Zg=",   "Zg===",  "=",    "====",    "Zm9v=",
                                         "Zm9vY", "Zm 9v", "Zm9v\n", "Zm9-", "Zg==Zg==" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        check_decode(text_decode_base64, wrong[i], NULL);
    check_encode(text_encode_base64, "", "");
    check_encode(text_encode_base64, "f", "Zg==");
    check_encode(text_encode_base64, "fo", "Zm8=");
    check_encode(text_encode_base64, "foo", "Zm9v");
    check_encode(text_encode_base64, "\xff\xfe\xfd\xfc", "//79/A==");
    check_decode(text_decode_base64, "--79_A", NULL);
    check_decode(text_decode_base64url, "__79_A==", "\xff\xfe\xfd\xfc");
    check_decode(text_decode_base64url, "__79_A", "\xff\xfe\xfd\xfc");
    check_decode(text_decode_base64url, "-_-_", "\xfb\xff\xbf");
    check_decode(text_decode_base64url, "//79/A", NULL);
    check_decode(text_decode_base64url, "__79_A=", NULL);
    check_decode(text_decode_base64url, "__79_", NULL);
    check_encode(text_encode_base64url, "\xff\xfe\xfd\xfc", "__79_A");
    check_encode(text_encode_base64url, "f", "Zg");
    check_encode(text_encode_base64url, "foo", "Zm9v");
}

static void test_percent(void **state)
{
    (void)state;
    check_decode(text_decode_percent, "a%20b+c%2b%C3%a4", "a b c+\xc3\xa4");
    check_decode(text_decode_percent, "%", NULL);
    check_decode(text_decode_percent, "a%2", NULL);
    check_decode(text_decode_percent, "%2g", NULL);
    check_decode(text_decode_percent, "%41", "A");
    check_encode(text_encode_percent, "aZ09-._~ /+\xc3\xa4", "aZ09-._~%20%2F%2B%C3%A4");
}

static void test_small_helpers(void **state)
{
    (void)state;
    assert_true(text_equal_ignore_case(BYTES_LITERAL("aBc-1"), BYTES_LITERAL("AbC-1")));
    assert_false(text_equal_ignore_case(BYTES_LITERAL("abc"), BYTES_LITERAL("abd")));
    assert_false(text_equal_ignore_case(BYTES_LITERAL("["), BYTES_LITERAL("{")));
    assert_true(bytes_equal(text_trim(BYTES_LITERAL(" \t a b \t")), BYTES_LITERAL("a b")));
    assert_int_equal(text_trim(BYTES_LITERAL("  ")).len, 0);
    char space[8];
    assert_int_equal(text_append(space, sizeof(space), 0, "abc"), 3);
    assert_int_equal(text_append(space, sizeof(space), 3, "def"), 6);
    assert_int_equal(text_append(space, sizeof(space), 6, "ghi"), 7);
    assert_int_equal(text_append(space, sizeof(space), 7, "j"), 7);
    assert_string_equal(space, "abcdefg");
    struct bytes rest = BYTES_LITERAL("a,,b,");
    assert_true(bytes_equal(text_next_field(&rest, ','), BYTES_LITERAL("a")));
    assert_int_equal(text_next_field(&rest, ',').len, 0);
    assert_true(bytes_equal(text_next_field(&rest, ','), BYTES_LITERAL("b")));
    assert_non_null(rest.ptr);
    assert_int_equal(text_next_field(&rest, ',').len, 0);
    assert_null(rest.ptr);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *clean; /* NULL: the text itself */
    } cases[] = {
        { "plain", NULL },
        { "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", NULL },
        { "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", NULL },
        { "a\xff"
          "b",
          "a\xef\xbf\xbd"
          "b" },
        { "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong */
        { "\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
        { "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xf0\x9f\x98", "\xef\xbf\xbd" }, /* cut off */
        { "\xe2\x82"
          "a",
          "\xef\xbf\xbd"
          "a" },
        { "\x80", "\xef\xbf\xbd" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out CLEANUP(buf_done);
        buf_init(&out, 100);
        assert_int_equal(text_is_utf8(bytes_of(cases[i].text)), cases[i].clean == NULL);
        text_add_clean(bytes_of(cases[i].text), &out);
        assert_string_equal(out.ptr, cases[i].clean ? cases[i].clean : cases[i].text);
        assert_true(text_is_utf8(buf_bytes(&out)));
    }
    struct buf out CLEANUP(buf_done);
    buf_init(&out, 100);
    text_add_clean((struct bytes){ "a\0b", 3 }, &out);
    assert_string_equal(out.ptr, "a\xef\xbf\xbd"
                                 "b");
    assert_int_equal(text_utf8_length(BYTES_LITERAL("a\xc3\xa4\xf0\x9f\x98\x80")), 3);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        { "250ms", 250 },
        { "30s", 30000 },
        { "5m", 300000 },
        { "24h", 86400000 },
        { "7d", 604800000 },
        { "2w", 1209600000 },
        { "1h30m", 5400000 },
        { "0s", 0 },
        { "1m500ms", 60500 },
        { "", -1 },
        { "5", -1 },
        { "m", -1 },
        { "-5m", -1 },
        { "5 m", -1 },
        { "5x", -1 },
        { "1.5h", -1 },
        { "5m3", -1 },
        { "99999999999999999999d", -1 },
        { "9223372036854775807w", -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ms = -1;
        bool valid = text_to_duration(bytes_of(cases[i].text), &ms);
        if (valid != (cases[i].ms >= 0) || ms != cases[i].ms)
            fail_msg("'%s' gives %lld", cases[i].text, (long long)ms);
    }
    static const struct {
        int64_t ms;
        const char *text;
    } printed[] = { { 0, "0s" },       { 5400000, "1h30m" },
                    { 1, "1ms" },      { 86400000 * 8 + 1000, "8d1s" },
                    { -60000, "-1m" }, { INT64_MIN, "-106751991167d7h12m55s808ms" } };
    for (size_t i = 0; i < ARRAY_LEN(printed); i++) {
        struct buf out CLEANUP(buf_done);
        buf_init(&out, 100);
        text_add_duration(&out, printed[i].ms);
        assert_string_equal(out.ptr, printed[i].text);
    }
}

static void test_counted(void **state)
{
    (void)state;
    assert_string_equal(text_counted(0, "rule").text, "0 rules");
    assert_string_equal(text_counted(1, "rule").text, "1 rule");
    assert_string_equal(text_counted(2, "rule").text, "2 rules");
    assert_string_equal(text_counted(INT64_MIN, "word of more than thirty letters").text,
                        "-9223372036854775808 word of more than thirty lettes");
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const known[] = { "listen", "admin_listen", "public_url", "kind", NULL };
    assert_string_equal(text_nearest("lisen", known), "listen");
    assert_string_equal(text_nearest("lsiten", known), "listen");
    assert_string_equal(text_nearest("Listen", known), "listen");
    assert_string_equal(text_nearest("publicurl", known), "public_url");
    assert_null(text_nearest("database", known));
    assert_null(text_nearest("", known));
    char long_word[200];
    memset(long_word, 'a', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    assert_null(text_nearest(long_word, known));
}

static void test_lanes_never_change(void **state)
{
    (void)state;
    /* FNV-1a 32 of "" and "a" is 0x811c9dc5 and 0xe40c292c. */
    assert_int_equal(lane_of(""), 0x011c9dc5);
    assert_int_equal(lane_of("a"), 0x640c292c);
    assert_true(lane_of("whatsapp:15550100") >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),      cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64),        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_small_helpers), cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_durations),     cmocka_unit_test(test_counted),
        cmocka_unit_test(test_nearest),       cmocka_unit_test(test_lanes_never_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
