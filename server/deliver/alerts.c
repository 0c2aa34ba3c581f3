#include "deliver/alerts.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/api_store.h"
#include "store/store.h"

#define EVENT_EVERY_MS ((msec_t)3600 * 1000)
#define MOST_WAITING 100
#define RETRY_MS 1000

struct alerts {
    json_t *events;
    msec_t next_try; /* steady clock */
};

/* What the log says of each problem that attempts find. */
static const struct problem {
    const char *name;
    enum log_level level;
    const char *text;
    const char *hint;
} problems[] = {
    { "channel_down", LOG_ERROR, "a target of messages is down",
      "its messages wait; look at its credentials and its account, then POST /api/v1/sources/NAME/resume" },
    { "channel_limited", LOG_WARN, "the provider limits a target of messages",
      "its messages are tried again later; fewer unwanted messages raise the limit, the provider's console tells it" },
    { "endpoint_gone", LOG_ERROR, "an endpoint is gone and gets no more calls",
      "correct its url in the rules, then POST /api/v1/sources/NAME/resume" },
};

static const struct problem *problem_of(const json_t *alert)
{
    const char *name = json_str_or(alert, "problem", "");
    for (size_t i = 0; i < ARRAY_LEN(problems); i++) {
        if (strcmp(problems[i].name, name) == 0) {
            return &problems[i];
        }
    }
    return &problems[0];
}

struct alerts *alerts_new(void)
{
    struct alerts *alerts = memory_new(sizeof(*alerts));
    alerts->events = json_array();
    return alerts;
}

void alerts_free(struct alerts *alerts)
{
    if (alerts == NULL) {
        return;
    }
    if (alerts_waiting(alerts) > 0) {
        log_warn("stopped before all alerts were stored, rules do not hear of them", "alerts=%zu",
                 alerts_waiting(alerts));
    }
    json_decref(alerts->events);
    free(alerts);
}

/* Its key names the hour in which it was raised, also when it is stored later. */
static json_t *event_of(const json_t *alert)
{
    struct buf key CLEANUP(buf_done);
    buf_init(&key, 400);
    buf_addf(&key, "alert:%s:%s:%lld", json_str_or(alert, "problem", ""), json_str_or(alert, "source", ""),
             (long long)(clock_shared() / EVENT_EVERY_MS));
    json_t *doc = json_object();
    json_put_str(doc, "type", "custom.system_alert");
    json_put_str(doc, "source", "answerd");
    json_put_str(doc, "provider", "answerd");
    json_put_bytes(doc, "key", buf_bytes(&key));
    json_put_time(doc, "occurred_at", clock_shared());
    json_put_int(doc, "lane", lane_of("source:answerd"));
    json_put(doc, "body", json_deep_copy(alert));
    return doc;
}

static bool waits(const struct alerts *alerts, const json_t *event)
{
    size_t index;
    json_t *other;
    json_array_foreach (alerts->events, index, other) {
        if (strcmp(json_str_or(other, "key", ""), json_str_or(event, "key", "")) == 0) {
            return true;
        }
    }
    return false;
}

static void drop_first(struct alerts *alerts, const char *reason)
{
    log_error("an alert is not stored, rules do not hear of it", "key='%s' reason='%s'",
              json_str_or(json_array_get(alerts->events, 0), "key", ""), reason);
    json_array_remove(alerts->events, 0);
}

void alerts_take(struct alerts *alerts, json_t *said)
{
    size_t index;
    json_t *alert;
    json_array_foreach (said, index, alert) {
        const struct problem *problem = problem_of(alert);
        log_write(problem->level, problem->text, "problem=%s target='%s' code='%s' reason='%s' hint='%s'",
                  json_str_or(alert, "problem", ""), json_str_or(alert, "source", ""), json_str_or(alert, "code", ""),
                  json_str_or(alert, "reason", ""), problem->hint);
        json_t *event = event_of(alert);
        if (!waits(alerts, event)) {
            json_array_append(alerts->events, event);
        }
        json_decref(event);
        if (alerts_waiting(alerts) > MOST_WAITING) {
            drop_first(alerts, "too many wait for the database");
        }
    }
    json_array_clear(said);
}

size_t alerts_waiting(const struct alerts *alerts)
{
    return json_array_size(alerts->events);
}

msec_t alerts_due(const struct alerts *alerts)
{
    return alerts_waiting(alerts) == 0 ? 0 : alerts->next_try > 0 ? alerts->next_try : 1;
}

err_t alerts_store(struct alerts *alerts, struct pg *pg, struct error *reterr)
{
    if (clock_steady() < alerts->next_try) {
        return ERR_NONE;
    }
    while (alerts_waiting(alerts) > 0) {
        int64_t event_id;
        bool is_new;
        struct error error;
        err_t err = api_store_add_event(pg, json_array_get(alerts->events, 0), &event_id, &is_new, NULL, &error);
        if (err == ERR_NONE || err == ERR_NOT_FOUND) {
            /* It is there, or was: its key is known, and its event is not kept. */
            json_array_remove(alerts->events, 0);
        } else if (err == ERR_INVALID || err == ERR_INTERNAL) {
            drop_first(alerts, error.text);
        } else {
            alerts->next_try = clock_steady() + RETRY_MS;
            if (reterr != NULL) {
                *reterr = error;
            }
            return err;
        }
    }
    return ERR_NONE;
}
