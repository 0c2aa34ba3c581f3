#include "store/capture_store.h"

#include "base/macros.h"
#include "store/query.h"

err_t capture_store_read(struct pg *pg, int64_t event_id, size_t max_events, json_t **ret_capture, struct error *reterr)
{
    /* The window of one contact's history is 30 days: older things seldom decide what a rule does. */
    static const char sql[] =
        "WITH it AS (SELECT e.*, h.contact_id FROM event AS e"
        "   LEFT JOIN LATERAL (SELECT x.contact_id FROM handling AS x WHERE x.event_id = e.id ORDER BY x.handled_at LIMIT 1) AS h ON true"
        "   WHERE e.id = $1::bigint LIMIT 1),"
        " earlier AS (SELECT * FROM ("
        "   SELECT DISTINCT ON (e.received_at, e.id) e.* FROM it"
        "     JOIN handling AS h ON h.contact_id = it.contact_id AND h.handled_at > it.received_at - interval '30 days'"
        "     JOIN event AS e ON e.id = h.event_id AND e.received_at <= it.received_at AND e.received_at > it.received_at - interval '30 days'"
        "    WHERE e.type <> 'message.status' AND e.id <> it.id AND (e.received_at, e.id) < (it.received_at, it.id)"
        "      AND (e.source <> 'answerd' OR e.type = 'agent.action' OR (e.type LIKE 'custom.%' AND e.cause_event IS NULL))"
        "    ORDER BY e.received_at DESC, e.id DESC LIMIT $2::bigint) AS x"
        "   UNION ALL SELECT e.* FROM it JOIN event AS e ON e.id = it.id AND e.received_at = it.received_at"
        "    WHERE it.source <> 'answerd' OR it.type = 'agent.action' OR (it.type LIKE 'custom.%' AND it.cause_event IS NULL)),"
        " begin AS (SELECT least(min(earlier.received_at), (SELECT received_at FROM it)) AS at FROM earlier)"
        " SELECT json_strip_nulls(json_build_object("
        "   'event', (SELECT it.doc || jsonb_build_object('id', it.id, 'type', it.type, 'source', it.source, 'received_at', it.received_at) FROM it),"
        "   'contact', (SELECT to_json(c) FROM contact AS c JOIN it ON c.id = it.contact_id),"
        "   'known_before', (SELECT c.created_at < begin.at FROM contact AS c JOIN it ON c.id = it.contact_id CROSS JOIN begin),"
        "   'identities', (SELECT coalesce(json_agg(i.identity ORDER BY i.created_at, i.identity), '[]') FROM identity AS i JOIN it ON i.contact_id = it.contact_id),"
        "   'events', (SELECT coalesce(json_agg(x.doc || jsonb_build_object('id', x.id, 'type', x.type, 'source', x.source, 'received_at', x.received_at)"
        "                     ORDER BY x.received_at, x.id), '[]') FROM earlier AS x),"
        "   'messages', (SELECT coalesce(json_agg(json_build_object('event_id', m.event_id, 'at', m.created_at, 'source', m.source,"
        "                        'template', m.content->>'template', 'state', m.state) ORDER BY m.created_at, m.id), '[]')"
        "                  FROM message AS m JOIN it ON m.contact_id = it.contact_id CROSS JOIN begin"
        "                  CROSS JOIN LATERAL (WITH RECURSIVE cause AS ("
        "                        SELECT e.id, e.received_at, e.cause_event FROM event AS e WHERE e.id = m.event_id"
        "                         UNION ALL SELECT e.id, e.received_at, e.cause_event FROM cause JOIN event AS e ON e.id = cause.cause_event)"
        "                      SELECT cause.id, cause.received_at FROM cause WHERE cause.cause_event IS NULL LIMIT 1) AS root"
        "                 WHERE m.direction = 'out' AND m.author <> 'agent:elsewhere' AND m.created_at >= begin.at"
        "                   AND (root.received_at, root.id) <= (it.received_at, it.id) AND m.created_at < it.received_at + interval '1 minute')))"
        "  FROM it";
    const struct pg_value values[] = { PG_VALUE_INT8(event_id), PG_VALUE_INT8((int64_t)max_events) };
    return query_json(pg, sql, values, ARRAY_LEN(values), ret_capture, reterr);
}
