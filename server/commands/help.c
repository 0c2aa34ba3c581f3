/* `answerd help`. */
#include "commands/commands.h"
#include "commands/source_check.h"

#include <stdio.h>
#include <string.h>

#define MAX_MANUAL_BYTES ((size_t)256 * 1024)

static void print_manual(void (*print)(struct buf *out))
{
    struct buf out;
    buf_init(&out, MAX_MANUAL_BYTES);
    print(&out);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&out);
}

static void print_configuration(struct buf *out)
{
    buf_add_text(
        out,
        "The configuration is one Lua file: --config FILE, else ./answerd.lua, else /etc/answerd/answerd.lua.\n"
        "  env(\"NAME\")             the environment variable, which must be set and not empty; without its last line end\n"
        "  env(\"NAME\", default)    the same, with a value for when it is not\n"
        "  file(\"/run/secrets/X\")  the content of a file, without its last line end\n"
        "  source \"NAME\" { … }     a sender of webhooks; `answerd help sources` lists the kinds\n"
        "Durations are texts such as \"250ms\", \"30s\", \"24h\", \"7d\"; sizes \"64KiB\", \"4MiB\".\n\n");
    config_print_manual(out);
}

static int run(const struct command *command, int argc, char **argv)
{
    int operands;
    int exit_code;
    if (!options_parse(command, argc, argv, NULL, &operands, &exit_code))
        return exit_code;
    if (operands > 1)
        return command_usage_error(command, "takes one name");
    if (operands == 0) {
        command_print_overview();
    } else if (strcmp(argv[1], "configuration") == 0) {
        print_manual(print_configuration);
    } else if (strcmp(argv[1], "sources") == 0) {
        print_manual(sources_print_manual);
    } else {
        const struct command *about = command_find(argv[1]);
        if (!about)
            return command_usage_error(command, "there is nothing named '%s'", argv[1]);
        command_print_help(about);
    }
    return EXIT_OK;
}

const struct command command_help = {
    .name = "help",
    .summary = "explain a command, the configuration or the sources",
    .usage = "[COMMAND | configuration | sources]",
    .run = run,
};
