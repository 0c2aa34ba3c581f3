/* What rules see of an event and its facts: views of the documents in C, of which they read what they ask for. */
#include <string.h>

#include "base/macros.h"
#include "io/vm_document.h"
#include "io/vm_json.h"
#include "rules/rule_internal.h"

static struct rule_set *set_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* --- times -------------------------------------------------------------------------------------------------------- */

static bool is_time(const char *key)
{
    static const char *const others[] = {
        "next_attempt", "cancel_at", "current_period_start", "current_period_end", "trial_end", "snoozed_until", "up_to"
    };
    size_t length = strlen(key);
    if (length >= 3 && memcmp(key + length - 3, "_at", 3) == 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (strcmp(key, others[i]) == 0) {
            return true;
        }
    }
    return false;
}

void rule_host_push_seconds(lua_State *L, msec_t at)
{
    if (at % 1000 == 0) {
        lua_pushinteger(L, at / 1000);
    } else {
        lua_pushnumber(L, (lua_Number)at / 1000.0);
    }
}

/* The ISO texts of time fields are numbers for rules. */
static void push_text(lua_State *L, const char *key, const json_t *text)
{
    struct bytes value = { json_string_value(text), json_string_length(text) };
    msec_t at;
    if (is_time(key) && clock_parse_iso(value, &at)) {
        rule_host_push_seconds(L, at);
    } else {
        lua_pushlstring(L, value.ptr, value.len);
    }
}

static const struct vm_document_reader row_reader = { push_text, NULL };

/* with_times(row): the same for a table, in place. */
static int with_times(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_settop(L, 2)) {
        msec_t at;
        if (lua_type(L, 2) == LUA_TSTRING && lua_type(L, 3) == LUA_TSTRING && is_time(lua_tostring(L, 2)) &&
            clock_parse_iso(bytes_of(lua_tostring(L, 3)), &at)) {
            lua_pushvalue(L, 2);
            rule_host_push_seconds(L, at);
            lua_rawset(L, 1); /* an existing key: allowed during the traversal */
        }
    }
    return 0;
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

/* What the provider says now of the event's contact, and then what its record always has for rules. */
static const json_t *layer_of_contact(lua_State *L, size_t number)
{
    const struct rule_set *set = vm_host_arg(L);
    const json_t *given = json_object_at(set->shown_event, "contact");
    if (number == 0 && given != NULL) {
        return given;
    }
    return number == (given != NULL) ? set->bare_contact : NULL;
}

static const json_t *layer_of_conversation(lua_State *L, size_t number)
{
    const struct rule_set *set = vm_host_arg(L);
    return number == 0 ? set->bare_conversation : NULL;
}

static const struct vm_document_reader contact_reader = { push_text, layer_of_contact };
static const struct vm_document_reader conversation_reader = { push_text, layer_of_conversation };

/* document_kind(methods, missing, refuse, part): for the functions below; a row, whose times are numbers. `part`:
 * "contact" or "conversation" when it is the record of one. */
static int document_kind(lua_State *L)
{
    const char *part = luaL_optstring(L, 4, "");
    const struct vm_document_reader *reader = strcmp(part, "contact") == 0        ? &contact_reader
                                              : strcmp(part, "conversation") == 0 ? &conversation_reader
                                                                                  : &row_reader;
    lua_settop(L, 3);
    vm_document_push_kind(L, 1, 2, 3, reader);
    return 1;
}

static int push_member(lua_State *L, const json_t *object)
{
    const char *key = luaL_checkstring(L, 1);
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value)) {
        push_text(L, key, value);
    } else {
        vm_document_push(L, value, lua_istable(L, 2) ? 2 : 0);
    }
    return 1;
}

/* event_field(name, kind), fact(name, kind): what the event and the facts have there, nil when there is nothing. An
 * object or array is a view, a plain one without a kind. */
static int event_field(lua_State *L)
{
    return push_member(L, set_of(L)->shown_event);
}

static int fact(lua_State *L)
{
    return push_member(L, set_of(L)->shown_facts);
}

static bool has(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value != NULL && !json_is_null(value);
}

/* contact(kind): the contact's record, and what the provider says now that the record does not have. Nil when there is
 * neither. */
static int contact(lua_State *L)
{
    const struct rule_set *set = set_of(L);
    const json_t *row = json_object_at(set->shown_facts, "contact"),
                 *given = json_object_at(set->shown_event, "contact");
    lua_settop(L, 1);
    if (row == NULL && json_array_size(json_object_get(given, "identities")) == 0) {
        return 0;
    }
    vm_document_push(L, row != NULL ? row : set->none, 1);
    return 1;
}

static void push_conversation(lua_State *L, const json_t *row, int kind)
{
    vm_document_push(L, row, kind);
    int view = lua_gettop(L);
    const char *identity = json_str(row, "identity");
    size_t length = 0;
    if (identity != NULL && !has(row, "channel")) {
        while ((identity[length] >= 'a' && identity[length] <= 'z') ||
               (identity[length] >= 'A' && identity[length] <= 'Z')) {
            length++;
        }
    }
    if (length > 0 && identity[length] == ':') {
        lua_pushlstring(L, identity, length);
        vm_document_set(L, view, "channel");
    }
}

/* conversation(kind): that of the event, or nil. */
static int conversation(lua_State *L)
{
    const struct rule_set *set = set_of(L);
    const json_t *row = json_object_at(set->shown_facts, "conversation");
    lua_settop(L, 1);
    if (row == NULL) {
        return 0;
    }
    push_conversation(L, row, 1);
    return 1;
}

/* conversations(kind): a list of the contact's open and latest ones. */
static int conversations(lua_State *L)
{
    const struct rule_set *set = set_of(L);
    const json_t *rows = json_array_at(set->shown_facts, "conversations");
    lua_settop(L, 1);
    lua_createtable(L, (int)json_array_size(rows), 0);
    if (rows != NULL) {
        vm_json_mark_array(L, 2);
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        push_conversation(L, json_array_get(rows, i), 1);
        lua_rawseti(L, 2, (lua_Integer)i + 1);
    }
    return 1;
}

/* --- the event ---------------------------------------------------------------------------------------------------- */

/* The upvalues of the event's functions, after the set. */
enum { FIELDS = 2, MADE, METHODS, MISSING };

/* Pushes one field as rules see it; nil when the event does not have it. `key` is an index. */
static void push_event_field(lua_State *L, int key)
{
    lua_pushvalue(L, key);
    int how = lua_rawget(L, lua_upvalueindex(MADE));
    if (how == LUA_TFUNCTION) {
        lua_call(L, 0, 1);
        return;
    }
    const char *name = lua_tostring(L, key);
    const json_t *value = json_object_get(set_of(L)->shown_event, name);
    if (json_is_string(value)) {
        push_text(L, name, value);
    } else {
        vm_document_push(L, value, how == LUA_TTABLE ? lua_gettop(L) : 0);
    }
    lua_remove(L, -2);
}

/* Not listed among the event's fields, and not kept there. */
static bool is_beside(lua_State *L, int key)
{
    return strcmp(lua_tostring(L, key), "conversations") == 0;
}

/* __index of the event. */
static int read_event(lua_State *L)
{
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(FIELDS)) != LUA_TNIL) {
        return 1;
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(METHODS)) != LUA_TNIL) {
        return 1;
    }
    if (lua_type(L, 2) == LUA_TSTRING) {
        push_event_field(L, 2);
        if (lua_type(L, -1) == LUA_TTABLE && !is_beside(L, 2)) {
            lua_pushvalue(L, 2);
            lua_pushvalue(L, -2);
            lua_rawset(L, lua_upvalueindex(FIELDS));
        }
        if (!lua_isnil(L, -1)) {
            return 1;
        }
    }
    lua_pushvalue(L, lua_upvalueindex(MISSING));
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
    return 1;
}

/* Reads the field on top of the stack, which is popped, into the table of fields. */
static void fill_field(lua_State *L)
{
    int key = lua_gettop(L);
    lua_pushvalue(L, key);
    if (!is_beside(L, key) && lua_rawget(L, lua_upvalueindex(FIELDS)) == LUA_TNIL) {
        lua_pushvalue(L, key);
        push_event_field(L, key);
        lua_rawset(L, lua_upvalueindex(FIELDS));
    }
    lua_settop(L, key - 1);
}

/* Reads all there is, for those who go through the event as a whole. */
static int fill_event(lua_State *L)
{
    json_t *event = set_of(L)->shown_event;
    for (void *at = json_object_iter(event); at != NULL; at = json_object_iter_next(event, at)) {
        lua_pushlstring(L, json_object_iter_key(at), json_object_iter_key_len(at));
        fill_field(L);
    }
    for (lua_pushnil(L); lua_next(L, lua_upvalueindex(MADE)) != 0;) {
        if (lua_isfunction(L, -1)) {
            lua_pushvalue(L, -2);
            fill_field(L);
        }
        lua_pop(L, 1);
    }
    return 0;
}

/* Another event is shown. Upvalues: the view, the table of fields, fill_event(). */
static int renew_event(lua_State *L)
{
    const int fields = lua_upvalueindex(2);
    for (lua_pushnil(L); lua_next(L, fields) != 0;) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, fields); /* to nil: allowed during the traversal */
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, lua_upvalueindex(3));
    vm_fill_later(L);
    return 0;
}

/* event(made, methods, missing, refuse): the view of whatever event is shown, and the function to call when that is
 * another one. `made` has a function for each field that is not simply the event's, and the kind of each that is a row.
 */
static int new_event(lua_State *L)
{
    enum { REFUSE = 4, CONTENT, VIEW, META, READ, FILL };
    lua_settop(L, REFUSE);
    lua_createtable(L, 0, 16);
    lua_pushvalue(L, CONTENT);
    vm_freeze(L);
    lua_getmetatable(L, VIEW);
    const lua_CFunction functions[] = { read_event, fill_event };
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        lua_pushvalue(L, lua_upvalueindex(1));
        lua_pushvalue(L, CONTENT);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_pushvalue(L, 3);
        lua_pushcclosure(L, functions[i], MISSING);
    }
    lua_pushvalue(L, READ);
    lua_setfield(L, META, "__index");
    lua_pushvalue(L, REFUSE);
    lua_setfield(L, META, "__newindex");
    lua_pushvalue(L, VIEW);
    lua_pushvalue(L, VIEW);
    lua_pushvalue(L, CONTENT);
    lua_pushvalue(L, FILL);
    lua_pushcclosure(L, renew_event, 3);
    return 2;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

const luaL_Reg rule_host_facts[] = {
    { "with_times", with_times },
    { "document_kind", document_kind },
    { "event_field", event_field },
    { "fact", fact },
    { "contact", contact },
    { "conversation", conversation },
    { "conversations", conversations },
    { "event", new_event },
    { NULL, NULL },
};
