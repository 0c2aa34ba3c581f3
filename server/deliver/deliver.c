#include "deliver/deliver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/heartbeat.h"
#include "base/memory.h"
#include "base/text.h"
#include "deliver/alerts.h"
#include "deliver/attempt.h"
#include "deliver/conflicts.h"
#include "deliver/paces.h"
#include "io/crypto.h"
#include "store/store.h"

#define STATEMENT_TIMEOUT_MS 15000
#define CONNECT_RETRY_MS 200
#define CONNECT_RETRY_MAX_MS 2000
#define CLAIM_MOST 64
#define SETTLE_CHECK_MS 1000
#define RECORD_RETRY_MS 500
#define HEALTHY_WITHIN_MS 30000
/* A lease outlives the call's own time-out, so that only a process that hangs lets it run out. */
#define LEASE_MARGIN_MS 30000
#define STOP_MARGIN_MS 2000
#define TELL_EVERY_MS 60000

struct deliver {
    struct deliver_settings settings;
    pthread_t thread;
    struct http_client *client;
    atomic_bool stopping;
    atomic_bool nudged;
    atomic_int_fast64_t last_healthy; /* steady clock; 0 while the database is away */

    /* Everything below belongs to the thread. */
    struct pg *pg;
    struct plan_age plans;
    int64_t sender; /* our number in the database, kept over connections */
    unsigned connect_failures;
    msec_t next_connect; /* steady clock, as the other times here unless they say otherwise */
    struct rule_set *rules;
    uint64_t rules_generation;
    json_t *paces; /* of the sources of our configuration */
    struct known_sources sources;
    struct attempt_context attempts;
    bool look; /* there may be something to claim */
    msec_t next_look;
    msec_t next_settle;
    msec_t next_record; /* after a record that failed */
    struct alerts *alerts;
    struct outages *outages;
    struct conflicts claiming, recording, settling;
    struct log_throttle refusals;
    struct log_throttle unsettled;
    struct log_throttle unrecorded;
};

static void deliver_disconnect(struct deliver *deliver)
{
    pg_close(deliver->pg);
    deliver->pg = NULL;
    atomic_store(&deliver->last_healthy, 0);
}

static bool deliver_connect(struct deliver *deliver)
{
    struct error error;
    if (deliver->pg != NULL && !pg_is_broken(deliver->pg)) {
        if (store_renew_plans(deliver->pg, &deliver->plans, &error) == ERR_NONE) {
            return true;
        }
    }
    deliver_disconnect(deliver);
    if (clock_steady() < deliver->next_connect) {
        return false;
    }
    const struct pg_settings settings = {
        .conninfo = deliver->settings.config->database.url,
        .application_name = "answerd deliver",
        .statement_timeout_ms = STATEMENT_TIMEOUT_MS,
        .writes = true,
    };
    err_t err = pg_open(&settings, &deliver->pg, &error);
    if (err == ERR_NONE) {
        err = store_check_schema_fits(deliver->pg, &error);
    }
    if (err == ERR_NONE) {
        err = deliver_store_start_sender(deliver->pg, &deliver->sender, &error);
    }
    if (err == ERR_NONE) {
        if (deliver->connect_failures > 0) {
            log_info("database is back", "failures=%u", deliver->connect_failures);
        }
        deliver->connect_failures = 0;
        deliver->look = true;
        deliver->next_settle = 0;
        deliver->plans = (struct plan_age){ 0 };
        return true;
    }
    deliver_disconnect(deliver);
    if (deliver->connect_failures++ == 0) {
        log_warn("database is away", "reason='%s'", error.text);
    }
    deliver->next_connect = clock_steady() + backoff_delay(deliver->connect_failures, CONNECT_RETRY_MS,
                                                           CONNECT_RETRY_MAX_MS, crypto_random_u32());
    return false;
}

static void deliver_database_trouble(struct deliver *deliver, const char *what, const struct error *error)
{
    unsigned swallowed;
    if (log_allowed(&deliver->refusals, 2000, &swallowed)) {
        log_error("database trouble", "during='%s' reason='%s' also=%u", what, error->text, swallowed);
    }
    if (error->code == ERR_LOST || error->code == ERR_BUSY || error->code == ERR_TIMEOUT) {
        deliver_disconnect(deliver);
    }
}

/* Endpoints and their secrets are declared in rules. */
static void deliver_follow_rules(struct deliver *deliver)
{
    if (deliver->rules != NULL && deliver->rules_generation == rule_feed_generation(deliver->settings.rules)) {
        return;
    }
    const struct rule_limits limits = rule_limits_default();
    struct rule_set *fresh = NULL;
    struct error error;
    if (rule_feed_load(deliver->settings.rules, &limits, &deliver->rules_generation, &fresh, &error) != ERR_NONE) {
        log_error("rules did not load in this thread, the ones before stay", "reason='%s'", error.text);
        return;
    }
    rule_set_free(deliver->rules);
    deliver->rules = fresh;
    deliver->attempts.rules = fresh;
}

static void deliver_follow_sources(struct deliver *deliver)
{
    struct error error;
    if (known_sources_follow(&deliver->sources, deliver->pg, rule_feed_pointer(deliver->settings.rules), &error) !=
        ERR_NONE) {
        deliver_database_trouble(deliver, "reading which sources there are", &error);
    }
}

/* Outcomes that the database refuses together are recorded one by one; the one to blame is left to its lease. One that
 * is in conflict is kept: it may be that of a message that was sent, and what is left to its lease may be sent again.
 */
static void record_one_by_one(struct deliver *deliver)
{
    json_t *outcomes = deliver->attempts.outcomes;
    size_t kept = 0;
    while (json_array_size(outcomes) > kept) {
        json_t *single CLEANUP(json_free) = json_array();
        json_array_append(single, json_array_get(outcomes, kept));
        long long id = (long long)json_int(json_array_get(outcomes, kept), "id", 0);
        struct error error;
        err_t err = deliver_store_record(deliver->pg, single, &error);
        if (err == ERR_CONFLICT) {
            unsigned swallowed;
            if (log_allowed(&deliver->unrecorded, TELL_EVERY_MS, &swallowed)) {
                log_error("an outcome is in conflict, it is tried again", "delivery=%lld reason='%s' also=%u", id,
                          error.text, swallowed);
            }
            kept++;
            continue;
        }
        if (err == ERR_INVALID) {
            log_error("an outcome cannot be recorded", "delivery=%lld reason='%s'", id, error.text);
        } else if (err != ERR_NONE) {
            deliver_database_trouble(deliver, "recording", &error);
            return;
        }
        json_array_remove(outcomes, kept);
    }
}

static void deliver_record(struct deliver *deliver)
{
    json_t *outcomes = deliver->attempts.outcomes;
    if (json_array_size(outcomes) == 0 || clock_steady() < deliver->next_record) {
        return;
    }
    struct error error;
    err_t err = deliver_store_record(deliver->pg, outcomes, &error);
    if (err == ERR_NONE) {
        conflicts_end(&deliver->recording, clock_steady());
        json_array_clear(outcomes);
        deliver->look = true; /* what waited behind them in order may go now */
        return;
    }
    if (err == ERR_INVALID) {
        record_one_by_one(deliver);
        deliver->next_record = json_array_size(outcomes) > 0 ? clock_steady() + RECORD_RETRY_MS : 0;
        return;
    }
    deliver->next_record = clock_steady() + RECORD_RETRY_MS;
    if (err != ERR_CONFLICT) {
        deliver_database_trouble(deliver, "recording", &error);
    } else if (conflicts_last(&deliver->recording, &error, clock_steady())) {
        record_one_by_one(deliver);
        if (json_array_size(outcomes) == 0) {
            conflicts_end(&deliver->recording, clock_steady());
        }
    }
}

/* Targets that work again get some of what failed at them. */
static void deliver_recover(struct deliver *deliver)
{
    size_t most = 0;
    const char *target;
    while (deliver->pg != NULL && (target = outages_recovering(deliver->outages, &most)) != NULL) {
        size_t count = 0;
        struct error error;
        err_t err = deliver_store_let_failed_go(deliver->pg, target, most, &count, &error);
        if (err != ERR_NONE) {
            if (err != ERR_CONFLICT) {
                deliver_database_trouble(deliver, "letting go what failed", &error);
            }
            return;
        }
        outages_let_go(deliver->outages, target, count);
        if (count > 0) {
            log_info("a target works again, what failed is tried again", "target='%s' deliveries=%zu", target, count);
            deliver->look = true;
        }
    }
}

/* Says aloud what a person must look at. */
static void deliver_raise_alerts(struct deliver *deliver)
{
    struct error error;
    alerts_take(deliver->alerts, deliver->attempts.alerts);
    if (deliver->pg != NULL && alerts_store(deliver->alerts, deliver->pg, &error) != ERR_NONE) {
        deliver_database_trouble(deliver, "raising an alert", &error);
    }
}

/* Rows that the database refuses together are settled one by one; the one to blame stays as it is. */
static err_t settle_one_by_one(struct deliver *deliver, int64_t *ret_settled, struct error *reterr)
{
    json_t *refused CLEANUP(json_free) = NULL;
    err_t err = deliver_store_settle_each(deliver->pg, deliver->sender, deliver->settings.config->deliver.settle_ms,
                                          ret_settled, &refused, reterr);
    size_t index;
    json_t *one;
    unsigned swallowed;
    if (json_array_size(refused) > 0 && log_allowed(&deliver->unsettled, TELL_EVERY_MS, &swallowed)) {
        json_array_foreach (refused, index, one) {
            log_error(
                "a delivery cannot be settled, it stays as it is",
                "delivery=%lld sqlstate=%s reason='%s' hint='the others go on; correct its row, or what refuses it'",
                (long long)json_int(one, "delivery", 0), json_str_or(one, "sqlstate", ""),
                json_str_or(one, "reason", ""));
        }
    }
    return err;
}

static void deliver_settle(struct deliver *deliver)
{
    if (clock_steady() < deliver->next_settle) {
        return;
    }
    deliver->next_settle = clock_steady() + SETTLE_CHECK_MS;
    int64_t settled = 0;
    struct error error;
    err_t err = deliver_store_settle(deliver->pg, deliver->sender, deliver->settings.config->deliver.settle_ms,
                                     &settled, &error);
    if (err == ERR_INVALID || (err == ERR_CONFLICT && conflicts_last(&deliver->settling, &error, clock_steady()))) {
        err = settle_one_by_one(deliver, &settled, &error);
    }
    if (err == ERR_NONE) {
        conflicts_end(&deliver->settling, clock_steady());
    } else if (err != ERR_CONFLICT) {
        deliver_database_trouble(deliver, "settling", &error);
    }
    if (settled > 0) {
        log_info("unknown outcomes settled", "deliveries=%lld", (long long)settled);
        deliver->look = true;
    }
}

/* What is claimed may be a call to any endpoint, and each says how long it may take. */
static msec_t longest_call_ms(const struct deliver *deliver)
{
    msec_t longest = deliver->settings.config->deliver.timeout_ms;
    const char *endpoint;
    json_t *declared;
    json_object_foreach (deliver->rules != NULL ? rule_set_declarations(deliver->rules, "endpoint") : NULL, endpoint,
                         declared) {
        msec_t timeout = json_int(declared, "timeout_ms", 0);
        longest = timeout > longest ? timeout : longest;
    }
    return longest;
}

static void deliver_claim(struct deliver *deliver)
{
    const struct config *config = deliver->settings.config;
    size_t busy = http_client_in_flight(deliver->client);
    if (busy >= config->deliver.max_in_flight) {
        return;
    }
    if (!deliver->look && clock_steady() < deliver->next_look) {
        return;
    }
    size_t limit = config->deliver.max_in_flight - busy;
    limit = limit < CLAIM_MOST ? limit : CLAIM_MOST;
    json_t *claimed = NULL;
    msec_t next_due = 0; /* wall clock */
    msec_t began = clock_steady();
    struct error error;
    deliver->look = false;
    deliver->next_look = clock_steady() + config->deliver.poll_ms;
    json_t *paces CLEANUP(json_free) =
        paces_with_room(deliver->paces, config, &deliver->attempts, deliver->rules, &deliver->sources);
    err_t err = deliver_store_claim(deliver->pg, deliver->sender, limit, longest_call_ms(deliver) + LEASE_MARGIN_MS,
                                    paces, &claimed, &next_due, &error);
    if (err == ERR_CONFLICT) {
        conflicts_last(&deliver->claiming, &error, clock_steady());
        return;
    }
    conflicts_end(&deliver->claiming, clock_steady());
    if (err != ERR_NONE) {
        deliver_database_trouble(deliver, "claiming", &error);
        return;
    }
    size_t count = json_array_size(claimed);
    /* Whoever was stopped in between may have lost its claims to others: what did not leave yet is handed back. */
    bool in_time = clock_steady() - began < LEASE_MARGIN_MS / 2;
    for (size_t i = 0; i < count; i++) {
        json_t *delivery = json_incref(json_array_get(claimed, i));
        if (in_time) {
            attempt_start(&deliver->attempts, delivery);
        } else {
            attempt_hand_back(&deliver->attempts, delivery);
        }
    }
    json_decref(claimed);
    if (count == limit) {
        deliver->look = true;
    } else if (next_due != 0) {
        msec_t wait = next_due - clock_shared();
        msec_t at = clock_steady() + (wait > 0 ? wait : 1);
        if (at < deliver->next_look) {
            deliver->next_look = at;
        }
    }
}

static msec_t deliver_idle_ms(const struct deliver *deliver)
{
    msec_t now = clock_steady();
    if (deliver->pg == NULL) {
        return deliver->next_connect > now ? deliver->next_connect - now : 0;
    }
    if (json_array_size(deliver->attempts.outcomes) > 0) {
        return deliver->next_record > now ? deliver->next_record - now : 0;
    }
    bool full = http_client_in_flight(deliver->client) >= deliver->settings.config->deliver.max_in_flight;
    msec_t at = deliver->next_settle;
    msec_t alerts_at = alerts_due(deliver->alerts);
    at = alerts_at != 0 && alerts_at < at ? alerts_at : at;
    if (!full && !atomic_load(&deliver->stopping)) {
        at = deliver->look ? now : deliver->next_look < at ? deliver->next_look : at;
    }
    return at > now ? at - now : 0;
}

static void *deliver_main(void *arg)
{
    struct deliver *deliver = arg;
    log_set_actor("deliver");
    heartbeat_start("deliver");
    msec_t stop_deadline = 0;
    for (;;) {
        heartbeat_beat();
        bool stopping = atomic_load(&deliver->stopping);
        if (stopping && stop_deadline == 0) {
            stop_deadline = clock_steady() + deliver->settings.config->deliver.timeout_ms + STOP_MARGIN_MS;
        }
        bool idle = http_client_in_flight(deliver->client) == 0 && json_array_size(deliver->attempts.outcomes) == 0 &&
                    alerts_waiting(deliver->alerts) == 0;
        if (stopping && (idle || clock_steady() >= stop_deadline)) {
            break;
        }
        if (atomic_exchange(&deliver->nudged, false)) {
            deliver->look = true;
        }
        if (deliver_connect(deliver)) {
            atomic_store(&deliver->last_healthy, clock_steady());
            deliver_follow_rules(deliver);
            deliver_record(deliver);
            deliver_recover(deliver);
            deliver_raise_alerts(deliver);
        }
        if (deliver->pg != NULL && !stopping) {
            deliver_settle(deliver);
        }
        if (deliver->pg != NULL && !stopping) {
            deliver_follow_sources(deliver);
        }
        /* What could not be recorded holds back new claims: the memory of outcomes is bounded by what is in flight. */
        if (deliver->pg != NULL && !stopping && json_array_size(deliver->attempts.outcomes) == 0) {
            deliver_claim(deliver);
        }
        http_client_wait(deliver->client, deliver_idle_ms(deliver));
    }
    size_t unrecorded = json_array_size(deliver->attempts.outcomes) + http_client_in_flight(deliver->client);
    if (unrecorded > 0) {
        log_warn("stopped before all outcomes were recorded, they will count as unknown", "deliveries=%zu", unrecorded);
    }
    deliver_disconnect(deliver);
    heartbeat_end();
    return NULL;
}

void deliver_free(struct deliver *deliver)
{
    if (deliver == NULL) {
        return;
    }
    http_client_free(deliver->client);
    attempt_drop_all(&deliver->attempts);
    rule_set_free(deliver->rules);
    json_decref(deliver->paces);
    known_sources_done(&deliver->sources);
    json_decref(deliver->attempts.outcomes);
    json_decref(deliver->attempts.alerts);
    alerts_free(deliver->alerts);
    outages_free(deliver->outages);
    free(deliver);
}

err_t deliver_start(const struct deliver_settings *settings, struct deliver **ret_deliver, struct error *reterr)
{
    const struct http_client_settings http = { .max_connections = settings->config->deliver.max_in_flight,
                                               .max_host_connections = settings->config->deliver.max_in_flight };
    struct deliver *deliver = memory_new(sizeof(*deliver));
    deliver->settings = *settings;
    deliver->client = http_client_new(&http);
    deliver->paces = paces_of_sources(settings->config);
    known_sources_init(&deliver->sources, settings->sources);
    deliver->alerts = alerts_new();
    deliver->outages = outages_new();
    deliver->claiming.during = "claiming";
    deliver->recording.during = "recording";
    deliver->settling.during = "settling";
    deliver->attempts = (struct attempt_context){
        .config = settings->config,
        .client = deliver->client,
        .outcomes = json_array(),
        .outages = deliver->outages,
        .alerts = json_array(),
    };
    int failure = pthread_create(&deliver->thread, NULL, deliver_main, deliver);
    if (failure != 0) {
        deliver_free(deliver);
        return fail(reterr, ERR_INTERNAL, "no thread for deliver: %s", strerror(failure));
    }
    *ret_deliver = deliver;
    return ERR_NONE;
}

void deliver_nudge(struct deliver *deliver)
{
    atomic_store(&deliver->nudged, true);
    http_client_wake(deliver->client);
}

void deliver_stop(struct deliver *deliver)
{
    atomic_store(&deliver->stopping, true);
    http_client_wake(deliver->client);
}

void deliver_join(struct deliver *deliver)
{
    pthread_join(deliver->thread, NULL);
}

bool deliver_is_healthy(const struct deliver *deliver)
{
    msec_t last = atomic_load(&deliver->last_healthy);
    return last != 0 && clock_steady() - last < HEALTHY_WITHIN_MS;
}
