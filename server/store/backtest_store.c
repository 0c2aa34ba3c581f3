#include "store/backtest_store.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"
#include "store/query.h"
#include "store/store.h"

struct backtest_stream {
    struct pg *pg;
    struct pg_result *chunk;
    size_t row;
    bool is_open; /* the transaction is */
};

/* A time as PostgreSQL reads it. */
static struct pg_value time_value(msec_t at, struct buf *space)
{
    buf_init(space, 64);
    clock_add_iso(space, at);
    return (struct pg_value)PG_VALUE_TEXT(space->ptr);
}

static err_t count_events(struct pg *pg, const struct pg_value *range, int64_t *ret_count, struct error *reterr)
{
    static const char sql[] =
        "SELECT count(*) FROM event WHERE received_at >= $1::timestamptz AND received_at < $2::timestamptz"
        " AND type <> 'message.status' AND source <> 'answerd'";
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, range, 2, &result, reterr);
    if (err == ERR_NONE) {
        *ret_count = pg_int8(result, 0, 0);
    }
    return err;
}

static err_t open_cursor(struct pg *pg, msec_t since, msec_t until, int64_t *ret_count, struct error *reterr)
{
    static const char sql[] = "SELECT open_recorded_events($1::timestamptz, $2::timestamptz)";
    struct buf from CLEANUP(buf_done), to CLEANUP(buf_done);
    const struct pg_value range[] = { time_value(since, &from), time_value(until, &to) };
    err_t err = ret_count ? count_events(pg, range, ret_count, reterr) : ERR_NONE;
    return err == ERR_NONE ? query_run(pg, sql, range, ARRAY_LEN(range), reterr) : err;
}

err_t backtest_store_open(struct pg *pg, msec_t since, msec_t until, bool keep, struct backtest_stream **ret_stream,
                          int64_t *ret_count, struct error *reterr)
{
    err_t err = pg_script(pg, keep ? "BEGIN" : "BEGIN READ ONLY", reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct backtest_stream *stream = memory_new(sizeof(*stream));
    stream->pg = pg;
    stream->is_open = true;
    err = open_cursor(pg, since, until, ret_count, reterr);
    if (err != ERR_NONE) {
        backtest_store_free(stream);
        return err;
    }
    *ret_stream = stream;
    return ERR_NONE;
}

err_t backtest_store_next(struct backtest_stream *stream, struct backtest_row *ret_row, struct error *reterr)
{
    static const char fetch_sql[] = "FETCH FORWARD 2000 FROM recorded_events";
    if (!stream->chunk || stream->row == pg_rows(stream->chunk)) {
        pg_result_free(&stream->chunk);
        stream->row = 0;
        err_t err = pg_run(stream->pg, fetch_sql, NULL, 0, &stream->chunk, reterr);
        if (err != ERR_NONE) {
            return err;
        }
        if (pg_rows(stream->chunk) == 0) {
            return fail(reterr, ERR_NOT_FOUND, "there are no more events");
        }
    }
    size_t row = stream->row++;
    *ret_row = (struct backtest_row){
        .contact_id = pg_int8(stream->chunk, row, 0),
        .group_id = pg_int8(stream->chunk, row, 1),
        .id = pg_int8(stream->chunk, row, 2),
        .lane = pg_int8(stream->chunk, row, 3),
    };
    for (size_t i = 0; i < BACKTEST_TEXT_COUNT; i++) {
        ret_row->texts[i] = pg_text(stream->chunk, row, 4 + i);
    }
    return ERR_NONE;
}

static void put_time(json_t *event, const char *key, struct bytes text)
{
    msec_t at;
    if (clock_parse_iso(text, &at)) {
        json_put_time(event, key, at);
    }
}

json_t *backtest_row_event(const struct backtest_row *row)
{
    const struct bytes *texts = row->texts;
    json_t *event, *conversation;
    if (json_parse(texts[BACKTEST_DOC], &event, NULL) != ERR_NONE) {
        return NULL;
    }
    json_put_int(event, "id", row->id);
    json_put_int(event, "lane", row->lane);
    json_put_bytes(event, "type", texts[BACKTEST_TYPE]);
    json_put_bytes(event, "source", texts[BACKTEST_SOURCE]);
    json_put_bytes(event, "key", texts[BACKTEST_KEY]);
    put_time(event, "received_at", texts[BACKTEST_RECEIVED_AT]);
    put_time(event, "occurred_at", texts[BACKTEST_OCCURRED_AT]);
    if (texts[BACKTEST_CONVERSATION].len > 0 &&
        json_parse(texts[BACKTEST_CONVERSATION], &conversation, NULL) == ERR_NONE) {
        json_put(event, "conversation", conversation);
    }
    return event;
}

err_t backtest_store_close(struct backtest_stream *stream, struct error *reterr)
{
    err_t err = pg_script(stream->pg, "COMMIT", reterr);
    stream->is_open = err != ERR_NONE;
    return err;
}

void backtest_store_free(struct backtest_stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->is_open && !pg_is_broken(stream->pg)) {
        err_t ignored = pg_script(stream->pg, "ROLLBACK", NULL);
        (void)ignored; /* the connection is about to be closed */
    }
    pg_result_free(&stream->chunk);
    free(stream);
}

err_t backtest_store_begin_run(struct pg *pg, const struct backtest_run *run, int64_t *ret_id, struct error *reterr)
{
    static const char sql[] = "INSERT INTO backtest_run (id, since, until, before_rule_set, after_rule_set)"
                              " VALUES ($1::bigint, $2::timestamptz, $3::timestamptz, $4, $5)";
    int64_t id = 0;
    err_t err = store_reserve_ids(pg, 1, &id, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    struct buf from CLEANUP(buf_done), to CLEANUP(buf_done);
    const struct pg_value values[] = {
        PG_VALUE_INT8(id),
        time_value(run->since, &from),
        time_value(run->until, &to),
        PG_VALUE_TEXT(run->before_rule_set),
        PG_VALUE_TEXT(run->after_rule_set),
    };
    err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    if (err == ERR_NONE) {
        *ret_id = id;
    }
    return err;
}

err_t backtest_store_add(struct pg *pg, int64_t run_id, const json_t *rows, struct error *reterr)
{
    static const char sql[] = "SELECT add_backtest_effects($1::bigint, $2::jsonb)";
    char *text = json_dump(rows);
    const struct pg_value values[] = { PG_VALUE_INT8(run_id), PG_VALUE_TEXT(text) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}

err_t backtest_store_end_run(struct pg *pg, int64_t run_id, int64_t events, const json_t *report, struct error *reterr)
{
    static const char sql[] = "UPDATE backtest_run SET events = $2::bigint, report = $3::jsonb WHERE id = $1::bigint";
    char *text = json_dump(report);
    const struct pg_value values[] = { PG_VALUE_INT8(run_id), PG_VALUE_INT8(events), PG_VALUE_TEXT(text) };
    err_t err = query_run(pg, sql, values, ARRAY_LEN(values), reterr);
    free(text);
    return err;
}
