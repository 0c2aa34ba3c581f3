/* A view is a table with two hidden fields: the number of its document, until everything in it was read, and what was
 * read and must stay the same thing (tables), or was added. Numbers are not used twice, so that a view that outlived
 * its document is noticed.
 */
#include "io/vm_document.h"

#include "base/memory.h"
#include "io/vm_internal.h"
#include "io/vm_json.h"

#include <stdlib.h>

static char key_document; /* in a view: the number of the document; nil: all of it is in its content */
static char key_plain_kind;
static char key_reader; /* in a kind */

static lua_Integer keep_document(struct vm *vm, const json_t *json)
{
    if (vm->document_count == vm->document_capacity) {
        vm->document_capacity = vm->document_capacity ? vm->document_capacity * 2 : 64;
        vm->documents = memory_resize(vm->documents, vm->document_capacity * sizeof(*vm->documents));
    }
    vm->documents[vm->document_count] = json;
    return vm->first_document + (lua_Integer)vm->document_count++;
}

/* NULL when the view needs none. */
static const json_t *document_of(lua_State *L, int view)
{
    if (lua_rawgetp(L, view, &key_document) == LUA_TNIL) {
        lua_pop(L, 1);
        return NULL;
    }
    const struct vm *vm = vm_of(L);
    lua_Integer place = lua_tointeger(L, -1) - vm->first_document;
    lua_pop(L, 1);
    if (place < 0 || place >= (lua_Integer)vm->document_count)
        luaL_error(L, "this table belongs to an event that is over");
    return vm->documents[place];
}

void vm_documents_end(struct vm *vm)
{
    vm->first_document += (lua_Integer)vm->document_count;
    vm->document_count = 0;
}

/* Pushes the content of the view, an empty table when there is none so far. */
static void push_content(lua_State *L, int view, const json_t *document)
{
    if (lua_rawgetp(L, view, &vm_key_content) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    if (json_is_array(document)) {
        lua_createtable(L, (int)json_array_size(document), 0);
        vm_json_mark_array(L, -1);
    } else {
        lua_createtable(L, 0, 0);
    }
    lua_pushvalue(L, -1);
    lua_rawsetp(L, view, &vm_key_content);
}

/* NULL behind the last one. */
static const json_t *layer_of(lua_State *L, const struct vm_document_reader *reader, size_t number)
{
    return reader && reader->layer ? reader->layer(L, number) : NULL;
}

/* What the document has not, from the first layer that has it; NULL when there is none. */
static const json_t *find_in_layers(lua_State *L, const struct vm_document_reader *reader, const char *key,
                                    size_t length)
{
    const json_t *layer, *value;
    for (size_t i = 0; (layer = layer_of(L, reader, i)) != NULL; i++) {
        value = json_object_getn(layer, key, length);
        if (value && !json_is_null(value))
            return value;
    }
    return NULL;
}

static void push_field(lua_State *L, const char *key, const json_t *value, const struct vm_document_reader *reader)
{
    if (reader && key && json_is_string(value))
        reader->push_text(L, key, value);
    else
        vm_document_push(L, value, 0);
}

/* __index of a view; upvalues: methods, missing, reader. */
static int read_view(lua_State *L)
{
    if (lua_rawgetp(L, 1, &vm_key_content) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, -2) != LUA_TNIL)
            return 1;
    }
    lua_settop(L, 2);
    const json_t *document = document_of(L, 1), *value = NULL;
    const char *key = NULL;
    int kind = lua_type(L, 2);
    if (kind == LUA_TSTRING && json_is_object(document)) {
        size_t length;
        key = lua_tolstring(L, 2, &length);
        value = json_object_getn(document, key, length);
    } else if (kind == LUA_TNUMBER && json_is_array(document)) {
        int whole = 0;
        lua_Integer place = lua_tointegerx(L, 2, &whole);
        value = whole && place >= 1 ? json_array_get(document, (size_t)place - 1) : NULL;
    }
    const struct vm_document_reader *reader = lua_touserdata(L, lua_upvalueindex(3));
    if (key && (!value || json_is_null(value))) {
        value = find_in_layers(L, reader, key, lua_rawlen(L, 2));
        reader = NULL;
    }
    if (value && !json_is_null(value)) {
        push_field(L, key, value, reader);
        if (lua_type(L, -1) == LUA_TTABLE) {
            push_content(L, 1, document);
            lua_pushvalue(L, 2);
            lua_pushvalue(L, 3);
            lua_rawset(L, -3);
            lua_settop(L, 3);
        }
        return 1;
    }
    if (lua_type(L, lua_upvalueindex(1)) == LUA_TTABLE) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
            return 1;
    }
    if (lua_type(L, lua_upvalueindex(2)) != LUA_TFUNCTION)
        return 0;
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    return 1;
}

/* Puts the object's members that are not there yet into the content at 2. */
static void fill_members(lua_State *L, const json_t *from, const struct vm_document_reader *reader)
{
    /* jansson's iteration takes a plain pointer but changes nothing. */
    json_t *object = (json_t *)(uintptr_t)from;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const char *key = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        lua_pushlstring(L, key, json_object_iter_key_len(at));
        lua_pushvalue(L, 3);
        if (!json_is_null(value) && lua_rawget(L, 2) == LUA_TNIL) {
            lua_settop(L, 3);
            push_field(L, key, value, reader);
            lua_rawset(L, 2);
        }
        lua_settop(L, 2);
    }
}

int vm_document_fill(lua_State *L)
{
    const json_t *document = document_of(L, 1);
    const struct vm_document_reader *reader = NULL;
    lua_settop(L, 1);
    if (lua_getmetatable(L, 1)) {
        lua_rawgetp(L, -1, &key_reader);
        reader = lua_touserdata(L, -1);
        lua_settop(L, 1);
    }
    push_content(L, 1, document);
    size_t size = json_array_size(document);
    for (size_t i = 0; i < size; i++) {
        const json_t *value = json_array_get(document, i);
        if (json_is_null(value) || lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TNIL) {
            lua_settop(L, 2);
            continue;
        }
        lua_settop(L, 2);
        push_field(L, NULL, value, NULL);
        lua_rawseti(L, 2, (lua_Integer)i + 1);
    }
    fill_members(L, document, reader);
    const json_t *layer;
    for (size_t i = 0; (layer = layer_of(L, reader, i)) != NULL; i++)
        fill_members(L, layer, NULL);
    lua_pushnil(L);
    lua_rawsetp(L, 1, &key_document);
    return 1;
}

bool vm_document_is_unread(lua_State *L, int view)
{
    bool unread = lua_rawgetp(L, view, &key_document) != LUA_TNIL;
    lua_pop(L, 1);
    return unread;
}

void vm_document_push_kind(lua_State *L, int methods, int missing, int refuse, const struct vm_document_reader *reader)
{
    methods = lua_absindex(L, methods);
    missing = lua_absindex(L, missing);
    refuse = lua_absindex(L, refuse);
    lua_createtable(L, 0, 8);
    lua_pushvalue(L, methods);
    lua_pushvalue(L, missing);
    lua_pushlightuserdata(L, (void *)(uintptr_t)reader);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, -5, &key_reader);
    lua_pushcclosure(L, read_view, 3);
    lua_setfield(L, -2, "__index");
    if (lua_type(L, refuse) == LUA_TFUNCTION)
        lua_pushvalue(L, refuse);
    else
        lua_pushcfunction(L, vm_refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushcfunction(L, vm_view_length);
    lua_setfield(L, -2, "__len");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushboolean(L, 1);
    lua_rawsetp(L, -2, &vm_key_content);
}

static void push_plain_kind(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key_plain_kind) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_pushnil(L);
    vm_document_push_kind(L, -1, -1, -1, NULL);
    lua_remove(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_plain_kind);
}

void vm_document_push(lua_State *L, const json_t *json, int kind)
{
    if (!json_is_object(json) && !json_is_array(json)) {
        vm_json_push(L, json);
        return;
    }
    luaL_checkstack(L, 6, NULL);
    vm_charge(L, 1); /* also ends a call that is out of memory: each further allocation would collect all garbage */
    kind = kind ? lua_absindex(L, kind) : 0;
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, keep_document(vm_of(L), json));
    lua_rawsetp(L, -2, &key_document);
    if (kind)
        lua_pushvalue(L, kind);
    else
        push_plain_kind(L);
    lua_setmetatable(L, -2);
}

void vm_document_set(lua_State *L, int view, const char *key)
{
    view = lua_absindex(L, view);
    push_content(L, view, document_of(L, view));
    lua_pushstring(L, key);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 2);
}
