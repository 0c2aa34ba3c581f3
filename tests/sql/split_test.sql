-- Two who were taken for one are taken apart while what they wrote is being handled, sent or held.

SELECT test.open('engine'), test.open('operator');
CREATE FUNCTION test.add_handle(contact bigint, handle text, of_source text) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO identity (identity, contact_id) VALUES (handle, contact);
    INSERT INTO address (source, identity, contact_id, recipient) VALUES (of_source, handle, contact, split_part(handle, ':', 2));
    INSERT INTO conversation (id, contact_id, source, identity, topic) VALUES (contact + 2, contact, of_source, handle, 'other');
$$;
CREATE FUNCTION test.owners(of_table regclass) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    found text;
BEGIN
    EXECUTE format('SELECT string_agg(id || '':'' || CASE contact_id WHEN 100 THEN ''ada'' ELSE ''other'' END, '' '' ORDER BY id) FROM %s', of_table)
       INTO found;
    RETURN found;
END
$$;

-- An engine has something of theirs in hand: it ends first, and what it wrote is divided, too.
SELECT test.contact(100, 'whatsapp:1'), test.add_handle(100, 'telegram:2', 'telegram');
SELECT test.event('written', identity_lane('telegram:2'), '{"provider": "telegram", "contact": {"identities": ["telegram:2"]}}', 'message.received', 'telegram');
SELECT test.run('engine', 'BEGIN');
SELECT test.same(test.ask('engine', 'SELECT test.claim(10)'), 'written', 'it is being handled');
SELECT test.start('operator', $$SELECT split_contact(100, 'telegram:2')::text$$);
SELECT test.until_blocked('operator');
SELECT test.ask('engine', $$SELECT engine_commit(jsonb_build_object(
    'messages', jsonb_build_array(jsonb_build_object('id', 500, 'created_at', now(), 'direction', 'in', 'kind', 'text', 'text', 'hello',
        'contact_id', 100, 'conversation_id', 102, 'source', 'telegram', 'identity', 'telegram:2', 'event_id', e.id)),
    'timers', jsonb_build_array(jsonb_build_object('id', 501, 'name', 'nudge', 'due_at', now() + interval '1 hour', 'lane', 1,
        'contact_id', 100, 'conversation_id', 102)),
    'handlings', jsonb_build_array(jsonb_build_object('event_id', e.id, 'contact_id', 100, 'conversation_id', 102))), ARRAY[w.position])::text
  FROM event AS e JOIN work AS w ON w.event_id = e.id WHERE e.key = 'written'$$), test.run('engine', 'COMMIT');
SELECT test.wait('operator') AS other \gset
SELECT test.same(test.owners('message'), '500:other', 'what was written meanwhile');
SELECT test.same(test.owners('timer'), '501:other', 'what will happen');
SELECT test.same(test.owners('conversation'), '101:ada 102:other', 'each their own');
SELECT test.same((SELECT lane FROM timer), identity_lane('telegram:2'), 'the timer fires in the lane of who it is about');
SELECT test.same((SELECT contact_id FROM handling WHERE event_id = (SELECT id FROM event WHERE key = 'written')), :other::bigint, 'what was handled');
SELECT test.same((SELECT e.doc - 'occurred_at' FROM event AS e WHERE e.type = 'contact.split'), jsonb_build_object('type', 'contact.split',
    'source', 'answerd', 'provider', 'answerd', 'key', 'split:' || :other, 'contact_id', 100,
    'body', jsonb_build_object('from', 100, 'into', :other::bigint, 'identities', '["telegram:2"]'::jsonb, 'by', session_user)), 'what rules are told');

-- The other way round: who comes while it goes on waits, and finds who has the handle then.
DELETE FROM work;
SELECT test.contact(200, 'whatsapp:3'), test.add_handle(200, 'telegram:4', 'telegram');
SELECT test.run('operator', 'BEGIN'), test.ask('operator', $$SELECT split_contact(200, 'telegram:4')::text$$);
SELECT test.event('later', 1, '{"provider": "stripe", "contact": {"identities": ["stripe:cus_2", "telegram:4"]}}', 'payment.failed', 'stripe');
SELECT test.run('engine', 'BEGIN'), test.start('engine', $$SELECT (c.work::text LIKE '%contact 200%')::text FROM engine_claim(10) AS c$$);
SELECT test.until_blocked('engine');
SELECT test.run('operator', 'COMMIT');
SELECT test.same(test.wait('engine'), 'false', 'it is not the first one''s any more');
SELECT test.run('engine', 'ROLLBACK');

-- What waits: said by its handles, by its conversation, or by its outreach.
DELETE FROM work;
SELECT test.contact(300, 'whatsapp:5'), test.add_handle(300, 'telegram:6', 'telegram');
SELECT test.event('start', 1, '{"provider": "stripe", "contact": {"identities": ["stripe:cus_3", "telegram:6"]}}', 'payment.failed', 'stripe');
INSERT INTO handling (event_id, contact_id) SELECT id, 300 FROM event WHERE key = 'start';
INSERT INTO outreach (id, contact_id, conversation_id, topic, goal, steps, event_id)
SELECT 303, 300, 301, 'billing', 'payment.succeeded', '[]', id FROM event WHERE key = 'start';
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, outreach_id)
VALUES (304, 'outreach.step', now() + interval '1 hour', 0, 300, 301, 303);
DELETE FROM work;
SELECT test.event('own timer', 300 % 1000, '{"contact_id": 300, "conversation_id": 301}', 'timer.nudge', 'answerd'),
       test.event('other timer', 300 % 1000, '{"contact_id": 300, "conversation_id": 302}', 'timer.nudge', 'answerd'),
       test.event('other step', 300 % 1000, '{"contact_id": 300, "conversation_id": 301, "outreach_id": 303}', 'outreach.step', 'answerd'),
       test.event('neither', 300 % 1000, '{"contact_id": 300}', 'contact.opted_out', 'answerd');
INSERT INTO survey (id, name, conversation_id, contact_id, episode) VALUES (305, 'csat', 301, 300, 1), (306, 'csat', 302, 300, 1);
SELECT test.event('other survey', 300 % 1000, '{"contact_id": 300, "survey_id": 306}', 'survey.expired', 'answerd');
UPDATE contact SET opted_out = '{marketing}', opted_out_at = now(), settled = '[{"type": "payment.succeeded"}]' WHERE id = 300;
SELECT split_contact(300, 'telegram:6') AS other \gset
SELECT test.same((SELECT string_agg(s.id || ' ' || (s.contact_id = :other), ', ' ORDER BY s.id) FROM survey AS s), '305 false, 306 true', 'ratings');
SELECT test.same((SELECT string_agg(a.identity || ' ' || (a.contact_id = :other), ', ' ORDER BY a.identity) FROM address AS a
                   WHERE a.identity IN ('whatsapp:5', 'telegram:6')), 'telegram:6 true, whatsapp:5 false', 'addresses');
SELECT test.same((SELECT count(*) FROM contact AS c WHERE c.id IN (300, :other) AND c.opted_out = '{marketing}' AND c.opted_out_at IS NOT NULL
                   AND c.settled IS NOT NULL), 2::bigint, 'who stopped messages as one has stopped them as both, and what was paid is paid');
SELECT test.same((SELECT string_agg(e.key, ', ' ORDER BY e.key) FROM work AS w JOIN event AS e ON e.id = w.event_id
                   WHERE e.doc->'contact_id' = to_jsonb(:other)), 'other step, other survey, other timer', 'what is about the other one says so');
SELECT test.same((SELECT o.contact_id || ' ' || coalesce(o.conversation_id::text, 'none') FROM outreach AS o WHERE o.id = 303), :other || ' none',
    'the outreach speaks in no conversation of the first one any more');
SELECT test.same((SELECT t.contact_id || ' ' || coalesce(t.conversation_id::text, 'none') FROM timer AS t WHERE t.id = 304), :other || ' none',
    'nor does its timer');

-- What is on its way, what waits and what is held: for the handles of the one, because of the other.
SELECT test.contact(400, 'whatsapp:7'), test.add_handle(400, 'telegram:8', 'telegram');
SELECT test.event('by ada', 1, '{"provider": "whatsapp", "contact": {"identities": ["whatsapp:7"]}}'),
       test.event('by the other', 1, '{"provider": "telegram", "contact": {"identities": ["telegram:8"]}}', 'message.received', 'telegram');
INSERT INTO handling (event_id, contact_id) SELECT id, 400 FROM event WHERE key LIKE 'by %';
CREATE FUNCTION test.wait_for(id bigint, because text, via text) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.send(id, 400, jsonb_build_object('event_id', (SELECT e.id FROM event AS e WHERE e.key = because), 'source', split_part(via, ':', 1),
        'identity', via, 'recipient', split_part(via, ':', 1) || ' ' || via))
$$;
SELECT test.wait_for(410, 'by ada', 'telegram:8');
SELECT deliver_claim(10, '1 minute');
SELECT test.wait_for(420, 'by ada', 'whatsapp:7'), test.wait_for(430, 'by ada', 'telegram:8'), test.wait_for(440, 'by the other', 'telegram:8'),
       test.wait_for(450, 'by the other', 'whatsapp:7');
SELECT test.wait_for(n, because, 'telegram:8') FROM (VALUES (460, 'by ada'), (470, 'by the other')) AS h (n, because);
WITH taken AS (DELETE FROM outbox WHERE message_id IN (460, 470) RETURNING *)
INSERT INTO held_delivery (position, delivery_id, delivery_created_at, rule, contact_id, message_id, recipient, source, due_at, budget, reason)
SELECT position, delivery_id, delivery_created_at, 'r', contact_id, message_id, recipient, source, due_at, 'sends_per_hour', 'many' FROM taken;
UPDATE delivery SET state = 'held' WHERE message_id IN (460, 470);
SELECT split_contact(400, 'telegram:8') AS other \gset
SELECT test.same((SELECT string_agg(message_id || ' ' || state || ' ' || (contact_id = :other) || CASE WHEN cancel_wanted THEN ' for the last time' ELSE '' END,
                                    ', ' ORDER BY message_id) FROM outbox),
    '410 sending true for the last time, 420 waiting false, 440 waiting true', 'what still leaves');
SELECT test.same((SELECT string_agg(message_id || ' ' || (contact_id = :other), ', ') FROM held_delivery), '470 true', 'what is still held');
SELECT test.same((SELECT string_agg(message_id || ' ' || error_code, ', ' ORDER BY message_id) FROM delivery WHERE state = 'canceled'),
    '430 split, 450 split, 460 held_dropped', 'what was meant for somebody else');
SELECT test.same((SELECT string_agg(m.id || ' ' || (m.contact_id = :other), ', ' ORDER BY m.id) FROM message AS m WHERE m.id BETWEEN 410 AND 470),
    '410 true, 420 false, 430 true, 440 true, 450 false, 460 true, 470 true', 'whose messages they are');

-- What an agent wrote where both were heard was written to nobody knows whom: it leaves on the handles of whose conversation it was, and
-- on no other. What was written in a conversation of their own goes on there.
DELETE FROM outbox;
SELECT test.contact(500, 'whatsapp:9'), test.add_handle(500, 'telegram:10', 'telegram');
SELECT test.event('reply to both', 500, '{"contact_id": 500, "conversation_id": 501}', 'agent.action', 'answerd'),
       test.event('reply to the other', 500, '{"contact_id": 500, "conversation_id": 502}', 'agent.action', 'answerd');
INSERT INTO handling (event_id, contact_id, conversation_id)
SELECT e.id, 500, document_id(e.doc->'conversation_id') FROM event AS e WHERE e.key LIKE 'reply to %';
INSERT INTO message (id, created_at, direction, kind, state, text, contact_id, conversation_id, source, identity)
SELECT 504 + n, now(), 'in', 'text', 'received', 'hello', 500, 501, split_part(via, ':', 1), via
  FROM unnest(ARRAY['whatsapp:9', 'telegram:10']) WITH ORDINALITY AS heard (via, n);
SELECT test.send(r.id, 500, jsonb_build_object('event_id', e.id, 'conversation_id', e.doc->'conversation_id', 'source', split_part(via, ':', 1),
           'identity', via, 'recipient', split_part(via, ':', 1) || ' ' || via))
  FROM (VALUES (510, 'reply to both', 'telegram:10'), (520, 'reply to both', 'whatsapp:9'), (530, 'reply to the other', 'telegram:10'))
       AS r (id, because, via)
  JOIN event AS e ON e.key = r.because;
SELECT split_contact(500, 'telegram:10') AS other \gset
SELECT test.same((SELECT string_agg(message_id || ' ' || (contact_id = :other), ', ' ORDER BY message_id) FROM outbox), '520 false, 530 true',
    'replies that still leave');
SELECT test.same((SELECT string_agg(concat_ws(' ', d.message_id, d.error_code, m.state, m.contact_id = :other, v.contact_id = :other), ', ')
                    FROM delivery AS d JOIN message AS m ON m.id = d.message_id JOIN conversation AS v ON v.id = m.conversation_id
                   WHERE d.state = 'canceled' AND d.message_id BETWEEN 510 AND 530), '510 split canceled t t', 'the one that does not');
