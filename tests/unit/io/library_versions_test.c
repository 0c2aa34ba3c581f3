#include "io/library_versions.h"

#include "support.h"

#include <string.h>

#include "base/macros.h"

static const struct {
    const char *name;
    const char *version;
    bool fits;
} cases[] = {
    { "libevent", "2.1.12-stable", true },
    { "libevent", "2.1.13-stable", true },
    { "libevent", "2.2.0-alpha-dev", true },
    { "libevent", "2.1.11-stable", false },
    { "openssl", "3.0.3", true },
    { "openssl", "3.0.22", true },
    { "openssl", "4.0.0", true },
    { "openssl", "3.0.2", false },
    { "openssl", "1.1.1w", false },
    { "libpq", "14.0", true },
    { "libpq", "15.13", true },
    { "libpq", "13.22", false },
    { "lua", "5.4.4", true },
    { "lua", "5.3.6", false },
    { "curl", "7.85.0", true },
    { "curl", "7.88.1", true },
    { "curl", "8.9.1", true },
    { "curl", "8.19.0", true },
    { "curl", "8.20.1", true },
    { "curl", "7.84.0", false },
    { "curl", "8.9.0", false },
    { "curl", "8.20.0", false },
    { "curl", "8.9.0-DEV", false },
    { "jansson", "2.14", true },
    { "jansson", "2.14.1", true },
    { "jansson", "3.0", true },
    { "jansson", "2.13.1", false },
    { "jansson", "", false },
    { "libc", "0.1", true },
};

static void versions_that_fit_and_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error error;
        err_t err = library_version_check(cases[i].name, cases[i].version, &error);
        if ((err == ERR_NONE) != cases[i].fits) {
            fail_msg("%s %s", cases[i].name, cases[i].version);
        }
        if (err != ERR_NONE) {
            assert_int_equal(err, ERR_INTERNAL);
            assert_non_null(strstr(error.text, cases[i].name));
            assert_non_null(strstr(error.text, "\nHINT: "));
        }
    }
}

static void those_that_are_loaded_fit(void **state)
{
    (void)state;
    struct error error;
    if (library_versions_check(&error) != ERR_NONE) {
        fail_msg("%s", error.text);
    }
    struct buf text;
    buf_init(&text, 1000);
    library_versions(&text);
    static const char *const names[] = { "libevent 2.", "\nopenssl 3.", "\nlibpq 1",
                                         "\nlua 5.4.",  "\ncurl ",      "\njansson 2." };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_non_null(strstr(text.ptr, names[i]));
    }
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_that_fit_and_others),
        cmocka_unit_test(those_that_are_loaded_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
