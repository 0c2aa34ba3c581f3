/* The table library, with bounds: what a call costs is charged before it is done. */
#include "io/vm.h"
#include "io/vm_internal.h"

#include <string.h>

#define MAX_UNPACKED 1000

/* The length of the table at 1, which may be a view. */
static lua_Integer table_length(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    return luaL_len(L, 1);
}

/* How many places there are from `first` to `last`; raises when they are more than a call may touch. */
static lua_Integer charge_range(lua_State *L, lua_Integer first, lua_Integer last, lua_Integer most)
{
    if (first > last)
        return 0;
    lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)first + 1;
    if (count == 0 || count > (lua_Unsigned)most)
        luaL_error(L, "the range from %I to %I is too long (at most %I)", first, last, most);
    vm_charge(L, (uint64_t)count);
    return (lua_Integer)count;
}

static int table_insert(lua_State *L)
{
    lua_Integer end = table_length(L) + 1;
    lua_Integer position = end;
    if (lua_gettop(L) == 3) {
        position = luaL_checkinteger(L, 2);
        luaL_argcheck(L, position >= 1 && position <= end, 2, "position out of bounds");
        charge_range(L, position, end, VM_MAX_RANGE);
        for (lua_Integer i = end; i > position; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
    } else if (lua_gettop(L) != 2) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, position);
    return 0;
}

static int table_remove(lua_State *L)
{
    lua_Integer size = table_length(L);
    lua_Integer position = luaL_optinteger(L, 2, size);
    if (lua_gettop(L) > 1)
        luaL_argcheck(L, (size == 0 && (position == 0 || position == 1)) || (position >= 1 && position <= size + 1), 2,
                      "position out of bounds");
    lua_geti(L, 1, position);
    charge_range(L, position, size, VM_MAX_RANGE);
    for (; position < size; position++) {
        lua_geti(L, 1, position + 1);
        lua_seti(L, 1, position);
    }
    lua_pushnil(L);
    lua_seti(L, 1, position);
    return 1;
}

static int table_concat(lua_State *L)
{
    lua_Integer size = table_length(L);
    size_t separator_length;
    const char *separator = luaL_optlstring(L, 2, "", &separator_length);
    lua_Integer first = luaL_optinteger(L, 3, 1);
    lua_Integer last = luaL_optinteger(L, 4, size);
    lua_Integer count = charge_range(L, first, last, VM_MAX_RANGE);
    size_t total = 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (lua_Integer i = 0; i < count; i++) {
        lua_geti(L, 1, first + i);
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat': a %s", first + i,
                              luaL_typename(L, -1));
        total += lua_rawlen(L, -1) + separator_length;
        if (total > VM_MAX_TEXT_BYTES + separator_length)
            return luaL_error(L, "the text would be longer than %d KiB", (int)(VM_MAX_TEXT_BYTES / 1024));
        luaL_addvalue(&b);
        if (i + 1 < count)
            luaL_addlstring(&b, separator, separator_length);
    }
    vm_charge(L, total / 32);
    luaL_pushresult(&b);
    return 1;
}

static int table_pack(lua_State *L)
{
    int count = lua_gettop(L);
    vm_charge(L, (uint64_t)count);
    lua_createtable(L, count, 1);
    lua_insert(L, 1);
    for (int i = count; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_pushinteger(L, count);
    lua_setfield(L, 1, "n");
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer first = luaL_optinteger(L, 2, 1);
    lua_Integer last = lua_isnoneornil(L, 3) ? table_length(L) : luaL_checkinteger(L, 3);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer count = charge_range(L, first, last, MAX_UNPACKED);
    luaL_checkstack(L, (int)count, "too many results to unpack");
    for (lua_Integer i = 0; i < count; i++)
        lua_geti(L, 1, first + i);
    return (int)count;
}

static int table_move(lua_State *L)
{
    lua_Integer first = luaL_checkinteger(L, 2);
    lua_Integer last = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, target, LUA_TTABLE);
    lua_Integer count = charge_range(L, first, last, VM_MAX_RANGE);
    if (count > 0 && to > LUA_MAXINTEGER - count + 1)
        return luaL_error(L, "destination of 'move' is out of bounds");
    bool backwards = target == 1 && to > first && to <= last;
    for (lua_Integer i = 0; i < count; i++) {
        lua_Integer step = backwards ? count - 1 - i : i;
        lua_geti(L, 1, first + step);
        lua_seti(L, target, to + step);
    }
    lua_pushvalue(L, target);
    return 1;
}

/* --- sort: a merge sort, because it is stable, has no bad cases, uses no chance, and stays within the list whatever
 * the comparison says ------------------------------------------------------------------------------------------- */

/* Is the value at stack slot `b` less than the one at `a`? */
static bool is_less(lua_State *L, int b, int a)
{
    if (lua_isnil(L, 2))
        return lua_compare(L, b, a, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, b);
    lua_pushvalue(L, a);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* Merges the runs [low, middle) and [middle, high) of the list at `from` into the one at `to`. */
static void merge(lua_State *L, int from, int to, lua_Integer low, lua_Integer middle, lua_Integer high)
{
    lua_Integer left = low;
    lua_Integer right = middle;
    for (lua_Integer out = low; out < high; out++) {
        bool take_right = left >= middle;
        if (left < middle && right < high) {
            int top = lua_gettop(L);
            lua_rawgeti(L, from, left);
            lua_rawgeti(L, from, right);
            take_right = is_less(L, top + 2, top + 1);
            lua_settop(L, top);
        }
        lua_rawgeti(L, from, take_right ? right++ : left++);
        lua_rawseti(L, to, out);
    }
}

static int table_sort(lua_State *L)
{
    lua_Integer size = table_length(L);
    if (size < 2)
        return 0;
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    charge_range(L, 1, size, VM_MAX_RANGE);
    lua_createtable(L, (int)size, 0);
    lua_createtable(L, (int)size, 0);
    for (lua_Integer i = 1; i <= size; i++) {
        lua_geti(L, 1, i);
        lua_rawseti(L, 3, i);
    }
    int from = 3;
    int to = 4;
    for (lua_Integer width = 1; width < size; width *= 2) {
        vm_charge(L, (uint64_t)size);
        for (lua_Integer low = 1; low <= size; low += 2 * width) {
            lua_Integer middle = low + width <= size ? low + width : size + 1;
            lua_Integer high = middle + width <= size ? middle + width : size + 1;
            merge(L, from, to, low, middle, high);
        }
        int swap = from;
        from = to;
        to = swap;
    }
    for (lua_Integer i = 1; i <= size; i++) {
        lua_rawgeti(L, from, i);
        lua_seti(L, 1, i);
    }
    return 0;
}

void vm_table_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "concat", table_concat }, { "insert", table_insert }, { "move", table_move },     { "pack", table_pack },
        { "remove", table_remove }, { "sort", table_sort },     { "unpack", table_unpack }, { NULL, NULL },
    };
    luaL_newlib(L, functions);
}
