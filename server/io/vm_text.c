/* The string library, with bounds: ASCII only, results of at most VM_MAX_TEXT_BYTES, patterns by io/vm_pattern.h. */
#include "io/vm.h"
#include "io/vm_internal.h"
#include "io/vm_pattern.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SUBJECT_BYTES ((size_t)64 * 1024) /* of a search with a pattern */
#define MAX_SEARCH_STEPS 1000000              /* of one call: a few milliseconds */
#define STEPS_PER_UNIT 4
#define BYTES_PER_UNIT 32
#define MAX_BYTES_AS_VALUES 1000 /* of string.byte */

static int too_long(lua_State *L)
{
    return luaL_error(L, "the text would be longer than %d KiB", (int)(VM_MAX_TEXT_BYTES / 1024));
}

static struct bytes check_text(lua_State *L, int index)
{
    struct bytes text;
    text.ptr = luaL_checklstring(L, index, &text.len);
    return text;
}

/* A position as scripts give it (from 1; negative from the end) as an offset, at least 0. */
static lua_Integer first_offset(lua_Integer position, size_t length)
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
    lua_pushinteger(L, (lua_Integer)check_text(L, 1).len);
    return 1;
}

static int text_sub(lua_State *L)
{
    struct bytes text = check_text(L, 1);
    lua_Integer first = first_offset(luaL_checkinteger(L, 2), text.len);
    lua_Integer end = end_offset(luaL_optinteger(L, 3, -1), text.len);
    size_t length = first < end ? (size_t)(end - first) : 0;
    vm_charge(L, length / BYTES_PER_UNIT);
    lua_pushlstring(L, length ? text.ptr + first : "", length);
    return 1;
}

static int text_byte(lua_State *L)
{
    struct bytes text = check_text(L, 1);
    lua_Integer position = luaL_optinteger(L, 2, 1);
    lua_Integer first = first_offset(position, text.len);
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
    struct bytes text = check_text(L, 1);
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
    struct bytes text = check_text(L, 1);
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
    struct bytes text = check_text(L, 1);
    lua_Integer count = luaL_checkinteger(L, 2);
    size_t separator_length;
    const char *separator = luaL_optlstring(L, 3, "", &separator_length);
    if (count <= 0 || text.len + separator_length == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((lua_Unsigned)count > VM_MAX_TEXT_BYTES / (text.len + separator_length))
        return too_long(L);
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
    struct bytes format = check_text(L, 1);
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
            return too_long(L);
    }
    vm_charge(L, total / BYTES_PER_UNIT + (uint64_t)count);
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* --- patterns --------------------------------------------------------------------------------------------------- */

static void check_pattern(lua_State *L, int index, bool caret, struct pattern *ret_pattern)
{
    const char *problem = pattern_compile(check_text(L, index), caret, ret_pattern);
    if (problem)
        luaL_error(L, "%s", problem);
}

static void check_subject(lua_State *L, struct bytes subject)
{
    if (subject.len > MAX_SUBJECT_BYTES)
        luaL_error(L, "a text of more than %d KiB cannot be searched with a pattern\n"
                      "HINT: find(text, what, 1, true) searches without one", (int)(MAX_SUBJECT_BYTES / 1024));
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
    struct bytes subject = check_text(L, 1);
    struct bytes text = check_text(L, 2);
    lua_Integer from = first_offset(luaL_optinteger(L, 3, 1), subject.len);
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

static int text_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int text_match(lua_State *L)
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
    struct bytes subject = check_text(L, lua_upvalueindex(1));
    struct gmatch *state = lua_touserdata(L, lua_upvalueindex(2));
    uint64_t steps = MAX_SEARCH_STEPS;
    struct pattern_match match;
    while (state->from <= subject.len &&
           search(L, &state->pattern, subject, state->from, false, &steps, &match)) {
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

static int text_gmatch(lua_State *L)
{
    struct bytes subject = check_text(L, 1);
    lua_Integer from = first_offset(luaL_optinteger(L, 3, 1), subject.len);
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
    struct bytes text = check_text(L, 3);
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
            too_long(L);
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

static int text_gsub(lua_State *L)
{
    struct bytes subject = check_text(L, 1);
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
            return too_long(L);
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
        { "byte", text_byte },       { "char", text_char },   { "find", text_find }, { "gmatch", text_gmatch },
        { "gsub", text_gsub },       { "len", text_len },     { "lower", text_lower }, { "match", text_match },
        { "rep", text_rep },         { "reverse", text_reverse }, { "sub", text_sub }, { "upper", text_upper },
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
