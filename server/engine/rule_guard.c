#include "engine/rule_guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "engine/crons.h"
#include "store/rule_store.h"
#include "store/store.h"

#define REFRESH_MS 1000
/* Shorter than what the database gives, so that nobody else has it at the same time. */
#define TRIAL_MS 2000

struct rule_guard {
    struct quarantine quarantine;
    msec_t next_refresh; /* steady clock */
    char announced[32];  /* version of the rule set that the database knows from us */
    struct rule_rest rest;
    msec_t trials_until; /* steady clock */
};

struct rule_guard *rule_guard_new(const struct quarantine *quarantine)
{
    struct rule_guard *guard = memory_new(sizeof(*guard));
    guard->quarantine = *quarantine;
    guard->rest = (struct rule_rest){ json_array(), json_array() };
    return guard;
}

void rule_guard_free(struct rule_guard *guard)
{
    if (guard == NULL) {
        return;
    }
    json_decref(guard->rest.resting);
    json_decref(guard->rest.trials);
    free(guard);
}

void rule_guard_look_now(struct rule_guard *guard)
{
    guard->next_refresh = 0;
}

void rule_guard_forget(struct rule_guard *guard)
{
    guard->next_refresh = 0;
    guard->announced[0] = '\0';
}

static bool find_name(const json_t *names, const char *rule, size_t *ret_index)
{
    size_t index;
    json_t *name;
    json_array_foreach (names, index, name) {
        if (strcmp(json_string_value(name), rule) == 0) {
            *ret_index = index;
            return true;
        }
    }
    return false;
}

bool rule_guard_may_run(void *arg, const char *rule)
{
    struct rule_guard *guard = arg;
    size_t index;
    if (!find_name(guard->rest.resting, rule, &index)) {
        return true;
    }
    /* The trial belongs to somebody else after a while. */
    return find_name(guard->rest.trials, rule, &index) && clock_steady() < guard->trials_until;
}

/* A trial is one run; that `when` says no is none. When the batch of the run fails, another trial comes. */
void rule_guard_ran(void *arg, const char *rule)
{
    struct rule_guard *guard = arg;
    size_t index;
    if (find_name(guard->rest.trials, rule, &index)) {
        json_array_remove(guard->rest.trials, index);
    }
}

static err_t announce(struct rule_guard *guard, struct pg *pg, struct rule_set *rules, struct error *reterr)
{
    const char *version = rule_set_version(rules);
    if (strcmp(guard->announced, version) == 0) {
        return ERR_NONE;
    }
    json_t *description = rule_set_describe(rules);
    err_t err = store_record_rule_set(pg, version, description, reterr);
    json_decref(description);
    if (err == ERR_NONE) {
        err = crons_register(pg, rules, reterr);
    }
    if (err == ERR_NONE) {
        snprintf(guard->announced, sizeof(guard->announced), "%s", version);
    }
    return err;
}

/* Says in the log what rests from now on, and what is tried. */
static void report_rest(const struct rule_guard *guard, const struct rule_rest *rest)
{
    size_t index, known;
    json_t *name;
    json_array_foreach (rest->resting, index, name) {
        if (!find_name(guard->rest.resting, json_string_value(name), &known)) {
            log_error("rule rests because it failed too often", "rule='%s'", json_string_value(name));
        }
    }
    json_array_foreach (guard->rest.resting, index, name) {
        if (!find_name(rest->resting, json_string_value(name), &known)) {
            log_info("rule is back from quarantine", "rule='%s'", json_string_value(name));
        }
    }
}

err_t rule_guard_refresh(struct rule_guard *guard, struct pg *pg, int64_t worker_id, struct rule_set *rules,
                         struct error *reterr)
{
    msec_t now = clock_steady();
    bool same_rules = strcmp(guard->announced, rule_set_version(rules)) == 0;
    if (same_rules && now < guard->next_refresh) {
        return ERR_NONE;
    }
    err_t err = announce(guard, pg, rules, reterr);
    struct rule_rest rest;
    if (err == ERR_NONE) {
        err = rule_store_rest(pg, rule_set_version(rules), &guard->quarantine, worker_id, &rest, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    guard->next_refresh = now + REFRESH_MS;
    if (same_rules) {
        report_rest(guard, &rest);
    }
    json_decref(guard->rest.resting);
    guard->rest.resting = rest.resting;
    if (json_array_size(rest.trials) > 0) {
        json_decref(guard->rest.trials);
        guard->rest.trials = rest.trials;
        guard->trials_until = now + TRIAL_MS;
    } else {
        json_decref(rest.trials);
    }
    return ERR_NONE;
}
