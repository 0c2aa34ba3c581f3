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

/* What a batch writes: statements that go together, with what their values refer to. */
struct writing {
    struct pg_statement statements[5];
    size_t count;
    struct row_columns messages, conversations, handlings, traces;
    struct pg_value handled[18]; /* of `handlings` and `traces` */
    struct buf document;
    struct pg_value of_document[2];
};

static void writing_done(struct writing *writing)
{
    row_columns_done(&writing->messages);
    row_columns_done(&writing->conversations);
    row_columns_done(&writing->handlings);
    row_columns_done(&writing->traces);
    buf_done(&writing->document);
}

static void add_statement(struct writing *writing, const char *sql, const struct pg_value *values, size_t count)
{
    writing->statements[writing->count++] = (struct pg_statement){ sql, values, count };
}

static void add_part(struct writing *writing, const char *sql, struct row_columns *columns, const json_t *rows,
                     const char *const *names, size_t count)
{
    if (json_array_size(rows) > 0) {
        row_columns_init(columns, rows, names, count);
        add_statement(writing, sql, columns->values, columns->count);
    }
}

static void add_messages(struct writing *writing, const json_t *changes)
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
    add_part(writing, sql, &writing->messages, json_array_at(changes, "messages"), names, ARRAY_LEN(names));
}

static void add_conversations(struct writing *writing, const json_t *changes)
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
    add_part(writing, sql, &writing->conversations, json_array_at(changes, "conversations"), names, ARRAY_LEN(names));
}

static void add_handlings(struct writing *writing, const json_t *changes)
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
    struct row_columns *handlings = &writing->handlings, *traces = &writing->traces;
    row_columns_init(handlings, json_array_at(changes, "handlings"), handling_names, ARRAY_LEN(handling_names));
    row_columns_init(traces, json_array_at(changes, "traces"), trace_names, ARRAY_LEN(trace_names));
    memcpy(writing->handled, handlings->values, handlings->count * sizeof(*handlings->values));
    memcpy(writing->handled + handlings->count, traces->values, traces->count * sizeof(*traces->values));
    _Static_assert(ARRAY_LEN(handling_names) + ARRAY_LEN(trace_names) == ARRAY_LEN(writing->handled), "all values");
    add_statement(writing, sql, writing->handled, ARRAY_LEN(writing->handled));
}

static void add_document(struct writing *writing, const json_t *changes, const char *const *without,
                         const int64_t *positions, size_t count)
{
    static const char sql[] = "SELECT engine_commit_in_budget($1::jsonb, $2::bigint[])";
    json_add_without(&writing->document, changes, without);
    writing->of_document[0] = PG_VALUE_BYTES(buf_bytes(&writing->document));
    writing->of_document[1] = PG_VALUE_INT8S(positions, count);
    add_statement(writing, sql, writing->of_document, ARRAY_LEN(writing->of_document));
}

/* Writes the changes and commits, in one exchange with the server: what fails leaves the rest undone, the commit as
 * well. */
static err_t write_changes(struct pg *pg, const json_t *changes, const int64_t *positions, size_t count, bool replays,
                           struct error *reterr)
{
    static const char *const nothing[] = { NULL };
    static const char commit[] = "COMMIT";
    struct writing writing = { .count = 0 };
    buf_init(&writing.document, SIZE_MAX);
    if (replays) {
        add_document(&writing, changes, nothing, positions, count);
    } else {
        /* Messages before budgets, which hold what goes beyond them; conversations after their contacts. */
        add_messages(&writing, changes);
        add_document(&writing, changes, parts_in_columns, positions, count);
        add_conversations(&writing, changes);
        add_handlings(&writing, changes);
    }
    add_statement(&writing, commit, NULL, 0);
    err_t err = pg_run_together(pg, writing.statements, writing.count, NULL, reterr);
    writing_done(&writing);
    return err;
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
