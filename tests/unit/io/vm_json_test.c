#include "io/vm_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vm *vm;

static int open_vm(void **state)
{
    (void)state;
    vm = vm_new((size_t)32 * 1024 * 1024, NULL);
    return 0;
}

static int close_vm(void **state)
{
    (void)state;
    vm_free(vm);
    return 0;
}

/* The result of a chunk as JSON text, or the reason why there is none. */
static char *take(const char *script, const struct vm_json_limits *limits)
{
    struct error e;
    json_t *json;
    if (vm_load(vm, "t.lua", bytes_of(script), &e) || vm_call(vm, 0, 1, NULL, NULL))
        fail_msg("%s", script);
    err_t err = vm_json_take(vm_lua(vm), -1, limits, &json, &e);
    lua_pop(vm_lua(vm), 1);
    assert_int_equal(lua_gettop(vm_lua(vm)), 0);
    if (err)
        return strdup(e.text);
    char *text = json_dump(json);
    json_decref(json);
    return text;
}

static void from_lua(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "return { b = 1, a = { true, false }, c = { x = 'y' } }",
          "{\"a\":[true,false],\"b\":1,\"c\":{\"x\":\"y\"}}" },
        { "return {}", "{}" },
        { "return array {}", "[]" },
        { "return array()", "[]" },
        { "return { list = array { 'x' } }", "{\"list\":[\"x\"]}" },
        { "return { 1, 2, nil, 4 }", "{\"1\":1,\"2\":2,\"4\":4}" },
        { "return array { 1, nil, 3 }", "[1,null,3]" },
        { "return { [5] = 1 }", "{\"5\":1}" },
        { "return 9007199254740993", "9007199254740993" },
        { "return math.mininteger", "-9223372036854775808" },
        { "return 19.0", "19" },
        { "return 1.5", "1.5" },
        { "return nil", "null" },
        { "return 'a\\0b'", "\"a\xEF\xBF\xBD"
                            "b\"" },
        { "return '\\xff'", "\"\xEF\xBF\xBD\"" },
        { "return { ['\\xff'] = 1 }", "{\"\xEF\xBF\xBD\":1}" },
        { "return { a = { b = { 1, print } } }", "a.b[2]: a function cannot be stored" },
        { "return 0/0", "the number is infinite or no number" },
        { "return { x = 1/0 }", "x: the number is infinite or no number" },
        { "return { [true] = 1 }", "keys must be texts" },
        { "return { [1.5] = 1 }", "keys must be texts" },
        { "return { [{}] = 1 }", "keys must be texts" },
        { "local t = {} t.t = t return t", NULL },
        { "local t = {} for i = 1, 31 do t = { t } end return t", NULL },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = take(rows[i][0], NULL);
        if (rows[i][1])
            assert_string_equal(text, rows[i][1]);
        free(text);
    }
    char *text = take("local t = {} for i = 1, 31 do t = { t } end return t", NULL);
    assert_int_equal(text[0], '[');
    free(text);
    text = take("local t = {} for i = 1, 32 do t = { t } end return t", NULL);
    assert_non_null(strstr(text, "nested too deep"));
    free(text);
}

static void limits(void **state)
{
    (void)state;
    static const struct vm_json_limits small = { .max_values = 10, .max_bytes = 100 };
    static const char *const rows[][2] = {
        { "return { 1,2,3,4,5,6,7,8,9 }", "[1,2,3,4,5,6,7,8,9]" },
        { "return { 1,2,3,4,5,6,7,8,9,10 }", "too long" },
        { "return { a = {1,2,3,4}, b = {1,2,3,4} }", "too " },
        { "return ('x'):rep(101)", "too much text" },
        { "return { a = ('x'):rep(60), b = ('x'):rep(60) }", "too much text" },
        { "return { [('x'):rep(101)] = 1 }", "too much text" },
        { "local t = array {} t[1e9 // 1 | 0] = 1 return t", "too long" },
        { "local t = {} for i = 1, 100000 do t[i] = {} end return t", "too long" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = take(rows[i][0], &small);
        if (!strstr(text, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], text);
        free(text);
    }
}

static void there_and_back(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "{}",
        "[]",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "[[],[[]]]",
        "{\"n\":-1,\"x\":1.5,\"t\":true,\"f\":false,\"s\":\"\"}",
        "{\"big\":9223372036854775807}",
        "[\"\\u20ac\"]",
        "[1,2,3]",
        "[null,1]",
        "\"text\"",
        "7",
    };
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        json_t *json = json_loads(documents[i], JSON_DECODE_ANY, NULL);
        json_t *back;
        assert_non_null(json);
        assert_int_equal(vm_json_push_protected(vm, json, NULL), ERR_NONE);
        assert_int_equal(vm_json_take(vm_lua(vm), -1, NULL, &back, NULL), ERR_NONE);
        if (!json_equal(json, back))
            fail_msg("%s", documents[i]);
        lua_pop(vm_lua(vm), 1);
        json_decref(json);
        json_decref(back);
    }
}

static void deep_documents_are_refused(void **state)
{
    (void)state;
    json_t *json = json_object();
    for (int i = 0; i < 40; i++)
        json = json_pack("[o]", json);
    struct error e;
    assert_int_equal(vm_json_push_protected(vm, json, &e), ERR_INVALID);
    assert_int_equal(lua_gettop(vm_lua(vm)), 0);
    json_decref(json);
}

/* What does not fit into the state is an error of the call, not of the program. */
static void large_documents_are_refused(void **state)
{
    (void)state;
    struct vm *small = vm_new(0, NULL);
    json_t *json = json_array();
    for (int i = 0; i < 100000; i++)
        json_array_append_new(json, json_object());
    struct error e;
    assert_int_equal(vm_json_push_protected(small, json, &e), ERR_LIMIT);
    json_decref(json);
    json = json_pack("{s:i}", "a", 1);
    assert_int_equal(vm_json_push_protected(small, json, &e), ERR_NONE);
    json_decref(json);
    vm_free(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_lua),
        cmocka_unit_test(limits),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(deep_documents_are_refused),
        cmocka_unit_test(large_documents_are_refused),
    };
    return cmocka_run_group_tests(tests, open_vm, close_vm);
}
