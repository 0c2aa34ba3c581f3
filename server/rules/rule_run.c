#include "rules/rule_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/heartbeat.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/vm_document.h"
#include "io/vm_json.h"

/* A test may be slow, but not endless: its own function, without the rules that its verbs run. */
#define TEST_INSTRUCTIONS 100000000
#define TEST_WALL_MS 30000

/* Chance differs between the rules of one event. */
static uint64_t seed_of(uint64_t seed, const char *rule)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const char *at = rule; *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * UINT64_C(0x100000001b3);
    }
    return seed ^ hash;
}

static void set_error(struct rule_outcome *outcome, enum rule_verdict verdict, const char *text)
{
    outcome->verdict = verdict;
    snprintf(outcome->error, sizeof(outcome->error), "%s", text);
}

/* Did the rule itself go over its number of effects, and not the sandbox stop it? */
static bool asked_for_too_much(struct rule_set *set)
{
    lua_State *L = vm_lua(set->vm);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_is_over);
    if (vm_call(set->vm, 0, 1, NULL, NULL) != VM_DONE) {
        return false;
    }
    bool over = lua_toboolean(L, -1) != 0;
    lua_pop(L, 1);
    return over;
}

/* The three results of main.run() are on the stack. */
static void take_results(struct rule_set *set, const struct rule_info *rule, struct rule_outcome *outcome)
{
    lua_State *L = vm_lua(set->vm);
    const char *word = lua_tostring(L, -3);
    if (strcmp(word, "skipped") == 0) {
        outcome->verdict = RULE_SKIPPED;
        outcome->line = (int)lua_tointeger(L, -2);
        return;
    }
    struct error e;
    err_t err = ERR_NONE;
    if (lua_isnil(L, -2)) {
        outcome->effects = json_array();
    } else {
        err = vm_json_take(L, -2, NULL, &outcome->effects, &e);
    }
    if (err != ERR_NONE) {
        char text[400];
        snprintf(text, sizeof(text), "%s:%d: the effects cannot be kept: %.250s", rule->file, rule->line, e.text);
        set_error(outcome, err == ERR_TOO_BIG ? RULE_OVER_BUDGET : RULE_FAILED, text);
        outcome->line = rule->line;
        return;
    }
    outcome->verdict = RULE_RAN;
    outcome->stop = lua_toboolean(L, -1) != 0;
}

/* Sets back what the rule changed outside of itself, and fails it when there was something. */
static void restore(struct rule_set *set, const struct rule_entry *entry, struct rule_outcome *outcome)
{
    char name[64];
    bool changed = vm_restore(set->vm, entry->sealed_run, name, sizeof(name));
    if (entry->sealed_when != 0) {
        char other[64];
        if (vm_restore(set->vm, entry->sealed_when, other, sizeof(other)) && !changed) {
            changed = true;
            snprintf(name, sizeof(name), "%s", other);
        }
    }
    if (changed && (outcome->verdict == RULE_RAN || outcome->verdict == RULE_SKIPPED)) {
        json_decref(outcome->effects);
        outcome->effects = NULL;
        outcome->stop = false;
        outcome->line = entry->info.line;
        char text[400];
        snprintf(text, sizeof(text),
                 "%s:%d: the rule changed '%s', a variable outside of its functions; nothing is kept from one event to "
                 "the next\nHINT: keep it in the conversation or the contact: e.contact:set(\"%s\", …)",
                 entry->info.file, entry->info.line, name, name);
        set_error(outcome, RULE_FAILED, text);
    }
}

static enum rule_verdict verdict_of(enum vm_verdict verdict)
{
    return verdict == VM_FAILED ? RULE_FAILED : RULE_OVER_BUDGET;
}

static void forget_shown(struct rule_set *set)
{
    vm_documents_end(set->vm);
    json_decref(set->shown_event);
    json_decref(set->shown_facts);
    set->shown_event = set->shown_facts = NULL;
}

/* The prelude reads of both what the rule asks for. True when they are others than those of the run before. */
static bool show(struct rule_set *set, const json_t *event, const json_t *facts)
{
    if (set->shown_event == event && set->shown_facts == facts) {
        return false;
    }
    forget_shown(set);
    set->shown_event = json_incref((json_t *)(uintptr_t)event);
    set->shown_facts = json_incref((json_t *)(uintptr_t)facts);
    return true;
}

static void run(struct rule_set *set, size_t index, const json_t *event, const json_t *facts,
                struct rule_outcome *outcome)
{
    const struct rule_entry *entry = &set->rules[index];
    const struct rule_info *rule = &entry->info;
    lua_State *L = vm_lua(set->vm);
    int top = lua_gettop(L);

    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_run);
    lua_pushinteger(L, (lua_Integer)index + 1);
    lua_pushboolean(L, show(set, event, facts != NULL ? facts : set->none));
    const struct vm_budget budget = { set->limits.max_instructions, set->limits.max_wall_ms };
    struct vm_outcome vm_outcome;
    enum vm_verdict verdict = vm_call(set->vm, 2, 3, &budget, &vm_outcome);
    outcome->instructions = vm_outcome.instructions;
    outcome->micros = vm_outcome.micros;
    if (verdict == VM_DONE) {
        take_results(set, rule, outcome);
        lua_settop(L, top);
    } else {
        forget_shown(set);
        outcome->line = vm_outcome.line > 0 ? vm_outcome.line : rule->line;
        set_error(outcome, verdict_of(verdict), vm_outcome.error);
        if (verdict == VM_FAILED && asked_for_too_much(set)) {
            outcome->verdict = RULE_OVER_BUDGET;
        }
        if (verdict == VM_FAILED) {
            rule_hint_add(set, rule, event, facts, outcome->error, sizeof(outcome->error));
        }
    }
    restore(set, entry, outcome);
    if (verdict == VM_OVER_MEMORY || vm_is_worn(set->vm)) {
        set->worn = true;
    }
}

void rule_run(struct rule_set *set, size_t index, const json_t *event, const json_t *facts,
              const struct fact_reader *reader, msec_t now, uint64_t seed, struct rule_outcome *ret_outcome)
{
    heartbeat_beat(); /* an event may have many rules; each has a bound of its own */
    *ret_outcome = (struct rule_outcome){ .verdict = RULE_FAILED };
    struct rule_context context = { .reader = reader, .now = now };
    set->context = &context;
    vm_seed(set->vm, seed_of(seed, set->rules[index].info.name));
    run(set, index, event, facts, ret_outcome);
    ret_outcome->log = context.log;
    context.log = NULL;
    rule_context_done(set, &context);
    if (set->worn) {
        forget_shown(set);
        rule_set_renew(set);
    }
}

void rule_outcome_done(struct rule_outcome *outcome)
{
    json_decref(outcome->effects);
    json_decref(outcome->log);
    outcome->effects = outcome->log = NULL;
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

err_t rule_set_run_test(struct rule_set *set, size_t index, const struct rule_test_host *host, struct error *reterr)
{
    heartbeat_beat(); /* a set may have many tests; each has a bound of its own */
    /* In a state of its own: what a rule breaks, or the budget that it uses up, is not the test's. */
    if (set->tester == NULL) {
        err_t err = rule_set_load(set->sources, &set->limits, NULL, &set->tester, reterr);
        if (err != ERR_NONE) {
            return err;
        }
    }
    struct rule_set *tester = set->tester;
    assert(tester);
    struct rule_context context = { .test = host };
    tester->context = &context;
    lua_State *L = vm_lua(tester->vm);
    vm_seed(tester->vm, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_run_test);
    lua_pushinteger(L, (lua_Integer)index + 1);
    const struct vm_budget budget = { TEST_INSTRUCTIONS, TEST_WALL_MS };
    struct vm_outcome outcome;
    enum vm_verdict verdict = vm_call(tester->vm, 1, 0, &budget, &outcome);
    err_t err = ERR_NONE;
    if (context.test_error.code != ERR_NONE) {
        err = context.test_error.code;
        if (reterr != NULL) {
            *reterr = context.test_error;
        }
    } else if (verdict != VM_DONE) {
        err = fail(reterr, verdict == VM_FAILED ? ERR_INVALID : ERR_LIMIT, "%s", outcome.error);
    }
    bool worn = verdict == VM_OVER_MEMORY || vm_is_worn(tester->vm);
    rule_context_done(tester, &context);
    if (worn) {
        rule_set_renew(tester);
    }
    return err;
}
