#include "store/query.h"

#include <inttypes.h>
#include <stdio.h>

err_t query_row(struct pg *pg, const char *sql, const struct pg_value *values, size_t count,
                struct pg_result **ret_result, struct error *reterr)
{
    struct pg_result *result = NULL;
    err_t err = pg_run(pg, sql, values, count, &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0) {
        pg_result_free(&result);
        return fail(reterr, ERR_INTERNAL, "a statement gave no row");
    }
    *ret_result = result;
    return ERR_NONE;
}

err_t query_json_cell(const struct pg_result *result, size_t row, size_t column, json_t **ret_json,
                      struct error *reterr)
{
    if (pg_is_null(result, row, column)) {
        *ret_json = json_array();
        return ERR_NONE;
    }
    return json_parse(pg_text(result, row, column), ret_json, reterr);
}

err_t query_json(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, json_t **ret_json,
                 struct error *reterr)
{
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, count, &result, reterr);
    return err != ERR_NONE ? err : query_json_cell(result, 0, 0, ret_json, reterr);
}

err_t query_run(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, struct error *reterr)
{
    return pg_run(pg, sql, values, count, NULL, reterr);
}

const char *query_interval(msec_t duration, char text[QUERY_INTERVAL_BYTES])
{
    snprintf(text, QUERY_INTERVAL_BYTES, "%" PRId64 " milliseconds", duration);
    return text;
}
