#include "store/token_store.h"

#include "store/query.h"
#include "store/store.h"

#include <inttypes.h>

err_t token_store_add(struct pg *pg, const char *name, struct bytes digest, const struct bytes *scopes,
                      size_t scope_count, int64_t *ret_id, struct error *reterr)
{
    static const char sql[] = "INSERT INTO api_token (id, name, digest, scopes) VALUES ($1, $2, $3, $4)";
    int64_t id;
    err_t err = store_reserve_ids(pg, 1, &id, reterr);
    if (err)
        return err;
    const struct pg_value values[] = { PG_VALUE_INT8(id), PG_VALUE_TEXT(name), PG_VALUE_BYTEA(digest),
                                       PG_VALUE_TEXTS(scopes, scope_count) };
    err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    if (err)
        return err;
    *ret_id = id;
    return ERR_NONE;
}

err_t token_store_list(struct pg *pg, json_t **ret_tokens, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(json_build_object('id', id, 'name', name, 'scopes', scopes, 'created_at', created_at,"
        " 'last_used_at', last_used_at, 'revoked_at', revoked_at) ORDER BY created_at, id), '[]')::text FROM api_token";
    return query_json(pg, sql, NULL, 0, ret_tokens, reterr);
}

err_t token_store_revoke(struct pg *pg, int64_t id, struct error *reterr)
{
    static const char sql[] = "UPDATE api_token SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
    const struct pg_value values[] = { PG_VALUE_INT8(id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err)
        return err;
    if (pg_affected(result) == 0)
        return fail(reterr, ERR_NOT_FOUND, "no token %" PRId64 " is in force", id);
    return ERR_NONE;
}
