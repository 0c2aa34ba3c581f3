/* The program: everything is a command. */
#include "commands/commands.h"

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
