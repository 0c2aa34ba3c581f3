/* Counts of refused webhooks by source and reason: in the metrics at once, in the database when somebody takes them.
 * A forged webhook must leave nothing but its count, so memory is bounded whatever comes. Any thread. */
#ifndef INGEST_REJECTS_H
#define INGEST_REJECTS_H

#include "io/pg.h"

struct rejects;

struct rejects *rejects_new(void);
void rejects_free(struct rejects *rejects);

/* `reason` is cut at its first colon or line end: what follows differs each time. `source` is a configured name or a
 * constant, not what a sender wrote. */
void rejects_add(struct rejects *rejects, const char *source, const char *reason);

/* Stores the counts and starts from zero. On failure they are kept. Not concurrently with itself. */
err_t rejects_flush(struct rejects *rejects, struct pg *pg, struct error *reterr) MUST_CHECK;

#endif
