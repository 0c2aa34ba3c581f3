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
                    "HINT: SELECT event_id, type, key FROM event_log ORDER BY event_id DESC LIMIT 20",
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

err_t why_store_find_contact(struct pg *pg, const char *id_or_handle, int64_t *ret_contact_id, struct error *reterr)
{
    /* A handle may be written without its kind, and a number as people write it. Ids and handles of digits do not meet:
     * a person's number comes first. */
    static const char sql[] =
        "WITH said AS (SELECT $1 AS text, lower(btrim($1)) AS low, regexp_replace($1, '[^0-9]', '', 'g') AS digits)"
        ", found AS (SELECT 1 AS rank, c.id FROM contact AS c, said WHERE c.id::text = said.text"
        " UNION ALL SELECT 2, i.contact_id FROM identity AS i, said WHERE i.identity = said.text"
        " UNION ALL SELECT 3, i.contact_id FROM identity AS i, said"
        "  WHERE i.identity IN (said.low, 'email:' || said.low, 'telegram:' || said.low, 'stripe:' || said.text)"
        "     OR said.digits <> '' AND said.text !~ '[a-z]'"
        "        AND i.identity IN ('whatsapp:' || said.digits, 'phone:' || said.digits))"
        " SELECT DISTINCT coalesce(c.merged_into, c.id) FROM found JOIN contact AS c USING (id)"
        "  WHERE rank = (SELECT min(rank) FROM found)";
    const struct pg_value values[] = { PG_VALUE_TEXT(id_or_handle) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0) {
        return fail(reterr, ERR_NOT_FOUND,
                    "nobody is known as '%s'\n"
                    "HINT: SELECT contact_id, name, identities FROM contact_list WHERE name ILIKE '%%ada%%'",
                    id_or_handle);
    }
    if (pg_rows(result) > 1) {
        return fail(reterr, ERR_CONFLICT,
                    "more than one person is known as '%s'\n"
                    "HINT: name the handle with its kind, as in whatsapp:15550100, or give the contact's number",
                    id_or_handle);
    }
    *ret_contact_id = pg_int8(result, 0, 0);
    return ERR_NONE;
}

err_t why_store_tell_nothing(struct pg *pg, int64_t contact_id, msec_t for_the_last, json_t **ret_rows,
                             struct error *reterr)
{
    static const char sql[] = "SELECT coalesce(json_agg(json_strip_nulls(to_json(w)) ORDER BY w.step), '[]')"
                              "  FROM why_nothing($1::bigint, $2::bigint * interval '1 millisecond') AS w";
    const struct pg_value values[] = { PG_VALUE_INT8(contact_id), PG_VALUE_INT8(for_the_last) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_rows, reterr);
}
