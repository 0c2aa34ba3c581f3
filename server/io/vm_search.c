/* find, match, gmatch and gsub on bounded texts with bounded patterns (io/vm_pattern.h). */
#include "io/vm.h"
#include "io/vm_internal.h"
#include "io/vm_pattern.h"

#include <string.h>

#define MAX_SUBJECT_BYTES ((size_t)64 * 1024) /* of a search with a pattern */
#define MAX_SEARCH_STEPS 1000000              /* of one call: a few milliseconds */
#define STEPS_PER_UNIT 4
#define BYTES_PER_UNIT 32

static void check_pattern(lua_State *L, int index, bool caret, struct pattern *ret_pattern)
{
    const char *problem = pattern_compile(vm_check_text(L, index), caret, ret_pattern);
    if (problem)
        luaL_error(L, "%s", problem);
}

static void check_subject(lua_State *L, struct bytes subject)
{
    if (subject.len > MAX_SUBJECT_BYTES)
        luaL_error(L,
                   "a text of more than %d KiB cannot be searched with a pattern\n"
                   "HINT: find(text, what, 1, true) searches without one",
                   (int)(MAX_SUBJECT_BYTES / 1024));
}

static bool search(lua_State *L, const struct pattern *pattern, struct bytes subject, size_t from, bool only_here,
                   uint64_t *steps, struct pattern_match *match)
{
    uint64_t before = *steps;
    enum pattern_verdict verdict = pattern_search(pattern, subject, from, only_here, steps, match);
    vm_charge(L, (before - *steps) / STEPS_PER_UNIT + 1);
    if (verdict == PATTERN_TOO_LONG)
        luaL_error(L, "the pattern takes too long on this text\nHINT: use fewer of * + - in it, and anchor it with ^");
    return verdict == PATTERN_FOUND;
}

static void push_capture(lua_State *L, struct bytes subject, const struct pattern_capture *capture)
{
    if (capture->is_position)
        lua_pushinteger(L, (lua_Integer)capture->start + 1);
    else
        lua_pushlstring(L, capture->length ? subject.ptr + capture->start : "", capture->length);
}

/* Pushes the captures, or the whole match when there are none and `whole` is set. */
static int push_captures(lua_State *L, const struct pattern *pattern, struct bytes subject,
                         const struct pattern_match *match, bool whole)
{
    luaL_checkstack(L, PATTERN_MAX_CAPTURES, NULL);
    if (pattern->capture_count == 0 && whole) {
        struct pattern_capture all = { .start = match->start, .length = match->end - match->start };
        push_capture(L, subject, &all);
        return 1;
    }
    for (size_t i = 0; i < pattern->capture_count; i++)
        push_capture(L, subject, &match->captures[i]);
    return (int)pattern->capture_count;
}

static int find_plain(lua_State *L, struct bytes subject, struct bytes what, size_t from)
{
    vm_charge(L, (subject.len - from) / BYTES_PER_UNIT);
    const char *found = subject.ptr + from;
    if (what.len > 0)
        found = memmem(subject.ptr + from, subject.len - from, what.ptr, what.len);
    if (!found) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - subject.ptr + 1);
    lua_pushinteger(L, found - subject.ptr + (lua_Integer)what.len);
    return 2;
}

static bool has_specials(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] && strchr("^$*+?.([%-)", text.ptr[i]))
            return true;
    return false;
}

static int find_or_match(lua_State *L, bool find)
{
    struct bytes subject = vm_check_text(L, 1);
    struct bytes text = vm_check_text(L, 2);
    lua_Integer from = vm_first_offset(luaL_optinteger(L, 3, 1), subject.len);
    if (from > (lua_Integer)subject.len) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || !has_specials(text)))
        return find_plain(L, subject, text, (size_t)from);
    struct pattern pattern;
    struct pattern_match match;
    uint64_t steps = MAX_SEARCH_STEPS;
    check_subject(L, subject);
    check_pattern(L, 2, true, &pattern);
    if (!search(L, &pattern, subject, (size_t)from, false, &steps, &match)) {
        lua_pushnil(L);
        return 1;
    }
    if (!find)
        return push_captures(L, &pattern, subject, &match, true);
    lua_pushinteger(L, (lua_Integer)match.start + 1);
    lua_pushinteger(L, (lua_Integer)match.end);
    return 2 + push_captures(L, &pattern, subject, &match, false);
}

int vm_text_find(lua_State *L)
{
    return find_or_match(L, true);
}

int vm_text_match(lua_State *L)
{
    return find_or_match(L, false);
}

struct gmatch {
    struct pattern pattern;
    size_t from;
    size_t last_end; /* an empty match does not follow another match */
};

/* Upvalues: the subject, the state. */
static int gmatch_next(lua_State *L)
{
    struct bytes subject = vm_check_text(L, lua_upvalueindex(1));
    struct gmatch *state = lua_touserdata(L, lua_upvalueindex(2));
    uint64_t steps = MAX_SEARCH_STEPS;
    struct pattern_match match;
    while (state->from <= subject.len && search(L, &state->pattern, subject, state->from, false, &steps, &match)) {
        if (match.end == state->last_end && match.start == match.end) {
            state->from = match.start + 1;
            continue;
        }
        state->from = state->last_end = match.end;
        return push_captures(L, &state->pattern, subject, &match, true);
    }
    state->from = subject.len + 1;
    return 0;
}

int vm_text_gmatch(lua_State *L)
{
    struct bytes subject = vm_check_text(L, 1);
    lua_Integer from = vm_first_offset(luaL_optinteger(L, 3, 1), subject.len);
    check_subject(L, subject);
    lua_pushvalue(L, 1);
    struct gmatch *state = lua_newuserdatauv(L, sizeof(*state), 0);
    check_pattern(L, 2, false, &state->pattern);
    state->from = from > (lua_Integer)subject.len ? subject.len + 1 : (size_t)from;
    state->last_end = SIZE_MAX;
    lua_pushcclosure(L, gmatch_next, 2);
    return 1;
}

static void add_replacement_text(lua_State *L, luaL_Buffer *b, const struct pattern *pattern, struct bytes subject,
                                 const struct pattern_match *match)
{
    struct bytes text = vm_check_text(L, 3);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            luaL_addchar(b, text.ptr[i]);
            continue;
        }
        char c = ++i < text.len ? text.ptr[i] : '\0';
        if (c == '%') {
            luaL_addchar(b, c);
            continue;
        }
        if (c < '0' || c > '9')
            luaL_error(L, "invalid use of '%%' in replacement text");
        struct pattern_capture capture = { .start = match->start, .length = match->end - match->start };
        size_t index = (size_t)(c - '0');
        if (index > pattern->capture_count && !(index == 1 && pattern->capture_count == 0))
            luaL_error(L, "invalid capture index %%%d in replacement text", (int)index);
        if (index > 0 && pattern->capture_count > 0)
            capture = match->captures[index - 1];
        push_capture(L, subject, &capture);
        lua_tostring(L, -1); /* of a position */
        luaL_addvalue(b);
        if (luaL_bufflen(b) > VM_MAX_TEXT_BYTES)
            vm_text_too_long(L);
    }
}

static void add_replacement(lua_State *L, luaL_Buffer *b, const struct pattern *pattern, struct bytes subject,
                            const struct pattern_match *match)
{
    int type = lua_type(L, 3);
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(L, pattern, subject, match, true), 1);
    } else if (type == LUA_TTABLE) {
        if (pattern->capture_count > 0)
            push_capture(L, subject, &match->captures[0]);
        else
            push_captures(L, pattern, subject, match, true);
        lua_gettable(L, 3);
    } else {
        add_replacement_text(L, b, pattern, subject, match);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, subject.ptr + match->start, match->end - match->start);
        return;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
}

int vm_text_gsub(lua_State *L)
{
    struct bytes subject = vm_check_text(L, 1);
    struct pattern pattern;
    struct pattern_match match;
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TTABLE || type == LUA_TFUNCTION, 3,
                     "string/function/table");
    lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)subject.len + 1);
    check_subject(L, subject);
    check_pattern(L, 2, true, &pattern);
    uint64_t steps = MAX_SEARCH_STEPS;
    lua_Integer count = 0;
    size_t at = 0;
    size_t last_end = SIZE_MAX;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (count < most) {
        size_t length_before = luaL_bufflen(&b);
        if (search(L, &pattern, subject, at, true, &steps, &match) && match.end != last_end) {
            count++;
            add_replacement(L, &b, &pattern, subject, &match);
            at = last_end = match.end;
        } else if (at < subject.len) {
            luaL_addchar(&b, subject.ptr[at++]);
        } else {
            break;
        }
        if (luaL_bufflen(&b) > VM_MAX_TEXT_BYTES)
            return vm_text_too_long(L);
        vm_charge(L, (luaL_bufflen(&b) - length_before) / BYTES_PER_UNIT);
        if (pattern.anchored)
            break;
    }
    if (at < subject.len)
        luaL_addlstring(&b, subject.ptr + at, subject.len - at);
    luaL_pushresult(&b);
    lua_pushinteger(L, count);
    return 2;
}
