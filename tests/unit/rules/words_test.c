#include "rules/words.h"

#include "rule_files.h"

static bool has(const char *text, const char *phrase)
{
    return words_has(bytes_of(text), bytes_of(phrase));
}

static bool is(const char *text, const char *phrase)
{
    return words_is(bytes_of(text), bytes_of(phrase));
}

static void finds_whole_words_in_any_case(void **state)
{
    (void)state;
    assert_true(has("I want a REFUND!", "refund"));
    assert_true(has("refund", "Refund"));
    assert_true(has("my money,\n back", "money back"));
    assert_false(has("refunding", "refund"));
    assert_false(has("prerefund", "refund"));
    assert_false(has("", "refund"));
    assert_false(has("refund", ""));
    assert_false(has("!?", "..."));
    assert_true(has("I don’t know", "don't know"));
}

static void knows_other_scripts(void **state)
{
    (void)state;
    assert_true(has("ARRÊTEZ, ARRÊT", "arrêt"));
    assert_false(has("ARRÊTEZ", "arrêt"));
    assert_true(has("Пожалуйста, СТОП", "стоп"));
    assert_true(has("ΣΤΟΠ ΤΩΡΑΣ", "τώρας") == false);
    assert_true(is("ΤΕΛΟΣ", "τελοσ"));
    assert_true(has("请退订谢谢", "退订"));
    assert_true(is("ＳＴＯＰ", "stop"));
    assert_true(is("İPTAL", "iptal"));
}

static void the_whole_text(void **state)
{
    (void)state;
    assert_true(is("  Stop. ", "stop"));
    assert_true(is("/stop", "stop"));
    assert_true(is("stop 🙏🙏", "STOP"));
    assert_false(is("please do not stop", "stop"));
    assert_false(is("stopp", "stop"));
    assert_false(is("", "stop"));
    assert_false(is("...", ""));
}

static void survives_any_bytes(void **state)
{
    (void)state;
    char text[64];
    for (unsigned seed = 1; seed < 20000; seed++) {
        unsigned value = seed * 2654435761u;
        size_t length = value % sizeof(text);
        for (size_t i = 0; i < length; i++) {
            value = value * 1664525u + 1013904223u;
            text[i] = (char)(value >> 24);
        }
        struct bytes bytes = { text, length };
        words_has(bytes, (struct bytes){ text, length / 2 });
        words_is(bytes, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_whole_words_in_any_case),
        cmocka_unit_test(knows_other_scripts),
        cmocka_unit_test(the_whole_text),
        cmocka_unit_test(survives_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
