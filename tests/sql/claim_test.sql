-- The facts of a claim in one document for each table are those of the cases for each contact, which programs of an earlier
-- version ask for.

SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 4) AS n;
UPDATE contact SET merged_into = 1000 WHERE id = 4000;
-- Beyond the five that ended last: one that an event names, one that was asked about lately.
INSERT INTO conversation (id, contact_id, state, resolved_at, updated_at)
SELECT 1100 + n, 1000, 'resolved', now(), now() - n * interval '1 hour' FROM generate_series(1, 9) AS n;
INSERT INTO conversation (id, contact_id, state, resolved_at, updated_at)
VALUES (2100, 2000, 'resolved', now(), now() - interval '40 days'), (2101, 2000, 'resolved', now(), now() - interval '1 day');
INSERT INTO survey (id, name, conversation_id, contact_id, episode, asked_at, state)
VALUES (1200, 'csat', 1108, 1000, 1, now() - interval '1 day', 'answered'), (1201, 'csat', 1109, 1000, 1, now() - interval '50 days', 'expired'),
       (1202, 'other', 1109, 1000, 1, now() - interval '90 days', 'expired'), (1203, 'gone', 1109, 1000, 1, now(), 'canceled');
INSERT INTO outreach (id, contact_id, topic, reference, goal, steps, state, started_at)
SELECT 1300 + n, 1000, 'billing', n::text, 'payment.succeeded', '[]', CASE WHEN n < 4 THEN 'active' ELSE 'exhausted' END,
       now() - n * interval '1 minute' FROM generate_series(1, 12) AS n;
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id)
VALUES (1400, 'b', now() + interval '2 hours', 1, 1000, 1001), (1401, 'a', now() + interval '1 hour', 1, 1000, 1001),
       (2400, 'a', now() + interval '1 hour', 1, 2000, 2001);
INSERT INTO message (id, conversation_id, contact_id, direction, kind, state, source, provider_message_id)
VALUES (1500, 1001, 1000, 'out', 'text', 'sent', 'whatsapp', 'wamid.1'), (4500, 1001, 4000, 'out', 'text', 'sent', 'whatsapp', 'wamid.4'),
       (3500, 3001, 3000, 'out', 'text', 'sent', 'whatsapp', 'wamid.3'), (1501, 1001, 1000, 'out', 'text', 'sent', 'other', 'wamid.1');
INSERT INTO delivery (id, kind, source, message_id, message_created_at, contact_id, request)
SELECT id + 10, 'message', 'whatsapp', id, created_at, contact_id, '{}' FROM message WHERE id IN (1500, 4500);
SELECT test.event('a', 1, '{"contact": {"identities": ["phone:1"]}, "message": {"reply_to": "wamid.4"}}'),
       test.event('b', 2, '{"conversation_id": 2001}', 'custom.x'),
       test.event('c', 3, '{"conversation_id": 2100}', 'custom.x'),
       test.event('d', 4, '{"contact": {"identities": ["whatsapp:1"]}, "message": {"id": "wamid.1"}}', 'message.edited'),
       test.event('e', 5, '{"status": {"echo": 4510}}', 'message.status'),
       test.event('f', 6, '{"conversation_id": 1109}', 'custom.x');

BEGIN;
CREATE TEMP TABLE positions AS SELECT array_agg(e.position) AS list, array_agg(e.key) AS keys,
       array_agg(e.received_at = (SELECT received_at FROM event WHERE id = e.id)) AS times
  FROM claimed_events(claim_positions(10, 0)) AS e;
SELECT test.same((SELECT keys::text FROM positions), '{a,b,c,d,e,f}', 'the events come in order');
SELECT test.holds((SELECT true = ALL (times) FROM positions), 'with what their columns say');
CREATE TEMP TABLE facts AS
SELECT to_jsonb(f) AS doc FROM positions AS p,
       claimed_facts(names_in_events(p.list), '{whatsapp,whatsapp,whatsapp}', '{wamid.4,wamid.1,wamid.3}', '{}', true) AS f;
SELECT test.same(current_setting('answerd.locked_contacts'), '{1000,2000}', 'whose facts they are');
CREATE TEMP TABLE cases AS SELECT c.value AS doc FROM positions AS p, jsonb_array_elements(
    claimed_cases(p.list, current_setting('answerd.locked_contacts')::bigint[])::jsonb) AS c;
CREATE FUNCTION pg_temp.rows_of(tables jsonb, name text) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT r.value FROM jsonb_array_elements(CASE jsonb_typeof(tables->name) WHEN 'array' THEN tables->name ELSE '[]' END) AS r
$$;
SELECT test.same((SELECT string_agg(r::text, E'\n' ORDER BY r) FROM facts, pg_temp.rows_of(doc, name) AS r),
                 (SELECT string_agg(r::text, E'\n' ORDER BY r) FROM cases, pg_temp.rows_of(doc, name) AS r), name)
  FROM unnest(ARRAY['identities', 'addresses', 'conversations', 'surveys', 'outreaches', 'timers', 'messages']) AS name;
SELECT test.same((SELECT doc->'contacts' FROM facts), (SELECT jsonb_agg(doc->'contact') FROM cases), 'contacts');
-- Each table's rows of a contact come in the same order.
SELECT test.same((SELECT jsonb_agg(r->'id') FROM facts, pg_temp.rows_of(doc, name) AS r WHERE r->>'contact_id' = '1000'),
                 (SELECT jsonb_agg(r->'id') FROM cases, pg_temp.rows_of(doc, name) AS r WHERE r->>'contact_id' = '1000'), name || ', in order')
  FROM unnest(ARRAY['conversations', 'surveys', 'outreaches', 'timers']) AS name;
SELECT test.same((SELECT jsonb_agg(r->'id' ORDER BY r->'id') FROM facts, pg_temp.rows_of(doc, 'messages') AS r), '[1500, 4500]',
                 'messages of those whom the events are about, and of no one else');
ROLLBACK;

-- Who only looks locks nobody.
SELECT test.open('a');
SELECT test.run('a', 'BEGIN'), test.ask('a', 'SELECT id::text FROM contact WHERE id = 1000 FOR UPDATE');
SELECT test.same((SELECT json_array_length(contacts) FROM claimed_facts(ROW('{whatsapp:1}', NULL, NULL, NULL, NULL, NULL, NULL)::event_names,
                                                              '{}', '{}', '{}', false)), 1, 'beside somebody who holds the contact');
SELECT test.run('a', 'ROLLBACK');

-- Whom events name, for programs that read the rows themselves: locked, and once more when somebody brought others in meanwhile.
CREATE FUNCTION test.named(handles text, locking boolean) RETURNS text
LANGUAGE sql
AS $$ SELECT format('SELECT claimed_contacts(ROW(%L, NULL, NULL, NULL, NULL, NULL, NULL)::event_names, %L)::text', handles, locking) $$;
SELECT test.open('b');
SELECT test.same(test.ask('b', test.named('{whatsapp:2,whatsapp:1,whatsapp:4}', true)), '{1000,2000}', 'in the order of their ids');
SELECT test.run('b', 'BEGIN'), test.ask('b', test.named('{whatsapp:1}', true));
SELECT test.same(test.ask('b', $$SELECT current_setting('answerd.locked_contacts')$$), '{1000}', 'the commit finds whose facts they are');
SELECT test.refused('SELECT FROM contact WHERE id = 1000 FOR NO KEY UPDATE NOWAIT', '55P03', 'they are locked');
SELECT test.run('b', 'ROLLBACK');
SELECT test.run('a', 'BEGIN'), test.run('a', 'UPDATE contact SET merged_into = 2000 WHERE id = 3000');
SELECT test.same(test.ask('b', test.named('{whatsapp:3}', false)), '{3000}', 'who only looks waits for nobody');
SELECT test.start('b', test.named('{whatsapp:3}', true));
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), '{2000}', 'whom they were merged into while we waited');

-- What an earlier try ran into comes with the next one; work whose event somebody dropped is parked.
INSERT INTO work (event_id, event_received_at, lane) VALUES (99999, now(), 77);
UPDATE work SET also_load = '{email:a@b}' WHERE position = (SELECT min(position) FROM work);
SELECT test.same((SELECT string_agg(e.key || coalesce(' ' || e.also_load::text, ''), ', ' ORDER BY n)
                    FROM claimed_events(ARRAY(SELECT position FROM work ORDER BY position)) WITH ORDINALITY AS e
                      (position, attempts, id, type, source, key, lane, received_at, occurred_at, doc, replay, happened, also_load, n)),
                 'a ["email:a@b"], b, c, d, e, f', 'the others come as ever');
SELECT test.same((SELECT string_agg(event_id || ' ' || problem, ', ') FROM parked_event), '99999 the event is gone', 'it does not come again');
