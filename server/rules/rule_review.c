#include "rules/rule_review.h"

#include <string.h>

#include "base/macros.h"
#include "io/vm_json.h"
#include "rules/rule_internal.h"

static const struct vm_json_limits result_limits = { 100000, (size_t)4 * 1024 * 1024 };

static const char *word_of(enum source_kind kind)
{
    switch (kind) {
    case SOURCE_RULES:
        return "rules";
    case SOURCE_LIBRARY:
        return "library";
    case SOURCE_DATA:
        return "data";
    case SOURCE_TEST:
        return "test";
    }
    return NULL;
}

/* "data/team.lua" is what rules call "team". */
static void push_short_name(lua_State *L, const struct rule_source *source)
{
    const char *slash = strrchr(source->name, '/');
    const char *name = slash != NULL ? slash + 1 : source->name;
    lua_pushlstring(L, name, strlen(name) - strlen(".lua"));
}

/* Pushes {{kind, name, file, text}, …}: the files of the set, or its tests. */
static void push_sources(lua_State *L, const struct rule_set *set, bool tests)
{
    lua_createtable(L, (int)set->sources->count, 0);
    lua_Integer count = 0;
    for (size_t i = 0; i < set->sources->count; i++) {
        const struct rule_source *source = &set->sources->items[i];
        if ((source->kind == SOURCE_TEST) != tests) {
            continue;
        }
        lua_createtable(L, 0, 4);
        lua_pushstring(L, word_of(source->kind));
        lua_setfield(L, -2, "kind");
        push_short_name(L, source);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, source->file);
        lua_setfield(L, -2, "file");
        lua_pushlstring(L, source->text, source->length);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, ++count);
    }
}

struct review {
    const struct rule_set *set;
    const json_t *senders;
};

/* The result stays on the stack. Argument 1: the struct review. */
static int call_review(lua_State *L)
{
    const struct review *review = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_review);
    push_sources(L, review->set, false);
    if (review->senders != NULL) {
        vm_json_push(L, review->senders);
    } else {
        lua_pushnil(L);
    }
    lua_call(L, 2, 1);
    return 1;
}

/* The same. Argument 1: the set. */
static int call_test_calls(lua_State *L)
{
    const struct rule_set *set = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_test_calls);
    push_sources(L, set, true);
    lua_call(L, 1, 1);
    return 1;
}

static int call_api(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &rule_key_api);
    lua_call(L, 0, 1);
    return 1;
}

static err_t call(struct rule_set *set, lua_CFunction function, void *argument, json_t **ret_result,
                  struct error *reterr)
{
    struct rule_context context = { .now = 0 };
    set->context = &context;
    lua_State *L = vm_lua(set->vm);
    int top = lua_gettop(L);
    err_t err = vm_protect(set->vm, function, argument, 1, reterr);
    if (err == ERR_NONE) {
        err = vm_json_take(L, -1, &result_limits, ret_result, reterr);
    }
    lua_settop(L, top);
    rule_context_done(set, &context);
    return err;
}

static bool is_about_the_same(const json_t *left, const json_t *right)
{
    return json_equal(json_object_get(left, "file"), json_object_get(right, "file")) &&
           json_equal(json_object_get(left, "line"), json_object_get(right, "line")) &&
           json_equal(json_object_get(left, "text"), json_object_get(right, "text"));
}

err_t rule_review(struct rule_set *set, const json_t *senders, json_t *problems, struct error *reterr)
{
    struct review review = { set, senders };
    json_t *found CLEANUP(json_free) = NULL;
    err_t err = call(set, call_review, &review, &found, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    size_t index;
    json_t *problem;
    json_array_foreach (found, index, problem) {
        for (size_t i = json_array_size(problems); i > 0; i--) {
            if (is_about_the_same(problem, json_array_get(problems, i - 1))) {
                json_array_remove(problems, i - 1);
            }
        }
        json_array_append(problems, problem);
    }
    return ERR_NONE;
}

err_t rule_review_test_calls(struct rule_set *set, json_t **ret_calls, struct error *reterr)
{
    return call(set, call_test_calls, set, ret_calls, reterr);
}

err_t rule_review_api(struct rule_set *set, json_t **ret_api, struct error *reterr)
{
    return call(set, call_api, set, ret_api, reterr);
}
