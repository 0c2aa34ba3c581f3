#include "io/vm_json.h"

#include "base/buf.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/vm_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_VALUES 10000
#define DEFAULT_MAX_BYTES ((size_t)256 * 1024)
#define EXACT_FLOAT 9007199254740992.0 /* 2^53 */

char vm_key_array;

/* --- to Lua ----------------------------------------------------------------------------------------------------- */

static void push_array_metatable(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_array) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_array);
}

void vm_json_mark_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    push_array_metatable(L);
    lua_setmetatable(L, index);
}

static void push_value(lua_State *L, const json_t *json, int depth)
{
    if (depth > VM_JSON_MAX_DEPTH)
        luaL_error(L, "the document is nested deeper than %d levels", VM_JSON_MAX_DEPTH);
    luaL_checkstack(L, 6, NULL);
    vm_charge(L, 1); /* also ends a call that is out of memory: each further allocation would collect all garbage */
    switch (json ? json_typeof(json) : JSON_NULL) {
    case JSON_OBJECT: {
        const char *key;
        json_t *value;
        lua_createtable(L, 0, (int)json_object_size(json));
        /* jansson's iteration takes a plain pointer but changes nothing. */
        void *at = json_object_iter((json_t *)(uintptr_t)json);
        for (; at; at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
            key = json_object_iter_key(at);
            value = json_object_iter_value(at);
            if (json_is_null(value))
                continue;
            lua_pushlstring(L, key, json_object_iter_key_len(at));
            push_value(L, value, depth + 1);
            lua_rawset(L, -3);
        }
        return;
    }
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(json), 0);
        vm_json_mark_array(L, -1);
        for (size_t i = 0; i < json_array_size(json); i++) {
            push_value(L, json_array_get(json, i), depth + 1);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        return;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(json), json_string_length(json));
        return;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(json));
        return;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(json));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(json));
        return;
    case JSON_NULL:
        lua_pushnil(L);
        return;
    }
}

void vm_json_push(lua_State *L, const json_t *json)
{
    push_value(L, json, 1);
}

static int push_protected(lua_State *L)
{
    const json_t *const *json = lua_touserdata(L, 1);
    vm_json_push(L, *json);
    return 1;
}

err_t vm_json_push_protected(struct vm *vm, const json_t *json, struct error *reterr)
{
    return vm_protect(vm, push_protected, &json, 1, reterr);
}

/* --- from Lua: only functions that cannot raise ------------------------------------------------------------------ */

struct place {
    const struct place *parent;
    const char *key; /* NULL: `number` */
    size_t key_length;
    lua_Integer number;
};

struct taker {
    lua_State *L;
    size_t values_left;
    size_t bytes_left;
    size_t max_bytes;
    struct error *reterr;
};

static void add_place(struct buf *out, const struct place *place)
{
    if (!place || !place->parent)
        return;
    add_place(out, place->parent);
    if (place->key) {
        if (out->len > 0)
            buf_add_char(out, '.');
        text_add_clean((struct bytes){ place->key, place->key_length < 60 ? place->key_length : 60 }, out);
    } else {
        buf_addf(out, "[%lld]", (long long)place->number);
    }
}

static err_t refuse(const struct taker *t, err_t code, const struct place *place, const char *reason)
{
    struct buf where;
    buf_init(&where, 400);
    add_place(&where, place);
    fail(t->reterr, code, "%s%s%s", where.len ? where.ptr : "", where.len ? ": " : "", reason);
    buf_done(&where);
    return code;
}

static err_t take_value(struct taker *t, int index, const struct place *place, int depth, json_t **ret_json);

/* Is the table an array, and how long? `*ret_length` is the highest index. */
static bool is_array(lua_State *L, int table, lua_Integer *ret_length)
{
    bool marked = false;
    if (lua_getmetatable(L, table)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_array);
        marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    lua_Integer count = 0;
    lua_Integer highest = 0;
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1) {
            lua_pop(L, 2);
            return false;
        }
        count++;
        if (lua_tointeger(L, -2) > highest)
            highest = lua_tointeger(L, -2);
    }
    *ret_length = highest;
    return marked || (count > 0 && count == highest);
}

static err_t take_array(struct taker *t, int table, lua_Integer length, const struct place *place, int depth,
                        json_t **ret_json)
{
    if (length > (lua_Integer)t->values_left)
        return refuse(t, ERR_TOO_BIG, place, "the list is too long");
    json_t *array = json_array();
    for (lua_Integer i = 1; i <= length; i++) {
        json_t *value = NULL;
        struct place here = { .parent = place, .number = i };
        lua_rawgeti(t->L, table, i);
        err_t err = take_value(t, lua_gettop(t->L), &here, depth + 1, &value);
        lua_pop(t->L, 1);
        if (err) {
            json_decref(array);
            return err;
        }
        json_array_append_new(array, value);
    }
    *ret_json = array;
    return ERR_NONE;
}

/* What the text is as it can be stored: `*ret_text` is the text itself, or in `space`, which the caller ends. */
static err_t take_text(struct taker *t, struct bytes text, const struct place *place, struct buf *space,
                       struct bytes *ret_text)
{
    if (text.len > t->bytes_left) {
        char problem[80];
        snprintf(problem, sizeof(problem), "there is too much text; at most %zu bytes in all", t->max_bytes);
        return refuse(t, ERR_TOO_BIG, place, problem);
    }
    t->bytes_left -= text.len;
    if (text.len == 0 || (text_is_utf8(text) && !memchr(text.ptr, '\0', text.len))) {
        *ret_text = text;
        return ERR_NONE;
    }
    buf_init_secret(space, text.len * 3 + 1); /* settings come this way, too */
    text_add_clean(text, space);
    *ret_text = buf_bytes(space);
    return ERR_NONE;
}

/* The members of one table, on their way into an object. */
struct member {
    struct bytes name; /* Lua's own text, which the table holds, or in `space` */
    struct buf space;
    json_t *value;
};

struct members {
    struct member *items;
    size_t count;
    size_t capacity;
};

static void members_done(struct members *members)
{
    for (size_t i = 0; i < members->count; i++) {
        buf_done(&members->items[i].space);
        json_decref(members->items[i].value);
    }
    free(members->items);
}

/* The key and the value are the two values on top of the stack; they stay. */
static err_t take_member(struct taker *t, struct members *members, const struct place *place, int depth)
{
    int top = lua_gettop(t->L);
    struct place here = { .parent = place };
    char number[32];
    bool is_text = lua_type(t->L, top - 1) == LUA_TSTRING;
    if (is_text) {
        here.key = lua_tolstring(t->L, top - 1, &here.key_length);
    } else if (lua_isinteger(t->L, top - 1)) {
        here.key = number;
        here.key_length = (size_t)snprintf(number, sizeof(number), "%lld", (long long)lua_tointeger(t->L, top - 1));
    } else {
        return refuse(t, ERR_INVALID, place, "keys must be texts");
    }
    struct member member = { .value = NULL };
    err_t err = take_value(t, top, &here, depth + 1, &member.value);
    if (err)
        return err;
    err = take_text(t, (struct bytes){ here.key, here.key_length }, &here, &member.space, &member.name);
    if (err) {
        json_decref(member.value);
        return err;
    }
    if (!is_text) {
        buf_init(&member.space, sizeof(number));
        buf_add_bytes(&member.space, member.name);
        member.name = buf_bytes(&member.space);
    }
    if (members->count == members->capacity) {
        members->capacity = members->capacity ? members->capacity * 2 : 16;
        members->items = memory_resize(members->items, members->capacity * sizeof(*members->items));
    }
    members->items[members->count++] = member;
    return ERR_NONE;
}

static int compare_names(const void *left, const void *right)
{
    const struct bytes a = ((const struct member *)left)->name, b = ((const struct member *)right)->name;
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Members come in Lua's order, which differs between runs; documents must not. */
static json_t *in_order(struct members *members)
{
    json_t *object = json_object();
    if (members->count > 1)
        qsort(members->items, members->count, sizeof(*members->items), compare_names);
    for (size_t i = 0; i < members->count; i++) {
        struct member *member = &members->items[i];
        json_put_literal(object, member->name.ptr, member->name.len, member->value);
        member->value = NULL;
    }
    return object;
}

static err_t take_table(struct taker *t, int index, const struct place *place, int depth, json_t **ret_json)
{
    lua_State *L = t->L;
    int top = lua_gettop(L);
    if (depth > VM_JSON_MAX_DEPTH)
        return refuse(t, ERR_INVALID, place, "it is nested too deep, or contains itself");
    if (!lua_checkstack(L, 12))
        return refuse(t, ERR_INVALID, place, "it is nested too deep");
    enum vm_content content = vm_try_push_content(L, index);
    if (content == VM_CONTENT_FAILED) {
        lua_settop(L, top);
        return refuse(t, ERR_INVALID, place, "it cannot be read");
    }
    int table = content == VM_CONTENT ? lua_gettop(L) : index;
    lua_Integer length = 0;
    err_t err = ERR_NONE;
    if (is_array(L, table, &length)) {
        err = take_array(t, table, length, place, depth, ret_json);
        lua_settop(L, top);
        return err;
    }
    struct members members = { .items = NULL };
    for (lua_pushnil(L); !err && lua_next(L, table); lua_settop(L, lua_gettop(L) - 1))
        err = take_member(t, &members, place, depth);
    if (!err)
        *ret_json = in_order(&members);
    members_done(&members);
    lua_settop(L, top);
    return err;
}

static err_t take_number(struct taker *t, int index, const struct place *place, json_t **ret_json)
{
    if (lua_isinteger(t->L, index)) {
        *ret_json = json_integer(lua_tointeger(t->L, index));
        return ERR_NONE;
    }
    double number = lua_tonumber(t->L, index);
    if (!isfinite(number))
        return refuse(t, ERR_INVALID, place, "the number is infinite or no number");
    bool whole = fabs(number) <= EXACT_FLOAT && floor(number) == number;
    *ret_json = whole ? json_integer((json_int_t)number) : json_real(number);
    return ERR_NONE;
}

static err_t take_value(struct taker *t, int index, const struct place *place, int depth, json_t **ret_json)
{
    if (t->values_left == 0)
        return refuse(t, ERR_TOO_BIG, place, "there are too many values");
    t->values_left--;
    switch (lua_type(t->L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
        *ret_json = json_null();
        return ERR_NONE;
    case LUA_TBOOLEAN:
        *ret_json = json_boolean(lua_toboolean(t->L, index));
        return ERR_NONE;
    case LUA_TNUMBER:
        return take_number(t, index, place, ret_json);
    case LUA_TSTRING: {
        struct buf space = { .ptr = NULL };
        struct bytes text;
        text.ptr = lua_tolstring(t->L, index, &text.len);
        err_t err = take_text(t, text, place, &space, &text);
        if (err)
            return err;
        *ret_json = json_stringn_nocheck(text.ptr, text.len);
        buf_done(&space);
        return ERR_NONE;
    }
    case LUA_TTABLE:
        return take_table(t, index, place, depth, ret_json);
    default: {
        char reason[64];
        snprintf(reason, sizeof(reason), "a %s cannot be stored", luaL_typename(t->L, index));
        return refuse(t, ERR_INVALID, place, reason);
    }
    }
}

err_t vm_json_take(lua_State *L, int index, const struct vm_json_limits *limits, json_t **ret_json,
                   struct error *reterr)
{
    struct taker t = { .L = L, .values_left = DEFAULT_MAX_VALUES, .bytes_left = DEFAULT_MAX_BYTES, .reterr = reterr };
    if (limits && limits->max_values)
        t.values_left = limits->max_values;
    if (limits && limits->max_bytes)
        t.bytes_left = limits->max_bytes;
    t.max_bytes = t.bytes_left;
    struct place root = { .parent = NULL };
    return take_value(&t, lua_absindex(L, index), &root, 1, ret_json);
}
