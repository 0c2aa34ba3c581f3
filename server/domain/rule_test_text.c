#include "domain/rule_test_text.h"

#include <string.h>

#include "domain/lua_text.h"

#define MAX_VALUE_BYTES 800
#define MAX_EFFECT_BYTES 300
#define SHORT_TEXT_BYTES 32

void test_text_add_line(struct buf *out, const char *label, const json_t *value)
{
    buf_addf(out, "  %s ", label);
    lua_text_add_value(out, value, MAX_VALUE_BYTES);
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
    lua_text_add_value(out, expected, MAX_EFFECT_BYTES);
    bool marked = same > 0 && same < MAX_EFFECT_BYTES / 2 && !memchr(left, '\n', same) && !memchr(left, '"', same);
    buf_add_text(out, marked ? ",\n    " : ", ");
    for (size_t i = 0; marked && i < columns(key, strlen(key)) + strlen(": expe"); i++)
        buf_add_char(out, ' ');
    buf_add_text(out, marked ? " got " : "got ");
    lua_text_add_value(out, got, MAX_EFFECT_BYTES);
    buf_add_char(out, '\n');
    if (!marked)
        return;
    buf_add_text(out, "    ");
    for (size_t i = 0; i < columns(key, strlen(key)) + strlen(": expected \"") + columns(left, same); i++)
        buf_add_char(out, ' ');
    buf_add_text(out, "^ here they part\n");
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
    json_array_foreach (traces, index, trace) {
        const json_t *event = json_object_get(trace, "event_id");
        if (!last_event || !json_equal(event, last_event))
            buf_addf(out, "  on %s at %s:\n", json_str_or(trace, "type", ""), json_str_or(trace, "handled_at", "?"));
        last_event = event;
        add_verdict(out, trace);
        if (json_str(trace, "error"))
            buf_addf(out, "      error: %s\n", json_str(trace, "error"));
        size_t position;
        json_t *printed, *effect;
        json_array_foreach (json_array_at(trace, "log"), position, printed)
            buf_addf(out, "      line %lld printed: %s\n", (long long)json_int(printed, "line", 0),
                     json_str_or(printed, "text", ""));
        json_array_foreach (json_array_at(trace, "effects"), position, effect) {
            buf_add_text(out, "      ");
            lua_text_add_effect(out, effect, MAX_EFFECT_BYTES);
            buf_add_char(out, '\n');
            if (json_str(effect, "refused"))
                buf_addf(out, "        refused: %s\n", json_str(effect, "refused"));
        }
    }
}
