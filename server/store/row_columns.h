/* Inside store/ only: JSON rows as columns, which PostgreSQL takes apart at a fraction of what a document costs it. */
#ifndef STORE_ROW_COLUMNS_H
#define STORE_ROW_COLUMNS_H

#include "io/json.h"
#include "io/pg.h"

struct row_columns {
    struct pg_value *values; /* for each column an array of texts, one for each row: NULL where a row has none or null;
                                the whole array is NULL where no row has one */
    size_t count;            /* of columns */
    struct bytes *cells;
    char *numbers;
    char **dumps; /* of values that are objects, arrays or booleans: as JSON */
    size_t dump_count;
};

/* The columns `names` of `rows`, an array of objects (NULL: none). The result refers to the texts in `rows`. */
void row_columns_init(struct row_columns *columns, const json_t *rows, const char *const *names, size_t count);
void row_columns_done(struct row_columns *columns);

#endif
