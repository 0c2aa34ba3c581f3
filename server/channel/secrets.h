/* Shared secrets of a source: several may be active while one is being replaced, and none means that nothing passes. */
#ifndef CHANNEL_SECRETS_H
#define CHANNEL_SECRETS_H

#include "channel/channel.h"

#define MAX_SECRETS 8

struct secret_list {
    struct bytes secrets[MAX_SECRETS]; /* borrowed from the settings */
    size_t count;
};

/* The texts found under the NULL-terminated `names` of the settings, each one text or a list; empty ones are left out.
 * ERR_DENIED when there is none. `settings` may be NULL. */
err_t secrets_read(const json_t *settings, const char *const *names, struct secret_list *ret_list,
                   struct error *reterr) MUST_CHECK;

/* Calls `matches` for each value of the header, which may have arrived several times, until one says yes. */
bool header_any(const struct webhook *w, const char *name, bool (*matches)(struct bytes value, void *arg), void *arg);

#endif
