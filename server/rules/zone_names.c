/* The names of the time zones, for who has misspelt one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "rules/zone.h"

#define MAX_NAMES 2000

static void close_file(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

/* The third column of zone.tab: one name for each place that has a time of its own. Ends with NULL. */
static char **read_names(void)
{
    char **names = memory_new((MAX_NAMES + 1) * sizeof(*names));
    CLEANUP(close_file) FILE *file = fopen(ZONE_DIRECTORY "zone.tab", "rbe");
    char line[512];
    for (size_t count = 0; file != NULL && count < MAX_NAMES && fgets(line, sizeof(line), file) != NULL;) {
        char *rest = line;
        strsep(&rest, "\t");
        strsep(&rest, "\t");
        const char *name = strsep(&rest, "\t\n");
        if (line[0] != '#' && name != NULL && *name != '\0') {
            names[count++] = memory_text(name);
        }
    }
    return names;
}

static const char *place_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

/* By the whole name in another case, by the place alone ("zurich"), or by what differs in few letters. */
static const char *nearest_of(const char *name, char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcasecmp(names[i], name) == 0 || strcasecmp(place_of(names[i]), name) == 0) {
            return names[i];
        }
    }
    return text_nearest(name, (const char *const *)names);
}

bool zone_nearest(const char *name, char ret_nearest[ZONE_NAME_BYTES])
{
    char **names = read_names();
    const char *nearest = nearest_of(name, names);
    if (nearest != NULL) {
        snprintf(ret_nearest, ZONE_NAME_BYTES, "%s", nearest);
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        free(names[i]);
    }
    free(names);
    return nearest != NULL;
}
