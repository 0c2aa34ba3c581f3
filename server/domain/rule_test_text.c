#include "domain/rule_test_text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"

#define MAX_VALUE_BYTES 800
#define MAX_EFFECT_BYTES 300
#define SHORT_TEXT_BYTES 32
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
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
        {
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
        json_array_foreach(value, index, item)
        {
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

void test_text_add_value(struct buf *out, const json_t *value, size_t max)
{
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SCRATCH_BYTES);
    add(&text, value);
    size_t length = whole_characters(text.ptr, text.len, max);
    buf_add(out, text.ptr, length);
    if (length < text.len)
        buf_add_text(out, "…");
}

void test_text_add_line(struct buf *out, const char *label, const json_t *value)
{
    buf_addf(out, "  %s ", label);
    test_text_add_value(out, value, MAX_VALUE_BYTES);
    buf_add_char(out, '\n');
}

/* How many columns a terminal needs for the first `length` bytes, as far as one can say without its fonts. */
static size_t columns(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

void test_text_add_difference(struct buf *out, const char *key, const json_t *expected, const json_t *got)
{
    const char *left = json_string_value(expected), *right = json_string_value(got);
    size_t same = 0;
    bool is_long = left && right && (strlen(left) > SHORT_TEXT_BYTES || strlen(right) > SHORT_TEXT_BYTES);
    if (is_long && strcmp(key, "contains") != 0) {
        while (left[same] && left[same] == right[same])
            same++;
        while (same > 0 && ((unsigned char)left[same] & 0xC0) == 0x80)
            same--;
    }
    buf_addf(out, "    %s: expected ", key);
    test_text_add_value(out, expected, MAX_EFFECT_BYTES);
    bool marked = same > 0 && same < MAX_EFFECT_BYTES / 2 && !memchr(left, '\n', same) && !memchr(left, '"', same);
    buf_add_text(out, marked ? ",\n    " : ", ");
    for (size_t i = 0; marked && i < columns(key, strlen(key)) + strlen(": expe"); i++)
        buf_add_char(out, ' ');
    buf_add_text(out, marked ? " got " : "got ");
    test_text_add_value(out, got, MAX_EFFECT_BYTES);
    buf_add_char(out, '\n');
    if (!marked)
        return;
    buf_add_text(out, "    ");
    for (size_t i = 0; i < columns(key, strlen(key)) + strlen(": expected \"") + columns(left, same); i++)
        buf_add_char(out, ' ');
    buf_add_text(out, "^ here they part\n");
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

static void add_effect(struct buf *out, const json_t *effect)
{
    json_t *options = json_object();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)effect, key, value)
    {
        if (!is_apart(key))
            json_object_set(options, key, value);
    }
    int64_t line = json_int(effect, "line", 0);
    buf_add_text(out, "      ");
    if (line > 0)
        buf_addf(out, "line %lld: ", (long long)line);
    buf_addf(out, "%s ", json_str_or(effect, "do", "?"));
    test_text_add_value(out, options, MAX_EFFECT_BYTES);
    const json_t *made = json_object_get(effect, "made");
    if (json_object_size(made) > 0) {
        buf_add_text(out, " -> ");
        test_text_add_value(out, made, MAX_EFFECT_BYTES);
    }
    buf_add_char(out, '\n');
    if (json_str(effect, "refused"))
        buf_addf(out, "        refused: %s\n", json_str(effect, "refused"));
    json_decref(options);
}

static void add_verdict(struct buf *out, const json_t *trace)
{
    const char *verdict = json_str_or(trace, "verdict", ""), *file = json_str(trace, "file");
    buf_addf(out, "    %-20s ", json_str_or(trace, "rule", ""));
    if (strcmp(verdict, "skipped") == 0)
        buf_add_text(out, "skipped by its 'when'");
    else if (strcmp(verdict, "stopped") == 0)
        buf_add_text(out, "not run: a rule before it stopped the event");
    else if (strcmp(verdict, "over_budget") == 0)
        buf_add_text(out, "stopped by its budget");
    else
        buf_add_text(out, verdict);
    if (file)
        buf_addf(out, "  (%s:%lld)", file, (long long)json_int(trace, "line", 0));
    buf_add_char(out, '\n');
}

void test_text_add_traces(struct buf *out, const json_t *traces)
{
    const json_t *last_event = NULL;
    size_t index;
    json_t *trace;
    if (json_array_size(traces) == 0)
        buf_add_text(out, "  no rule listens to what happened\n");
    json_array_foreach(traces, index, trace)
    {
        const json_t *event = json_object_get(trace, "event_id");
        if (!last_event || !json_equal(event, last_event))
            buf_addf(out, "  on %s at %s:\n", json_str_or(trace, "type", ""), json_str_or(trace, "handled_at", "?"));
        last_event = event;
        add_verdict(out, trace);
        if (json_str(trace, "error"))
            buf_addf(out, "      error: %s\n", json_str(trace, "error"));
        size_t position;
        json_t *printed, *effect;
        json_array_foreach(json_array_at(trace, "log"), position, printed)
            buf_addf(out, "      line %lld printed: %s\n", (long long)json_int(printed, "line", 0),
                     json_str_or(printed, "text", ""));
        json_array_foreach(json_array_at(trace, "effects"), position, effect) add_effect(out, effect);
    }
}
