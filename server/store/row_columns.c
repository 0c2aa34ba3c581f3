#include "store/row_columns.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define NUMBER_BYTES 24

/* What printf writes for %lld. It has to read its format for each of thousands of cells. */
static struct bytes digits_of(int64_t number, char space[NUMBER_BYTES])
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char *end = space + NUMBER_BYTES, *first = end;
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0)
        *--first = '-';
    return (struct bytes){ first, (size_t)(end - first) };
}

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
    if (json_is_integer(value))
        return digits_of(json_integer_value(value), columns->numbers + place * NUMBER_BYTES);
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
    size_t *lengths = memory_block((count + 1) * sizeof(*lengths));
    for (size_t i = 0; i < count; i++) {
        lengths[i] = strlen(names[i]);
        columns->values[i] = PG_VALUE_TEXTS(columns->cells + i * row_count, row_count);
        columns->values[i].is_null = true;
    }
    /* Row by row: each row is fetched from memory once, and not again for each column. */
    size_t row;
    const json_t *object;
    json_array_foreach (rows, row, object) {
        for (size_t i = 0; i < count; i++) {
            size_t place = i * row_count + row;
            const json_t *value = json_object_getn(object, names[i], lengths[i]);
            columns->cells[place] = cell_of(columns, value, place);
            columns->values[i].is_null = columns->values[i].is_null && columns->cells[place].ptr == NULL;
        }
    }
    free(lengths);
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
