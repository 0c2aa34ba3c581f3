#include "config/config.h"

#include "base/memory.h"
#include "base/text.h"
#include "config/loading.h"
#include "config/settings.h"
#include "io/crypto.h"
#include "io/pg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_PROBLEMS 50
#define ADMIN_CONNECTIONS 256 /* scrapers, health checks, people */
#define SCRIPT_MEMORY ((size_t)16 * 1024 * 1024)
#define CHUNK "configuration" /* the file's name inside Lua, which cuts long ones */

static const char *const searched[] = { "answerd.lua", "/etc/answerd/answerd.lua" };

/* --- problems --------------------------------------------------------------------------------------------------- */

/* Splits "text\nHINT: hint". */
/* A loop makes the same mistake each time. */
static bool is_known(const struct loading *loading, const json_t *problem)
{
    size_t index;
    json_t *known;
    json_array_foreach (loading->problems, index, known) {
        if (json_equal(known, problem))
            return true;
    }
    return false;
}

void loading_add_problem(struct loading *loading, int line, const char *text)
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
    if (is_known(loading, problem))
        json_decref(problem);
    else
        json_array_append_new(loading->problems, problem);
}

void loading_problem(struct loading *loading, int line, const char *format, ...)
{
    char text[600];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    loading_add_problem(loading, line, text);
}

void config_add_problem_text(struct buf *out, const json_t *problem_object)
{
    int64_t line = json_int(problem_object, "line", 0);
    buf_add_text(out, json_str_or(problem_object, "file", "?"));
    if (line > 0)
        buf_addf(out, ":%lld", (long long)line);
    buf_addf(out, ": %s: %s\n", json_str_or(problem_object, "severity", "error"),
             json_str_or(problem_object, "text", ""));
    if (json_str(problem_object, "hint"))
        buf_addf(out, "HINT: %s\n", json_str(problem_object, "hint"));
}

/* --- files ------------------------------------------------------------------------------------------------------ */

/* Without stdio, whose buffers keep what went through them: the file may be a secret. */
err_t config_read_file(const char *path, size_t max, struct buf *ret_content, struct error *reterr)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(reterr, errno == ENOENT ? ERR_NOT_FOUND : ERR_DENIED, "cannot read '%s': %s", path,
                    strerror(errno));
    char block[4096];
    ssize_t length;
    while (((length = read(fd, block, sizeof(block))) > 0 || (length < 0 && errno == EINTR)) &&
           !ret_content->overflowed && ret_content->len <= max)
        buf_add(ret_content, block, length > 0 ? (size_t)length : 0);
    close(fd);
    crypto_wipe(block, sizeof(block));
    if (length < 0)
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

int loading_line_of_key(const struct loading *loading, const char *key, int from_line)
{
    return line_of_key(buf_bytes(&loading->text), key, from_line);
}

int config_line_of_key(const char *path, const char *key, int from_line)
{
    struct buf text;
    buf_init_secret(&text, VM_MAX_SOURCE_BYTES + 1);
    int line = from_line;
    if (config_read_file(path, VM_MAX_SOURCE_BYTES, &text, NULL) == ERR_NONE)
        line = line_of_key(buf_bytes(&text), key, from_line);
    buf_done(&text);
    return line;
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

/* "configuration:LINE: text" as a problem of the file. */
static void add_script_problem(struct loading *loading, const char *text)
{
    const struct bytes chunk = BYTES_LITERAL(CHUNK ":");
    struct bytes rest = bytes_of(text);
    uint64_t line = 0;
    if (bytes_start_with(rest, chunk)) {
        rest.ptr += chunk.len;
        rest.len -= chunk.len;
        if (text_to_u64(text_next_field(&rest, ':'), &line))
            text = rest.len > 0 && rest.ptr[0] == ' ' ? rest.ptr + 1 : rest.ptr;
    }
    loading_add_problem(loading, (int)line, text);
}

static void script_print(const char *file, int line, struct bytes text, void *arg)
{
    const struct loading *loading = arg;
    (void)file;
    fprintf(stderr, "%s:%d: %.*s\n", loading->path, line, (int)text.len, text.ptr);
}

/* The first mistake of a file is no reason to be silent about the others. */
static void name_undefined(const char *name, const char *nearest, int line, void *arg)
{
    if (nearest)
        loading_problem(arg, line, "'%s' is not defined\nHINT: did you mean '%s'?", name, nearest);
    else
        loading_problem(arg, line, "'%s' is not defined\nHINT: variables are declared with `local`", name);
}

static void run_file(struct loading *loading)
{
    static const struct vm_budget budget = { .max_instructions = 10000000, .max_wall_ms = 2000 };
    const struct vm_host host = { .print = script_print, .undefined = name_undefined, .arg = loading };
    struct vm *vm = vm_new(SCRIPT_MEMORY, &host);
    vm_wipe_memory(vm);
    struct vm_outcome outcome;
    struct error e;
    if (vm_protect(vm, config_add_functions, NULL, 0, &e) || vm_load(vm, CHUNK, buf_bytes(&loading->text), &e))
        add_script_problem(loading, e.text);
    else if (vm_call(vm, 0, 0, &budget, &outcome) != VM_DONE)
        add_script_problem(loading, outcome.error);
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

/* The same for a list of paths. */
static void make_all_absolute(const struct loading *loading, json_t *paths)
{
    for (size_t i = 0; i < json_array_size(paths); i++) {
        char *path = memory_text(json_string_value(json_array_get(paths, i)));
        make_absolute(loading, &path);
        json_array_set_new(paths, i, json_string(path));
        free(path);
    }
}

static void check_tls(struct loading *loading)
{
    const struct config *config = loading->config;
    const char *minimum = config->http.tls_minimum;
    size_t certificates = json_array_size(config->http.tls_certificates);
    size_t keys = json_array_size(config->http.tls_keys);
    if ((certificates == 0) != (keys == 0))
        loading_problem(loading, loading_line_of_key(loading, "tls", 1), "http.tls needs both a certificate and a key");
    else if (certificates != keys)
        loading_problem(loading, loading_line_of_key(loading, "tls", 1),
                        "http.tls has %s and %s\nHINT: one key for each, in the same order",
                        text_counted((int64_t)certificates, "certificate").text,
                        text_counted((int64_t)keys, "key").text);
    if (strcmp(minimum, "1.2") != 0 && strcmp(minimum, "1.3") != 0)
        loading_problem(loading, loading_line_of_key(loading, "minimum", 1), "http.tls.minimum must be 1.2 or 1.3");
    make_all_absolute(loading, config->http.tls_certificates);
    make_all_absolute(loading, config->http.tls_keys);
}

/* Reads the networks that the setting `section`.`name` lists. */
static void read_networks(struct loading *loading, const char *section, const char *name, const json_t *written,
                          struct http_networks *networks)
{
    size_t count = json_array_size(written);
    networks->list = memory_new((count + 1) * sizeof(*networks->list));
    for (size_t i = 0; i < count; i++) {
        struct error e;
        if (http_network_parse(bytes_of(json_string_value(json_array_get(written, i))),
                               &networks->list[networks->count], &e) == ERR_NONE) {
            networks->count++;
        } else {
            char text[400];
            snprintf(text, sizeof(text), "%s.%s: %.300s", section, name, e.text);
            loading_add_problem(loading, loading_line_of_key(loading, name, 1), text);
        }
    }
}

static void check_networks(struct loading *loading)
{
    struct config *config = loading->config;
    read_networks(loading, "http", "trusted_proxies", config->http.trusted_proxies, &config->http.proxies);
    read_networks(loading, "deliver", "allowed_networks", config->deliver.allowed_networks, &config->deliver.allowed);
    if (config->http.require_https && json_array_size(config->http.trusted_proxies) == 0 &&
        json_array_size(config->http.tls_certificates) == 0)
        loading_problem(loading, loading_line_of_key(loading, "require_https", 1),
                        "http.require_https would refuse everything: there is neither TLS nor a trusted proxy\n"
                        "HINT: set http.tls, or http.trusted_proxies to the proxy's address");
}

static void check_listen(struct loading *loading, const char *name, const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port;
    if (!colon || colon == address || !text_to_u64(bytes_of(colon + 1), &port) || port > 65535)
        loading_problem(loading, loading_line_of_key(loading, name, 1),
                        "http.%s must be an address and a port\nHINT: for example 0.0.0.0:8080 or [::1]:8080", name);
}

static int line_of_section(const struct loading *loading, const char *name)
{
    for (size_t i = 0; setting_sections[i].name; i++)
        if (strcmp(setting_sections[i].name, name) == 0)
            return loading->section_lines[i];
    return 1;
}

/* libpq keeps copies of what it reads, which nobody can wipe. So this is for who looks at the file and ends; a server
 * tells when it connects. */
static void check_database(struct loading *loading)
{
    struct error e;
    if (pg_check_conninfo(loading->config->database.url, &e) != ERR_NONE)
        loading_add_problem(loading, loading_line_of_key(loading, "url", line_of_section(loading, "database")), e.text);
}

static void check_together(struct loading *loading)
{
    struct config *config = loading->config;
    loading_check_pending_source(loading);
    check_listen(loading, "listen", config->http.listen);
    check_listen(loading, "admin", config->http.admin_listen);
    check_tls(loading);
    check_networks(loading);
    if (config->retention.months == 1 || config->retention.months == 2)
        loading_problem(
            loading, loading_line_of_key(loading, "months", 1),
            "retention.months must be at least 3, or 0\nHINT: providers send webhooks again for up to 35 days");
    const char *url = config->http.public_url;
    if (*url && strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        loading_problem(loading, loading_line_of_key(loading, "public_url", 1),
                        "http.public_url must begin with https://");
    make_absolute(loading, &config->rules.directory);
    make_absolute(loading, &config->rules.shadow);
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
    return fail(reterr, ERR_NOT_FOUND,
                "there is no configuration: neither ./%s nor %s\nHINT: name it with --config FILE", searched[0],
                searched[1]);
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

/* Hands out the configuration as far as it could be read, also when there are problems; else NULL stays. */
static err_t read_config(const char *path, bool dev, bool with_database, json_t *problems, struct config **ret_config,
                         struct error *reterr)
{
    struct loading loading = { .problems = problems };
    buf_init_secret(&loading.text, VM_MAX_SOURCE_BYTES + 1);
    err_t err = find_file(path, &loading.path, reterr);
    if (err == ERR_NONE)
        err = config_read_file(loading.path, VM_MAX_SOURCE_BYTES, &loading.text, reterr);
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
    loading.config->http.max_admin_connections = ADMIN_CONNECTIONS;
    size_t before = json_array_size(problems);
    run_file(&loading);
    check_together(&loading);
    if (with_database)
        check_database(&loading);
    free(loading.directory);
    buf_done(&loading.text);
    *ret_config = loading.config;
    return json_array_size(problems) > before ? join_problems(problems, reterr) : ERR_NONE;
}

err_t config_read(const char *path, bool dev, json_t *problems, struct config **ret_config, struct error *reterr)
{
    return read_config(path, dev, true, problems, ret_config, reterr);
}

err_t config_load(const char *path, bool dev, struct config **ret_config, struct error *reterr)
{
    json_t *problems = json_array();
    struct config *config = NULL;
    err_t err = read_config(path, dev, false, problems, &config, reterr);
    json_decref(problems);
    if (err)
        config_free(config);
    else
        *ret_config = config;
    return err;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < config->source_count; i++) {
        free(config->sources[i].name);
        free(config->sources[i].kind);
        json_wipe(config->sources[i].settings);
    }
    free(config->sources);
    free(config->http.proxies.list);
    free(config->deliver.allowed.list);
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
