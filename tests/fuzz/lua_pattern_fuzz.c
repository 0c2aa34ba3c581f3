/* Text patterns: bounded work, captures inside of the subject, and for short inputs the result of Lua's own functions.
 * The input: the pattern, then the subject. */
#include "io/vm_pattern.h"

#include <lauxlib.h>
#include <lualib.h>

#include "fuzz.h"

/* Lua's own matcher may take for ever on longer ones. */
#define COMPARED_PATTERN 14
#define COMPARED_SUBJECT 10

static void compare(struct bytes pattern, struct bytes subject, enum pattern_verdict verdict,
                    const struct pattern_match *match)
{
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
    }
    lua_getglobal(L, "string");
    lua_getfield(L, -1, "find");
    lua_pushlstring(L, subject.len > 0 ? subject.ptr : "", subject.len);
    lua_pushlstring(L, pattern.len > 0 ? pattern.ptr : "", pattern.len);
    /* Lua finds a malformed pattern only when it comes to the place. */
    if (lua_pcall(L, 2, LUA_MULTRET, 0) == LUA_OK) {
        bool found = !lua_isnil(L, 2);
        MUST_HOLD(found == (verdict == PATTERN_FOUND));
        if (found) {
            MUST_HOLD(lua_tointeger(L, 2) == (lua_Integer)match->start + 1);
            MUST_HOLD(lua_tointeger(L, 3) == (lua_Integer)match->end);
        }
    }
    lua_settop(L, 0);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct bytes subject = { (const char *)data, size };
    struct bytes text = text_next_field(&subject, '\n');
    struct pattern pattern;
    struct pattern_match match;
    const char *problem = pattern_compile(text, true, &pattern);
    if (problem) {
        MUST_HOLD(problem[0]);
        return 0;
    }
    uint64_t steps = 200000;
    enum pattern_verdict verdict = pattern_search(&pattern, subject, 0, false, &steps, &match);
    MUST_HOLD(steps <= 200000 && (verdict != PATTERN_TOO_LONG || steps == 0));
    if (verdict == PATTERN_FOUND) {
        MUST_HOLD(match.start <= match.end && match.end <= subject.len);
        for (size_t i = 0; i < pattern.capture_count; i++)
            MUST_HOLD(
                match.captures[i].start <= subject.len &&
                (match.captures[i].is_position || match.captures[i].length <= subject.len - match.captures[i].start));
    }
    if (verdict != PATTERN_TOO_LONG && text.len <= COMPARED_PATTERN && subject.len <= COMPARED_SUBJECT)
        compare(text, subject, verdict, &match);
    return 0;
}
