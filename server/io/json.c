#include "io/json.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/json_plain.h"

void json_set_memory(void)
{
    json_set_alloc_funcs(memory_block, free);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

#define MAX_DEPTH 64

/* A number with more characters than this is kept as text without looking at its value. The longest finite double
 * that anything prints has some 325. */
#define MAX_NUMBER_LENGTH 400

/* One pass over the raw text. It copies only when something has to be rewritten, which is rare. */
struct rewriter {
    struct bytes text;
    size_t at;
    size_t copied; /* `text` up to here is in `out` */
    struct buf out;
    bool changed;
};

/* Replaces `length` bytes at the current position by `with`. */
static void replace(struct rewriter *w, size_t length, struct bytes with)
{
    buf_add(&w->out, w->text.ptr + w->copied, w->at - w->copied);
    buf_add_bytes(&w->out, with);
    w->at += length;
    w->copied = w->at;
    w->changed = true;
}

/* The value of the "\uXXXX" at `at`, or -1. */
static int escape_value(const struct rewriter *w, size_t at)
{
    if (at + 6 > w->text.len || w->text.ptr[at] != '\\' || w->text.ptr[at + 1] != 'u')
        return -1;
    int value = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = w->text.ptr[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* From after the opening quote to after the closing one. What PostgreSQL's jsonb refuses becomes U+FFFD. */
static void pass_string(struct rewriter *w)
{
    while (w->at < w->text.len) {
        char c = w->text.ptr[w->at];
        if (c == '"') {
            w->at++;
            return;
        }
        if (c != '\\') {
            w->at++;
            continue;
        }
        int value = escape_value(w, w->at);
        if (value < 0) {
            w->at += 2; /* "\n", "\"" and so on; what is wrong here is for the parser to refuse */
        } else if (value >= 0xd800 && value <= 0xdbff) {
            int low = escape_value(w, w->at + 6);
            if (low >= 0xdc00 && low <= 0xdfff)
                w->at += 12;
            else
                replace(w, 6, BYTES_LITERAL("\\ufffd"));
        } else if (value == 0 || (value >= 0xdc00 && value <= 0xdfff)) {
            replace(w, 6, BYTES_LITERAL("\\ufffd"));
        } else {
            w->at += 6;
        }
    }
}

static size_t count_digits(struct bytes text, size_t at)
{
    size_t count = 0;
    while (at + count < text.len && text.ptr[at + count] >= '0' && text.ptr[at + count] <= '9')
        count++;
    return count;
}

/* The length of the JSON number at the front of `text`, or 0 when it breaks the grammar. */
static size_t number_length(struct bytes text, bool *ret_integer)
{
    size_t at = text.len > 0 && text.ptr[0] == '-' ? 1 : 0;
    size_t digits = count_digits(text, at);
    if (digits == 0 || (digits > 1 && text.ptr[at] == '0'))
        return 0;
    at += digits;
    *ret_integer = true;
    if (at < text.len && text.ptr[at] == '.') {
        digits = count_digits(text, at + 1);
        if (digits == 0)
            return 0;
        at += 1 + digits;
        *ret_integer = false;
    }
    if (at < text.len && (text.ptr[at] == 'e' || text.ptr[at] == 'E')) {
        at++;
        if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-'))
            at++;
        digits = count_digits(text, at);
        if (digits == 0)
            return 0;
        at += digits;
        *ret_integer = false;
    }
    return at;
}

static bool number_fits(struct bytes number, bool integer)
{
    int64_t value;
    if (integer)
        return text_to_i64(number, &value);
    if (number.len > MAX_NUMBER_LENGTH)
        return false;
    char text[MAX_NUMBER_LENGTH + 1];
    memcpy(text, number.ptr, number.len);
    text[number.len] = '\0';
    return isfinite(strtod(text, NULL));
}

/* A number that neither 64 bits nor a double can hold becomes a text with the same characters. */
static void pass_number(struct rewriter *w)
{
    struct bytes rest = { w->text.ptr + w->at, w->text.len - w->at };
    bool integer;
    size_t length = number_length(rest, &integer);
    if (length == 0) {
        /* Not a number; the parser says so. All its digits at once: the next one would be looked at to the end again.
         */
        w->at += 1 + count_digits(rest, 1);
        return;
    }
    struct bytes number = { rest.ptr, length };
    if (number_fits(number, integer)) {
        w->at += length;
        return;
    }
    replace(w, 0, BYTES_LITERAL("\""));
    replace(w, length, number);
    replace(w, 0, BYTES_LITERAL("\""));
}

/* False when the text nests too deeply. */
static bool rewrite(struct rewriter *w)
{
    unsigned depth = 0;
    while (w->at < w->text.len) {
        char c = w->text.ptr[w->at];
        if (c == '"') {
            w->at++;
            pass_string(w);
        } else if (c == '-' || (c >= '0' && c <= '9')) {
            pass_number(w);
        } else {
            if (c == '[' || c == '{') {
                if (++depth > MAX_DEPTH)
                    return false;
            } else if ((c == ']' || c == '}') && depth > 0) {
                depth--;
            }
            w->at++;
        }
    }
    if (w->changed && w->copied < w->text.len)
        buf_add(&w->out, w->text.ptr + w->copied, w->text.len - w->copied);
    return true;
}

/* jansson's own texts quote what they stumbled over, which may be a customer's message. */
static const char *problem_text(const json_error_t *problem)
{
    switch (json_error_code(problem)) {
    case json_error_premature_end_of_input:
        return "the text ends too early";
    case json_error_end_of_input_expected:
        return "something follows the document";
    case json_error_invalid_utf8:
        return "invalid UTF-8";
    default:
        return "invalid syntax";
    }
}

static const struct bytes byte_order_mark = BYTES_LITERAL("\xef\xbb\xbf");

err_t json_parse(struct bytes text, json_t **ret_json, struct error *reterr)
{
    if (text.len > SIZE_MAX / 8)
        return fail(reterr, ERR_TOO_BIG, "the document is too big");
    if (bytes_start_with(text, byte_order_mark)) { /* RFC 8259, 8.1: a parser may overlook it */
        text.ptr += byte_order_mark.len;
        text.len -= byte_order_mark.len;
    }
    struct buf clean CLEANUP(buf_done);
    buf_init(&clean, text.len * 3 + 1); /* each bad byte becomes three */
    if (!text_is_utf8(text)) {
        text_add_clean(text, &clean);
        text = buf_bytes(&clean);
    }
    json_t *plain = json_parse_plain(text, MAX_DEPTH);
    if (plain) {
        *ret_json = plain;
        return ERR_NONE;
    }
    struct rewriter w = { .text = text };
    buf_init(&w.out, text.len * 3 + 16); /* "1e999" grows by two quotes; 64 or more digits each time otherwise */
    json_t *json = NULL;
    err_t result = ERR_NONE;
    if (!rewrite(&w)) {
        result = fail(reterr, ERR_INVALID, "not JSON that can be stored: more than %d levels", MAX_DEPTH);
    } else {
        json_error_t problem;
        struct bytes parsed = w.changed ? buf_bytes(&w.out) : text;
        json = json_loadb(parsed.ptr ? parsed.ptr : "", parsed.len, JSON_DECODE_ANY, &problem);
        if (!json)
            result = fail(reterr, ERR_INVALID, "not JSON: %s in line %d, column %d", problem_text(&problem),
                          problem.line, problem.column);
    }
    buf_done(&w.out);
    if (result == ERR_NONE)
        *ret_json = json;
    return result;
}

static void wipe_texts(json_t *value)
{
    const char *key;
    json_t *member;
    size_t index;
    if (json_is_string(value))
        explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_array_foreach (value, index, member) {
        wipe_texts(member);
    }
    json_object_foreach (value, key, member) {
        wipe_texts(member);
    }
}

void json_wipe(json_t *json)
{
    wipe_texts(json);
    json_decref(json);
}

void json_free(json_t **json)
{
    if (json) {
        json_decref(*json);
        *json = NULL;
    }
}

json_t *json_copy_containers(const json_t *json)
{
    json_t *value = (json_t *)(uintptr_t)json;
    if (json_is_object(value)) {
        json_t *copy = json_object();
        for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at))
            json_put_literal(copy, json_object_iter_key(at), json_object_iter_key_len(at),
                             json_copy_containers(json_object_iter_value(at)));
        return copy;
    }
    if (json_is_array(value)) {
        json_t *copy = json_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            json_array_append_new(copy, json_copy_containers(json_array_get(value, i)));
        return copy;
    }
    return json_incref(value);
}

json_t *json_at(const json_t *json, const char *path)
{
    struct bytes rest = bytes_of(path);
    while (json && rest.len > 0) {
        struct bytes key = text_next_field(&rest, '.');
        uint64_t index;
        if (json_is_array(json))
            json = text_to_u64(key, &index) ? json_array_get(json, index) : NULL;
        else
            json = json_object_getn(json, key.ptr, key.len);
    }
    return (json_t *)(uintptr_t)json;
}

bool json_list_has(const json_t *list, const char *text)
{
    size_t index;
    json_t *entry;
    json_array_foreach (list, index, entry) {
        const char *value = json_string_value(entry);
        if (value && strcmp(value, text) == 0)
            return true;
    }
    return false;
}

int64_t json_int_of(const json_t *value, int64_t fallback)
{
    int64_t number;
    if (json_is_integer(value))
        return json_integer_value(value);
    if (json_is_string(value) &&
        text_to_i64((struct bytes){ json_string_value(value), json_string_length(value) }, &number))
        return number;
    /* Some senders print whole numbers as 12.0 or 1.2e3. The bounds are the doubles that int64_t can hold. */
    if (json_is_real(value) && json_real_value(value) >= -0x1p63 && json_real_value(value) < 0x1p63 &&
        json_real_value(value) == floor(json_real_value(value)))
        return (int64_t)json_real_value(value);
    return fallback;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static void add_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"':
        buf_add_text(out, "\\\"");
        break;
    case '\\':
        buf_add_text(out, "\\\\");
        break;
    case '\n':
        buf_add_text(out, "\\n");
        break;
    case '\r':
        buf_add_text(out, "\\r");
        break;
    case '\t':
        buf_add_text(out, "\\t");
        break;
    case '\0':
        buf_add_text(out, "\xef\xbf\xbd"); /* jsonb has no place for it */
        break;
    default:
        buf_addf(out, "\\u%04x", c);
    }
}

static void add_string(struct buf *out, struct bytes text)
{
    size_t plain = json_plain_length(text);
    if (plain == text.len) {
        char *to = buf_extend(out, plain + 2);
        if (to) {
            to[0] = '"';
            memcpy(to + 1, text.ptr ? text.ptr : "", plain);
            to[plain + 1] = '"';
        }
        return;
    }
    buf_add_char(out, '"');
    for (;; plain = json_plain_length(text)) {
        buf_add(out, text.ptr, plain);
        if (plain == text.len)
            break;
        add_escape(out, (unsigned char)text.ptr[plain]);
        text.ptr += plain + 1;
        text.len -= plain + 1;
    }
    buf_add_char(out, '"');
}

/* The shortest form that reads back as the same number: 0.1 stays 0.1. */
static void add_real(struct buf *out, double value)
{
    char text[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_add_text(out, text);
    if (!strpbrk(text, ".e"))
        buf_add_text(out, ".0"); /* it stays a real for who reads it */
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names)
        if (strcmp(name, *names++) == 0)
            return true;
    return false;
}

static void add_value(struct buf *out, const json_t *json, unsigned depth);

static void add_object(struct buf *out, const json_t *object, const char *const *without, unsigned depth)
{
    const char *key;
    size_t key_length;
    json_t *value;
    bool later = false;
    buf_add_char(out, '{');
    json_object_keylen_foreach ((json_t *)(uintptr_t)object, key, key_length, value) {
        if (without && is_among(key, without))
            continue;
        if (later)
            buf_add_char(out, ',');
        later = true;
        add_string(out, (struct bytes){ key, key_length });
        buf_add_char(out, ':');
        add_value(out, value, depth + 1);
    }
    buf_add_char(out, '}');
}

static void add_value(struct buf *out, const json_t *json, unsigned depth)
{
    /* Only a document that we built ourselves can be so deep: it contains itself. */
    assert(depth < 1000);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        add_object(out, json, NULL, depth);
        break;
    case JSON_ARRAY: {
        size_t count = json_array_size(json);
        buf_add_char(out, '[');
        for (size_t i = 0; i < count; i++) {
            if (i > 0)
                buf_add_char(out, ',');
            add_value(out, json_array_get(json, i), depth + 1);
        }
        buf_add_char(out, ']');
        break;
    }
    case JSON_STRING:
        add_string(out, (struct bytes){ json_string_value(json), json_string_length(json) });
        break;
    case JSON_INTEGER:
        buf_addf(out, "%lld", (long long)json_integer_value(json));
        break;
    case JSON_REAL:
        add_real(out, json_real_value(json));
        break;
    case JSON_TRUE:
        buf_add_text(out, "true");
        break;
    case JSON_FALSE:
        buf_add_text(out, "false");
        break;
    case JSON_NULL:
        buf_add_text(out, "null");
        break;
    }
}

void json_add(struct buf *out, const json_t *json)
{
    if (json)
        add_value(out, json, 0);
    else
        buf_add_text(out, "null");
}

void json_add_text(struct buf *out, struct bytes text)
{
    if (text_is_utf8(text)) {
        add_string(out, text);
        return;
    }
    struct buf cleaned CLEANUP(buf_done);
    buf_init(&cleaned, text.len * 3);
    text_add_clean(text, &cleaned);
    add_string(out, buf_bytes(&cleaned));
}

void json_add_without(struct buf *out, const json_t *object, const char *const *names)
{
    add_object(out, object, names, 0);
}

char *json_dump(const json_t *json)
{
    struct buf out;
    buf_init(&out, SIZE_MAX);
    json_add(&out, json);
    return buf_take(&out);
}

void json_put_literal(json_t *object, const char *key, size_t length, json_t *value)
{
    if (!value)
        return;
    int failure = json_object_setn_new_nocheck(object, key, length, value);
    assert(failure == 0); /* else there is no memory, or `object` is no object */
    (void)failure;
}

void json_put_checked(json_t *object, const char *key, json_t *value)
{
    if (value && text_is_utf8(bytes_of(key)))
        json_put_literal(object, key, strlen(key), value);
    else
        json_decref(value);
}

json_t *json_text(struct bytes text)
{
    if (!text.ptr)
        return NULL;
    json_t *value;
    if (text_is_utf8(text) && !memchr(text.ptr, '\0', text.len)) {
        value = json_stringn_nocheck(text.ptr, text.len);
    } else {
        struct buf cleaned CLEANUP(buf_done);
        buf_init(&cleaned, text.len * 3);
        text_add_clean(text, &cleaned);
        value = json_stringn_nocheck(cleaned.ptr, cleaned.len);
    }
    assert(value);
    return value;
}

json_t *json_iso_time(msec_t at)
{
    if (at == 0)
        return NULL;
    char text[CLOCK_ISO_BYTES];
    clock_iso(at, text);
    return json_stringn_nocheck(text, CLOCK_ISO_BYTES - 1);
}
