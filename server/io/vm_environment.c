/* Chunks, their environments, and what scripts find in them. */
#include "base/text.h"
#include "io/vm.h"
#include "io/vm_internal.h"

#include <stdio.h>
#include <string.h>

char vm_key_base;
char vm_key_environment;
char vm_key_loaded;

/* --- loading ---------------------------------------------------------------------------------------------------- */

static bool is_word(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* `_ENV` would let a script swap its globals, and Lua 5.4.4 makes wrong code for a constant one. */
static int line_of_environment_name(struct bytes text)
{
    static const char word[] = "_ENV";
    const size_t length = sizeof(word) - 1;
    const char *end = text.ptr + text.len;
    const char *line_start = text.ptr;
    int line = 1;
    for (const char *at = text.ptr; at && at < end;) {
        at = memmem(at, (size_t)(end - at), word, length);
        if (!at)
            return 0;
        bool starts = at == text.ptr || !is_word(at[-1]);
        bool ends = at + length == end || !is_word(at[length]);
        if (starts && ends) {
            for (; line_start < at; line_start++)
                line += *line_start == '\n';
            return line;
        }
        at += length;
    }
    return 0;
}

void vm_load_chunk(lua_State *L, const char *file, struct bytes text)
{
    luaL_checkstack(L, 6, NULL);
    if (text.len > VM_MAX_SOURCE_BYTES)
        luaL_error(L, "%s:1: the file is larger than %d KiB", file, (int)(VM_MAX_SOURCE_BYTES / 1024));
    if (text.len >= 3 && memcmp(text.ptr, "\xEF\xBB\xBF", 3) == 0) {
        text.ptr += 3;
        text.len -= 3;
    }
    int line = line_of_environment_name(text);
    if (line)
        luaL_error(L, "%s:%d: '_ENV' may not be used here", file, line);
    const char *name = lua_pushfstring(L, "@%s", file);
    int status = luaL_loadbufferx(L, text.ptr ? text.ptr : "", text.len, name, "t");
    lua_remove(L, -2);
    if (status != LUA_OK)
        lua_error(L);
    lua_createtable(L, 0, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_environment);
    lua_setmetatable(L, -2);
    lua_setupvalue(L, -2, 1);
}

struct load_arguments {
    const char *file;
    struct bytes text;
};

static int load_protected(lua_State *L)
{
    const struct load_arguments *arguments = lua_touserdata(L, 1);
    vm_load_chunk(L, arguments->file, arguments->text);
    return 1;
}

err_t vm_load(struct vm *vm, const char *file, struct bytes text, struct error *reterr)
{
    struct load_arguments arguments = { file, text };
    return vm_protect(vm, load_protected, &arguments, 1, reterr);
}

/* --- libraries -------------------------------------------------------------------------------------------------- */

static int load_library(lua_State *L)
{
    const char *name = lua_tostring(L, 1);
    struct vm *vm = vm_of(L);
    const struct vm_host *host = &vm->host;
    struct bytes text;
    const char *file = name;
    if (!host->find_library || !host->find_library(name, &text, &file, host->arg))
        return luaL_error(L, "there is no library '%s'\nHINT: libraries are files in the folder lib beside the rules",
                          name);
    if (vm->library_group_count == VM_MAX_LIBRARIES)
        return luaL_error(L, "there are more than %d libraries", VM_MAX_LIBRARIES);
    vm_charge(L, text.len); /* no hook runs in the compiler */
    vm_load_chunk(L, file, text);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    if (lua_type(L, -1) == LUA_TFUNCTION || lua_type(L, -1) == LUA_TTABLE)
        vm->library_groups[vm->library_group_count++] = vm_seal(L);
    return 1;
}

int vm_require(lua_State *L)
{
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    if (length == 0 || length > 64 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length)
        return luaL_error(L, "a library name is made of lower-case letters, digits and '_'");
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_loaded);
    lua_pushvalue(L, 1);
    lua_rawget(L, 2);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
        return luaL_error(L, "library '%s' requires itself, perhaps through another one", name);
    if (!lua_isnil(L, -1))
        return 1;
    lua_pop(L, 1);
    lua_pushvalue(L, 1);
    lua_pushboolean(L, 0);
    lua_rawset(L, 2);
    lua_pushcfunction(L, load_library);
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    /* Errors clear the mark, so that a later require tries again and says the same. */
    lua_pushvalue(L, 1);
    if (status == LUA_OK)
        lua_pushvalue(L, -2);
    else
        lua_pushnil(L);
    lua_rawset(L, 2);
    return status == LUA_OK ? 1 : lua_error(L);
}

/* --- names ------------------------------------------------------------------------------------------------------ */

static void push_base(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_base);
}

void vm_add_value(struct vm *vm, const char *name)
{
    lua_State *L = vm->lua;
    vm_freeze(L);
    push_base(L);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

void vm_add_function(struct vm *vm, const char *name, lua_CFunction function, void *arg)
{
    lua_pushlightuserdata(vm->lua, arg);
    lua_pushcclosure(vm->lua, function, 1);
    vm_add_value(vm, name);
}

void vm_add_absent(struct vm *vm, const char *name, const char *hint)
{
    if (vm->absent_count < VM_MAX_ABSENT)
        vm->absent[vm->absent_count++] = (struct vm_absent){ name, hint };
}

static const char *nearest_name(lua_State *L, const char *name)
{
    const char *known[129];
    size_t count = 0;
    push_base(L);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (count < ARRAY_LEN(known) - 1 && lua_type(L, -2) == LUA_TSTRING)
            known[count++] = lua_tostring(L, -2); /* stays valid: the base table holds it */
    known[count] = NULL;
    lua_pop(L, 1);
    return text_nearest(name, known);
}

/* What stands for an undefined name where the host wants the script to go on. */
static int take_anything(lua_State *L)
{
    lua_pushcfunction(L, take_anything);
    return 1;
}

/* __index of the base table: a name that nobody defined. */
static int undefined_name(lua_State *L)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(L, 2);
    const struct vm *vm = vm_of(L);
    for (size_t i = 0; i < vm->absent_count; i++)
        if (strcmp(name, vm->absent[i].name) == 0)
            return luaL_error(L, "'%s' is not available here\nHINT: %s", name, vm->absent[i].hint);
    const char *nearest = nearest_name(L, name);
    if (vm->host.undefined) {
        vm->host.undefined(name, nearest, vm_caller(L, NULL, 0), vm->host.arg);
        lua_pushcfunction(L, take_anything);
        return 1;
    }
    if (nearest)
        return luaL_error(L, "'%s' is not defined\nHINT: did you mean '%s'?", name, nearest);
    return luaL_error(L, "'%s' is not defined\nHINT: variables are declared with `local`", name);
}

/* __newindex of an environment. */
static int undeclared_variable(lua_State *L)
{
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    push_base(L);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    if (!lua_isnil(L, -1))
        return luaL_error(L, "'%s' cannot be replaced\nHINT: use another name, or `local %s`", name, name);
    const char *word = lua_type(L, 3) == LUA_TFUNCTION ? "local function" : "local";
    return luaL_error(L, "assignment to the undeclared variable '%s'\nHINT: write `%s %s`", name, word, name);
}

/* Makes the tables behind all environments; the base table is left on the stack to be filled. */
void vm_environment_open(lua_State *L)
{
    lua_createtable(L, 0, 0);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_loaded);

    lua_createtable(L, 0, 64);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, undefined_name);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_base);

    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, undeclared_variable);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_environment);
}
