/* Read-only views of tables, and functions that cannot keep state between calls.
 *
 * A view is an empty table whose metatable reads from the table behind it and refuses writes. Freezing replaces nested
 * tables in place by their views, so there is one view for each table, and cycles end. Everything walks by work lists:
 * nesting that a script made must not become depth of the C stack.
 *
 * Views of documents (vm_document.c) have one metatable for all of a kind, and hold the table themselves.
 */
#include "base/memory.h"
#include "io/vm.h"
#include "io/vm_internal.h"

#include <stdio.h>
#include <string.h>

char vm_key_views;
char vm_key_content;
char vm_key_fill;
char vm_key_sealed;

/* Calls what vm_fill_later() was given, once. False: it raised, and its error is on top of the stack. */
static bool fill(lua_State *L, int metatable)
{
    metatable = lua_absindex(L, metatable);
    if (lua_rawgetp(L, metatable, &vm_key_fill) != LUA_TFUNCTION) {
        lua_pop(L, 1);
        return true;
    }
    lua_pushvalue(L, -1);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        lua_remove(L, -2);
        return false;
    }
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_rawsetp(L, metatable, &vm_key_fill); /* the key is there: nothing is allocated */
    return true;
}

/* The table is in the view itself, as soon as it was read as a whole. */
static enum vm_content push_document_content(lua_State *L, int view)
{
    if (!vm_document_is_unread(L, view)) {
        lua_rawgetp(L, view, &vm_key_content);
        return VM_CONTENT;
    }
    lua_pushcfunction(L, vm_document_fill);
    lua_pushvalue(L, view);
    return lua_pcall(L, 1, 1, 0) == LUA_OK ? VM_CONTENT : VM_CONTENT_FAILED;
}

enum vm_content vm_try_push_content(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
        return VM_NO_VIEW;
    int kind = lua_rawgetp(L, -1, &vm_key_content);
    if (kind == LUA_TBOOLEAN) {
        lua_pop(L, 2);
        return push_document_content(L, index);
    }
    if (kind != LUA_TTABLE) {
        lua_pop(L, 2);
        return VM_NO_VIEW;
    }
    bool filled = fill(L, -2);
    if (!filled)
        lua_remove(L, -2); /* the error takes the place of the content */
    lua_remove(L, -2);
    return filled ? VM_CONTENT : VM_CONTENT_FAILED;
}

bool vm_push_frozen_content(lua_State *L, int index)
{
    enum vm_content content = vm_try_push_content(L, index);
    if (content == VM_CONTENT_FAILED)
        lua_error(L);
    return content == VM_CONTENT;
}

void vm_fill_later(lua_State *L)
{
    if (lua_getmetatable(L, -2)) {
        lua_insert(L, -2);
        lua_rawsetp(L, -2, &vm_key_fill);
    }
    lua_pop(L, 1);
}

static bool is_document_view(lua_State *L, int index)
{
    bool is_one = false;
    if (lua_getmetatable(L, index)) {
        is_one = lua_rawgetp(L, -1, &vm_key_content) == LUA_TBOOLEAN;
        lua_pop(L, 2);
    }
    return is_one;
}

int vm_refuse_write(lua_State *L)
{
    const char *key = vm_push_text_of(L, 2, NULL);
    return luaL_error(L,
                      "'%s' cannot be set: this table is shared, and read-only\n"
                      "HINT: make a new table inside the function",
                      key);
}

int vm_view_length(lua_State *L)
{
    if (!vm_push_frozen_content(L, 1))
        return luaL_error(L, "not a view");
    lua_pushinteger(L, luaL_len(L, -1));
    return 1;
}

/* Pushes the view of the table at `content`; `*ret_new` says that it has just been made. */
static void push_view(lua_State *L, int content, bool *ret_new)
{
    content = lua_absindex(L, content);
    *ret_new = false;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_views) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 0);
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_views);
    }
    lua_pushvalue(L, content);
    if (lua_rawget(L, -2) == LUA_TTABLE) {
        lua_remove(L, -2);
        return;
    }
    lua_pop(L, 1);
    *ret_new = true;
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 5);
    lua_pushvalue(L, content);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, vm_refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, vm_view_length);
    lua_setfield(L, -2, "__len");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, content);
    lua_rawsetp(L, -2, &vm_key_content);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, content);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
    lua_remove(L, -2);
}

/* A walk over tables and functions. Stack slots: `todo` is a list, `seen` a set. */
struct walk {
    lua_State *L;
    int todo;
    int seen;
    lua_Integer count;
    int group; /* 0: only freeze */
};

/* Pops the value. */
static void walk_later(struct walk *w)
{
    lua_State *L = w->L;
    lua_pushvalue(L, -1);
    bool known = lua_rawget(L, w->seen) != LUA_TNIL;
    lua_pop(L, 1);
    if (known) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, w->seen);
    lua_rawseti(L, w->todo, ++w->count);
}

/* Replaces the value on top by what scripts may see of it, and notes what is left to do. */
static void walk_value(struct walk *w)
{
    lua_State *L = w->L;
    int type = lua_type(L, -1);
    if (type == LUA_TFUNCTION) {
        if (w->group) {
            lua_pushvalue(L, -1);
            walk_later(w);
        }
    } else if (type == LUA_TTABLE) {
        bool is_new = false;
        if (vm_push_frozen_content(L, -1)) {
            if (w->group) /* functions in it may have to be sealed */
                walk_later(w);
            else
                lua_pop(L, 1);
            return;
        }
        push_view(L, -1, &is_new);
        lua_insert(L, -2);
        walk_later(w);
    }
}

static void walk_table(struct walk *w, int table)
{
    lua_State *L = w->L;
    for (lua_pushnil(L); lua_next(L, table);) {
        int type = lua_type(L, -1);
        if (type == LUA_TTABLE || type == LUA_TFUNCTION) {
            walk_value(w);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, table); /* an existing key: allowed during the traversal */
        } else {
            lua_pop(L, 1);
        }
    }
}

static void remember_variable(struct walk *w, int function, int index)
{
    lua_State *L = w->L;
    struct vm *vm = vm_of(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_sealed);
    int position = (int)lua_rawlen(L, -1) + 1;
    lua_pushvalue(L, function);
    lua_rawseti(L, -2, position);
    lua_getupvalue(L, function, index);
    if (lua_isnil(L, -1)) { /* a list has no holes; the list itself stands for nil */
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
    }
    lua_rawseti(L, -2, position + 1);
    lua_pop(L, 1);
    if (vm->sealed_count == vm->sealed_capacity) {
        vm->sealed_capacity = vm->sealed_capacity ? vm->sealed_capacity * 2 : 32;
        vm->sealed = memory_resize(vm->sealed, vm->sealed_capacity * sizeof(*vm->sealed));
    }
    vm->sealed[vm->sealed_count++] = (struct vm_sealed_variable){ w->group, position, index };
}

static void walk_function(struct walk *w, int function)
{
    lua_State *L = w->L;
    if (lua_iscfunction(L, function))
        return;
    for (int i = 1;; i++) {
        const char *name = lua_getupvalue(L, function, i);
        if (!name)
            return;
        if (strcmp(name, "_ENV") == 0) {
            lua_pop(L, 1);
            continue;
        }
        walk_value(w);
        lua_setupvalue(L, function, i);
        /* A variable that several functions share is remembered once. */
        lua_pushlightuserdata(L, lua_upvalueid(L, function, i));
        bool known = lua_rawget(L, w->seen) != LUA_TNIL;
        lua_pop(L, 1);
        if (known)
            continue;
        lua_pushboolean(L, 1);
        lua_rawsetp(L, w->seen, lua_upvalueid(L, function, i));
        remember_variable(w, function, i);
    }
}

/* Leaves the value on top replaced by its view, and everything it can reach done. */
static void walk_all(lua_State *L, int group)
{
    luaL_checkstack(L, 16, NULL);
    int value = lua_gettop(L);
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 0);
    struct walk w = { .L = L, .todo = value + 1, .seen = value + 2, .group = group };
    lua_pushvalue(L, value);
    walk_value(&w);
    lua_replace(L, value);
    while (w.count > 0) {
        lua_rawgeti(L, w.todo, w.count);
        lua_pushnil(L);
        lua_rawseti(L, w.todo, w.count--);
        int item = lua_gettop(L);
        if (lua_type(L, item) == LUA_TTABLE)
            walk_table(&w, item);
        else
            walk_function(&w, item);
        lua_settop(L, item - 1);
    }
    lua_settop(L, value);
}

/* Most tables are rows: nothing in them is left to walk to. */
static bool holds_open_tables(lua_State *L, int table)
{
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -1) == LUA_TTABLE && !is_document_view(L, -1)) {
            lua_pop(L, 2);
            return true;
        }
    }
    return false;
}

void vm_freeze(lua_State *L)
{
    if (lua_type(L, -1) != LUA_TTABLE)
        return;
    luaL_checkstack(L, 16, NULL);
    int value = lua_gettop(L);
    if (vm_push_frozen_content(L, value) || holds_open_tables(L, value)) {
        lua_settop(L, value);
        walk_all(L, 0);
        return;
    }
    bool is_new = false;
    push_view(L, value, &is_new);
    lua_replace(L, value);
}

int vm_seal(lua_State *L)
{
    struct vm *vm = vm_of(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_sealed) != LUA_TTABLE) {
        lua_createtable(L, 0, 0);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &vm_key_sealed);
    }
    lua_pop(L, 1);
    int group = ++vm->sealed_groups;
    walk_all(L, group);
    return group;
}

/* 1 and 1.0 print differently; NaN differs from itself. */
static bool is_same(lua_State *L, int a, int b)
{
    if (lua_rawequal(L, a, b))
        return lua_isinteger(L, a) == lua_isinteger(L, b);
    return !lua_rawequal(L, a, a) && !lua_rawequal(L, b, b);
}

static bool restore_group(struct vm *vm, int sealed, char *ret_name, size_t name_size)
{
    lua_State *L = vm->lua;
    bool changed = false;
    size_t first = 0; /* groups are in ascending order */
    for (size_t high = vm->sealed_count; first < high;) {
        size_t middle = first + (high - first) / 2;
        if (vm->sealed[middle].group < sealed)
            first = middle + 1;
        else
            high = middle;
    }
    if (first == vm->sealed_count || vm->sealed[first].group != sealed)
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &vm_key_sealed);
    int list = lua_gettop(L);
    for (size_t i = first; i < vm->sealed_count && vm->sealed[i].group == sealed; i++) {
        const struct vm_sealed_variable *variable = &vm->sealed[i];
        lua_rawgeti(L, list, variable->position);
        lua_rawgeti(L, list, variable->position + 1);
        if (lua_rawequal(L, -1, list)) {
            lua_pop(L, 1);
            lua_pushnil(L);
        }
        const char *name = lua_getupvalue(L, -2, variable->index);
        if (is_same(L, -1, -2)) {
            lua_pop(L, 3);
            continue;
        }
        lua_pop(L, 1);
        lua_setupvalue(L, -2, variable->index);
        lua_pop(L, 1);
        if (!changed && ret_name && name_size > 0)
            snprintf(ret_name, name_size, "%s", name);
        changed = true;
    }
    lua_settop(L, list - 1);
    return changed;
}

bool vm_restore(struct vm *vm, int sealed, char *ret_name, size_t name_size)
{
    bool changed = restore_group(vm, sealed, ret_name, name_size);
    /* A function may have called require() itself, so any library can be concerned. */
    for (size_t i = 0; i < vm->library_group_count; i++)
        if (restore_group(vm, vm->library_groups[i], changed ? NULL : ret_name, name_size))
            changed = true;
    return changed;
}
