/* How the prelude, which is part of the program, gets into a Lua state. */
#include "rules/rule_internal.h"

#include <stdio.h>
#include <string.h>

#include "rule_prelude.h"

static int append_dump(lua_State *L, const void *ptr, size_t size, void *arg)
{
    (void)L;
    buf_add(arg, ptr, size);
    return 0;
}

/* Compiles one part of the prelude without line numbers: so the sandbox, which names the innermost line of a script in
 * every message, names the author's line and never ours. */
static void load_part(lua_State *L, const struct embedded_text *part)
{
    char name[64];
    snprintf(name, sizeof(name), "=%s", part->name);
    if (luaL_loadbufferx(L, part->text, part->length, name, "t") != LUA_OK) {
        lua_error(L);
    }
    struct buf code;
    buf_init(&code, (size_t)1024 * 1024);
    lua_dump(L, append_dump, &code, 1);
    int status = luaL_loadbufferx(L, code.ptr, code.len, name, "b");
    buf_done(&code);
    if (status != LUA_OK) {
        lua_error(L);
    }
    lua_remove(L, -2);
}

/* use(name): a part of the prelude, run once. Upvalues: the table of parts, the trusted environment, the host table. */
static int use_part(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    if (lua_getfield(L, lua_upvalueindex(1), name) != LUA_TNIL) {
        return 1;
    }
    char file[64];
    snprintf(file, sizeof(file), "%s.lua", name);
    for (size_t i = 0; i < rule_prelude_count; i++) {
        if (strcmp(rule_prelude[i].name, file) != 0) {
            continue;
        }
        load_part(L, &rule_prelude[i]);
        lua_pushvalue(L, lua_upvalueindex(2));
        lua_setupvalue(L, -2, 1); /* the first upvalue of a main function is _ENV */
        lua_pushvalue(L, lua_upvalueindex(3));
        lua_getfield(L, lua_upvalueindex(1), "use");
        lua_call(L, 2, 1);
        lua_pushvalue(L, -1);
        lua_setfield(L, lua_upvalueindex(1), name);
        return 1;
    }
    return luaL_error(L, "the prelude has no part '%s'", name);
}

int rule_prelude_open(lua_State *L)
{
    struct rule_set *set = lua_touserdata(L, 1);
    lua_createtable(L, 0, 16);
    int parts = lua_gettop(L);
    lua_pushvalue(L, parts);
    vm_push_trusted_libraries(L);
    rule_host_push(L, set);
    lua_pushcclosure(L, use_part, 3);
    lua_pushvalue(L, -1);
    lua_setfield(L, parts, "use");
    lua_pushliteral(L, "main");
    lua_call(L, 1, 1);
    return 1;
}
