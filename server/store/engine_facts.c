/* What rules may read beyond the facts of their event, over the connection that holds the claim. */
#include "store/store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/text.h"
#include "store/query.h"

err_t engine_store_history(struct pg *pg, int64_t conversation_id, size_t limit, json_t **ret_messages,
                           struct error *reterr)
{
    static const char sql[] = "SELECT coalesce(json_agg(m ORDER BY m.created_at, m.id), '[]') FROM ("
                              "  SELECT * FROM message WHERE conversation_id = $1::bigint ORDER BY created_at DESC, id "
                              "DESC LIMIT $2::bigint) AS m";
    const struct pg_value values[] = { PG_VALUE_INT8(conversation_id), PG_VALUE_INT8((int64_t)limit) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_messages, reterr);
}

err_t engine_store_conversations(struct pg *pg, int64_t contact_id, size_t limit, json_t **ret_conversations,
                                 struct error *reterr)
{
    static const char sql[] = "SELECT coalesce(json_agg(c ORDER BY c.updated_at DESC, c.id DESC), '[]') FROM ("
                              "  SELECT * FROM conversation WHERE contact_id = $1::bigint ORDER BY updated_at DESC, id "
                              "DESC LIMIT $2::bigint) AS c";
    const struct pg_value values[] = { PG_VALUE_INT8(contact_id), PG_VALUE_INT8((int64_t)limit) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_conversations, reterr);
}

err_t engine_store_raw(struct pg *pg, int64_t event_id, struct buf *ret_body, struct error *reterr)
{
    /* An event and its webhook were stored in one statement: they carry the same time. */
    static const char sql[] =
        "SELECT encode(w.body, 'hex') FROM event AS e"
        " JOIN webhook AS w ON w.id = e.webhook_id AND w.received_at = e.received_at WHERE e.id = $1::bigint";
    const struct pg_value values[] = { PG_VALUE_INT8(event_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0) {
        return fail(reterr, ERR_NOT_FOUND, "the event did not come with a webhook, or it is no longer kept");
    }
    return text_decode_hex(pg_text(result, 0, 0), ret_body) ? ERR_NONE
                                                            : fail(reterr, ERR_INTERNAL, "the body cannot be decoded");
}
