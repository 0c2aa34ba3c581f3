/* Does the process have file descriptors for what the configuration allows? */
#ifndef COMMANDS_DESCRIPTORS_H
#define COMMANDS_DESCRIPTORS_H

#include "base/error.h"
#include "commands/serve_process.h"
#include "config/config.h"

/* Raises the soft limit as far as it is needed and may be. When even that is too little, the connections of the two
 * listeners and the calls to providers are made fewer in `config`, so that none of them takes what another part needs,
 * and the log says so. ERR_INVALID when there would be none. Call it before any thread is started. */
err_t descriptors_fit(struct config *config, struct serve_roles roles, struct error *reterr) MUST_CHECK;

#endif
