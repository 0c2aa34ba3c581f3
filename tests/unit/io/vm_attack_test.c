/* What a hostile or broken script may try: each attempt must end soon, be reported as what it was, and leave the state
 * and the other scripts as they were. */
#include "io/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/heartbeat.h"

#define MEMORY ((size_t)16 * 1024 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
#define MAX_CPU_MS 600 /* sanitizers cost a factor */
#else
#define MAX_CPU_MS 250
#endif

static const struct vm_budget budget = { .max_instructions = 1000000, .max_wall_ms = 200 };
/* For what must come to its own end: a busy machine may leave the process aside for longer than its time. What it costs
 * is measured in CPU time. */
static const struct vm_budget unhurried = { .max_instructions = 1000000 };

struct attack {
    const char *name;
    const char *script;
    int verdict;        /* -1: any but a clean end; VM_DONE: the script ends by itself */
    const char *expect; /* part of the error, or NULL */
};

#define OVER_BUDGET (-2) /* instructions, time or memory */

static const struct attack attacks[] = {
    /* endless work */
    { "loop", "while true do end", VM_OVER_INSTRUCTIONS, "budget" },
    { "loop in pcall", "while true do pcall(function() while true do end end) end", VM_OVER_INSTRUCTIONS, NULL },
    { "pcall in pcall", "local function f() pcall(f) f() end f()", -1, NULL },
    { "recursion of pcall", "local function f() return pcall(f) end while true do f() end", OVER_BUDGET, NULL },
    { "catching for ever", "while true do pcall(error) end", VM_OVER_INSTRUCTIONS, NULL },
    { "pcall of pcall", "while true do pcall(pcall, pcall, error) end", VM_OVER_INSTRUCTIONS, NULL },
    { "huge for", "for i = 1, math.huge do end", VM_OVER_INSTRUCTIONS, NULL },
    { "goto", "::a:: goto a", VM_OVER_INSTRUCTIONS, NULL },
    { "loop in sort", "table.sort({3,2,1}, function() while true do end end)", VM_OVER_INSTRUCTIONS, NULL },
    { "loop in gsub", "string.gsub('x', '.', function() while true do end end)", VM_OVER_INSTRUCTIONS, NULL },
    { "loop in print", "while true do print('x') end", VM_OVER_INSTRUCTIONS, NULL },
    { "recursion", "local function f(n) return 1 + f(n + 1) end f(1)", -1, NULL },
    { "tail recursion", "local function f() return f() end f()", VM_OVER_INSTRUCTIONS, NULL },
    { "growing arguments", "local function f(...) return f(1, ...) end f()", -1, NULL },
    { "recursion through gsub", "local function f() return (('x'):gsub('.', f)) end f()", -1, NULL },
    { "recursion through sort", "local function f() table.sort({2,1}, f) end f()", -1, NULL },

    /* memory */
    { "rep", "local s = ('x'):rep(1e9)", VM_FAILED, "longer than" },
    { "rep with separator", "local s = ('x'):rep(1e9, ('y'):rep(1000))", VM_FAILED, "longer than" },
    { "rep of nothing", "local s = (''):rep(1e18)", VM_DONE, NULL },
    { "rep overflow", "local s = ('xx'):rep(math.maxinteger)", VM_FAILED, "longer than" },
    { "doubling", "local s = 'x' while true do s = s .. s end", VM_OVER_MEMORY, "memory" },
    { "doubling in pcall", "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
      VM_OVER_MEMORY, NULL },
    { "hoarding", "local t = {} while true do t[#t + 1] = {} end", OVER_BUDGET, NULL },
    { "hoarding texts", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) .. i end", OVER_BUDGET, NULL },
    { "hoarding in pcall", "local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(90000) .. #t end) end",
      OVER_BUDGET, NULL },
    { "sparse table", "local t = {} for i = 1, 1e9 do t[i * 1e9] = i end", OVER_BUDGET, NULL },
    { "garbage", "while true do local t = {{{{}}}} end", OVER_BUDGET, NULL },
    { "big garbage", "local s = ('x'):rep(1000000) while true do local t = s .. 'y' end", OVER_BUDGET, NULL },
    { "many closures", "local t = {} while true do local f = t t = function() return f end end", OVER_BUDGET, NULL },

    /* C functions over huge ranges */
    { "concat of nothing", "table.concat({}, 'x', 1, 1e9)", VM_FAILED, "too long" },
    { "concat over everything", "table.concat({}, 'x', math.mininteger, math.maxinteger)", VM_FAILED, "too long" },
    { "concat of long texts", "local t = {} local s = ('x'):rep(1e6) for i = 1, 1e4 do t[i] = s end table.concat(t)",
      VM_FAILED, "longer than" },
    { "concat separator", "local t = {} for i = 1, 5e4 do t[i] = 'x' end table.concat(t, ('x'):rep(1e6))", VM_FAILED,
      "longer than" },
    { "move", "table.move({}, 1, 1e15, 2)", VM_FAILED, "too long" },
    { "move to the end", "table.move({1,2,3}, 1, 3, math.maxinteger)", VM_FAILED, "out of bounds" },
    { "unpack", "table.unpack({}, 1, 1e7)", VM_FAILED, "too long" },
    { "unpack all", "table.unpack({}, math.mininteger, math.maxinteger)", VM_FAILED, "too long" },
    { "insert in front", "local t = {} while true do table.insert(t, 1, 1) end", OVER_BUDGET, NULL },
    { "remove in front", "local t = {} for i = 1, 9e4 do t[i] = i end while #t > 0 do table.remove(t, 1) end",
      OVER_BUDGET, NULL },
    { "insert far away", "table.insert({}, 1e15, 1)", VM_FAILED, "out of bounds" },
    { "byte", "local s = ('x'):rep(1e6) return s:byte(1, -1)", VM_FAILED, "at most" },
    { "codepoint", "local s = ('x'):rep(1e6) return utf8.codepoint(s, 1, -1)", VM_FAILED, "at most" },
    { "utf8.len", "local s = ('x'):rep(1e6) while true do utf8.len(s) end", OVER_BUDGET, NULL },
    { "select", "for i = 1, 1e9 do select('#', table.unpack({}, 1, 999)) end", OVER_BUDGET, NULL },
    { "select outside", "select(-5, 1)", VM_FAILED, NULL },
    { "char", "string.char(256)", VM_FAILED, NULL },
    { "pairs again and again", "local t = {} for i = 1, 9e4 do t[i .. ''] = i end for i = 1, 1e9 do pairs(t) end",
      OVER_BUDGET, NULL },
    { "next by next", "local t = {} for i = 1, 2e4 do t[i .. ''] = i end for k in next, t do end", OVER_BUDGET, NULL },
    { "upper", "local s = ('x'):rep(1e6) while true do s:upper() end", OVER_BUDGET, NULL },
    { "sort of many", "local t = {} for i = 1, 9e4 do t[i] = -i end while true do table.sort(t) t[1] = 1 end",
      OVER_BUDGET, NULL },
    { "reading long numbers", "local s = ('1'):rep(1e6) for i = 1, 1e9 do tonumber(s) end", OVER_BUDGET, NULL },
    { "calculating with long numbers", "local s = ('1'):rep(1e6) for i = 1, 1e9 do local x = s + 1 end", VM_FAILED,
      "arithmetic" },
    { "bits of long numbers", "local s = '0x' .. ('1'):rep(1e6) for i = 1, 1e9 do local x = s | 1 end", -1, NULL },
    { "bits of spaces", "local s = (' '):rep(1e6) .. '1' for i = 1, 1e9 do local x = s | 1 end", -1, NULL },
    { "comparing long texts",
      "local s = ('x'):rep(1e6) local t = s .. 'a' s = s .. 'b' while true do local x = s < t end", OVER_BUDGET, NULL },

    /* formats */
    { "wide format", "string.format('%999999d', 1)", VM_FAILED, "invalid" },
    { "precise format", "string.format('%.999999f', 1)", VM_FAILED, "invalid" },
    { "format of long texts", "local s = ('x'):rep(1e6) string.format('%s%s%s', s, s, s)", VM_FAILED, "longer than" },
    { "quoted format", "local s = ('\\0'):rep(1e6) string.format('%q', s)", VM_FAILED, "longer than" },
    { "format without values", "string.format('%d')", VM_FAILED, NULL },
    { "half a format", "string.format('%')", VM_FAILED, NULL },
    { "address format", "string.format('%p', {})", VM_FAILED, "not available" },

    /* patterns */
    { "exponential pattern", "('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30))", VM_FAILED,
      "pattern takes too long" },
    { "nested lazy", "('x'):rep(8000):find('.-.-.-.-b$')", VM_FAILED, "pattern takes too long" },
    { "nested greedy", "('x'):rep(8000):match('.*.*.*.*y')", VM_FAILED, "pattern takes too long" },
    { "balance", "('('):rep(60000):find('%b()')", VM_FAILED, "pattern takes too long" },
    { "balance in gsub", "('('):rep(60000):gsub('%b()', '')", VM_FAILED, "pattern takes too long" },
    { "frontier", "('a '):rep(30000):gsub('%f[%w].-%f[%W].-%f[z]', '')", VM_FAILED, "pattern takes too long" },
    { "reference", "('a'):rep(60000):match('(.-)%1%1%1%1b')", VM_FAILED, "pattern takes too long" },
    { "many captures", "('a'):rep(100):match(('(a)'):rep(33))", VM_FAILED, "too many captures" },
    { "deep captures", "('a'):find(('('):rep(200000))", VM_FAILED, NULL },
    { "long pattern", "('a'):find(('a?'):rep(100000))", VM_FAILED, "too long" },
    { "long set", "('a'):find('[' .. ('a-z'):rep(100000) .. ']')", VM_DONE, NULL },
    { "long subject", "('a'):rep(100000):find('a+b')", VM_FAILED, "cannot be searched" },
    { "gmatch for ever", "while true do for x in ('a'):rep(60000):gmatch('.-b') do end end", -1, NULL },
    { "gsub of nothing", "('x'):rep(60000):gsub('', ('y'):rep(1e6))", VM_FAILED, "longer than" },
    { "gsub doubling", "local s = 'x' for i = 1, 100 do s = s:gsub('.', '%0%0') end", -1, NULL },
    { "gsub with whole text", "('x'):rep(60000):gsub('^.*$', ('%0'):rep(1000))", VM_FAILED, "longer than" },
    { "gsub table", "('x'):gsub('x', { x = {} })", VM_FAILED, "invalid replacement" },
    { "patterns in a loop", "local s = ('a'):rep(5000) while true do pcall(s.find, s, '.-.-.-b') end", OVER_BUDGET,
      NULL },
    { "malformed set", "('a'):find('[a')", VM_FAILED, "malformed" },
    { "malformed end", "('a'):find('a%')", VM_FAILED, "malformed" },
    { "unfinished capture", "('a'):find('(a')", VM_FAILED, "unfinished" },
    { "wrong capture", "('a'):find('%1')", VM_FAILED, "capture" },
    { "replacement index", "('a'):gsub('a', '%2')", VM_FAILED, "capture index" },
    { "plain search of long texts",
      "local s = ('a'):rep(1e6) local w = ('a'):rep(5e5) .. 'b' while true do s:find(w, 1, true) end", OVER_BUDGET,
      NULL },

    /* sort */
    { "always less", "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function() return true end)", VM_DONE,
      NULL },
    { "never sure",
      "local t = {} for i = 1, 1000 do t[i] = i % 7 end "
      "table.sort(t, function() return random() < 0.5 end) assert(#t == 1000)",
      VM_DONE, NULL },
    { "changing under sort", "local t = {3,2,1} table.sort(t, function(a, b) t[1] = nil t[2] = nil return a < b end)",
      VM_DONE, NULL },
    { "mixed sort", "table.sort({1, 'x', {}})", VM_FAILED, "compare" },

    /* ways out */
    { "io", "io.open('/etc/passwd')", VM_FAILED, "not available" },
    { "os", "os.execute('true')", VM_FAILED, "not available" },
    { "load", "load('return 1')()", VM_FAILED, "not available" },
    { "dofile", "dofile('/etc/passwd')", VM_FAILED, "not available" },
    { "string.dump", "string.dump(function() end)", VM_FAILED, "nil value" },
    { "string.pack", "string.pack('s', 'x')", VM_FAILED, "nil value" },
    { "debug", "debug.sethook()", VM_FAILED, "not available" },
    { "coroutine", "coroutine.wrap(function() while true do end end)()", VM_FAILED, "not available" },
    { "collectgarbage", "collectgarbage('stop')", VM_FAILED, "not available" },
    { "setmetatable", "setmetatable({}, { __gc = function() while true do end end })", VM_FAILED, "not available" },
    { "getmetatable", "getmetatable('').__index = nil", VM_FAILED, "not available" },
    { "rawset", "rawset(string, 'find', nil)", VM_FAILED, "not available" },
    { "_G", "_G.x = 1", VM_FAILED, "not available" },
    { "package", "package.loadlib('x', 'y')", VM_FAILED, "not available" },
    { "require of a path", "require('../secret')", VM_FAILED, "library name" },
    { "require of os", "require('os')", VM_FAILED, "no library" },
    { "require with dots", "require('a.b')", VM_FAILED, "library name" },

    /* disturbing others */
    { "a global", "leaked = 1", VM_FAILED, "local leaked" },
    { "a global function", "function leaked() end", VM_FAILED, "local function leaked" },
    { "a typo", "pritn('x')", VM_FAILED, "did you mean 'print'" },
    { "replacing a function", "tostring = nil", VM_FAILED, "cannot be replaced" },
    { "replacing in a library", "string.find = nil", VM_FAILED, "read-only" },
    { "replacing by table.insert", "table.insert(string, 'x')", VM_FAILED, "read-only" },
    { "replacing by move", "table.move({1, 2}, 1, 2, 1, table)", VM_FAILED, "read-only" },
    { "replacing by sort", "local s = string table.sort(s) assert(s.find)", VM_DONE, NULL },
    { "method on text", "('x').find = 1", VM_FAILED, NULL },
    { "through the index of a text", "local i = ('x').find; assert(('abc'):find('b') == 2)", VM_DONE, NULL },

    /* errors of all kinds */
    { "pretending", "error('not enough memory', 0)", VM_FAILED, "not enough" },
    { "error nil", "error()", VM_FAILED, "error with a nil" },
    { "error table", "error({})", VM_FAILED, "error with a table" },
    { "error long", "error(('x'):rep(1e6))", VM_FAILED, "xxxx" },
    { "error binary", "error('\\0\\255\\254')", VM_FAILED, NULL },
    { "error function", "error(print)", VM_FAILED, "error with a function" },
    { "assert false", "assert(false)", VM_FAILED, "assertion failed" },
    { "assert value", "assert(false, {})", VM_FAILED, "table" },
    { "key nil", "local t = {} t[nil] = 1", VM_FAILED, NULL },
    { "key NaN", "local t = {} t[0/0] = 1", VM_FAILED, NULL },
    { "division by zero", "return 1 // 0", VM_FAILED, NULL },
    { "order of tables", "for k in pairs({ [{}] = 1 }) do end", VM_FAILED, "no order" },
};

static const char *const neighbour =
    "local calls = 0\n"
    "return function()\n"
    "  assert(('a-b'):gsub('%-', '+') == 'a+b' and ('abc'):upper() == 'ABC' and #table.concat({1,2}) == 2)\n"
    "  assert(tostring(1) == '1' and string.format('%d', 3) == '3' and ('x').rep)\n"
    "  return 42\n"
    "end\n";

static void load(struct vm *vm, const char *file, const char *text)
{
    struct error e;
    if (vm_load(vm, file, bytes_of(text), &e))
        fail_msg("%s", e.text);
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static void check_neighbour(struct vm *vm, int function, const char *after)
{
    lua_State *L = vm_lua(vm);
    struct vm_outcome outcome;
    lua_rawgeti(L, LUA_REGISTRYINDEX, function);
    if (vm_call(vm, 0, 1, &unhurried, &outcome) != VM_DONE)
        fail_msg("after '%s', another script: %s", after, outcome.error);
    assert_int_equal(lua_tointeger(L, -1), 42);
    lua_pop(L, 1);
}

static bool verdict_fits(int expected, enum vm_verdict verdict)
{
    if (expected == -1 || (expected != VM_DONE && verdict == VM_OVER_TIME)) /* on a busy machine time comes first */
        return verdict != VM_DONE;
    if (expected == OVER_BUDGET)
        return verdict == VM_OVER_INSTRUCTIONS || verdict == VM_OVER_TIME || verdict == VM_OVER_MEMORY;
    return (int)verdict == expected;
}

static void run_attack(struct vm *vm, const struct attack *attack, const char *script)
{
    struct vm_outcome outcome;
    load(vm, "attack.lua", script);
    double before = cpu_ms();
    enum vm_verdict verdict = vm_call(vm, 0, 0, attack->verdict == VM_DONE ? &unhurried : &budget, &outcome);
    double took = cpu_ms() - before;
    if (getenv("VM_ATTACK_TIMES"))
        printf("%8.1f ms %9llu %d %s: %.90s\n", took, (unsigned long long)outcome.instructions, verdict, attack->name,
               outcome.error);
    if (took > MAX_CPU_MS)
        fail_msg("%s: took %.0f ms of CPU", attack->name, took);
    if (!verdict_fits(attack->verdict, verdict))
        fail_msg("%s: verdict %d, error '%s'", attack->name, verdict, outcome.error);
    if (attack->expect && verdict != VM_OVER_TIME && !strstr(outcome.error, attack->expect))
        fail_msg("%s: error '%s'", attack->name, outcome.error);
    if (verdict != VM_DONE && strcmp(attack->name, "pretending") != 0 && strncmp(outcome.error, "attack.lua:", 11) != 0)
        fail_msg("%s: no place in '%s'", attack->name, outcome.error);
    assert_int_equal(lua_gettop(vm_lua(vm)), 0);
}

/* Each attack in the same state as the others, directly and from within pcall. */
static void attacks_are_stopped(void **state)
{
    (void)state;
    struct vm *vm = vm_new(MEMORY, NULL);
    load(vm, "neighbour.lua", neighbour);
    assert_int_equal(vm_call(vm, 0, 1, &unhurried, NULL), VM_DONE);
    int function = luaL_ref(vm_lua(vm), LUA_REGISTRYINDEX);
    vm_settle(vm);
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        const struct attack *attack = &attacks[i];
        run_attack(vm, attack, attack->script);
        check_neighbour(vm, function, attack->name);
        assert_false(vm_is_worn(vm));
        if (attack->verdict >= VM_OVER_INSTRUCTIONS || attack->verdict == OVER_BUDGET) {
            char script[1200];
            snprintf(script, sizeof(script), "while true do pcall(function() %s end) end", attack->script);
            run_attack(vm, attack, script);
            check_neighbour(vm, function, attack->name);
        }
    }
    vm_free(vm);
}

/* With no limit on instructions, the clock alone must do. */
static void wall_time_is_enough(void **state)
{
    (void)state;
    static const struct vm_budget wall = { .max_wall_ms = 50 };
    struct vm *vm = vm_new(MEMORY, NULL);
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct vm_outcome outcome;
        load(vm, "attack.lua", attacks[i].script);
        double before = cpu_ms();
        vm_call(vm, 0, 0, &wall, &outcome);
        double took = cpu_ms() - before;
        if (took > MAX_CPU_MS)
            fail_msg("%s: took %.0f ms of CPU", attacks[i].name, took);
    }
    vm_free(vm);
}

static void wait_aside(const char *file, int line, struct bytes text, void *arg)
{
    (void)file, (void)line, (void)text, (void)arg;
    const struct timespec wait = { .tv_nsec = 120 * 1000 * 1000 };
    nanosleep(&wait, NULL);
}

/* A process that is stopped for a while loses no rule's work for it; the work itself stays bounded. */
static void time_aside_does_not_count(void **state)
{
    (void)state;
    static const struct vm_budget wall = { .max_wall_ms = 60 };
    static const struct vm_host host = { .print = wait_aside };
    struct vm *vm = vm_new(MEMORY, &host);
    struct vm_outcome outcome;
    load(vm, "aside.lua", "print('now') local n = 0 for i = 1, 20000 do n = n + i end return n");
    assert_int_equal(vm_call(vm, 0, 0, &wall, &outcome), VM_DONE);
    load(vm, "aside.lua", "for i = 1, 20000 do end print('now') for i = 1, 20000 do end");
    assert_int_equal(vm_call(vm, 0, 0, &wall, &outcome), VM_DONE);
    load(vm, "aside.lua", "print('now') while true do end");
    assert_int_equal(vm_call(vm, 0, 0, &wall, &outcome), VM_OVER_TIME);
    vm_free(vm);
}

/* Whoever watches the thread sees that it goes on while a script does what it may. */
static void a_script_within_its_budget_is_no_stall(void **state)
{
    (void)state;
    static const struct vm_budget wall = { .max_wall_ms = 250 };
    struct vm *vm = vm_new(MEMORY, NULL);
    struct vm_outcome outcome;
    msec_t began = 0, beat_at = 0;
    heartbeat_start("engine");
    assert_non_null(heartbeat_oldest(&began));
    load(vm, "long.lua", "while true do end");
    assert_int_equal(vm_call(vm, 0, 0, &wall, &outcome), VM_OVER_TIME);
    assert_non_null(heartbeat_oldest(&beat_at));
    assert_true(beat_at >= began + 100);
    heartbeat_end();
    vm_free(vm);
}

/* A state that is only as large as it must be gives errors, never a crash. */
static void little_memory_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        struct vm *vm = vm_new(0, NULL);
        struct error e;
        if (!vm_load(vm, "attack.lua", bytes_of(attacks[i].script), &e))
            vm_call(vm, 0, 0, &budget, NULL);
        assert_int_equal(lua_gettop(vm_lua(vm)), 0);
        vm_free(vm);
    }
}

static void refused_sources(void **state)
{
    (void)state;
    struct vm *vm = vm_new(MEMORY, NULL);
    struct error e;
    char *large = calloc(1, VM_MAX_SOURCE_BYTES + 2);
    assert_non_null(large);
    memset(large, ' ', VM_MAX_SOURCE_BYTES + 1);
    assert_int_equal(vm_load(vm, "f.lua", bytes_of(large), &e), ERR_INVALID);
    memset(large, '(', 100000);
    large[100000] = '\0';
    assert_int_equal(vm_load(vm, "f.lua", bytes_of(large), &e), ERR_INVALID);
    free(large);
    assert_int_equal(vm_load(vm, "f.lua", BYTES_LITERAL("\x1bLua\x54\x00\x19\x93"), &e), ERR_INVALID);
    assert_int_equal(vm_load(vm, "f.lua", BYTES_LITERAL("local x\nlocal _ENV <const> = {}"), &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "f.lua:2:"));
    assert_int_equal(vm_load(vm, "f.lua", BYTES_LITERAL("return function(_ENV) x = 1 end"), &e), ERR_INVALID);
    assert_int_equal(vm_load(vm, "f.lua", BYTES_LITERAL("local x = 1\nlocal y = = 2"), &e), ERR_INVALID);
    assert_non_null(strstr(e.text, "f.lua:2:"));
    assert_int_equal(lua_gettop(vm_lua(vm)), 0);
    vm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_are_stopped),       cmocka_unit_test(wall_time_is_enough),
        cmocka_unit_test(time_aside_does_not_count), cmocka_unit_test(a_script_within_its_budget_is_no_stall),
        cmocka_unit_test(little_memory_is_survived), cmocka_unit_test(refused_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
