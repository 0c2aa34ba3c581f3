/* The parts of one `answerd serve` process: started from below upwards, stopped the other way round. */
#ifndef COMMANDS_SERVE_PROCESS_H
#define COMMANDS_SERVE_PROCESS_H

#include "config/config.h"
#include "rules/rule_set.h"

struct serve_process;

struct serve_roles {
    bool ingest;
    bool engine;
    bool deliver;
};

/* Takes over `sources`; `config` outlives the process. Starts the listeners only: from now on health is told, and
 * webhooks are asked to come again. */
err_t serve_process_start(const struct config *config, struct serve_roles roles, struct rule_sources *sources,
                          struct serve_process **ret_process, struct error *reterr) MUST_CHECK;

/* Starts the rest, once the database is there. */
err_t serve_process_start_actors(struct serve_process *process, struct error *reterr) MUST_CHECK;

/* Reads the TLS certificates again, for new connections; logs what came of it. */
void serve_process_reload_certificates(struct serve_process *process);

/* Reads the rules again, checks and tests them and puts them in force on all nodes; on failure the ones before stay.
 * `ret_report` (new reference, may be NULL): see struct rule_release. Any thread. */
err_t serve_process_reload(struct serve_process *process, json_t **ret_report, struct error *reterr) MUST_CHECK;

/* To be called every second or so, on the thread that started the process: the rules in force, partitions, retention,
 * counts of rejects. */
void serve_process_upkeep(struct serve_process *process);

/* Has the database moved on to where this program cannot follow, or are its tables gone? Then it is time to stop. */
bool serve_process_is_unfit(const struct serve_process *process);

/* Stops everything so that nothing is lost, and frees. NULL is fine. */
void serve_process_stop(struct serve_process *process);

#endif
