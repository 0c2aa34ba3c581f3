/* The admin listener: /healthz, /readyz, /metrics, and the API under /api/v1.
 *
 * One thread with an event loop answers health and metrics and never touches the database, so they answer while it is
 * away. A second thread, the API worker, has a blocking connection, handles API calls one after the other and reads
 * what /metrics and /readyz show of the database. When the process turns unready the log says why, and when it is back.
 * Not meant for the internet: it listens on loopback by default.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>

#include "config/config.h"

struct admin;

/* What the API needs of the rest of the process. Called on the threads of the admin. */
struct admin_host {
    /* Why an actor of this process is not at work, for a person; a constant text. NULL: all are. */
    const char *(*actor_trouble)(void *arg);
    void (*work_added)(void *arg);       /* for the engine */
    void (*deliveries_added)(void *arg); /* for deliver */
    /* Loads, checks and publishes the rules again. New reference in *ret_report: {version, rules, problems}. */
    err_t (*reload)(void *arg, json_t **ret_report, struct error *reterr);
    void *arg;
};

err_t admin_start(const struct config *config, const struct admin_host *host, struct admin **ret_admin, int *ret_port,
                  struct error *reterr) MUST_CHECK;

/* From now on /readyz answers 503. Any thread. */
void admin_announce_stop(struct admin *admin);

/* Answers what is being answered, stops both threads, and frees. NULL is fine. */
void admin_stop(struct admin *admin);

#endif
