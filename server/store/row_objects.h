/* Inside store/ only: rows as JSON objects whose keys are the columns, the form in which facts go to the rules. */
#ifndef STORE_ROW_OBJECTS_H
#define STORE_ROW_OBJECTS_H

#include "io/json.h"
#include "io/pg.h"

/* An array with an object for each row, as json_agg() makes it: times in ISO 8601, arrays of texts as arrays, jsonb as
 * what it holds, NULL as null. ERR_INVALID when a document or an array cannot be read. New reference in `*ret_objects`.
 */
err_t row_objects(const struct pg_result *rows, json_t **ret_objects, struct error *reterr) MUST_CHECK;

/* A time as JSON has it: "2026-01-02T03:04:05.678+00:00". `text` is what the server shows of one. New reference. */
json_t *row_time(struct bytes text);

#endif
