#include "io/json_plain.h"

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Any integer with so many digits fits 64 bits. */
#define MAX_DIGITS 18

struct reader {
    const char *at;
    const char *end;
    unsigned depth_left;
    struct buf unescaped; /* the string at hand, when it has escapes */
};

static json_t *read_value(struct reader *r);

/* --- text that stands as it is ---------------------------------------------------------------------------------- */

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* Marks bytes below a bound of at most 0x80 by their highest bit. The first mark is right, those above it need not be
 * (Hacker's Delight, section 6-1). */
static uint64_t mark_below(uint64_t bytes, unsigned char bound)
{
    return (bytes - EACH_BYTE(bound)) & ~bytes & EACH_BYTE(0x80);
}

static uint64_t mark_special(uint64_t bytes)
{
    return mark_below(bytes, 0x20) | mark_below(bytes ^ EACH_BYTE('"'), 1) | mark_below(bytes ^ EACH_BYTE('\\'), 1);
}

static bool is_special(char c)
{
    return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

size_t json_plain_length(struct bytes text)
{
    size_t length = 0;
    for (uint64_t bytes; text.len - length >= sizeof(bytes); length += sizeof(bytes)) {
        memcpy(&bytes, text.ptr + length, sizeof(bytes));
        uint64_t marks = mark_special(le64toh(bytes));
        if (marks != 0)
            return length + (size_t)__builtin_ctzll(marks) / 8;
    }
    while (length < text.len && !is_special(text.ptr[length]))
        length++;
    return length;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static void skip_space(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* Passes `c` and the space around it; false when something else is there. */
static bool take(struct reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    skip_space(r);
    return true;
}

/* The four digits of "\uXXXX" at `at`, or -1. */
static int32_t unicode_escape(const struct reader *r, const char *at)
{
    int32_t value = 0;
    if (r->end - at < 6 || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        char c = at[i];
        int32_t digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void add_character(struct buf *out, uint32_t code)
{
    if (code < 0x80) {
        buf_add_char(out, (char)code);
        return;
    }
    unsigned more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char marks[] = { 0, 0xc0, 0xe0, 0xf0 };
    buf_add_char(out, (char)(marks[more] | code >> (6 * more)));
    while (more-- > 0)
        buf_add_char(out, (char)(0x80 | ((code >> (6 * more)) & 0x3f)));
}

static bool read_unicode_escape(struct reader *r)
{
    int32_t code = unicode_escape(r, r->at);
    r->at += 6;
    if (code >= 0xd800 && code <= 0xdbff) {
        int32_t low = unicode_escape(r, r->at);
        if (low < 0xdc00 || low > 0xdfff)
            return false;
        r->at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code <= 0 || (code >= 0xdc00 && code <= 0xdfff)) {
        return false;
    }
    add_character(&r->unescaped, (uint32_t)code);
    return true;
}

static bool read_escape(struct reader *r)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (r->end - r->at < 2)
        return false;
    if (r->at[1] == 'u')
        return read_unicode_escape(r);
    const char *name = r->at[1] ? strchr(names, r->at[1]) : NULL;
    if (!name)
        return false;
    buf_add_char(&r->unescaped, meanings[name - names]);
    r->at += 2;
    return true;
}

static void pass_plain(struct reader *r)
{
    r->at += json_plain_length((struct bytes){ r->at, (size_t)(r->end - r->at) });
}

/* From the opening quote to after the closing one. The result is valid until the next string is read. */
static bool read_string(struct reader *r, struct bytes *ret_text)
{
    if (r->at == r->end || *r->at != '"')
        return false;
    const char *from = ++r->at;
    pass_plain(r);
    if (r->at < r->end && *r->at == '"') {
        *ret_text = (struct bytes){ from, (size_t)(r->at++ - from) };
        return true;
    }
    buf_clear(&r->unescaped);
    buf_add(&r->unescaped, from, (size_t)(r->at - from));
    while (r->at < r->end && *r->at == '\\') {
        if (!read_escape(r))
            return false;
        from = r->at;
        pass_plain(r);
        buf_add(&r->unescaped, from, (size_t)(r->at - from));
    }
    *ret_text = buf_bytes(&r->unescaped);
    return r->at < r->end && *r->at++ == '"';
}

static json_t *read_integer(struct reader *r)
{
    bool negative = *r->at == '-';
    r->at += negative;
    const char *from = r->at;
    json_int_t value = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - from < MAX_DIGITS)
        value = value * 10 + (*r->at++ - '0');
    ptrdiff_t digits = r->at - from;
    if (digits == 0 || (digits > 1 && *from == '0'))
        return NULL;
    if (r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E' || (*r->at >= '0' && *r->at <= '9')))
        return NULL;
    return json_integer(negative ? -value : value);
}

static json_t *read_literal(struct reader *r, struct bytes word, json_t *value)
{
    struct bytes rest = { r->at, (size_t)(r->end - r->at) };
    if (!bytes_start_with(rest, word))
        return NULL;
    r->at += word.len;
    return value;
}

static bool read_member(struct reader *r, json_t *object)
{
    struct bytes text;
    if (!read_string(r, &text))
        return false;
    /* The key must outlive the value, whose strings use the same buffer. */
    char *copy = text.ptr == r->unescaped.ptr ? buf_take(&r->unescaped) : NULL;
    const char *key = copy ? copy : text.ptr;
    json_t *value = take(r, ':') ? read_value(r) : NULL;
    bool added = value && json_object_setn_new_nocheck(object, key, text.len, value) == 0;
    free(copy);
    return added;
}

static bool read_members(struct reader *r, json_t *object)
{
    if (take(r, '}'))
        return true;
    do {
        if (!read_member(r, object))
            return false;
    } while (take(r, ','));
    return take(r, '}');
}

static bool read_elements(struct reader *r, json_t *array)
{
    if (take(r, ']'))
        return true;
    do {
        json_t *value = read_value(r);
        if (!value || json_array_append_new(array, value) != 0)
            return false;
    } while (take(r, ','));
    return take(r, ']');
}

static json_t *read_container(struct reader *r, bool (*read)(struct reader *r, json_t *container), json_t *container)
{
    r->at++;
    bool whole = r->depth_left > 0;
    if (whole) {
        r->depth_left--;
        whole = read(r, container);
        r->depth_left++;
    }
    if (!whole) {
        json_decref(container);
        return NULL;
    }
    return container;
}

static json_t *read_value(struct reader *r)
{
    struct bytes text;
    if (r->at == r->end)
        return NULL;
    switch (*r->at) {
    case '{':
        return read_container(r, read_members, json_object());
    case '[':
        return read_container(r, read_elements, json_array());
    case '"':
        return read_string(r, &text) ? json_stringn_nocheck(text.ptr, text.len) : NULL;
    case 't':
        return read_literal(r, BYTES_LITERAL("true"), json_true());
    case 'f':
        return read_literal(r, BYTES_LITERAL("false"), json_false());
    case 'n':
        return read_literal(r, BYTES_LITERAL("null"), json_null());
    default:
        return *r->at == '-' || (*r->at >= '0' && *r->at <= '9') ? read_integer(r) : NULL;
    }
}

json_t *json_parse_plain(struct bytes text, unsigned max_depth)
{
    struct reader r = { .at = text.ptr, .end = text.ptr + text.len, .depth_left = max_depth };
    buf_init(&r.unescaped, text.len + 1);
    skip_space(&r);
    json_t *value = read_value(&r);
    skip_space(&r);
    if (r.at < r.end) {
        json_decref(value);
        value = NULL;
    }
    buf_done(&r.unescaped);
    return value;
}
