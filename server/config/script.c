/* The functions that the configuration file calls: its sections, source, env and file. */
#include "base/memory.h"
#include "base/text.h"
#include "config/loading.h"
#include "config/settings.h"
#include "io/crypto.h"
#include "io/vm_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)64 * 1024) /* of what file() reads */
#define MAX_SOURCES 200

/* C functions that Lua calls hold nothing of their own when they raise; what they report goes to `problems`. */

static struct loading *loading_of(lua_State *L)
{
    return vm_host_arg(L);
}

static int push_fallback(lua_State *L, const char *reason)
{
    if (lua_gettop(L) >= 2) {
        lua_settop(L, 2);
        return 1;
    }
    loading_add_problem(loading_of(L), vm_caller(L, NULL, 0), reason);
    lua_pushliteral(L, ""); /* go on, to find the other problems */
    return 1;
}

static int script_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *value = getenv(name);
    char reason[300];
    /* A line end came from the file or the `echo` that the value was made with, and is part of no secret. */
    size_t length = value ? strlen(value) : 0;
    while (length > 0 && (value[length - 1] == '\n' || value[length - 1] == '\r'))
        length--;
    if (length > 0) {
        lua_pushlstring(L, value, length);
        return 1;
    }
    snprintf(reason, sizeof(reason),
             "the environment variable %.100s is %s\nHINT: set it, or give a default: env(\"%.50s\", \"…\")", name,
             value ? "empty" : "not set", name);
    return push_fallback(L, reason);
}

static int script_file(lua_State *L)
{
    struct loading *loading = loading_of(L);
    const char *name = luaL_checkstring(L, 1);
    char path[1024];
    snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : loading->directory, name);
    struct buf content;
    struct error e;
    buf_init_secret(&content, MAX_FILE_BYTES + 1);
    err_t err = config_read_file(path, MAX_FILE_BYTES, &content, &e);
    while (content.len > 0 && (content.ptr[content.len - 1] == '\n' || content.ptr[content.len - 1] == '\r'))
        content.len--;
    if (err == ERR_NONE && content.len == 0)
        err = fail(&e, ERR_INVALID, "'%s' is empty", path);
    if (err) {
        buf_done(&content);
        return push_fallback(L, e.text);
    }
    /* Pushing may raise when memory is short; the state is small and bounded, so the content is kept on the stack. */
    char text[MAX_FILE_BYTES];
    size_t length = content.len;
    memcpy(text, content.ptr, length);
    buf_done(&content);
    lua_pushlstring(L, text, length);
    crypto_wipe(text, length);
    return 1;
}

static void unknown_setting(struct loading *loading, const char *section, const char *parent, const char *name,
                            int line)
{
    const char *names[64];
    setting_names(section, parent, names, ARRAY_LEN(names));
    const char *nearest = text_nearest(name, names);
    line = loading_line_of_key(loading, name, line);
    const char *dot = parent ? "." : "";
    if (nearest)
        loading_problem(loading, line, "unknown setting %s.%s%s%s\nHINT: did you mean '%s'?", section,
                        parent ? parent : "", dot, name, nearest);
    else
        loading_problem(loading, line,
                        "unknown setting %s.%s%s%s\nHINT: `answerd help configuration` lists all settings", section,
                        parent ? parent : "", dot, name);
}

static void set_members(struct loading *loading, const char *section, const char *parent, const json_t *object,
                        int line)
{
    const char *key;
    json_t *value;
    /* jansson's iteration takes a plain pointer but changes nothing. */
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        char name[128];
        const char *names[64];
        struct error e;
        snprintf(name, sizeof(name), "%s%s%s", parent ? parent : "", parent ? "." : "", key);
        const struct setting *setting = setting_find(section, name);
        setting_names(section, key, names, ARRAY_LEN(names));
        if (setting) {
            if (setting_set(setting, value, loading->config, &e))
                loading_add_problem(loading, loading_line_of_key(loading, key, line), e.text);
        } else if (!parent && names[0] && json_is_object(value)) {
            set_members(loading, section, key, value, line);
        } else if (!parent && names[0]) {
            loading_problem(loading, loading_line_of_key(loading, key, line), "%s.%s must be a table", section, key);
        } else {
            unknown_setting(loading, section, parent, key, line);
        }
    }
}

/* One function for all sections; its upvalue is the section's index. */
static int script_section(lua_State *L)
{
    size_t index = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    struct loading *loading = loading_of(L);
    const char *section = setting_sections[index].name;
    int line = vm_caller(L, NULL, 0);
    json_t *object = NULL;
    struct error e;
    if (lua_type(L, 1) != LUA_TTABLE) {
        loading_problem(loading, line, "%s takes a table\nHINT: write %s { … }", section, section);
        return 0;
    }
    if (loading->section_lines[index])
        loading_problem(loading, line, "%s was set before, in line %d", section, loading->section_lines[index]);
    loading->section_lines[index] = line;
    if (vm_json_take(L, 1, NULL, &object, &e)) {
        loading_problem(loading, line, "%s: %s", section, e.text);
    } else if (!json_is_object(object)) {
        loading_problem(loading, line, "%s takes names and values\nHINT: write %s { name = value }", section, section);
    } else {
        set_members(loading, section, NULL, object, line);
    }
    json_wipe(object);
    return 0;
}

static bool is_source_name(struct bytes name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    if (name.len == 0 || name.len > 64)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!name.ptr[i] || !strchr(allowed, name.ptr[i]))
            return false;
    return true;
}

/* Upvalues: the name, the line. */
static int script_source_settings(lua_State *L)
{
    struct loading *loading = loading_of(L);
    struct config *config = loading->config;
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    int line = (int)lua_tointeger(L, lua_upvalueindex(2));
    json_t *object = NULL;
    struct error e;
    loading->pending_source[0] = '\0';
    if (lua_type(L, 1) != LUA_TTABLE) {
        loading_problem(loading, line, "source \"%s\" takes a table\nHINT: write source \"%s\" { kind = … }", name,
                        name);
    } else if (vm_json_take(L, 1, NULL, &object, &e)) {
        loading_problem(loading, line, "source \"%s\": %s", name, e.text);
    } else if (!json_is_object(object) || !json_str(object, "kind")) {
        loading_problem(
            loading, line,
            "source \"%s\" has no kind\nHINT: kind = \"stripe\", for example; `answerd help sources` lists them", name);
    } else if (config_source(config, name)) {
        loading_problem(loading, line, "source \"%s\" was declared before, in line %d", name,
                        config_source(config, name)->line);
    } else if (config->source_count == MAX_SOURCES) {
        loading_problem(loading, line, "there are more than %d sources", MAX_SOURCES);
    } else {
        config->sources = memory_resize(config->sources, (config->source_count + 1) * sizeof(*config->sources));
        config->sources[config->source_count++] = (struct source_config){
            .name = memory_text(name),
            .kind = memory_text(json_str(object, "kind")),
            .settings = object,
            .line = line,
        };
        object = NULL;
    }
    json_wipe(object);
    return 0;
}

void loading_check_pending_source(struct loading *loading)
{
    if (loading->pending_source[0])
        loading_problem(loading, loading->pending_line,
                        "source \"%s\" has no settings\nHINT: write source \"%s\" { kind = … }",
                        loading->pending_source, loading->pending_source);
    loading->pending_source[0] = '\0';
}

static int script_source(lua_State *L)
{
    struct loading *loading = loading_of(L);
    int line = vm_caller(L, NULL, 0);
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    loading_check_pending_source(loading);
    snprintf(loading->pending_source, sizeof(loading->pending_source), "%s", name);
    loading->pending_line = line;
    if (!is_source_name((struct bytes){ name, length }))
        loading_problem(loading, line,
                        "\"%.80s\" is no name for a source\nHINT: lower-case letters, digits, '-' and '_'", name);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, line);
    lua_pushcclosure(L, script_source_settings, 2);
    return 1;
}

int config_add_functions(lua_State *L)
{
    struct vm *vm = vm_of(L);
    for (size_t i = 0; setting_sections[i].name; i++) {
        lua_pushinteger(L, (lua_Integer)i);
        lua_pushcclosure(L, script_section, 1);
        vm_add_value(vm, setting_sections[i].name);
    }
    vm_add_function(vm, "source", script_source, NULL);
    vm_add_function(vm, "env", script_env, NULL);
    vm_add_function(vm, "file", script_file, NULL);
    vm_add_absent(vm, "now", "the configuration does not depend on time");
    return 0;
}
