#include "store/store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "store/query.h"

/* Statements that meet another sender or the engine over the same rows; PostgreSQL ends one of them, and it does its
 * work on the second try. */
#define CONFLICT_TRIES 3

static err_t run_again(struct pg *pg, const char *sql, const struct pg_value *values, size_t count,
                       struct pg_result **ret_result, struct error *reterr)
{
    err_t err = ERR_CONFLICT;
    for (int i = 0; i < CONFLICT_TRIES && err == ERR_CONFLICT; i++) {
        err = query_row(pg, sql, values, count, ret_result, reterr);
    }
    return err;
}

err_t deliver_store_start_sender(struct pg *pg, int64_t *sender, struct error *reterr)
{
    static const char sql[] = "SELECT deliver_start_sender(nullif($1::integer, 0))";
    const struct pg_value values[] = { PG_VALUE_INT8(*sender) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *sender = pg_int8(result, 0, 0);
    }
    return err;
}

err_t deliver_store_claim(struct pg *pg, int64_t sender, size_t limit, msec_t lease_ms, const json_t *paces,
                          json_t **ret_deliveries, msec_t *ret_next_due, struct error *reterr)
{
    static const char sql[] =
        "SELECT deliveries, CASE WHEN isfinite(next_due) THEN ceil(extract(epoch FROM next_due) * 1000)::bigint END"
        " FROM deliver_claim($1::integer, $2::interval, $3::jsonb, nullif($4::integer, 0))";
    char lease[QUERY_INTERVAL_BYTES];
    char *paces_text = paces != NULL ? json_dump(paces) : NULL;
    const struct pg_value values[] = {
        PG_VALUE_INT8((int64_t)limit),
        PG_VALUE_TEXT(query_interval(lease_ms, lease)),
        PG_VALUE_TEXT(paces_text != NULL ? paces_text : "{}"),
        PG_VALUE_INT8(sender),
    };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = run_again(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    free(paces_text);
    json_t *deliveries = NULL;
    if (err == ERR_NONE) {
        err = query_json_cell(result, 0, 0, &deliveries, reterr);
    }
    if (err == ERR_NONE) {
        *ret_next_due = pg_int8(result, 0, 1);
        *ret_deliveries = deliveries;
    }
    return err;
}

err_t deliver_store_record(struct pg *pg, const json_t *outcomes, struct error *reterr)
{
    static const char sql[] = "SELECT deliver_record($1::jsonb)";
    char *text = json_dump(outcomes);
    const struct pg_value values[] = { PG_VALUE_TEXT(text) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = run_again(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    free(text);
    return err;
}

err_t deliver_store_settle(struct pg *pg, int64_t sender, msec_t settle_ms, int64_t *ret_settled, struct error *reterr)
{
    static const char sql[] = "SELECT deliver_settle($1::interval, nullif($2::integer, 0))";
    char settle[QUERY_INTERVAL_BYTES];
    const struct pg_value values[] = { PG_VALUE_TEXT(query_interval(settle_ms, settle)), PG_VALUE_INT8(sender) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = run_again(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_settled = pg_int8(result, 0, 0);
    }
    return err;
}

err_t deliver_store_settle_each(struct pg *pg, int64_t sender, msec_t settle_ms, int64_t *ret_settled,
                                json_t **ret_refused, struct error *reterr)
{
    static const char sql[] = "SELECT settled, refused FROM deliver_settle_each($1::interval, nullif($2::integer, 0))";
    char settle[QUERY_INTERVAL_BYTES];
    const struct pg_value values[] = { PG_VALUE_TEXT(query_interval(settle_ms, settle)), PG_VALUE_INT8(sender) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = run_again(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    json_t *refused = NULL;
    if (err == ERR_NONE) {
        err = query_json_cell(result, 0, 1, &refused, reterr);
    }
    if (err == ERR_NONE) {
        *ret_settled = pg_int8(result, 0, 0);
        *ret_refused = refused;
    }
    return err;
}

err_t deliver_store_let_failed_go(struct pg *pg, const char *target, size_t most, size_t *ret_count,
                                  struct error *reterr)
{
    static const char sql[] = "SELECT let_failed_go($1, $2::integer)";
    const struct pg_value values[] = { PG_VALUE_TEXT(target), PG_VALUE_INT8((int64_t)most) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = run_again(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_count = (size_t)pg_int8(result, 0, 0);
    }
    return err;
}
