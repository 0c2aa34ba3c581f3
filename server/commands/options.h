/* Command-line options, declared as a table that parsing and --help share.
 *
 *   --name VALUE and --name=VALUE are the same; `--` ends the options; "-" is an operand. Unknown options are refused
 *   with the nearest known one. --help (-h) needs no entry.
 */
#ifndef COMMANDS_OPTIONS_H
#define COMMANDS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"

struct command;

enum option_kind {
    OPTION_FLAG,     /* bool *: true when given */
    OPTION_TEXT,     /* const char **: the last one given; points into argv */
    OPTION_TEXTS,    /* struct option_texts *: each one given */
    OPTION_NUMBER,   /* int64_t *: digits, perhaps with a leading '-' */
    OPTION_DURATION, /* int64_t *: milliseconds, from "30s", "7d" */
};

#define OPTION_MAX_TEXTS 64
struct option_texts {
    const char *items[OPTION_MAX_TEXTS];
    size_t count;
};

struct command_option {
    const char *name; /* without the dashes */
    enum option_kind kind;
    const char *placeholder; /* "DIR"; NULL for flags */
    const char *help;
};

/* What every command has that opens the configuration. */
#define OPTION_CONFIG                                                                                                  \
    {                                                                                                                  \
        "config", OPTION_TEXT, "FILE", "the configuration; otherwise ./answerd.lua or /etc/answerd/answerd.lua"        \
    }

/* Where the value of the option with the same index goes: `values` is an array of pointers as the kinds say, in the
 * order of command->options. Values of options that are not given stay as they are.
 *
 * True: go on; argv[1] .. argv[*ret_operands] are the operands. False: stop with `*ret_exit` (help was printed, or the
 * error was). */
bool options_parse(const struct command *command, int argc, char **argv, void *const *values, int *ret_operands,
                   int *ret_exit) MUST_CHECK;

#endif
