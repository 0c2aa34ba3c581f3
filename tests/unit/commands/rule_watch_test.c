/* A change of rule files is told once, when it has come to rest. */
#include "commands/rule_watch.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/answerd-watch-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

static int remove_directory(void **state)
{
    (void)state;
    return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *text)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_a_change_is_told_once(void **state)
{
    (void)state;
    struct rule_watch watch;
    write_file("a.lua", "1");
    rule_watch_begin(&watch, directory);
    assert_false(rule_watch_look(&watch, directory));
    write_file("a.lua", "22");
    assert_false(rule_watch_look(&watch, directory)); /* it may go on */
    assert_true(rule_watch_look(&watch, directory));
    assert_false(rule_watch_look(&watch, directory));
}

static void test_files_that_come_and_go(void **state)
{
    (void)state;
    struct rule_watch watch;
    char path[200];
    rule_watch_begin(&watch, directory);
    snprintf(path, sizeof(path), "%s/lib", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file("lib/words.lua", "return {}");
    assert_false(rule_watch_look(&watch, directory));
    assert_true(rule_watch_look(&watch, directory));
    snprintf(path, sizeof(path), "%s/lib/words.lua", directory);
    assert_int_equal(unlink(path), 0);
    assert_false(rule_watch_look(&watch, directory));
    assert_true(rule_watch_look(&watch, directory));
}

static void test_other_files_do_not_matter(void **state)
{
    (void)state;
    struct rule_watch watch;
    rule_watch_begin(&watch, directory);
    write_file("notes.txt", "x");
    write_file(".a.lua.swp", "x");
    write_file(".hidden.lua", "x");
    assert_false(rule_watch_look(&watch, directory));
    assert_false(rule_watch_look(&watch, directory));
}

static void test_a_change_that_is_undone_is_none(void **state)
{
    (void)state;
    struct rule_watch watch;
    rule_watch_begin(&watch, directory);
    write_file("new.lua", "x");
    assert_false(rule_watch_look(&watch, directory));
    char path[200];
    snprintf(path, sizeof(path), "%s/new.lua", directory);
    assert_int_equal(unlink(path), 0);
    assert_false(rule_watch_look(&watch, directory));
    assert_false(rule_watch_look(&watch, directory));
}

static void test_no_directory(void **state)
{
    (void)state;
    struct rule_watch watch;
    rule_watch_begin(&watch, "");
    assert_false(rule_watch_look(&watch, ""));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_change_is_told_once),     CASE(test_files_that_come_and_go),
        CASE(test_other_files_do_not_matter), CASE(test_a_change_that_is_undone_is_none),
        cmocka_unit_test(test_no_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
