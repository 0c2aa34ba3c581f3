#include "io/vm.h"

#include "io/vm_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MEMORY ((size_t)8 * 1024 * 1024)

static char printed[4096];
static int printed_lines;

static void note_print(const char *file, int line, struct bytes text, void *arg)
{
    (void)arg;
    printed_lines++;
    snprintf(printed, sizeof(printed), "%s:%d:%.*s", file, line, (int)text.len, text.ptr);
}

static bool find_library(const char *name, struct bytes *ret_text, const char **ret_file, void *arg)
{
    (void)arg;
    static const char *const libraries[][2] = {
        { "numbers",
          "local cache = {}\nlocal count = 0\n"
          "return { double = function(n) return n * 2 end, list = {1, 2, 3},\n"
          "  keep = function(k) cache[k] = true end, count = function() count = count + 1 return count end }" },
        { "broken", "local x = = 1" },
        { "failing", "error('no')" },
        { "circle", "return require('circle')" },
        { "nothing", "local x = 1" },
    };
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        if (strcmp(name, libraries[i][0]) != 0)
            continue;
        *ret_text = bytes_of(libraries[i][1]);
        *ret_file = name;
        return true;
    }
    return false;
}

static struct vm *open_vm(void)
{
    static const struct vm_host host = { .print = note_print, .find_library = find_library };
    printed_lines = 0;
    return vm_new(MEMORY, &host);
}

static void load(struct vm *vm, const char *text)
{
    struct error e;
    if (vm_load(vm, "t.lua", bytes_of(text), &e))
        fail_msg("%s", e.text);
}

/* Runs a chunk; its result as text, or the error. */
static const char *run(struct vm *vm, const char *text)
{
    static char result[1024];
    struct vm_outcome outcome;
    load(vm, text);
    if (vm_call(vm, 0, 1, NULL, &outcome) != VM_DONE) {
        snprintf(result, sizeof(result), "%s", outcome.error);
        return result;
    }
    snprintf(result, sizeof(result), "%s", lua_isnil(vm_lua(vm), -1) ? "nil" : luaL_tolstring(vm_lua(vm), -1, NULL));
    lua_settop(vm_lua(vm), 0);
    return result;
}

static void order_is_fixed(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    static const char *const collect = "local function keys(t) local o = {} for k in pairs(t) do o[#o + 1] = "
                                       "tostring(k) end return table.concat(o, ' ') end\n";
    static const char *const rows[][2] = {
        { "return keys { b = 1, a = 2, [10] = 3, [2] = 4, [1.5] = 5, [-1] = 6, [true] = 7, [false] = 8, B = 9 }",
          "-1 1.5 2 10 B a b false true" },
        { "return keys {}", "" },
        { "return keys { 1, 2, 3 }", "1 2 3" },
        { "return keys { 1, 2, x = 3 }", "1 2 x" },
        { "local t = { a = 1, b = 2, c = 3 } for k in pairs(t) do t[k] = nil t.z = 1 end return keys(t)", "z" },
        { "local t = { a = 1, b = 2 } local o = '' for k, v in pairs(t) do t.b = nil o = o .. k .. v end return o",
          "a1" },
        { "return next({})", "nil" },
        { "return next({ b = 1, a = 2 })", "a" },
        { "return next({ b = 1, a = 2 }, 'a')", "b" },
        { "return keys(string) == keys(string) and keys(math):find('^abs acos') and 'yes'", "yes" },
        { "return keys { [math.maxinteger] = 1, [2^53] = 2, [math.mininteger] = 3 }",
          "-9223372036854775808 9007199254740992 9223372036854775807" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[600];
        snprintf(text, sizeof(text), "%s%s", collect, rows[i][0]);
        assert_string_equal(run(vm, text), rows[i][1]);
    }
    assert_string_equal(run(vm, "local n = 0 for i, v in ipairs(table.pack(5, 6)) do n = n + v end return n"), "11");
    vm_free(vm);
}

static void no_addresses(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    assert_string_equal(run(vm, "return tostring({}) .. tostring(print) .. string.format('%s', function() end)"),
                        "tablefunctionfunction");
    assert_string_equal(run(vm, "print('a', 1, nil, { b = { 1, 2 }, a = 'x' }, print) return 1"), "1");
    assert_string_equal(printed, "t.lua:1:a\t1\tnil\t{\"a\":\"x\",\"b\":[1,2]}\tfunction");
    vm_free(vm);
}

static void printing_is_bounded(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    run(vm, "for i = 1, 100000 do print(i) end");
    assert_int_equal(printed_lines, 101);
    run(vm, "print(('x'):rep(100000), ('y'):rep(100000))");
    assert_true(strlen(printed) < 2100);
    assert_string_equal(run(vm, "print('a\\0b') return 'ok'"), "ok");
    vm_free(vm);
}

static void chance_is_the_hosts(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    static const char *const text = "local t = {} for i = 1, 20 do t[i] = random(1000) end t[21] = math.random() "
                                    "t[22] = random(-5, 5) t[23] = math.random(math.mininteger, math.maxinteger) "
                                    "return table.concat(t, ' ')";
    char first[1024];
    vm_seed(vm, 42);
    snprintf(first, sizeof(first), "%s", run(vm, text));
    assert_string_not_equal(run(vm, text), first);
    vm_seed(vm, 42);
    assert_string_equal(run(vm, text), first);
    assert_string_equal(run(vm, "for i = 1, 10000 do local n = random(3) assert(n >= 1 and n <= 3) n = random() "
                                "assert(n >= 0 and n < 1) end return 'ok'"),
                        "ok");
    assert_non_null(strstr(run(vm, "return random(0)"), "interval is empty"));
    assert_non_null(strstr(run(vm, "math.randomseed(1)"), "nil value"));
    vm_free(vm);
}

static void libraries(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    assert_string_equal(run(vm, "return require('numbers').double(21)"), "42");
    assert_string_equal(run(vm, "return require('numbers') == require('numbers') and #require('numbers').list"), "3");
    assert_non_null(strstr(run(vm, "require('numbers').double = nil"), "read-only"));
    assert_non_null(strstr(run(vm, "require('numbers').list[1] = 5"), "read-only"));
    assert_non_null(strstr(run(vm, "require('numbers').keep('x')"), "read-only"));
    assert_non_null(strstr(run(vm, "require('broken')"), "broken:1:"));
    assert_non_null(strstr(run(vm, "require('failing')"), "failing:1: no"));
    assert_non_null(strstr(run(vm, "require('failing')"), "failing:1: no"));
    assert_non_null(strstr(run(vm, "require('circle')"), "requires itself"));
    assert_non_null(strstr(run(vm, "require('other')"), "no library 'other'"));
    assert_string_equal(run(vm, "return require('nothing')"), "true");
    assert_string_equal(run(vm, "return require('numbers').count()"), "1");
    char name[16];
    assert_true(vm_restore(vm, 9999, name, sizeof(name)));
    assert_string_equal(name, "count");
    assert_string_equal(run(vm, "return require('numbers').count()"), "1");
    vm_free(vm);
}

static void files_do_not_meet(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    assert_non_null(strstr(run(vm, "shared = 1"), "undeclared variable 'shared'"));
    assert_non_null(strstr(run(vm, "return shared"), "'shared' is not defined"));
    assert_non_null(strstr(run(vm, "return custumer"), "'custumer' is not defined"));
    assert_string_equal(run(vm, "local x = 1 return x"), "1");
    vm_free(vm);
}

static int seal_top(lua_State *L)
{
    int *group = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, *group);
    *group = vm_seal(L);
    return 0;
}

static void calls_leave_no_state(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    lua_State *L = vm_lua(vm);
    load(vm, "local count = 0\nlocal list = { inner = {} }\nlocal helper\nlocal nan = 0/0\n"
             "local function add(k) list.inner[k] = true end\n"
             "function helper(k) return add(k) end\n"
             "return function(what)\n"
             "  if what == 'count' then count = count + 1 return count end\n"
             "  if what == 'replace' then list = { inner = {} } list.inner.x = 1 return 1 end\n"
             "  if what == 'helper' then helper('k') end\n"
             "  if what == 'nan' then return nan ~= nan and 1 end\n"
             "  return #list.inner\n"
             "end\n");
    assert_int_equal(vm_call(vm, 0, 1, NULL, NULL), VM_DONE);
    int reference = luaL_ref(L, LUA_REGISTRYINDEX);
    int group = reference;
    assert_int_equal(vm_protect(vm, seal_top, &group, 0, NULL), ERR_NONE);
    vm_settle(vm);
    static const struct {
        const char *what;
        const char *changed; /* NULL: nothing */
        const char *error;
    } rows[] = {
        { "count", "count", NULL },
        { "count", "count", NULL },
        { "replace", "list", NULL },
        { "none", NULL, NULL },
        { "helper", NULL, "is shared, and read-only" },
        { "nan", NULL, NULL },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vm_outcome outcome;
        char name[32] = "";
        lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
        lua_pushstring(L, rows[i].what);
        enum vm_verdict verdict = vm_call(vm, 1, 1, NULL, &outcome);
        if (rows[i].error) {
            assert_int_equal(verdict, VM_FAILED);
            assert_non_null(strstr(outcome.error, rows[i].error));
        } else {
            assert_int_equal(verdict, VM_DONE);
            assert_true(lua_tointeger(L, -1) <= 1);
            lua_pop(L, 1);
        }
        assert_int_equal(vm_restore(vm, group, name, sizeof(name)), rows[i].changed != NULL);
        assert_string_equal(name, rows[i].changed ? rows[i].changed : "");
    }
    assert_int_equal(lua_gettop(L), 0);
    vm_free(vm);
}

static int push_shared(lua_State *L)
{
    json_t **json = lua_touserdata(L, 1);
    vm_json_push(L, *json);
    vm_freeze(L);
    return 1;
}

static void views(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    struct error e;
    json_t *json;
    assert_int_equal(json_parse(BYTES_LITERAL("{\"list\":[1,2,{\"x\":[]}],\"name\":\"Ada\"}"), &json, &e), ERR_NONE);
    assert_int_equal(vm_protect(vm, push_shared, &json, 1, &e), ERR_NONE);
    vm_add_value(vm, "shared");
    assert_string_equal(run(vm, "return shared.name .. #shared.list .. #shared.list[3].x"), "Ada30");
    assert_string_equal(
        run(vm, "local o = '' for k, v in pairs(shared) do o = o .. k end for i, v in ipairs(shared.list) do "
                "o = o .. i end return o .. next(shared) .. (table.unpack(shared.list))"),
        "listname123list1");
    assert_non_null(strstr(run(vm, "shared.name = 'x'"), "read-only"));
    assert_non_null(strstr(run(vm, "shared.list[1] = 'x'"), "read-only"));
    assert_non_null(strstr(run(vm, "shared.list[3].x[1] = 'x'"), "read-only"));
    assert_non_null(strstr(run(vm, "table.insert(shared.list, 1)"), "read-only"));
    assert_non_null(strstr(run(vm, "table.remove(shared.list)"), "read-only"));
    assert_non_null(strstr(run(vm, "table.sort(shared.list, function() return true end)"), "read-only"));
    assert_string_equal(run(vm, "return shared.list[3].x == shared.list[3].x"), "true");
    load(vm, "return shared");
    assert_int_equal(vm_call(vm, 0, 1, NULL, NULL), VM_DONE);
    json_t *back;
    assert_int_equal(vm_json_take(vm_lua(vm), -1, NULL, &back, &e), ERR_NONE);
    assert_true(json_equal(json, back));
    json_decref(json);
    json_decref(back);
    vm_free(vm);
}

static int deep_list(lua_State *L)
{
    lua_createtable(L, 0, 0);
    for (int i = 0; i < 50000; i++) {
        lua_createtable(L, 0, 0);
        lua_insert(L, -2);
        lua_setfield(L, -2, "next");
    }
    vm_freeze(L);
    return 1;
}

static void deep_views(void **state)
{
    (void)state;
    struct vm *vm = vm_new((size_t)64 * 1024 * 1024, NULL);
    struct error e;
    assert_int_equal(vm_protect(vm, deep_list, NULL, 1, &e), ERR_NONE);
    json_t *json = NULL;
    assert_int_equal(vm_json_take(vm_lua(vm), -1, NULL, &json, &e), ERR_INVALID);
    vm_free(vm);
}

static void errors_have_places(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    struct vm_outcome outcome;
    load(vm, "local function inner(x)\n  return x.y.z\nend\nlocal function outer()\n  local r = inner({})\n  return "
             "r\nend\nlocal q = outer()\n");
    assert_int_equal(vm_call(vm, 0, 0, NULL, &outcome), VM_FAILED);
    assert_string_equal(outcome.file, "t.lua");
    assert_int_equal(outcome.line, 2);
    assert_string_equal(outcome.error, "t.lua:2: attempt to index a nil value (field 'y')");
    assert_string_equal(outcome.traceback, "t.lua:2: in 'inner'\nt.lua:5: in 'outer'\nt.lua:8: in the file");
    load(vm, "local ok, e = pcall(error, 'x') assert(not ok and e == 'x') return 7");
    assert_int_equal(vm_call(vm, 0, 1, NULL, &outcome), VM_DONE);
    assert_string_equal(outcome.error, "");
    vm_free(vm);
}

static void worn_states_are_noticed(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    lua_State *L = vm_lua(vm);
    load(vm, "local t = {} return function() for i = 1, 2000 do t[#t + 1] = ('x'):rep(3000) .. i end end");
    assert_int_equal(vm_call(vm, 0, 1, NULL, NULL), VM_DONE);
    vm_settle(vm);
    assert_false(vm_is_worn(vm));
    lua_pushvalue(L, -1);
    assert_int_equal(vm_call(vm, 0, 0, NULL, NULL), VM_DONE);
    assert_true(vm_is_worn(vm));
    vm_free(vm);
}

static int nested_call(lua_State *L)
{
    struct vm *vm = vm_of(L);
    struct vm_outcome outcome;
    lua_settop(L, 1);
    enum vm_verdict verdict = vm_call(vm, 0, 0, NULL, &outcome);
    lua_pushinteger(L, verdict);
    return 1;
}

static void nested_calls_share_the_budget(void **state)
{
    (void)state;
    struct vm *vm = open_vm();
    static const struct vm_budget budget = { .max_instructions = 100000 };
    struct vm_outcome outcome;
    vm_add_function(vm, "host", nested_call, NULL);
    load(vm, "local v = host(function() while true do end end) while true do end");
    assert_int_equal(vm_call(vm, 0, 0, &budget, &outcome), VM_OVER_INSTRUCTIONS);
    assert_true(outcome.instructions < 110000);
    load(vm, "return host(function() error('x') end)");
    assert_int_equal(vm_call(vm, 0, 1, &budget, &outcome), VM_DONE);
    assert_int_equal(lua_tointeger(vm_lua(vm), -1), VM_FAILED);
    lua_settop(vm_lua(vm), 0);
    vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_is_fixed),
        cmocka_unit_test(no_addresses),
        cmocka_unit_test(printing_is_bounded),
        cmocka_unit_test(chance_is_the_hosts),
        cmocka_unit_test(libraries),
        cmocka_unit_test(files_do_not_meet),
        cmocka_unit_test(calls_leave_no_state),
        cmocka_unit_test(views),
        cmocka_unit_test(deep_views),
        cmocka_unit_test(errors_have_places),
        cmocka_unit_test(worn_states_are_noticed),
        cmocka_unit_test(nested_calls_share_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
