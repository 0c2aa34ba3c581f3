#include "store/engine_people.h"

#include "base/macros.h"
#include "store/query.h"
#include "store/row_objects.h"

static struct pg_value text_array(const struct texts *texts)
{
    return PG_VALUE_TEXTS(texts->list, texts->count);
}

static struct pg_value number_array(const struct numbers *numbers)
{
    return PG_VALUE_INT8S(numbers->list, numbers->count);
}

/* The ids as the server shows them, {1,2}; they go back to it as they came. */
static err_t find_people(struct pg *pg, const struct event_names *names, bool locking, struct pg_result **ret_ids,
                         struct error *reterr)
{
    static const char sql[] =
        "SELECT claimed_contacts(ROW(nullif($1::text[], '{}'), nullif($2::bigint[], '{}'), nullif($3::bigint[], '{}'),"
        " nullif($4::bigint[], '{}'), nullif($5::text[], '{}'), nullif($6::text[], '{}'), nullif($7::text[], "
        "'{}'))::event_names, $8)";
    const struct pg_value values[] = {
        text_array(&names->handles),         number_array(&names->contacts),
        number_array(&names->conversations), number_array(&names->echoes),
        text_array(&names->status_sources),  text_array(&names->status_ids),
        text_array(&names->references),      PG_VALUE_BOOL(locking),
    };
    return query_row(pg, sql, values, ARRAY_LEN(values), ret_ids, reterr);
}

/* Adds the rows of a result under the name of their table. */
static err_t put_rows(json_t *facts, const char *table, const struct pg_result *result, struct error *reterr)
{
    if (pg_rows(result) == 0) {
        return ERR_NONE;
    }
    json_t *rows = NULL;
    err_t err = row_objects(result, &rows, reterr);
    if (err == ERR_NONE) {
        json_put(facts, table, rows);
    }
    return err;
}

/* What is asked with nothing but the ids. Columns are named one by one: a table may get more of them meanwhile. */
static const struct {
    const char *table, *sql;
} by_ids[] = {
    { "contacts", "SELECT id, created_at, updated_at, name, language, timezone, preferred_channel, lane, attributes,"
                  " opted_out, opted_out_at, merged_into, erased_at, settled"
                  " FROM contact WHERE id = ANY ($1::bigint[]) ORDER BY id" },
    { "identities", "SELECT identity, contact_id, created_at, proven_by"
                    " FROM identity WHERE contact_id = ANY ($1::bigint[]) ORDER BY created_at, identity" },
    { "addresses",
      "SELECT source, identity, contact_id, recipient, last_inbound_at, unreachable_at, unreachable_reason,"
      " next_slot_at, delivered_up_to, read_up_to"
      " FROM address WHERE contact_id = ANY ($1::bigint[])" },
    /* The last one of each name, for cooldowns of any length. */
    { "surveys",
      "SELECT id, name, conversation_id, contact_id, episode, state, score, scale, comment, message_id, rule,"
      " asked_at, answered_at, commented_at, expires_at"
      " FROM (SELECT s.*, row_number() OVER (PARTITION BY contact_id, name ORDER BY asked_at DESC, id DESC) AS nth"
      "         FROM survey AS s WHERE contact_id = ANY ($1::bigint[]) AND state <> 'canceled') AS s"
      " WHERE asked_at > now() - interval '30 days' OR nth = 1 ORDER BY id" },
    { "outreaches",
      "SELECT id, contact_id, conversation_id, topic, reference, other_references, payment, goal, goals,"
      " state, step, steps, vars, rule, event_id, started_at, reached_at, next_attempt_at, ended_at, ended_by"
      " FROM (SELECT o.*, row_number() OVER (PARTITION BY contact_id, state = 'active' ORDER BY started_at"
      "         DESC) AS nth FROM outreach AS o WHERE contact_id = ANY ($1::bigint[])) AS o"
      " WHERE state = 'active' OR nth <= 5 ORDER BY id" },
    { "timers", "SELECT id, name, due_at, lane, contact_id, conversation_id, outreach_id, survey_id, rule, rule_set,"
                " cause_event, depth, data, unless, armed_at, counts_from"
                " FROM timer WHERE contact_id = ANY ($1::bigint[]) ORDER BY due_at, id" },
};

/* Those that are open, and of the others the last few, those that are named, and those that were asked about lately: a
 * late answer belongs to the conversation that was asked about, however many came after it. */
static const char conversations_sql[] =
    "SELECT id, contact_id, source, identity, topic, reference, state, priority, assignee, tags, attributes, "
    "opened_at,"
    " updated_at, last_inbound_at, last_outbound_at, first_reply_at, snoozed_until, resolved_at, episode, "
    "previous_id"
    " FROM (SELECT v.*, row_number() OVER (PARTITION BY contact_id, state = 'resolved' ORDER BY updated_at DESC) "
    "AS nth"
    "         FROM conversation AS v WHERE contact_id = ANY ($1::bigint[])) AS v"
    " WHERE state <> 'resolved' OR (nth <= 5 AND updated_at > now() - interval '30 days')"
    "    OR id = ANY ($2::bigint[]) OR id IN (SELECT r.id FROM replay_conversations($3::bigint[]) AS r)"
    "    OR id IN (SELECT s.conversation_id FROM survey AS s WHERE s.contact_id = ANY ($1::bigint[])"
    "               AND s.state <> 'canceled' AND s.asked_at > now() - interval '30 days')"
    " ORDER BY id";

/* Messages that the events edit, answer or report on, by their provider's id or by our echo; of these people only. */
static const char messages_sql[] =
    "WITH referred AS MATERIALIZED ("
    " SELECT m.id, m.created_at FROM unnest($2::text[], $3::text[]) AS r (source, id)"
    " CROSS JOIN LATERAL (SELECT x.id, x.created_at, x.source FROM message AS x"
    "   WHERE x.provider_message_id = r.id AND x.created_at > now() - interval '62 days' OFFSET 0) AS m"
    " WHERE m.source = r.source UNION"
    " SELECT d.message_id, d.message_created_at FROM unnest($4::bigint[]) AS e (id)"
    " CROSS JOIN LATERAL (SELECT x.message_id, x.message_created_at FROM delivery AS x"
    "   WHERE x.id = e.id AND x.created_at > now() - interval '62 days' OFFSET 0) AS d"
    " WHERE d.message_id IS NOT NULL)"
    " SELECT m.id, m.created_at, m.occurred_at, m.conversation_id, m.contact_id, m.direction, m.source, m.identity,"
    " m.kind, m.text, m.content, m.author, m.provider_message_id, m.reply_to, m.event_id, m.outreach_id, "
    "m.survey_id,"
    " m.state, m.reason, m.error_code, m.queued_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.edited_at,"
    " m.deleted_at, m.replay_id, (SELECT d.id FROM delivery AS d"
    "   WHERE d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'"
    "   ORDER BY d.id DESC LIMIT 1) AS delivery_id"
    " FROM referred AS r CROSS JOIN LATERAL"
    " (SELECT x.* FROM message AS x WHERE x.id = r.id AND x.created_at = r.created_at OFFSET 0) AS m"
    " WHERE m.contact_id = ANY ($1::bigint[]) OR surviving_contacts(ARRAY[m.contact_id]) && $1::bigint[]";

/* All of it is asked at once: nothing here depends on the answer to another question. */
static err_t add_all(struct pg *pg, json_t *facts, struct pg_value ids, const struct event_names *names,
                     struct error *reterr)
{
    const struct pg_value for_conversations[] = { ids, number_array(&names->conversations),
                                                  number_array(&names->replayed) };
    const struct pg_value for_messages[] = { ids, text_array(&names->message_sources), text_array(&names->message_ids),
                                             number_array(&names->echoes) };
    _Static_assert(ARRAY_LEN(by_ids) + 2 <= PG_MAX_TOGETHER, "all are asked together");
    const char *tables[ARRAY_LEN(by_ids) + 2];
    struct pg_statement statements[ARRAY_LEN(by_ids) + 2];
    struct pg_result *results[ARRAY_LEN(by_ids) + 2] = { NULL };
    size_t count = 0;
    for (; count < ARRAY_LEN(by_ids); count++) {
        tables[count] = by_ids[count].table;
        statements[count] = (struct pg_statement){ by_ids[count].sql, &ids, 1 };
    }
    tables[count] = "conversations";
    statements[count++] = (struct pg_statement){ conversations_sql, for_conversations, ARRAY_LEN(for_conversations) };
    if (names->message_ids.count > 0 || names->echoes.count > 0) {
        tables[count] = "messages";
        statements[count++] = (struct pg_statement){ messages_sql, for_messages, ARRAY_LEN(for_messages) };
    }
    err_t err = pg_run_together(pg, statements, count, results, reterr);
    for (size_t i = 0; i < count; i++) {
        if (err == ERR_NONE) {
            err = put_rows(facts, tables[i], results[i], reterr);
        }
        pg_result_free(&results[i]);
    }
    return err;
}

err_t engine_read_people(struct pg *pg, const struct event_names *names, bool locking, json_t **ret_facts,
                         struct error *reterr)
{
    struct pg_result *found CLEANUP(pg_result_free) = NULL;
    err_t err = find_people(pg, names, locking, &found, reterr);
    if (err != ERR_NONE) {
        return err;
    }
    const struct bytes ids = pg_text(found, 0, 0);
    json_t *facts = json_object();
    if (ids.len > sizeof("{}") - 1) {
        err = add_all(pg, facts, PG_VALUE_BYTES(ids), names, reterr);
    }
    if (err != ERR_NONE) {
        json_decref(facts);
        return err;
    }
    *ret_facts = facts;
    return ERR_NONE;
}
