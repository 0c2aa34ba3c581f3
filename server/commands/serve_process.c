#include "commands/serve_process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "commands/rule_world.h"
#include "deliver/deliver.h"
#include "engine/engine.h"
#include "ingest/ingest.h"
#include "store/store.h"

#define STATEMENT_TIMEOUT_MS 60000
#define UPKEEP_MS ((msec_t)3600 * 1000)
#define UPKEEP_RETRY_MS 30000
#define REJECTS_MS 5000

struct serve_process {
    const struct config *config;
    struct serve_roles roles;
    struct rule_feed *rules;
    json_t *sources; /* for the desk: {name: {kind, provider, sends, window_ms}} */
    struct admin *admin;
    struct ingest *ingest;
    struct engine **engines;
    size_t engine_count;
    struct deliver *deliver;
    atomic_bool actors_started;
    pthread_mutex_t reload_lock;

    /* Of upkeep; steady clock. */
    struct pg *pg;
    msec_t next_upkeep;
    msec_t next_rejects;
    bool upkeep_trouble;
};

static void log_problems(const json_t *problems)
{
    size_t index;
    json_t *problem;
    json_array_foreach (problems, index, problem) {
        bool is_error = strcmp(json_str_or(problem, "severity", "error"), "error") == 0;
        log_write(is_error ? LOG_ERROR : LOG_WARN, "rules", "at='%s:%lld' problem='%s' hint='%s'",
                  json_str_or(problem, "file", ""), (long long)json_int(problem, "line", 0),
                  json_str_or(problem, "text", ""), json_str_or(problem, "hint", ""));
    }
}

err_t serve_check_rules(const struct config *config, const struct rule_sources *sources, json_t **ret_report,
                        struct error *reterr)
{
    const struct rule_limits limits = rule_world_limits(config);
    json_t *problems = json_array();
    struct rule_set *set = NULL;
    err_t err = rule_set_load(sources, &limits, problems, &set, reterr);
    log_problems(problems);
    if (err == ERR_NONE && ret_report != NULL) {
        *ret_report = json_object();
        json_put_str(*ret_report, "version", rule_set_version(set));
        json_put_int(*ret_report, "rules", (int64_t)rule_set_count(set));
        json_put(*ret_report, "problems", json_incref(problems));
    }
    rule_set_free(set);
    json_decref(problems);
    return err;
}

static void nudge_engines(void *arg)
{
    struct serve_process *process = arg;
    for (size_t i = 0; i < process->engine_count; i++) {
        engine_nudge(process->engines[i]);
    }
}

static void nudge_deliver(void *arg)
{
    struct serve_process *process = arg;
    if (process->deliver != NULL) {
        deliver_nudge(process->deliver);
    }
}

static bool actors_healthy(void *arg, const char **ret_who)
{
    const struct serve_process *process = arg;
    if (!atomic_load(&process->actors_started)) {
        *ret_who = "the server";
        return false;
    }
    if (process->ingest != NULL && !ingest_is_healthy(process->ingest)) {
        *ret_who = "ingest";
        return false;
    }
    for (size_t i = 0; i < process->engine_count; i++) {
        if (!engine_is_healthy(process->engines[i])) {
            *ret_who = "engine";
            return false;
        }
    }
    if (process->deliver != NULL && !deliver_is_healthy(process->deliver)) {
        *ret_who = "deliver";
        return false;
    }
    return true;
}

/* The API's worker starts before the actors and ends after them. */
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

err_t serve_process_reload(struct serve_process *process, json_t **ret_report, struct error *reterr)
{
    struct rule_sources *sources = NULL;
    json_t *report = NULL;
    struct error error;
    pthread_mutex_lock(&process->reload_lock);
    err_t err = rule_sources_read(process->config->rules.directory, false, &sources, &error);
    if (err == ERR_NONE) {
        err = serve_check_rules(process->config, sources, &report, &error);
    }
    if (err == ERR_NONE) {
        rule_feed_publish(process->rules, sources);
        log_info("rules loaded again", "version=%s rules=%lld", json_str_or(report, "version", ""),
                 (long long)json_int(report, "rules", 0));
    } else {
        rule_sources_free(sources);
        log_error("rules are wrong, the running ones stay", "reason='%s'", error.text);
        if (reterr != NULL) {
            *reterr = error;
        }
    }
    pthread_mutex_unlock(&process->reload_lock);
    if (err == ERR_NONE) {
        host_work_added(process);
        if (ret_report != NULL) {
            *ret_report = json_incref(report);
        }
    }
    json_decref(report);
    return err;
}

err_t serve_process_start(const struct config *config, struct serve_roles roles, struct rule_sources *sources,
                          struct serve_process **ret_process, struct error *reterr)
{
    struct serve_process *process = memory_new(sizeof(*process));
    process->config = config;
    process->roles = roles;
    process->rules = rule_feed_new(sources);
    process->sources = rule_world_sources(config);
    pthread_mutex_init(&process->reload_lock, NULL);
    const struct admin_host host = {
        .actors_healthy = actors_healthy,
        .work_added = host_work_added,
        .deliveries_added = host_deliveries_added,
        .reload = host_reload,
        .arg = process,
    };
    int port = 0;
    err_t err = admin_start(config, &host, &process->admin, &port, reterr);
    if (err != ERR_NONE) {
        serve_process_stop(process);
        return err;
    }
    log_info("admin is listening", "address=%s port=%d", config->http.admin_listen, port);
    *ret_process = process;
    return ERR_NONE;
}

static err_t start_engines(struct serve_process *process, struct error *reterr)
{
    const struct engine_settings settings = {
        .config = process->config,
        .rules = process->rules,
        .sources = process->sources,
        .committed = nudge_deliver,
        .arg = process,
    };
    size_t count = process->config->engine.threads;
    process->engines = memory_new(count * sizeof(struct engine *));
    err_t err = ERR_NONE;
    while (err == ERR_NONE && process->engine_count < count) {
        err = engine_start(&settings, &process->engines[process->engine_count], reterr);
        process->engine_count += err == ERR_NONE;
    }
    return err;
}

/* From above downwards: who is nudged is there before who nudges. */
err_t serve_process_start_actors(struct serve_process *process, struct error *reterr)
{
    err_t err = ERR_NONE;
    if (process->roles.deliver) {
        const struct deliver_settings settings = { .config = process->config, .rules = process->rules };
        err = deliver_start(&settings, &process->deliver, reterr);
    }
    if (err == ERR_NONE && process->roles.engine) {
        err = start_engines(process, reterr);
    }
    if (err == ERR_NONE && process->roles.ingest) {
        err = ingest_new(process->config, nudge_engines, process, &process->ingest, reterr);
    }
    if (err == ERR_NONE) {
        atomic_store(&process->actors_started, true);
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
    };
    return pg_open(&settings, &process->pg, reterr) == ERR_NONE;
}

static err_t keep_partitions(struct serve_process *process, struct error *reterr)
{
    err_t err = store_make_partitions(process->pg, reterr);
    if (err == ERR_NONE && process->config->retention.months > 0) {
        err = store_drop_old_partitions(process->pg, process->config->retention.months, reterr);
    }
    return err;
}

void serve_process_upkeep(struct serve_process *process)
{
    msec_t now = clock_steady();
    bool upkeep_due = now >= process->next_upkeep;
    bool rejects_due = process->ingest != NULL && now >= process->next_rejects;
    if (!upkeep_due && !rejects_due) {
        return;
    }
    struct error error;
    bool done = upkeep_connected(process, &error);
    if (done && upkeep_due) {
        done = keep_partitions(process, &error) == ERR_NONE;
    }
    if (done && rejects_due) {
        done = ingest_flush_rejects(process->ingest, process->pg, &error) == ERR_NONE;
    }
    if (!done && !process->upkeep_trouble) {
        log_warn("upkeep has to wait", "reason='%s'", error.text);
    }
    process->upkeep_trouble = !done;
    if (upkeep_due) {
        process->next_upkeep = now + (done ? UPKEEP_MS : UPKEEP_RETRY_MS);
    }
    process->next_rejects = now + REJECTS_MS;
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
    rule_feed_free(process->rules);
    json_decref(process->sources);
    pthread_mutex_destroy(&process->reload_lock);
    free(process);
}
