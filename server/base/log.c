#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

#define LINE_MAX_BYTES 4096

static atomic_int least_level = LOG_INFO;
static atomic_bool as_json;
static _Thread_local const char *actor = "main";

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void log_configure(enum log_level least, bool json)
{
    atomic_store(&least_level, (int)least);
    atomic_store(&as_json, json);
}

bool log_level_from_name(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_actor(const char *name)
{
    actor = name;
}

/* A value in double quotes, for both forms. What could end the line or the quotes is escaped, so that text from
 * outside cannot forge a line. */
static void add_quoted(struct buf *out, struct bytes value)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c == '\n')
            buf_add_text(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            buf_addf(out, "\\u%04x", c);
        else
            buf_add_char(out, (char)c);
    }
    buf_add_char(out, '"');
}

/* Does `text` begin with "key="? */
static bool starts_pair(struct bytes text)
{
    size_t i = 0;
    while (i < text.len && ((text.ptr[i] >= 'a' && text.ptr[i] <= 'z') || text.ptr[i] == '_'))
        i++;
    return i > 0 && i < text.len && text.ptr[i] == '=';
}

/* Does the quote at `at` end the value? Values may hold quotes themselves: it does when nothing or another pair
 * follows. */
static bool ends_value(struct bytes value, size_t at)
{
    if (value.ptr[at] != '\'' || at + 1 == value.len)
        return value.ptr[at] == '\'';
    return value.ptr[at + 1] == ' ' && starts_pair((struct bytes){ value.ptr + at + 2, value.len - at - 2 });
}

/* Cuts the next `key=value` or `key='value'` from `*rest`. */
static bool next_pair(struct bytes *rest, struct bytes *ret_key, struct bytes *ret_value, bool *ret_quoted)
{
    while (rest->len > 0 && rest->ptr[0] == ' ') {
        rest->ptr++;
        rest->len--;
    }
    const char *equals = rest->len > 0 ? memchr(rest->ptr, '=', rest->len) : NULL;
    if (!equals)
        return false;
    *ret_key = (struct bytes){ rest->ptr, (size_t)(equals - rest->ptr) };
    struct bytes value = { equals + 1, rest->len - ret_key->len - 1 };
    *ret_quoted = value.len > 0 && value.ptr[0] == '\'';
    size_t end = *ret_quoted ? 1 : 0;
    if (*ret_quoted) {
        while (end < value.len && !ends_value(value, end))
            end++;
        *ret_value = (struct bytes){ value.ptr + 1, end - 1 };
        end += end < value.len;
    } else {
        while (end < value.len && value.ptr[end] != ' ')
            end++;
        *ret_value = (struct bytes){ value.ptr, end };
    }
    *rest = (struct bytes){ value.ptr + end, value.len - end };
    return true;
}

static bool is_number(struct bytes value)
{
    bool digits = false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool inside_dot = c == '.' && digits && i + 1 < value.len && !memchr(value.ptr, '.', i);
        if (c >= '0' && c <= '9')
            digits = true;
        else if (!(c == '-' && i == 0) && !inside_dot)
            return false;
    }
    /* JSON has no leading zeros; nothing we count has them either. */
    return digits && !(value.len > 1 && value.ptr[0] == '0' && value.ptr[1] != '.');
}

static void add_fields(struct buf *line, const char *fields, bool json)
{
    struct bytes rest = bytes_of(fields);
    struct bytes key;
    struct bytes value;
    bool quoted;
    while (next_pair(&rest, &key, &value, &quoted)) {
        if (json) {
            buf_add_char(line, ',');
            add_quoted(line, key);
            buf_add_char(line, ':');
            if (!quoted && is_number(value))
                buf_add_bytes(line, value);
            else
                add_quoted(line, value);
        } else {
            buf_add_char(line, ' ');
            buf_add_bytes(line, key);
            buf_add_char(line, '=');
            if (quoted || value.len == 0)
                add_quoted(line, value);
            else
                buf_add_bytes(line, value);
        }
    }
}

void log_write(enum log_level level, const char *message, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed))
        return;
    char fields[2048];
    va_list values;
    va_start(values, format);
    vsnprintf(fields, sizeof(fields), format, values);
    va_end(values);

    bool json = atomic_load_explicit(&as_json, memory_order_relaxed);
    struct buf line;
    buf_init(&line, 8 * LINE_MAX_BYTES);
    buf_add_text(&line, json ? "{\"ts\":\"" : "ts=");
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real); /* not clock_now(): tests freeze that one */
    clock_add_iso(&line, (msec_t)real.tv_sec * 1000 + real.tv_nsec / 1000000);
    buf_addf(&line,
             json ? "\",\"level\":\"%s\",\"actor\":\"%s\",\"msg\":" : " level=%s actor=%s msg=", level_names[level],
             actor);
    add_quoted(&line, bytes_of(message));
    add_fields(&line, fields, json);
    buf_add_text(&line, json ? "}\n" : "\n");
    /* One write keeps the lines of several threads apart. A log that cannot be written must not stop the work. */
    ssize_t ignored = write(STDERR_FILENO, line.ptr, line.len);
    (void)ignored;
    buf_done(&line);
}

bool log_allowed(struct log_throttle *throttle, long long every_ms, unsigned *ret_swallowed)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    long long now = clock_steady();
    pthread_mutex_lock(&lock);
    bool allowed = throttle->last_ms == 0 || now - throttle->last_ms >= every_ms;
    if (allowed) {
        if (ret_swallowed)
            *ret_swallowed = throttle->swallowed;
        throttle->last_ms = now > 0 ? now : 1;
        throttle->swallowed = 0;
    } else {
        throttle->swallowed++;
    }
    pthread_mutex_unlock(&lock);
    return allowed;
}
