/* The ingest actor: a webhook comes in, is proved genuine, is made durable, and then gets its 200.
 *
 * One thread for each event loop, each with its own HTTP server and database connection. What is answered 200 was
 * committed before. What cannot be stored now is answered 503 with Retry-After, and its sender comes again.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "config/config.h"
#include "io/pg.h"

struct ingest;

/* Listens on config->http.listen and starts the threads; `config` outlives the actor. `stored` (may be NULL) is called
 * on an ingest thread after each commit that brought new events. Until ingest_admit() everything genuine is answered
 * 503, and later whenever the database is away. */
err_t ingest_new(const struct config *config, void (*stored)(void *arg), void *arg, struct ingest **ret_ingest,
                 struct error *reterr) MUST_CHECK;

/* From now on webhooks are stored: the database is there and has the schema that they are written for. Any thread. */
void ingest_admit(struct ingest *ingest);

/* The port that it listens on, which the system chose when the configuration says 0. */
int ingest_port(const struct ingest *ingest);

/* Reads the certificates again, for the connections to come; when one cannot be used, all stay. Any thread. */
err_t ingest_reload_certificates(struct ingest *ingest, struct error *reterr) MUST_CHECK;

/* Does every loop run, with a database connection? For readiness; any thread. */
bool ingest_is_healthy(const struct ingest *ingest);

/* Gives the counts of refused webhooks since the last time to the table webhook_reject. On failure they are kept for
 * the next time. Not concurrently with itself; any thread. */
err_t ingest_flush_rejects(struct ingest *ingest, struct pg *pg, struct error *reterr) MUST_CHECK;

/* Stops accepting, answers everything that was received, and ends the threads; at most about 15 s. */
void ingest_drain(struct ingest *ingest);

/* Drains if that was not done, and frees. NULL is fine. */
void ingest_free(struct ingest *ingest);

#endif
