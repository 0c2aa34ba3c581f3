#include "store/api_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macros.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/query.h"
#include "store/store.h"

/* The JSON text in the only cell; `missing` names what is not there when there is no row or NULL in it. */
static err_t run_json(struct pg *pg, const char *sql, const struct pg_value *values, size_t count, const char *missing,
                      json_t **ret_json, struct error *reterr)
{
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, count, &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0 || pg_is_null(result, 0, 0)) {
        return fail(reterr, ERR_NOT_FOUND, "there is no such %s", missing);
    }
    return json_parse(pg_text(result, 0, 0), ret_json, reterr);
}

err_t api_store_token(struct pg *pg, struct bytes digest, json_t **ret_token, struct error *reterr)
{
    /* The time of use is for people who clean up: a minute's precision saves a write for each call. */
    static const char sql[] =
        "WITH used AS (UPDATE api_token SET last_used_at = now() WHERE digest = $1 AND revoked_at IS NULL"
        "  AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))"
        " SELECT json_build_object('id', id, 'name', name, 'scopes', scopes)::text FROM api_token"
        " WHERE digest = $1 AND revoked_at IS NULL";
    const struct pg_value values[] = { PG_VALUE_BYTEA(digest) };
    return run_json(pg, sql, values, ARRAY_LEN(values), "token", ret_token, reterr);
}

#define CONVERSATION_COLUMNS                                                                                           \
    "'id', c.id, 'contact_id', c.contact_id, 'contact_name', p.name, 'source', c.source, 'identity', c.identity,"      \
    " 'topic', c.topic, 'reference', c.reference, 'state', c.state, 'priority', c.priority, 'assignee', c.assignee,"   \
    " 'tags', c.tags, 'attributes', c.attributes, 'opened_at', c.opened_at, 'updated_at', c.updated_at,"               \
    " 'last_inbound_at', c.last_inbound_at, 'last_outbound_at', c.last_outbound_at, 'first_reply_at', "                \
    "c.first_reply_at,"                                                                                                \
    " 'snoozed_until', c.snoozed_until, 'resolved_at', c.resolved_at, 'episode', c.episode"

#define CONTACT_COLUMNS                                                                                                \
    "'id', p.id, 'created_at', p.created_at, 'updated_at', p.updated_at, 'name', p.name, 'language', p.language,"      \
    " 'timezone', p.timezone, 'preferred_channel', p.preferred_channel, 'attributes', p.attributes,"                   \
    " 'opted_out', p.opted_out, 'opted_out_at', p.opted_out_at, 'merged_into', p.merged_into, 'erased_at', "           \
    "p.erased_at,"                                                                                                     \
    " 'identities', (SELECT coalesce(json_agg(i.identity ORDER BY i.created_at, i.identity), '[]')"                    \
    "                FROM identity AS i WHERE i.contact_id = p.id)"

/* "MICROSECONDS-ID": where the page before ended. */
static bool read_cursor(const char *text, int64_t *ret_micros, int64_t *ret_id)
{
    struct bytes rest = bytes_of(text);
    struct bytes micros = text_next_field(&rest, '-');
    return text_to_i64(micros, ret_micros) && text_to_i64(rest, ret_id);
}

err_t api_store_conversations(struct pg *pg, const json_t *filter, json_t **ret_page, struct error *reterr)
{
    static const char sql[] =
        "WITH page AS ("
        "  SELECT c.*, (extract(epoch FROM c.updated_at) * 1000000)::bigint AS micros FROM conversation AS c"
        "  WHERE ($1::text IS NULL OR c.state = $1)"
        "    AND ($2::bigint IS NULL OR c.contact_id = (SELECT coalesce(f.merged_into, f.id) FROM contact AS f WHERE f.id = $2))"
        "    AND ($3::text IS NULL OR c.assignee = $3) AND ($4::text IS NULL OR $4 = ANY (c.tags))"
        "    AND ($5::bigint IS NULL OR (c.updated_at, c.id) < ('epoch'::timestamptz + $5::bigint * interval '1 "
        "microsecond', $6::bigint))"
        "  ORDER BY c.updated_at DESC, c.id DESC LIMIT $7::bigint)"
        " SELECT json_build_object("
        "  'conversations', coalesce((SELECT json_agg(json_build_object(" CONVERSATION_COLUMNS
        ") ORDER BY c.updated_at DESC, c.id DESC)"
        "     FROM page AS c JOIN contact AS p ON p.id = c.contact_id), '[]'),"
        "  'next', CASE WHEN (SELECT count(*) FROM page) = $7 THEN"
        "     (SELECT micros || '-' || id FROM page ORDER BY micros, id LIMIT 1) END)::text";
    const char *cursor = json_str(filter, "cursor");
    int64_t micros = 0;
    int64_t id = 0;
    if (cursor != NULL && !read_cursor(cursor, &micros, &id)) {
        return fail(reterr, ERR_INVALID, "the cursor is not one that an earlier page gave");
    }
    int64_t contact = json_int(filter, "contact", 0);
    struct pg_value values[] = {
        PG_VALUE_TEXT(json_str(filter, "state")),
        PG_VALUE_INT8(contact),
        PG_VALUE_TEXT(json_str(filter, "assignee")),
        PG_VALUE_TEXT(json_str(filter, "tag")),
        PG_VALUE_INT8(micros),
        PG_VALUE_INT8(id),
        PG_VALUE_INT8(json_int(filter, "limit", 50)),
    };
    values[1].is_null = contact == 0;
    values[4].is_null = values[5].is_null = cursor == NULL;
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_page, reterr);
}

err_t api_store_conversation(struct pg *pg, int64_t id, size_t messages, json_t **ret_conversation,
                             struct error *reterr)
{
    static const char sql[] =
        "SELECT json_build_object(" CONVERSATION_COLUMNS ", 'contact', json_build_object(" CONTACT_COLUMNS "),"
        " 'messages', (SELECT coalesce(json_agg(json_build_object("
        "   'id', m.id, 'created_at', m.created_at, 'occurred_at', m.occurred_at, 'direction', m.direction, 'kind', "
        "m.kind,"
        "   'text', m.text, 'content', m.content, 'author', m.author, 'source', m.source, 'identity', m.identity,"
        "   'state', m.state, 'reason', m.reason, 'error_code', m.error_code, 'reply_to', m.reply_to,"
        "   'provider_message_id', m.provider_message_id, 'sent_at', m.sent_at, 'delivered_at', m.delivered_at,"
        "   'read_at', m.read_at, 'failed_at', m.failed_at, 'edited_at', m.edited_at, 'deleted_at', m.deleted_at,"
        "   'delivery_id', (SELECT max(d.id) FROM delivery AS d WHERE d.message_id = m.id)) ORDER BY m.created_at, "
        "m.id), '[]')"
        "  FROM (SELECT * FROM message WHERE conversation_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2::bigint) "
        "AS m))::text"
        " FROM conversation AS c JOIN contact AS p ON p.id = c.contact_id WHERE c.id = $1";
    const struct pg_value values[] = { PG_VALUE_INT8(id), PG_VALUE_INT8((int64_t)messages) };
    return run_json(pg, sql, values, ARRAY_LEN(values), "conversation", ret_conversation, reterr);
}

err_t api_store_contact(struct pg *pg, int64_t id, json_t **ret_contact, struct error *reterr)
{
    static const char sql[] =
        "SELECT json_build_object(" CONTACT_COLUMNS ","
        " 'addresses', (SELECT coalesce(json_agg(json_build_object('source', a.source, 'identity', a.identity, "
        "'recipient', a.recipient,"
        "    'last_inbound_at', a.last_inbound_at, 'unreachable_at', a.unreachable_at, 'unreachable_reason', "
        "a.unreachable_reason)"
        "    ORDER BY a.source, a.identity), '[]') FROM address AS a WHERE a.contact_id = p.id),"
        " 'conversations', (SELECT coalesce(json_agg(json_build_object(" CONVERSATION_COLUMNS
        ") ORDER BY c.updated_at DESC, c.id DESC), '[]')"
        "    FROM (SELECT * FROM conversation WHERE contact_id = p.id"
        "          ORDER BY updated_at DESC, id DESC LIMIT 50) AS c))::text"
        " FROM contact AS f JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) WHERE f.id = $1";
    const struct pg_value values[] = { PG_VALUE_INT8(id) };
    return run_json(pg, sql, values, ARRAY_LEN(values), "contact", ret_contact, reterr);
}

err_t api_store_owner(struct pg *pg, int64_t conversation_id, json_t **ret_owner, struct error *reterr)
{
    static const char sql[] = "SELECT json_build_object('contact_id', p.id, 'lane', p.lane, 'state', c.state)::text"
                              " FROM conversation AS c JOIN contact AS p ON p.id = c.contact_id WHERE c.id = $1";
    const struct pg_value values[] = { PG_VALUE_INT8(conversation_id) };
    return run_json(pg, sql, values, ARRAY_LEN(values), "conversation", ret_owner, reterr);
}

err_t api_store_source_of_message(struct pg *pg, int64_t conversation_id, const char *provider_id, char **ret_source,
                                  struct error *reterr)
{
    static const char sql[] =
        "SELECT source FROM message WHERE provider_message_id = $2 AND conversation_id = $1 AND source IS NOT NULL"
        " ORDER BY created_at DESC LIMIT 1";
    const struct pg_value values[] = { PG_VALUE_INT8(conversation_id), PG_VALUE_TEXT(provider_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    *ret_source = NULL;
    if (err == ERR_NONE && pg_rows(result) > 0) {
        struct bytes source = pg_text(result, 0, 0);
        *ret_source = memory_text_n(source.ptr, source.len);
    }
    return err;
}

err_t api_store_add_event(struct pg *pg, const json_t *doc, int64_t *ret_event_id, bool *ret_is_new, bool *ret_is_same,
                          struct error *reterr)
{
    /* Keys are claimed inside; when this one was known, the event that has it is looked up. */
    static const char add_sql[] = "SELECT append_internal_events(jsonb_build_array($1::jsonb))";
    static const char find_sql[] =
        "SELECT id, (type, doc->'effects', doc->'body', doc->'contact', doc->'conversation_id', doc->'agent')"
        "   IS NOT DISTINCT FROM ($3::jsonb->>'type', $3::jsonb->'effects', $3::jsonb->'body', $3::jsonb->'contact',"
        "     $3::jsonb->'conversation_id', $3::jsonb->'agent')"
        " FROM event WHERE source = $1 AND key = $2 ORDER BY received_at DESC LIMIT 1";
    int64_t id = 0;
    err_t err = store_reserve_ids(pg, 1, &id, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    json_t *copy = json_deep_copy(doc);
    json_put_int(copy, "id", id);
    if (json_str(doc, "key") == NULL) {
        char key[40];
        snprintf(key, sizeof(key), "internal:%" PRId64, id);
        json_put_str(copy, "key", key);
    }
    char *text = json_dump(copy);
    const struct pg_value values[] = { PG_VALUE_TEXT(text) };
    struct pg_result *added CLEANUP(pg_result_free) = NULL;
    err = query_row(pg, add_sql, values, ARRAY_LEN(values), &added, reterr);
    json_decref(copy);
    *ret_event_id = id;
    *ret_is_new = err == ERR_NONE && pg_int8(added, 0, 0) > 0;
    if (ret_is_same != NULL) {
        *ret_is_same = true;
    }
    if (err == ERR_NONE && !*ret_is_new) {
        const struct pg_value known[] = { PG_VALUE_TEXT(json_str(doc, "source")), PG_VALUE_TEXT(json_str(doc, "key")),
                                          PG_VALUE_TEXT(text) };
        struct pg_result *found CLEANUP(pg_result_free) = NULL;
        err = pg_run(pg, find_sql, known, ARRAY_LEN(known), &found, reterr);
        if (err == ERR_NONE && pg_rows(found) == 0) {
            err = fail(reterr, ERR_NOT_FOUND, "the event that had this key is no longer kept");
        } else if (err == ERR_NONE) {
            *ret_event_id = pg_int8(found, 0, 0);
            if (ret_is_same != NULL) {
                *ret_is_same = pg_bool(found, 0, 1);
            }
        }
    }
    free(text);
    return err;
}

err_t api_store_event_outcome(struct pg *pg, int64_t event_id, json_t **ret_outcome, struct error *reterr)
{
    static const char sql[] =
        "SELECT json_build_object('type', e.type,"
        " 'state', CASE WHEN h.event_id IS NOT NULL THEN 'handled' WHEN k.event_id IS NOT NULL THEN 'parked'"
        "   WHEN w.attempts > 0 THEN 'failing' ELSE 'waiting' END,"
        " 'problem', coalesce(h.problem, k.problem, w.problem),"
        " 'traces', (SELECT coalesce(json_agg(json_build_object('number', t.number, 'rule', t.rule, 'verdict', "
        "t.verdict, 'file', t.file,"
        "    'line', t.line, 'rule_set', t.rule_set, 'effects', t.effects, 'error', t.error) ORDER BY t.number), '[]')"
        "    FROM rule_trace AS t WHERE t.event_id = e.id))::text"
        " FROM event AS e"
        " LEFT JOIN LATERAL (SELECT * FROM handling WHERE event_id = e.id ORDER BY handled_at DESC LIMIT 1) AS h ON "
        "true"
        " LEFT JOIN parked_event AS k ON k.event_id = e.id"
        " LEFT JOIN LATERAL (SELECT * FROM work WHERE event_id = e.id LIMIT 1) AS w ON true"
        " WHERE e.id = $1";
    const struct pg_value values[] = { PG_VALUE_INT8(event_id) };
    return run_json(pg, sql, values, ARRAY_LEN(values), "event", ret_outcome, reterr);
}

err_t api_store_retry_event(struct pg *pg, int64_t event_id, struct error *reterr)
{
    static const char sql[] = "SELECT unpark_event($1)";
    const struct pg_value values[] = { PG_VALUE_INT8(event_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = query_row(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE && !pg_bool(result, 0, 0)) {
        return fail(reterr, ERR_NOT_FOUND, "event %" PRId64 " is not parked", event_id);
    }
    return err;
}

err_t api_store_retry_delivery(struct pg *pg, int64_t delivery_id, struct error *reterr)
{
    static const char sql[] = "SELECT was, was IN ('failed', 'parked', 'blocked', 'unknown', 'canceled', 'retrying', "
                              "'queued') FROM retry_delivery($1::bigint) AS was";
    const struct pg_value values[] = { PG_VALUE_INT8(delivery_id) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    if (pg_rows(result) == 0 || pg_is_null(result, 0, 0)) {
        return fail(reterr, ERR_NOT_FOUND, "there is no such delivery");
    }
    if (!pg_bool(result, 0, 1)) {
        struct bytes was = pg_text(result, 0, 0);
        return fail(reterr, ERR_CONFLICT, "a delivery that is '%.*s' is not sent again", (int)was.len, was.ptr);
    }
    return ERR_NONE;
}

err_t api_store_resume(struct pg *pg, const char *source, struct error *reterr)
{
    static const char sql[] = "SELECT resume_source($1)";
    const struct pg_value values[] = { PG_VALUE_TEXT(source) };
    struct pg_result *result CLEANUP(pg_result_free) = NULL;
    err_t err = pg_run(pg, sql, values, ARRAY_LEN(values), &result, reterr);
    if (err == ERR_NONE && !pg_bool(result, 0, 0)) {
        return fail(reterr, ERR_NOT_FOUND, "'%s' is not paused", source);
    }
    return err;
}

err_t api_store_gauges(struct pg *pg, json_t **ret_gauges, struct error *reterr)
{
    static const char sql[] =
        "SELECT json_build_object("
        /* Counted as far as that is cheap; of a longer queue the positions tell how long it is at most. */
        " 'work', (SELECT CASE WHEN c.rows < 100000 THEN c.rows"
        "            ELSE (SELECT max(position) FROM work) - (SELECT min(position) FROM work) + 1 END"
        "            FROM (SELECT count(*) AS rows FROM (SELECT FROM work LIMIT 100000) AS head) AS c),"
        " 'work_oldest_seconds', (SELECT coalesce(extract(epoch FROM now() - min(event_received_at)), 0)::float8"
        "    FROM (SELECT event_received_at FROM work ORDER BY position LIMIT 100) AS first),"
        " 'work_failing', (SELECT count(*) FROM work WHERE retry_at IS NOT NULL"
        "    AND CASE WHEN retry_at IS NOT NULL OR suspect THEN position END IS NOT NULL)," /* as its index has it */
        " 'parked_events', (SELECT count(*) FROM parked_event),"
        " 'outbox_due', (SELECT count(*) FROM outbox WHERE state = 'waiting' AND due_at <= now()),"
        " 'outbox_oldest_seconds', (SELECT coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8 FROM outbox"
        "    WHERE state = 'waiting' AND due_at <= now()),"
        " 'unknown', (SELECT count(*) FROM outbox WHERE state = 'unknown'),"
        " 'held', (SELECT count(*) FROM held_delivery),"
        " 'timers_due', (SELECT count(*) FROM timer WHERE coalesce(counts_from, due_at) <= now()),"
        " 'quarantined_rules', (SELECT count(*) FROM rule_health WHERE quarantined_until > now()),"
        " 'paused_sources', (SELECT coalesce(json_agg(source ORDER BY source), '[]') FROM source_pace WHERE "
        "paused_until > now())"
        ")::text";
    return query_json(pg, sql, NULL, 0, ret_gauges, reterr);
}
