#include "store/held_store.h"

#include "base/macros.h"
#include "store/query.h"

#define CHOSEN                                                                                                         \
    "SELECT h.delivery_id FROM held_delivery AS h WHERE ($1::text IS NULL OR h.rule = $1)"                             \
    " AND (cardinality($2::bigint[]) = 0 OR h.delivery_id = ANY ($2::bigint[]))"
#define AT_ONCE 2000

err_t held_store_list(struct pg *pg, const struct held_choice *choice, size_t limit, json_t **ret_rows,
                      struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(l ORDER BY l.position), '[]')::text FROM (SELECT v.* FROM held_list AS v"
        " WHERE v.delivery_id IN (" CHOSEN ") ORDER BY v.position LIMIT $3::bigint) AS l";
    const struct pg_value values[] = { PG_VALUE_TEXT(choice->rule), PG_VALUE_INT8S(choice->ids, choice->count),
                                       PG_VALUE_INT8((int64_t)limit) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_rows, reterr);
}

err_t held_store_summary(struct pg *pg, json_t **ret_rows, struct error *reterr)
{
    static const char sql[] = "SELECT coalesce(json_agg(s ORDER BY s.rule, s.budget), '[]')::text FROM (SELECT h.rule, "
                              "h.budget, max(h.reason) AS reason,"
                              " count(*) AS held, min(h.held_at) AS since FROM held_delivery AS h GROUP BY 1, 2) AS s";
    return query_json(pg, sql, NULL, 0, ret_rows, reterr);
}

/* Until a round finds nothing more; each round is a transaction. */
static err_t in_rounds(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, int64_t *ret_count,
                       struct error *reterr)
{
    int64_t total = 0;
    for (;;) {
        struct pg_result *result CLEANUP(pg_result_free) = NULL;
        err_t err = query_row(pg, sql, values, count, &result, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        int64_t done = pg_int8(result, 0, 0);
        total += done;
        if (done < AT_ONCE) {
            *ret_count = total;
            return ERR_NONE;
        }
    }
}

err_t held_store_release(struct pg *pg, const struct held_choice *choice, int64_t *ret_count, struct error *reterr)
{
    static const char sql[] = "SELECT release_held(ARRAY(" CHOSEN " ORDER BY h.position LIMIT $3::bigint))";
    const struct pg_value values[] = { PG_VALUE_TEXT(choice->rule), PG_VALUE_INT8S(choice->ids, choice->count),
                                       PG_VALUE_INT8(AT_ONCE) };
    return in_rounds(pg, sql, values, ARRAY_LEN(values), ret_count, reterr);
}

err_t held_store_drop(struct pg *pg, const struct held_choice *choice, const char *why, int64_t *ret_count,
                      struct error *reterr)
{
    static const char sql[] = "SELECT drop_held(ARRAY(" CHOSEN " ORDER BY h.position LIMIT $3::bigint), $4)";
    const struct pg_value values[] = { PG_VALUE_TEXT(choice->rule), PG_VALUE_INT8S(choice->ids, choice->count),
                                       PG_VALUE_INT8(AT_ONCE), PG_VALUE_TEXT(why) };
    return in_rounds(pg, sql, values, ARRAY_LEN(values), ret_count, reterr);
}
