#include "domain/rule_turn.h"

#include <stdio.h>
#include <string.h>

#include "domain/desk_reader.h"
#include "domain/effect.h"
#include "domain/facts.h"
#include "domain/replay.h"
#include "domain/rule_rival.h"

struct turn_state {
    struct scene *scene;
    int number;
    bool stopped;
    json_t *facts; /* for the next rule; NULL when they must be made, because an effect may have changed them */
};

static json_t *trace_row(struct turn_state *turn, const char *rule, const char *verdict)
{
    json_t *row = json_object();
    json_put_str(row, "rule", rule);
    json_put_str(row, "verdict", verdict);
    if (turn->scene->desk->settings.tells_briefly)
        return row;
    json_put_int(row, "event_id", turn->scene->event_id);
    json_put_time(row, "handled_at", turn->scene->now);
    json_put_int(row, "number", ++turn->number);
    json_put_str(row, "rule_set", desk_rule_set_version(turn->scene->desk));
    json_put_int(row, "instructions", 0);
    json_put_int(row, "micros", 0);
    json_put(row, "effects", json_array());
    return row;
}

static void trace_built_in(struct turn_state *turn)
{
    struct scene *scene = turn->scene;
    if (json_array_size(scene->built_in) == 0 || scene->desk->settings.tells_briefly)
        return;
    char rule[64];
    snprintf(rule, sizeof(rule), "answerd.%s", scene->built_in_name);
    json_t *row = trace_row(turn, rule, "ran");
    json_object_set(row, "effects", scene->built_in);
    desk_log_add(scene->desk, LOG_TRACES, row);
}

static void forget_facts(struct turn_state *turn)
{
    json_decref(turn->facts);
    turn->facts = NULL;
}

/* Chance that is the same whenever this rule runs on this event. */
static uint64_t seed_of(int64_t event_id, const char *rule)
{
    uint64_t hash = 14695981039346656037ull ^ (uint64_t)event_id;
    for (; *rule; rule++)
        hash = (hash ^ (unsigned char)*rule) * 1099511628211ull;
    return hash;
}

/* A success matters only after a failure: one row for each rule and batch is enough to say so. */
static void note_health(struct desk *desk, const char *rule, bool failed, const char *error)
{
    if (desk->settings.tells_briefly)
        return;
    size_t index;
    json_t *entry;
    const json_t *last = NULL;
    json_array_foreach (desk->logs[LOG_RULE_HEALTH], index, entry) {
        if (strcmp(json_str_or(entry, "rule", ""), rule) == 0)
            last = entry;
    }
    if (!failed && last && !json_bool(last, "failed", false))
        return;
    json_t *row = json_object();
    json_put_str(row, "rule", rule);
    json_put_str(row, "rule_set", desk_rule_set_version(desk));
    json_put_bool(row, "failed", failed);
    json_put_str(row, "error", error);
    desk_log_add(desk, LOG_RULE_HEALTH, row);
}

static void finish(struct turn_state *turn, const struct rule_info *rule, json_t *row,
                   const struct rule_outcome *outcome)
{
    struct scene *scene = turn->scene;
    const char *verdict = "skipped";
    char error[1400] = "";
    switch (outcome->verdict) {
    case RULE_RAN: {
        struct error reason;
        verdict = "ran";
        scene_act_as_rule(scene, rule->name);
        replay_suppress(scene, rule->name, outcome->effects);
        if (effects_apply(scene, outcome->effects, &reason) != ERR_NONE) {
            verdict = "failed";
            snprintf(error, sizeof(error), "%s:%s", rule->file ? rule->file : "", reason.text);
        } else {
            turn->stopped = turn->stopped || outcome->stop;
        }
        if (outcome->effects)
            json_object_set(row, "effects", outcome->effects);
        break;
    }
    case RULE_SKIPPED:
        break;
    case RULE_FAILED:
    case RULE_OVER_BUDGET:
        verdict = outcome->verdict == RULE_FAILED ? "failed" : "over_budget";
        snprintf(error, sizeof(error), "%s", outcome->error);
        break;
    }
    json_put_str(row, "verdict", verdict);
    if (outcome->log)
        json_object_set(row, "log", outcome->log);
    if (*error)
        json_put_bytes(row, "error", bytes_of(error));
    if (strcmp(verdict, "skipped") != 0)
        note_health(scene->desk, rule->name, *error != '\0', *error ? error : NULL);
    if (strcmp(verdict, "skipped") != 0 && scene->desk->settings.ran)
        scene->desk->settings.ran(scene->desk->settings.may_run_arg, rule->name);
}

/* Runs a rule on the facts as they are now. */
static void ask(struct turn_state *turn, struct rule_set *rules, size_t index, struct rule_outcome *ret_outcome)
{
    struct scene *scene = turn->scene;
    if (!turn->facts)
        turn->facts = facts_make(scene);
    struct desk_reader beyond;
    const struct fact_reader reader = desk_reader_begin(&beyond, scene->desk);
    rule_run(rules, index, scene->event, turn->facts, &reader, scene->now,
             seed_of(scene->event_id, rule_set_rule(rules, index)->name), ret_outcome);
}

/* [number, rule, file, line, instructions, micros]: what nearly every rule says of nearly every event is kept short. */
static void fold_skipped(struct turn_state *turn, const struct rule_info *rule, const struct rule_outcome *outcome)
{
    struct scene *scene = turn->scene;
    json_t *entry = json_array();
    json_array_append_new(entry, json_integer(++turn->number));
    json_array_append_new(entry, json_string(rule->name));
    json_array_append_new(entry, rule->file ? json_string(rule->file) : json_null());
    json_array_append_new(entry, json_integer(outcome->line > 0 ? outcome->line : rule->line));
    json_array_append_new(entry, json_integer((json_int_t)outcome->instructions));
    json_array_append_new(entry, json_integer(outcome->micros));
    if (!scene->skipped)
        scene->skipped = json_array();
    json_array_append_new(scene->skipped, entry);
}

/* `outcome` is NULL for a rule that did not run. */
static void tell_where(json_t *row, const struct rule_info *rule, const struct rule_outcome *outcome)
{
    json_put_str(row, "file", rule->file);
    json_put_int(row, "line", outcome && outcome->line > 0 ? outcome->line : rule->line);
    if (!outcome)
        return;
    json_put_int(row, "instructions", (int64_t)outcome->instructions);
    json_put_int(row, "micros", outcome->micros);
}

/* `beside` (may be NULL) is what the rival's version of the rule wants. True unless it failed. */
static bool run_one(struct turn_state *turn, size_t index, const struct rule_outcome *beside)
{
    struct scene *scene = turn->scene;
    struct desk *desk = scene->desk;
    const struct rule_info *rule = rule_set_rule(desk->rules, index);
    bool rests =
        !turn->stopped && desk->settings.may_run && !desk->settings.may_run(desk->settings.may_run_arg, rule->name);
    bool is_asked = !turn->stopped && !rests;
    bool well = true;
    struct rule_outcome outcome;
    if (!is_asked && desk->settings.tells_briefly)
        return true;
    if (is_asked) {
        ask(turn, desk->rules, index, &outcome);
        if (beside)
            rule_rival_compare(desk->settings.rival, &outcome, beside);
        if (outcome.verdict == RULE_SKIPPED && (desk->settings.folds_skipped || desk->settings.tells_briefly)) {
            if (!desk->settings.tells_briefly)
                fold_skipped(turn, rule, &outcome);
            rule_outcome_done(&outcome);
            return true;
        }
    }
    json_t *row = trace_row(turn, rule->name, rests ? "quarantined" : "stopped");
    if (!desk->settings.tells_briefly)
        tell_where(row, rule, is_asked ? &outcome : NULL);
    if (is_asked) {
        if (json_array_size(outcome.effects) > 0)
            forget_facts(turn);
        finish(turn, rule, row, &outcome);
        well = !json_object_get(row, "error");
        rule_outcome_done(&outcome);
    }
    desk_log_add(desk, LOG_TRACES, row);
    return well;
}

static bool is_too_deep(struct turn_state *turn)
{
    struct scene *scene = turn->scene;
    struct desk *desk = scene->desk;
    if (desk->settings.max_depth == 0 || scene->depth <= desk->settings.max_depth)
        return false;
    json_t *row = trace_row(turn, "answerd.depth", "stopped");
    json_put_str(row, "error", "the chain of causes is too deep: rules make each other run in a circle");
    desk_log_add(desk, LOG_TRACES, row);
    scene->problem = "the chain of causes is too deep";
    return true;
}

static void run_rules(struct turn_state *turn)
{
    struct scene *scene = turn->scene;
    struct desk *desk = scene->desk;
    size_t count = rule_set_count(desk->rules);
    for (size_t i = 0; i < count; i++) {
        const struct rule_info *rule = rule_set_rule(desk->rules, i);
        if (!rule_matches(rule, scene->type))
            continue;
        if (is_too_deep(turn))
            return;
        if (replay_is_settled(scene, rule->name))
            turn->stopped = turn->stopped || replay_has_stopped(scene, rule->name);
        else
            run_one(turn, i, NULL);
    }
}

/* One rule while the other set is watched, too. */
static void run_pair(struct turn_state *turn, const struct rule_pair *pair, bool is_own, bool is_other)
{
    struct rule_rival *rival = turn->scene->desk->settings.rival;
    static const struct rule_outcome nothing = { .verdict = RULE_SKIPPED };
    struct rule_outcome outcome = nothing;
    bool compares = !pair->is_same && !turn->stopped;
    if (compares && is_other)
        ask(turn, rule_rival_rules(rival), pair->other_index, &outcome);
    if (is_own) {
        if (!run_one(turn, pair->own_index, compares ? &outcome : NULL))
            rule_rival_note_failure(rival, pair);
    } else if (compares) {
        rule_rival_compare(rival, &nothing, &outcome);
    }
    rule_outcome_done(&outcome);
}

static void run_rules_beside(struct turn_state *turn)
{
    struct scene *scene = turn->scene;
    struct rule_rival *rival = scene->desk->settings.rival;
    const struct rule_pair *pairs;
    size_t count = rule_rival_pairs(rival, &pairs);
    for (size_t i = 0; i < count; i++) {
        bool is_own = pairs[i].own && rule_matches(pairs[i].own, scene->type);
        bool is_other = pairs[i].other && rule_matches(pairs[i].other, scene->type);
        if (!is_own && !is_other)
            continue;
        if (is_too_deep(turn))
            return;
        if (json_object_get(scene->event, "timer"))
            rule_rival_note_timer(rival);
        run_pair(turn, &pairs[i], is_own, is_other);
    }
}

static void run_agent_action(struct turn_state *turn)
{
    struct scene *scene = turn->scene;
    json_t *effects = json_copy_containers(json_array_at(scene->event, "effects"));
    replay_suppress(scene, scene->author, effects);
    struct error reason;
    err_t err = effects_apply(scene, effects, &reason);
    json_t *row = trace_row(turn, scene->author, err == ERR_NONE ? "ran" : "failed");
    if (err != ERR_NONE) {
        json_put_bytes(row, "error", bytes_of(reason.text));
        scene->problem = "the action could not be applied";
    }
    json_put(row, "effects", effects);
    desk_log_add(scene->desk, LOG_TRACES, row);
}

void rule_turn_run(struct scene *scene)
{
    struct desk *desk = scene->desk;
    struct turn_state turn = { .scene = scene };
    trace_built_in(&turn);
    if (strcmp(scene->type, "agent.action") == 0) {
        if (!replay_is_settled(scene, scene->author))
            run_agent_action(&turn);
        return;
    }
    if (scene->consumed || !desk->rules)
        return;
    if (desk->settings.rival && !scene->replay && !rule_rival_differs(desk->settings.rival))
        run_rules_beside(&turn);
    else
        run_rules(&turn);
    forget_facts(&turn);
}
