/* What a hostile or careless rule asks for: each is refused with a word of explanation, within its budget, and the next
 * rule runs as if nothing had been. Attacks on the machine itself are in unit/io/vm_attack_test.c. */
#include "hostile.h"

static void what_others_see_cannot_be_changed(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "e.message = 1", RULE_FAILED, "the event cannot be changed" },
        { "e.body.x = 1", RULE_FAILED, "read-only" },
        { "e.body.list[1] = 9", RULE_FAILED, "read-only" },
        { "table.sort(e.body.list)", RULE_FAILED, "read-only" },
        { "table.insert(e.body.list, 1, 0)", RULE_FAILED, "read-only" },
        { "table.remove(e.body.list)", RULE_FAILED, "read-only" },
        { "table.move({ 9 }, 1, 1, 1, e.body.list)", RULE_FAILED, "read-only" },
        { "e.contact.attributes.plan = 'x'", RULE_FAILED, "read-only" },
        { "e.conversation.tags[1] = 'x'", RULE_FAILED, "read-only" },
        { "table.insert(data('d').a, 4)", RULE_FAILED, "read-only" },
        { "data('d').a = nil", RULE_FAILED, "read-only" },
        { "string.upper = function() return 'B' end", RULE_FAILED, "read-only" },
        { "fx.emit = nil", RULE_FAILED, "fx cannot be changed" },
        { "leaked = e", RULE_FAILED, "undeclared variable 'leaked'" },
        { "getmetatable('').__index.upper = nil", RULE_FAILED, "'getmetatable' is not available" },
        { "local x <close> = {}", RULE_FAILED, "non-closable" },
        { "for k in pairs(e.body.list) do e.body.list[k] = nil end", RULE_FAILED, "read-only" },
        { "local f = c.tag c = nil f({}, 'x')", RULE_FAILED, "with a colon" },
    };
    RUN_EACH(attacks);
}

static void strange_errors_are_told_as_texts(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "error({ a = 1 })", RULE_FAILED, "error with a table instead of a text" },
        { "local t = {} t.t = t error(t)", RULE_FAILED, "error with a table" },
        { "error()", RULE_FAILED, "error with a nil" },
        { "error(print)", RULE_FAILED, "error with a function" },
        { "error(('x'):rep(1000000))", RULE_FAILED, "xxxxxxxx" },
        { "error(('x'):rep(1000000), 0)", RULE_FAILED, "xxxxxxxx" },
        { "error('\\0\\xff\\xed\\xa0\\x80')", RULE_FAILED, "rules/a.lua:2: " },
        { "pcall(error, setmetatable)", RULE_FAILED, "not available" },
        { "local ok, m = pcall(error, { e }) error(m[1].type)", RULE_FAILED, "custom.x" },
    };
    RUN_EACH(attacks);
}

static void floods_of_effects_are_stopped(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "for i = 1, 101 do c:note('x') end", RULE_OVER_BUDGET, "more than 100 effects" },
        { "for i = 1, 1000 do pcall(c.note, c, 'x') end", RULE_OVER_BUDGET, "more than 100 effects" },
        { "while true do pcall(function() c:note('x') end) end", RULE_OVER_BUDGET, NULL },
        { "c:tag(table.unpack((function() local t = {} for i = 1, 200 do t[i] = 't' .. i end return t end)()))",
          RULE_OVER_BUDGET, "more than 100 effects" },
        { "for i = 1, 99 do c:note(('x'):rep(100000)) end", RULE_OVER_BUDGET, NULL },
        { "c:note(('x'):rep(300000))", RULE_OVER_BUDGET, "at most 262144 bytes in all" },
        { "local t = {} for i = 1, 50000 do t[i] = 'v' end fx:emit('x', t)", RULE_OVER_BUDGET, NULL },
        { "while true do log('x') end", RULE_OVER_BUDGET, NULL },
        { "log(('x'):rep(1000000)) local t = {} t.t = t log(t)", RULE_RAN, NULL },
    };
    RUN_EACH(attacks);
}

/* Topics and references are keys of indexes: PostgreSQL would refuse a long one, and the whole batch with it. */
static void long_names_are_refused(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "fx:open_conversation { topic = ('t'):rep(256) }", RULE_FAILED,
          "open_conversation: 'topic' has 256 bytes; at most 255 are allowed" },
        { "fx:open_conversation { topic = ('t'):rep(255), reference = ('r'):rep(255) }", RULE_RAN, NULL },
        { "fx:open_conversation { reference = ('r'):rep(3000) }", RULE_FAILED, "'reference' has 3000 bytes" },
        { "fx:outreach { topic = 'x', reference = ('r'):rep(3000), goal = 'payment.succeeded', steps = { { after = 0, "
          "text = 'x' } } }",
          RULE_FAILED, "'reference' has 3000 bytes" },
        { "c:assign(('a'):rep(100000))", RULE_FAILED, "'assignee' has 100000 bytes" },
        { "c:tag(('t'):rep(65))", RULE_FAILED, "at most 64 bytes" },
        { "c:set(('k'):rep(65), 1)", RULE_FAILED, "the name is a text of letters" },
        { "c:after('1h', ('n'):rep(65))", RULE_FAILED, "the timer's name" },
        { "fx:emit(('n'):rep(300), {})", RULE_FAILED, "is not a name" },
        { "e.contact:identify('telegram:' .. ('1'):rep(300))", RULE_FAILED, "identify" },
        { "e.contact:opt_out(('t'):rep(300))", RULE_FAILED, "'topic' has 300 bytes" },
        { "e.contact:set('name', ('n'):rep(300))", RULE_FAILED, "'name' has 300 bytes" },
        { "e.contact:prefer(('c'):rep(300))", RULE_FAILED, "'channel' has 300 bytes" },
        { "c:send { text = ('x'):rep(16385) }", RULE_FAILED, "at most 16384" },
        { "c:send { text = 'x', buttons = { ('b'):rep(300) } }", RULE_FAILED, "longer than 200 bytes" },
    };
    RUN_EACH(attacks);
}

static void values_that_cannot_be_stored_are_refused(void **state)
{
    (void)state;
    static const struct attack attacks[] = {
        { "c:set('k', 0/0)", RULE_FAILED, "JSON cannot hold" },
        { "c:set('k', math.huge)", RULE_FAILED, "JSON cannot hold" },
        { "c:set('k', function() end)", RULE_FAILED, "cannot be stored" },
        { "c:set('k', { f = print })", RULE_FAILED, "cannot be stored" },
        { "local t = {} t.t = t c:set('k', t)", RULE_FAILED, "nested more than 16" },
        { "c:set('k', { 1, a = 2 })", RULE_FAILED, "mixes a list" },
        { "c:set('k', { [1.5] = 1 })", RULE_FAILED, "number as a key" },
        { "c:set('k', { [3] = 1 })", RULE_FAILED, "holes" },
        { "c:set('k', '\\0\\xff\\xed\\xa0\\x80')", RULE_RAN, NULL },
        { "c:set('k', math.maxinteger + 1)", RULE_RAN, NULL },
        { "e.contact:set('timezone', 'Not/AZone')", RULE_FAILED, "there is no time zone 'Not/AZone'" },
        { "e.contact:set('timezone', '../../etc/passwd')", RULE_FAILED, "there is no time zone" },
        { "e.contact:set('timezone', 'Asia/Tokyo')", RULE_RAN, NULL },
        { "c:after(0/0, 'n')", RULE_FAILED, "between 0 and ten years" },
        { "c:after(1e300, 'n')", RULE_FAILED, "between 0 and ten years" },
        { "c:after('-1h', 'n')", RULE_FAILED, "not a duration" },
        { "c:snooze(1e300)", RULE_FAILED, "is a time" },
        { "date('%F', 0/0)", RULE_FAILED, "a time is a number" },
        { "local_time(math.mininteger, 'UTC')", RULE_FAILED, "a time is a number" },
        { "money(1.5, 'usd')", RULE_FAILED, "whole number" },
        { "c:send { media = { kind = 'image', url = 'file:///etc/passwd' } }", RULE_FAILED, "https://" },
        { "require('../../etc/passwd')", RULE_FAILED, "a library name" },
        { "c:history(1e9)", RULE_FAILED, "1 to 200" },
        { "random(math.maxinteger, math.mininteger)", RULE_FAILED, "interval is empty" },
    };
    RUN_EACH(attacks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_others_see_cannot_be_changed),
        cmocka_unit_test(strange_errors_are_told_as_texts),
        cmocka_unit_test(floods_of_effects_are_stopped),
        cmocka_unit_test(long_names_are_refused),
        cmocka_unit_test(values_that_cannot_be_stored_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
