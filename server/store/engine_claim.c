/* The claim: events, then what is known about the people named in them. */
#include "store/engine_claim.h"

#include "base/macros.h"
#include "store/engine_people.h"
#include "store/event_names.h"
#include "store/query.h"
#include "store/row_objects.h"

/* --- events ------------------------------------------------------------------------------------------------------ */

enum event_column {
    EVENT_POSITION,
    EVENT_ATTEMPTS,
    EVENT_ID,
    EVENT_TYPE,
    EVENT_SOURCE,
    EVENT_KEY,
    EVENT_LANE,
    EVENT_RECEIVED_AT,
    EVENT_OCCURRED_AT,
    EVENT_DOC,
    EVENT_REPLAY,
    EVENT_HAPPENED,
    EVENT_ALSO_LOAD,
    EVENT_RULES_GENERATION, /* not of the event: what the rules were when it was claimed */
};
#define EVENT_COLUMNS                                                                                                  \
    "e.position, e.attempts, e.id, e.type, e.source, e.key, e.lane, e.received_at, e.occurred_at,"                     \
    " e.doc, e.replay, e.happened, e.also_load"

static void put_text(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                     enum event_column column)
{
    json_put_bytes(event, name, pg_text(rows, row, column));
}

static err_t put_json(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                      enum event_column column, struct error *reterr)
{
    json_t *value = NULL;
    if (pg_is_null(rows, row, column)) {
        return ERR_NONE;
    }
    err_t err = json_parse(pg_text(rows, row, column), &value, reterr);
    if (err == ERR_NONE) {
        json_put(event, name, value);
    }
    return err;
}

static void put_time(json_t *event, const char *name, const struct pg_result *rows, size_t row,
                     enum event_column column)
{
    json_put(event, name, row_time(pg_text(rows, row, column)));
}

/* The document, with what the columns know better. */
static err_t read_event(const struct pg_result *rows, size_t row, json_t **ret_event, struct error *reterr)
{
    json_t *event = NULL;
    err_t err = json_parse(pg_text(rows, row, EVENT_DOC), &event, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_put_int(event, "id", pg_int8(rows, row, EVENT_ID));
    json_put_int(event, "lane", pg_int8(rows, row, EVENT_LANE));
    put_text(event, "type", rows, row, EVENT_TYPE);
    put_text(event, "source", rows, row, EVENT_SOURCE);
    put_text(event, "key", rows, row, EVENT_KEY);
    put_time(event, "received_at", rows, row, EVENT_RECEIVED_AT);
    put_time(event, "occurred_at", rows, row, EVENT_OCCURRED_AT);
    err = put_json(event, "replay", rows, row, EVENT_REPLAY, reterr);
    if (err == ERR_NONE) {
        err = put_json(event, "happened", rows, row, EVENT_HAPPENED, reterr);
    }
    if (err != ERR_NONE) {
        json_decref(event);
        return err;
    }
    *ret_event = event;
    return ERR_NONE;
}

static err_t add_also_load(struct event_names *names, const struct pg_result *rows, size_t row, struct error *reterr)
{
    json_t *identities = NULL;
    if (pg_is_null(rows, row, EVENT_ALSO_LOAD)) {
        return ERR_NONE;
    }
    err_t err = json_parse(pg_text(rows, row, EVENT_ALSO_LOAD), &identities, reterr);
    if (err == ERR_NONE) {
        event_names_keep(names, identities);
        event_names_add_handles(names, identities);
    }
    return err;
}

static err_t read_events(const struct pg_result *rows, struct claim *claim, struct event_names *names,
                         struct error *reterr)
{
    claim->work = json_array();
    for (size_t row = 0; row < pg_rows(rows); row++) {
        int64_t position = pg_int8(rows, row, EVENT_POSITION);
        json_t *event = NULL;
        err_t err = read_event(rows, row, &event, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        json_t *item = json_object();
        json_put_int(item, "position", position);
        json_put_int(item, "attempts", pg_int8(rows, row, EVENT_ATTEMPTS));
        json_put(item, "event", event);
        json_array_append_new(claim->work, item);
        event_names_add(names, event);
        if (!pg_is_null(rows, row, EVENT_REPLAY)) {
            claim->replays = true;
            event_names_add_replayed(names, position);
        }
        err = add_also_load(names, rows, row, reterr);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return ERR_NONE;
}

static err_t read_claim(struct pg *pg, const struct pg_result *rows, bool locking, struct claim *claim,
                        struct error *reterr)
{
    struct event_names names;
    event_names_init(&names);
    err_t err = read_events(rows, claim, &names, reterr);
    if (err == ERR_NONE && json_array_size(claim->work) > 0) {
        err = engine_read_people(pg, &names, locking, &claim->facts, reterr);
    }
    event_names_done(&names);
    return err;
}

void claim_done(struct claim *claim)
{
    json_decref(claim->work);
    json_decref(claim->facts);
    claim->work = NULL;
    claim->facts = NULL;
}

/* Begins the transaction and claims, in one exchange with the server. */
static err_t run_claim(struct pg *pg, size_t limit, struct claim *claim, struct error *reterr)
{
    static const char begin[] = "BEGIN ISOLATION LEVEL READ COMMITTED";
    static const char sql[] = "SELECT " EVENT_COLUMNS ", (SELECT generation FROM rule_pointer)"
                              "  FROM claimed_events(claim_positions($1::integer, 0)) AS e";
    const struct pg_value values[] = { PG_VALUE_INT8((int64_t)limit) };
    const struct pg_statement statements[] = { { begin, NULL, 0 }, { sql, values, ARRAY_LEN(values) } };
    struct pg_result *results[ARRAY_LEN(statements)] = { NULL };
    err_t err = pg_run_together(pg, statements, ARRAY_LEN(statements), results, reterr);
    const struct pg_result *events = results[1];
    if (err == ERR_NONE) {
        claim->rules_generation = pg_rows(events) > 0 ? pg_int8(events, 0, EVENT_RULES_GENERATION) : 0;
        err = read_claim(pg, events, true, claim, reterr);
    }
    for (size_t i = 0; i < ARRAY_LEN(results); i++) {
        pg_result_free(&results[i]);
    }
    return err;
}

err_t engine_store_claim(struct pg *pg, size_t limit, struct claim *ret_claim, struct error *reterr)
{
    struct claim claim = { .work = NULL };
    err_t err = run_claim(pg, limit, &claim, reterr);
    if (err == ERR_NONE && json_array_size(claim.work) == 0) {
        err = pg_script(pg, "COMMIT", reterr);
    }
    if (err != ERR_NONE) {
        engine_store_rollback(pg);
        claim_done(&claim);
        return err;
    }
    *ret_claim = claim;
    return ERR_NONE;
}

err_t engine_claim_replay(struct pg *pg, int64_t replay_id, struct claim *ret_claim, struct error *reterr)
{
    static const char sql[] =
        "SELECT " EVENT_COLUMNS " FROM claimed_events((SELECT coalesce(array_agg(position), '{}') FROM work"
        " WHERE replay_id = $1::bigint)) AS e";
    const struct pg_value values[] = { PG_VALUE_INT8(replay_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    struct claim claim = { .work = NULL };
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE) {
        err = read_claim(pg, result, false, &claim, reterr);
    }
    if (err != ERR_NONE) {
        claim_done(&claim);
        return err;
    }
    *ret_claim = claim;
    return ERR_NONE;
}
