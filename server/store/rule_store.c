#include "store/rule_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"

#define ISO_BYTES 40

/* "2026-11-23T08:00:00.123Z" into `text`; clock_add_iso needs a buffer that grows. */
static const char *iso_text(msec_t at, char text[ISO_BYTES])
{
    struct buf out;
    buf_init(&out, ISO_BYTES);
    clock_add_iso(&out, at);
    snprintf(text, ISO_BYTES, "%s", out.ptr);
    buf_done(&out);
    return text;
}

/* The JSON text in the only cell of a result. */
static err_t take_json(struct pg_result *result, size_t column, json_t **ret_json, struct error *reterr)
{
    if (pg_rows(result) == 0) {
        return fail(reterr, ERR_INTERNAL, "a statement gave no row");
    }
    return json_parse(pg_text(result, 0, column), ret_json, reterr);
}

err_t rule_store_resting(struct pg *pg, const char *rule_set, unsigned failures, msec_t rest_ms, json_t **ret_names,
                         struct error *reterr)
{
    static const char sql[] =
        "WITH fresh AS ("
        "  UPDATE rule_health SET quarantined_until = now() + $3 * interval '1 millisecond'"
        "  WHERE rule_set = $1 AND failures_in_row >= $2 AND (quarantined_until IS NULL OR updated_at > quarantined_until)"
        "  RETURNING rule)"
        " SELECT coalesce(json_agg(rule ORDER BY rule), '[]')::text FROM ("
        "  SELECT rule FROM fresh UNION SELECT rule FROM rule_health WHERE rule_set = $1 AND quarantined_until > now()) AS resting";
    const struct pg_value values[] = { PG_VALUE_TEXT(rule_set), PG_VALUE_INT8(failures), PG_VALUE_INT8(rest_ms) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    return err != ERR_NONE ? err : take_json(result, 0, ret_names, reterr);
}

err_t cron_store_register(struct pg *pg, const char *name, const json_t *schedule, msec_t next_at, const char *rule_set,
                          struct error *reterr)
{
    static const char sql[] =
        "INSERT INTO cron (name, schedule, next_at, rule_set) VALUES ($1, $2::jsonb, $3::timestamptz, $4)"
        " ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule, next_at = excluded.next_at, rule_set = excluded.rule_set"
        " WHERE cron.schedule <> excluded.schedule";
    char at[ISO_BYTES];
    char *text = json_dump(schedule);
    const struct pg_value values[] = { PG_VALUE_TEXT(name), PG_VALUE_TEXT(text), PG_VALUE_TEXT(iso_text(next_at, at)),
                                       PG_VALUE_TEXT(rule_set) };
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), NULL, reterr);
    free(text);
    return err;
}

err_t cron_store_keep_only(struct pg *pg, const json_t *names, struct error *reterr)
{
    static const char sql[] =
        "DELETE FROM cron WHERE NOT EXISTS (SELECT FROM jsonb_array_elements_text($1::jsonb) AS kept WHERE kept = name)";
    char *text = json_dump(names);
    const struct pg_value values[] = { PG_VALUE_TEXT(text) };
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), NULL, reterr);
    free(text);
    return err;
}

err_t cron_store_due(struct pg *pg, json_t **ret_crons, msec_t *ret_next_due, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(json_build_object('name', name, 'schedule', schedule, 'next_at', next_at))"
        "  FILTER (WHERE next_at <= now()), '[]')::text, min(next_at) FILTER (WHERE next_at > now()) FROM cron";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, NULL, 0, &result, reterr);
    if (err == ERR_NONE) {
        err = take_json(result, 0, ret_crons, reterr);
    }
    if (err == ERR_NONE && (pg_is_null(result, 0, 1) || !clock_parse_iso(pg_text(result, 0, 1), ret_next_due))) {
        *ret_next_due = 0;
    }
    return err;
}

err_t cron_store_advance(struct pg *pg, const char *name, msec_t due_at, msec_t next_at, struct error *reterr)
{
    /* Times of ours are in milliseconds: what was read back is what was written. */
    static const char sql[] =
        "UPDATE cron SET next_at = $3::timestamptz, last_at = next_at WHERE name = $1 AND next_at = $2::timestamptz";
    char from[ISO_BYTES];
    char to[ISO_BYTES];
    const struct pg_value values[] = { PG_VALUE_TEXT(name), PG_VALUE_TEXT(iso_text(due_at, from)), PG_VALUE_TEXT(iso_text(next_at, to)) };
    return pg_run(pg, sql, values, ARRAY_LEN(values), NULL, reterr);
}
