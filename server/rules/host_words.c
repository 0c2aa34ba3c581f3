/* What has() and is() of the prelude look for. */
#include "rules/rule_internal.h"

#include "rules/words.h"

static struct bytes text_at(lua_State *L, int index)
{
    struct bytes text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* Pushes the list at `index`, which may be a view, and returns true; false for a single word. */
static bool push_list(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) {
        return false;
    }
    if (!vm_push_frozen_content(L, index)) {
        lua_pushvalue(L, index);
    }
    return true;
}

/* Work is charged for in portions of this size: most words take next to none. */
#define UNITS_AT_ONCE 64

struct search {
    struct bytes text; /* NULL: there is none */
    bool whole;
    bool found; /* the word is at index 1 then */
    size_t count;
    uint64_t units; /* of work that is still to be charged for */
};

static void charge(lua_State *L, struct search *search, size_t units)
{
    search->units += units;
    if (search->units >= UNITS_AT_ONCE) {
        vm_charge(L, search->units);
        search->units = 0;
    }
}

/* Is the word in the text, or the whole of it? */
static bool is_found(lua_State *L, struct search *search, struct bytes word)
{
    struct bytes text = search->text;
    if (!search->whole) {
        /* The phrase may have to be compared at each word of the text. */
        size_t read = text.len < WORDS_MAX_TEXT ? text.len : WORDS_MAX_TEXT;
        charge(L, search, (text.len + word.len) / 2 + 10 + read * word.len / 64);
        return words_has(text, word);
    }
    /* Texts of different sizes by far are never the same. */
    bool skip = text.len > 8 * word.len + 64;
    charge(L, search, skip ? 1 : (text.len < word.len ? text.len : word.len) / 2 + 2);
    return !skip && words_is(text, word);
}

/* Takes the word on top of the stack; false when it is none. All are looked at, also behind the one that is found. */
static bool take_word(lua_State *L, struct search *search)
{
    struct bytes word;
    if (lua_type(L, -1) != LUA_TSTRING) {
        return false;
    }
    word.ptr = lua_tolstring(L, -1, &word.len);
    if (word.len == 0) {
        return false;
    }
    search->count++;
    if (!search->found && search->text.ptr != NULL && is_found(L, search, word)) {
        lua_pushvalue(L, -1);
        lua_replace(L, 1);
        search->found = true;
    }
    return true;
}

/* The same for the argument at `index`, a word, a list of words, or nil, which is not there. What is no word is left on
 * the stack. */
static bool take_argument(lua_State *L, int index, struct search *search)
{
    if (!push_list(L, index)) {
        lua_pushvalue(L, index);
        return lua_isnil(L, -1) || take_word(L, search);
    }
    for (lua_Integer n = 1; lua_rawgeti(L, -1, n) != LUA_TNIL; n++) {
        if (!take_word(L, search)) {
            return false;
        }
        lua_pop(L, 1);
    }
    return true;
}

/* find_word(whole, text, …): the first of the words, given singly or in lists, that occurs in the text, or that is the
 * whole text; or nil. When something is no word, also true and that value; true and nil when there is no word. */
int rule_host_find_word(lua_State *L)
{
    int last = lua_gettop(L);
    struct search search = { .whole = lua_toboolean(L, 1) != 0 };
    if (lua_isstring(L, 2)) {
        search.text = text_at(L, 2);
    }
    for (int i = 3; i <= last; i++) {
        if (!take_argument(L, i, &search)) {
            lua_pushnil(L);
            lua_pushboolean(L, 1);
            lua_pushvalue(L, -3);
            return 3;
        }
        lua_settop(L, last);
    }
    if (search.count == 0) {
        lua_pushnil(L);
        lua_pushboolean(L, 1);
        lua_pushnil(L);
        return 3;
    }
    if (!lua_isnil(L, 2)) {
        luaL_checkstring(L, 2);
    }
    vm_charge(L, search.units);
    lua_settop(L, 1);
    return search.found ? 1 : 0;
}
