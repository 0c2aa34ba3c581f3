#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/character.h"

static uint32_t first(const char *text)
{
    size_t at = 0;
    return character_next(bytes_of(text), &at);
}

static void reads_characters_one_by_one(void **state)
{
    (void)state;
    struct bytes text = bytes_of("a\u00E9\u20AC\U0001F600");
    static const uint32_t wanted[] = { 'a', 0xE9, 0x20AC, 0x1F600 };
    size_t at = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(character_next(text, &at), wanted[i]);
    assert_int_equal(at, text.len);
}

static void malformed_bytes_count_as_one_each(void **state)
{
    (void)state;
    struct bytes text = BYTES_LITERAL("\xFF\xC3");
    size_t at = 0;
    assert_int_equal(character_next(text, &at), 0xFFFD);
    assert_int_equal(character_next(text, &at), 0xFFFD);
    assert_int_equal(at, 2);
}

static void digits_of_every_script_have_their_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int value;
    } rows[] = { { "0", 0 },          { "9", 9 },          { "\uFF10", 0 },      { "\uFF15", 5 },
                 { "\u0664", 4 },     { "\u06F9", 9 },     { "\u096F", 9 },      { "\u0970", -1 },
                 { "\u065F", -1 },    { "\u066A", -1 },    { "\U0001D7CE", 0 },  { "\U0001D7FF", 9 },
                 { "\U0001D7D8", 0 }, { "\U0001FBF9", 9 }, { "\U0001FBFA", -1 }, { "a", -1 },
                 { "\u00B2", -1 },    { "\u4E94", -1 } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (character_digit(first(rows[i].text)) != rows[i].value)
            fail_msg("'%s' is %d, not %d", rows[i].text, character_digit(first(rows[i].text)), rows[i].value);
}

static void small_letters(void **state)
{
    (void)state;
    assert_int_equal(character_fold('A'), 'a');
    assert_int_equal(character_fold(first("\u00C9")), 0xE9);
    assert_int_equal(character_fold(first("\uFF0F")), '/');
    assert_int_equal(character_fold(first("\u0416")), 0x436);
    assert_int_equal(character_fold(first("\u4E94")), 0x4E94);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_characters_one_by_one),
        cmocka_unit_test(malformed_bytes_count_as_one_each),
        cmocka_unit_test(digits_of_every_script_have_their_value),
        cmocka_unit_test(small_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
