-- Merges: whose messages the views show, whatever chain of merges there was; and what is remembered of payments.

INSERT INTO contact (id, lane, name) VALUES (1, 1, 'Ada'), (2, 2, NULL), (3, 3, 'A. Lovelace'), (4, 4, 'Grace');
INSERT INTO conversation (id, contact_id, source, topic) SELECT n * 10, n, 'whatsapp', 'support' FROM generate_series(1, 4) AS n;
INSERT INTO message (id, conversation_id, contact_id, direction, kind, text, state)
SELECT 100 + n, n * 10, n, 'in', 'text', 'from ' || n, 'received' FROM generate_series(1, 4) AS n;
INSERT INTO delivery (id, kind, source, contact_id, message_id, message_created_at, request, state)
SELECT 200 + n, 'message', 'whatsapp', n, 100 + n, now(), '{}', 'sent' FROM generate_series(1, 4) AS n;

-- Resolved so long ago that the engine does not have them at hand.
INSERT INTO conversation (id, contact_id, source, topic, state) SELECT n * 10 + 1, n, 'whatsapp', 'support', 'resolved' FROM generate_series(1, 4) AS n;

-- 3 into 2, later 2 into 1. The engine writes whole rows.
SELECT engine_commit('{"contacts": [{"id": 3, "lane": 3, "name": "A. Lovelace", "merged_into": 2}],
    "conversations": [{"id": 30, "contact_id": 2, "source": "whatsapp", "topic": "support", "state": "resolved"}]}', '{}');
SELECT engine_commit('{"contacts": [{"id": 2, "lane": 2, "merged_into": 1}],
    "conversations": [{"id": 30, "contact_id": 1, "source": "whatsapp", "topic": "support", "state": "resolved"}]}', '{}');
SELECT test.same((SELECT string_agg(id || '>' || merged_into, ' ' ORDER BY id) FROM contact WHERE merged_into IS NOT NULL),
    '2>1 3>1', 'merged_into names who is left');
SELECT test.same((SELECT string_agg(id || ' of ' || contact_id, ', ' ORDER BY id) FROM conversation WHERE state = 'resolved' AND id % 10 = 1),
    '11 of 1, 21 of 1, 31 of 1, 41 of 4', 'old conversations go with them');
SELECT test.same((SELECT string_agg(text || ' ' || contact_id || ' ' || contact_name, ', ' ORDER BY message_id)
    FROM conversation_history WHERE contact_name = 'Ada'), 'from 1 1 Ada, from 2 1 Ada, from 3 1 Ada', 'by name');
SELECT test.same((SELECT count(*) FROM conversation_history WHERE contact_id = 1), 3::bigint, 'by number');
SELECT test.same((SELECT count(*) FROM delivery_log WHERE contact_id = 1), 3::bigint, 'deliveries');
SELECT test.same((SELECT count(*) FROM conversation_history WHERE contact_id IN (2, 3)), 0::bigint, 'nobody is two');
SELECT test.same((SELECT count(*) FROM conversation_history WHERE contact_name = 'Grace'), 1::bigint, 'others stay');

-- Both in one batch, in either order of the rows.
INSERT INTO contact (id, lane) VALUES (5, 5), (6, 6), (7, 7);
SELECT engine_commit('{"contacts": [{"id": 6, "lane": 6, "merged_into": 5}, {"id": 7, "lane": 7, "merged_into": 6}]}', '{}');
SELECT test.same((SELECT merged_into FROM contact WHERE id = 7), 5::bigint, 'a chain in one batch');

-- One person's messages are found by indexes, not by looking through all.
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.plan() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN SELECT * FROM conversation_history WHERE contact_id = 1 ORDER BY at';
END
$$;
SELECT test.holds((SELECT string_agg(line, E'\n') FROM pg_temp.plan() AS line) LIKE '%contact_by_survivor%',
    'who was merged into a contact is found by an index');
RESET enable_seqscan;

-- What was paid is kept, a node that does not know of it changes nothing, and who is forgotten has paid nothing.
SELECT engine_commit('{"contacts": [{"id": 4, "lane": 4, "name": "Grace", "settled": [{"type": "payment.succeeded"}]}]}', '{}');
SELECT engine_commit('{"contacts": [{"id": 4, "lane": 4, "name": "Grace H."}]}', '{}');
SELECT test.same((SELECT name || ' ' || settled::text FROM contact WHERE id = 4), 'Grace H. [{"type": "payment.succeeded"}]', 'kept');
SELECT erase_contact(4);
SELECT test.same((SELECT settled FROM contact WHERE id = 4), NULL, 'forgotten');
SELECT engine_commit('{"contacts": [{"id": 4, "lane": 4, "name": "Grace H.", "settled": [{"type": "payment.succeeded"}]}]}', '{}');
SELECT test.same((SELECT concat_ws(' ', name, settled) FROM contact WHERE id = 4), '', 'and nothing that was still in hand brings it back');
