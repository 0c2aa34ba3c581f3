#include "base/buf.h"

#include "support.h"

#include <stdlib.h>

static void test_grows(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_done);
    buf_init(&b, 100000);
    assert_string_equal(b.ptr, "");
    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%04d", i);
    assert_int_equal(b.len, 4000);
    assert_int_equal(b.ptr[b.len], '\0');
    assert_memory_equal(b.ptr + 3996, "0999", 4);
    assert_false(b.overflowed);
}

static void test_keeps_what_is_there_beyond_the_ceiling(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_done);
    buf_init(&b, 5);
    buf_add_text(&b, "abc");
    buf_add_text(&b, "def");
    assert_true(b.overflowed);
    assert_string_equal(b.ptr, "abc");
    buf_add_text(&b, "d"); /* it would fit, but something is missing before it */
    assert_string_equal(b.ptr, "abc");
    buf_clear(&b);
    buf_add_text(&b, "12345");
    assert_false(b.overflowed);
    assert_string_equal(b.ptr, "12345");
    buf_addf(&b, "%d", 6);
    assert_true(b.overflowed);
}

static void test_long_format(void **state)
{
    (void)state;
    struct buf b CLEANUP(buf_done);
    buf_init(&b, 10000);
    buf_addf(&b, "<%0*d>", 3000, 7);
    assert_int_equal(b.len, 3002);
    assert_int_equal(b.ptr[3001], '>');
}

static void test_take(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    char *nothing = buf_take(&b);
    assert_string_equal(nothing, "");
    free(nothing);
    buf_add(&b, "a\0b", 3);
    assert_int_equal(buf_bytes(&b).len, 3);
    char *taken = buf_take(&b);
    assert_memory_equal(taken, "a\0b", 4);
    free(taken);
    assert_int_equal(b.len, 0);
    buf_add_char(&b, 'x');
    assert_string_equal(b.ptr, "x");
    buf_done(&b);
    buf_done(&b);
    buf_done(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_keeps_what_is_there_beyond_the_ceiling),
        cmocka_unit_test(test_long_format),
        cmocka_unit_test(test_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
