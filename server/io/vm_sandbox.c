/* The allow list: what a script finds in its environment, and nothing else.
 *
 * Functions of Lua's libraries are taken one by one, and only those that are pure, bounded, and the same on every run.
 * The rest has its own form here, in vm_text.c, vm_table.c and vm_order.c.
 */
#include "base/buf.h"
#include "base/text.h"
#include "io/vm.h"
#include "io/vm_internal.h"
#include "io/vm_json.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER_TEXT 200
#define BYTES_PER_UNIT 32

/* --- text of values --------------------------------------------------------------------------------------------- */

const char *vm_push_text_of(lua_State *L, int index, size_t *ret_length)
{
    index = lua_absindex(L, index);
    luaL_checkstack(L, 4, NULL);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TBOOLEAN:
    case LUA_TNUMBER:
    case LUA_TSTRING:
        return luaL_tolstring(L, index, ret_length);
    default:
        break;
    }
    if (luaL_getmetafield(L, index, "__tostring") == LUA_TFUNCTION) { /* only values of the host have it */
        lua_pushvalue(L, index);
        lua_call(L, 1, 1);
        if (lua_type(L, -1) == LUA_TSTRING)
            return lua_tolstring(L, -1, ret_length);
        lua_pop(L, 1);
    }
    lua_pushstring(L, luaL_typename(L, index)); /* Lua would print the address */
    return lua_tolstring(L, -1, ret_length);
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    vm_push_text_of(L, 1, NULL);
    return 1;
}

/* tonumber(), for texts of sensible length: the conversion is one C call. */
static int base_tonumber(lua_State *L)
{
    if (lua_type(L, 1) == LUA_TSTRING && lua_rawlen(L, 1) > MAX_NUMBER_TEXT) {
        lua_pushnil(L);
        return 1;
    }
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* Pushes the text of a table as JSON, so that print(event) is of use. */
static void push_table_text(lua_State *L, int index)
{
    json_t *json = NULL;
    if (vm_json_take(L, index, NULL, &json, NULL)) {
        vm_push_text_of(L, index, NULL);
        return;
    }
    struct buf text;
    buf_init(&text, VM_MAX_PRINTED_BYTES * 64);
    json_add(&text, json);
    json_decref(json);
    char *shown = vm_of(L)->printed;
    size_t length = text.len < VM_MAX_PRINTED_BYTES ? text.len : VM_MAX_PRINTED_BYTES;
    if (length > 0)
        memcpy(shown, text.ptr, length);
    size_t whole = text.len;
    buf_done(&text);
    vm_charge(L, whole / 4);
    lua_pushlstring(L, shown, length);
}

static int base_print(lua_State *L)
{
    struct vm *vm = vm_of(L);
    int count = lua_gettop(L);
    vm_charge(L, 100);
    if (!vm->host.print || vm->printed_lines > VM_MAX_PRINTED_LINES)
        return 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    if (vm->printed_lines++ == VM_MAX_PRINTED_LINES) {
        luaL_addstring(&b, "(more lines were printed)");
        count = 0;
    }
    for (int i = 1; i <= count && luaL_bufflen(&b) < VM_MAX_PRINTED_BYTES; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        if (lua_type(L, i) == LUA_TTABLE)
            push_table_text(L, i);
        else
            vm_push_text_of(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    struct bytes text;
    text.ptr = lua_tolstring(L, -1, &text.len);
    if (text.len > VM_MAX_PRINTED_BYTES)
        text.len = VM_MAX_PRINTED_BYTES;
    char file[128];
    int line = vm_caller(L, file, sizeof(file));
    vm->host.print(file, line, text, vm->host.arg);
    return 0;
}

static int base_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1))
        lua_createtable(L, 0, 0);
    else
        luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1))
        return luaL_error(L, "array() takes a plain table");
    vm_json_mark_array(L, 1);
    return 1;
}

/* --- chance ----------------------------------------------------------------------------------------------------- */

/* The arguments of math.random, the numbers of the host's seed. */
static int base_random(lua_State *L)
{
    struct vm *vm = vm_of(L);
    lua_Integer low = 1;
    lua_Integer high;
    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, (lua_Number)(vm_random(vm) >> 11) * 0x1p-53);
        return 1;
    case 1:
        high = luaL_checkinteger(L, 1);
        break;
    default:
        low = luaL_checkinteger(L, 1);
        high = luaL_checkinteger(L, 2);
        break;
    }
    luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
    uint64_t span = (uint64_t)high - (uint64_t)low + 1;
    uint64_t number = vm_random(vm);
    /* Numbers beyond the last whole multiple would make small results more likely. */
    while (span && number >= UINT64_MAX - UINT64_MAX % span)
        number = vm_random(vm);
    lua_pushinteger(L, (lua_Integer)((uint64_t)low + (span ? number % span : number)));
    return 1;
}

/* --- utf8 ------------------------------------------------------------------------------------------------------- */

/* Upvalue: Lua's function, which reads its text at most once. */
static int charged_text_function(lua_State *L)
{
    vm_charge(L, lua_type(L, 1) == LUA_TSTRING ? lua_rawlen(L, 1) / 4 : 0);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* utf8.codepoint() gives a value for each character; the stack is not for a whole text. */
static int utf8_codepoint(lua_State *L)
{
    size_t length;
    luaL_checklstring(L, 1, &length);
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer last = luaL_optinteger(L, 3, first);
    if (first < 0)
        first += (lua_Integer)length + 1;
    if (last < 0)
        last += (lua_Integer)length + 1;
    if (first >= 0 && last > first && last - first >= 1000)
        return luaL_error(L, "at most 1000 bytes at once");
    return charged_text_function(L);
}

/* --- building --------------------------------------------------------------------------------------------------- */

struct wrapped {
    const char *name;
    lua_CFunction wrapper; /* has Lua's function as upvalue, and calls it in its own frame; NULL: as it is */
};

/* Pushes a table with the named values of the library that `open` makes. */
static void push_selection(lua_State *L, lua_CFunction open, const struct wrapped *selection)
{
    lua_createtable(L, 0, 32);
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    for (; selection->name; selection++) {
        lua_getfield(L, -1, selection->name);
        if (selection->wrapper)
            lua_pushcclosure(L, selection->wrapper, 1);
        lua_setfield(L, -3, selection->name);
    }
    lua_pop(L, 1);
}

static void add_math(lua_State *L)
{
    static const struct wrapped selection[] = {
        { "abs", NULL },  { "acos", NULL }, { "asin", NULL }, { "atan", NULL },       { "ceil", NULL },
        { "cos", NULL },  { "deg", NULL },  { "exp", NULL },  { "floor", NULL },      { "fmod", NULL },
        { "huge", NULL }, { "log", NULL },  { "max", NULL },  { "maxinteger", NULL }, { "min", NULL },
        { "modf", NULL }, { "pi", NULL },   { "rad", NULL },  { "mininteger", NULL }, { "sin", NULL },
        { "sqrt", NULL }, { "tan", NULL },  { "type", NULL }, { "tointeger", NULL },  { "ult", NULL },
        { NULL, NULL },
    };
    push_selection(L, luaopen_math, selection);
    lua_pushcfunction(L, base_random);
    lua_setfield(L, -2, "random");
}

static void add_base(lua_State *L, int base)
{
    static const struct wrapped selection[] = {
        { "assert", NULL },
        { "error", NULL },
        { "ipairs", NULL },
        { "pcall", NULL },
        { "select", NULL },
        { "type", NULL },
        { "tonumber", base_tonumber },
        { NULL, NULL },
    };
    static const luaL_Reg own[] = {
        { "array", base_array },   { "next", vm_next },       { "pairs", vm_pairs },         { "print", base_print },
        { "random", base_random }, { "require", vm_require }, { "tostring", base_tostring }, { NULL, NULL },
    };
    push_selection(L, luaopen_base, selection);
    for (lua_pushnil(L); lua_next(L, -2);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, base);
    }
    lua_pop(L, 1);
    for (const luaL_Reg *entry = own; entry->name; entry++) {
        lua_pushstring(L, entry->name);
        lua_pushcfunction(L, entry->func);
        lua_rawset(L, base);
    }
}

static void add_library(lua_State *L, int base, const char *name)
{
    vm_freeze(L);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, base);
}

static void add_absent_names(struct vm *vm)
{
    static const struct vm_absent names[] = {
        { "_G", "variables are declared with `local`" },
        { "collectgarbage", "memory is collected by itself" },
        { "coroutine", "a script runs to its end in one go" },
        { "debug", "print() and the traceback say where" },
        { "dofile", "use require() for a library" },
        { "getmetatable", "tables are plain here" },
        { "io", "a script reads and writes no files" },
        { "load", "use require() for a library" },
        { "loadfile", "use require() for a library" },
        { "loadstring", "use require() for a library" },
        { "os", "now() gives the time" },
        { "package", "use require() for a library" },
        { "rawequal", "compare with ==" },
        { "rawget", "index the table" },
        { "rawlen", "use #" },
        { "rawset", "index the table" },
        { "setmetatable", "tables are plain here" },
        { "unpack", "it is table.unpack()" },
        { "xpcall", "use pcall()" },
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        vm_add_absent(vm, names[i].name, names[i].hint);
}

void vm_sandbox_open(lua_State *L)
{
    static const struct wrapped utf8_selection[] = {
        { "char", NULL },  { "charpattern", NULL },          { "codepoint", utf8_codepoint },
        { "codes", NULL }, { "len", charged_text_function }, { "offset", charged_text_function },
        { NULL, NULL },
    };
    luaL_checkstack(L, 32, NULL);
    vm_environment_open(L);
    int base = lua_gettop(L);
    add_base(L, base);
    vm_text_open(L);
    add_library(L, base, "string");
    vm_table_open(L);
    add_library(L, base, "table");
    add_math(L);
    add_library(L, base, "math");
    push_selection(L, luaopen_utf8, utf8_selection);
    add_library(L, base, "utf8");
    add_absent_names(vm_of(L));
    /* What luaopen_base left behind: nobody may find load() through it. */
    lua_createtable(L, 0, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}
