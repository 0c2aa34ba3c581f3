/* Do the sources of a configuration make sense to their channels? */
#ifndef COMMANDS_SOURCE_CHECK_H
#define COMMANDS_SOURCE_CHECK_H

#include "config/config.h"

/* Adds a problem object (see config_read) for each unknown kind, unknown or missing setting, value of a wrong type, and
 * for sources without verification outside of --dev. False when one of them is an error. */
bool sources_check(const struct config *config, json_t *problems);

/* Appends the manual of all kinds and their settings. */
void sources_print_manual(struct buf *out);

#endif
