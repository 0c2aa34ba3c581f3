-- Conversations as a batch writes them: columns of texts, one for each row.

SELECT test.contact(1000, 'whatsapp:1');
CREATE FUNCTION test.write(rows jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    c text[][] := '{}';
    columns constant text[] := ARRAY['id', 'contact_id', 'source', 'identity', 'topic', 'reference', 'state', 'priority', 'assignee', 'tags',
        'attributes', 'opened_at', 'updated_at', 'last_inbound_at', 'last_outbound_at', 'first_reply_at', 'snoozed_until', 'resolved_at',
        'episode', 'previous_id'];
BEGIN
    EXECUTE format('SELECT write_conversations(%s)', (
        SELECT string_agg(format('(SELECT array_agg(r->>%L ORDER BY n) FROM jsonb_array_elements($1) WITH ORDINALITY AS x (r, n))', name),
                          ', ' ORDER BY n) FROM unnest(columns) WITH ORDINALITY AS u (name, n))) USING rows;
END
$$;

SELECT test.write('[{"id": 1001, "contact_id": 1000, "state": "resolved", "tags": ["a", "b\"c"], "attributes": {"plan": "pro"},
                     "updated_at": "2026-01-02T03:04:05.678Z", "last_inbound_at": "2026-01-02T00:00:00Z", "first_reply_at": "2026-01-02T00:00:01Z",
                     "resolved_at": "2026-01-02T03:04:05Z", "episode": 2},
                    {"id": 1100, "contact_id": 1000, "previous_id": 1001, "last_inbound_at": "2026-01-03T00:00:00Z"}]');
SELECT test.same((SELECT concat_ws(' ', state, tags, attributes, updated_at AT TIME ZONE 'UTC', first_reply_at AT TIME ZONE 'UTC', episode, source)
                    FROM conversation WHERE id = 1001),
                 E'resolved {a,"b\\"c"} {"plan": "pro"} 2026-01-02 03:04:05.678 2026-01-02 00:00:01 2', 'all columns are as the batch has them');
SELECT test.same((SELECT concat_ws(' ', topic, '-' || reference, state, priority, tags, attributes, episode, previous_id, opened_at IS NOT NULL)
                    FROM conversation WHERE id = 1100), 'support - open normal {} {} 1 1001 t', 'one is opened in the place of the one that ends');

-- The one that ends is told last, and makes room all the same.
SELECT test.write('[{"id": 1001, "contact_id": 1000, "state": "open"}, {"id": 1100, "contact_id": 1000, "state": "resolved"}]');
SELECT test.same((SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM conversation WHERE contact_id = 1000), '1001 open, 1100 resolved',
                 'one opens again while another ends');

-- A sender may have written in between.
UPDATE conversation SET last_outbound_at = '2026-02-01', first_reply_at = '2026-01-01' WHERE id = 1001;
SELECT test.write('[{"id": 1001, "contact_id": 1000, "last_inbound_at": "2026-01-01T00:00:00Z", "last_outbound_at": "2026-01-05T00:00:00Z",
                     "first_reply_at": "2026-01-05T00:00:00Z"}]');
SELECT test.same((SELECT concat_ws(' ', last_inbound_at::date, last_outbound_at::date, first_reply_at::date) FROM conversation WHERE id = 1001),
                 '2026-01-02 2026-02-01 2026-01-01', 'times do not go back, and a first reply stays the first');

SELECT test.refused($$SELECT test.write('[{"id": 1200, "contact_id": 1000}]')$$, '23505', 'a second open one of the same contact');
SELECT test.refused($$SELECT test.write('[{"id": 1200, "contact_id": 7}]')$$, '23503', 'one of nobody');
SELECT test.same((SELECT count(*) FROM conversation), 2::bigint, 'and nothing came of them');
