/* `answerd test`: runs the *_test.lua files of rule directories, without a database or a network. */
#include "base/clock.h"
#include "commands/commands.h"
#include "commands/rule_tests.h"
#include "io/file_watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUIET_MS 80 /* of one save */

struct test_options {
    struct rule_tests_options tests;
    const char *junit;
    bool watch;
};

struct paths {
    char *const *items;
    int count;
};

static int exit_code_of(const struct rule_tests *tests)
{
    if (tests->broken)
        return EXIT_CONFIGURATION;
    if (tests->passed + tests->failed == 0) {
        const char *filter = tests->options->filter;
        fprintf(stderr, "answerd test: no test%s%s%s\nHINT: tests are in files *_test.lua beside the rules\n",
                filter ? " has '" : " was found", filter ? filter : "", filter ? "' in its name" : "");
        return EXIT_WRONG;
    }
    return tests->failed > 0 ? EXIT_WRONG : EXIT_OK;
}

static int run_once(const struct command *command, const struct paths *paths, const struct test_options *options)
{
    struct rule_tests tests;
    rule_tests_begin(&tests, &options->tests);
    msec_t began = clock_steady();
    if (options->tests.tap)
        printf("TAP version 13\n");
    for (int i = 0; i < paths->count; i++)
        rule_tests_run(&tests, paths->items[i]);
    if (options->tests.tap && tests.broken)
        printf("Bail out! the rules do not load\n");
    else if (options->tests.tap)
        printf("1..%zu\n", tests.passed + tests.failed);
    printf("%s%zu passed, %zu failed, %.2f s\n", options->tests.tap ? "# " : "", tests.passed, tests.failed,
           (double)(clock_steady() - began) / 1000);
    fflush(stdout);
    int exit_code = exit_code_of(&tests);
    struct error e;
    if (options->junit && rule_tests_write_junit(&tests, options->junit, &e)) {
        fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
        exit_code = EXIT_INTERNAL;
    }
    rule_tests_done(&tests);
    return exit_code;
}

/* The directory itself, lib and data; those that are made in the meantime are found at the next change. */
static err_t watch_directories(struct file_watch *watch, const struct paths *paths, struct error *reterr)
{
    err_t err = ERR_NONE;
    for (int i = 0; i < paths->count && err == ERR_NONE; i++) {
        const char *only_file;
        char *directory = rule_tests_directory(paths->items[i], &only_file);
        static const char *const folders[] = { "", "/lib", "/data" };
        for (size_t n = 0; n < ARRAY_LEN(folders) && err == ERR_NONE; n++) {
            struct buf path;
            buf_init(&path, 65536);
            buf_addf(&path, "%s%s", directory, folders[n]);
            err = file_watch_add(watch, path.ptr, reterr);
            buf_done(&path);
        }
        free(directory);
    }
    return err;
}

static int run_watching(const struct command *command, const struct paths *paths, const struct test_options *options)
{
    struct file_watch *watch;
    struct error e;
    if (file_watch_new(&watch, &e))
        return command_failed(command, &e);
    for (;;) {
        /* Watched before the files are read, so that no change falls between. */
        err_t err = watch_directories(watch, paths, &e);
        if (err) {
            file_watch_free(watch);
            return command_failed(command, &e);
        }
        if (isatty(STDOUT_FILENO))
            printf("\033[2J\033[H");
        run_once(command, paths, options);
        printf("waiting for a file to change; end with Ctrl-C\n");
        if (fflush(stdout) != 0 || ferror(stdout))
            break; /* nobody reads it any more */
        while (!file_watch_wait(watch, ".lua", QUIET_MS, -1))
            if (errno != EINTR)
                break;
    }
    file_watch_free(watch);
    return EXIT_OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct test_options options = { .watch = false };
    void *const values[] = { &options.tests.filter,   &options.tests.shuffle, &options.tests.tap,
                             &options.tests.coverage, &options.junit,         &options.watch };
    int operands, exit_code;
    if (!options_parse(command, argc, argv, values, &operands, &exit_code))
        return exit_code;
    const char *shuffle = options.tests.shuffle;
    if (shuffle && (!*shuffle || strspn(shuffle, "0123456789") != strlen(shuffle)))
        return command_usage_error(command, "--shuffle takes a number, not '%s'", shuffle);
    char usual_directory[] = "rules";
    char *const usual[] = { usual_directory };
    struct paths paths = { argv + 1, operands };
    if (operands == 0)
        paths = (struct paths){ usual, 1 };
    return options.watch ? run_watching(command, &paths, &options) : run_once(command, &paths, &options);
}

static const struct command_option options_table[] = {
    { "filter", OPTION_TEXT, "TEXT", "only tests with TEXT in their name or file" },
    { "shuffle", OPTION_TEXT, "SEED", "run them in another order, the same for the same SEED" },
    { "tap", OPTION_FLAG, NULL, "print the Test Anything Protocol" },
    { "coverage", OPTION_FLAG, NULL, "say which rules ran, and which 'when' was both true and false" },
    { "junit", OPTION_TEXT, "FILE", "also write the results to FILE, as JUnit's XML" },
    { "watch", OPTION_FLAG, NULL, "run again whenever a file changes" },
    { NULL, OPTION_FLAG, NULL, NULL },
};

const struct command command_test = {
    .name = "test",
    .summary = "run the unit tests of rules",
    .usage = "[--filter TEXT] [--shuffle SEED] [--tap] [--coverage] [--junit FILE] [--watch] [PATH]...",
    .details =
        "PATH is a directory of rules or one of its *_test.lua files; `rules` when none is given. The tests run\n"
        "in the real sandbox with a world in memory and virtual time: no database, no network, no waiting.\n"
        "They find one source of each kind, under the kind's name: whatsapp, telegram, stripe, ...",
    .options = options_table,
    .run = run,
};
