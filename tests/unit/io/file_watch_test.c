#include "io/file_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/answerd-watch-XXXXXX";

static void write_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs("x", file);
    fclose(file);
}

static void remove_file(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    assert_int_equal(unlink(path), 0);
}

static void changes_of_files_are_noticed(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    struct file_watch *watch;
    struct error e;
    assert_int_equal(file_watch_new(&watch, &e), ERR_NONE);
    assert_int_equal(file_watch_add(watch, "/tmp/answerd-there-is-no-such-directory", &e), ERR_NONE);
    assert_int_equal(file_watch_add(watch, directory, &e), ERR_NONE);
    assert_int_equal(file_watch_add(watch, directory, &e), ERR_NONE);

    assert_false(file_watch_wait(watch, ".lua", 10, 20));
    write_file("a.lua");
    assert_true(file_watch_wait(watch, ".lua", 10, 2000));
    assert_false(file_watch_wait(watch, ".lua", 10, 20)); /* told once */

    write_file("notes.txt");
    write_file(".a.lua.swp");
    write_file(".b.lua"); /* an editor's */
    assert_false(file_watch_wait(watch, ".lua", 10, 50));
    write_file("b.lua");
    remove_file("a.lua"); /* both are one change */
    assert_true(file_watch_wait(watch, ".lua", 10, 2000));
    assert_false(file_watch_wait(watch, ".lua", 10, 20));
    remove_file("b.lua");
    assert_true(file_watch_wait(watch, ".lua", 10, 2000));

    remove_file("notes.txt");
    remove_file(".a.lua.swp");
    remove_file(".b.lua");
    file_watch_free(watch);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(changes_of_files_are_noticed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
