/* pairs() and next() in an order that depends on the keys alone: numbers ascending, then texts by their bytes, then
 * false and true. Lua's own order depends on a seed that differs in every process.
 */
#include "io/vm.h"
#include "io/vm_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum key_kind { KEY_NUMBER, KEY_TEXT, KEY_BOOLEAN };

struct key {
    enum key_kind kind;
    bool is_integer;
    lua_Integer integer; /* also of booleans */
    lua_Number number;
    const char *text; /* held by the table that is traversed or by the list of keys */
    size_t length;
    lua_Integer position; /* in the list of keys */
};

static void read_key(lua_State *L, int index, struct key *key)
{
    *key = (struct key){ .kind = KEY_NUMBER };
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        key->is_integer = lua_isinteger(L, index);
        if (key->is_integer)
            key->integer = lua_tointeger(L, index);
        key->number = lua_tonumber(L, index);
        return;
    case LUA_TSTRING:
        key->kind = KEY_TEXT;
        key->text = lua_tolstring(L, index, &key->length);
        return;
    case LUA_TBOOLEAN:
        key->kind = KEY_BOOLEAN;
        key->integer = lua_toboolean(L, index);
        return;
    default:
        luaL_error(L, "a table with a %s as key has no order to go through it", luaL_typename(L, index));
    }
}

static int compare_keys(const struct key *a, const struct key *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == KEY_TEXT) {
        size_t common = a->length < b->length ? a->length : b->length;
        int order = common ? memcmp(a->text, b->text, common) : 0;
        return order ? order : (a->length > b->length) - (a->length < b->length);
    }
    if (a->kind == KEY_BOOLEAN || (a->is_integer && b->is_integer))
        return (a->integer > b->integer) - (a->integer < b->integer);
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return (int)b->is_integer - (int)a->is_integer;
}

static int compare_for_qsort(const void *a, const void *b)
{
    return compare_keys(a, b);
}

/* Counts the keys of the table. `*ret_sequence`: they are 1..n; `*ret_sorted`: they come in order already. */
static size_t survey_keys(lua_State *L, int table, bool *ret_sequence, bool *ret_sorted)
{
    size_t count = 0;
    struct key last = { .kind = KEY_NUMBER };
    *ret_sequence = *ret_sorted = true;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        struct key key;
        read_key(L, -2, &key);
        if (key.kind != KEY_NUMBER || !key.is_integer || key.integer != (lua_Integer)count + 1)
            *ret_sequence = false;
        if (count > 0 && compare_keys(&last, &key) > 0)
            *ret_sorted = false;
        last = key;
        count++;
    }
    vm_charge(L, count);
    return count;
}

/* Pushes a list of the table's keys in order. */
static void push_keys(lua_State *L, int table, size_t count, bool sorted)
{
    if (count > VM_MAX_RANGE)
        luaL_error(L, "a table with more than %d keys cannot be gone through in order", VM_MAX_RANGE);
    lua_createtable(L, (int)count, 0);
    int list = lua_gettop(L);
    struct key *keys = sorted ? NULL : lua_newuserdatauv(L, (count + 1) * sizeof(*keys), 0);
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (keys) {
            read_key(L, -2, &keys[n]);
            keys[n].position = n + 1;
        }
        lua_pushvalue(L, -2);
        lua_rawseti(L, list, ++n);
    }
    if (!keys)
        return;
    unsigned bits = 1;
    while (count >> bits)
        bits++;
    vm_charge(L, count * bits);
    qsort(keys, (size_t)n, sizeof(*keys), compare_for_qsort);
    lua_createtable(L, (int)count, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, list, keys[i].position);
        lua_rawseti(L, -2, i + 1);
    }
    lua_replace(L, list);
    lua_settop(L, list);
}

/* Upvalues: the table, the list of keys or nil for 1..n, the position, the last position. */
static int next_pair(lua_State *L)
{
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    lua_Integer position = lua_tointeger(L, lua_upvalueindex(3));
    bool sequence = lua_isnil(L, lua_upvalueindex(2));
    lua_settop(L, 0);
    while (position < last) {
        position++;
        if (sequence)
            lua_pushinteger(L, position);
        else
            lua_rawgeti(L, lua_upvalueindex(2), position);
        lua_pushvalue(L, 1);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) {
            lua_pushinteger(L, position);
            lua_replace(L, lua_upvalueindex(3));
            return 2;
        }
        lua_settop(L, 0); /* removed since */
    }
    lua_pushinteger(L, position);
    lua_replace(L, lua_upvalueindex(3));
    lua_pushnil(L);
    return 1;
}

static void check_table(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (vm_push_frozen_content(L, 1))
        lua_replace(L, 1);
}

int vm_pairs(lua_State *L)
{
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) { /* only tables of the host have it */
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    lua_settop(L, 1);
    check_table(L);
    bool sequence;
    bool sorted;
    size_t count = survey_keys(L, 1, &sequence, &sorted);
    lua_pushvalue(L, 1);
    if (sequence)
        lua_pushnil(L);
    else
        push_keys(L, 1, count, sorted);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, (lua_Integer)count);
    lua_pushcclosure(L, next_pair, 4);
    return 1;
}

int vm_next(lua_State *L)
{
    lua_settop(L, 2);
    check_table(L);
    bool from_start = lua_isnil(L, 2);
    struct key after = { .kind = KEY_NUMBER };
    struct key best = { .kind = KEY_NUMBER };
    bool found = false;
    size_t count = 0;
    if (!from_start)
        read_key(L, 2, &after);
    lua_pushnil(L); /* the best key so far, at 3 */
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        struct key key;
        read_key(L, -2, &key);
        count++;
        if ((!from_start && compare_keys(&key, &after) <= 0) || (found && compare_keys(&key, &best) >= 0))
            continue;
        found = true;
        best = key;
        lua_pushvalue(L, -2);
        lua_replace(L, 3);
    }
    vm_charge(L, count);
    lua_settop(L, 3);
    if (!found)
        return 1;
    lua_pushvalue(L, 3);
    lua_rawget(L, 1);
    return 2;
}
