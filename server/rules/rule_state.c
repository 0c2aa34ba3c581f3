#include "rules/rule_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/macros.h"
#include "io/vm_json.h"

/* Files run once, by hand of their author: generous, but an endless loop must end. */
#define LOAD_INSTRUCTIONS 50000000
#define LOAD_WALL_MS 5000

char rule_key_run;
char rule_key_is_over;
char rule_key_run_test;
char rule_key_review;
char rule_key_api;
char rule_key_test_calls;
static char key_main;

static bool find_library(const char *name, struct bytes *ret_text, const char **ret_file, void *arg)
{
    const struct rule_set *set = arg;
    char wanted[96];
    snprintf(wanted, sizeof(wanted), "lib/%s.lua", name);
    for (size_t i = 0; i < set->sources->count; i++) {
        const struct rule_source *source = &set->sources->items[i];
        if (source->kind == SOURCE_LIBRARY && strcmp(source->name, wanted) == 0) {
            *ret_text = (struct bytes){ source->text, source->length };
            *ret_file = source->file;
            return true;
        }
    }
    return false;
}

/* Calls the function that is its upvalue. Sealing a rule stops at C functions, so what a rule keeps of a global
 * (`local money = money`) does not make the prelude's own tables read-only. */
static int call_through(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Keeps the prelude's functions in the registry and gives its globals to the sandbox; argument: the set. */
static int open_prelude(lua_State *L)
{
    struct rule_set *set = lua_touserdata(L, 1);
    rule_prelude_open(L);
    int main_part = lua_gettop(L);
    const struct {
        const char *name;
        char *key;
    } entries[] = {
        { "run", &rule_key_run },       { "is_over", &rule_key_is_over }, { "run_test", &rule_key_run_test },
        { "review", &rule_key_review }, { "api", &rule_key_api },         { "test_calls", &rule_key_test_calls },
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        lua_getfield(L, main_part, entries[i].name);
        lua_rawsetp(L, LUA_REGISTRYINDEX, entries[i].key);
    }

    lua_getfield(L, main_part, "globals");
    int globals = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, globals);) {
        lua_pushcclosure(L, call_through, 1);
        vm_add_value(set->vm, lua_tostring(L, -2));
    }
    lua_settop(L, main_part);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &key_main);
    return 0;
}

/* Pushes a function of the prelude's main part. */
static void push_main(lua_State *L, const char *name)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_main);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

struct problem {
    const char *file;
    int line;
    const char *text;
    const struct rule_source *source; /* what was being loaded */
    bool compiles;
};

/* Pushes "team" for data/team.lua. */
static void push_data_name(lua_State *L, const struct rule_source *source)
{
    const char *name = source->name + strlen("data/");
    lua_pushlstring(L, name, strlen(name) - strlen(".lua"));
}

/* Pushes {file=, text=, compiles=, data=}. */
static void push_unread(lua_State *L, const struct problem *problem)
{
    const struct rule_source *source = problem->source;
    lua_createtable(L, 0, 4);
    lua_pushstring(L, source->file);
    lua_setfield(L, -2, "file");
    lua_pushlstring(L, source->text, source->length);
    lua_setfield(L, -2, "text");
    lua_pushboolean(L, problem->compiles);
    lua_setfield(L, -2, "compiles");
    if (source->kind == SOURCE_DATA) {
        push_data_name(L, source);
        lua_setfield(L, -2, "data");
    }
}

static int add_problem(lua_State *L)
{
    const struct problem *problem = lua_touserdata(L, 1);
    char place[300];
    int length = snprintf(place, sizeof(place), "%s:%d: ", problem->file, problem->line);
    const char *text = problem->text;
    if (length > 0 && strncmp(text, place, (size_t)length) == 0) {
        text += length;
    }
    const char *hint = strstr(text, "\nHINT: ");
    push_main(L, "add_problem");
    lua_createtable(L, 0, 2);
    lua_pushstring(L, problem->file);
    lua_setfield(L, -2, "file");
    lua_pushinteger(L, problem->line);
    lua_setfield(L, -2, "line");
    lua_pushlstring(L, text, hint != NULL ? (size_t)(hint - text) : strlen(text));
    lua_pushstring(L, hint != NULL ? hint + 7 : NULL);
    push_unread(L, problem);
    lua_call(L, 4, 0);
    return 0;
}

/* The loading of `source` ended with `text`, which may begin with "file:line: ". */
static void note_problem(struct rule_set *set, const struct rule_source *source, bool compiles, const char *file,
                         int line, const char *text)
{
    struct problem problem = { file, line, text, source, compiles };
    char found[256];
    const char *colon = strchr(text, ':');
    if (line == 0 && colon != NULL && (size_t)(colon - text) < sizeof(found)) {
        /* A syntax error: Lua says where. */
        int number = 0;
        for (const char *at = colon + 1; *at >= '0' && *at <= '9' && number < 10000000; at++) {
            number = number * 10 + (*at - '0');
        }
        snprintf(found, sizeof(found), "%.*s", (int)(colon - text), text);
        if (number > 0 && rule_sources_find(set->sources, found) != NULL) {
            problem.file = found;
            problem.line = number;
        }
    }
    if (problem.line == 0) {
        problem.line = 1;
    }
    struct error e;
    if (vm_protect(set->vm, add_problem, &problem, 0, &e) != ERR_NONE) {
        log_debug("a problem of a rule file could not be noted", "reason='%s'", e.text);
    }
}

struct loading {
    struct rule_set *set;
    const struct rule_source *source;
};

/* Gives the value on top of the stack to the prelude; called with it as argument 2. */
static int add_data(lua_State *L)
{
    const struct loading *loading = lua_touserdata(L, 1);
    lua_settop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_main);
    lua_getfield(L, -1, "pending_data");
    vm_freeze(L);
    lua_getfield(L, -2, "add_data");
    push_data_name(L, loading->source);
    lua_pushvalue(L, -3);
    lua_pushstring(L, loading->source->file);
    lua_call(L, 3, 0);
    lua_pushnil(L);
    lua_setfield(L, 2, "pending_data");
    return 0;
}

static int keep_data(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &key_main);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "pending_data");
    return 0;
}

static void load_file(struct rule_set *set, const struct rule_source *source)
{
    lua_State *L = vm_lua(set->vm);
    struct error e;
    if (vm_load(set->vm, source->file, (struct bytes){ source->text, source->length }, &e) != ERR_NONE) {
        note_problem(set, source, false, source->file, 0, e.text);
        return;
    }
    if (source->kind == SOURCE_LIBRARY) {
        /* It compiles, which is all that can be said of one that nothing requires. */
        lua_pop(L, 1);
        return;
    }
    const struct vm_budget budget = { LOAD_INSTRUCTIONS, LOAD_WALL_MS };
    struct vm_outcome outcome;
    bool is_data = source->kind == SOURCE_DATA;
    if (vm_call(set->vm, 0, is_data ? 1 : 0, &budget, &outcome) != VM_DONE) {
        note_problem(set, source, true, outcome.line > 0 ? outcome.file : source->file, outcome.line, outcome.error);
        return;
    }
    if (is_data) {
        lua_pushcfunction(L, keep_data);
        lua_insert(L, -2);
        struct loading loading = { set, source };
        if (vm_call(set->vm, 1, 0, NULL, &outcome) != VM_DONE) {
            note_problem(set, source, true, source->file, 1, outcome.error);
        } else if (vm_protect(set->vm, add_data, &loading, 0, &e) != ERR_NONE) {
            note_problem(set, source, true, source->file, 1, e.text);
        }
    }
}

/* Calls main.finish({{file=, text=}, …}); its result stays on the stack. */
static int finish(lua_State *L)
{
    const struct rule_set *set = lua_touserdata(L, 1);
    push_main(L, "finish");
    lua_createtable(L, (int)set->sources->count, 0);
    lua_Integer count = 0;
    for (size_t i = 0; i < set->sources->count; i++) {
        const struct rule_source *source = &set->sources->items[i];
        if (source->kind != SOURCE_RULES && source->kind != SOURCE_LIBRARY) {
            continue;
        }
        lua_createtable(L, 0, 2);
        lua_pushstring(L, source->file);
        lua_setfield(L, -2, "file");
        lua_pushlstring(L, source->text, source->length);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, ++count);
    }
    lua_call(L, 1, 1);
    return 1;
}

/* Seals the functions of all rules: they can keep nothing from one event to the next. */
static int seal_rules(lua_State *L)
{
    struct rule_set *set = lua_touserdata(L, 1);
    push_main(L, "functions");
    lua_call(L, 0, 1);
    int list = lua_gettop(L);
    for (size_t i = 0; i < set->rule_count; i++) {
        lua_rawgeti(L, list, (lua_Integer)(2 * i + 1));
        set->rules[i].sealed_run = vm_seal(L);
        lua_pop(L, 1);
        lua_rawgeti(L, list, (lua_Integer)(2 * i + 2));
        set->rules[i].sealed_when = lua_isfunction(L, -1) ? vm_seal(L) : 0;
        lua_pop(L, 1);
    }
    return 0;
}

err_t rule_state_load(struct rule_set *set, json_t **ret_description, struct error *reterr)
{
    const struct vm_host host = { .print = rule_host_print, .find_library = find_library, .arg = set };
    set->vm = vm_new(set->limits.max_memory_bytes, &host);
    struct rule_context context = { .now = 0 };
    set->context = &context;
    err_t err = vm_protect(set->vm, open_prelude, set, 0, reterr);
    if (err == ERR_NONE) {
        err = vm_load(set->vm, "log", BYTES_LITERAL("return print"), reterr);
    }
    if (err == ERR_NONE && vm_call(set->vm, 0, 1, NULL, NULL) == VM_DONE) {
        vm_add_value(set->vm, "log");
    }
    for (size_t i = 0; err == ERR_NONE && i < set->sources->count; i++) {
        load_file(set, &set->sources->items[i]);
    }
    if (err == ERR_NONE) {
        err = vm_protect(set->vm, finish, set, 1, reterr);
    }
    if (err == ERR_NONE) {
        const struct vm_json_limits limits = { 1000000, (size_t)32 * 1024 * 1024 };
        err = vm_json_take(vm_lua(set->vm), -1, &limits, ret_description, reterr);
        lua_pop(vm_lua(set->vm), 1);
    }
    rule_context_done(set, &context);
    return err;
}

err_t rule_state_settle(struct rule_set *set, struct error *reterr)
{
    err_t err = vm_protect(set->vm, seal_rules, set, 0, reterr);
    if (err == ERR_NONE) {
        vm_settle(set->vm);
    }
    return err;
}
