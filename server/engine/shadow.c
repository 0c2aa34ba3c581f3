#include "engine/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/metrics.h"
#include "engine/facts_reader.h"
#include "store/rule_store.h"

/* Numbers that no real object has; exact also as a floating-point number. */
#define FIRST_ID ((int64_t)8000000000000000)
/* Share of the engine's time, and how much of it can be saved up. */
#define TIME_SHARE 4
#define MOST_CREDIT_US 500000
/* One event's rules stop being tried after this. */
#define TURN_MAX_US 300000
#define FAILURES_IN_ROW 5
#define REST_MS 60000

struct shadow {
    unsigned percent;
    const json_t *sources;
    unsigned max_depth;
    struct rule_set *rules;
    bool has_snapshot;
    json_t *kept; /* array of {event, cases, now} */
    int64_t last_id;

    int64_t credit_us;
    int64_t credited_at; /* steady clock, microseconds */
    int64_t turn_began;
    json_t *failures; /* object by rule: in a row */
    json_t *rests;    /* object by rule: until, on the steady clock in ms */

    struct log_throttle troubles;
    struct metric *events, *skipped, *seconds, *failed_rules;
};

struct shadow *shadow_new(unsigned percent, const json_t *sources, unsigned max_depth)
{
    struct shadow *shadow = memory_new(sizeof(*shadow));
    shadow->percent = percent;
    shadow->sources = sources;
    shadow->max_depth = max_depth;
    shadow->kept = json_array();
    shadow->failures = json_object();
    shadow->rests = json_object();
    shadow->credit_us = MOST_CREDIT_US;
    shadow->credited_at = clock_steady_us();
    shadow->events = metric_counter("answerd_shadow_events_total", "Events on which the shadow rules were tried.", "");
    shadow->skipped = metric_counter("answerd_shadow_skipped_total",
                                     "Events on which they were not, because they take too much time.", "");
    shadow->seconds = metric_counter("answerd_shadow_seconds_total", "Time that shadow rules took.", "");
    shadow->failed_rules =
        metric_counter("answerd_shadow_failures_total", "Shadow rules that failed or ran out of their budget.", "");
    return shadow;
}

void shadow_free(struct shadow *shadow)
{
    if (shadow == NULL) {
        return;
    }
    rule_set_free(shadow->rules);
    json_decref(shadow->kept);
    json_decref(shadow->failures);
    json_decref(shadow->rests);
    free(shadow);
}

void shadow_set_rules(struct shadow *shadow, struct rule_set *rules)
{
    rule_set_free(shadow->rules);
    shadow->rules = rules;
    json_object_clear(shadow->failures);
    json_object_clear(shadow->rests);
}

bool shadow_is_on(const struct shadow *shadow)
{
    return shadow->rules != NULL && shadow->percent > 0;
}

static void report_trouble(struct shadow *shadow, const char *what, const struct error *error)
{
    unsigned swallowed;
    if (log_allowed(&shadow->troubles, 5000, &swallowed)) {
        log_warn("the shadow rules are not tried on some events", "during='%s' reason='%s' also=%u", what, error->text,
                 swallowed);
    }
}

void shadow_begin(struct shadow *shadow, struct pg *pg)
{
    /* The snapshot is taken by the first statement after BEGIN. */
    static const char sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";
    struct error error;
    shadow->has_snapshot = pg_script(pg, sql, &error) == ERR_NONE;
    if (!shadow->has_snapshot) {
        report_trouble(shadow, "taking a snapshot", &error);
    }
}

static bool is_chosen(const struct shadow *shadow, const json_t *event)
{
    uint64_t mixed = (uint64_t)json_int(event, "id", 0) * 0x9E3779B97F4A7C15ull;
    return (mixed >> 32) % 100 < shadow->percent;
}

void shadow_keep(struct shadow *shadow, const struct desk *desk, const json_t *event, msec_t now)
{
    if (!shadow->has_snapshot || !is_chosen(shadow, event)) {
        return;
    }
    json_t *item = json_object();
    json_object_set(item, "event", (json_t *)(uintptr_t)event);
    json_put(item, "cases", desk_copy_cases(desk, event));
    json_put_int(item, "now", now);
    json_array_append_new(shadow->kept, item);
}

static void end_snapshot(struct shadow *shadow, struct pg *pg)
{
    struct error error;
    if (shadow->has_snapshot && pg_script(pg, "COMMIT", &error) != ERR_NONE) {
        report_trouble(shadow, "ending a snapshot", &error);
    }
    shadow->has_snapshot = false;
}

void shadow_forget(struct shadow *shadow, struct pg *pg)
{
    json_array_clear(shadow->kept);
    end_snapshot(shadow, pg);
}

/* --- trying --------------------------------------------------------------------------------------------------------
 */

static int64_t next_id(void *arg)
{
    struct shadow *shadow = arg;
    return FIRST_ID + ++shadow->last_id % 1000000000;
}

static bool may_run(void *arg, const char *rule)
{
    struct shadow *shadow = arg;
    return clock_steady_us() - shadow->turn_began < TURN_MAX_US && clock_steady() >= json_int(shadow->rests, rule, 0);
}

/* A rule that fails again and again would only take time from those that do not. */
static void note_verdicts(struct shadow *shadow, const json_t *traces)
{
    size_t index;
    json_t *trace;
    json_array_foreach (traces, index, trace) {
        const char *rule = json_str_or(trace, "rule", "");
        const char *verdict = json_str_or(trace, "verdict", "");
        if (strcmp(verdict, "ran") == 0) {
            json_object_del(shadow->failures, rule);
        } else if (strcmp(verdict, "failed") == 0 || strcmp(verdict, "over_budget") == 0) {
            metric_add(shadow->failed_rules, 1);
            int64_t count = json_int(shadow->failures, rule, 0) + 1;
            json_put_int(shadow->failures, rule, count);
            if (count >= FAILURES_IN_ROW) {
                json_put_int(shadow->rests, rule, clock_steady() + REST_MS);
                json_object_del(shadow->failures, rule);
            }
        }
    }
}

static void try_event(struct shadow *shadow, struct pg *pg, const json_t *item, json_t *runs, json_t *traces,
                      const char *live_version)
{
    struct facts_reader facts;
    const struct fact_reader reader = facts_reader_begin(&facts, pg);
    const struct desk_settings settings = {
        .next_id = next_id,
        .id_arg = shadow,
        .reader = &reader,
        .sources = shadow->sources,
        .max_depth = shadow->max_depth,
        .may_run = may_run,
        .may_run_arg = shadow,
    };
    const json_t *event = json_object_at(item, "event");
    struct desk *desk = desk_new(&settings, shadow->rules);
    size_t index;
    json_t *contact_case;
    json_array_foreach (json_array_at(item, "cases"), index, contact_case) {
        desk_add_case(desk, json_incref(contact_case));
    }
    shadow->turn_began = clock_steady_us();
    desk_handle(desk, event, json_int(item, "now", 0));
    int64_t micros = clock_steady_us() - shadow->turn_began;
    json_t *changes = desk_take_changes(desk);
    desk_free(desk);
    facts_reader_end(&facts);
    shadow->credit_us -= micros;
    if (facts.err != ERR_NONE) {
        report_trouble(shadow, "reading facts", &facts.error);
        json_decref(changes);
        return;
    }

    json_t *run = json_object();
    json_put_int(run, "event_id", json_int(event, "id", 0));
    json_put_str(run, "live_set", live_version);
    json_put_str(run, "shadow_set", rule_set_version(shadow->rules));
    json_put_int(run, "micros", micros);
    json_array_append_new(runs, run);
    note_verdicts(shadow, json_array_at(changes, "traces"));
    if (json_array_at(changes, "traces") != NULL) {
        json_array_extend(traces, json_array_at(changes, "traces"));
    }
    json_decref(changes);
    metric_add(shadow->events, 1);
    metric_add(shadow->seconds, (double)micros / 1e6);
}

static void earn_credit(struct shadow *shadow)
{
    int64_t now = clock_steady_us();
    shadow->credit_us += (now - shadow->credited_at) / TIME_SHARE;
    shadow->credited_at = now;
    if (shadow->credit_us > MOST_CREDIT_US) {
        shadow->credit_us = MOST_CREDIT_US;
    }
}

void shadow_finish(struct shadow *shadow, struct pg *pg, const char *live_version)
{
    if (json_array_size(shadow->kept) == 0) {
        end_snapshot(shadow, pg);
        return;
    }
    json_t *runs = json_array();
    json_t *traces = json_array();
    size_t index;
    json_t *item;
    json_array_foreach (shadow->kept, index, item) {
        earn_credit(shadow);
        if (shadow->credit_us > 0) {
            try_event(shadow, pg, item, runs, traces, live_version);
        } else {
            metric_add(shadow->skipped, 1);
        }
    }
    json_array_clear(shadow->kept);
    end_snapshot(shadow, pg);
    struct error error;
    if (json_array_size(runs) > 0 && !pg_is_broken(pg) &&
        rule_store_record_shadow(pg, runs, traces, &error) != ERR_NONE) {
        report_trouble(shadow, "recording", &error);
    }
    json_decref(runs);
    json_decref(traces);
}
