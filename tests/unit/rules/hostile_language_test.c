/* More of what the language offers to who wants to do harm: memory between events, searches and names without end,
 * control flow, comparisons that lie, numbers at their limits, and ways out of the sandbox. */
#include "hostile.h"

static void nothing_is_remembered(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "require('counter').bump()", RULE_FAILED, "n" },
        { "require('counter').keep(e.id)", RULE_FAILED, "read-only" },
        { "kept[1] = e.id", RULE_FAILED, "read-only" },
        { "kept = { e.id }", RULE_FAILED, "changed 'kept'" },
        { "if bump() == 2 then c:note('two') end bump()", RULE_FAILED, "changed 'n'" },
        { "pcall(function() kept[1] = e.id end)", RULE_RAN, NULL },
        { "pcall(function() require('counter').keep(fx) end)", RULE_RAN, NULL },
        { "local o = calendar('rare') o.seen = 1", RULE_FAILED, "cannot be changed" },
        { "template 't2' { text = 'y' }", RULE_FAILED, "template" },
        { "rule { name = 'c', on = 'custom.x', run = function() end }", RULE_FAILED, "rule" },
        { "test('x', function() end)", RULE_FAILED, "test" },
    };
    RUN_EACH(attacks);
}

/* With and without a `when` before them. */
static void each_rule_answers_for_itself(void **state)
{
    (void)state;
    struct rule_set *set = load_text(
        "local b, d, list = 0, (function() local n = 0 return function() n = n + 1 return n end end)(), {}\n"
        "rule { name = 'a', on = 'custom.x', run = function(e, fx) fx:emit('n', { 0 }) end }\n"
        "rule { name = 'b', on = 'custom.x', when = function() b = b + 1 return true end, run = function() end }\n"
        "rule { name = 'c', on = 'custom.x', run = function(e, fx) fx:emit('n', { b }) end }\n"
        "rule { name = 'd', on = 'custom.x', run = function() d() end }\n"
        "rule { name = 'e', on = 'custom.x', run = function() list[1] = 1 end }\n"
        "rule { name = 'f', on = 'custom.x', run = function(e, fx) fx:emit('n', { 0 }) end }",
        NULL);
    static const struct {
        enum rule_verdict verdict;
        const char *text;
    } wanted[] = { { RULE_RAN, NULL },           { RULE_FAILED, "changed 'b'" },
                   { RULE_RAN, NULL },           { RULE_FAILED, "changed 'n'" },
                   { RULE_FAILED, "read-only" }, { RULE_RAN, NULL } };
    json_t *event = document(EVENT), *facts = document(FACTS);
    for (size_t i = 0; i < 2 * rule_set_count(set); i++) {
        size_t index = i % rule_set_count(set);
        struct rule_outcome outcome;
        rule_run(set, index, event, facts, NULL, TEST_NOW, 1, &outcome);
        assert_int_equal(outcome.verdict, wanted[index].verdict);
        if (outcome.verdict == RULE_FAILED)
            assert_non_null(strstr(outcome.error, wanted[index].text));
        else
            assert_int_equal(json_integer_value(json_at(outcome.effects, "0.body.0")), 0);
        rule_outcome_done(&outcome);
    }
    json_decref(event);
    json_decref(facts);
    rule_set_free(set);
}

static void nothing_is_found_out(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "local x = env 'PATH'", RULE_FAILED, "env" },
        { "local x = file '/etc/passwd'", RULE_FAILED, "file" },
        { "assert(not tostring({}):find('0x') and not tostring(print):find('0x') and not tostring(e):find('0x'))",
          RULE_RAN, NULL },
        { "assert(tostring({}) == tostring({ 1 }))", RULE_RAN, NULL },
        { "error(tostring(fx) .. tostring(c))", RULE_FAILED, "rules/a.lua:2: " },
        { "c:set { plan = 'pro' }", RULE_FAILED,
          "set: the name is a text of letters, digits, '_', '-' and '.', not a table; write it like set(\"plan\", \"pro\")" },
        { "e.contact:set(print, 1)", RULE_FAILED, "not a function; write it like" },
        { "c:cancel {}", RULE_FAILED, "the timer's name is a text of letters, digits, '_', '-' and '.', not a table" },
        { "c:send { text = 'x', [{}] = 1 }", RULE_FAILED, "has no a table" },
        { "date('%Y', now(), {})", RULE_FAILED, "not a table" },
        { "local x = data {}", RULE_FAILED, "data takes a name, not a table" },
        { "local x = calendar {}", RULE_FAILED, "calendar takes a name, not a table" },
        { "e[{}] = 1", RULE_FAILED, "cannot be changed: a table was assigned to" },
    };
    RUN_EACH(attacks);
}

static void what_is_not_offered_is_not_there(void **state)
{
    (void)state;
    static const char *const names[] = {
        "io",           "os",           "debug",    "load",   "loadstring", "dofile",    "loadfile", "package",
        "rawget",       "rawset",       "rawequal", "rawlen", "_G",         "coroutine", "warn",     "collectgarbage",
        "setmetatable", "getmetatable", "host",     "use",    "newproxy"
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char code[64];
        snprintf(code, sizeof(code), "local x = %s", names[i]);
        const struct attack attack = { code, RULE_FAILED, names[i] };
        run_each(&attack, 1);
    }
}

static void what_never_ends_is_ended(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "local t = ('a '):rep(8000) while true do has(t, ('a '):rep(4000) .. 'b') end", RULE_OVER_BUDGET, NULL },
        { "local w = {} for i = 1, 5000 do w[i] = 'w' .. i end while true do has(('x '):rep(8000), w) end",
          RULE_OVER_BUDGET, NULL },
        { "while true do is(('a'):rep(1000000), ('a'):rep(1000000)) end", RULE_OVER_BUDGET, NULL },
        { "for i = 1, 1e9 do pcall(local_time, now(), 'Zone/N' .. i) end", RULE_OVER_BUDGET, NULL },
        { "for i = 1, 1e9 do pcall(date, '%F', now(), 'Europe/' .. ('/'):rep(i % 50) .. 'Zurich') end",
          RULE_OVER_BUDGET, NULL },
        { "for i = 1, 1e9 do e.contact:set('timezone', 'Etc/GMT-' .. i % 15) end", RULE_OVER_BUDGET, NULL },
        { "while true do calendar('rare'):add(now(), '1h') end", RULE_OVER_BUDGET, NULL },
        { "calendar('rare'):between(0, 253402300799)", RULE_OVER_BUDGET, NULL },
        { "calendar('rare'):add(now(), '3650d')", RULE_FAILED, "not open long enough" },
        { "while true do calendar('rare'):next_close(now()) end", RULE_OVER_BUDGET, NULL },
        { "while true do date(('%A'):rep(1000), now()) end", RULE_OVER_BUDGET, NULL },
        { "while true do pcall(duration, ('1h'):rep(100000)) end", RULE_OVER_BUDGET, NULL },
        { "while true do pcall(money, 1, ('x'):rep(100000)) end", RULE_OVER_BUDGET, NULL },
        { "while true do pcall(function() return e[('m'):rep(100000)] end) end", RULE_OVER_BUDGET, NULL },
        { "while true do pcall(c.send, c, { [('m'):rep(100000)] = 1 }) end", RULE_OVER_BUDGET, NULL },
        { "while true do pcall(fx.emit, fx, ('m'):rep(100000), {}) end", RULE_OVER_BUDGET, NULL },
        { "while true do random(6) end", RULE_OVER_BUDGET, NULL },
        { "while true do local x = e.contact.attributes.plan .. e.conversation.state end", RULE_OVER_BUDGET, NULL },
        { "while true do for k, v in pairs(e) do end end", RULE_OVER_BUDGET, NULL },
        { "local function again() local ok = pcall(again) return again() end again()", EITHER, NULL },
        { "local function deep(n) return pcall(function() return deep(n + 1) + 1 end) end deep(1)", EITHER, NULL },
        { "local function f(s) return (s:gsub('.', function(x) return f(x) .. f(x) end)) end f('x')", EITHER, NULL },
        { "do local i = 0 ::a:: i = i + 1 local function f() return i end if i > 0 then goto a end end",
          RULE_OVER_BUDGET, NULL },
        { "repeat local x = {} for j = 1, 100 do x[j] = function() return x, j end end until false", RULE_OVER_BUDGET,
          NULL },
        { "for i = math.maxinteger - 1, math.maxinteger do end for i = math.mininteger, math.mininteger + 1 do end "
          "for i = 1, math.maxinteger, math.maxinteger do end",
          RULE_RAN, NULL },
        { "for i = 1, 0/0 do error('x') end for i = 1, 2, 0 do end", RULE_FAILED, "step is zero" },
        { "local s = 0 for i = 1.0, 1e300 do s = s + i end", RULE_OVER_BUDGET, NULL },
    };
    RUN_EACH(attacks);
}

static void lies_do_no_harm(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "local t = { 3, 1, 2 } table.sort(t, function(a, b) return a ~= b end) assert(#t == 3)", RULE_RAN, NULL },
        { "local t = {} for i = 1, 500 do t[i] = i end table.sort(t, function() error({ t }) end)", RULE_FAILED,
          "error with" },
        { "table.sort(e.body.list, function() return true end)", RULE_FAILED, "read-only" },
        { "local t = { [0/1] = 1 } t[1/0] = 2 t[-1/0] = 3 c:set('t', t)", RULE_FAILED, "holes" },
        { "local t = {} t[0/0] = 1", RULE_FAILED, "NaN" },
        { "c:set('n', -0.0) c:set('m', math.mininteger) c:set('h', 1e308 * 10)", RULE_FAILED, "JSON cannot hold" },
        { "c:send { text = utf8.char(0x7FFFFFFF) .. utf8.char(0xD800) }", RULE_RAN, NULL },
        { "for _, p in utf8.codes('a\\xff') do end", RULE_FAILED, "invalid UTF-8" },
        { "return utf8.codepoint('\\xf7\\xbf\\xbf\\xbf', 1)", RULE_FAILED, "invalid UTF-8" },
        { "assert(not ('\\xff\\xfe'):find(utf8.charpattern))", RULE_RAN, NULL },
        { "local ok, m = pcall(error, setmetatable)", RULE_FAILED, "not available" },
        { "local ok, m = pcall(error, fx) assert(m == fx)", RULE_RAN, NULL },
        { "select(2, pcall(error, c)):note('x')", RULE_RAN, NULL },
        { "error(c)", RULE_FAILED, "error with a" },
        { "local x <close> = nil local y <const> = 1 error(nil, 2)", RULE_FAILED, "error with a nil" },
        { "fx:emit('x', e)", RULE_RAN, NULL },
        { "fx:emit('x', fx)", EITHER, NULL },
        { "fx:emit('x', { c })", RULE_RAN, NULL },
        { "c:set('x', calendar('rare'))", EITHER, NULL },
        { "c.send(fx, 'x')", RULE_FAILED, "with a colon" },
        { "c.send({ id = 9 }, 'x')", RULE_FAILED, "with a colon" },
        { "money(math.mininteger, 'usd') money(math.maxinteger, 'jpy') date('%c', math.maxinteger)", RULE_FAILED,
          "a time is a number" },
        { "duration('99999999999999999999d')", RULE_FAILED, "duration" },
        { "days(math.huge) c:snooze(days(1e18))", RULE_FAILED, NULL },
        { "random(math.mininteger, math.maxinteger) random(0)", RULE_FAILED, "interval is empty" },
        { "minutes('x')", RULE_FAILED, NULL },
        { "string.format(('%s'):rep(300), table.unpack((function() local t = {} for i = 1, 300 do t[i] = e end return t "
          "end)()))",
          RULE_RAN, NULL },
    };
    RUN_EACH(attacks);
}

/* Timers and events of one's own: no more than the effects of one call, one timer of a name, and chains of eight. */
static void storms_are_held_down(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "for i = 1, 101 do c:after(i, 'tick' .. i) end", RULE_OVER_BUDGET, "more than 100 effects" },
        { "for i = 1, 101 do pcall(c.cancel, c, 'tick') end", RULE_OVER_BUDGET, "more than 100 effects" },
        { "for i = 1, 101 do fx:emit('x', {}) end", RULE_OVER_BUDGET, "more than 100 effects" },
        { "for i = 1, 101 do fx:open_conversation { reference = 'r' .. i } end", RULE_OVER_BUDGET,
          "more than 100 effects" },
        { "for i = 1, 101 do fx:outreach { topic = 'x', reference = 'r' .. i, goal = 'payment.succeeded', steps = { { after "
          "= 0, text = 'x' } } } end",
          RULE_OVER_BUDGET, "more than 100 effects" },
        { "local s = {} for i = 1, 10000 do s[i] = { after = i, text = 'x' } end fx:outreach { topic = 'x', goal = "
          "'payment.succeeded', steps = s }",
          EITHER, NULL },
        { "c:after(0, 'now')", RULE_RAN, NULL },
        { "local d = {} for i = 1, 20000 do d[i] = ('x'):rep(100) end c:after('1h', 'big', { data = d })",
          RULE_OVER_BUDGET, NULL },
        { "local b = {} for i = 1, 1000 do b[i] = 'b' .. i end c:send { text = 'x', buttons = b }", RULE_FAILED,
          "buttons" },
        { "local v = {} for i = 1, 50000 do v['v' .. i] = 'x' end c:send { text = 'x', vars = v }", EITHER, NULL },
    };
    RUN_EACH(attacks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_remembered),    cmocka_unit_test(each_rule_answers_for_itself),
        cmocka_unit_test(nothing_is_found_out),     cmocka_unit_test(what_is_not_offered_is_not_there),
        cmocka_unit_test(what_never_ends_is_ended), cmocka_unit_test(lies_do_no_harm),
        cmocka_unit_test(storms_are_held_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
