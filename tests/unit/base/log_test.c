#include "base/log.h"

#include "captured.h"

#include <stdio.h>
#include <string.h>

/* What one call writes to stderr, from "level" on. */
static const char *captured(void (*say)(void))
{
    struct capture capture;
    capture_begin(&capture);
    say();
    const char *text = capture_end(&capture);
    const char *level = strstr(text, "level");
    return level ? level : text;
}

static void say_fields(void)
{
    log_warn("delivery parked", "delivery=%d ratio=0.50 empty= reason='%s' zip=007", 12, "it's \"broken\"\nlevel=fake");
}

static void say_quotes(void)
{
    log_warn("odd", "reason='%s' n=1", "migration '0001.sql' is odd, 'x' = 'y' is 'z'");
}

static void say_quoted_names(void)
{
    log_info("cannot start", "reason='%s' tries=%d last='%s'", "migration '0001_tables.sql' was changed", 2, "'end'");
}

static void say_nothing(void)
{
    log_info("stopped", "");
}

static void say_debug(void)
{
    log_debug("detail", "a=1");
}

static void test_logfmt(void **state)
{
    (void)state;
    log_configure(LOG_INFO, false);
    log_set_actor("deliver");
    assert_string_equal(captured(say_fields), "level=warn actor=deliver msg=\"delivery parked\" delivery=12 ratio=0.50 "
                                              "empty=\"\" reason=\"it's \\\"broken\\\"\\nlevel=fake\" zip=007\n");
    assert_string_equal(captured(say_quotes),
                        "level=warn actor=deliver msg=\"odd\" reason=\"migration '0001.sql' is odd, "
                        "'x' = 'y' is 'z'\" n=1\n");
    assert_string_equal(captured(say_quoted_names), "level=info actor=deliver msg=\"cannot start\" reason=\"migration "
                                                    "'0001_tables.sql' was changed\" tries=2 last=\"'end'\"\n");
    assert_string_equal(captured(say_nothing), "level=info actor=deliver msg=\"stopped\"\n");
    assert_string_equal(captured(say_debug), "");
}

static void test_json(void **state)
{
    (void)state;
    log_configure(LOG_DEBUG, true);
    assert_string_equal(
        captured(say_fields),
        "level\":\"warn\",\"actor\":\"deliver\",\"msg\":\"delivery parked\",\"delivery\":12,\"ratio\":0.50,"
        "\"empty\":\"\",\"reason\":\"it's \\\"broken\\\"\\nlevel=fake\",\"zip\":\"007\"}\n");
    assert_non_null(strstr(captured(say_debug), "\"a\":1}"));
    log_configure(LOG_INFO, false);
}

static void test_level_names(void **state)
{
    (void)state;
    enum log_level level = LOG_INFO;
    assert_true(log_level_from_name("error", &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_from_name("loud", &level));
}

static void test_throttle(void **state)
{
    (void)state;
    struct log_throttle throttle = { 0 };
    unsigned swallowed = 99;
    assert_true(log_allowed(&throttle, 60000, &swallowed));
    assert_int_equal(swallowed, 0);
    assert_false(log_allowed(&throttle, 60000, &swallowed));
    assert_false(log_allowed(&throttle, 60000, NULL));
    assert_true(log_allowed(&throttle, 0, &swallowed));
    assert_int_equal(swallowed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_throttle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
