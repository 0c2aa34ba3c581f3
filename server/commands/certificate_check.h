/* Can the certificates of a configuration be used? */
#ifndef COMMANDS_CERTIFICATE_CHECK_H
#define COMMANDS_CERTIFICATE_CHECK_H

#include "config/config.h"

/* Adds a problem object (see config_read) for each certificate and key of http.tls that cannot be read or do not belong
 * together. False when there is one. */
bool certificates_check(const struct config *config, json_t *problems);

#endif
