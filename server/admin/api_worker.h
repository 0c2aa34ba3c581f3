/* The thread that handles API calls and watches the database, so that the listener never waits for PostgreSQL.
 *
 * Calls are handled one after the other; those that wait for the engine are looked at again every few milliseconds.
 */
#ifndef ADMIN_API_WORKER_H
#define ADMIN_API_WORKER_H

#include "admin/api.h"

struct api_worker;

/* `answered` is called on the worker's thread for each call that is done; the call is then the listener's again. */
err_t api_worker_start(const struct config *config, const struct admin_host *host,
                       void (*answered)(struct api_call *call, void *arg), void *arg, struct api_worker **ret_worker,
                       struct error *reterr) MUST_CHECK;

/* Hands a call over. ERR_BUSY when too many wait; the call stays the caller's then. Any thread. */
err_t api_worker_add(struct api_worker *worker, struct api_call *call) MUST_CHECK;

/* From now on every call gets 503, also those that wait. */
void api_worker_refuse_all(struct api_worker *worker);

/* Ends the thread and frees. Calls that are still there are answered with 503 first. */
void api_worker_stop(struct api_worker *worker);

/* What keeps the database from serving us, for a person; a constant text. NULL: a moment ago it did. Any thread. */
const char *api_worker_database_trouble(const struct api_worker *worker);

#endif
