/* Lua's own libraries, whole, for code of ours that runs beside the scripts. */
#include "base/macros.h"
#include "io/vm.h"

#include <lualib.h>

void vm_push_trusted_libraries(lua_State *L)
{
    static const struct {
        const char *name;
        lua_CFunction open;
    } libraries[] = {
        { "string", luaopen_string },
        { "table", luaopen_table },
        { "math", luaopen_math },
        { "utf8", luaopen_utf8 },
    };
    /* Opening changes the globals and the metatable of texts: both are set aside meanwhile. */
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    int globals = lua_gettop(L);
    lua_pushliteral(L, "");
    if (!lua_getmetatable(L, -1))
        lua_pushnil(L);
    int metatable = lua_gettop(L);

    lua_createtable(L, 0, 32);
    int trusted = lua_gettop(L);
    lua_pushvalue(L, trusted);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 0);
    lua_pushvalue(L, globals);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    for (size_t i = 0; i < ARRAY_LEN(libraries); i++) {
        lua_pushcfunction(L, libraries[i].open);
        lua_call(L, 0, 1);
        lua_setfield(L, trusted, libraries[i].name);
    }
    lua_pushliteral(L, "");
    lua_pushvalue(L, metatable);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    lua_replace(L, globals);
    lua_settop(L, globals);
}
