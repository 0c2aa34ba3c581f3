#include "store/row_objects.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define TIME_BYTES 48

json_t *row_time(struct bytes text)
{
    char iso[TIME_BYTES];
    /* "infinity" stays as it is. */
    if (text.len < sizeof("2026-01-02 03:04:05+00") - 1 || text.len + sizeof(":00") > sizeof(iso)) {
        return json_text(text);
    }
    bool has_minutes = text.ptr[text.len - 3] == ':';
    int length = snprintf(iso, sizeof(iso), "%.*s%s", (int)text.len, text.ptr, has_minutes ? "" : ":00");
    char *space = memchr(iso, ' ', (size_t)length);
    if (space != NULL) {
        *space = 'T';
    }
    return json_text((struct bytes){ iso, (size_t)length });
}

/* The next element of an array's text, from `*at` on, which is left after the comma or brace behind it. New reference,
 * or NULL when the text ends. */
static json_t *next_element(struct bytes text, size_t *at, struct buf *element)
{
    buf_clear(element);
    bool quoted = *at < text.len && text.ptr[*at] == '"';
    bool open = quoted;
    for (size_t i = *at + (quoted ? 1 : 0); i < text.len; i++) {
        char c = text.ptr[i];
        if (open && c == '"') {
            open = false;
        } else if (!open && (c == ',' || c == '}')) {
            *at = i + 1;
            struct bytes found = buf_bytes(element);
            return !quoted && bytes_equal(found, BYTES_LITERAL("NULL")) ? json_null() : json_text(found);
        } else {
            i += c == '\\' && i + 1 < text.len ? 1 : 0;
            buf_add(element, text.ptr + i, 1);
        }
    }
    return NULL;
}

/* An array of texts with one dimension: {a,"b \"c\"",NULL}, or [0:2]={…} when it does not begin with 1. */
static err_t read_texts(struct bytes text, json_t **ret_texts, struct error *reterr)
{
    json_t *texts = json_array();
    if (bytes_equal(text, BYTES_LITERAL("{}"))) {
        *ret_texts = texts;
        return ERR_NONE;
    }
    struct buf element CLEANUP(buf_done);
    buf_init(&element, SIZE_MAX);
    const char *brace = memchr(text.ptr, '{', text.len);
    size_t at = brace != NULL ? (size_t)(brace - text.ptr) + 1 : 0;
    while (at < text.len) {
        json_t *value = next_element(text, &at, &element);
        if (value == NULL) {
            json_decref(texts);
            return fail(reterr, ERR_INVALID, "an array of texts has no end");
        }
        json_array_append_new(texts, value);
    }
    *ret_texts = texts;
    return ERR_NONE;
}

static err_t read_cell(struct bytes text, enum pg_column kind, json_t **ret_value, struct error *reterr)
{
    switch (kind) {
    case PG_COLUMN_INTEGER: {
        int64_t number = 0;
        *ret_value = text_to_i64(text, &number) ? json_integer(number) : json_text(text);
        return ERR_NONE;
    }
    case PG_COLUMN_BOOL:
        *ret_value = json_boolean(bytes_equal(text, BYTES_LITERAL("t")));
        return ERR_NONE;
    case PG_COLUMN_TIME:
        *ret_value = row_time(text);
        return ERR_NONE;
    case PG_COLUMN_JSON:
        return json_parse(text, ret_value, reterr);
    case PG_COLUMN_TEXTS:
        return read_texts(text, ret_value, reterr);
    case PG_COLUMN_TEXT:
        break;
    }
    *ret_value = json_text(text);
    return ERR_NONE;
}

static err_t read_row(const struct pg_result *rows, size_t row, const char *const *names, const enum pg_column *kinds,
                      size_t columns, json_t *object, struct error *reterr)
{
    for (size_t i = 0; i < columns; i++) {
        json_t *value = json_null();
        if (!pg_is_null(rows, row, i)) {
            err_t err = read_cell(pg_text(rows, row, i), kinds[i], &value, reterr);
            if (err != ERR_NONE) {
                return err;
            }
        }
        json_put(object, names[i], value);
    }
    return ERR_NONE;
}

err_t row_objects(const struct pg_result *rows, json_t **ret_objects, struct error *reterr)
{
    size_t columns = pg_columns(rows);
    const char **names = memory_new((columns + 1) * sizeof(*names));
    enum pg_column *kinds = memory_new((columns + 1) * sizeof(*kinds));
    for (size_t i = 0; i < columns; i++) {
        names[i] = pg_column_name(rows, i);
        kinds[i] = pg_column_kind(rows, i);
    }
    json_t *objects = json_array();
    err_t err = ERR_NONE;
    for (size_t row = 0; err == ERR_NONE && row < pg_rows(rows); row++) {
        json_t *object = json_object();
        json_array_append_new(objects, object);
        err = read_row(rows, row, names, kinds, columns, object, reterr);
    }
    free(names);
    free(kinds);
    if (err != ERR_NONE) {
        json_decref(objects);
        return err;
    }
    *ret_objects = objects;
    return ERR_NONE;
}
