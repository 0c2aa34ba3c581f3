/* Handles as people write them: what they become, and what is nobody's. */
#include "channel/handle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

static void one_person_has_one_handle(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *written, *known; /* known: NULL of what is no handle */
    } cases[] = {
        { "phone", "+41 79 123 45 67", "41791234567" },
        { "phone", "0041 79 123 45 67", "41791234567" },
        { "phone", "41791234567", "41791234567" },
        { "phone", "+41 (0)79 123 45 67", "41791234567" },
        { "phone", "0041 (0) 79 123 45 67", "41791234567" },
        { "phone", "0041(0)79/123.45.67", "41791234567" },
        { "whatsapp", "+44 (0)20 7946 0018", "442079460018" },
        { "whatsapp", "+39 (0)6 1234567", "39061234567" },
        { "whatsapp", "0039 (0)6 1234567", "39061234567" },
        { "whatsapp", "+378 (0)549 123456", "3780549123456" },
        { "whatsapp", "+1 (555) 0100", "15550100" },
        { "whatsapp", "US.13abC", "US.13abC" },
        { "email", " Ada@Example.COM ", "ada@example.com" },
        { "telegram", "-100123", "-100123" },
        { "crm", "A-4711", "A-4711" },
        { "phone", "079 123 45 67", NULL },
        { "phone", "(0)79 123 45 67", NULL },
        { "phone", "+0041 79 123 45 67", NULL },
        { "phone", "00", NULL },
        { "phone", "0000", NULL },
        { "phone", "+", NULL },
        { "phone", "", NULL },
        { "phone", "call 15550100", NULL },
        { "whatsapp", "x y", NULL },
        { "whatsapp", "ada", NULL },
        { "whatsapp", "US.", NULL },
        { "email", "ada", NULL },
        { "email", "@example.com", NULL },
        { "email", "Ada <ada@example.com>", NULL },
        { "email", "", NULL },
        { "telegram", "@ada", NULL },
        { "messenger", "", NULL },
        { "crm", "a b", NULL },
        { "crm", "", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf known CLEANUP(buf_done);
        buf_init(&known, HANDLE_MAX_BYTES);
        const char *wrong = handle_read(cases[i].kind, cases[i].written, &known);
        if ((wrong == NULL) != (cases[i].known != NULL) || (wrong == NULL && strcmp(known.ptr, cases[i].known) != 0)) {
            fail_msg("%s '%s': %s, wanted %s", cases[i].kind, cases[i].written, wrong != NULL ? wrong : known.ptr,
                     cases[i].known != NULL ? cases[i].known : "a refusal");
        }
    }
}

static void an_identity_is_a_kind_and_a_handle(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",          "email",     ":ada@example.com", "email:",
        "email:ada", "phone:079", "crm:a b",          "a_kind_that_is_longer_than_any_other:1"
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_non_null(handle_wrong_identity(wrong[i]));
    }
    static const char *const right[] = { "email:ada@example.com", "phone:41791234567", "whatsapp:US.1349", "crm:a:b" };
    for (size_t i = 0; i < ARRAY_LEN(right); i++) {
        assert_null(handle_wrong_identity(right[i]));
    }
}

static void long_ones_are_refused(void **state)
{
    (void)state;
    static const char *const kinds[] = { "phone", "whatsapp", "email", "telegram", "crm" };
    char written[HANDLE_MAX_BYTES + 2];
    for (size_t length = HANDLE_MAX_BYTES; length <= HANDLE_MAX_BYTES + 1; length++) {
        memset(written, '1', length);
        written[length] = '\0';
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
            struct buf known CLEANUP(buf_done);
            buf_init(&known, HANDLE_MAX_BYTES);
            const char *wrong = handle_read(kinds[i], written, &known);
            assert_false(known.overflowed);
            assert_int_equal(wrong != NULL && strstr(wrong, "200 bytes") != NULL, length > HANDLE_MAX_BYTES);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_person_has_one_handle),
        cmocka_unit_test(an_identity_is_a_kind_and_a_handle),
        cmocka_unit_test(long_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
