/* Texts that are not always there, and what Lua's texts and lists cannot do, are told by `answerd check`. */
#include "review_cases.h"

#define SAID(severity, code, text, hint)                                                                               \
    {                                                                                                                  \
        ON("'message.received'", code), "rules/a.lua:2", severity, text, hint                                          \
    }
#define FINE(code)                                                                                                     \
    {                                                                                                                  \
        ON("'message.received'", code), NULL, NULL, NULL, NULL                                                         \
    }

static void what_other_languages_have(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        SAID("error", "log(string.split(e.id, ','))", "Lua has no string.split", "gmatch"),
        SAID("error", "log(string.startsWith(e.id, 'x'))", "Lua has no string.startsWith", "compares the beginning"),
        SAID("error", "log(table.contains({}, 'x'))", "Lua has no table.contains", "is(text, list)"),
        SAID("error", "log(string.uper(e.id))", "Lua has no string.uper; did you mean 'upper'?", NULL),
        SAID("error", "log(math.round(1.5))", "Lua has no math.round", NULL),
        SAID("error", "log(e.message.text and e.message.text:contains('x'))", "a text has no method 'contains'",
             "has("),
        SAID("error", "log(e.message.text and e.message.text:toLowerCase())", "no method 'toLowerCase'",
             "text:lower()"),
        FINE("log(string.upper(e.id), table.concat({}), math.floor(1.5), utf8.len(e.id), math.pi)"),
        FINE("local string = { split = function() end } log(string.split(e.id))"),
        FINE("log(e.body.string.split, e.body.message.text:gsub('a', 'b'), e.body.table.contains)"),
    };
    CHECK_EACH(cases);
}

#define TWO(on, when, body)                                                                                            \
    FILE_A("rule { name = 'x', on = " on ",\nwhen = function(e) return " when " end,\nrun = function(e, fx) " body     \
           " end }")

static void what_is_not_always_there(void **state)
{
    (void)state;
    static const struct wanted cases[] = {
        { TWO("'message.received'", "e.message.text:lower() == 'stop'", ""), "rules/a.lua:2", "warning",
          "'e.message.text' is nil when somebody sends a picture", "has(e.message.text, …) takes nil as well" },
        { TWO("'message.received'", "e.contact ~= nil", "log(e.message.text:match('%d+'))"), "rules/a.lua:3", "warning",
          "'e.message.text' is nil when somebody sends a picture", NULL },
        SAID("warning", "e.conversation:send('Hi ' .. e.contact.name .. '!')",
             "'e.contact.name' is nil for who has told no name", "write (e.contact.name or \"there\")"),
        { TWO("'message.received'", "e.message.text", "log(e.message.text:lower())"), NULL, NULL, NULL, NULL },
        { TWO("'message.received'", "e.message.kind == 'text'", "log(e.message.text:lower())"), NULL, NULL, NULL,
          NULL },
        { TWO("'message.received'", "has(e.message.text, 'x')", "log(e.message.text:lower())"), NULL, NULL, NULL,
          NULL },
        { TWO("'message.button'", "e.id", "log(e.message.text:lower())"), NULL, NULL, NULL, NULL },
        { FILE_A(
              "local function written(e) return e.message.text end\nrule { name = 'x', on = 'message.received', when = "
              "written, run = function(e) log(e.message.text:lower()) end }"),
          NULL, NULL, NULL, NULL },
        { FILE_A("local when = require('conditions').written\nrule { name = 'x', on = 'message.received', when = when, "
                 "run = function(e) log(e.message.text:lower()) end }"),
          NULL, NULL, NULL, NULL },
        FINE("if not e.message.text then return end log(e.message.text:lower())"),
        FINE("if e.message.media then return end log(e.message.text:lower())"),
        FINE("local text = e.message.text or '' log(text:lower(), (e.message.text or ''):lower())"),
        FINE("log(pcall(function() return e.message.text:lower() end))"),
        FINE("e.conversation:send('Hi ' .. (e.contact.name or 'there'))"),
        FINE("if e.contact.name then e.conversation:send('Hi ' .. e.contact.name) end"),
        FINE("e.conversation:note('' .. e.body.contact.name) e.conversation:note(e.body.text:lower())"),
    };
    static const struct rule_file library = { "lib/conditions.lua",
                                              "return { written = function(e) return e.message.text end }" };
    struct wanted with_library[sizeof(cases) / sizeof(cases[0])];
    memcpy(with_library, cases, sizeof(cases));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strstr(cases[i].files[0].text, "require") != NULL) {
            with_library[i].files[1] = library;
        }
    }
    CHECK_EACH(with_library);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_other_languages_have),
        cmocka_unit_test(what_is_not_always_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
