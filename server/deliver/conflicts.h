/* Conflicts of one step with others over the same rows. PostgreSQL ends one of them, and the step does its work at the
 * next try: only one that does not go away is worth a word, for it stops the step for all. */
#ifndef DELIVER_CONFLICTS_H
#define DELIVER_CONFLICTS_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/error.h"

#define CONFLICT_LASTS_MS 10000

struct conflicts {
    const char *during; /* what the step does, for the log */
    msec_t since;       /* steady clock; 0: none */
    msec_t said_at;
};

/* The step met a conflict. True when it has met nothing else for CONFLICT_LASTS_MS; the log says so once a minute. */
bool conflicts_last(struct conflicts *conflicts, const struct error *error, msec_t now);

/* The step got through. */
void conflicts_end(struct conflicts *conflicts, msec_t now);

#endif
