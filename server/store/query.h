/* Inside store/ only: the shapes that most of its statements have. */
#ifndef STORE_QUERY_H
#define STORE_QUERY_H

#include "io/json.h"
#include "io/pg.h"

/* A result whose first row is there, or ERR_INTERNAL: for statements that always give one. */
err_t query_row(struct pg *pg, const char *sql, const struct pg_value *values, size_t count,
                struct pg_result **ret_result, struct error *reterr) MUST_CHECK;

/* The JSON document in a cell; an empty array when it is NULL. */
err_t query_json_cell(const struct pg_result *result, size_t row, size_t column, json_t **ret_json,
                      struct error *reterr) MUST_CHECK;

/* The JSON document in the only cell of the only row. */
err_t query_json(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, json_t **ret_json,
                 struct error *reterr) MUST_CHECK;

/* A statement without result. */
err_t query_run(struct pg *pg, const char *sql, const struct pg_value *values, size_t count,
                struct error *reterr) MUST_CHECK;

/* "1500 milliseconds", for parameters that are intervals. */
#define QUERY_INTERVAL_BYTES 40
const char *query_interval(msec_t duration, char text[QUERY_INTERVAL_BYTES]);

#endif
