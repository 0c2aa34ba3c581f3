/* A configuration file: it is taken or its problems have places; nothing hangs and nothing is left behind. */
#include "config/config.h"

#include <stdio.h>
#include <unistd.h>

#include "commands/source_check.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static char path[64];
    if (!path[0])
        snprintf(path, sizeof(path), "/dev/shm/answerd-config-fuzz-%d", (int)getpid());
    FILE *file = fopen(path, "we");
    MUST_HOLD(file);
    MUST_HOLD(fwrite(data, 1, size, file) == size);
    fclose(file);
    json_t *problems = json_array();
    struct config *config = NULL;
    struct error e = { 0 };
    err_t result = config_read(path, false, problems, &config, &e);
    MUST_HOLD(result == ERR_NONE ? config && json_array_size(problems) == 0 : e.text[0] != '\0');
    if (config) { /* also one with problems, in which `answerd check` looks for more of them */
        sources_check(config, problems);
        config_free(config);
    }
    struct buf text;
    buf_init(&text, (size_t)256 * 1024);
    for (size_t i = 0; i < json_array_size(problems); i++)
        config_add_problem_text(&text, json_array_get(problems, i));
    buf_done(&text);
    json_decref(problems);
    unlink(path);
    return 0;
}
