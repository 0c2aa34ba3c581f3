#include "rules/rule_internal.h"

#include <string.h>

static const struct rule_source *find_named(const struct rule_sources *sources, const char *name)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (strcmp(sources->items[i].name, name) == 0) {
            return &sources->items[i];
        }
    }
    return NULL;
}

static bool same_source(const struct rule_source *a, const struct rule_source *b)
{
    return a != NULL && b != NULL && a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Is all that `a` has of what rules can read, libraries and data, the same in `b`? */
static bool has_same_material(const struct rule_sources *a, const struct rule_sources *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct rule_source *source = &a->items[i];
        bool is_material = source->kind == SOURCE_DATA || source->kind == SOURCE_LIBRARY;
        if (is_material && !same_source(source, find_named(b, source->name))) {
            return false;
        }
    }
    return true;
}

/* Where something is declared does not matter. */
static json_t *without_place(const json_t *declared)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)declared);
    json_object_del(copy, "file");
    json_object_del(copy, "line");
    return copy;
}

static bool has_same_declarations(const struct rule_set *a, const struct rule_set *b)
{
    const char *kind, *name;
    json_t *all, *declared;
    bool same = json_object_size(a->declarations) == json_object_size(b->declarations);
    json_object_foreach (a->declarations, kind, all) {
        json_t *others = rule_set_declarations(b, kind);
        same = same && json_object_size(all) == json_object_size(others);
        json_object_foreach (all, name, declared) {
            json_t *left = without_place(declared), *right = without_place(json_object_get(others, name));
            same = same && json_equal(left, right);
            json_decref(left);
            json_decref(right);
        }
    }
    return same;
}

bool rule_sets_agree(const struct rule_set *a, const struct rule_set *b)
{
    return strcmp(rule_set_version(a), rule_set_version(b)) == 0 ||
           (has_same_material(a->sources, b->sources) && has_same_material(b->sources, a->sources) &&
            has_same_declarations(a, b));
}

bool rule_is_same(const struct rule_set *a, size_t index_in_a, const struct rule_set *b, size_t index_in_b)
{
    const struct rule_info *left = &a->rules[index_in_a].info, *right = &b->rules[index_in_b].info;
    const struct rule_source *source = rule_sources_find(a->sources, left->file);
    return strcmp(left->name, right->name) == 0 && left->line == right->line && left->priority == right->priority &&
           source != NULL && same_source(source, find_named(b->sources, source->name));
}
