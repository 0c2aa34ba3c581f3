/* Rule files that are kept elsewhere and come back: the same version, the same rules. */
#include "rule_files.h"

static const struct rule_file files[] = {
    { "b.lua", "local words = require 'words'\nrule { name = 'b', on = 'custom.b', run = function() end }\n" },
    { "a.lua", "rule { name = 'a', on = 'custom.a', run = function() end }\n" },
    { "a_test.lua", "test('nothing', function(t) end)\n" },
    { "lib/words.lua", "return {}\n" },
    { "data/people.lua", "return { 'ann' }\n" },
    { NULL, NULL },
};

static struct rule_sources *read_files(bool with_tests)
{
    char directory[300];
    struct rule_sources *sources = NULL;
    struct error e;
    write_files(files, directory, sizeof(directory));
    assert_int_equal(rule_sources_read(directory, with_tests, &sources, &e), ERR_NONE);
    remove_files(files, directory);
    return sources;
}

static struct rule_sources *make_again(const struct rule_sources *sources)
{
    size_t count = rule_sources_count(sources);
    struct rule_source_file *kept = calloc(count, sizeof(*kept));
    for (size_t i = 0; i < count; i++)
        kept[count - 1 - i] = rule_sources_file(sources, i); /* in another order */
    struct rule_sources *again = NULL;
    struct error e;
    assert_int_equal(rule_sources_make(rule_sources_directory(sources), kept, count, &again, &e), ERR_NONE);
    free(kept);
    return again;
}

static void test_kept_files_make_the_same_version(void **state)
{
    (void)state;
    struct rule_sources *read = read_files(false);
    struct rule_sources *again = make_again(read);
    assert_string_equal(rule_sources_version(read), rule_sources_version(again));
    assert_string_equal(rule_sources_directory(again), "rules");
    struct rule_set *set = NULL;
    struct error e;
    assert_int_equal(rule_set_load(again, NULL, NULL, &set, &e), ERR_NONE);
    assert_int_equal(rule_set_count(set), 2);
    assert_string_equal(rule_set_rule(set, 0)->file, "rules/a.lua");
    rule_set_free(set);
    rule_sources_free(again);
    rule_sources_free(read);
}

static void test_tests_are_not_kept(void **state)
{
    (void)state;
    struct rule_sources *read = read_files(true);
    assert_int_equal(rule_sources_count(read), 4);
    for (size_t i = 0; i < rule_sources_count(read); i++)
        assert_null(strstr(rule_sources_file(read, i).name, "_test"));
    struct rule_sources *again = make_again(read);
    assert_string_equal(rule_sources_version(read), rule_sources_version(again));
    rule_sources_free(again);
    rule_sources_free(read);
}

static void test_any_byte_is_kept(void **state)
{
    (void)state;
    static const char bytes[] = "-- \xff\x00\x80\n";
    const struct rule_source_file file = { "a.lua", { bytes, sizeof(bytes) - 1 } };
    struct rule_sources *sources = NULL;
    struct error e;
    assert_int_equal(rule_sources_make("rules", &file, 1, &sources, &e), ERR_NONE);
    struct rule_source_file kept = rule_sources_file(sources, 0);
    assert_int_equal(kept.text.len, sizeof(bytes) - 1);
    assert_memory_equal(kept.text.ptr, bytes, sizeof(bytes) - 1);
    rule_sources_free(sources);
}

static void test_too_much_is_refused(void **state)
{
    (void)state;
    struct rule_source_file *many = calloc(1001, sizeof(*many));
    for (size_t i = 0; i < 1001; i++)
        many[i] = (struct rule_source_file){ "a.lua", { "", 0 } };
    struct rule_sources *sources = NULL;
    struct error e;
    assert_int_equal(rule_sources_make("rules", many, 1001, &sources, &e), ERR_TOO_BIG);
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_files_make_the_same_version),
        cmocka_unit_test(test_tests_are_not_kept),
        cmocka_unit_test(test_any_byte_is_kept),
        cmocka_unit_test(test_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
