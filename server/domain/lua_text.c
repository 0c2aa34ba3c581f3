#include "domain/lua_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define SCRATCH_BYTES ((size_t)64 * 1024)

static bool is_plain_key(const char *key)
{
    if (!*key || isdigit((unsigned char)*key))
        return false;
    for (; *key; key++)
        if (!isalnum((unsigned char)*key) && *key != '_')
            return false;
    return true;
}

static void add(struct buf *out, const json_t *value)
{
    if (json_is_object(value)) {
        const char *key;
        json_t *item;
        const char *separator = "{ ";
        if (json_object_size(value) == 0)
            buf_add_text(out, "{}");
        json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
            if (is_plain_key(key))
                buf_addf(out, "%s%s = ", separator, key);
            else
                buf_addf(out, "%s[\"%s\"] = ", separator, key);
            add(out, item);
            separator = ", ";
        }
        if (json_object_size(value) > 0)
            buf_add_text(out, " }");
        return;
    }
    if (json_is_array(value)) {
        size_t index;
        json_t *item;
        if (json_array_size(value) == 0)
            buf_add_text(out, "{}");
        json_array_foreach (value, index, item) {
            buf_add_text(out, index == 0 ? "{ " : ", ");
            add(out, item);
        }
        if (json_array_size(value) > 0)
            buf_add_text(out, " }");
        return;
    }
    if (!value || json_is_null(value)) {
        buf_add_text(out, "nil");
        return;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    buf_add_text(out, text ? text : "?");
    free(text);
}

/* The longest start of at most `max` bytes that does not cut a character. */
static size_t whole_characters(const char *text, size_t length, size_t max)
{
    if (length <= max)
        return length;
    while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80)
        max--;
    return max;
}

void lua_text_add_value(struct buf *out, const json_t *value, size_t max)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SCRATCH_BYTES);
    add(&text, value);
    size_t length = whole_characters(text.ptr, text.len, max);
    buf_add(out, text.ptr, length);
    if (length < text.len)
        buf_add_text(out, "…");
}

/* What is said apart from the options. */
static bool is_apart(const char *key)
{
    static const char *const apart[] = { "do", "line", "made", "refused", "conversation", "conversation_id", "handle" };
    for (size_t i = 0; i < ARRAY_LEN(apart); i++)
        if (strcmp(apart[i], key) == 0)
            return true;
    return false;
}

void lua_text_add_effect(struct buf *out, const json_t *effect, size_t max)
{
    json_t *options = json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)effect, key, value) {
        if (!is_apart(key))
            json_object_set(options, key, value);
    }
    int64_t line = json_int(effect, "line", 0);
    if (line > 0)
        buf_addf(out, "line %lld: ", (long long)line);
    buf_addf(out, "%s ", json_str_or(effect, "do", "?"));
    lua_text_add_value(out, options, max);
    const json_t *made = json_object_get(effect, "made");
    if (json_object_size(made) > 0) {
        buf_add_text(out, " -> ");
        lua_text_add_value(out, made, max);
    }
    json_decref(options);
}
