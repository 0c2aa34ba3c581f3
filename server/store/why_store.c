#include "store/why_store.h"

#include "base/text.h"
#include "store/query.h"

err_t why_store_find(struct pg *pg, const char *id_or_key, int64_t *ret_event_id, struct error *reterr)
{
    /* The newest row wins in both cases; a number may be a provider's key, too (Telegram's update ids). */
    static const char by_id[] = "SELECT id FROM event WHERE id = $1::bigint LIMIT 1";
    static const char by_key[] = "SELECT id FROM event WHERE key = $1 ORDER BY received_at DESC LIMIT 1";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    int64_t id = 0;
    err_t err = ERR_NONE;
    if (text_to_i64(bytes_of(id_or_key), &id)) {
        const struct pg_value values[] = { PG_VALUE_INT8(id) };
        err = pg_run(pg, by_id, values, ARRAY_LEN(values), &result, reterr);
    }
    if (err == ERR_NONE && (!result || pg_rows(result) == 0)) {
        const struct pg_value values[] = { PG_VALUE_TEXT(id_or_key) };
        pg_result_free(&result);
        err = pg_run(pg, by_key, values, ARRAY_LEN(values), &result, reterr);
    }
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0) {
        return fail(reterr, ERR_NOT_FOUND,
                    "there is no event with the id or key '%s'\n"
                    "HINT: SELECT id, type, key FROM event_log ORDER BY received_at DESC LIMIT 20",
                    id_or_key);
    }
    *ret_event_id = pg_int8(result, 0, 0);
    return ERR_NONE;
}

err_t why_store_tell(struct pg *pg, int64_t event_id, json_t **ret_rows, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(json_strip_nulls(to_json(w)) ORDER BY w.step), '[]') FROM why($1::bigint) AS w";
    const struct pg_value values[] = { PG_VALUE_INT8(event_id) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_rows, reterr);
}
