#include "commands/options.h"

#include "commands/commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct command_option options[] = {
    { "flag", OPTION_FLAG, NULL, "a flag" },
    { "text", OPTION_TEXT, "TEXT", "a text" },
    { "many", OPTION_TEXTS, "TEXT", "several texts" },
    { "number", OPTION_NUMBER, "N", "a number" },
    { "since", OPTION_DURATION, "TIME", "a duration" },
    { NULL, OPTION_FLAG, NULL, NULL },
};
static const struct command command = { .name = "sample", .summary = "a sample", .usage = "", .options = options };

static bool flag;
static const char *text;
static struct option_texts many;
static int64_t number;
static int64_t since;
static int operands;
static int exit_code;
static char *words[80];

/* `line` is cut at spaces. */
static bool parse(const char *line)
{
    static char copy[2000];
    void *const values[] = { &flag, &text, &many, &number, &since };
    int count = 1;
    flag = false;
    text = NULL;
    many.count = 0;
    number = since = -1;
    operands = exit_code = -1;
    words[0] = copy;
    snprintf(copy, sizeof(copy), "sample %s", line);
    for (char *at = strchr(copy, ' '); at && at[1]; at = strchr(at + 1, ' ')) {
        *at = '\0';
        words[count++] = at + 1;
    }
    words[count] = NULL;
    return options_parse(&command, count, words, values, &operands, &exit_code);
}

static void understood(void **state)
{
    (void)state;
    assert_true(parse("one --flag --text=a=b two --many x --many=y --number -5 --since 1h30m -"));
    assert_int_equal(operands, 3);
    assert_string_equal(words[1], "one");
    assert_string_equal(words[2], "two");
    assert_string_equal(words[3], "-");
    assert_true(flag);
    assert_string_equal(text, "a=b");
    assert_int_equal(many.count, 2);
    assert_string_equal(many.items[1], "y");
    assert_int_equal(number, -5);
    assert_int_equal(since, 5400000);
    assert_true(parse("--text --flag -- --flag -x"));
    assert_string_equal(text, "--flag");
    assert_false(flag);
    assert_int_equal(operands, 2);
    assert_true(parse("--text="));
    assert_string_equal(text, "");
    assert_true(parse(""));
    assert_int_equal(operands, 0);
}

static void refused(void **state)
{
    (void)state;
    static const char *const lines[] = { "--unknown", "--fla",   "--flag=yes", "--text", "--number x", "--number=",
                                         "--since 5", "--since", "-f",         "-text",  "--=x",       "---flag" };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (parse(lines[i]))
            fail_msg("'%s' was accepted", lines[i]);
        assert_int_equal(exit_code, EXIT_USAGE);
    }
    assert_false(parse("--flag --help"));
    assert_int_equal(exit_code, EXIT_OK);
}

static void every_command_is_complete(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i]; i++) {
        assert_non_null(commands[i]->summary);
        assert_non_null(commands[i]->usage);
        assert_non_null(commands[i]->run);
        assert_ptr_equal(command_find(commands[i]->name), commands[i]);
        for (const struct command_option *o = commands[i]->options; o && o->name; o++) {
            assert_non_null(o->help);
            assert_int_equal(o->placeholder == NULL, o->kind == OPTION_FLAG);
        }
    }
    assert_null(command_find("nothing"));
}

static void exit_codes(void **state)
{
    (void)state;
    static const struct {
        const char *words[4];
        int code;
    } rows[] = {
        { { "answerd" }, EXIT_USAGE },
        { { "answerd", "--help" }, EXIT_OK },
        { { "answerd", "-h" }, EXIT_OK },
        { { "answerd", "--version" }, EXIT_OK },
        { { "answerd", "version", "--help" }, EXIT_OK },
        { { "answerd", "help", "check" }, EXIT_OK },
        { { "answerd", "help", "configuration" }, EXIT_OK },
        { { "answerd", "help", "sources" }, EXIT_OK },
        { { "answerd", "help", "nothing" }, EXIT_USAGE },
        { { "answerd", "nothing" }, EXIT_USAGE },
        { { "answerd", "--nothing" }, EXIT_USAGE },
        { { "answerd", "check", "operand" }, EXIT_USAGE },
        { { "answerd", "check", "--rules=/nowhere" }, EXIT_WRONG },
        { { "answerd", "check", "--config=/nowhere" }, EXIT_WRONG },
        { { "answerd", "token", "list", "--config=/nowhere" }, EXIT_CONFIGURATION },
        { { "answerd", "token", "create" }, EXIT_USAGE },
        { { "answerd", "token", "lost" }, EXIT_USAGE },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *argv[5] = { NULL };
        int argc = 0;
        for (; argc < 4 && rows[i].words[argc]; argc++)
            argv[argc] = (char *)(uintptr_t)rows[i].words[argc];
        if (command_main(argc, argv) != rows[i].code)
            fail_msg("'%s %s' does not give %d", argv[1] ? argv[1] : "", argv[2] ? argv[2] : "", rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(understood),
        cmocka_unit_test(refused),
        cmocka_unit_test(every_command_is_complete),
        cmocka_unit_test(exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
