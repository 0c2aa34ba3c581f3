/* The string library, with bounds: ASCII only, results of at most VM_MAX_TEXT_BYTES, searching is in vm_search.c. */
#include "io/vm.h"
#include "io/vm_internal.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_UNIT 32
#define MAX_BYTES_AS_VALUES 1000 /* of string.byte */

int vm_text_too_long(lua_State *L)
{
    return luaL_error(L, "the text would be longer than %d KiB", (int)(VM_MAX_TEXT_BYTES / 1024));
}

struct bytes vm_check_text(lua_State *L, int index)
{
    struct bytes text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* A position as scripts give it (from 1; negative from the end) as an offset, at least 0. */
lua_Integer vm_first_offset(lua_Integer position, size_t length)
{
    if (position > 0)
        return position - 1;
    if (position == 0 || position < -(lua_Integer)length)
        return 0;
    return (lua_Integer)length + position;
}

/* The same for an end that is included; gives the offset behind it. */
static lua_Integer end_offset(lua_Integer position, size_t length)
{
    if (position > (lua_Integer)length)
        return (lua_Integer)length;
    if (position >= 0)
        return position;
    return position < -(lua_Integer)length ? 0 : (lua_Integer)length + position + 1;
}

/* --- simple functions ------------------------------------------------------------------------------------------- */

static int text_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)vm_check_text(L, 1).len);
    return 1;
}

static int text_sub(lua_State *L)
{
    struct bytes text = vm_check_text(L, 1);
    lua_Integer first = vm_first_offset(luaL_checkinteger(L, 2), text.len);
    lua_Integer end = end_offset(luaL_optinteger(L, 3, -1), text.len);
    size_t length = first < end ? (size_t)(end - first) : 0;
    vm_charge(L, length / BYTES_PER_UNIT);
    lua_pushlstring(L, length ? text.ptr + first : "", length);
    return 1;
}

static int text_byte(lua_State *L)
{
    struct bytes text = vm_check_text(L, 1);
    lua_Integer position = luaL_optinteger(L, 2, 1);
    lua_Integer first = vm_first_offset(position, text.len);
    lua_Integer end = end_offset(luaL_optinteger(L, 3, position), text.len);
    if (first >= end)
        return 0;
    if (end - first > MAX_BYTES_AS_VALUES)
        return luaL_error(L, "at most %d bytes at once", MAX_BYTES_AS_VALUES);
    luaL_checkstack(L, (int)(end - first), NULL);
    for (lua_Integer i = first; i < end; i++)
        lua_pushinteger(L, (unsigned char)text.ptr[i]);
    return (int)(end - first);
}

static int text_char(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, (size_t)count);
    for (int i = 1; i <= count; i++) {
        lua_Integer c = luaL_checkinteger(L, i);
        luaL_argcheck(L, c >= 0 && c <= 255, i, "value out of range");
        out[i - 1] = (char)(unsigned char)c;
    }
    luaL_pushresultsize(&b, (size_t)count);
    return 1;
}

static int map_bytes(lua_State *L, char from, char to, int difference)
{
    struct bytes text = vm_check_text(L, 1);
    vm_charge(L, text.len / BYTES_PER_UNIT);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, text.len);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        out[i] = (char)(c >= from && c <= to ? c + difference : c);
    }
    luaL_pushresultsize(&b, text.len);
    return 1;
}

static int text_lower(lua_State *L)
{
    return map_bytes(L, 'A', 'Z', 'a' - 'A');
}

static int text_upper(lua_State *L)
{
    return map_bytes(L, 'a', 'z', 'A' - 'a');
}

static int text_reverse(lua_State *L)
{
    struct bytes text = vm_check_text(L, 1);
    vm_charge(L, text.len / BYTES_PER_UNIT);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, text.len);
    for (size_t i = 0; i < text.len; i++)
        out[i] = text.ptr[text.len - 1 - i];
    luaL_pushresultsize(&b, text.len);
    return 1;
}

static int text_rep(lua_State *L)
{
    struct bytes text = vm_check_text(L, 1);
    lua_Integer count = luaL_checkinteger(L, 2);
    size_t separator_length;
    const char *separator = luaL_optlstring(L, 3, "", &separator_length);
    if (count <= 0 || text.len + separator_length == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((lua_Unsigned)count > VM_MAX_TEXT_BYTES / (text.len + separator_length))
        return vm_text_too_long(L);
    size_t total = (size_t)count * (text.len + separator_length) - separator_length;
    vm_charge(L, total / BYTES_PER_UNIT + (uint64_t)count / 2);
    luaL_Buffer b;
    char *out = luaL_buffinitsize(L, &b, total);
    for (lua_Integer i = 0; i < count; i++) {
        if (i > 0 && separator_length) {
            memcpy(out, separator, separator_length);
            out += separator_length;
        }
        if (text.len)
            memcpy(out, text.ptr, text.len);
        out += text.len;
    }
    luaL_pushresultsize(&b, total);
    return 1;
}

/* --- format: Lua's own, after texts were made of the values for %s (its way shows addresses) --------------------- */

static int text_format(lua_State *L)
{
    struct bytes format = vm_check_text(L, 1);
    int count = lua_gettop(L);
    int argument = 1;
    size_t total = format.len;
    for (size_t i = 0; i < format.len; i++) {
        if (format.ptr[i] != '%')
            continue;
        if (++i < format.len && format.ptr[i] == '%')
            continue;
        while (i < format.len && strchr("-+#0 123456789.", format.ptr[i]) && format.ptr[i])
            i++;
        argument++;
        if (i >= format.len || argument > count)
            break; /* Lua's own function says what is wrong */
        if (format.ptr[i] == 'p')
            return luaL_error(L, "'%%p' is not available here");
        if (format.ptr[i] == 's') {
            size_t length;
            vm_push_text_of(L, argument, &length);
            lua_replace(L, argument);
            total += length;
        } else if (format.ptr[i] == 'q') {
            total += lua_type(L, argument) == LUA_TSTRING ? 4 * lua_rawlen(L, argument) : 0;
        }
        if (total > VM_MAX_TEXT_BYTES)
            return vm_text_too_long(L);
    }
    vm_charge(L, total / BYTES_PER_UNIT + (uint64_t)count);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* --- arithmetic on texts that are numbers ------------------------------------------------------------------------ */

static int arithmetic(lua_State *L)
{
    int operation = (int)lua_tointeger(L, lua_upvalueindex(1));
    for (int i = 1; i <= 2; i++) {
        size_t length = lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
        bool is_number = lua_type(L, i) == LUA_TNUMBER;
        if (!is_number && length > 0 && length <= 64) { /* reading a very long one takes its time */
            const char *text = lua_tostring(L, i);
            if (lua_stringtonumber(L, text) == length + 1) {
                lua_replace(L, i);
                is_number = true;
            }
        }
        if (!is_number)
            return luaL_error(L, "attempt to perform arithmetic on a %s value%s", luaL_typename(L, i),
                              lua_type(L, i) == LUA_TSTRING ? " that is not a number" : "");
    }
    if (operation == LUA_OPUNM)
        lua_settop(L, 1);
    lua_arith(L, operation);
    return 1;
}

static void set_text_metatable(lua_State *L, int library)
{
    static const struct {
        const char *name;
        int operation;
    } operators[] = {
        { "__add", LUA_OPADD }, { "__sub", LUA_OPSUB }, { "__mul", LUA_OPMUL },   { "__mod", LUA_OPMOD },
        { "__pow", LUA_OPPOW }, { "__div", LUA_OPDIV }, { "__idiv", LUA_OPIDIV }, { "__unm", LUA_OPUNM },
    };
    lua_pushliteral(L, "");
    lua_createtable(L, 0, 10);
    lua_pushvalue(L, library);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        lua_pushinteger(L, operators[i].operation);
        lua_pushcclosure(L, arithmetic, 1);
        lua_setfield(L, -2, operators[i].name);
    }
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
}

void vm_text_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "byte", text_byte },    { "char", text_char },       { "find", vm_text_find }, { "gmatch", vm_text_gmatch },
        { "gsub", vm_text_gsub }, { "len", text_len },         { "lower", text_lower },  { "match", vm_text_match },
        { "rep", text_rep },      { "reverse", text_reverse }, { "sub", text_sub },      { "upper", text_upper },
        { NULL, NULL },
    };
    luaL_newlib(L, functions);
    int library = lua_gettop(L);
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, text_format, 1);
    lua_setfield(L, library, "format");
    lua_settop(L, library);
    set_text_metatable(L, library); /* takes the place of the one that luaopen_string made */
}
