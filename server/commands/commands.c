#include "commands/commands.h"

#include "base/text.h"
#include "commands/source_check.h"
#include "io/library_versions.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct command *const commands[] = {
    /* running */
    &command_serve,
    &command_migrate,
    &command_health,
    &command_simulate,
    /* rules */
    &command_init,
    &command_check,
    &command_test,
    &command_backtest,
    &command_capture,
    &command_reload,
    &command_shadow,
    &command_promote,
    &command_rollback,
    &command_versions,
    /* operating */
    &command_held,
    &command_why,
    &command_replay,
    &command_reparse,
    &command_webhook,
    &command_token,
    /* the program itself */
    &command_help,
    &command_version,
    NULL,
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* --- help ------------------------------------------------------------------------------------------------------- */

static void print_option(const char *name, const char *placeholder, const char *help)
{
    char left[80];
    snprintf(left, sizeof(left), "--%s%s%s", name, placeholder ? " " : "", placeholder ? placeholder : "");
    printf("  %-26s %s\n", left, help);
}

void command_print_help(const struct command *command)
{
    printf("answerd %s: %s\n\n", command->name, command->summary);
    struct bytes usage = bytes_of(command->usage);
    do {
        struct bytes line = text_next_field(&usage, '\n');
        printf("%s answerd %s%s%.*s\n", line.ptr == command->usage ? "Usage:" : "      ", command->name,
               line.len ? " " : "", (int)line.len, line.len ? line.ptr : "");
    } while (usage.len > 0);
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\nOptions:\n");
    for (const struct command_option *option = command->options; option && option->name; option++)
        print_option(option->name, option->placeholder, option->help);
    print_option("help", NULL, "print this");
}

void command_print_overview(void)
{
    printf("answerd: event-driven support automation. Webhooks in, Lua rules decide, messages out, SQL tells the "
           "story.\n\n"
           "Usage: answerd COMMAND [OPTION]...\n\nCommands:\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n`answerd help COMMAND` or `answerd COMMAND --help` tells more; `answerd help configuration` and\n"
           "`answerd help sources` list every setting.\n"
           "\nExit status:\n"
           "  %2d  success\n"
           "  %2d  what was checked is wrong: a rule, a signature, a test\n"
           "  %2d  the command line is wrong\n"
           "  %2d  the configuration or a secret is wrong or missing, its address is taken, or the rules do not load\n"
           "  %2d  the database cannot be reached, or its schema is of another version\n"
           "  %2d  a bug, or the machine refused something\n",
           EXIT_OK, EXIT_WRONG, EXIT_USAGE, EXIT_CONFIGURATION, EXIT_DATABASE, EXIT_INTERNAL);
}

/* --- running ---------------------------------------------------------------------------------------------------- */

static int unknown_command(const char *name)
{
    const char *names[ARRAY_LEN(commands)];
    size_t count = 0;
    for (; commands[count]; count++)
        names[count] = commands[count]->name;
    names[count] = NULL;
    const char *nearest = text_nearest(name, names);
    fprintf(stderr, "answerd: unknown command '%s'\n", name);
    if (nearest)
        fprintf(stderr, "HINT: did you mean '%s'?\n", nearest);
    else
        fprintf(stderr, "HINT: `answerd --help` lists the commands\n");
    return EXIT_USAGE;
}

/* Output that did not arrive (a full disk, a closed pipe) must not look like success. */
static int finish_output(int exit_code)
{
    errno = 0; /* an earlier write may have failed, and its reason is gone */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    if (errno != EPIPE)
        fprintf(stderr, "answerd: cannot write the output: %s\n", errno != 0 ? strerror(errno) : "it was cut short");
    return exit_code == EXIT_OK ? EXIT_INTERNAL : exit_code;
}

int command_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    if (!name) {
        fprintf(stderr, "answerd: a command is needed\nHINT: `answerd --help` lists the commands\n");
        return EXIT_USAGE;
    }
    signal(SIGPIPE, SIG_IGN);
    json_set_memory();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    const struct command *command = command_find(name);
    if (!command)
        return unknown_command(name);
    struct error error;
    if (command != &command_version && library_versions_check(&error) != ERR_NONE)
        return command_failed(command, &error);
    return finish_output(command->run(command, argc - 1, argv + 1));
}

/* --- what many commands do --------------------------------------------------------------------------------------- */

int command_usage_error(const struct command *command, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "answerd %s: ", command->name);
    vfprintf(stderr, format, values);
    va_end(values);
    fprintf(stderr, "\nHINT: `answerd help %s` tells how to call it\n", command->name);
    return EXIT_USAGE;
}

int command_failed(const struct command *command, const struct error *e)
{
    fprintf(stderr, "answerd %s: %s\n", command->name, e->text);
    switch (e->code) {
    case ERR_LOST:
    case ERR_BUSY:
    case ERR_TIMEOUT:
    case ERR_CONFLICT:
        return EXIT_DATABASE;
    case ERR_INTERNAL:
        return EXIT_INTERNAL;
    default:
        return e->sqlstate[0] ? EXIT_DATABASE : EXIT_WRONG;
    }
}

int command_load_config(const struct command *command, const char *path, bool dev, struct config **ret_config)
{
    struct config *config;
    struct error e;
    err_t err = config_load(path, dev, &config, &e);
    if (err) {
        /* Problems of the file begin with file:line, for editors. */
        fprintf(stderr, "%s%s%s%s\n", err == ERR_INVALID ? "" : "answerd ", err == ERR_INVALID ? "" : command->name,
                err == ERR_INVALID ? "" : ": ", e.text);
        return EXIT_CONFIGURATION;
    }
    json_t *problems = json_array();
    bool correct = sources_check(config, problems);
    struct buf text;
    buf_init(&text, (size_t)256 * 1024);
    for (size_t i = 0; i < json_array_size(problems); i++)
        config_add_problem_text(&text, json_array_get(problems, i));
    fwrite(text.ptr ? text.ptr : "", 1, text.len, stderr);
    buf_done(&text);
    json_decref(problems);
    if (!correct) {
        config_free(config);
        return EXIT_CONFIGURATION;
    }
    log_configure(config->log.level, config->log.json);
    *ret_config = config;
    return EXIT_OK;
}

int command_open_database(const struct command *command, const struct config *config, const char *application_name,
                          struct pg **ret_pg)
{
    const struct pg_settings wanted = { .conninfo = config->database.url, .application_name = application_name };
    struct error e;
    if (pg_open(&wanted, ret_pg, &e) == ERR_NONE)
        return EXIT_OK;
    fprintf(stderr, "answerd %s: %s\n", command->name, e.text);
    return EXIT_DATABASE;
}

err_t command_read_input(const char *path, size_t max, struct buf *ret_content, struct error *reterr)
{
    bool from_stdin = !path || strcmp(path, "-") == 0;
    const char *shown = from_stdin ? "standard input" : path;
    buf_init(ret_content, max + 1);
    FILE *file = from_stdin ? stdin : fopen(path, "re");
    if (!file)
        return fail(reterr, ERR_NOT_FOUND, "cannot read '%s': %s", path, strerror(errno));
    char block[8192];
    size_t length;
    while (ret_content->len <= max && (length = fread(block, 1, sizeof(block), file)) > 0) {
        size_t room = max + 1 - ret_content->len;
        buf_add(ret_content, block, length < room ? length : room);
    }
    bool broken = ferror(file);
    if (!from_stdin)
        fclose(file);
    if (!broken && ret_content->len <= max)
        return ERR_NONE;
    buf_done(ret_content);
    if (broken)
        return fail(reterr, ERR_INVALID, "cannot read '%s': it is no ordinary file", shown);
    return fail(reterr, ERR_TOO_BIG, "'%s' is larger than %zu bytes", shown, max);
}
