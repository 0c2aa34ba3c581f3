/* The bounded string and table functions give what Lua's own give: compared on known and on random input. */
#include "io/vm_pattern.h"

#include "io/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <lualib.h>

/* A chunk that describes all results of a call as one text; runs in both states. */
static const char *const describe =
    "local function show(ok, ...)\n"
    "  local t = table.pack(...)\n"
    "  if not ok then return 'error' end\n"
    "  for i = 1, t.n do t[i] = tostring(t[i]) end\n"
    "  return t.n .. ':' .. table.concat(t, '|')\n"
    "end\n"
    "local s, p, r = ...\n"
    "local out = { show(pcall(string.find, s, p)), show(pcall(string.match, s, p)),\n"
    "              show(pcall(string.find, s, p, 3)), show(pcall(string.match, s, p, -2)),\n"
    "              show(pcall(string.gsub, s, p, r)), show(pcall(string.gsub, s, p, '<%0>', 2)),\n"
    "              show(pcall(string.gsub, s, p, function(a, b) return b or a end)),\n"
    "              show(pcall(string.gsub, s, p, { a = 'A', b = false })) }\n"
    "local ok = pcall(function() for a, b in string.gmatch(s, p) do out[#out + 1] = tostring(a) .. tostring(b) end "
    "end)\n"
    "out[#out + 1] = tostring(ok)\n"
    "return table.concat(out, '\\n')\n";

struct pair {
    struct vm *vm;
    int ours;       /* reference of the function */
    lua_State *lua; /* Lua's own libraries */
    int theirs;
};

static void pair_open(struct pair *pair)
{
    struct error e;
    pair->vm = vm_new((size_t)16 * 1024 * 1024, NULL);
    if (vm_load(pair->vm, "describe.lua", bytes_of(describe), &e))
        fail_msg("%s", e.text);
    pair->ours = luaL_ref(vm_lua(pair->vm), LUA_REGISTRYINDEX);
    pair->lua = luaL_newstate();
    luaL_openlibs(pair->lua);
    assert_int_equal(luaL_loadstring(pair->lua, describe), LUA_OK);
    pair->theirs = luaL_ref(pair->lua, LUA_REGISTRYINDEX);
}

static void pair_close(struct pair *pair)
{
    vm_free(pair->vm);
    lua_close(pair->lua);
}

static void compare(struct pair *pair, const char *subject, const char *pattern, const char *replacement)
{
    const char *arguments[] = { subject, pattern, replacement };
    /* Lua finds mistakes in a pattern only when the match comes to them; we always do. */
    struct pattern compiled;
    if (pattern_compile(bytes_of(pattern), true, &compiled) || pattern_compile(bytes_of(pattern), false, &compiled))
        return;
    lua_State *ours = vm_lua(pair->vm);
    struct vm_outcome outcome;
    lua_rawgeti(ours, LUA_REGISTRYINDEX, pair->ours);
    lua_rawgeti(pair->lua, LUA_REGISTRYINDEX, pair->theirs);
    for (size_t i = 0; i < 3; i++) {
        lua_pushstring(ours, arguments[i]);
        lua_pushstring(pair->lua, arguments[i]);
    }
    if (vm_call(pair->vm, 3, 1, NULL, &outcome) != VM_DONE)
        fail_msg("'%s' '%s': %s", subject, pattern, outcome.error);
    assert_int_equal(lua_pcall(pair->lua, 3, 1, 0), LUA_OK);
    if (strcmp(lua_tostring(ours, -1), lua_tostring(pair->lua, -1)) != 0)
        fail_msg("subject '%s' pattern '%s' replacement '%s'\nours:\n%s\ntheirs:\n%s", subject, pattern, replacement,
                 lua_tostring(ours, -1), lua_tostring(pair->lua, -1));
    lua_pop(ours, 1);
    lua_pop(pair->lua, 1);
}

static void known_patterns(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        { "hello world", "o", "0" },
        { "hello world", "(%w+) (%w+)", "%2 %1" },
        { "  trim me  ", "^%s*(.-)%s*$", "%1" },
        { "key=value; k2=v2", "(%w+)=(%w+)", "%2=%1" },
        { "THE (quick) fox", "%((%a+)%)", "[%1]" },
        { "THE (quick) fox", "%f[%a]%a+%f[%A]", "w" },
        { "f(a(b)c)d", "%b()", "" },
        { "xx", "%bxx", "-" },
        { "abc", "", "-" },
        { "abc", "()b()", "%1%2" },
        { "2026-11-23", "^(%d+)-(%d+)-(%d+)$", "%3.%2.%1" },
        { "a.b.c", "%.", "%%" },
        { "a$b", "$b", "x" },
        { "ab$", "b$", "x" },
        { "[x]", "[]]", "y" },
        { "a-z", "[a%-]", "y" },
        { "a-z", "[%a-]", "y" },
        { "a^z", "[z^]", "y" },
        { "  12x]-d", "[^%a[s-%]-dz]", "y" },
        { "a]b%", "[x-%%]+", "y" },
        { "abcabc", "(abc)%1", "x" },
        { "\t\n x", "%s+", "_" },
        { "\xC3\xA9t\xC3\xA9", "[\x80-\xff]+", "e" },
        { "aaa", "a-", "x" },
        { "aaa", "a-$", "x" },
        { "aXbX", "(.-)X", "%1," },
        { "abc", "b*", "x" },
        { "+15550100", "^%+?(%d+)$", "%1" },
        { "x", "x", "%9" },
        { "x", "x", "%" },
        { "x", "[a-]", "1" },
        { "a-", "[a-]", "1" },
        { "^x", "^^x", "1" },
    };
    struct pair pair;
    pair_open(&pair);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        compare(&pair, rows[i][0], rows[i][1], rows[i][2]);
    pair_close(&pair);
}

static void mistakes_in_patterns(void **state)
{
    (void)state;
    static const char *const wrong[] = { "[^", "[",  "[]",   "[a", "[%",  "%",  "(",   ")",
                                         "a)", "%1", "(%1)", "%f", "%fa", "%b", "%ba", "(()" };
    static const char *const right[] = { "",     "]",     "[]]", "[^]]", "%]", "()", "(a)%1",
                                         "%bab", "%f[a]", "a$b", "^",    "$",  "*",  "a**" };
    struct pattern pattern;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!pattern_compile(bytes_of(wrong[i]), true, &pattern))
            fail_msg("'%s' was accepted", wrong[i]);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        if (pattern_compile(bytes_of(right[i]), true, &pattern))
            fail_msg("'%s' was refused", right[i]);
}

static unsigned draw(unsigned *seed, unsigned below)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % below;
}

static void random_patterns(void **state)
{
    (void)state;
    static const char *const pieces[] = { "a",      "b",  "a*",   "b+",    "a-",     ".-", ".*",  ".",    "[ab]",
                                          "[^a]+",  "%a", "%d",   "(",     ")",      "()", "(a",  "b)",   "^",
                                          "$",      "%1", "%b()", "%f[b]", "c?",     "%w", "%s*", "[a-c", "[%s]",
                                          "[^%w]-", "%%", "%.",   "x-y",   "%f[%W]", "%z", "%Z" };
    static const char *const replacements[] = { "", "%0", "%1", "<%1>", "%2", "%%", "z" };
    struct pair pair;
    unsigned seed = 7;
    pair_open(&pair);
    for (unsigned round = 0; round < 20000; round++) {
        char subject[16];
        char pattern[64] = "";
        size_t length = draw(&seed, sizeof(subject));
        for (size_t i = 0; i < length; i++)
            subject[i] = "aabbc( )1$^"[draw(&seed, 11)];
        subject[length] = '\0';
        for (unsigned i = 0, count = 1 + draw(&seed, 6); i < count; i++)
            strcat(pattern, pieces[draw(&seed, sizeof(pieces) / sizeof(pieces[0]))]);
        compare(&pair, subject, pattern, replacements[draw(&seed, 7)]);
    }
    pair_close(&pair);
}

/* Expressions whose value must be the same in both. */
static void other_functions(void **state)
{
    (void)state;
    static const char *const expressions[] = {
        "('abc'):sub(2)",
        "('abc'):sub(-2, -1)",
        "('abc'):sub(0, 1)",
        "('abc'):sub(3, 2)",
        "('abc'):sub(-100, 100)",
        "('abc'):sub(math.mininteger, math.maxinteger)",
        "('abc'):byte()",
        "select('#', ('abc'):byte(1, -1))",
        "select('#', ('abc'):byte(10))",
        "('abc'):byte(-1)",
        "('aB1'):upper() .. ('aB1'):lower()",
        "('abc'):reverse()",
        "('ab'):rep(3) .. ('ab'):rep(3, ',') .. ('ab'):rep(0) .. ('ab'):rep(-1)",
        "string.char(65, 66)",
        "string.char()",
        "#'a\\0b'",
        "string.format('%5d|%-5s|%5.1f|%x|%q|%%|%s', 3, 'a', 2.55, 255, 'a\\nb', nil)",
        "string.format('%s %s', 1, 1.5)",
        "string.format('%i', 3.0)",
        "'10' + 1",
        "'0x10' * 2",
        "-'2'",
        "10 .. ''",
        "'3' // '2'",
        "2 ^ '2'",
        "'7' % 4",
        "table.concat({1, 2, 3}, '-')",
        "table.concat({1, 2, 3}, '-', 2, 3)",
        "table.concat({}, '-')",
        "table.concat({1, 2.5, 'x'})",
        "select('#', table.unpack({1, nil, 3}, 1, 3))",
        "select(2, table.unpack({1, 2, 3}))",
        "table.pack(1, nil, 3).n",
        "(function() local t = {1, 2, 3} table.insert(t, 4) table.insert(t, 1, 0) return table.concat(t) end)()",
        "(function() local t = {1, 2, 3} local x = table.remove(t) local y = table.remove(t, 1) return x .. y .. #t "
        "end)()",
        "tostring(table.remove({}))",
        "table.concat(table.move({1, 2, 3}, 1, 3, 2))",
        "table.concat(table.move({1, 2, 3}, 2, 3, 1))",
        "table.concat(table.move({1, 2}, 1, 2, 1, {}))",
        "(function() local t = {3, 1, 2} table.sort(t) return table.concat(t) end)()",
        "(function() local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t) end)()",
        "(function() local t = {'b', 'a', 'C'} table.sort(t) return table.concat(t) end)()",
        "tostring(tonumber('0x1p4')) .. tostring(tonumber('z', 36)) .. tostring(tonumber('1e')) .. "
        "tostring(tonumber(''))",
        "tostring(1e15) .. tostring(2^53) .. tostring(-0.0) .. tostring(1/0)",
        "utf8.len('h\\u{e9}')",
        "utf8.char(233, 8364)",
        "utf8.codepoint('\\u{20ac}')",
        "utf8.offset('a\\u{e9}b', 3)",
        "math.type(1) .. math.type(1.0)",
        "math.floor(-1.5) .. math.ceil(-1.5)",
        "math.max(1, 2.5)",
        "('x'):find('')",
        "('x'):find('', 10)",
        "('a.b'):find('.', 1, true)",
        "('a.b'):find('.', 2)",
        "select(2, ('aaa'):gsub('a', 'b', 2))",
        "('abc'):gsub('', '-')",
        "('abc'):gsub('%w', '%0%0', -1)",
        "select('#', ('abc'):match('(a)(b)(x?)'))",
        "#{n = 1, 2, 3}",
        "tostring(pcall(error, 'x'))",
        "type(print)",
    };
    lua_State *lua = luaL_newstate();
    luaL_openlibs(lua);
    struct vm *vm = vm_new(0, NULL);
    for (size_t i = 0; i < sizeof(expressions) / sizeof(expressions[0]); i++) {
        char chunk[512];
        struct error e;
        struct vm_outcome outcome;
        snprintf(chunk, sizeof(chunk), "return tostring((%s))", expressions[i]);
        if (vm_load(vm, "x.lua", bytes_of(chunk), &e))
            fail_msg("%s", e.text);
        if (vm_call(vm, 0, 1, NULL, &outcome) != VM_DONE)
            fail_msg("%s: %s", expressions[i], outcome.error);
        assert_int_equal(luaL_dostring(lua, chunk), LUA_OK);
        if (strcmp(lua_tostring(vm_lua(vm), -1), lua_tostring(lua, -1)) != 0)
            fail_msg("%s: ours '%s', theirs '%s'", expressions[i], lua_tostring(vm_lua(vm), -1), lua_tostring(lua, -1));
        lua_settop(vm_lua(vm), 0);
        lua_settop(lua, 0);
    }
    vm_free(vm);
    lua_close(lua);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_patterns),
        cmocka_unit_test(mistakes_in_patterns),
        cmocka_unit_test(random_patterns),
        cmocka_unit_test(other_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
