#include "commands/serve_rules.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/heartbeat.h"
#include "base/log.h"
#include "base/memory.h"
#include "commands/rule_release.h"
#include "commands/rule_watch.h"
#include "commands/rule_world.h"

#define STATEMENT_TIMEOUT_MS 60000

struct serve_rules {
    const struct config *config;
    struct rule_feed *feed;
    pthread_mutex_t reload_lock;
    char directory_version[VERSION_BYTES]; /* of the files that the process started with */

    /* Of the thread that keeps. */
    bool settled;
    struct rule_watch watched;
    struct rule_watch watched_shadow;
};

struct serve_rules *serve_rules_new(const struct config *config, struct rule_sources *sources)
{
    struct serve_rules *rules = memory_new(sizeof(*rules));
    rules->config = config;
    rules->feed = rule_feed_new(sources);
    rule_feed_version(rules->feed, rules->directory_version);
    pthread_mutex_init(&rules->reload_lock, NULL);
    rule_watch_begin(&rules->watched, config->rules.directory);
    rule_watch_begin(&rules->watched_shadow, config->rules.shadow);
    return rules;
}

void serve_rules_free(struct serve_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    rule_feed_free(rules->feed);
    pthread_mutex_destroy(&rules->reload_lock);
    free(rules);
}

struct rule_feed *serve_rules_feed(struct serve_rules *rules)
{
    return rules->feed;
}

/* --- saying what happened ------------------------------------------------------------------------------------------
 */

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

static void log_report(const json_t *report)
{
    size_t index;
    json_t *item;
    log_problems(json_array_at(report, "problems"));
    json_array_foreach (json_array_at(report, "failed_tests"), index, item) {
        log_error("a test of the rules fails", "at='%s:%lld' test='%s'", json_str_or(item, "file", ""),
                  (long long)json_int(item, "line", 0), json_str_or(item, "name", ""));
    }
    json_array_foreach (json_array_at(report, "warnings"), index, item) {
        log_warn("rules", "warning='%s'", json_string_value(item));
    }
    if (json_str(report, "shadow_problem") != NULL) {
        log_error("the shadow rules stay as they were", "reason='%s'", json_str(report, "shadow_problem"));
    }
}

err_t serve_rules_check(const struct config *config, const struct rule_sources *sources, struct error *reterr)
{
    const struct rule_limits limits = rule_world_limits(config);
    json_t *problems = json_array();
    struct rule_set *set = NULL;
    err_t err = rule_set_load(sources, &limits, problems, &set, reterr);
    log_problems(problems);
    rule_set_free(set);
    json_decref(problems);
    return err;
}

/* --- putting in force ----------------------------------------------------------------------------------------------
 */

/* The directory goes into force on all nodes. `report` gets what there is to say, also on failure. */
static err_t release(const struct serve_rules *rules, struct pg *pg, const char *action, json_t **ret_report,
                     struct error *reterr)
{
    char by[RELEASE_BY_BYTES];
    rule_release_by("serve", by);
    struct rule_release release;
    err_t err = rule_release_read(rules->config, rules->config->rules.directory, &release, reterr);
    if (err == ERR_NONE) {
        err = rule_release_put(pg, &release, action, by, reterr);
    }
    if (err == ERR_NONE) {
        rule_release_put_shadow(rules->config, pg, by, release.report);
    }
    *ret_report = json_incref(release.report);
    rule_release_done(&release);
    return err;
}

err_t serve_rules_reload(struct serve_rules *rules, json_t **ret_report, struct error *reterr)
{
    const struct pg_settings settings = {
        .conninfo = rules->config->database.url,
        .application_name = "answerd reload",
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .writes = true,
    };
    struct pg *pg = NULL;
    json_t *report = NULL;
    struct error error;
    heartbeat_rest(); /* who holds it is watched */
    pthread_mutex_lock(&rules->reload_lock);
    heartbeat_beat();
    err_t err = pg_open(&settings, &pg, &error);
    if (err == ERR_NONE) {
        err = release(rules, pg, "reload", &report, &error);
        log_report(report);
    }
    if (err == ERR_NONE) {
        err = rule_feed_follow(rules->feed, pg, NULL, &error);
    }
    pg_close(pg);
    pthread_mutex_unlock(&rules->reload_lock);
    if (err == ERR_NONE) {
        log_info("rules loaded again", "version=%s rules=%lld tests=%lld changed=%d",
                 json_str_or(report, "version", ""), (long long)json_int(report, "rules", 0),
                 (long long)json_int(report, "tests", 0), json_bool(report, "changed", false));
    } else {
        log_error("rules are wrong, the running ones stay", "reason='%s'", error.text);
        if (reterr != NULL) {
            *reterr = error;
        }
    }
    if (err == ERR_NONE && ret_report != NULL) {
        *ret_report = json_incref(report);
    }
    json_decref(report);
    return err;
}

/* --- keeping -------------------------------------------------------------------------------------------------------
 */

/* Nothing was ever in force: these rules are, for they load. A test that fails is no reason to have none. */
static err_t put_first_rules(struct serve_rules *rules, struct pg *pg, struct error *reterr)
{
    char by[RELEASE_BY_BYTES];
    rule_release_by("serve", by);
    struct rule_release first;
    struct error error;
    err_t err = rule_release_read(rules->config, rules->config->rules.directory, &first, &error);
    log_report(first.report);
    if (err != ERR_NONE) {
        log_error("the first rules go into force although something is wrong with them", "reason='%s'", error.text);
        rule_release_done(&first);
        struct rule_limits limits = rule_world_limits(rules->config);
        uint64_t generation;
        first.report = json_object();
        err = rule_feed_load(rules->feed, &limits, &generation, &first.set, reterr);
        if (err == ERR_NONE) {
            first.sources = rule_feed_sources(rules->feed);
        }
    }
    if (err == ERR_NONE) {
        err = rule_release_put(pg, &first, "start", by, reterr);
    }
    rule_release_done(&first);
    return err;
}

static err_t settle_changed_files(const struct serve_rules *rules, struct pg *pg, struct error *reterr)
{
    json_t *report = NULL;
    struct error error;
    err_t err = release(rules, pg, "start", &report, &error);
    log_report(report);
    if (err == ERR_NONE) {
        log_info("rule files that have changed are in force", "version=%s changed=%d",
                 json_str_or(report, "version", ""), json_bool(report, "changed", false));
    } else if (error.sqlstate[0] != '\0' || err == ERR_LOST || err == ERR_BUSY || err == ERR_TIMEOUT) {
        if (reterr != NULL) {
            *reterr = error;
        }
    } else {
        log_error("the rule files are wrong, the rules that were in force stay", "reason='%s'", error.text);
        err = ERR_NONE;
    }
    json_decref(report);
    return err;
}

static err_t settle(struct serve_rules *rules, struct pg *pg, struct error *reterr)
{
    struct rule_pointer pointer;
    err_t err = version_store_pointer(pg, &pointer, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    bool files_changed = strcmp(pointer.directory, rules->directory_version) != 0;
    if (pointer.generation == 0) {
        err = put_first_rules(rules, pg, reterr);
    } else if (files_changed && rules->config->rules.follow_directory) {
        return settle_changed_files(rules, pg, reterr);
    } else if (strcmp(pointer.current, rules->directory_version) != 0) {
        log_warn("the rules in force are not those of the directory",
                 "in_force=%s directory=%s hint='answerd reload puts them in force'", pointer.current,
                 rules->directory_version);
    }
    if (err == ERR_NONE && rules->config->rules.shadow[0] != '\0') {
        char by[RELEASE_BY_BYTES];
        json_t *report = json_object();
        rule_release_put_shadow(rules->config, pg, rule_release_by("serve", by), report);
        log_report(report);
        json_decref(report);
    }
    return err;
}

err_t serve_rules_keep(struct serve_rules *rules, struct pg *pg, bool *ret_changed, struct error *reterr)
{
    *ret_changed = false;
    if (!rules->settled) {
        err_t err = settle(rules, pg, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        rules->settled = true;
    }
    if (rules->config->rules.watch) {
        bool other = rule_watch_look(&rules->watched, rules->config->rules.directory);
        bool other_shadow = rule_watch_look(&rules->watched_shadow, rules->config->rules.shadow);
        if (other || other_shadow) {
            struct error ignored; /* is in the log */
            *ret_changed = serve_rules_reload(rules, NULL, &ignored) == ERR_NONE;
        }
    }
    bool followed = false;
    err_t err = rule_feed_follow(rules->feed, pg, &followed, reterr);
    if (followed) {
        char version[VERSION_BYTES];
        rule_feed_version(rules->feed, version);
        log_info("other rules are in force", "version=%s", version);
    }
    *ret_changed = *ret_changed || followed;
    return err;
}
