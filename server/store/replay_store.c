#include "store/replay_store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "store/engine_claim.h"
#include "store/query.h"

/* A time as PostgreSQL reads it. */
static struct pg_value time_value(msec_t at, struct buf *space)
{
    buf_init(space, 64);
    clock_add_iso(space, at);
    return (struct pg_value)PG_VALUE_TEXT(space->ptr);
}

err_t replay_store_select(struct pg *pg, const struct replay_choice *choice, int64_t *ret_count, struct error *reterr)
{
    static const char sql[] = "SELECT replay_select($1::bigint[], $2::timestamptz, $3::timestamptz, $4, $5, $6)";
    struct buf from CLEANUP(buf_done), to CLEANUP(buf_done);
    struct pg_value values[] = {
        PG_VALUE_INT8S(choice->ids, choice->id_count),
        time_value(choice->since, &from),
        time_value(choice->until, &to),
        PG_VALUE_TEXT(choice->source),
        PG_VALUE_TEXT(choice->type),
        PG_VALUE_TEXT(choice->condition),
    };
    values[0].is_null = choice->ids == NULL;
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_count = pg_int8(result, 0, 0);
    }
    return err;
}

err_t replay_store_preview(struct pg *pg, json_t **ret_rows, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(g ORDER BY g.type, g.source, g.state), '[]') FROM ("
        "  SELECT type, source, state, count(*), min(received_at) AS first, max(received_at) AS last"
        "    FROM replay_selection GROUP BY type, source, state) AS g";
    return query_json(pg, sql, NULL, 0, ret_rows, reterr);
}

err_t replay_store_rules(struct pg *pg, json_t **ret_names, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(n.name ORDER BY n.name), '[]') FROM ("
        "  SELECT r->>'name' AS name FROM rule_pointer AS p JOIN rule_set AS s ON s.version = p.current_version"
        "   CROSS JOIN LATERAL jsonb_array_elements(coalesce(s.description->'rules', '[]')) AS r"
        "  UNION"
        "  SELECT t.rule FROM replay_selection AS c JOIN rule_trace AS t ON t.event_id = c.event_id"
        "   WHERE t.rule NOT LIKE 'answerd.%') AS n";
    return query_json(pg, sql, NULL, 0, ret_names, reterr);
}

static err_t add_replay(struct pg *pg, int64_t id, const json_t *selection, int64_t count, struct error *reterr)
{
    static const char sql[] = "INSERT INTO replay (id, selection, events) VALUES ($1::bigint, $2::jsonb, $3::bigint)";
    char *text = json_dump(selection);
    const struct pg_value values[] = { PG_VALUE_INT8(id), PG_VALUE_TEXT(text), PG_VALUE_INT8(count) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}

err_t replay_store_begin(struct pg *pg, const json_t *selection, int64_t count, int64_t *ret_id, struct error *reterr)
{
    int64_t id = 0;
    err_t err = store_reserve_ids(pg, 1, &id, reterr);
    if (err == ERR_NONE) {
        err = add_replay(pg, id, selection, count, reterr);
    }
    if (err == ERR_NONE) {
        *ret_id = id;
    }
    return err;
}

err_t replay_store_append(struct pg *pg, int64_t replay_id, int64_t first, int64_t last, int64_t *ret_added,
                          struct error *reterr)
{
    static const char sql[] = "SELECT replay_append($1::bigint, $2::bigint, $3::bigint)";
    const struct pg_value values[] = { PG_VALUE_INT8(replay_id), PG_VALUE_INT8(first), PG_VALUE_INT8(last) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_added = pg_int8(result, 0, 0);
    }
    return err;
}

err_t replay_store_try(struct pg *pg, const json_t *selection, int64_t first, int64_t last, struct claim *ret_claim,
                       struct error *reterr)
{
    struct claim claim = { .work = NULL };
    int64_t added = 0;
    err_t err = pg_script(pg, "BEGIN", reterr);
    if (err == ERR_NONE) {
        err = add_replay(pg, 0, selection, last - first + 1, reterr);
    }
    if (err == ERR_NONE) {
        err = replay_store_append(pg, 0, first, last, &added, reterr);
    }
    if (err == ERR_NONE) {
        err = engine_claim_replay(pg, 0, &claim, reterr);
    }
    if (err != ERR_NONE) {
        claim_done(&claim);
        engine_store_rollback(pg);
        return err;
    }
    *ret_claim = claim;
    return ERR_NONE;
}

/* --- webhooks ---------------------------------------------------------------------------------------------------- */

err_t replay_store_webhooks(struct pg *pg, msec_t since, const char *source, int64_t after_id,
                            struct pg_result **ret_page, struct error *reterr)
{
    static const char sql[] =
        "SELECT id, (extract(epoch FROM received_at) * 1000)::bigint, source, headers, encode(body, 'hex') FROM webhook"
        " WHERE received_at >= $1::timestamptz AND ($2::text IS NULL OR source = $2) AND id > $3::bigint"
        "   AND problem IS DISTINCT FROM 'erased' ORDER BY id LIMIT 100";
    struct buf from CLEANUP(buf_done);
    const struct pg_value values[] = { time_value(since, &from), PG_VALUE_TEXT(source), PG_VALUE_INT8(after_id) };
    return pg_run(pg, sql, values, ARRAY_LEN(values), ret_page, reterr);
}

err_t replay_store_webhook(const struct pg_result *page, size_t row, struct stored_webhook *ret_webhook,
                           struct error *reterr)
{
    json_t *headers = NULL;
    err_t err = query_json_cell(page, row, 3, &headers, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    *ret_webhook = (struct stored_webhook){
        .id = pg_int8(page, row, 0),
        .received_at = pg_int8(page, row, 1),
        .source = pg_text(page, row, 2),
        .headers = headers,
        .body_hex = pg_text(page, row, 4),
    };
    return ERR_NONE;
}

err_t replay_store_reparse(struct pg *pg, int64_t webhook_id, const json_t *events, const char *problem, int parser,
                           int64_t *ret_added, struct error *reterr)
{
    static const char sql[] = "SELECT reparse_append($1::bigint, $2::jsonb, $3, $4::bigint::integer)";
    char *text = json_dump(events);
    const struct pg_value values[] = {
        PG_VALUE_INT8(webhook_id),
        PG_VALUE_TEXT(text),
        PG_VALUE_TEXT(problem),
        PG_VALUE_INT8(parser),
    };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    free(text);
    if (err == ERR_NONE) {
        *ret_added = pg_int8(result, 0, 0);
    }
    return err;
}
