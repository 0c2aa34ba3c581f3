/* Which budgets the commit gets to look at. */
#include "engine/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char rules_text[] =
    "rule { name = 'own', on = 'custom.x', budget = { sends_per_hour = 10, sends_per_minute = 2 }, run = function() "
    "end }\n"
    "rule { name = 'free', on = 'custom.x', budget = { sends_per_contact_per_day = 0 }, run = function() end }\n"
    "rule { name = 'plain', on = 'custom.x', run = function() end }\n";

static struct rule_set *load_rules(void)
{
    const struct rule_source_file file = { "a.lua", bytes_of(rules_text) };
    struct rule_sources *sources = NULL;
    struct rule_set *set = NULL;
    struct error e;
    assert_int_equal(rule_sources_make("rules", &file, 1, &sources, &e), ERR_NONE);
    assert_int_equal(rule_set_load(sources, NULL, NULL, &set, &e), ERR_NONE);
    rule_sources_free(sources);
    return set;
}

/* What budget_put() makes of deliveries, as JSON text with sorted keys. */
static void check(const struct rule_budget *standard, const char *deliveries, const char *wanted)
{
    struct rule_set *set = load_rules();
    json_t *changes = json_object();
    json_t *list = json_loads(deliveries, 0, NULL);
    assert_non_null(list);
    json_object_set_new(changes, "deliveries", list);
    budget_put(standard, set, changes);
    const json_t *budgets = json_object_get(changes, "budgets");
    char *text = budgets != NULL ? json_dumps(budgets, JSON_SORT_KEYS | JSON_COMPACT) : strdup("none");
    assert_string_equal(text, wanted);
    free(text);
    json_decref(changes);
    rule_set_free(set);
}

#define MESSAGE(rule) "{\"kind\":\"message\",\"rule\":\"" rule "\"}"

static void test_what_a_rule_declares_comes_first(void **state)
{
    (void)state;
    const struct rule_budget standard = { .sends_per_hour = 1000, .sends_per_contact_per_day = 500 };
    check(&standard, "[" MESSAGE("own") "]",
          "{\"own\":{\"sends_per_contact_per_day\":500,\"sends_per_hour\":10,\"sends_per_minute\":2}}");
    check(&standard, "[" MESSAGE("plain") "," MESSAGE("plain") "]",
          "{\"plain\":{\"sends_per_contact_per_day\":500,\"sends_per_hour\":1000}}");
    check(&standard, "[" MESSAGE("free") "]", "{\"free\":{\"sends_per_hour\":1000}}");
}

static void test_a_rule_of_another_version_has_the_standard(void **state)
{
    (void)state;
    const struct rule_budget standard = { .sends_per_minute = 3 };
    check(&standard, "[" MESSAGE("gone") "]", "{\"gone\":{\"sends_per_minute\":3}}");
}

static void test_no_limit_is_no_budget(void **state)
{
    (void)state;
    const struct rule_budget none = { .sends_per_hour = 0 };
    check(&none, "[" MESSAGE("plain") "," MESSAGE("free") "]", "none");
    check(&none, "[]", "none");
}

static void test_only_messages_of_rules_count(void **state)
{
    (void)state;
    const struct rule_budget standard = { .sends_per_hour = 1 };
    check(&standard, "[{\"kind\":\"webhook\",\"rule\":\"own\"},{\"kind\":\"message\"}]", "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_rule_declares_comes_first),
        cmocka_unit_test(test_a_rule_of_another_version_has_the_standard),
        cmocka_unit_test(test_no_limit_is_no_budget),
        cmocka_unit_test(test_only_messages_of_rules_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
