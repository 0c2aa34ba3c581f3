#include "store/row_columns.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define NUMBER_BYTES 24

static struct bytes keep_dump(struct row_columns *columns, const json_t *value)
{
    char *text = json_dump(value);
    columns->dumps = memory_resize(columns->dumps, (columns->dump_count + 1) * sizeof(*columns->dumps));
    columns->dumps[columns->dump_count++] = text;
    return bytes_of(text);
}

static struct bytes cell_of(struct row_columns *columns, const json_t *value, size_t place)
{
    if (json_is_string(value))
        return (struct bytes){ json_string_value(value), json_string_length(value) };
    if (json_is_integer(value)) {
        char *number = columns->numbers + place * NUMBER_BYTES;
        int length = snprintf(number, NUMBER_BYTES, "%lld", (long long)json_integer_value(value));
        return (struct bytes){ number, (size_t)length };
    }
    return value == NULL || json_is_null(value) ? (struct bytes){ NULL, 0 } : keep_dump(columns, value);
}

void row_columns_init(struct row_columns *columns, const json_t *rows, const char *const *names, size_t count)
{
    size_t row_count = json_array_size(rows);
    *columns = (struct row_columns){
        .values = memory_new((count + 1) * sizeof(*columns->values)),
        .count = count,
        .cells = memory_block((row_count * count + 1) * sizeof(*columns->cells)),
        .numbers = memory_block(row_count * count * NUMBER_BYTES + 1),
    };
    for (size_t i = 0; i < count; i++) {
        struct bytes *cells = columns->cells + i * row_count;
        bool any = false;
        size_t row;
        const json_t *object;
        json_array_foreach (rows, row, object) {
            cells[row] = cell_of(columns, json_object_get(object, names[i]), i * row_count + row);
            any = any || cells[row].ptr != NULL;
        }
        columns->values[i] = PG_VALUE_TEXTS(cells, row_count);
        columns->values[i].is_null = !any;
    }
}

void row_columns_done(struct row_columns *columns)
{
    for (size_t i = 0; i < columns->dump_count; i++)
        free(columns->dumps[i]);
    free(columns->dumps);
    free(columns->values);
    free(columns->cells);
    free(columns->numbers);
    *columns = (struct row_columns){ 0 };
}
