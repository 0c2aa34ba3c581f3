#include "commands/serve_process.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "commands/clock_watch.h"
#include "commands/rule_world.h"
#include "commands/serve_rules.h"
#include "deliver/deliver.h"
#include "engine/engine.h"
#include "ingest/ingest.h"
#include "store/known_sources.h"
#include "store/store.h"

/* Nobody is told to stop while it waits for the database: not for long. */
#define STATEMENT_TIMEOUT_MS 15000
#define UPKEEP_MS ((msec_t)3600 * 1000)
#define UPKEEP_RETRY_MS 30000
#define REJECTS_MS 5000
#define LOOK_MS 5000
#define PUBLISH_MS 5000

struct serve_process {
    const struct config *config;
    struct serve_roles roles;
    struct serve_rules *rules;
    json_t *sources; /* for the desk: {name: {kind, provider, sends, window_ms}} */
    struct admin *admin;
    struct ingest *ingest;
    struct engine **engines; /* the last one is nudged, and wakes the one before it when it has too much to do */
    size_t engine_count;
    struct deliver *deliver;
    atomic_bool actors_started;
    atomic_bool admitted; /* webhooks are taken */

    /* Of upkeep; steady clock. */
    struct pg *pg;
    int64_t number;         /* of this process in the database, kept over connections */
    msec_t next_publishing; /* 0: the others may not know yet what we know */
    msec_t next_upkeep;
    msec_t partitions_made; /* the database's clock */
    msec_t next_rejects;
    msec_t next_look;
    bool upkeep_trouble;
    bool unfit; /* for its database */
};

static void nudge_engines(void *arg)
{
    struct serve_process *process = arg;
    if (process->engine_count > 0) {
        engine_nudge(process->engines[process->engine_count - 1]);
    }
}

static void nudge_deliver(void *arg)
{
    struct serve_process *process = arg;
    if (process->deliver != NULL) {
        deliver_nudge(process->deliver);
    }
}

static const char *actor_trouble(void *arg)
{
    const struct serve_process *process = arg;
    if (!atomic_load(&process->actors_started)) {
        return "the server is starting";
    }
    if (process->ingest != NULL && !ingest_is_healthy(process->ingest)) {
        return "ingest, which receives webhooks, has no connection to the database";
    }
    if (process->engine_count > 0 && rule_feed_pointer(serve_rules_feed(process->rules)) == 0) {
        return "no rules are in force";
    }
    if (process->ingest != NULL && !atomic_load(&process->admitted)) {
        return "the other processes have not been told yet which sources this one has";
    }
    for (size_t i = 0; i < process->engine_count; i++) {
        if (!engine_is_healthy(process->engines[i])) {
            return "the engine, which runs rules, has no connection to the database or stands still";
        }
    }
    if (process->deliver != NULL && !deliver_is_healthy(process->deliver)) {
        return "deliver, which sends messages, has no connection to the database or stands still";
    }
    return NULL;
}

/* The listeners are there before the actors that they nudge, and the API's worker also after them. */
static void host_work_added(void *arg)
{
    struct serve_process *process = arg;
    if (atomic_load(&process->actors_started)) {
        nudge_engines(process);
    }
}

static void host_deliveries_added(void *arg)
{
    struct serve_process *process = arg;
    if (atomic_load(&process->actors_started)) {
        nudge_deliver(process);
    }
}

static err_t host_reload(void *arg, json_t **ret_report, struct error *reterr)
{
    return serve_process_reload(arg, ret_report, reterr);
}

void serve_process_reload_certificates(struct serve_process *process)
{
    struct error error;
    if (process->ingest == NULL || json_array_size(process->config->http.tls_certificates) == 0) {
        return;
    }
    if (ingest_reload_certificates(process->ingest, &error) == ERR_NONE) {
        log_info("certificates loaded again", "");
    } else {
        log_error("certificates cannot be used, the former ones stay", "reason='%s'", error.text);
    }
}

err_t serve_process_reload(struct serve_process *process, json_t **ret_report, struct error *reterr)
{
    err_t err = serve_rules_reload(process->rules, ret_report, reterr);
    if (err == ERR_NONE) {
        host_work_added(process);
    }
    return err;
}

err_t serve_process_start(const struct config *config, struct serve_roles roles, struct rule_sources *sources,
                          struct serve_process **ret_process, struct error *reterr)
{
    struct serve_process *process = memory_new(sizeof(*process));
    process->config = config;
    process->roles = roles;
    process->rules = serve_rules_new(config, sources);
    process->sources = rule_world_sources(config);
    const struct admin_host host = {
        .actor_trouble = actor_trouble,
        .work_added = host_work_added,
        .deliveries_added = host_deliveries_added,
        .reload = host_reload,
        .arg = process,
    };
    int port = 0;
    err_t err = admin_start(config, &host, &process->admin, &port, reterr);
    if (err == ERR_NONE) {
        log_info("admin is listening", "address=%s port=%d", config->http.admin_listen, port);
    }
    if (err == ERR_NONE && roles.ingest) {
        err = ingest_new(config, host_work_added, process, &process->ingest, reterr);
    }
    if (err != ERR_NONE) {
        serve_process_stop(process);
        return err;
    }
    *ret_process = process;
    return ERR_NONE;
}

static err_t start_engines(struct serve_process *process, struct error *reterr)
{
    struct engine_settings settings = {
        .config = process->config,
        .rules = serve_rules_feed(process->rules),
        .sources = process->sources,
        .committed = nudge_deliver,
        .arg = process,
    };
    size_t count = process->config->engine.threads;
    process->engines = memory_new(count * sizeof(struct engine *));
    err_t err = ERR_NONE;
    while (err == ERR_NONE && process->engine_count < count) {
        settings.only_helps = process->engine_count + 1 < count;
        err = engine_start(&settings, &process->engines[process->engine_count], reterr);
        if (err == ERR_NONE) {
            settings.next = process->engines[process->engine_count++];
        }
    }
    return err;
}

/* Not before all processes know our sources: any of them may have to handle what comes in. */
static void admit_webhooks(struct serve_process *process)
{
    if (process->ingest != NULL && !atomic_load(&process->admitted) && process->next_publishing != 0) {
        ingest_admit(process->ingest);
        atomic_store(&process->admitted, true);
    }
}

/* From above downwards: who is nudged is there before who nudges. */
err_t serve_process_start_actors(struct serve_process *process, struct error *reterr)
{
    err_t err = ERR_NONE;
    serve_process_upkeep(process); /* settles which rules are in force; when the database is away again, later */
    if (process->roles.deliver) {
        const struct deliver_settings settings = { .config = process->config,
                                                   .rules = serve_rules_feed(process->rules),
                                                   .sources = process->sources };
        err = deliver_start(&settings, &process->deliver, reterr);
    }
    if (err == ERR_NONE && process->roles.engine) {
        err = start_engines(process, reterr);
    }
    if (err == ERR_NONE) {
        atomic_store(&process->actors_started, true);
        admit_webhooks(process);
        log_info("serving", "ingest=%d engines=%zu deliver=%d rules=%s dev=%d", process->roles.ingest,
                 process->engine_count, process->roles.deliver, process->config->rules.directory, process->config->dev);
    }
    return err;
}

static bool upkeep_connected(struct serve_process *process, struct error *reterr)
{
    if (process->pg != NULL && !pg_is_broken(process->pg)) {
        return true;
    }
    pg_close(process->pg);
    process->pg = NULL;
    const struct pg_settings settings = {
        .conninfo = process->config->database.url,
        .application_name = "answerd upkeep",
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .writes = true,
    };
    process->next_publishing = 0;
    return pg_open(&settings, &process->pg, reterr) == ERR_NONE;
}

static err_t publish_sources(struct serve_process *process, msec_t now, struct error *reterr)
{
    err_t err = ERR_NONE;
    if (process->next_publishing == 0) {
        err = known_sources_start_process(process->pg, &process->number, reterr);
    }
    if (err == ERR_NONE && now >= process->next_publishing) {
        err = known_sources_publish(process->pg, process->number, process->sources, process->roles.deliver, reterr);
        process->next_publishing = err == ERR_NONE ? now + PUBLISH_MS : process->next_publishing;
    }
    return err;
}

/* Without the partition of its month no webhook is taken. */
static err_t make_partitions(struct serve_process *process, struct error *reterr)
{
    process->partitions_made = clock_shared();
    return store_make_partitions(process->pg, reterr);
}

static err_t keep_partitions(struct serve_process *process, struct error *reterr)
{
    err_t err = make_partitions(process, reterr);
    return err != ERR_NONE ? err : store_drop_old_partitions(process->pg, process->config->retention.months, reterr);
}

/* Partitions, retention and counts, when they are due. */
static err_t do_upkeep(struct serve_process *process, msec_t now, struct error *reterr)
{
    err_t err = ERR_NONE;
    if (now >= process->next_upkeep) {
        err = keep_partitions(process, reterr);
        process->next_upkeep = now + (err == ERR_NONE ? UPKEEP_MS : UPKEEP_RETRY_MS);
    } else if (llabs(clock_shared() - process->partitions_made) > 2 * UPKEEP_MS) {
        /* The database's clock was set. Nothing is dropped before its time: it may be set back. */
        err = make_partitions(process, reterr);
    }
    if (err == ERR_NONE && process->ingest != NULL && now >= process->next_rejects) {
        err = ingest_flush_rejects(process->ingest, process->pg, reterr);
        process->next_rejects = now + REJECTS_MS;
    }
    return err;
}

/* Nothing can be done on a database that is another one now; whoever starts this program again is told so as well. */
static void stop_because_of_schema(struct serve_process *process, const struct error *error)
{
    if (error->code == ERR_NOT_FOUND) {
        log_error("the tables that this program worked with are gone, it stops",
                  "hint='they were dropped, or another database stands in the place of theirs: restore the backup, or "
                  "set database.url; `answerd migrate` makes empty ones'");
    } else {
        log_error("this program does not fit the database any more, it stops", "reason='%s'", error->text);
    }
    process->unfit = true;
}

/* A migration may say that it ends programs as old as this one; and the database's clock may have been set. */
static err_t look_at_database(struct serve_process *process, msec_t now, struct error *reterr)
{
    if (now < process->next_look) {
        return ERR_NONE;
    }
    process->next_look = now + LOOK_MS;
    err_t err = store_check_schema_fits(process->pg, reterr);
    if ((err == ERR_INVALID || err == ERR_NOT_FOUND) && reterr->sqlstate[0] == '\0') {
        stop_because_of_schema(process, reterr);
    }
    return err == ERR_NONE ? clock_watch(process->pg, reterr) : err;
}

bool serve_process_is_unfit(const struct serve_process *process)
{
    return process->unfit;
}

static err_t keep_rules(struct serve_process *process, struct error *reterr)
{
    bool changed = false;
    err_t err = serve_rules_keep(process->rules, process->pg, &changed, reterr);
    if (changed) {
        host_work_added(process);
        host_deliveries_added(process);
    }
    return err;
}

void serve_process_upkeep(struct serve_process *process)
{
    struct error error;
    bool done = upkeep_connected(process, &error) && look_at_database(process, clock_steady(), &error) == ERR_NONE &&
                publish_sources(process, clock_steady(), &error) == ERR_NONE &&
                keep_rules(process, &error) == ERR_NONE && do_upkeep(process, clock_steady(), &error) == ERR_NONE;
    if (!done && !process->upkeep_trouble) {
        log_warn("upkeep has to wait", "reason='%s'", error.text);
    }
    process->upkeep_trouble = !done;
    if (atomic_load(&process->actors_started)) {
        admit_webhooks(process);
    }
}

/* Downwards: first nothing new comes in, then what is in hand is finished, and last of all health falls silent. */
void serve_process_stop(struct serve_process *process)
{
    if (process == NULL) {
        return;
    }
    if (process->admin != NULL) {
        admin_announce_stop(process->admin);
    }
    if (process->ingest != NULL) {
        ingest_drain(process->ingest);
    }
    for (size_t i = 0; i < process->engine_count; i++) {
        engine_stop(process->engines[i]);
    }
    for (size_t i = 0; i < process->engine_count; i++) {
        engine_join(process->engines[i]);
    }
    if (process->deliver != NULL) {
        deliver_stop(process->deliver);
        deliver_join(process->deliver);
    }
    struct error error;
    if (process->ingest != NULL && upkeep_connected(process, &error) &&
        ingest_flush_rejects(process->ingest, process->pg, &error) != ERR_NONE) {
        log_debug("the last counts of rejects are lost", "reason='%s'", error.text);
    }
    admin_stop(process->admin);
    ingest_free(process->ingest);
    for (size_t i = 0; i < process->engine_count; i++) {
        engine_free(process->engines[i]);
    }
    free(process->engines);
    deliver_free(process->deliver);
    pg_close(process->pg);
    serve_rules_free(process->rules);
    json_decref(process->sources);
    free(process);
}
