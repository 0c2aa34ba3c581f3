#include "store/store.h"

#include <unistd.h>

#include "base/macros.h"
#include "store/query.h"

#define MAX_CRASHES 5

/* --- the transaction of a batch ----------------------------------------------------------------------------------- */

void engine_store_rollback(struct pg *pg)
{
    if (!pg_is_broken(pg)) {
        err_t ignored = pg_script(pg, "ROLLBACK", NULL);
        (void)ignored; /* a connection that fails here is broken, which the next statement reports */
    }
}

err_t engine_store_stay(struct pg *pg, struct error *reterr)
{
    return pg_script(pg, "SELECT 1", reterr);
}

err_t engine_store_fail(struct pg *pg, int64_t position, const char *problem, unsigned max_attempts,
                        msec_t retry_after_ms, bool *ret_parked, struct error *reterr)
{
    static const char sql[] = "SELECT engine_fail($1::bigint, $2, $3::integer, $4::interval)";
    char retry_after[QUERY_INTERVAL_BYTES];
    const struct pg_value values[] = {
        PG_VALUE_INT8(position),
        PG_VALUE_TEXT(problem),
        PG_VALUE_INT8(max_attempts),
        PG_VALUE_TEXT(query_interval(retry_after_ms, retry_after)),
    };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_parked = pg_bool(result, 0, 0);
    }
    return err;
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

err_t engine_store_fire_timers(struct pg *pg, size_t limit, int64_t *ret_fired, msec_t *ret_next_due,
                               struct error *reterr)
{
    static const char sql[] =
        "SELECT fired, (extract(epoch FROM next_due) * 1000)::bigint FROM fire_timers($1::integer)";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)limit) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_fired = pg_int8(result, 0, 0);
        *ret_next_due = pg_int8(result, 0, 1);
    }
    return err;
}

/* --- workers ----------------------------------------------------------------------------------------------------- */

err_t engine_store_start_worker(struct pg *pg, int64_t worker_id, struct error *reterr)
{
    static const char sql[] = "SELECT engine_start_worker($1::bigint, $2)";
    char node[256] = "";
    if (gethostname(node, sizeof(node) - 1) != 0) {
        node[0] = '\0';
    }
    const struct pg_value values[] = { PG_VALUE_INT8(worker_id), PG_VALUE_TEXT(node) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

err_t engine_store_stop_worker(struct pg *pg, int64_t worker_id, struct error *reterr)
{
    static const char sql[] = "SELECT engine_stop_worker($1::bigint)";
    const struct pg_value values[] = { PG_VALUE_INT8(worker_id) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

err_t engine_store_note_in_flight(struct pg *pg, int64_t worker_id, const int64_t *positions, size_t count,
                                  struct error *reterr)
{
    static const char sql[] = "SELECT engine_note_in_flight($1::bigint, $2::bigint[])";
    const struct pg_value values[] = { PG_VALUE_INT8(worker_id), PG_VALUE_INT8S(positions, count) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

err_t engine_store_blame_crashed(struct pg *pg, int64_t *ret_blamed, struct error *reterr)
{
    static const char sql[] = "SELECT engine_blame_crashed($1::integer)";
    const struct pg_value values[] = { PG_VALUE_INT8(MAX_CRASHES) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_blamed = pg_int8(result, 0, 0);
    }
    return err;
}
