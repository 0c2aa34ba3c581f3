/* .luacheckrc names what rules may use, for a linter that cannot look into the sandbox; this test can. */
#include "rules/rule_files.h"

#include "io/vm_internal.h"
#include "rules/rule_internal.h"

#include <lualib.h>

/* Appends "NAME" for each global, and "NAME.FIELD" for each field of those that are tables of Lua's libraries. */
static void add_name(json_t *names, const char *global, const char *field)
{
    char name[200];
    snprintf(name, sizeof(name), "%s%s%s", global, field ? "." : "", field ? field : "");
    json_object_set_new(names, name, json_true());
}

/* The table behind what scripts see of a frozen one; pushes it, or nothing when the value is no table. */
static bool push_content(lua_State *L)
{
    if (lua_type(L, -1) != LUA_TTABLE || !lua_getmetatable(L, -1))
        return false;
    lua_rawgetp(L, -1, &vm_key_content);
    lua_remove(L, -2);
    return true;
}

static json_t *names_in_sandbox(struct rule_set *set)
{
    json_t *names = json_object();
    lua_State *L = set->vm->lua;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_base);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        const char *global = lua_tostring(L, -2);
        add_name(names, global, NULL);
        if (!push_content(L))
            continue;
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            add_name(names, global, lua_tostring(L, -2));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return names;
}

/* The configuration's list at the top of the stack: names, and tables with the names of their fields. */
static json_t *names_in_configuration(void)
{
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_dostring(L, "stds, files = {}, setmetatable({}, { __index = function() return {} end })") != LUA_OK ||
        luaL_dofile(L, ".luacheckrc") != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    if (luaL_dostring(L, "local list = {}\n"
                         "for key, value in pairs(stds.rules.read_globals) do\n"
                         "  list[#list + 1] = type(key) == 'number' and value or key\n"
                         "  for _, field in ipairs(type(key) == 'string' and value.fields or {}) do\n"
                         "    list[#list + 1] = key .. '.' .. field\n"
                         "  end\n"
                         "end\n"
                         "return list") != LUA_OK)
        fail_msg("%s", lua_tostring(L, -1));
    json_t *names = json_object();
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        add_name(names, lua_tostring(L, -1), NULL);
    lua_close(L);
    return names;
}

static int print_missing(const json_t *names, const json_t *others, const char *what)
{
    int missing = 0;
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)names, name, value) {
        if (json_object_get(others, name) == NULL) {
            print_error("%s: %s\n", what, name);
            missing++;
        }
    }
    return missing;
}

static void the_linter_knows_what_the_sandbox_has(void **state)
{
    (void)state;
    struct rule_set *set = load_text("rule { name = 'a', on = 'message.received', run = function() end }", NULL);
    json_t *real = names_in_sandbox(set), *listed = names_in_configuration();
    assert_true(json_object_size(real) > 50);
    int wrong = print_missing(real, listed, "missing in .luacheckrc");
    wrong += print_missing(listed, real, "in .luacheckrc, and not in the sandbox");
    assert_int_equal(wrong, 0);
    json_decref(real);
    json_decref(listed);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_linter_knows_what_the_sandbox_has) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
