/* What is said of the syntax errors that people make: a remedy where there is one for certain, and none where there is
 * not. */
#include "rule_files.h"

struct mistake {
    const char *text;
    int line;
    const char *hint; /* a part of it; NULL: none */
};

static void check_each(const struct mistake *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule_file files[] = { { "a.lua", cases[i].text }, { NULL, NULL } };
        json_t *problems;
        struct rule_set *set;
        struct error e;
        assert_int_equal(load_files(files, NULL, &problems, &set, &e), ERR_INVALID);
        const json_t *problem = json_array_get(problems, 0);
        const char *hint = json_str(problem, "hint");
        bool as_wanted = cases[i].hint == NULL ? hint == NULL : hint != NULL && strstr(hint, cases[i].hint) != NULL;
        if (!as_wanted || json_int(problem, "line", 0) != cases[i].line) {
            fail_msg("%s\nwanted line %d: %s\nfound %s", cases[i].text, cases[i].line,
                     cases[i].hint != NULL ? cases[i].hint : "no hint", json_dumps(problems, JSON_INDENT(1)));
        }
        json_decref(problems);
    }
}
#define CHECK_EACH(cases) check_each(cases, sizeof(cases) / sizeof(cases[0]))

static void signs_of_other_languages(void **state)
{
    (void)state;
    static const struct mistake cases[] = {
        { "local a, b\nif a != b then end", 2, "Lua writes `~=` for !=" },
        { "if a != b && !c || d then end", 1, "`~=` for !=, `not` for !, `and` for &&, `or` for ||" },
        { "local x = 1\nx += 2", 2, "Lua has no +=: write x = x + …" },
        { "local t = {}\nt.a.b -= 2", 2, "write t.a.b = t.a.b - …" },
        { "local s = ''\ns ..= 'a'", 2, "Lua has no ..=: write s = s .. …" },
        { "local x = 1\nx++", 2, "Lua has no ++: write x = x + 1" },
        { "local x = 1\nx--\nlocal y", 3, "`--` begins a comment: write x = x - 1 in line 2" },
        { "// a comment", 1, "`--` before a comment" },
        { "# a comment", 1, "`--` before a comment" },
        { "let x = 1", 1, "`local` for let" },
        { "local x = a ? 1 : 2", 1, "`condition and this or that` for ? :" },
        { "local x = “abc”", 1, "typographic quotes; a text stands between \" and \"" },
        { "local x = 'a' –1", 1, "typographic dash" },
        { "local x\u00a0= 1", 1, "U+00A0" },
        { "local function f(e) {\n}", 1, "the body of a function has no braces" },
        { "if (a) { b() }", 1, NULL },
        { "for i = 1, 2 {\n}", 1, "the body of a loop has no braces" },
        { "local t = { name: 'x', on: 'y' }", 1, "a field of a table is written name = value" },
        { "local t = { \"name\": 'x' }", 1, "a field of a table is written name = value" },
        { "local t = { on = ['a', 'b'] }", 1, "a list in braces" },
        { "for i = 1, 2 do\n  if i then\n    continue\n  end\nend\nlocal x = x x", 4,
          "Lua has no `continue` (line 3)" },
    };
    CHECK_EACH(cases);
}

static void texts(void **state)
{
    (void)state;
    static const struct mistake cases[] = {
        { "local t = { text = 'I don't know', n = 1 }", 1, "put the text between \" and \"" },
        { "local t = {\n text = \"Hello\n}", 2, "a text ends in the line where it begins" },
        { "local x = 'a\\d'", 1, "write \\\\ for one" },
    };
    CHECK_EACH(cases);
}

static void blocks(void **state)
{
    (void)state;
    static const struct mistake cases[] = {
        { "if a = 1 then end", 1, "`==` compares" },
        { "local f = function(e) e.a > 1 end", 1, "what a function gives back follows `return`" },
        { "local function f(e)\n  e.a == 1\nend", 2, "follows `return`" },
        { "if a then\n  fx:stop\nend", 3, "a call has parentheses, also around nothing: fx:stop()" },
        { "if a\n  b()\nend", 2, "`then` is missing at the end of line 1" },
        { "if a b() end", 1, "`then` is missing before 'b'" },
        { "for i = 1, 2\n  b()\nend", 2, "`do` is missing at the end of line 1" },
        { "while a b() end", 1, "`do` is missing before 'b'" },
        { "if a then\nelif b then\nend", 2, "`elseif` for elif" },
        { "if a then\n  b()\nelse if c then\n  d()\nend\n", 6, "`else if` in line 3 begins an `if`" },
        { "rule {\n  run = function(e, fx)\n    if a then\n      b()\n    else if c then\n      d()\n    end\n  end,\n}",
          8, "`else if` in line 5 begins an `if`" },
        { "rule {\n  run = function(e, fx)\n    if a then\n      b()\n  end,\n}", 5,
          "the `if` of line 3 lacks its `end` before line 5" },
        { "local t = { run = function() f() }", 1, "an `end` is missing before '}'" },
        { "local function f()\n  return 1\n  g()\nend", 3, "nothing can follow the `return` of line 2" },
        { "f() end", 1, "one `end` too many" },
        { "f())", 1, "one `)` too many" },
    };
    CHECK_EACH(cases);
}

static void tables_and_calls(void **state)
{
    (void)state;
    static const struct mistake cases[] = {
        { "rule {\n  name = 'a'\n  on = 'x',\n}", 3, "a comma is missing at the end of line 2" },
        { "rule { name = 'a' on = 'x' }", 1, "a comma is missing before 'on'" },
        { "local t = { text = 'Hi ' name }", 1, "a comma is missing before 'name', or .. to join two texts" },
        { "rule {\n  name = 'a',\n\nrule { name = 'b' }", 4, "the `{` of line 1 lacks its `}` before line 4" },
        { "if f(a, 'x' then b() end", 1, "a `)` is missing before 'then'" },
        { "f(a b)", 1, "a comma is missing before 'b'" },
        { "rule {\n  do = function(e, fx) end,\n}", 2, "'do' is a word of Lua; a rule says run = function" },
        { "rule { name = 'a', if = function(e) return true end }", 1, "a rule says when = function" },
        { "local t = {\n  from = 1,\n  end = 2,\n}", 3, "as the name of a field write [\"end\"] = …" },
        /* What is meant here nobody can tell. */
        { "local x = }", 1, NULL },
        { "a b", 1, NULL },
        { "local 5 = x", 1, NULL },
    };
    CHECK_EACH(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_of_other_languages),
        cmocka_unit_test(texts),
        cmocka_unit_test(blocks),
        cmocka_unit_test(tables_and_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
