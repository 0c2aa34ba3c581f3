#include "rule_files.h"

/* Is there a problem at this line whose text holds `part`? */
static bool has_problem(const json_t *problems, const char *file, int line, const char *part)
{
    size_t index;
    json_t *problem;
    json_array_foreach (problems, index, problem) {
        if (strcmp(json_str_or(problem, "file", ""), file) == 0 && json_int(problem, "line", 0) == line &&
            strstr(json_str_or(problem, "text", ""), part) != NULL) {
            return true;
        }
    }
    return false;
}

static void print_problems(const json_t *problems)
{
    char *text = json_dumps(problems, JSON_INDENT(1));
    print_message("%s\n", text);
    free(text);
}

struct expected {
    const char *text; /* of a.lua */
    int line;
    const char *problem;
};

static void check_each(const struct expected *cases, size_t count, bool are_errors)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule_file files[] = { { "a.lua", cases[i].text }, { NULL, NULL } };
        json_t *problems;
        struct rule_set *set;
        struct error e;
        err_t err = load_files(files, NULL, &problems, &set, &e);
        if (!has_problem(problems, "rules/a.lua", cases[i].line, cases[i].problem) || (err == ERR_NONE) == are_errors) {
            print_message("%s\n", cases[i].text);
            print_problems(problems);
            fail_msg("expected line %d: %s", cases[i].line, cases[i].problem);
        }
        json_decref(problems);
        rule_set_free(set);
    }
}

#define RUN "run = function(e, fx) end"

static void rules_are_checked(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        { "rule { name = 'x', on = 'message.received' }", 1, "rule needs 'run'" },
        { "rule { on = 'message.received', " RUN " }", 1, "rule needs 'name'" },
        { "rule {\n name = 'x',\n on = 'mesage.received',\n " RUN " }", 3, "did you mean 'message.received'" },
        { "rule {\n name = 'x',\n on = { 'payment' },\n " RUN " }", 3, "write 'payment.failed' or 'payment.*'" },
        { "rule { name = 'x', on = 'refund', " RUN " }", 1, "'custom.refund'" },
        { "rule { name = 'x', on = 'timer', " RUN " }", 1, "'timer.NAME'" },
        { "rule { name = 'x', on = {}, " RUN " }", 1, "names no event" },
        { "rule { name = 'x', on = 'cron.daily', " RUN " }", 1, "there is no cron 'daily'" },
        { "rule {\n name = 'x', on = 'message.*',\n piority = 5, " RUN " }", 3, "did you mean 'priority'" },
        { "rule { name = 'x', on = 'message.*', run = 'no' }", 1, "'run' is a function, not a text" },
        { "rule { name = 'x', on = 'message.*', priority = 1.5, " RUN " }", 1, "whole number" },
        { "rule { name = 'x y', on = 'message.*', " RUN " }", 1, "the name 'x y'" },
        { "rule {\n name = 'x',\n event = 'message.received',\n " RUN " }", 3, "rule has no 'event'; write 'on'" },
        { "rule {\n name = 'x',\n trigger = 'message.received', " RUN " }", 3, "write 'on'" },
        { "rule { name = 'x', on = 'message.received',\n action = function() end }", 2, "no 'action'; write 'run'" },
        { "rule { name = 'x', on = 'message.received',\n ['do'] = function() end }", 1, "no 'do'; write 'run'" },
        { "rule { name = 'x', on = 'message.received',\n condition = print, " RUN " }", 2, "write 'when'" },
        { "rule 'x'", 1, "rule takes a table" },
        { "rule { name = 'x', on = 'message.*', " RUN " }\nrule { name = 'x', on = 'message.*', " RUN " }", 2,
          "declared twice; the other one is at rules/a.lua:1" },
    };
    check_each(cases, sizeof(cases) / sizeof(cases[0]), true);
}

/* Who calls a field by a word of another tool has forgotten nothing. */
static void a_word_of_others_is_one_mistake(void **state)
{
    (void)state;
    const struct rule_file files[] = {
        { "a.lua", "rule { name = 'x', trigger = 'message.received', action = function() end }" }, { NULL, NULL }
    };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    assert_int_not_equal(load_files(files, NULL, &problems, &set, &e), ERR_NONE);
    assert_true(has_problem(problems, "rules/a.lua", 1, "rule has no 'trigger'; write 'on'"));
    assert_true(has_problem(problems, "rules/a.lua", 1, "rule has no 'action'; write 'run'"));
    assert_int_equal(json_array_size(problems), 2);
    json_decref(problems);
}

static void declarations_are_checked(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        { "template 't' { text = 'Hi {{name' }", 1, "'{{' has no '}}'" },
        { "template 't' { text = 'Hi {{first name}}' }", 1, "is not a variable" },
        { "template 't' { }", 1, "has no 'text'" },
        { "survey 's' { question = 'Hi {{name}}',\n thanks = 'Bye {{first_name}}' }", 2,
          "survey 's': 'thanks' has {{first_name}}; the only variable of a survey is {{name}}" },
        { "survey 's' {\n question = { en = 'Hi {{name}}', de = 'Hallo {{name' } }", 2, "'{{' has no '}}'" },
        { "template 't' {\n body = 'Hi' }", 2, "template 't' has no 'body'; write 'text'" },
        { "cron 'c' {\n interval = '5m' }", 2, "cron 'c' has no 'interval'; write 'every'" },
        { "template 't'", 1, "has no table after it" },
        { "template 't' {\n text = { en = '{{a}}', de = '{{b}}' } }", 1, "'de' lacks {{a}}" },
        { "template 't' { text = '{{a}}', variables = { 'b' } }", 1, "{{a}} is not in 'variables'" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', parameters = { 'b' } } }", 1, "parameter 'b'" },
        { "template 't' { text = '{{a}}', whatsapp = { nam = 'x' } }", 1, "did you mean 'name'" },
        { "template 't' { text = '{{a}}', whatsapp = {\n name = 'x', text = 'Hi {{1}}, {{2}}',\n parameters = { 'a' } } }",
          3, "whatsapp.text has 2 parameters, and 1 is given: a" },
        { "template 't' { text = '{{a}}', whatsapp = {\n name = 'x', text = { en = 'Hi' } } }", 1,
          "whatsapp.text in 'en' has 0 parameters, and 1 is given" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', text = 'Hi {{2}}' } }", 1,
          "has {{2}} and not {{1}}" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', parameters = { first = 'b' } } }", 1,
          "parameter 'b' is not one of its variables" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', parameters = { 'a', first = 'a' } } }", 1,
          "'first' has a name beside others that have none" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', parameters = { first = 1 } } }", 1,
          "the parameter 'first' is the name of a variable, not a number" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', parameters = 1 } }", 1, "are a list of variables" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', text = 'Hi {{first}}' } }", 1,
          "has the name {{first}}, and the parameters are given in an order" },
        { "template 't' { text = '{{a}}', whatsapp = { name = 'x', text = 'Hi {{first}}', parameters = { frist = 'a' } } }",
          1, "has {{first}}, which is not among the parameters; did you mean 'frist'?" },
        { "template 't' { text = 'x', whatsapp = { name = 'x', buttons = { 'Yes' } } }", 1, "button 1 is a table" },
        { "template 't' { text = 'x', whatsapp = { name = 'x', buttons = { { kind = 'cataloge' } } } }", 1,
          "did you mean 'catalog'" },
        { "template 't' { text = 'x', whatsapp = { name = 'x', buttons = { { kind = 'mpm', value = 'p' } } } }", 1,
          "has no 'sections'" },
        { "template 't' { text = 'x', whatsapp = { name = 'x', buttons = { { valu = 'p' } } } }", 1,
          "did you mean 'value'" },
        { "template 't' { text = { english = 'x' } }", 1, "is not a language" },
        { "template 't' { text = 'x', buttons = { { text = 'x', id = 'a', url = 'https://b' } } }", 1, "not both" },
        { "template 't' { text = 'x', on_unknown = 'retry' }", 1, "is not one of hold, resend, give_up" },
        { "survey 's' { question = 'x', labels = { 'a' } }", 1, "1 label for a scale of 5" },
        { "survey 's' { question = 'x', template = 'y' }", 1, "there is no template 'y'" },
        { "survey 's' { question = 'x', expires = 'soon' }", 1, "'soon' is not a duration" },
        { "calendar 'c' { timezone = 'Europe/Zurch', hours = {} }", 1, "no time zone 'Europe/Zurch'" },
        { "calendar 'c' { timezone = 'UTC', hours = { mon = '9-17' } }", 1, "are not hours" },
        { "calendar 'c' { timezone = 'UTC', hours = { mon = { '09:00-12:00', '11:00-13:00' } } }", 1, "overlap" },
        { "calendar 'c' { timezone = 'UTC', hours = { moon = '09:00-12:00' } }", 1, "'moon' is not a day" },
        { "calendar 'c' { timezone = 'UTC', hours = { ['mon-tue'] = '09:00-12:00', tue = '09:00-10:00' } }", 1,
          "given twice" },
        { "endpoint 'e' { url = 'ftp://x' }", 1, "starts with https://" },
        { "endpoint 'e' { url = 'https://x', secret = 'abc' }", 1, "'whsec_'" },
        { "cron 'c' { schedule = '61 * * * *' }", 1, "'61' is no minute" },
        { "calendar 'c' { timezone = 'UTC', hours = {}, holidays = { '02-29', '2028-02-29', '2027-02-29' } }", 1,
          "'2027-02-29' is not a date" },
        { "calendar 'c' { timezone = 'UTC', hours = {}, holidays = { '2026-13-01' } }", 1,
          "'2026-13-01' is not a date" },
        { "calendar 'c' { timezone = 'UTC', hours = {}, special = { ['00-10'] = '09:00-12:00' } }", 1,
          "'00-10' is not a date" },
        { "cron 'c' { every = '1s' }", 1, "at most every 10 seconds" },
        { "cron 'c' { }", 1, "either 'schedule' or 'every'" },
    };
    check_each(cases, sizeof(cases) / sizeof(cases[0]), true);
}

#define IN_RUN(code)                                                                                                   \
    "template 't' { text = 'Hi {{name}} {{amount}}' }\nsurvey 'csat' { question = 'How?' }\n"                          \
    "rule { name = 'x', on = 'message.received', run = function(e, fx)\n" code "\nend }"

static void the_source_is_checked(void **state)
{
    (void)state;
    static const struct expected cases[] = {
        { IN_RUN("e.conversation:send { template = 'tt' }"), 4, "there is no template 'tt'" },
        { IN_RUN("e.conversation:send({ template = \"t\" })"), 4, "needs the variables 'name', 'amount'" },
        { IN_RUN("e.conversation:send {\n template = 't',\n vars = { name = f(1, 2), } }"), 5,
          "needs the variable 'amount'" },
        { IN_RUN("fx:outreach { goal = 'payment.succeeded', steps = { { template = 't' } }, vars = { name = 'x' } }"),
          4, "needs the variable 'amount'" },
        { IN_RUN("fx:outreach { goal = 'payment.paid', steps = {} }"), 4, "unknown event type 'payment.paid'" },
        { IN_RUN("e.conversation:survey 'cast'"), 4, "did you mean 'csat'" },
        { IN_RUN("fx:webhook('crm', {})"), 4, "there is no endpoint 'crm'" },
        { IN_RUN("fx:sned { }"), 4, "fx has no 'sned'" },
        { IN_RUN("fx:send('Hi')"), 4, "fx has no 'send'; it is for a conversation: e.conversation:send(…)" },
        { IN_RUN("fx:wait('1h')"), 4, "fx has no 'wait'; write e.conversation:after(delay, name)" },
        { IN_RUN("fx:opt_out()"), 4, "fx has no 'opt_out'; it is for the contact" },
        { IN_RUN("local x = data('vip')"), 4, "there is no data 'vip'" },
        { IN_RUN("local x = calendar('office'):open(now())"), 4, "there is no calendar 'office'" },
        { "calendar 'c'", 1, "there is no calendar 'c'" },
        { IN_RUN("local x = date('%F', now(),\n'Europe/Zurch')"), 5,
          "date: there is no time zone 'Europe/Zurch'; did you mean 'Europe/Zurich'?" },
        { IN_RUN("local x = local_time(now(), e.contact.timezone or 'zurich').hour"), 4,
          "did you mean 'Europe/Zurich'?" },
        { "cron 'c' { schedule = '0 9 * * *', timezone = 'Europe/Zurch' }", 1, "did you mean 'Europe/Zurich'?" },
    };
    check_each(cases, sizeof(cases) / sizeof(cases[0]), true);
    static const struct expected warnings[] = {
        { IN_RUN("local x = e.mesage"), 4, "did you mean 'message'" },
        { "endpoint 'e' { url = env 'ANSWERD_TEST_NOT_SET' }", 1, "'ANSWERD_TEST_NOT_SET' is not there" },
        { "template 't' { text = 'x', variables = { 'name' } }", 1, "is in no text" },
        { "endpoint 'my-crm' { url = 'https://x' }", 1, "cannot be signed, and none will leave" },
    };
    check_each(warnings, sizeof(warnings) / sizeof(warnings[0]), false);
}

static void what_cannot_be_known_is_not_judged(void **state)
{
    (void)state;
    static const char *const fine[] = {
        IN_RUN("local vars = {} e.conversation:send { template = 't', vars = vars }"),
        IN_RUN("local name = 't' e.conversation:send { template = name }"),
        IN_RUN("e.conversation:send { template = 't', vars = { [e.type] = 1 } }"),
        IN_RUN("local x = { template = 'nothing', vars = {} }"),
        IN_RUN(
            "local x = date('%F', now(), e.contact.timezone or 'Europe/Zurich') .. date('%F', now(), 'no' .. 'zone')"),
        IN_RUN("local function date(a, b, c) return c end local x = date(1, 2, 'blue')"),
        IN_RUN("other:template { template = 'nothing' } -- fx:sned {} e.mesage"),
        IN_RUN("local x = 'e.conversation:send { template = \"nothing\" }' .. [[ fx:sned {} ]]"),
        IN_RUN("e.conversation:send { template = 't', vars = { name = (function() local a, b = 1, 2 return a end)(), "
               "amount = { 1, 2 }[1] } }"),
        IN_RUN("fx:outreach { goal = 'payment.succeeded', steps = { { template = 't', vars = { name = 1, amount = 2 } "
               "} } }"),
        IN_RUN("for _, x in ipairs({}) do if x then e.conversation:send { template = 't', vars = { amount = 1, name = "
               "2, }, } end end"),
    };
    for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
        const struct rule_file files[] = { { "a.lua", fine[i] }, { NULL, NULL } };
        json_t *problems;
        struct rule_set *set;
        struct error e = { .text = "" };
        load_files(files, NULL, &problems, &set, &e);
        /* One of them is no Lua ("{…}[1]"); none of the others may have a problem. */
        if (i != 8 && json_array_size(problems) > 0) {
            print_problems(problems);
            fail_msg("%s", fine[i]);
        }
        json_decref(problems);
        rule_set_free(set);
    }
}

static void all_problems_are_told_and_none_that_follow(void **state)
{
    (void)state;
    const struct rule_file files[] = {
        { "a.lua", "rule { name = 'a', on = 'mesage.received', " RUN " }\nrule { name = 'b', on = 'x', " RUN " }" },
        { "b.lua", "template 't' {\n text = = 'x' }" },
        { "c.lua", "rule { name = 'c', on = 'message.received', run = function(e, fx)\n"
                   "e.conversation:send { template = 't' } end }\nerror('no')" },
        { "data/d.lua", "return 5" },
        { "data/e.lua", "local x = {" },
        { "lib/f.lua", "return }" },
        { NULL, NULL },
    };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    assert_int_equal(load_files(files, NULL, &problems, &set, &e), ERR_INVALID);
    assert_null(set);
    assert_true(has_problem(problems, "rules/a.lua", 1, "unknown event type 'mesage.received'"));
    assert_true(has_problem(problems, "rules/a.lua", 2, "unknown event type 'x'"));
    assert_true(has_problem(problems, "rules/b.lua", 2, "unexpected symbol near '='"));
    assert_true(has_problem(problems, "rules/c.lua", 3, "no"));
    assert_true(has_problem(problems, "rules/data/d.lua", 1, "returns a table"));
    assert_true(has_problem(problems, "rules/data/e.lua", 1, "expected"));
    assert_true(has_problem(problems, "rules/lib/f.lua", 1, "unexpected symbol"));
    assert_int_equal(json_array_size(problems), 7);
    assert_non_null(strstr(e.text, "rules/a.lua:1: "));
    assert_non_null(strstr(e.text, "and 6 more errors"));
    json_decref(problems);
}

static void declarations_come_out_as_documents(void **state)
{
    (void)state;
    setenv("ANSWERD_TEST_URL", "https://crm.example.com", 1);
    struct rule_set *set =
        load_text("template 'pay' { topic = 'billing', category = 'marketing', text = { en = 'Hi {{name}}', ['pt-BR'] "
                  "= 'Oi {{name}}' },\n"
                  "  buttons = { 'Yes', { text = 'Go', url = 'https://x.y' } }, whatsapp = { name = 'pay_v1', language "
                  "= { en = 'en_US' },\n"
                  "  buttons = { { kind = 'copy_code', value = '{{name}}' }, { index = 3, value = 'x' } } } }\n"
                  "survey 'csat' { question = 'How?', cooldown = '7d', words = { great = 5 } }\n"
                  "endpoint 'crm' { url = env 'ANSWERD_TEST_URL', secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' }\n"
                  "calendar 'c' { timezone = 'UTC', hours = { mon = '22:00-02:00' }, holidays = { '12-25' } }\n"
                  "template 'due' { text = 'Hi {{name}}, {{amount}}', whatsapp = { name = 'due_v1',\n"
                  "  text = 'Hi {{first_name}}, you owe {{amount_due}}',\n"
                  "  parameters = { first_name = 'name', amount_due = 'amount' } } }\n"
                  "cron 'daily' { schedule = '0 9 * * *', timezone = 'Europe/Zurich' }\n",
                  NULL);
    const json_t *pay = rule_set_declaration(set, "template", "pay");
    assert_string_equal(json_str(pay, "category"), "marketing");
    assert_string_equal(json_str(pay, "default_language"), "en");
    assert_string_equal(json_str(pay, "on_unknown"), "hold");
    assert_string_equal(json_string_value(json_at(pay, "variables.0")), "name");
    assert_string_equal(json_string_value(json_at(pay, "languages.pt-BR.text")), "Oi {{name}}");
    assert_string_equal(json_string_value(json_at(pay, "languages.en.buttons.0.id")), "Yes");
    assert_string_equal(json_string_value(json_at(pay, "whatsapp.language.en")), "en_US");
    assert_string_equal(json_string_value(json_at(pay, "whatsapp.parameters.0")), "name");
    assert_null(json_at(pay, "whatsapp.parameter_names"));
    const json_t *due = rule_set_declaration(set, "template", "due");
    assert_string_equal(json_string_value(json_at(due, "whatsapp.parameters.0")), "amount");
    assert_string_equal(json_string_value(json_at(due, "whatsapp.parameter_names.0")), "amount_due");
    assert_string_equal(json_string_value(json_at(due, "whatsapp.parameters.1")), "name");
    assert_string_equal(json_string_value(json_at(due, "whatsapp.parameter_names.1")), "first_name");
    assert_string_equal(json_string_value(json_at(pay, "whatsapp.buttons.0.kind")), "copy_code");
    assert_int_equal(json_integer_value(json_at(pay, "whatsapp.buttons.0.index")), 0);
    assert_int_equal(json_integer_value(json_at(pay, "whatsapp.buttons.1.index")), 3);
    assert_string_equal(json_string_value(json_at(pay, "whatsapp.buttons.1.kind")), "quick_reply");
    const json_t *csat = rule_set_declaration(set, "survey", "csat");
    assert_int_equal(json_int(csat, "scale", 0), 5);
    assert_int_equal(json_int(csat, "cooldown_ms", 0), 7 * 86400000);
    assert_int_equal(json_integer_value(json_at(csat, "words.great")), 5);
    const json_t *crm = rule_set_declaration(set, "endpoint", "crm");
    assert_string_equal(json_str(crm, "url"), "https://crm.example.com");
    assert_int_equal(json_array_size(json_array_at(crm, "secrets")), 1);
    const json_t *calendar = rule_set_declaration(set, "calendar", "c");
    assert_int_equal(json_integer_value(json_at(calendar, "days.0.0.1")), 26 * 60);
    assert_int_equal(json_array_size(json_at(calendar, "days.1")), 0);
    assert_true(json_is_array(json_at(calendar, "special.12-25")));
    assert_string_equal(json_string_value(json_at(rule_set_declaration(set, "cron", "daily"), "schedule.timezone")),
                        "Europe/Zurich");
    assert_null(rule_set_declaration(set, "template", "other"));
    assert_null(rule_set_declaration(set, "template", NULL));
    assert_int_equal(json_object_size(rule_set_declarations(set, "setting")), 0);
    rule_set_free(set);
}

static void rules_run_by_priority_then_name(void **state)
{
    (void)state;
    struct rule_set *set = load_text(
        "rule { name = 'b', on = 'message.*', " RUN " }\nrule { name = 'a', on = 'message.received', " RUN " }\n"
        "rule { name = 'c', doc = 'first', priority = 10, on = { 'custom.x', 'timer.*' }, " RUN " }\n"
        "rule { name = 'off', enabled = false, on = 'custom.x', " RUN " }\n",
        NULL);
    assert_int_equal(rule_set_count(set), 3);
    assert_string_equal(rule_set_rule(set, 0)->name, "c");
    assert_string_equal(rule_set_rule(set, 0)->doc, "first");
    assert_string_equal(rule_set_rule(set, 0)->file, "rules/a.lua");
    assert_int_equal(rule_set_rule(set, 0)->line, 3);
    assert_string_equal(rule_set_rule(set, 1)->name, "a");
    assert_string_equal(rule_set_rule(set, 2)->name, "b");
    assert_true(rule_matches(rule_set_rule(set, 0), "custom.x"));
    assert_false(rule_matches(rule_set_rule(set, 0), "custom.xy"));
    assert_true(rule_matches(rule_set_rule(set, 0), "timer.nudge"));
    assert_true(rule_matches(rule_set_rule(set, 2), "message.button"));
    assert_false(rule_matches(rule_set_rule(set, 2), "messages"));
    rule_set_free(set);
}

static void version_of(const struct rule_file *files, char *ret_version)
{
    char directory[256];
    struct rule_sources *sources;
    write_files(files, directory, sizeof(directory));
    assert_int_equal(rule_sources_read(directory, true, &sources, NULL), ERR_NONE);
    snprintf(ret_version, 16, "%s", rule_sources_version(sources));
    rule_sources_free(sources);
    remove_files(files, directory);
}

static void the_version_names_the_contents(void **state)
{
    (void)state;
    char first[16], same[16], other[16], renamed[16], with_test[16];
    version_of((const struct rule_file[]){ { "a.lua", "--1" }, { "lib/b.lua", "--2" }, { NULL, NULL } }, first);
    version_of((const struct rule_file[]){ { "lib/b.lua", "--2" }, { "a.lua", "--1" }, { NULL, NULL } }, same);
    version_of((const struct rule_file[]){ { "a.lua", "--1" }, { "lib/b.lua", "--3" }, { NULL, NULL } }, other);
    version_of((const struct rule_file[]){ { "c.lua", "--1" }, { "lib/b.lua", "--2" }, { NULL, NULL } }, renamed);
    version_of(
        (const struct rule_file[]){
            { "a.lua", "--1" }, { "lib/b.lua", "--2" }, { "a_test.lua", "--" }, { NULL, NULL } },
        with_test);
    assert_int_equal(strlen(first), 12);
    assert_string_equal(first, same);
    assert_string_not_equal(first, other);
    assert_string_not_equal(first, renamed);
    assert_string_equal(first, with_test);
}

static void directories_that_cannot_be_read(void **state)
{
    (void)state;
    struct rule_sources *sources;
    struct error e;
    assert_int_equal(rule_sources_read("/nowhere/rules", false, &sources, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.text, "HINT: "));
    const struct rule_file files[] = { { "lib/Bad-Name.lua", "" }, { NULL, NULL } };
    char directory[256];
    write_files(files, directory, sizeof(directory));
    assert_int_equal(rule_sources_read(directory, false, &sources, &e), ERR_INVALID);
    remove_files(files, directory);
}

static void an_endless_file_does_not_hang_the_loading(void **state)
{
    (void)state;
    const struct rule_file files[] = { { "a.lua", "while true do end" },
                                       { "b.lua", "rule { name = 'x' }" },
                                       { NULL, NULL } };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    assert_int_equal(load_files(files, NULL, &problems, &set, &e), ERR_INVALID);
    assert_true(has_problem(problems, "rules/a.lua", 1, "budget"));
    assert_true(has_problem(problems, "rules/b.lua", 1, "rule needs 'run'"));
    json_decref(problems);
}

static void libraries_and_data(void **state)
{
    (void)state;
    const struct rule_file files[] = {
        { "a.lua", "local words = require 'words'\nrule { name = 'x', on = 'message.received', run = function(e, fx)\n"
                   "fx:emit(words.join(data('team').names), {}) end }" },
        { "lib/words.lua",
          "local words = {}\nfunction words.join(list) return table.concat(list, '-') end\nreturn words" },
        { "data/team.lua", "return { names = { 'ann', 'bob' } }" },
        { NULL, NULL },
    };
    json_t *problems;
    struct rule_set *set;
    struct error e;
    if (load_files(files, NULL, &problems, &set, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    struct rule_outcome outcome = run_rule(set, "{\"type\":\"message.received\"}", NULL);
    assert_int_equal(outcome.verdict, RULE_RAN);
    assert_string_equal(json_string_value(json_at(outcome.effects, "0.name")), "ann-bob");
    rule_outcome_done(&outcome);
    json_decref(problems);
    rule_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_checked),
        cmocka_unit_test(a_word_of_others_is_one_mistake),
        cmocka_unit_test(declarations_are_checked),
        cmocka_unit_test(the_source_is_checked),
        cmocka_unit_test(what_cannot_be_known_is_not_judged),
        cmocka_unit_test(all_problems_are_told_and_none_that_follow),
        cmocka_unit_test(declarations_come_out_as_documents),
        cmocka_unit_test(rules_run_by_priority_then_name),
        cmocka_unit_test(the_version_names_the_contents),
        cmocka_unit_test(directories_that_cannot_be_read),
        cmocka_unit_test(an_endless_file_does_not_hang_the_loading),
        cmocka_unit_test(libraries_and_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
