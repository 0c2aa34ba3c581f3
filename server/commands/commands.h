/* The sub-commands of the program, and what they share.
 *
 * A command is a file commands/NAME.c that defines `const struct command command_NAME`. To add one: declare it here
 * (in alphabetical order), put it in the table of commands/commands.c where its group is, and name the file in
 * commands/CMakeLists.txt.
 */
#ifndef COMMANDS_COMMANDS_H
#define COMMANDS_COMMANDS_H

#include "commands/options.h"
#include "config/config.h"
#include "io/pg.h"

/* What the program's exit status says; `answerd --help` prints these. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_WRONG = 1,         /* what was checked is wrong: a rule, a signature, a test, a story step */
    EXIT_USAGE = 2,         /* the command line */
    EXIT_CONFIGURATION = 3, /* the configuration file, a secret, an address that is taken, or the rules */
    EXIT_DATABASE = 4,      /* PostgreSQL cannot be reached, or its schema is of another version */
    EXIT_INTERNAL = 70,     /* a bug, or the machine refused something */
};

struct command {
    const char *name;
    const char *summary;                  /* one line, lower case, no full stop */
    const char *usage;                    /* "[--json] [FILE]", or several forms, one a line */
    const char *details;                  /* paragraphs for `answerd help NAME`; may be NULL */
    const struct command_option *options; /* ends with a NULL name; may be NULL */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0] is the name; gives an exit code */
};

extern const struct command command_backtest;
extern const struct command command_capture;
extern const struct command command_check;
extern const struct command command_health;
extern const struct command command_held;
extern const struct command command_help;
extern const struct command command_init;
extern const struct command command_migrate;
extern const struct command command_promote;
extern const struct command command_reload;
extern const struct command command_reparse;
extern const struct command command_replay;
extern const struct command command_rollback;
extern const struct command command_serve;
extern const struct command command_shadow;
extern const struct command command_simulate;
extern const struct command command_test;
extern const struct command command_token;
extern const struct command command_version;
extern const struct command command_versions;
extern const struct command command_webhook;
extern const struct command command_why;

/* The table, in the order of `answerd --help`; ends with NULL. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);   /* NULL when unknown */
void command_print_help(const struct command *command); /* on stdout */
void command_print_overview(void);                      /* on stdout: what `answerd --help` says */

/* Runs what the command line names; the program's exit code. `argv[0]` is the program. */
int command_main(int argc, char **argv);

/* --- what many commands do ------------------------------------------------------------------------------------- */

/* Prints "answerd COMMAND: text" on stderr and gives EXIT_USAGE, with a word on --help. */
int command_usage_error(const struct command *command, const char *format, ...) PRINTF_LIKE(2, 3);
/* Prints the error on stderr and gives the exit code that fits: a lost or refused database gives EXIT_DATABASE. */
int command_failed(const struct command *command, const struct error *e);

/* Loads the configuration, checks its sources and sets up the log as it says. On problems prints them and gives the
 * exit code; EXIT_OK otherwise. `path` NULL searches. */
int command_load_config(const struct command *command, const char *path, bool dev, struct config **ret_config);
/* Connects to the configured database as `application_name` ("answerd migrate"). */
int command_open_database(const struct command *command, const struct config *config, const char *application_name,
                          struct pg **ret_pg);
/* Reads a file, or stdin when `path` is NULL or "-"; more than `max` bytes are an error. The buffer is initialised
 * here. */
err_t command_read_input(const char *path, size_t max, struct buf *ret_content, struct error *reterr) MUST_CHECK;

#endif
