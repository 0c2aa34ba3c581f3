#include "domain/backtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "domain/cron_event.h"
#include "domain/rule_rival.h"
#include "rules/schedule.h"

/* A contact with more outcomes than this is compared in parts: what moved over the border of two parts then shows as
 * removed and added. */
#define OUTCOMES_AT_ONCE 4096
#define EXAMPLE_MAX_BYTES 600
/* Events of a contact that are kept for the case that the two worlds part. */
#define EVENTS_SHARED 4096

struct backtest {
    struct backtest_settings settings;
    struct simulation *before; /* the world of both, as long as they share it */
    struct simulation *after;

    struct rule_rival *rival; /* the candidate beside the rules as they are; NULL: worlds are never shared */
    bool shares;              /* `after` has seen nothing yet of this contact */
    json_t *seed;             /* of this contact, and its events so far: what `after` has to catch up with */
    json_t *events;
    int64_t contact_id;
    int64_t order;
    const char *cron; /* whose firings this world sees; NULL: a contact's */
    json_t *crons;    /* object by name: {name, before, after}, how often each side fired it */
    json_t *totals; /* object: "RULE\nKIND" -> {rule, kind, before, after, added, removed, changed, examples}; examples
                     * have their contact's "order" */
    json_t *last_total;
    const char *last_kind;
    char last_rule[128];
};

const char *difference_name(enum difference_kind kind)
{
    static const char *const names[] = { "added", "removed", "changed" };
    return names[kind];
}

struct backtest *backtest_new(const struct backtest_settings *settings)
{
    struct backtest *backtest = memory_new(sizeof(*backtest));
    backtest->settings = *settings;
    backtest->rival = rule_rival_new(settings->before, settings->after);
    backtest->before = simulation_new(settings->before, settings->sources, settings->max_depth, backtest->rival);
    backtest->after = simulation_new(settings->after, settings->sources, settings->max_depth, NULL);
    backtest->events = json_array();
    backtest->crons = json_object();
    backtest->totals = json_object();
    return backtest;
}

void backtest_free(struct backtest *backtest)
{
    if (!backtest)
        return;
    simulation_free(backtest->before);
    simulation_free(backtest->after);
    rule_rival_free(backtest->rival);
    json_decref(backtest->seed);
    json_decref(backtest->events);
    json_decref(backtest->crons);
    json_decref(backtest->totals);
    free(backtest);
}

/* --- counting ------------------------------------------------------------------------------------------------------
 */

static const char *const counts[] = { "before", "after", "added", "removed", "changed" };

static json_t *find_total(struct backtest *backtest, const char *rule, const char *kind)
{
    char key[256];
    snprintf(key, sizeof(key), "%s\n%s", rule, kind);
    json_t *total = json_object_get(backtest->totals, key);
    if (!total) {
        total = json_object();
        json_put_str(total, "rule", rule);
        json_put_str(total, "kind", kind);
        for (size_t i = 0; i < ARRAY_LEN(counts); i++)
            json_put_int(total, counts[i], 0);
        json_put(total, "examples", json_array());
        json_put(backtest->totals, key, total);
    }
    return total;
}

static json_t *total_of(struct backtest *backtest, const struct outcome *outcome)
{
    if (backtest->last_total && backtest->last_kind == outcome->kind && strcmp(backtest->last_rule, outcome->rule) == 0)
        return backtest->last_total;
    json_t *total = find_total(backtest, outcome->rule, outcome->kind);
    backtest->last_total = total;
    backtest->last_kind = outcome->kind;
    snprintf(backtest->last_rule, sizeof(backtest->last_rule), "%s", outcome->rule);
    return total;
}

static void count(json_t *total, const char *key)
{
    json_t *number = json_object_get(total, key);
    json_integer_set(number, json_integer_value(number) + 1);
}

static void put_side(json_t *example, const struct outcome *outcome, const char *key, const char *at_key)
{
    if (!outcome)
        return;
    size_t length = strlen(outcome->content);
    if (length > EXAMPLE_MAX_BYTES)
        for (length = EXAMPLE_MAX_BYTES; length > 0 && ((unsigned char)outcome->content[length] & 0xC0) == 0x80;)
            length--;
    json_put_bytes(example, key, (struct bytes){ outcome->content, length });
    json_put_time(example, at_key, outcome->at);
}

static void found(struct backtest *backtest, const struct outcome *before, const struct outcome *after)
{
    const struct difference difference = {
        .kind = !before  ? DIFFERENCE_ADDED
                : !after ? DIFFERENCE_REMOVED
                         : DIFFERENCE_CHANGED,
        .contact_id = backtest->contact_id,
        .before = before,
        .after = after,
    };
    const struct outcome *any = after ? after : before;
    json_t *total = total_of(backtest, any);
    count(total, difference_name(difference.kind));
    json_t *examples = json_array_at(total, "examples");
    if (json_array_size(examples) < backtest->settings.max_examples) {
        json_t *example = json_object();
        json_put_int(example, "order", backtest->order);
        json_put_str(example, "change", difference_name(difference.kind));
        json_put(example, "event", any->event > 0 ? json_integer(any->event) : json_null());
        json_put_str(example, "cron", backtest->cron);
        json_put_int(example, "contact", backtest->contact_id);
        if (before && after && strcmp(before->name, after->name) != 0)
            json_put_str(example, "former_name", before->name);
        json_put_str(example, "name", any->name);
        put_side(example, before, "before", "before_at");
        put_side(example, after, "after", "after_at");
        json_array_append_new(examples, example);
    }
    if (backtest->settings.on_difference)
        backtest->settings.on_difference(backtest->settings.arg, &difference);
}

/* --- matching ------------------------------------------------------------------------------------------------------
 */

static bool same_content(const struct outcome *a, const struct outcome *b)
{
    return a->at == b->at && strcmp(a->content, b->content) == 0;
}

static int compare_group(const struct outcome *a, const struct outcome *b)
{
    if (a->event != b->event)
        return a->event < b->event ? -1 : 1;
    int order = strcmp(a->rule, b->rule);
    return order != 0 ? order : strcmp(a->kind, b->kind);
}

static int compare_key(const struct outcome *a, const struct outcome *b)
{
    int order = compare_group(a, b);
    return order != 0 ? order : strcmp(a->name, b->name);
}

static int compare_places(const void *left, const void *right)
{
    const struct outcome *a = *(const struct outcome *const *)left, *b = *(const struct outcome *const *)right;
    int order = compare_key(a, b);
    return order != 0 ? order : a < b ? -1 : a > b; /* as they happened */
}

struct side {
    const struct outcome **list;
    size_t count;
    size_t at;
};

static struct side sorted(const struct outcome *outcomes, size_t count_of)
{
    struct side side = { .list = memory_new((count_of + 1) * sizeof(*side.list)), .count = count_of };
    for (size_t i = 0; i < count_of; i++)
        side.list[i] = &outcomes[i];
    qsort(side.list, count_of, sizeof(*side.list), compare_places);
    return side;
}

static size_t group_end(const struct side *side, const struct outcome *of)
{
    size_t end = side->at;
    while (end < side->count && compare_group(side->list[end], of) == 0)
        end++;
    return end;
}

/* One event's outcomes of one rule and kind: first those of the same name, then what is left over as changes of name.
 */
static void match_group(struct backtest *backtest, struct side *before, size_t before_end, struct side *after,
                        size_t after_end)
{
    size_t spare_before = before->at, spare_after = after->at; /* unmatched ones gather at the front */
    size_t b = before->at, a = after->at;
    while (b < before_end || a < after_end) {
        int order = b == before_end ? 1 : a == after_end ? -1 : compare_key(before->list[b], after->list[a]);
        if (order == 0) {
            if (!same_content(before->list[b], after->list[a]))
                found(backtest, before->list[b], after->list[a]);
            b++;
            a++;
        } else if (order < 0) {
            before->list[spare_before++] = before->list[b++];
        } else {
            after->list[spare_after++] = after->list[a++];
        }
    }
    for (b = before->at, a = after->at; b < spare_before || a < spare_after;)
        found(backtest, b < spare_before ? before->list[b++] : NULL, a < spare_after ? after->list[a++] : NULL);
    before->at = before_end;
    after->at = after_end;
}

static bool all_equal(const struct outcome *before, const struct outcome *after, size_t count_of)
{
    for (size_t i = 0; i < count_of; i++)
        if (before[i].kind != after[i].kind || !same_content(&before[i], &after[i]) ||
            compare_key(&before[i], &after[i]) != 0)
            return false;
    return true;
}

static void compare(struct backtest *backtest)
{
    size_t before_count, after_count;
    const struct outcome *before = simulation_outcomes(backtest->before, &before_count);
    const struct outcome *after = simulation_outcomes(backtest->after, &after_count);
    for (size_t i = 0; i < before_count; i++)
        count(total_of(backtest, &before[i]), "before");
    for (size_t i = 0; i < after_count; i++)
        count(total_of(backtest, &after[i]), "after");
    if (before_count != after_count || !all_equal(before, after, before_count)) {
        struct side b = sorted(before, before_count), a = sorted(after, after_count);
        while (b.at < b.count || a.at < a.count) {
            bool from_before = a.at == a.count || (b.at < b.count && compare_group(b.list[b.at], a.list[a.at]) <= 0);
            const struct outcome *first = from_before ? b.list[b.at] : a.list[a.at];
            match_group(backtest, &b, group_end(&b, first), &a, group_end(&a, first));
        }
        free(b.list);
        free(a.list);
    }
    simulation_forget_outcomes(backtest->before);
    simulation_forget_outcomes(backtest->after);
}

/* What both worlds did, because they are one. */
static void count_shared(struct backtest *backtest)
{
    size_t size;
    const struct outcome *outcomes = simulation_outcomes(backtest->before, &size);
    for (size_t i = 0; i < size; i++) {
        json_t *total = total_of(backtest, &outcomes[i]);
        count(total, "before");
        count(total, "after");
    }
    simulation_forget_outcomes(backtest->before);
}

/* --- running -------------------------------------------------------------------------------------------------------
 */

void backtest_begin(struct backtest *backtest, int64_t contact_id, int64_t order, const json_t *seed)
{
    backtest->contact_id = contact_id;
    backtest->order = order;
    backtest->shares = backtest->rival != NULL;
    simulation_begin(backtest->before, seed);
    if (!backtest->shares) {
        simulation_begin(backtest->after, seed);
        return;
    }
    rule_rival_begin(backtest->rival);
    json_decref(backtest->seed);
    backtest->seed = json_incref((json_t *)(uintptr_t)seed);
    json_array_clear(backtest->events);
}

/* From here on the worlds are two: `after` does what it has not been asked to do so far. */
static void part(struct backtest *backtest)
{
    backtest->shares = false;
    rule_rival_give_up(backtest->rival);
    simulation_begin(backtest->after, backtest->seed);
    size_t index;
    json_t *event;
    json_array_foreach (backtest->events, index, event)
        simulation_event(backtest->after, event);
    json_array_clear(backtest->events);
}

static size_t outcome_count(const struct simulation *simulation)
{
    size_t size;
    simulation_outcomes(simulation, &size);
    return size;
}

void backtest_event(struct backtest *backtest, const json_t *event)
{
    simulation_event(backtest->before, event);
    if (!backtest->shares) {
        simulation_event(backtest->after, event);
    } else {
        json_array_append(backtest->events, (json_t *)(uintptr_t)event);
        if (rule_rival_differs(backtest->rival) || json_array_size(backtest->events) == EVENTS_SHARED ||
            outcome_count(backtest->before) > OUTCOMES_AT_ONCE / 2)
            part(backtest);
    }
    if (!backtest->shares && outcome_count(backtest->before) + outcome_count(backtest->after) > OUTCOMES_AT_ONCE)
        compare(backtest);
}

void backtest_end(struct backtest *backtest, msec_t until)
{
    simulation_advance(backtest->before, until);
    if (backtest->shares && !rule_rival_differs(backtest->rival)) {
        count_shared(backtest);
        return;
    }
    if (backtest->shares)
        part(backtest);
    simulation_advance(backtest->after, until);
    compare(backtest);
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* --- crons ---------------------------------------------------------------------------------------------------------
 */

/* What stands for the event of a firing, with its time added: below zero, where no recorded event is, and in their
 * order. */
#define FIRST_FIRING (-((int64_t)1 << 51))

/* One side's firings of one cron, one after the other. */
struct firings {
    struct simulation *simulation;
    const json_t *schedule; /* NULL: this side does not have the cron */
    msec_t next;            /* 0: there is none before the end */
    msec_t until;
    int64_t count;
};

static void find_next(struct firings *firings, msec_t after)
{
    msec_t next;
    bool found_one = firings->schedule && schedule_next(firings->schedule, after, &next, NULL) == ERR_NONE;
    firings->next = found_one && next < firings->until ? next : 0;
}

static struct firings begin_firings(const struct backtest *backtest, bool is_after, const char *name, msec_t since,
                                    msec_t until)
{
    const struct rule_set *rules = is_after ? backtest->settings.after : backtest->settings.before;
    struct firings firings = {
        .simulation = is_after ? backtest->after : backtest->before,
        .schedule = json_object_at(rule_set_declaration(rules, "cron", name), "schedule"),
        .until = until,
    };
    find_next(&firings, since - 1);
    return firings;
}

static void fire(struct firings *firings, const char *name)
{
    json_t *event = cron_event(FIRST_FIRING + firings->next, name, firings->schedule, firings->next);
    simulation_event(firings->simulation, event);
    json_decref(event);
    firings->count++;
    find_next(firings, firings->next);
}

/* Both sides come to the same time together, so that what is compared in parts is of the same time. */
static void run_cron(struct backtest *backtest, const char *name, int64_t order, msec_t since, msec_t until)
{
    backtest_begin(backtest, 0, order, NULL);
    if (backtest->shares)
        part(backtest);
    backtest->cron = name;
    struct firings before = begin_firings(backtest, false, name, since, until);
    struct firings after = begin_firings(backtest, true, name, since, until);
    while (before.next > 0 || after.next > 0) {
        msec_t at = before.next > 0 && (after.next == 0 || before.next <= after.next) ? before.next : after.next;
        if (before.next == at)
            fire(&before, name);
        if (after.next == at)
            fire(&after, name);
        if (outcome_count(backtest->before) + outcome_count(backtest->after) > OUTCOMES_AT_ONCE)
            compare(backtest);
    }
    backtest_end(backtest, until);
    backtest->cron = NULL;
    json_t *counted = json_object();
    json_put_str(counted, "name", name);
    json_put_int(counted, "before", before.count);
    json_put_int(counted, "after", after.count);
    json_put(backtest->crons, name, counted);
}

void backtest_crons(struct backtest *backtest, int64_t order, msec_t since, msec_t until)
{
    const json_t *before = rule_set_declarations(backtest->settings.before, "cron");
    const json_t *after = rule_set_declarations(backtest->settings.after, "cron");
    size_t size = 0;
    const char **names = memory_new((json_object_size(before) + json_object_size(after) + 1) * sizeof(*names));
    const char *name;
    json_t *declaration;
    json_object_foreach ((json_t *)(uintptr_t)before, name, declaration)
        names[size++] = name;
    json_object_foreach ((json_t *)(uintptr_t)after, name, declaration) {
        if (!json_object_get(before, name))
            names[size++] = name;
    }
    qsort(names, size, sizeof(*names), compare_texts);
    for (size_t i = 0; i < size; i++)
        run_cron(backtest, names[i], order + (int64_t)i, since, until);
    free(names);
}

/* Both lists are in the order of contacts. */
static json_t *first_examples(const json_t *left, const json_t *right, size_t max)
{
    json_t *merged = json_array();
    size_t l = 0, r = 0;
    while (json_array_size(merged) < max && (l < json_array_size(left) || r < json_array_size(right))) {
        json_t *a = json_array_get(left, l), *b = json_array_get(right, r);
        bool takes_left = a && (!b || json_int(a, "order", 0) < json_int(b, "order", 0));
        json_array_append(merged, takes_left ? a : b);
        l += takes_left;
        r += !takes_left;
    }
    return merged;
}

void backtest_merge(struct backtest *into, const struct backtest *from)
{
    const char *key;
    json_t *total;
    json_object_foreach (from->totals, key, total) {
        json_t *sum = find_total(into, json_str_or(total, "rule", ""), json_str_or(total, "kind", ""));
        for (size_t i = 0; i < ARRAY_LEN(counts); i++)
            json_put_int(sum, counts[i], json_int(sum, counts[i], 0) + json_int(total, counts[i], 0));
        json_put(sum, "examples",
                 first_examples(json_array_at(sum, "examples"), json_array_at(total, "examples"),
                                into->settings.max_examples));
    }
}

static json_t *without_order(const json_t *total)
{
    json_t *copy = json_deep_copy(total);
    size_t index;
    json_t *example;
    json_array_foreach (json_array_at(copy, "examples"), index, example)
        json_object_del(example, "order");
    return copy;
}

json_t *backtest_report(const struct backtest *backtest)
{
    json_t *report = json_object(), *rules = json_array(), *kinds = json_object(), *crons = json_array();
    size_t size = json_object_size(backtest->totals), at = 0;
    const char **keys = memory_new((size + 1) * sizeof(*keys));
    const char *key;
    json_t *total;
    json_object_foreach (backtest->totals, key, total)
        keys[at++] = key;
    qsort(keys, size, sizeof(*keys), compare_texts);
    for (size_t i = 0; i < size; i++) {
        total = json_object_get(backtest->totals, keys[i]);
        json_array_append_new(rules, without_order(total));
        const char *kind = json_str_or(total, "kind", "");
        if (!json_object_get(kinds, kind))
            json_put(kinds, kind, json_object());
        for (size_t n = 0; n < ARRAY_LEN(counts); n++) {
            json_t *sums = json_object_get(kinds, kind);
            json_put_int(sums, counts[n], json_int(sums, counts[n], 0) + json_int(total, counts[n], 0));
        }
    }
    free(keys);
    json_put(report, "rules", rules);
    json_put(report, "kinds", kinds);
    json_t *fired;
    json_object_foreach (backtest->crons, key, fired)
        json_array_append_new(crons, json_deep_copy(fired));
    json_put(report, "crons", crons);
    return report;
}
