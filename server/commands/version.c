/* `answerd version`. */
#include "channel/channel.h"
#include "commands/commands.h"
#include "io/library_versions.h"
#include "store/store.h"

#include <stdio.h>

static int run(const struct command *command, int argc, char **argv)
{
    int operands;
    int exit_code;
    if (!options_parse(command, argc, argv, NULL, &operands, &exit_code))
        return exit_code;
    if (operands > 0)
        return command_usage_error(command, "takes no operand, got '%s'", argv[1]);
    struct buf libraries;
    buf_init(&libraries, 1000);
    library_versions(&libraries);
    printf("answerd %s\nparsers %d\nschema %d\n%s", ANSWERD_VERSION, CHANNEL_PARSER_VERSION, store_schema_version(),
           libraries.ptr);
    buf_done(&libraries);
    return EXIT_OK;
}

const struct command command_version = {
    .name = "version",
    .summary = "print the versions of the program, its schema and its libraries",
    .usage = "",
    .run = run,
};
