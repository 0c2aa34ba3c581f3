#include "store/rule_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/text.h"
#include "store/query.h"

#define ISO_BYTES 40
#define LANE_NAME_BYTES 200

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

err_t rule_store_rest(struct pg *pg, const char *rule_set, const struct quarantine *quarantine, int64_t worker_id,
                      struct rule_rest *ret_rest, struct error *reterr)
{
    static const char sql[] =
        "SELECT resting, trials FROM rest_rules($1, $2::integer, $3::interval, $4::interval, $5::bigint)";
    char first[QUERY_INTERVAL_BYTES];
    char longest[QUERY_INTERVAL_BYTES];
    const struct pg_value values[] = {
        PG_VALUE_TEXT(rule_set),
        PG_VALUE_INT8(quarantine->failures_in_row),
        PG_VALUE_TEXT(query_interval(quarantine->first_ms, first)),
        PG_VALUE_TEXT(query_interval(quarantine->longest_ms, longest)),
        PG_VALUE_INT8(worker_id),
    };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct rule_rest rest = { NULL, NULL };
    err = query_json_cell(result, 0, 0, &rest.resting, reterr);
    if (err == ERR_NONE) {
        err = query_json_cell(result, 0, 1, &rest.trials, reterr);
    }
    if (err != ERR_NONE) {
        json_decref(rest.resting);
        return err;
    }
    *ret_rest = rest;
    return ERR_NONE;
}

err_t cron_store_put(struct pg *pg, const json_t *crons, const char *rule_set, struct error *reterr)
{
    /* The pointer is locked against a swap: an engine that still runs the version before must not bring its crons back.
     */
    static const char sql[] =
        "WITH in_force AS (SELECT current_version FROM rule_pointer FOR SHARE),"
        " given AS (SELECT r.* FROM jsonb_to_recordset($1::jsonb) AS r (name text, schedule jsonb, next_at "
        "timestamptz, missed text)"
        "  WHERE coalesce((SELECT current_version FROM in_force), $2) = $2),"
        " ended AS (DELETE FROM cron WHERE name NOT IN (SELECT name FROM given) AND coalesce((SELECT current_version "
        "FROM in_force), $2) = $2)"
        " INSERT INTO cron AS c (name, schedule, next_at, missed, rule_set)"
        "  SELECT name, schedule, next_at, coalesce(missed, 'skip'), $2 FROM given ORDER BY name"
        " ON CONFLICT (name) DO UPDATE SET schedule = excluded.schedule, missed = excluded.missed, rule_set = "
        "excluded.rule_set,"
        "  next_at = CASE WHEN c.schedule = excluded.schedule THEN c.next_at ELSE excluded.next_at END";
    char *text = json_dump(crons);
    const struct pg_value values[] = { PG_VALUE_TEXT(text), PG_VALUE_TEXT(rule_set) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}

err_t cron_store_due(struct pg *pg, json_t **ret_crons, msec_t *ret_next_due, struct error *reterr)
{
    static const char sql[] =
        "SELECT coalesce(json_agg(json_build_object('name', name, 'schedule', schedule, 'missed', missed, 'next_at', "
        "next_at))"
        "  FILTER (WHERE next_at <= now()), '[]')::text, min(next_at) FILTER (WHERE next_at > now()) FROM cron";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, NULL, 0, &result, reterr);
    if (err == ERR_NONE) {
        err = query_json_cell(result, 0, 0, ret_crons, reterr);
    }
    if (err == ERR_NONE && (pg_is_null(result, 0, 1) || !clock_parse_iso(pg_text(result, 0, 1), ret_next_due))) {
        *ret_next_due = 0;
    }
    return err;
}

err_t cron_store_fire(struct pg *pg, const json_t *cron, msec_t next_at, bool with_event, bool *ret_fired,
                      struct error *reterr)
{
    /* The time it was due at goes back as the database printed it: not a microsecond may be lost. */
    static const char sql[] =
        "WITH moved AS (UPDATE cron SET last_at = CASE WHEN $5 THEN next_at ELSE last_at END, next_at = $3::timestamptz"
        "  WHERE name = $1 AND next_at = $2::timestamptz AND next_at <= clock_timestamp() RETURNING name, "
        "$2::timestamptz AS due_at, next_at)"
        " SELECT CASE WHEN $5 THEN append_own_events(jsonb_build_array(jsonb_build_object('type', 'cron.' || name, "
        "'source', 'answerd',"
        "  'provider', 'answerd', 'key', 'cron:' || name || ':' || extract(epoch FROM due_at), 'occurred_at', due_at,"
        "  'lane', $4::bigint, 'body', jsonb_build_object('name', name, 'due_at', due_at, 'next_at', next_at)))) END "
        "FROM moved";
    char to[ISO_BYTES];
    char lane_name[LANE_NAME_BYTES];
    snprintf(lane_name, sizeof(lane_name), "cron:%s", json_str_or(cron, "name", ""));
    const struct pg_value values[] = { PG_VALUE_TEXT(json_str(cron, "name")), PG_VALUE_TEXT(json_str(cron, "next_at")),
                                       PG_VALUE_TEXT(iso_text(next_at, to)), PG_VALUE_INT8(lane_of(lane_name)),
                                       PG_VALUE_BOOL(with_event) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        *ret_fired = pg_rows(result) > 0;
    }
    return err;
}

err_t rule_store_record_shadow(struct pg *pg, const json_t *runs, const json_t *traces, struct error *reterr)
{
    static const char sql[] = "SELECT record_shadow($1::jsonb, $2::jsonb)";
    char *runs_text = json_dump(runs);
    char *traces_text = json_dump(traces);
    const struct pg_value values[] = { PG_VALUE_TEXT(runs_text), PG_VALUE_TEXT(traces_text) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(runs_text);
    free(traces_text);
    return err;
}
