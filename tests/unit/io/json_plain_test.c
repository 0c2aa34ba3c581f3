#include "io/json_plain.h"

#include "support.h"

#include <stdlib.h>

#include "base/macros.h"

#define MAX_DEPTH 4

/* What is taken is what jansson makes of it. */
static void takes(const char *text)
{
    json_t *plain CLEANUP(json_free) = json_parse_plain(bytes_of(text), MAX_DEPTH);
    json_t *careful CLEANUP(json_free) = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!plain || !json_equal(plain, careful))
        fail_msg("%s is %s", text, plain ? "read as something else" : "left to the careful way");
    char *written = json_dump(plain);
    char *expected = json_dump(careful);
    assert_string_equal(written, expected);
    free(written);
    free(expected);
}

static void leaves(const char *text)
{
    json_t *plain CLEANUP(json_free) = json_parse_plain(bytes_of(text), MAX_DEPTH);
    if (plain)
        fail_msg("%s is taken", text);
}

static void test_plain_documents(void **state)
{
    (void)state;
    takes("{}");
    takes(" [ ] ");
    takes("\t{ \"a\" : [ 1 , -2, 0, -0 ], \"b\":{ \"c\":null,\"d\":true }\n, \"e\":false}\r\n");
    takes("\"text\"");
    takes("123456789012345678");
    takes("{\"a\":1,\"b\":2,\"a\":3}");
    takes("[[[[]]]]");
    takes("{\"\":\"\"}");
}

static void test_strings(void **state)
{
    (void)state;
    takes("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]");
    takes("{\"k\\u00e9y\":\"\\u0041\\u00E9\\u20ac\\ud83d\\ude00 caf\xc3\xa9\",\"\\n\":[\"a\\nb\",{\"\\t\":\"\\r\"}]}");
    takes("{\"https:\\/\\/a\":\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"}");
    leaves("[\"\\u0000\"]");
    leaves("[\"\\ud800\"]");
    leaves("[\"\\ud800x\\udc00\"]");
    leaves("[\"\\ud800\\u0041\"]");
    leaves("[\"\\udc00\"]");
    leaves("[\"\\u12\"]");
    leaves("[\"\\u12g4\"]");
    leaves("[\"\\x\"]");
    leaves("[\"a\nb\"]");
    leaves("[\"open");
    leaves("[\"open\\");
    leaves("[\"open\\u");
}

static void test_what_wants_a_closer_look(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "[1]x",
        "[1][",
        "tru",
        "nulls",
        "-",
        "01",
        "-01",
        "+1",
        "1.5",
        "1e3",
        "1E3",
        "1.",
        "NaN",
        "[1",
        "{\"a\":1",
        "[[[[[]]]]]",
        "'a'",
        "/**/1",
        "\xef\xbb\xbf{}",
        "1234567890123456789",
        "99999999999999999999999999",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        leaves(texts[i]);
    assert_null(json_parse_plain((struct bytes){ "[1]\0", 4 }, MAX_DEPTH));
    assert_null(json_parse_plain((struct bytes){ NULL, 0 }, MAX_DEPTH));
}

/* Each byte at each place, among bytes that differ from the special ones by a bit. */
static void test_what_stands_as_it_is(void **state)
{
    (void)state;
    char text[21];
    for (size_t length = 0; length < sizeof(text); length++) {
        for (size_t place = 0; place < length; place++) {
            for (int byte = 0; byte < 256; byte++) {
                static const char around[] = " !#[]\x7f\x80\xff\xa2";
                for (size_t i = 0; i < length; i++)
                    text[i] = around[i % (sizeof(around) - 1)];
                text[place] = (char)byte;
                bool special = byte < 0x20 || byte == '"' || byte == '\\';
                assert_int_equal(json_plain_length((struct bytes){ text, length }), special ? place : length);
            }
        }
    }
    assert_int_equal(json_plain_length((struct bytes){ NULL, 0 }), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_documents),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_what_wants_a_closer_look),
        cmocka_unit_test(test_what_stands_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
