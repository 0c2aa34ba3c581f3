/* The program: everything is a command. */
#include "commands/commands.h"

#ifdef ANSWERD_JEMALLOC
/* Read by jemalloc before main() begins. Memory that nobody uses for five seconds goes back to the kernel, so that a
 * burst does not stay in the resident size; two arenas serve the few threads that allocate. */
extern const char *malloc_conf;
const char *malloc_conf = "narenas:2,dirty_decay_ms:5000,muzzy_decay_ms:0";
#endif

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
