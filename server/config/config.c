#include "config/config.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/settings.h"
#include "io/vm.h"
#include "io/vm_json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)64 * 1024) /* of what file() reads */
#define MAX_SOURCES 200
#define MAX_PROBLEMS 50
#define SCRIPT_MEMORY ((size_t)16 * 1024 * 1024)
#define CHUNK "configuration" /* the file's name inside Lua, which cuts long ones */

static const char *const searched[] = { "answerd.lua", "/etc/answerd/answerd.lua" };

/* --- problems --------------------------------------------------------------------------------------------------- */

struct loading {
    struct config *config;
    const char *path;
    char *directory; /* of the file, with the last '/'; "" for the working directory */
    struct buf text;
    json_t *problems; /* borrowed */
    int section_lines[16];
    char pending_source[65]; /* source "NAME", still without its table; "" when there is none */
    int pending_line;
};

/* Splits "text\nHINT: hint". */
static void add_problem(struct loading *loading, int line, const char *text)
{
    if (json_array_size(loading->problems) >= MAX_PROBLEMS)
        return;
    static const char mark[] = "\nHINT: ";
    const char *hint = strstr(text, mark);
    json_t *problem = json_object();
    json_put_str(problem, "file", loading->path);
    json_put_int(problem, "line", line);
    json_put_str(problem, "severity", "error");
    json_put_bytes(problem, "text", (struct bytes){ text, hint ? (size_t)(hint - text) : strlen(text) });
    if (hint)
        json_put_bytes(problem, "hint", bytes_of(hint + sizeof(mark) - 1));
    json_array_append_new(loading->problems, problem);
}

static void PRINTF_LIKE(3, 4) problem(struct loading *loading, int line, const char *format, ...)
{
    char text[600];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    add_problem(loading, line, text);
}

void config_add_problem_text(struct buf *out, const json_t *problem_object)
{
    buf_addf(out, "%s:%lld: %s: %s\n", json_str_or(problem_object, "file", "?"),
             (long long)json_int(problem_object, "line", 0), json_str_or(problem_object, "severity", "error"),
             json_str_or(problem_object, "text", ""));
    if (json_str(problem_object, "hint"))
        buf_addf(out, "HINT: %s\n", json_str(problem_object, "hint"));
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static err_t read_file(const char *path, size_t max, struct buf *ret_content, struct error *reterr)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return fail(reterr, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "cannot read '%s': %s", path, strerror(errno));
    char block[4096];
    size_t length;
    while ((length = fread(block, 1, sizeof(block), file)) > 0 && !ret_content->overflowed) {
        buf_add(ret_content, block, length);
        if (ret_content->len > max)
            break;
    }
    bool broken = ferror(file);
    fclose(file);
    if (broken)
        return fail(reterr, ERR_INVALID, "cannot read '%s': it is no ordinary file", path);
    if (ret_content->overflowed || ret_content->len > max)
        return fail(reterr, ERR_TOO_BIG, "'%s' is larger than %zu KiB", path, max / 1024);
    return ERR_NONE;
}

/* The line in `text` where `key` stands before a '=', at `from_line` or later; else `from_line`. */
static int line_of_key(struct bytes text, const char *key, int from_line)
{
    size_t length = strlen(key);
    struct bytes rest = text;
    for (int line = 1; rest.len > 0; line++) {
        struct bytes current = text_next_field(&rest, '\n');
        for (const char *at = current.ptr; line >= from_line && at; at++) {
            size_t left = (size_t)(current.ptr + current.len - at);
            at = memmem(at, left, key, length);
            if (!at)
                break;
            bool starts = at == current.ptr || !strchr("_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", at[-1]);
            const char *after = at + length;
            while (after < current.ptr + current.len && (*after == ' ' || *after == '\t'))
                after++;
            if (starts && after < current.ptr + current.len && *after == '=')
                return line;
        }
    }
    return from_line;
}

int config_line_of_key(const char *path, const char *key, int from_line)
{
    struct buf text;
    buf_init(&text, VM_MAX_SOURCE_BYTES + 1);
    int line = from_line;
    if (read_file(path, VM_MAX_SOURCE_BYTES, &text, NULL) == ERR_NONE)
        line = line_of_key(buf_bytes(&text), key, from_line);
    buf_done(&text);
    return line;
}

/* --- functions of the file -------------------------------------------------------------------------------------- */

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
    add_problem(loading_of(L), vm_caller(L, NULL, 0), reason);
    lua_pushliteral(L, ""); /* go on, to find the other problems */
    return 1;
}

static int script_env(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    const char *value = getenv(name);
    char reason[300];
    if (value && *value) {
        lua_pushstring(L, value);
        return 1;
    }
    snprintf(reason, sizeof(reason), "the environment variable %.100s is %s\nHINT: set it, or give a default: env(\"%.50s\", \"…\")",
             name, value ? "empty" : "not set", name);
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
    buf_init(&content, MAX_FILE_BYTES + 1);
    err_t err = read_file(path, MAX_FILE_BYTES, &content, &e);
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
    return 1;
}

static void unknown_setting(struct loading *loading, const char *section, const char *parent, const char *name, int line)
{
    const char *names[64];
    setting_names(section, parent, names, ARRAY_LEN(names));
    const char *nearest = text_nearest(name, names);
    line = line_of_key(buf_bytes(&loading->text), name, line);
    const char *dot = parent ? "." : "";
    if (nearest)
        problem(loading, line, "unknown setting %s.%s%s%s\nHINT: did you mean '%s'?", section, parent ? parent : "", dot,
                name, nearest);
    else
        problem(loading, line, "unknown setting %s.%s%s%s\nHINT: `answerd help configuration` lists all settings",
                section, parent ? parent : "", dot, name);
}

static void set_members(struct loading *loading, const char *section, const char *parent, const json_t *object, int line)
{
    const char *key;
    json_t *value;
    /* jansson's iteration takes a plain pointer but changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char name[128];
        const char *names[64];
        struct error e;
        snprintf(name, sizeof(name), "%s%s%s", parent ? parent : "", parent ? "." : "", key);
        const struct setting *setting = setting_find(section, name);
        setting_names(section, key, names, ARRAY_LEN(names));
        if (setting) {
            if (setting_set(setting, value, loading->config, &e))
                add_problem(loading, line_of_key(buf_bytes(&loading->text), key, line), e.text);
        } else if (!parent && names[0] && json_is_object(value)) {
            set_members(loading, section, key, value, line);
        } else if (!parent && names[0]) {
            problem(loading, line_of_key(buf_bytes(&loading->text), key, line), "%s.%s must be a table", section, key);
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
        problem(loading, line, "%s takes a table\nHINT: write %s { … }", section, section);
        return 0;
    }
    if (loading->section_lines[index])
        problem(loading, line, "%s was set before, in line %d", section, loading->section_lines[index]);
    loading->section_lines[index] = line;
    if (vm_json_take(L, 1, NULL, &object, &e)) {
        problem(loading, line, "%s: %s", section, e.text);
    } else if (!json_is_object(object)) {
        problem(loading, line, "%s takes names and values\nHINT: write %s { name = value }", section, section);
    } else {
        set_members(loading, section, NULL, object, line);
    }
    json_decref(object);
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
        problem(loading, line, "source \"%s\" takes a table\nHINT: write source \"%s\" { kind = … }", name, name);
    } else if (vm_json_take(L, 1, NULL, &object, &e)) {
        problem(loading, line, "source \"%s\": %s", name, e.text);
    } else if (!json_is_object(object) || !json_str(object, "kind")) {
        problem(loading, line, "source \"%s\" has no kind\nHINT: kind = \"stripe\", for example; `answerd help sources` lists them", name);
    } else if (config_source(config, name)) {
        problem(loading, line, "source \"%s\" was declared before, in line %d", name, config_source(config, name)->line);
    } else if (config->source_count == MAX_SOURCES) {
        problem(loading, line, "there are more than %d sources", MAX_SOURCES);
    } else {
        config->sources = memory_resize(config->sources, (config->source_count + 1) * sizeof(*config->sources));
        config->sources[config->source_count++] = (struct source_config){
            .name = memory_text(name),
            .kind = memory_text(json_str(object, "kind")),
            .settings = json_incref(object),
            .line = line,
        };
    }
    json_decref(object);
    return 0;
}

static void check_pending_source(struct loading *loading)
{
    if (loading->pending_source[0])
        problem(loading, loading->pending_line, "source \"%s\" has no settings\nHINT: write source \"%s\" { kind = … }",
                loading->pending_source, loading->pending_source);
    loading->pending_source[0] = '\0';
}

static int script_source(lua_State *L)
{
    struct loading *loading = loading_of(L);
    int line = vm_caller(L, NULL, 0);
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    check_pending_source(loading);
    snprintf(loading->pending_source, sizeof(loading->pending_source), "%s", name);
    loading->pending_line = line;
    if (!is_source_name((struct bytes){ name, length }))
        problem(loading, line, "\"%.80s\" is no name for a source\nHINT: lower-case letters, digits, '-' and '_'", name);
    lua_pushvalue(L, 1);
    lua_pushinteger(L, line);
    lua_pushcclosure(L, script_source_settings, 2);
    return 1;
}

static void script_print(const char *file, int line, struct bytes text, void *arg)
{
    const struct loading *loading = arg;
    (void)file;
    fprintf(stderr, "%s:%d: %.*s\n", loading->path, line, (int)text.len, text.ptr);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static int add_functions(lua_State *L)
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

/* "configuration:LINE: text" as a problem of the file. */
static void add_script_problem(struct loading *loading, int line, const char *text)
{
    char prefix[64];
    if (line == 0)
        line = strncmp(text, CHUNK ":", sizeof(CHUNK)) == 0 ? atoi(text + sizeof(CHUNK)) : 0;
    snprintf(prefix, sizeof(prefix), CHUNK ":%d: ", line);
    size_t length = strlen(prefix);
    add_problem(loading, line, strncmp(text, prefix, length) == 0 ? text + length : text);
}

static void run_file(struct loading *loading)
{
    static const struct vm_budget budget = { .max_instructions = 10000000, .max_wall_ms = 2000 };
    const struct vm_host host = { .print = script_print, .arg = loading };
    struct vm *vm = vm_new(SCRIPT_MEMORY, &host);
    struct vm_outcome outcome;
    struct error e;
    if (vm_protect(vm, add_functions, NULL, 0, &e) || vm_load(vm, CHUNK, buf_bytes(&loading->text), &e))
        add_script_problem(loading, 0, e.text);
    else if (vm_call(vm, 0, 0, &budget, &outcome) != VM_DONE)
        add_script_problem(loading, outcome.line, outcome.error);
    vm_free(vm);
}

/* Relative paths are the file's neighbours, wherever the program was started. */
static void make_absolute(const struct loading *loading, char **path)
{
    if ((*path)[0] == '\0' || (*path)[0] == '/' || loading->directory[0] == '\0')
        return;
    struct buf joined;
    buf_init(&joined, 8192);
    buf_addf(&joined, "%s%s", loading->directory, *path);
    free(*path);
    *path = buf_take(&joined);
}

static void check_listen(struct loading *loading, const char *name, const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (!colon || colon == address || !text_to_u64(bytes_of(colon + 1), &port) || port > 65535)
        problem(loading, line_of_key(buf_bytes(&loading->text), name, 1),
                "http.%s must be an address and a port\nHINT: for example 0.0.0.0:8080 or [::1]:8080", name);
}

static void check_together(struct loading *loading)
{
    struct config *config = loading->config;
    struct bytes text = buf_bytes(&loading->text);
    check_pending_source(loading);
    check_listen(loading, "listen", config->http.listen);
    check_listen(loading, "admin", config->http.admin_listen);
    if ((config->http.tls_certificate[0] == '\0') != (config->http.tls_key[0] == '\0'))
        problem(loading, line_of_key(text, "tls", 1), "http.tls needs both a certificate and a key");
    if (config->retention.months == 1 || config->retention.months == 2)
        problem(loading, line_of_key(text, "months", 1),
                "retention.months must be at least 3, or 0\nHINT: providers send webhooks again for up to 35 days");
    const char *url = config->http.public_url;
    if (*url && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        problem(loading, line_of_key(text, "public_url", 1), "http.public_url must begin with https://");
    make_absolute(loading, &config->rules.directory);
    make_absolute(loading, &config->http.tls_certificate);
    make_absolute(loading, &config->http.tls_key);
}

static err_t find_file(const char *path, const char **ret_path, struct error *reterr)
{
    if (path) {
        *ret_path = path;
        return ERR_NONE;
    }
    for (size_t i = 0; i < ARRAY_LEN(searched); i++) {
        if (access(searched[i], F_OK) == 0) {
            *ret_path = searched[i];
            return ERR_NONE;
        }
    }
    return fail(reterr, ERR_NOT_FOUND, "there is no configuration: neither ./%s nor %s\nHINT: name it with --config FILE",
                searched[0], searched[1]);
}

static err_t join_problems(const json_t *problems, struct error *reterr)
{
    struct buf text;
    buf_init(&text, (size_t)256 * 1024);
    size_t shown = 0;
    for (; shown < json_array_size(problems); shown++) {
        size_t before = text.len;
        config_add_problem_text(&text, json_array_get(problems, shown));
        if (shown > 0 && text.len > 950) {
            text.len = before;
            break;
        }
    }
    if (shown < json_array_size(problems))
        buf_addf(&text, "and %zu more; `answerd check` lists all\n", json_array_size(problems) - shown);
    while (text.len > 0 && text.ptr[text.len - 1] == '\n')
        text.len--;
    err_t err = fail(reterr, ERR_INVALID, "%.*s", (int)text.len, text.ptr);
    buf_done(&text);
    return err;
}

err_t config_read(const char *path, bool dev, json_t *problems, struct config **ret_config, struct error *reterr)
{
    struct loading loading = { .problems = problems };
    buf_init(&loading.text, VM_MAX_SOURCE_BYTES + 1);
    err_t err = find_file(path, &loading.path, reterr);
    if (err == ERR_NONE)
        err = read_file(loading.path, VM_MAX_SOURCE_BYTES, &loading.text, reterr);
    if (err) {
        buf_done(&loading.text);
        return err;
    }
    const char *slash = strrchr(loading.path, '/');
    loading.directory = memory_text_n(loading.path, slash ? (size_t)(slash - loading.path) + 1 : 0);
    loading.config = memory_new(sizeof(*loading.config));
    loading.config->path = memory_text(loading.path);
    loading.config->dev = dev;
    settings_set_standard(loading.config);
    size_t before = json_array_size(problems);
    run_file(&loading);
    check_together(&loading);
    free(loading.directory);
    buf_done(&loading.text);
    if (json_array_size(problems) > before) {
        config_free(loading.config);
        return join_problems(problems, reterr);
    }
    *ret_config = loading.config;
    return ERR_NONE;
}

err_t config_load(const char *path, bool dev, struct config **ret_config, struct error *reterr)
{
    json_t *problems = json_array();
    err_t err = config_read(path, dev, problems, ret_config, reterr);
    json_decref(problems);
    return err;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->source_count; i++) {
        free(config->sources[i].name);
        free(config->sources[i].kind);
        json_decref(config->sources[i].settings);
    }
    free(config->sources);
    settings_done(config);
    free(config->path);
    free(config);
}

const struct source_config *config_source(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->source_count; i++)
        if (strcmp(config->sources[i].name, name) == 0)
            return &config->sources[i];
    return NULL;
}
