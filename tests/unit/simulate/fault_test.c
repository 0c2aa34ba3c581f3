#include "simulate/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void reads_the_command_line_form(void **state)
{
    (void)state;
    struct fault_list list = { .count = 0 };
    assert_int_equal(fault_add_text(&list, "whatsapp:rate_limit*3, refuse=131026 ,telegram:slow=2000*-1", NULL),
                     ERR_NONE);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.faults[0].kind, FAULT_RATE_LIMIT);
    assert_string_equal(list.faults[0].source, "whatsapp");
    assert_int_equal(list.faults[0].times, 3);
    assert_string_equal(list.faults[1].source, "");
    assert_int_equal(list.faults[1].number, 131026);
    assert_int_equal(list.faults[1].times, 1);
    assert_int_equal(list.faults[2].times, -1);

    static const char *const wrong[] = { "rate_limi", "refuse=x", "slow*many", "a:b:c" };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct error e = { .code = ERR_NONE };
        assert_int_equal(fault_add_text(&list, wrong[i], &e), ERR_INVALID);
        assert_int_equal(list.count, 3);
    }
}

static void a_fault_is_used_up(void **state)
{
    (void)state;
    struct fault_list list = { .count = 0 };
    struct fault fault;
    assert_int_equal(fault_add_text(&list, "whatsapp:refuse=1*2,slow*-1", NULL), ERR_NONE);
    assert_false(fault_take(&list, "telegram", FAULT_RATE_LIMIT, FAULT_REFUSE, &fault));
    assert_true(fault_take(&list, "whatsapp", FAULT_RATE_LIMIT, FAULT_REFUSE, &fault));
    assert_int_equal(fault.number, 1);
    assert_true(fault_take(&list, "whatsapp", FAULT_RATE_LIMIT, FAULT_REFUSE, &fault));
    assert_false(fault_take(&list, "whatsapp", FAULT_RATE_LIMIT, FAULT_REFUSE, &fault));
    for (int i = 0; i < 5; i++) {
        assert_true(fault_take(&list, "anything", FAULT_SLOW, FAULT_SLOW, &fault));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_command_line_form),
        cmocka_unit_test(a_fault_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
