/* The commit: what a batch changed, written and ended with its work. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/memory.h"
#include "store/query.h"
#include "store/row_columns.h"

/* The parts of the changes that every batch has: they go as columns, because a document of them costs more than to
 * write them. A batch with replayed events goes as one document, whose rows are marked as the replay's: mark_replayed()
 * in migrations/. */
static const char *const parts_in_columns[] = { "messages", "conversations", "handlings", "traces", NULL };

/* The rows of one or two parts are the values of a statement. */
static err_t write_rows(struct pg *pg, const char *sql, const struct row_columns *first,
                        const struct row_columns *second, struct error *reterr)
{
    struct pg_value values[40];
    size_t count = 0;
    for (size_t i = 0; i < first->count; i++) {
        values[count++] = first->values[i];
    }
    for (size_t i = 0; second != NULL && i < second->count; i++) {
        values[count++] = second->values[i];
    }
    return query_run(pg, sql, values, count, reterr);
}

static err_t write_part(struct pg *pg, const char *sql, const json_t *rows, const char *const *names, size_t count,
                        struct error *reterr)
{
    if (json_array_size(rows) == 0) {
        return ERR_NONE;
    }
    struct row_columns columns;
    row_columns_init(&columns, rows, names, count);
    err_t err = write_rows(pg, sql, &columns, NULL, reterr);
    row_columns_done(&columns);
    return err;
}

static err_t write_messages(struct pg *pg, const json_t *changes, struct error *reterr)
{
    static const char *const names[] = {
        "id",       "created_at",   "occurred_at", "conversation_id", "contact_id", "direction",           "source",
        "identity", "kind",         "text",        "content",         "author",     "provider_message_id", "reply_to",
        "event_id", "outreach_id",  "survey_id",   "state",           "reason",     "error_code",          "queued_at",
        "sent_at",  "delivered_at", "read_at",     "failed_at",       "edited_at",  "deleted_at",
    };
    static const char sql[] =
        "INSERT INTO message (id, created_at, occurred_at, conversation_id, contact_id, direction, source, identity, "
        "kind,"
        " text, content, author, provider_message_id, reply_to, event_id, outreach_id, survey_id, state, reason, "
        "error_code,"
        " queued_at, sent_at, delivered_at, read_at, failed_at, edited_at, deleted_at)"
        " SELECT r.id::bigint, coalesce(r.created_at::timestamptz, now()),"
        " coalesce(r.occurred_at::timestamptz, r.created_at::timestamptz, now()), r.conversation_id::bigint,"
        " r.contact_id::bigint, r.direction, r.source, r.identity, coalesce(r.kind, 'text'), r.text,"
        " coalesce(r.content::jsonb, '{}'), r.author, r.provider_message_id, r.reply_to, r.event_id::bigint,"
        " r.outreach_id::bigint, r.survey_id::bigint,"
        " coalesce(r.state, CASE r.direction WHEN 'in' THEN 'received' WHEN 'out' THEN 'queued' ELSE 'note' END),"
        " r.reason, r.error_code, r.queued_at::timestamptz, r.sent_at::timestamptz, r.delivered_at::timestamptz,"
        " r.read_at::timestamptz, r.failed_at::timestamptz, r.edited_at::timestamptz, r.deleted_at::timestamptz"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],"
        " $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], "
        "$17::text[],"
        " $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], "
        "$26::text[],"
        " $27::text[]) AS r (id, created_at, occurred_at, conversation_id, contact_id, direction, source, identity, "
        "kind,"
        " text, content, author, provider_message_id, reply_to, event_id, outreach_id, survey_id, state, reason, "
        "error_code,"
        " queued_at, sent_at, delivered_at, read_at, failed_at, edited_at, deleted_at)";
    return write_part(pg, sql, json_array_at(changes, "messages"), names, ARRAY_LEN(names), reterr);
}

static err_t write_conversations(struct pg *pg, const json_t *changes, struct error *reterr)
{
    static const char *const names[] = {
        "id",         "contact_id",      "source",           "identity",       "topic",         "reference",
        "state",      "priority",        "assignee",         "tags",           "attributes",    "opened_at",
        "updated_at", "last_inbound_at", "last_outbound_at", "first_reply_at", "snoozed_until", "resolved_at",
        "episode",    "previous_id",
    };
    static const char sql[] =
        "SELECT write_conversations($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,"
        " $17, $18, $19, $20)";
    return write_part(pg, sql, json_array_at(changes, "conversations"), names, ARRAY_LEN(names), reterr);
}

static err_t write_handlings(struct pg *pg, const json_t *changes, struct error *reterr)
{
    static const char *const handling_names[] = { "event_id", "contact_id", "conversation_id", "rule_set",
                                                  "attempts", "problem",    "skipped" };
    static const char *const trace_names[] = { "event_id", "number",       "rule",   "verdict", "file", "line",
                                               "rule_set", "instructions", "micros", "effects", "error" };
    static const char sql[] =
        "WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at), traced AS ("
        " INSERT INTO trace (event_id, handled_at, number, rule, verdict, file, line, rule_set, instructions, micros, "
        "effects,"
        " error)"
        " SELECT r.event_id::bigint, m.at, r.number::smallint, r.rule, r.verdict, r.file, r.line::integer,"
        " coalesce(r.rule_set, ''), coalesce(r.instructions::bigint, 0), coalesce(r.micros::bigint, 0),"
        " coalesce(r.effects::jsonb, '[]'), r.error"
        " FROM unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], "
        "$15::text[],"
        " $16::text[], $17::text[], $18::text[])"
        " AS r (event_id, number, rule, verdict, file, line, rule_set, instructions, micros, effects, error), moment "
        "AS m)"
        " INSERT INTO handling (event_id, handled_at, contact_id, conversation_id, rule_set, attempts, problem, "
        "skipped)"
        " SELECT r.event_id::bigint, m.at, r.contact_id::bigint, r.conversation_id::bigint, r.rule_set,"
        " coalesce(r.attempts::smallint, 0) + 1, r.problem, r.skipped::jsonb"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])"
        " AS r (event_id, contact_id, conversation_id, rule_set, attempts, problem, skipped), moment AS m";
    struct row_columns handlings, traces;
    row_columns_init(&handlings, json_array_at(changes, "handlings"), handling_names, ARRAY_LEN(handling_names));
    row_columns_init(&traces, json_array_at(changes, "traces"), trace_names, ARRAY_LEN(trace_names));
    err_t err = write_rows(pg, sql, &handlings, &traces, reterr);
    row_columns_done(&handlings);
    row_columns_done(&traces);
    return err;
}

static err_t write_document(struct pg *pg, const json_t *changes, const char *const *without, const int64_t *positions,
                            size_t count, struct error *reterr)
{
    static const char sql[] = "SELECT engine_commit_in_budget($1::jsonb, $2::bigint[])";
    struct buf text CLEANUP(buf_done);
    buf_init(&text, SIZE_MAX);
    json_add_without(&text, changes, without);
    const struct pg_value values[] = { PG_VALUE_BYTES(buf_bytes(&text)), PG_VALUE_INT8S(positions, count) };
    return query_run(pg, sql, values, ARRAY_LEN(values), reterr);
}

static err_t write_changes(struct pg *pg, const json_t *changes, const int64_t *positions, size_t count, bool replays,
                           struct error *reterr)
{
    static const char *const nothing[] = { NULL };
    if (replays) {
        return write_document(pg, changes, nothing, positions, count, reterr);
    }
    /* Messages before budgets, which hold what goes beyond them; conversations after their contacts. */
    err_t err = write_messages(pg, changes, reterr);
    if (err == ERR_NONE) {
        err = write_document(pg, changes, parts_in_columns, positions, count, reterr);
    }
    if (err == ERR_NONE) {
        err = write_conversations(pg, changes, reterr);
    }
    return err != ERR_NONE ? err : write_handlings(pg, changes, reterr);
}

/* Which identities the changes claim; whoever owns them will be among the facts of the next try. */
static void remember_identities(struct pg *pg, const json_t *changes, const int64_t *positions, size_t count)
{
    static const char sql[] = "SELECT engine_load_also($1::bigint[], $2::text[])";
    const json_t *rows = json_array_at(changes, "identities");
    size_t size = json_array_size(rows);
    if (size == 0) {
        return;
    }
    struct bytes *identities = memory_new(size * sizeof(*identities));
    for (size_t i = 0; i < size; i++) {
        identities[i] = bytes_of(json_str_or(json_array_get(rows, i), "identity", ""));
    }
    const struct pg_value values[] = { PG_VALUE_INT8S(positions, count), PG_VALUE_TEXTS(identities, size) };
    err_t ignored = query_run(pg, sql, values, ARRAY_LEN(values), NULL);
    (void)ignored; /* the next try may then conflict again, and end as a failed event */
    free(identities);
}

err_t engine_store_commit(struct pg *pg, const json_t *changes, const int64_t *positions, size_t count, bool replays,
                          struct error *reterr)
{
    struct error error = { .code = ERR_NONE };
    err_t err = write_changes(pg, changes, positions, count, replays, &error);
    if (err == ERR_NONE) {
        err = pg_script(pg, "COMMIT", &error);
    }
    if (err == ERR_NONE) {
        return ERR_NONE;
    }
    engine_store_rollback(pg);
    if (strcmp(error.sqlstate, "23505") == 0) {
        remember_identities(pg, changes, positions, count);
    }
    if (reterr != NULL) {
        *reterr = error;
    }
    return err;
}
