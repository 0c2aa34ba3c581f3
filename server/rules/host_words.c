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

static bool is_word(lua_State *L, int index)
{
    return lua_type(L, index) == LUA_TSTRING && lua_rawlen(L, index) > 0;
}

/* Leaves the first of the arguments from `first` on, words or lists of words, that is none on the stack. What is nil is
 * not there. `*ret_count`: how many words there are. */
static bool find_wrong_word(lua_State *L, int first, int last, size_t *ret_count)
{
    *ret_count = 0;
    for (int i = first; i <= last; i++) {
        if (!push_list(L, i)) {
            lua_pushvalue(L, i);
            if (!lua_isnil(L, -1) && !is_word(L, -1)) {
                return true;
            }
            *ret_count += !lua_isnil(L, -1);
        } else {
            for (lua_Integer n = 1; lua_rawgeti(L, -1, n) != LUA_TNIL; n++) {
                if (!is_word(L, -1)) {
                    return true;
                }
                lua_pop(L, 1);
                ++*ret_count;
            }
        }
        lua_settop(L, last);
    }
    return false;
}

/* Is the word on top of the stack in the text, or the whole of it? */
static bool is_found(lua_State *L, struct bytes text, bool whole)
{
    struct bytes word = text_at(L, -1);
    if (!whole) {
        /* The phrase may have to be compared at each word of the text. */
        size_t read = text.len < WORDS_MAX_TEXT ? text.len : WORDS_MAX_TEXT;
        vm_charge(L, (text.len + word.len) / 2 + 10 + read * word.len / 64);
        return words_has(text, word);
    }
    /* Texts of different sizes by far are never the same. */
    bool skip = text.len > 8 * word.len + 64;
    vm_charge(L, skip ? 1 : (text.len < word.len ? text.len : word.len) / 2 + 2);
    return !skip && words_is(text, word);
}

/* find_word(whole, text, …): the first of the words, given singly or in lists, that occurs in the text, or that is the
 * whole text; or nil. When something is no word, also true and that value; true and nil when there is no word. */
int rule_host_find_word(lua_State *L)
{
    bool whole = lua_toboolean(L, 1) != 0;
    int last = lua_gettop(L);
    size_t count;
    bool is_wrong = find_wrong_word(L, 3, last, &count);
    if (is_wrong || count == 0) {
        lua_pushnil(L);
        lua_pushboolean(L, 1);
        lua_pushvalue(L, is_wrong ? -3 : -2); /* the value, or nil */
        return 3;
    }
    if (lua_isnil(L, 2)) {
        return 0;
    }
    struct bytes text = text_at(L, 2);
    for (int i = 3; i <= last; i++) {
        if (!push_list(L, i)) {
            lua_pushvalue(L, i);
            if (!lua_isnil(L, -1) && is_found(L, text, whole)) {
                return 1;
            }
        } else {
            for (lua_Integer n = 1; lua_rawgeti(L, -1, n) != LUA_TNIL; n++) {
                if (is_found(L, text, whole)) {
                    return 1;
                }
                lua_pop(L, 1);
            }
        }
        lua_settop(L, last);
    }
    return 0;
}
