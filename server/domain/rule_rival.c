#include "domain/rule_rival.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct rule_rival {
    struct rule_set *other;
    struct rule_pair *pairs;
    size_t count;
    bool one_version;
    bool differs;
};

static int compare_order(const struct rule_info *a, const struct rule_info *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void pair_up(struct rule_rival *rival, struct rule_set *own)
{
    size_t own_count = rule_set_count(own), other_count = rule_set_count(rival->other);
    rival->pairs = memory_new((own_count + other_count + 1) * sizeof(*rival->pairs));
    for (size_t i = 0, j = 0; i < own_count || j < other_count;) {
        const struct rule_info *left = i < own_count ? rule_set_rule(own, i) : NULL;
        const struct rule_info *right = j < other_count ? rule_set_rule(rival->other, j) : NULL;
        int order = !left ? 1 : !right ? -1 : compare_order(left, right);
        struct rule_pair *pair = &rival->pairs[rival->count++];
        *pair = (struct rule_pair){
            .own = order <= 0 ? left : NULL,
            .other = order >= 0 ? right : NULL,
            .own_index = i,
            .other_index = j,
        };
        pair->is_same = order == 0 && rule_is_same(own, i, rival->other, j);
        i += order <= 0;
        j += order >= 0;
    }
}

struct rule_rival *rule_rival_new(struct rule_set *own, struct rule_set *other)
{
    /* The desk sets this timer only when somebody listens. */
    if (!rule_sets_agree(own, other) ||
        rule_set_takes(own, "window.closing") != rule_set_takes(other, "window.closing"))
        return NULL;
    struct rule_rival *rival = memory_new(sizeof(*rival));
    rival->other = other;
    rival->one_version = strcmp(rule_set_version(own), rule_set_version(other)) == 0;
    pair_up(rival, own);
    return rival;
}

void rule_rival_free(struct rule_rival *rival)
{
    if (!rival)
        return;
    free(rival->pairs);
    free(rival);
}

void rule_rival_begin(struct rule_rival *rival)
{
    rival->differs = false;
}

void rule_rival_give_up(struct rule_rival *rival)
{
    rival->differs = true;
}

bool rule_rival_differs(const struct rule_rival *rival)
{
    return rival->differs;
}

size_t rule_rival_pairs(const struct rule_rival *rival, const struct rule_pair **ret_pairs)
{
    *ret_pairs = rival->pairs;
    return rival->count;
}

struct rule_set *rule_rival_rules(const struct rule_rival *rival)
{
    return rival->other;
}

/* Where in its file an effect was asked for does not matter. */
static bool same_effect(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach ((json_t *)(uintptr_t)a, key, value) {
        if (strcmp(key, "line") != 0 && !json_equal(value, json_object_get(b, key)))
            return false;
    }
    return true;
}

static bool same_effects(const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b))
        return false;
    for (size_t i = 0; i < json_array_size(a); i++)
        if (!same_effect(json_array_get(a, i), json_array_get(b, i)))
            return false;
    return true;
}

static bool went_wrong(const struct rule_outcome *outcome)
{
    return outcome->verdict == RULE_FAILED || outcome->verdict == RULE_OVER_BUDGET;
}

void rule_rival_compare(struct rule_rival *rival, const struct rule_outcome *own, const struct rule_outcome *other)
{
    if (went_wrong(own) || went_wrong(other) || own->stop != other->stop || !same_effects(own->effects, other->effects))
        rival->differs = true;
}

void rule_rival_note_failure(struct rule_rival *rival, const struct rule_pair *pair)
{
    if (!pair->is_same || strcmp(pair->own->file, pair->other->file) != 0)
        rival->differs = true;
}

void rule_rival_note_timer(struct rule_rival *rival)
{
    if (!rival->one_version)
        rival->differs = true;
}
