/* Two rule sets side by side: which rules belong together, and from when on their worlds may not be one. */
#include "domain/rule_rival.h"

#include <stdio.h>
#include <string.h>

#include "base/macros.h"

#include "support.h"

#define SAY(NAME, MORE, TEXT)                                                                                          \
    "rule { name = \"" NAME "\", on = \"message.received\"" MORE ", run = function(e, fx) e.conversation:note(\"" TEXT \
    "\") end }\n"

struct pair_of_sets {
    struct rule_sources *sources[2];
    struct rule_set *sets[2];
    struct rule_rival *rival;
};

/* Each line of the text is a file, named after what it declares, with `prefix` before it. */
static struct rule_set *load(const char *prefix, const char *text, struct rule_sources **ret_sources)
{
    struct rule_source_file files[8];
    char names[8][64];
    size_t count = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1, count++) {
        assert_true(count < ARRAY_LEN(files));
        const char *name = strchr(line, '"') + 1;
        snprintf(names[count], sizeof(names[count]), "%s%.*s.lua", prefix, (int)strcspn(name, "\""), name);
        files[count] = (struct rule_source_file){ names[count], { line, strcspn(line, "\n") } };
    }
    struct rule_set *set = NULL;
    struct error e = { .code = ERR_NONE };
    if (rule_sources_make("rules", files, count, ret_sources, &e) != ERR_NONE ||
        rule_set_load(*ret_sources, NULL, NULL, &set, &e) != ERR_NONE)
        fail_msg("%s", e.text);
    return set;
}

static struct rule_rival *begin(struct pair_of_sets *p, const char *own, const char *other_prefix, const char *other)
{
    p->sets[0] = load("a_", own, &p->sources[0]);
    p->sets[1] = load(other_prefix, other, &p->sources[1]);
    p->rival = rule_rival_new(p->sets[0], p->sets[1]);
    if (p->rival)
        rule_rival_begin(p->rival);
    return p->rival;
}

static void end(struct pair_of_sets *p)
{
    rule_rival_free(p->rival);
    for (int i = 0; i < 2; i++) {
        rule_set_free(p->sets[i]);
        rule_sources_free(p->sources[i]);
    }
}

static void rules_are_paired_in_their_order(void **state)
{
    (void)state;
    static const struct {
        const char *own;
        const char *other;
        bool is_same;
    } expected[] = {
        { "first", "first", true }, /* by priority before all names */
        { NULL, "added", false },   { "changed", "changed", false },
        { "gone", NULL, false },    { "moved", NULL, false }, /* another priority is another place */
        { "same", "same", true },   { NULL, "moved", false },
    };
    struct pair_of_sets p;
    struct rule_rival *rival = begin(&p,
                                     SAY("same", "", "x") SAY("moved", "", "x") SAY("gone", "", "x")
                                         SAY("changed", "", "x") SAY("first", ", priority = 9", "x"),
                                     "a_",
                                     SAY("added", "", "x") SAY("changed", "", "y") SAY("first", ", priority = 9", "x")
                                         SAY("moved", ", priority = -1", "x") SAY("same", "", "x"));
    assert_non_null(rival);
    assert_ptr_equal(rule_rival_rules(rival), p.sets[1]);
    const struct rule_pair *pairs;
    assert_int_equal(rule_rival_pairs(rival, &pairs), ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(pairs[i].own != NULL, expected[i].own != NULL);
        assert_int_equal(pairs[i].other != NULL, expected[i].other != NULL);
        assert_int_equal(pairs[i].is_same, expected[i].is_same);
        if (pairs[i].own) {
            assert_string_equal(pairs[i].own->name, expected[i].own);
            assert_ptr_equal(pairs[i].own, rule_set_rule(p.sets[0], pairs[i].own_index));
        }
        if (pairs[i].other) {
            assert_string_equal(pairs[i].other->name, expected[i].other);
            assert_ptr_equal(pairs[i].other, rule_set_rule(p.sets[1], pairs[i].other_index));
        }
    }
    end(&p);
}

static void what_rules_share_must_be_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *own;
        const char *other;
        bool possible;
    } cases[] = {
        { SAY("a", "", "x"), SAY("b", "", "y"), true },
        { "template \"t\" { text = \"One\" }\n", "template \"t\" { text = \"One\" }\n" SAY("a", "", "x"), true },
        { "template \"t\" { text = \"One\" }\n", "template \"t\" { text = \"Two\" }\n", false },
        { "template \"t\" { text = \"One\" }\n", "", false },
        /* The desk sets a timer only for rules that listen to it. */
        { "rule { name = \"w\", on = \"window.closing\", run = function(e, fx) end }\n", SAY("a", "", "x"), false },
        { "rule { name = \"w\", on = \"window.closing\", run = function(e, fx) end }\n",
          "rule { name = \"v\", on = \"window.*\", run = function(e, fx) end }\n", true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair_of_sets p;
        bool is_possible = begin(&p, cases[i].own, "a_", cases[i].other) != NULL;
        if (is_possible != cases[i].possible)
            fail_msg("case %zu: shared is %s", i, is_possible ? "possible" : "not possible");
        end(&p);
    }
}

static struct rule_outcome outcome(enum rule_verdict verdict, const char *effects, bool stop)
{
    struct rule_outcome made = { .verdict = verdict, .stop = stop };
    if (effects)
        assert_int_equal(json_parse(bytes_of(effects), &made.effects, NULL), ERR_NONE);
    return made;
}

static void outcomes_that_part_the_worlds(void **state)
{
    (void)state;
    static const struct {
        enum rule_verdict own_verdict;
        const char *own;
        bool own_stop;
        enum rule_verdict other_verdict;
        const char *other;
        bool other_stop;
        bool differs;
    } cases[] = {
        { RULE_SKIPPED, NULL, false, RULE_SKIPPED, NULL, false, false },
        { RULE_SKIPPED, NULL, false, RULE_RAN, "[]", false, false }, /* asking for nothing is nothing */
        { RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\",\"line\":3}]", false, RULE_RAN,
          "[{\"line\":7,\"tag\":\"a\",\"do\":\"tag\"}]", false, false },
        { RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\"}]", false, RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"b\"}]", false,
          true },
        { RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\"}]", false, RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\",\"more\":1}]",
          false, true },
        { RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\"}]", false, RULE_RAN, "[]", false, true },
        { RULE_RAN, "[{\"do\":\"a\"},{\"do\":\"b\"}]", false, RULE_RAN, "[{\"do\":\"b\"},{\"do\":\"a\"}]", false,
          true },
        { RULE_SKIPPED, NULL, false, RULE_RAN, "[{\"do\":\"tag\",\"tag\":\"a\"}]", false, true },
        { RULE_RAN, "[]", true, RULE_RAN, "[]", false, true },
        { RULE_RAN, "[]", false, RULE_SKIPPED, NULL, true, true },
        { RULE_FAILED, NULL, false, RULE_FAILED, NULL, false, true }, /* the texts of errors name places */
        { RULE_RAN, "[]", false, RULE_OVER_BUDGET, NULL, false, true },
    };
    struct pair_of_sets p;
    struct rule_rival *rival = begin(&p, SAY("a", "", "x"), "a_", SAY("a", "", "y"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rule_outcome own = outcome(cases[i].own_verdict, cases[i].own, cases[i].own_stop);
        struct rule_outcome other = outcome(cases[i].other_verdict, cases[i].other, cases[i].other_stop);
        rule_rival_begin(rival);
        assert_false(rule_rival_differs(rival));
        rule_rival_compare(rival, &own, &other);
        if (rule_rival_differs(rival) != cases[i].differs)
            fail_msg("case %zu: differs is %d", i, rule_rival_differs(rival));
        /* Once apart, they stay apart until the next world. */
        rule_rival_compare(rival, &own, &own);
        assert_true(!cases[i].differs || rule_rival_differs(rival));
        rule_outcome_done(&own);
        rule_outcome_done(&other);
    }
    rule_rival_begin(rival);
    rule_rival_give_up(rival);
    assert_true(rule_rival_differs(rival));
    end(&p);
}

static void failures_and_timers_name_files_and_versions(void **state)
{
    (void)state;
    static const struct {
        const char *other_prefix;
        const char *other;
        bool failure_differs;
        bool timer_differs;
    } cases[] = {
        { "a_", SAY("a", "", "x"), false, false },
        { "a_", SAY("a", "", "x") SAY("b", "", "x"), false, true }, /* another version, and yet the same rule */
        { "b_", SAY("a", "", "x"), true, true },
        { "a_", SAY("a", "", "y"), true, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pair_of_sets p;
        struct rule_rival *rival = begin(&p, SAY("a", "", "x"), cases[i].other_prefix, cases[i].other);
        const struct rule_pair *pairs;
        assert_true(rule_rival_pairs(rival, &pairs) > 0);
        rule_rival_note_failure(rival, &pairs[0]);
        assert_int_equal(rule_rival_differs(rival), cases[i].failure_differs);
        rule_rival_begin(rival);
        rule_rival_note_timer(rival);
        assert_int_equal(rule_rival_differs(rival), cases[i].timer_differs);
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_paired_in_their_order),
        cmocka_unit_test(what_rules_share_must_be_the_same),
        cmocka_unit_test(outcomes_that_part_the_worlds),
        cmocka_unit_test(failures_and_timers_name_files_and_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
