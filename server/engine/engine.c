#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/heartbeat.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "engine/batch.h"
#include "engine/batch_size.h"
#include "engine/crons.h"
#include "engine/engine_rules.h"
#include "engine/rule_guard.h"
#include "engine/wakeup.h"
#include "io/crypto.h"
#include "store/known_sources.h"
#include "store/store.h"

#define STATEMENT_TIMEOUT_MS 15000
/* Rules that take long end their batch early: what they did is committed, and others get at the lanes. */
#define HANDLING_MS 1000
/* How long a transaction may stay open without a word from us: a process that is stopped in the middle holds its lanes
 * for no longer. Between two rules something is said when nothing was for SILENCE_MS. */
#define OPEN_TRANSACTION_MS 20000
#define SILENCE_MS 2000
#define CONNECT_RETRY_MS 200
#define CONNECT_RETRY_MAX_MS 2000
#define REFUSED_PAUSE_MS 500
#define CONFLICT_RETRIES 4
#define CONFLICT_RETRY_MS 5
#define CONFLICT_RETRY_MAX_MS 100
#define EVENT_RETRY_MS 1000
#define EVENT_RETRY_MAX_MS 300000
#define TIMER_BATCH 200
#define TIMER_CHECK_MS 200
#define BLAME_CHECK_MS 5000
#define HEALTHY_WITHIN_MS 15000
#define RULES_RETRY_MS 100

struct engine {
    struct engine_settings settings;
    pthread_t thread;
    struct wakeup wakeup;
    atomic_bool stopping;
    atomic_int_fast64_t last_healthy; /* steady clock; 0 while the database is away */

    /* Everything below belongs to the thread. */
    struct pg *pg;
    struct pg *note_pg;
    int64_t worker_id;
    unsigned connect_failures;
    struct engine_rules rules;
    struct known_sources sources;
    struct rule_guard *guard;
    struct id_pool ids;
    struct plan_age plans;
    struct batch_size batch_size;
    unsigned conflicts;      /* in a row */
    msec_t next_timer_check; /* steady clock */
    msec_t next_blame_check;
    msec_t next_due; /* wall clock; 0: no timer is known */
    struct batch_outcome outcome;
    struct log_throttle troubles, refusals, rule_failures;

    struct metric *handled, *batches, *batch_seconds, *conflict_count, *failed_events, *parked_events, *timers_fired;
};

/* Sleeps though somebody nudges: new work does not make a lost database come back sooner. Stopping ends it. */
static void engine_pause(struct engine *engine, msec_t pause_ms)
{
    msec_t until = clock_steady() + pause_ms;
    for (msec_t left = pause_ms; left > 0 && !atomic_load(&engine->stopping); left = until - clock_steady()) {
        wakeup_sleep(&engine->wakeup, left);
    }
}

static void engine_disconnect(struct engine *engine)
{
    pg_close(engine->pg);
    pg_close(engine->note_pg);
    engine->pg = NULL;
    engine->note_pg = NULL;
    atomic_store(&engine->last_healthy, 0);
}

static err_t engine_open(struct engine *engine, struct error *reterr)
{
    const struct pg_settings work = {
        .conninfo = engine->settings.config->database.url,
        .application_name = "answerd engine",
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .idle_in_transaction_ms = OPEN_TRANSACTION_MS,
        .writes = true,
    };
    err_t err = pg_open(&work, &engine->pg, reterr);
    if (err == ERR_NONE) {
        const struct pg_settings notes = {
            .conninfo = engine->settings.config->database.url,
            .application_name = "answerd engine notes",
            .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
            .writes = true,
            .beside = engine->pg,
        };
        err = pg_open(&notes, &engine->note_pg, reterr);
    }
    if (err == ERR_NONE) {
        err = store_check_schema_fits(engine->pg, reterr);
    }
    if (err == ERR_NONE && engine->worker_id == 0) {
        err = store_reserve_ids(engine->pg, 1000, &engine->worker_id, reterr);
        if (err == ERR_NONE) {
            /* The rest of the block names objects. */
            engine->ids.next = engine->worker_id + 1;
            engine->ids.end = engine->worker_id + 1000;
        }
    }
    if (err == ERR_NONE) {
        err = engine_store_start_worker(engine->note_pg, engine->worker_id, reterr);
    }
    return err;
}

static bool engine_connect(struct engine *engine)
{
    if (engine->pg != NULL && !pg_is_broken(engine->pg) && !pg_is_broken(engine->note_pg)) {
        return true;
    }
    engine_disconnect(engine);
    struct error error;
    if (engine_open(engine, &error) == ERR_NONE) {
        if (engine->connect_failures > 0) {
            log_info("database is back", "failures=%u", engine->connect_failures);
        }
        engine->connect_failures = 0;
        engine->next_timer_check = 0;
        engine->next_blame_check = 0;
        engine->plans = (struct plan_age){ 0 };
        rule_guard_forget(engine->guard);
        return true;
    }
    engine_disconnect(engine);
    if (engine->connect_failures++ == 0) {
        log_warn("database is away", "reason='%s'", error.text);
    }
    engine_pause(engine,
                 backoff_delay(engine->connect_failures, CONNECT_RETRY_MS, CONNECT_RETRY_MAX_MS, crypto_random_u32()));
    return false;
}

/* Something in the database said no; decides whether the connection is still worth anything. */
static void engine_database_trouble(struct engine *engine, const char *what, const struct error *error)
{
    unsigned swallowed;
    if (error->code == ERR_LOST || error->code == ERR_BUSY || error->code == ERR_TIMEOUT) {
        if (log_allowed(&engine->troubles, 5000, &swallowed)) {
            log_warn("database trouble, connecting again", "during='%s' reason='%s' also=%u", what, error->text,
                     swallowed);
        }
        engine_disconnect(engine);
        engine_pause(engine, backoff_delay(1, CONNECT_RETRY_MS, CONNECT_RETRY_MAX_MS, crypto_random_u32()));
        return;
    }
    if (log_allowed(&engine->refusals, 5000, &swallowed)) {
        log_error("database refused", "during='%s' reason='%s' also=%u", what, error->text, swallowed);
    }
    engine_pause(engine, REFUSED_PAUSE_MS); /* asking again at once would only ask more often */
}

static void engine_fire_timers(struct engine *engine)
{
    msec_t now = clock_steady();
    bool due = engine->next_due != 0 && clock_shared() >= engine->next_due;
    if (!due && now < engine->next_timer_check) {
        return;
    }
    engine->next_timer_check = now + TIMER_CHECK_MS;
    int64_t timers = 0;
    int64_t crons = 0;
    msec_t next_timer = 0;
    msec_t next_cron = 0;
    struct error error;
    err_t err = engine_store_fire_timers(engine->pg, TIMER_BATCH, &timers, &next_timer, &error);
    if (err == ERR_NONE) {
        err = crons_fire(engine->pg, &crons, &next_cron, &error);
    }
    if (err != ERR_NONE) {
        if (err != ERR_CONFLICT) {
            engine_database_trouble(engine, "timers", &error);
        }
        return;
    }
    engine->next_due = next_timer == 0 || (next_cron != 0 && next_cron < next_timer) ? next_cron : next_timer;
    metric_add(engine->timers_fired, (double)(timers + crons));
}

static void engine_blame_crashed(struct engine *engine)
{
    msec_t now = clock_steady();
    if (now < engine->next_blame_check) {
        return;
    }
    engine->next_blame_check = now + BLAME_CHECK_MS;
    int64_t blamed = 0;
    struct error error;
    if (engine_store_blame_crashed(engine->note_pg, &blamed, &error) != ERR_NONE) {
        engine_database_trouble(engine, "blaming crashes", &error);
    } else if (blamed > 0) {
        log_warn("an engine died over its events, they are tried one by one", "events=%lld", (long long)blamed);
    }
}

/* One event, alone in its batch, could not be committed. */
static void engine_fail_event(struct engine *engine, const struct error *problem)
{
    int64_t position = engine->outcome.positions[0];
    unsigned tries = engine->outcome.attempts + 1;
    msec_t retry_ms = backoff_delay(tries, EVENT_RETRY_MS, EVENT_RETRY_MAX_MS, crypto_random_u32());
    bool parked = false;
    struct error error;
    if (engine_store_fail(engine->pg, position, problem->text, engine->settings.config->engine.attempts, retry_ms,
                          &parked, &error) != ERR_NONE) {
        engine_database_trouble(engine, "noting a failure", &error);
        return;
    }
    batch_size_put_off(&engine->batch_size);
    metric_add(parked ? engine->parked_events : engine->failed_events, 1);
    if (parked) {
        log_error("event parked", "position=%lld tries=%u reason='%s'", (long long)position, tries, problem->text);
    } else {
        log_warn("event failed", "position=%lld tries=%u retry_ms=%lld reason='%s'", (long long)position, tries,
                 (long long)retry_ms, problem->text);
    }
}

/* The server ended a transaction in which nothing happened for too long (SQLSTATE 25P03). */
static bool took_too_long(const struct error *error)
{
    return strcmp(error->sqlstate, "25P03") == 0;
}

/* Decides what follows from a batch that failed. */
static void engine_batch_failed(struct engine *engine, err_t err, const struct error *error)
{
    size_t count = engine->outcome.count;
    if (count > 0 && took_too_long(error)) {
        /* That is about these events, or we were stopped: fewer at a time, and not for ever. */
        engine_disconnect(engine);
        if (!engine_connect(engine)) {
            return;
        }
        if (count == 1) {
            engine_fail_event(engine, error);
        } else {
            batch_size_failed(&engine->batch_size, count);
        }
        return;
    }
    if (err == ERR_LOST || err == ERR_BUSY || err == ERR_TIMEOUT) {
        engine_database_trouble(engine, "a batch", error);
        return;
    }
    if (count == 0) {
        if (err != ERR_CONFLICT) {
            engine_database_trouble(engine, "claiming", error);
        }
        engine_pause(engine, backoff_delay(1, CONNECT_RETRY_MS, CONNECT_RETRY_MAX_MS, crypto_random_u32()));
        return;
    }
    if (err == ERR_CONFLICT && engine->conflicts++ < CONFLICT_RETRIES) {
        metric_add(engine->conflict_count, 1);
        engine_pause(engine,
                     backoff_delay(engine->conflicts, CONFLICT_RETRY_MS, CONFLICT_RETRY_MAX_MS, crypto_random_u32()));
        return;
    }
    engine->conflicts = 0;
    if (count > 1) {
        /* One of them is the reason; alone it harms nobody else. */
        log_debug("batch failed, going on with smaller ones", "events=%zu reason='%s'", count, error->text);
        batch_size_failed(&engine->batch_size, count);
        return;
    }
    engine_fail_event(engine, error);
}

static void engine_committed(void *arg)
{
    struct engine *engine = arg;
    if (engine->settings.committed != NULL) {
        engine->settings.committed(engine->settings.arg);
    }
}

/* A claim said that other rules are in force. */
static void engine_look_for_rules(struct engine *engine)
{
    struct error error;
    err_t err = rule_feed_follow(engine->rules.feed, engine->pg, NULL, &error);
    if (err == ERR_NONE) {
        return;
    }
    log_error("the rules that are in force now cannot be had, the ones before go on", "reason='%s'", error.text);
    if (err == ERR_LOST || err == ERR_BUSY || err == ERR_TIMEOUT) {
        engine_database_trouble(engine, "reading rules", &error);
    }
}

/* Handles one batch. False when nothing is left to do for this engine. */
static bool engine_work(struct engine *engine)
{
    const struct config *config = engine->settings.config;
    const struct batch_context context = {
        .pg = engine->pg,
        .note_pg = engine->note_pg,
        .worker_id = engine->worker_id,
        .rules = engine->rules.set,
        .rules_pointer = engine->rules.pointer,
        .budget = &engine->rules.budget,
        .shadow = engine->rules.shadow,
        .committed = engine_committed,
        .committed_arg = engine,
        .ids = &engine->ids,
        .sources = engine->sources.all,
        .max_depth = config->engine.max_depth,
        .may_run = rule_guard_may_run,
        .ran = rule_guard_ran,
        .may_run_arg = engine->guard,
        .rule_failures = &engine->rule_failures,
        .max_handling_ms = HANDLING_MS,
        .max_silence_ms = SILENCE_MS,
    };
    size_t limit = batch_size_next(&engine->batch_size);
    struct error error = { .code = ERR_NONE };
    int64_t started = clock_steady_us();
    err_t err = batch_run(&context, limit, &engine->outcome, &error);
    if (err != ERR_NONE) {
        engine_batch_failed(engine, err, &error);
        return true;
    }
    if (engine->outcome.other_rules) {
        engine_look_for_rules(engine);
        return true;
    }
    if (engine->outcome.count == 0) {
        batch_size_empty(&engine->batch_size);
        return false;
    }
    if (engine->outcome.count >= limit) {
        wakeup_call_next(&engine->wakeup); /* more may wait */
    }
    engine->conflicts = 0;
    if (engine->outcome.rules_failed) {
        rule_guard_look_now(engine->guard);
    }
    metric_add(engine->handled, (double)(engine->outcome.count + engine->outcome.made_and_handled));
    metric_add(engine->batches, 1);
    int64_t micros = clock_steady_us() - started;
    metric_observe(engine->batch_seconds, (double)micros / 1e6);
    batch_size_committed(&engine->batch_size, engine->outcome.count, micros);
    if (engine->outcome.more_deliveries) {
        engine_committed(engine);
    }
    /* Two that each take what has just come in would make twice as many transactions of it, and none sooner. */
    return !engine->settings.only_helps || engine->outcome.count >= limit;
}

/* How long there is surely nothing to do, unless somebody nudges. */
static msec_t engine_idle_ms(const struct engine *engine)
{
    msec_t poll_ms = engine->settings.config->engine.poll_ms;
    msec_t idle = poll_ms - (msec_t)(crypto_random_u32() % (uint32_t)(poll_ms / 4 + 1));
    if (engine->next_due != 0) {
        msec_t until_due = engine->next_due - clock_shared();
        if (until_due < idle) {
            idle = until_due;
        }
    }
    return idle;
}

static void *engine_main(void *arg)
{
    struct engine *engine = arg;
    log_set_actor("engine");
    heartbeat_start("engine");
    while (!atomic_load(&engine->stopping)) {
        heartbeat_beat();
        wakeup_look_round(&engine->wakeup);
        if (!engine_connect(engine)) {
            continue;
        }
        if (!engine_rules_follow(&engine->rules)) {
            wakeup_sleep(&engine->wakeup, RULES_RETRY_MS);
            continue;
        }
        struct error error;
        if (known_sources_follow(&engine->sources, engine->pg, engine->rules.pointer, &error) != ERR_NONE) {
            engine_database_trouble(engine, "reading which sources there are", &error);
            continue;
        }
        if (rule_guard_refresh(engine->guard, engine->pg, engine->worker_id, engine->rules.set, &error) != ERR_NONE) {
            engine_database_trouble(engine, "rule health", &error);
            continue;
        }
        if (store_renew_plans(engine->pg, &engine->plans, &error) != ERR_NONE) {
            engine_database_trouble(engine, "renewing plans", &error);
            continue;
        }
        atomic_store(&engine->last_healthy, clock_steady());
        engine_blame_crashed(engine);
        if (engine->pg != NULL) {
            engine_fire_timers(engine);
        }
        if (engine->pg != NULL && !engine_work(engine)) {
            wakeup_sleep(&engine->wakeup, engine_idle_ms(engine));
        }
    }
    if (engine->note_pg != NULL) {
        struct error error;
        if (engine_store_stop_worker(engine->note_pg, engine->worker_id, &error) != ERR_NONE) {
            log_debug("could not sign off", "reason='%s'", error.text);
        }
    }
    engine_disconnect(engine);
    heartbeat_end();
    return NULL;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return;
    }
    rule_guard_free(engine->guard);
    engine_rules_done(&engine->rules);
    known_sources_done(&engine->sources);
    wakeup_done(&engine->wakeup);
    free(engine);
}

err_t engine_start(const struct engine_settings *settings, struct engine **ret_engine, struct error *reterr)
{
    struct engine *engine = memory_new(sizeof(*engine));
    err_t err = wakeup_init(&engine->wakeup, settings->next != NULL ? &settings->next->wakeup : NULL, reterr);
    if (err != ERR_NONE) {
        free(engine);
        return err;
    }
    engine->settings = *settings;
    known_sources_init(&engine->sources, settings->sources);
    batch_size_init(&engine->batch_size, settings->config->engine.batch_events);
    const struct quarantine quarantine = {
        .failures_in_row = settings->config->rules.quarantine_after,
        .first_ms = settings->config->rules.quarantine_ms,
        .longest_ms = settings->config->rules.quarantine_longest_ms,
    };
    engine->guard = rule_guard_new(&quarantine);
    engine_rules_init(&engine->rules, settings->rules, settings->config, engine->sources.all);
    id_pool_init(&engine->ids);
    engine->handled = metric_counter("answerd_events_handled_total", "Events that were handled.", "");
    engine->batches = metric_counter("answerd_engine_batches_total", "Transactions of the engine.", "");
    engine->batch_seconds = metric_histogram("answerd_engine_batch_seconds", "Time from claim to commit.", "");
    engine->conflict_count =
        metric_counter("answerd_engine_conflicts_total", "Batches rolled back by a conflict and tried again.", "");
    engine->failed_events =
        metric_counter("answerd_events_failed_total", "Tries of an event that failed and will be repeated.", "");
    engine->parked_events = metric_counter("answerd_events_parked_total", "Events given up after their last try.", "");
    engine->timers_fired =
        metric_counter("answerd_timers_fired_total", "Timers, crons and expiries that became events.", "");
    int failure = pthread_create(&engine->thread, NULL, engine_main, engine);
    if (failure != 0) {
        engine_free(engine);
        return fail(reterr, ERR_INTERNAL, "no thread for the engine: %s", strerror(failure));
    }
    *ret_engine = engine;
    return ERR_NONE;
}

void engine_nudge(struct engine *engine)
{
    wakeup_nudge(&engine->wakeup);
}

void engine_stop(struct engine *engine)
{
    atomic_store(&engine->stopping, true);
    wakeup_wake(&engine->wakeup);
}

void engine_join(struct engine *engine)
{
    pthread_join(engine->thread, NULL);
}

bool engine_is_healthy(const struct engine *engine)
{
    msec_t last = atomic_load(&engine->last_healthy);
    return last != 0 && clock_steady() - last < HEALTHY_WITHIN_MS;
}
