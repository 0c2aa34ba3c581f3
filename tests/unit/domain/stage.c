#include "domain/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/text.h"
#include "domain/desk.h"

#define NOON ((msec_t)1767614400 * 1000) /* 2026-01-05T12:00:00Z */
#define MAX_RULES 16

/* --- rules as data: stands in for rules/rule_set.c ---------------------------------------------------------------- */

struct fake_rule {
    struct rule_info info;
    const char *on[2];
    json_t *effects;
    json_t *facts;
    const char *error;
    bool skips;
    bool stops;
    int runs;
};

struct rule_set {
    struct fake_rule rules[MAX_RULES];
    size_t count;
    json_t *declarations;
};

size_t rule_set_count(const struct rule_set *set)
{
    return set->count;
}

const struct rule_info *rule_set_rule(const struct rule_set *set, size_t index)
{
    return &set->rules[index].info;
}

bool rule_matches(const struct rule_info *rule, const char *event_type)
{
    size_t length = strlen(rule->on[0]);
    if (length > 1 && rule->on[0][length - 1] == '*')
        return strncmp(rule->on[0], event_type, length - 1) == 0;
    return strcmp(rule->on[0], event_type) == 0;
}

bool rule_set_takes(const struct rule_set *set, const char *event_type)
{
    for (size_t i = 0; i < set->count; i++)
        if (rule_matches(&set->rules[i].info, event_type))
            return true;
    return false;
}

const char *rule_set_version(const struct rule_set *set)
{
    (void)set;
    return "test";
}

json_t *rule_set_declarations(const struct rule_set *set, const char *kind)
{
    return json_object_get(set->declarations, kind);
}

json_t *rule_set_declaration(const struct rule_set *set, const char *kind, const char *name)
{
    return json_object_get(json_object_get(set->declarations, kind), name);
}

void rule_run(struct rule_set *set, size_t index, const json_t *event, const json_t *facts,
              const struct fact_reader *reader, msec_t now, uint64_t seed, struct rule_outcome *ret_outcome)
{
    (void)event;
    (void)now;
    (void)seed;
    struct fake_rule *rule = &set->rules[index];
    memset(ret_outcome, 0, sizeof(*ret_outcome));
    rule->runs++;
    json_decref(rule->facts);
    rule->facts = json_deep_copy(facts);
    int64_t conversation = json_int(json_object_at(facts, "conversation"), "id", 0);
    if (conversation > 0)
        json_put(rule->facts, "history", reader->history(reader->arg, conversation, 10));
    if (rule->skips) {
        ret_outcome->verdict = RULE_SKIPPED;
    } else if (rule->error) {
        ret_outcome->verdict = RULE_FAILED;
        snprintf(ret_outcome->error, sizeof(ret_outcome->error), "%s", rule->error);
    } else {
        ret_outcome->verdict = RULE_RAN;
        ret_outcome->effects = json_deep_copy(rule->effects);
        ret_outcome->stop = rule->stops;
    }
}

void rule_outcome_done(struct rule_outcome *outcome)
{
    json_decref(outcome->effects);
    outcome->effects = NULL;
}

/* --- the stage ---------------------------------------------------------------------------------------------------- */

json_t *json_of(const char *text)
{
    char *quoted = memory_text(text);
    for (char *c = quoted; *c; c++)
        if (*c == '\'')
            *c = '"';
    json_error_t error;
    json_t *json = json_loads(quoted, JSON_DECODE_ANY, &error);
    if (!json)
        fail_msg("the test's JSON is wrong: %s in %s", error.text, quoted);
    free(quoted);
    return json;
}

int stage_set_up(void **state)
{
    struct stage *stage = memory_new(sizeof(*stage));
    stage->store = memory_store_new();
    stage->rules = memory_new(sizeof(*stage->rules));
    stage->rules->declarations = json_object();
    stage->sources = json_of("{'whatsapp':{'kind':'whatsapp','provider':'whatsapp','sends':true,'window_ms':86400000},"
                             "'telegram':{'kind':'telegram','provider':'telegram','sends':true,'window_ms':0},"
                             "'stripe':{'kind':'stripe','provider':'stripe','sends':false},"
                             "'desk':{'kind':'standard_webhooks','provider':'standard_webhooks','sends':false}}");
    stage->now = NOON;
    stage->last_id = 1000;
    stage->changes = json_object();
    stage->sent = json_array();
    *state = stage;
    return 0;
}

int stage_tear_down(void **state)
{
    struct stage *stage = *state;
    memory_store_free(stage->store);
    for (size_t i = 0; i < stage->rules->count; i++) {
        json_decref(stage->rules->rules[i].effects);
        json_decref(stage->rules->rules[i].facts);
    }
    json_decref(stage->rules->declarations);
    free(stage->rules);
    json_decref(stage->sources);
    json_decref(stage->changes);
    json_decref(stage->sent);
    free(stage);
    return 0;
}

static struct fake_rule *add_rule(struct stage *stage, const char *name, const char *on)
{
    assert_true(stage->rules->count < MAX_RULES);
    struct fake_rule *rule = &stage->rules->rules[stage->rules->count++];
    rule->on[0] = on;
    rule->info = (struct rule_info){ .name = name, .doc = "", .file = "rules/test.lua", .line = 1, .on = rule->on };
    return rule;
}

void stage_rule(struct stage *stage, const char *name, const char *on, const char *effects)
{
    add_rule(stage, name, on)->effects = json_of(effects);
}

void stage_failing_rule(struct stage *stage, const char *name, const char *on, const char *error)
{
    struct fake_rule *rule = add_rule(stage, name, on);
    rule->error = error;
    rule->skips = error == NULL;
}

static struct fake_rule *find_rule(const struct stage *stage, const char *name)
{
    for (size_t i = 0; i < stage->rules->count; i++)
        if (strcmp(stage->rules->rules[i].info.name, name) == 0)
            return &stage->rules->rules[i];
    fail_msg("there is no rule %s", name);
    return NULL;
}

void stage_stop_after(struct stage *stage, const char *rule)
{
    find_rule(stage, rule)->stops = true;
}

int stage_runs(const struct stage *stage, const char *name)
{
    return find_rule(stage, name)->runs;
}

const json_t *stage_facts(const struct stage *stage, const char *name)
{
    return find_rule(stage, name)->facts;
}

void stage_declare(struct stage *stage, const char *kind, const char *name, const char *declaration)
{
    json_t *all = json_object_get(stage->rules->declarations, kind);
    if (!all) {
        all = json_object();
        json_object_set_new(stage->rules->declarations, kind, all);
    }
    json_t *declared = json_of(declaration);
    json_object_set_new(declared, "name", json_string(name));
    json_object_set_new(all, name, declared);
}

static int64_t next_id(void *arg)
{
    struct stage *stage = arg;
    return ++stage->last_id;
}

static void keep_changes(struct stage *stage, const json_t *changes)
{
    const char *key;
    json_t *list;
    json_object_foreach ((json_t *)(uintptr_t)changes, key, list) {
        json_t *kept = json_object_get(stage->changes, key);
        if (!kept) {
            kept = json_array();
            json_object_set_new(stage->changes, key, kept);
        }
        json_array_extend(kept, list);
        if (strcmp(key, "deliveries") == 0)
            json_array_extend(stage->sent, list);
    }
}

/* As the engine does it: the facts of all are read first, the changes are written after the last one. */
static void handle(struct stage *stage, const json_t *const *events, size_t count)
{
    const struct fact_reader reader = memory_store_reader(stage->store);
    const struct desk_settings settings = {
        .next_id = next_id,
        .id_arg = stage,
        .reader = &reader,
        .sources = stage->sources,
        .max_depth = 4,
    };
    struct desk *desk = desk_new(&settings, stage->rules);
    for (size_t i = 0; i < count; i++) {
        json_t *cases = memory_store_cases(stage->store, events[i], NULL);
        size_t index;
        json_t *one;
        json_array_foreach (cases, index, one)
            desk_add_case(desk, json_incref(one));
        json_decref(cases);
    }
    for (size_t i = 0; i < count; i++)
        desk_handle(desk, events[i], stage->now);
    json_t *changes = desk_take_changes(desk);
    desk_free(desk);
    memory_store_apply(stage->store, changes);
    keep_changes(stage, changes);
    json_decref(changes);
}

static void deliver(struct stage *stage)
{
    json_t *delivery;
    while ((delivery = memory_store_due_delivery(stage->store, stage->now))) {
        char id[64];
        snprintf(id, sizeof(id), "out-%lld", (long long)json_int(delivery, "message_id", 0));
        memory_store_end_delivery(stage->store, delivery, "sent", NULL, id, stage->now);
    }
}

static void settle(struct stage *stage)
{
    for (int i = 0; i < 500; i++) {
        json_t *event = memory_store_next_event(stage->store);
        if (!event) {
            event = memory_store_fire_timer(stage->store, stage->now);
            if (event) {
                json_put_int(event, "id", next_id(stage));
                json_put_time(event, "received_at", stage->now);
            }
        }
        if (!event) {
            deliver(stage);
            return;
        }
        const json_t *const one[] = { event };
        handle(stage, one, 1);
        json_decref(event);
    }
    fail_msg("the events do not come to an end");
}

static json_t *complete(struct stage *stage, const char *text)
{
    json_t *event = json_of(text);
    int64_t id = next_id(stage);
    char key[64];
    snprintf(key, sizeof(key), "key-%lld", (long long)id);
    json_put_int(event, "id", id);
    if (!json_str(event, "source"))
        json_put_str(event, "source", "whatsapp");
    if (!json_str(event, "provider"))
        json_put_str(event, "provider", json_str(event, "source"));
    if (!json_str(event, "key"))
        json_put_str(event, "key", key);
    if (!json_str(event, "occurred_at"))
        json_put_time(event, "occurred_at", stage->now);
    json_put_time(event, "received_at", stage->now);
    return event;
}

void stage_batch(struct stage *stage, const char *const *texts, size_t count)
{
    json_t *events[16];
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        events[i] = complete(stage, texts[i]);
    json_object_clear(stage->changes);
    handle(stage, (const json_t *const *)events, count);
    for (size_t i = 0; i < count; i++)
        json_decref(events[i]);
    settle(stage);
}

void stage_event(struct stage *stage, const char *text)
{
    stage_batch(stage, &text, 1);
}

static void say(struct stage *stage, const char *type, const char *identity, const char *message)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, 65536);
    const char *value = strchr(identity, ':') + 1;
    bool is_number = strncmp(identity, "whatsapp:", 9) == 0 && !strchr(value, '.');
    buf_addf(&text, "{'type':'%s','source':'%.*s','contact':{'identities':['%s'%s%s%s],'recipient':'%s'},'message':%s}",
             type, (int)(value - identity - 1), identity, identity, is_number ? ",'phone:" : "", is_number ? value : "",
             is_number ? "'" : "", value, message);
    stage_event(stage, text.ptr);
}

void stage_message(struct stage *stage, const char *identity, const char *text)
{
    char message[1024];
    snprintf(message, sizeof(message), "{'id':'in-%lld','kind':'text','text':'%s'}", (long long)stage->last_id, text);
    say(stage, "message.received", identity, message);
}

void stage_tap(struct stage *stage, const char *identity, const char *button_id)
{
    char message[1024];
    snprintf(message, sizeof(message), "{'id':'in-%lld','kind':'button','button':{'id':'%s','text':'?'}}",
             (long long)stage->last_id, button_id);
    say(stage, "message.button", identity, message);
}

void stage_advance(struct stage *stage, msec_t ms)
{
    msec_t until = stage->now + ms;
    json_object_clear(stage->changes);
    for (;;) {
        msec_t next = memory_store_next_timer(stage->store), delivery = memory_store_next_delivery(stage->store);
        if (delivery > 0 && (next == 0 || delivery < next))
            next = delivery;
        if (next == 0 || next > until)
            break;
        if (next > stage->now)
            stage->now = next;
        settle(stage);
    }
    stage->now = until;
}

bool json_covers(const json_t *wanted, const json_t *got)
{
    if (json_is_object(wanted)) {
        const char *key;
        json_t *value;
        json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
            const json_t *actual = json_object_get(got, key);
            if (json_is_null(value) ? actual && !json_is_null(actual) : !json_covers(value, actual))
                return false;
        }
        return json_is_object(got);
    }
    if (json_is_array(wanted)) {
        if (json_array_size(wanted) != json_array_size(got))
            return false;
        for (size_t i = 0; i < json_array_size(wanted); i++)
            if (!json_covers(json_array_get(wanted, i), json_array_get(got, i)))
                return false;
        return true;
    }
    return json_equal(wanted, got);
}

static void expect_count(const json_t *list, const char *what, const char *wanted, int count)
{
    json_t *subset = json_of(wanted);
    int found = 0;
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry)
        found += json_covers(subset, entry);
    json_decref(subset);
    if (found == count)
        return;
    char *text = list ? json_dumps(list, JSON_INDENT(1)) : NULL;
    print_error("%s: %s\n", what, text ? text : "none");
    free(text);
    fail_msg("expected %d of %s like %s, found %d", count, what, wanted, found);
}

void expect_rows(const struct stage *stage, enum rows_table table, const char *wanted, int count)
{
    json_t *list = json_array();
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(stage->store), table), key, row)
        json_array_append(list, row);
    expect_count(list, rows_table_name(table), wanted, count);
    json_decref(list);
}

void expect_changes(const struct stage *stage, const char *list, const char *wanted, int count)
{
    expect_count(json_object_get(stage->changes, list), list, wanted, count);
}

json_t *find_row(const struct stage *stage, enum rows_table table, const char *wanted)
{
    json_t *subset = json_of(wanted), *found = NULL;
    const char *key;
    json_t *row;
    json_object_foreach (rows_all(memory_store_rows(stage->store), table), key, row) {
        if (json_covers(subset, row))
            found = row;
    }
    json_decref(subset);
    if (!found)
        fail_msg("no row of %s is like %s", rows_table_name(table), wanted);
    return found;
}
