#include "base/text.h"

#include "base/macros.h"

#include <inttypes.h>
#include <stdio.h>

bool text_to_u64(struct bytes text, uint64_t *ret_value)
{
    if (text.len == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool text_to_i64(struct bytes text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (negative) {
        text.ptr++;
        text.len--;
    }
    uint64_t value;
    if (!text_to_u64(text, &value) || value > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_value = (int64_t)(negative ? -value : value);
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_equal_ignore_case(struct bytes a, struct bytes b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

struct bytes text_trim(struct bytes text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

size_t text_append(char *space, size_t size, size_t length, const char *text)
{
    size_t more = strnlen(text, size - 1 - length);
    memcpy(space + length, text, more);
    space[length + more] = '\0';
    return length + more;
}

struct bytes text_next_field(struct bytes *rest, char separator)
{
    struct bytes field = *rest;
    const char *end = rest->len > 0 ? memchr(rest->ptr, separator, rest->len) : NULL;
    if (!end) {
        *rest = (struct bytes){ NULL, 0 };
        return field;
    }
    field.len = (size_t)(end - rest->ptr);
    rest->ptr = end + 1;
    rest->len -= field.len + 1;
    return field;
}

static const struct {
    const char *name;
    int64_t ms;
} duration_units[] = {
    { "ms", 1 }, { "w", 604800000 }, { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
};

static int64_t take_duration_unit(struct bytes *rest)
{
    for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
        struct bytes name = bytes_of(duration_units[i].name);
        if (bytes_start_with(*rest, name)) {
            rest->ptr += name.len;
            rest->len -= name.len;
            return duration_units[i].ms;
        }
    }
    return 0;
}

bool text_to_duration(struct bytes text, int64_t *ret_ms)
{
    if (text.len == 0)
        return false;
    int64_t sum = 0;
    while (text.len > 0) {
        size_t digits = 0;
        while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
            digits++;
        int64_t number;
        if (!text_to_i64((struct bytes){ text.ptr, digits }, &number))
            return false;
        text.ptr += digits;
        text.len -= digits;
        int64_t unit = take_duration_unit(&text);
        int64_t part;
        if (unit == 0 || __builtin_mul_overflow(number, unit, &part) || __builtin_add_overflow(sum, part, &sum))
            return false;
    }
    *ret_ms = sum;
    return true;
}

void text_add_duration(struct buf *out, int64_t ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
    uint64_t rest = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    if (ms < 0)
        buf_add_char(out, '-');
    if (ms == 0)
        buf_add_text(out, "0s");
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (rest >= units[i].ms)
            buf_addf(out, "%llu%s", (unsigned long long)(rest / units[i].ms), units[i].name);
        rest %= units[i].ms;
    }
}

#define NEAREST_MAX 64

/* Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`; both are at most NEAREST_MAX long. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][NEAREST_MAX + 1];
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3];
        const size_t *before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *word, const char *const *known)
{
    size_t word_len = strlen(word);
    if (word_len == 0 || word_len > NEAREST_MAX)
        return NULL;
    const char *nearest = NULL;
    /* Further away is another word: 1 edit for up to 3 letters, 2 for up to 6, … */
    size_t least = (word_len + 2) / 3 + 1;
    for (size_t i = 0; known[i]; i++) {
        size_t known_len = strlen(known[i]);
        if (known_len > NEAREST_MAX)
            continue;
        size_t distance = edit_distance(word, word_len, known[i], known_len);
        if (distance < least) {
            least = distance;
            nearest = known[i];
        }
    }
    return nearest;
}

struct counted_text text_counted(int64_t count, const char *thing)
{
    struct counted_text counted;
    snprintf(counted.text, sizeof(counted.text), "%" PRId64 " %.30s%s", count, thing, count == 1 ? "" : "s");
    return counted;
}

int32_t lane_of(const char *identity_or_source)
{
    uint32_t hash = 2166136261u;
    for (const char *c = identity_or_source; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return (int32_t)(hash & 0x7fffffff);
}
