#include "engine/batch.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "domain/desk.h"
#include "engine/budget.h"
#include "engine/facts_reader.h"

static size_t changed_rows(const json_t *changes, const char *table)
{
    return json_array_size(json_array_at(changes, table));
}

static void count_call(const char *rule, const char *verdict)
{
    char labels[160];
    snprintf(labels, sizeof(labels), "rule=\"%.80s\",verdict=\"%.40s\"", rule, verdict);
    metric_add(metric_counter("answerd_rule_calls_total", "Rule calls by rule and verdict.", labels), 1);
}

/* Rules are the operator's program: what failed in them is counted and logged, without the texts they handled. Did any?
 */
static bool report_traces(const json_t *changes, struct log_throttle *throttle)
{
    size_t index;
    json_t *handling;
    json_array_foreach (json_array_at(changes, "handlings"), index, handling) {
        size_t place;
        json_t *skipped;
        json_array_foreach (json_array_at(handling, "skipped"), place, skipped) {
            count_call(json_string_value(json_array_get(skipped, 1)), "skipped");
        }
    }
    bool failed = false;
    json_t *trace;
    json_array_foreach (json_array_at(changes, "traces"), index, trace) {
        const char *verdict = json_str_or(trace, "verdict", "");
        const char *rule = json_str_or(trace, "rule", "");
        count_call(rule, verdict);
        if (strcmp(verdict, "failed") != 0 && strcmp(verdict, "over_budget") != 0) {
            continue;
        }
        failed = true;
        unsigned swallowed;
        if (log_allowed(throttle, 1000, &swallowed)) {
            log_warn("rule failed", "rule='%s' verdict=%s event=%lld file='%s' line=%lld also=%u", rule, verdict,
                     (long long)json_int(trace, "event_id", 0), json_str_or(trace, "file", ""),
                     (long long)json_int(trace, "line", 0), swallowed);
        }
    }
    return failed;
}

/* The rules of a claim's events while its transaction is open. */
struct handling {
    const struct batch_context *context;
    msec_t spoke_at;
    err_t err;
    struct error error; /* why the transaction is lost */
};

/* Rules that take long, or get little of a processor, must not look to the database like a process that stands still.
 */
static void stay_in_transaction(struct handling *handling)
{
    msec_t now = clock_steady();
    if (handling->err == ERR_NONE && now - handling->spoke_at > handling->context->max_silence_ms) {
        handling->spoke_at = now;
        handling->err = engine_store_stay(handling->context->pg, &handling->error);
    }
}

static bool may_run(void *arg, const char *rule)
{
    struct handling *handling = arg;
    stay_in_transaction(handling);
    return handling->context->may_run(handling->context->may_run_arg, rule);
}

static void ran(void *arg, const char *rule)
{
    struct handling *handling = arg;
    handling->context->ran(handling->context->may_run_arg, rule);
}

/* Each event has one handling, in the order of the work; those of events that the batch made come after them. */
static void put_attempts(const json_t *changes, const json_t *work, size_t count)
{
    const json_t *handlings = json_array_at(changes, "handlings");
    for (size_t i = 0; i < count; i++) {
        json_put_int(json_array_get(handlings, i), "attempts", json_int(json_array_get(work, i), "attempts", 0));
    }
}

/* The claim's transaction is open; builds the changes that its events mean, of those that there is time for. They are
 * in the order of their positions: what is left comes after them in every lane. */
static json_t *handle_events(struct handling *handling, struct claim *claim, struct batch_outcome *outcome)
{
    const struct batch_context *context = handling->context;
    msec_t began = handling->spoke_at;
    struct facts_reader facts;
    const struct fact_reader reader = facts_reader_begin(&facts, context->pg);
    const struct desk_settings settings = {
        .next_id = id_pool_next,
        .id_arg = context->ids,
        .reader = &reader,
        .sources = context->sources,
        .max_depth = context->max_depth,
        .may_run = may_run,
        .ran = ran,
        .may_run_arg = handling,
        .folds_skipped = true,
    };
    struct desk *desk = desk_new(&settings, context->rules);
    size_t index;
    json_t *item;
    desk_add_case(desk, json_incref(claim->facts));
    json_array_foreach (claim->work, index, item) {
        if (index > 0 && clock_steady() - began > context->max_handling_ms) {
            break;
        }
        const json_t *event = json_object_at(item, "event");
        msec_t now = clock_shared();
        if (shadow_is_on(context->shadow)) {
            shadow_keep(context->shadow, desk, event, now);
        }
        desk_handle(desk, event, now);
    }
    /* A shadow's rules may take what ours do not, and replayed rows are told apart by the work that made them. */
    if (!shadow_is_on(context->shadow) && !claim->replays) {
        outcome->made_and_handled = desk_handle_made(desk, clock_shared());
    }
    json_t *changes = desk_take_changes(desk);
    put_attempts(changes, claim->work, index);
    desk_free(desk);
    if (handling->err == ERR_NONE && facts.err != ERR_NONE) {
        handling->err = facts.err;
        handling->error = facts.error;
    }
    facts_reader_end(&facts);
    outcome->count = index;
    return changes;
}

err_t batch_run(const struct batch_context *context, size_t limit, struct batch_outcome *ret_outcome,
                struct error *reterr)
{
    *ret_outcome = (struct batch_outcome){ .count = 0 };
    err_t err = id_pool_prepare(context->ids, context->pg, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct claim claim = { .work = NULL };
    err = engine_store_claim(context->pg, limit < BATCH_MAX_EVENTS ? limit : BATCH_MAX_EVENTS, &claim, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    size_t count = json_array_size(claim.work);
    if (count > 0 && claim.rules_generation != context->rules_pointer) {
        engine_store_rollback(context->pg);
        claim_done(&claim);
        ret_outcome->other_rules = true;
        return ERR_NONE;
    }
    if (count == 0) {
        claim_done(&claim);
        return ERR_NONE;
    }
    for (size_t i = 0; i < count; i++) {
        ret_outcome->positions[i] = json_int(json_array_get(claim.work, i), "position", 0);
    }
    ret_outcome->count = count;
    ret_outcome->attempts = (unsigned)json_int(json_array_get(claim.work, 0), "attempts", 0);

    err = engine_store_note_in_flight(context->note_pg, context->worker_id, ret_outcome->positions, count, reterr);
    if (err != ERR_NONE) {
        engine_store_rollback(context->pg);
        claim_done(&claim);
        return err == ERR_INVALID ? ERR_LOST : err;
    }
    bool shadowed = shadow_is_on(context->shadow);
    if (shadowed) {
        shadow_begin(context->shadow, context->note_pg);
    }
    struct handling handling = { .context = context, .spoke_at = clock_steady() };
    json_t *changes = handle_events(&handling, &claim, ret_outcome);
    count = ret_outcome->count;
    budget_put(context->budget, context->rules, changes);
    bool replays = claim.replays;
    claim_done(&claim);

    const struct error *trouble = handling.err != ERR_NONE ? &handling.error : &context->ids->error;
    if (handling.err != ERR_NONE || context->ids->failed) {
        if (reterr != NULL) {
            *reterr = *trouble;
        }
        err = trouble->code;
        engine_store_rollback(context->pg);
    } else {
        err = engine_store_commit(context->pg, changes, ret_outcome->positions, count, replays, reterr);
    }
    if (err == ERR_NONE) {
        ret_outcome->more_work = changed_rows(changes, "events") > ret_outcome->made_and_handled;
        ret_outcome->more_deliveries = changed_rows(changes, "deliveries") > 0;
        ret_outcome->rules_failed = report_traces(changes, context->rule_failures);
    }
    json_decref(changes);
    if (shadowed && err == ERR_NONE) {
        if (ret_outcome->more_deliveries) {
            context->committed(context->committed_arg);
        }
        shadow_finish(context->shadow, context->note_pg, rule_set_version(context->rules));
    } else if (shadowed) {
        shadow_forget(context->shadow, context->note_pg);
    }
    return err;
}
