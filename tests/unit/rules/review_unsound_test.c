/* One look finds everything that is wrong with a set that does not load, and nothing that only follows from it. */
#include "rule_files.h"
#include "rules/rule_review.h"

#define MAX_FILES 6
#define MAX_FOUND 12

struct unsound {
    struct rule_file files[MAX_FILES + 1];
    const char *found[MAX_FOUND + 1]; /* "FILE:LINE: a part of the text", all there are, in any order; ends with NULL */
};

static json_t *look_at(const struct rule_file *files)
{
    char directory[256];
    struct rule_sources *sources;
    struct rule_set *set;
    struct error e = { .text = "" };
    json_t *problems = json_array();
    write_files(files, directory, sizeof(directory));
    err_t err = rule_sources_read(directory, false, &sources, &e);
    remove_files(files, directory);
    assert_int_equal(err, ERR_NONE);
    if (rule_set_load_for_review(sources, NULL, problems, &set, &e) != ERR_NONE ||
        rule_review(set, NULL, problems, &e) != ERR_NONE) {
        fail_msg("%s", e.text);
    }
    rule_set_free(set);
    rule_sources_free(sources);
    return problems;
}

static bool is_found(const json_t *problems, const char *wanted)
{
    size_t index;
    json_t *problem;
    json_array_foreach (problems, index, problem) {
        char place[300];
        snprintf(place, sizeof(place), "%s:%d: ", json_str_or(problem, "file", ""), (int)json_int(problem, "line", 0));
        if (strncmp(wanted, place, strlen(place)) == 0 &&
            strstr(json_str_or(problem, "text", ""), wanted + strlen(place)) != NULL) {
            return true;
        }
    }
    return false;
}

static void check_each(const struct unsound *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *problems = look_at(cases[i].files);
        size_t wanted = 0;
        bool all = true;
        for (; cases[i].found[wanted] != NULL; wanted++) {
            all = all && is_found(problems, cases[i].found[wanted]);
        }
        if (!all || json_array_size(problems) != wanted) {
            char *text = json_dumps(problems, JSON_INDENT(1));
            fail_msg("case %zu: wanted %zu problems, with %s\nfound %s", i, wanted, cases[i].found[0], text);
        }
        json_decref(problems);
    }
}
#define CHECK_EACH(cases) check_each(cases, sizeof(cases) / sizeof(cases[0]))

#define RULE(name, body) "rule { name = '" name "', on = 'message.received', run = function(e, fx)\n" body "\nend }\n"

static void one_mistake_does_not_hide_the_others(void **state)
{
    (void)state;
    static const struct unsound cases[] = {
        /* A file that is no Lua: the others are read, and so is each of several. */
        { { { "a.lua", "x = = 1" },
            { "b.lua", "\nrule { name = 'b'" },
            { "c.lua", RULE("c", "local c = e.conversation\nc:tagg('x')\nlog(e.mesage)\nos.time()") },
            { NULL, NULL } },
          { "rules/a.lua:1: unexpected symbol", "rules/b.lua:2: '}' expected", "rules/c.lua:3: no method 'tagg'",
            "rules/c.lua:4: unknown field 'e.mesage'", "rules/c.lua:5: 'os' is not defined", NULL } },
        /* One that ends half-way: what stands below is read. */
        { { { "a.lua", "local limit = most + 1\nlocal least = fewest\n"
                       "rule { name = 'a', on = 'mesage.received', run = function(e, fx)\nlog(e.mesage)\n"
                       "e.conversation:send { template = 'helo' }\nend }" },
            { NULL, NULL } },
          { "rules/a.lua:1: 'most' is not defined", "rules/a.lua:2: 'fewest' is not defined",
            "rules/a.lua:3: rule 'a': unknown event type 'mesage.received'", "rules/a.lua:4: unknown field 'e.mesage'",
            "rules/a.lua:5: there is no template 'helo'", NULL } },
        /* A mistake of a declaration, beside those of functions. */
        { { { "a.lua", "template 't' { text = 'Hi {{name' }\n" RULE("a", "e.conversation:after('soon', e.type)") },
            { NULL, NULL } },
          { "rules/a.lua:1: '{{' has no '}}'", "rules/a.lua:3: after: 'soon' is not a duration",
            "rules/a.lua:1: the template 't' is not used", NULL } },
        /* Misspelt events of one rule say nothing about the fields that it reads. */
        { { { "a.lua", "rule { name = 'a', on = 'mesage.received', run = function(e, fx)\nlog(e.message.text)\nend }" },
            { NULL, NULL } },
          { "rules/a.lua:1: unknown event type 'mesage.received'", NULL } },
    };
    CHECK_EACH(cases);
}

static void what_a_broken_file_may_declare_is_not_missed(void **state)
{
    (void)state;
    static const struct unsound cases[] = {
        { { { "a.lua", "template \"hello\" { text = 'Hi' }\nsurvey('csat') { question = }\ncalendar 'office' {" },
            { "b.lua", RULE("b", "e.conversation:send { template = 'hello' }\ne.conversation:survey('csat')\n"
                                 "calendar('office'):open(now())\nfx:webhook('crm', {})") },
            { NULL, NULL } },
          { "rules/a.lua:2: unexpected symbol", "rules/b.lua:5: there is no endpoint 'crm'", NULL } },
        /* By a name that only running it would tell. */
        { { { "a.lua", "for _, name in ipairs { 'x', 'y' } do template(name .. '_v1') { text = 'Hi' } end\nx = = 1" },
            { "b.lua", RULE("b", "e.conversation:send { template = 'x_v1' }") },
            { NULL, NULL } },
          { "rules/a.lua:2: unexpected symbol", NULL } },
        /* Data that does not load is there. */
        { { { "a.lua", RULE("a", "log(data('team'), data('teem'))") },
            { "data/team.lua", "return { 'ann'" },
            { NULL, NULL } },
          { "rules/data/team.lua:1: '}' expected", "rules/a.lua:2: there is no data 'teem'", NULL } },
        /* Nobody knows whether what is not used, or never set, is meant for the broken file. */
        { { { "a.lua", "x = = 1" },
            { "b.lua", "template 'unused' { text = 'x' }\nrule { name = 'b', on = 'timer.x', run = function() end }" },
            { NULL, NULL } },
          { "rules/a.lua:1: unexpected symbol", NULL } },
    };
    CHECK_EACH(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_mistake_does_not_hide_the_others),
        cmocka_unit_test(what_a_broken_file_may_declare_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
