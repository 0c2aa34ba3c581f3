-- A contact is erased while what they wrote is being handled: whoever comes first, nothing of them stays.

CREATE FUNCTION test.left_of_them() RETURNS text
LANGUAGE sql
AS $$
    SELECT concat_ws(', ', (SELECT string_agg('identity ' || identity, ', ') FROM identity),
                     (SELECT string_agg('message ' || text, ', ' ORDER BY text) FROM message WHERE text IS NOT NULL),
                     (SELECT string_agg('contact ' || name, ', ' ORDER BY name) FROM contact WHERE name IS NOT NULL),
                     (SELECT string_agg('timer ' || name, ', ') FROM timer),
                     (SELECT string_agg('event ' || key, ', ' ORDER BY key) FROM event WHERE doc ? 'contact'),
                     (SELECT string_agg('webhook ' || id, ', ') FROM webhook WHERE body <> ''))
$$;
-- What an engine does with one message: it answers, and will remind them.
CREATE FUNCTION test.handled(of_event text, id bigint, contact bigint) RETURNS text
LANGUAGE sql
AS $$
    SELECT engine_commit(jsonb_build_object(
        'messages', jsonb_build_array(jsonb_build_object('id', id, 'created_at', now(), 'direction', 'in', 'kind', 'text', 'text', of_event,
            'contact_id', contact, 'conversation_id', contact + 1, 'source', 'whatsapp', 'identity', 'whatsapp:1')),
        'timers', jsonb_build_array(jsonb_build_object('id', id + 1, 'name', 'nudge', 'due_at', now() + interval '1 hour', 'lane', 1,
            'contact_id', contact, 'conversation_id', contact + 1)),
        'handlings', jsonb_build_array(jsonb_build_object('event_id', e.id, 'contact_id', contact, 'conversation_id', contact + 1))),
        ARRAY[w.position])::text
      FROM event AS e JOIN work AS w ON w.event_id = e.id WHERE e.key = of_event
$$;
CREATE FUNCTION test.written(key text) RETURNS bigint
LANGUAGE sql AS $$ SELECT test.event(key, 1, '{"contact": {"identities": ["whatsapp:1"]}}') $$;
SELECT test.open('engine'), test.open('operator');

-- The engine has the event in hand when somebody erases the contact.
SELECT test.contact(1000, 'whatsapp:1'), test.written('first');
SELECT test.run('engine', 'BEGIN');
SELECT test.same(test.ask('engine', 'SELECT test.claim(10)'), 'first', 'it is being handled');
SELECT test.start('operator', 'SELECT erase_contact(1000)::text');
SELECT test.until_blocked('operator');
SELECT test.ask('engine', $$SELECT test.handled('first', 5000, 1000)$$), test.run('engine', 'COMMIT');
SELECT test.same(test.wait('operator'), '1', 'it waited, and emptied what had just been written');
SELECT test.same(test.left_of_them(), '', 'nothing is left');

-- The other way round: who handles an event that comes after the erasure began finds nobody, and knows nothing of before.
SELECT test.contact(2000, 'whatsapp:1');
SELECT test.run('operator', 'BEGIN'), test.ask('operator', 'SELECT erase_contact(2000)::text');
SELECT test.written('second');
SELECT test.run('engine', 'BEGIN'), test.start('engine', $$SELECT (c.work::text LIKE '%contact 2000%')::text FROM engine_claim(10) AS c$$);
SELECT test.until_blocked('engine');
SELECT test.run('operator', 'COMMIT');
SELECT test.same(test.wait('engine'), 'false', 'it waited, and finds nobody');
SELECT test.run('engine', 'ROLLBACK');
DELETE FROM work;
DELETE FROM event;
DELETE FROM webhook;

-- The contact becomes part of another one while its erasure waits: that one is the same person.
SELECT test.contact(3000, 'whatsapp:1'), test.contact(4000, 'telegram:1', 'telegram');
SELECT test.run('engine', 'BEGIN'), test.ask('engine', 'SELECT id::text FROM contact WHERE id IN (3000, 4000) ORDER BY id FOR UPDATE');
SELECT test.start('operator', 'SELECT erase_contact(4000)::text');
SELECT test.until_blocked('operator');
SELECT test.run('engine', 'UPDATE identity SET contact_id = 3000'), test.run('engine', 'UPDATE contact SET merged_into = 3000 WHERE id = 4000'),
       test.run('engine', 'COMMIT');
SELECT test.wait('operator');
SELECT test.same((SELECT string_agg(id || ' ' || (erased_at IS NOT NULL), ', ' ORDER BY id) FROM contact WHERE id >= 3000),
    '3000 true, 4000 true', 'both are erased');
SELECT test.same(test.left_of_them(), '', 'nothing is left of them');

-- What waits in their lane of the program's own making ends with them, also when a timer fires while the erasure waits for it.
DELETE FROM work;
CREATE FUNCTION test.own(key text, contact bigint) RETURNS bigint
LANGUAGE sql AS $$
    SELECT test.event(key, contact % 1000, jsonb_build_object('contact_id', contact, 'timer', jsonb_build_object('data', key)), 'timer.nudge', 'answerd')
$$;
SELECT test.contact(5001, 'whatsapp:1'), test.contact(6001, 'whatsapp:2'), test.own('own waits', 5001), test.own('another''s waits', 6001);
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, data)
VALUES (5008, 'nudge', now() - interval '1 minute', 1, 5001, 5002, '{"said": "own fires"}');
SELECT test.run('engine', 'BEGIN'), test.ask('engine', 'SELECT fired::text FROM fire_timers(10)');
SELECT test.start('operator', 'SELECT erase_contact(5001)::text');
SELECT test.until_blocked('operator');
SELECT test.run('engine', 'COMMIT');
SELECT test.wait('operator');
SELECT test.same((SELECT string_agg(e.key, ', ') FROM work AS w JOIN event AS e ON e.id = w.event_id), 'another''s waits', 'who shares the lane waits on');
SELECT test.same((SELECT count(*) FROM event AS e WHERE e.doc::text LIKE '%own %'), 0::bigint, 'nothing is left of what waited');
SELECT test.same((SELECT count(*) FROM handling AS h WHERE h.contact_id = 5001 AND h.problem = 'the contact was erased'), 2::bigint,
    'it is told that it ended, and why');

-- An event that is in hand is waited for, as long as it is of their lane.
SELECT test.contact(7001, 'whatsapp:3'), test.own('own in hand', 7001);
DELETE FROM work WHERE event_id = (SELECT id FROM event WHERE key = 'another''s waits');
SELECT test.run('engine', 'BEGIN');
SELECT test.same(test.ask('engine', 'SELECT (cardinality(claim_positions(10, 0)) > 0)::text'), 'true', 'claimed, and its contact not yet locked');
SELECT test.start('operator', 'SELECT erase_contact(7001)::text');
SELECT test.until_blocked('operator');
SELECT test.run('engine', 'ROLLBACK');
SELECT test.wait('operator');
SELECT test.same((SELECT count(*) FROM event AS e WHERE e.doc::text LIKE '%own %'), 0::bigint, 'it is erased after all');

-- What is on its way cannot be called back: what becomes of it is recorded. What only waits ends, and nobody else's does.
SELECT test.contact(8000, 'whatsapp:4'), test.contact(9000, 'whatsapp:5');
SELECT test.send(8010, 8000), test.send(9010, 9000);
SELECT deliver_claim(10, '1 minute');
SELECT test.send(8020, 8000), test.send(9020, 9000);
SELECT erase_contact(8000);
SELECT test.same((SELECT string_agg(message_id || ' ' || state, ', ' ORDER BY message_id) FROM outbox), '8010 sending, 9010 sending, 9020 waiting',
    'one of theirs is still on its way');
SELECT deliver_record(jsonb_agg(jsonb_build_object('id', id, 'created_at', created_at, 'number', 1, 'duration_ms', 1, 'outcome', 'sent')))
  FROM delivery WHERE message_id IN (8010, 9010);
SELECT test.same((SELECT string_agg(concat_ws(' ', message_id, state, error_code, identity), ', ' ORDER BY message_id) FROM delivery
                   WHERE message_id IN (8010, 8020, 9010, 9020)),
    '8010 sent, 8020 canceled erased, 9010 sent whatsapp:5, 9020 queued whatsapp:5', 'what became of them');
DELETE FROM outbox;
DELETE FROM message;

DELETE FROM work;
-- What waits is handled by the erasure: whatever names the person, and nothing else, also when it was tried or given up before.
SELECT test.contact(15000, 'whatsapp:15550005000'), test.contact(16000, 'whatsapp:15550006000');
INSERT INTO identity (identity, contact_id) VALUES ('telegram:15550008000', 15000);
INSERT INTO message (id, created_at, direction, kind, state, source, contact_id, provider_message_id)
SELECT id + 2, now(), 'out', 'text', 'sent', 'whatsapp', id, 'wamid.' || id + 2 FROM unnest(ARRAY[15000, 16000]) AS id;
INSERT INTO delivery (id, created_at, kind, source, contact_id, request, state)
SELECT id + 5, now(), 'message', 'whatsapp', id, '{}', 'sent' FROM unnest(ARRAY[15000, 16000]) AS id;
INSERT INTO outreach (id, contact_id, topic, reference, goal, state, steps)
SELECT id + 3, id, 'billing', 'in_' || id + 3, 'payment.succeeded', 'active', '[]' FROM unnest(ARRAY[15000, 16000]) AS id;
INSERT INTO outreach (id, contact_id, topic, reference, goal, state, steps) VALUES (15004, 15000, 'billing', 'in_over', 'payment.succeeded', 'recovered', '[]');
SELECT test.event('words', 1, '{"contact": {"identities": ["whatsapp:15550005000"], "name": "Ada"}, "message": {"text": "secret"}}'),
       test.event('phone', 2, '{"contact": {"identities": ["phone:15550005000"]}}'),
       test.event('former', 3, '{"contact": {"identities": ["whatsapp:BSUID"], "former_identities": ["whatsapp:15550005000"]}}'),
       test.event('number', 4, '{"contact_id": 15000}'),
       test.event('conversation', 5, '{"conversation_id": 15001}'),
       test.event('status', 6, '{"status": {"message_id": "wamid.15002", "state": "read"}}', 'message.status'),
       test.event('payment', 7, '{"payment": {"invoice": "in_15003", "amount": 1900, "currency": "usd"}}', 'payment.succeeded', 'stripe'),
       test.event('echo', 6, jsonb_build_object('status', jsonb_build_object('echo', '15005', 'state', 'read')), 'message.status'),
       test.event('unread', 8, '{"body": {"said": "call 15550005000"}}', 'webhook.crm', 'crm'),
       test.event('theirs', 1, '{"contact": {"identities": ["whatsapp:15550006000"], "name": "Bob"}}'),
       test.event('stranger', 9, '{"contact": {"identities": ["whatsapp:15550007000"]}}');
SELECT test.event('bystander ' || n, 4, doc) FROM unnest(ARRAY['{"contact_id": 16000}', '{"conversation_id": 16001}',
    '{"status": {"message_id": "wamid.16002", "state": "read"}}', '{"status": {"echo": "16005", "state": "read"}}', '{"payment": {"invoice": "in_16003"}}',
    '{"payment": {"invoice": "in_over"}}', '{"contact": {"identities": ["phone:15550008000"]}}']::jsonb[]) WITH ORDINALITY AS e (doc, n);
UPDATE work AS w SET attempts = 2, retry_at = now() + interval '1 hour' FROM event AS e WHERE e.id = w.event_id AND e.key = 'phone';
SELECT test.same((SELECT string_agg(e.key, ' ' ORDER BY w.position) FROM work AS w JOIN event AS e ON e.id = w.event_id
                   WHERE 15000 = ANY (claimed_contacts(ARRAY[w.position]))),
    'words phone former number conversation status payment echo', 'for the engine they are about them');
CREATE TABLE their_webhooks AS
SELECT webhook_id FROM event WHERE key IN ('words', 'phone', 'former', 'number', 'conversation', 'status', 'payment', 'echo', 'unread');
SELECT test.same(erase_contact(15000), 1::bigint, 'their message');
SELECT test.same((SELECT string_agg(e.key, ' ' ORDER BY w.position) FROM work AS w JOIN event AS e ON e.id = w.event_id),
    'theirs stranger bystander 1 bystander 2 bystander 3 bystander 4 bystander 5 bystander 6 bystander 7', 'what is about others waits on');
SELECT test.same((SELECT count(*) FROM event AS e WHERE e.key LIKE 'bystander %' AND NOT e.doc ? 'erased'), 7::bigint, 'as it came');
DELETE FROM work AS w USING event AS e WHERE e.id = w.event_id AND e.key LIKE 'bystander %';
SELECT test.same((SELECT string_agg(e.doc::text, '') FROM event AS e
    WHERE e.key NOT IN ('theirs', 'stranger') AND e.key NOT LIKE 'bystander %' AND e.doc::text ~ '15550005000|15000|15001|15002|15003|15005|Ada|secret'), NULL, 'nothing is left in their events');
SELECT test.same((SELECT count(*) FROM webhook AS w JOIN their_webhooks AS t ON t.webhook_id = w.id WHERE w.body <> '' OR w.problem <> 'erased'),
    0::bigint, 'nor in their webhooks');
SELECT test.same((SELECT count(*) || ' ' || sum(h.attempts) FROM handling AS h WHERE h.contact_id = 15000 AND h.problem = 'the contact was erased'),
    '9 2', 'they are handled');
SELECT test.same((SELECT count(*) FROM event WHERE key = 'erased:' || id AND id IN (SELECT h.event_id FROM handling AS h WHERE h.contact_id = 15000)), 9::bigint, 'and known by no key');
SELECT test.same((SELECT test.claim(10)), 'theirs stranger', 'the engine goes on');
DELETE FROM work;

-- The engine has one of several in hand: the erasure waits, and takes the others.
SELECT test.contact(17000, 'whatsapp:1'), test.written('in hand'), test.written('behind it');
SELECT test.run('engine', 'BEGIN');
SELECT test.same(test.ask('engine', 'SELECT test.claim(1)'), 'in hand', 'it is being handled');
SELECT test.start('operator', 'SELECT erase_contact(17000)::text');
SELECT test.until_blocked('operator');
SELECT test.ask('engine', $$SELECT test.handled('in hand', 17500, 17000)$$), test.run('engine', 'COMMIT');
SELECT test.wait('operator');
SELECT test.same((SELECT count(*) FROM work), 0::bigint, 'nothing waits');
SELECT test.same((SELECT string_agg(coalesce(h.problem, 'done'), ', ' ORDER BY h.event_id) FROM handling AS h WHERE h.contact_id = 17000),
    'done, the contact was erased', 'each was handled once');
SELECT test.same((SELECT string_agg(c.id::text, ' ' ORDER BY c.id) FROM contact AS c WHERE c.id IN (15000, 16000, 17000) AND c.name IS NOT NULL),
    '16000', 'who is left');

-- A sender records what became of a message to them at that moment.
SELECT test.contact(19000, 'whatsapp:19'), test.send(19101, 19000);
SELECT test.open('sender');
SELECT test.same(test.ask('sender', $$SELECT json_array_length(deliveries)::text FROM deliver_claim(9, '1 minute')$$), '1', 'it is on its way');
SELECT test.run('sender', 'BEGIN'), test.ask('sender', $$SELECT count(*)::text FROM (SELECT 1 FROM outbox WHERE message_id = 19101 FOR UPDATE) AS x$$),
       test.ask('sender', $$SELECT count(*)::text FROM (SELECT 1 FROM delivery WHERE message_id = 19101 FOR UPDATE) AS x$$);
SELECT test.start('operator', 'SELECT erase_contact(19000)::text');
SELECT test.until_blocked('operator');
SELECT test.ask('sender', $$SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', 1,
    'duration_ms', 7, 'status', 200, 'outcome', 'sent')))::text FROM delivery AS d WHERE d.message_id = 19101$$), test.run('sender', 'COMMIT');
SELECT test.same(test.wait('operator'), '1', 'neither stops the other');
SELECT test.same((SELECT concat_ws(' ', d.state, m.state, m.text) FROM delivery AS d JOIN message AS m ON m.id = d.message_id
                   WHERE d.message_id = 19101), 'sent sent', 'it is gone, and so are its words');

-- What a provider brings once more after the erasure makes no event; the next erasure finds it by what was erased.
SELECT test.contact(20000, 'whatsapp:20'), test.event('again', 1, '{"contact": {"identities": ["whatsapp:20"]}}');
UPDATE webhook SET body = 'secret words' WHERE id = (SELECT webhook_id FROM event WHERE key = 'again');
INSERT INTO handling (event_id, contact_id) SELECT id, 20000 FROM event WHERE key = 'again';
SELECT erase_contact(20000);
INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, parser)
SELECT 20000 + n, now(), 'whatsapp', '{}', body, 1, 0, 1
  FROM unnest(ARRAY['secret words', 'words of others']::bytea[]) WITH ORDINALITY AS x (body, n);
SELECT erase_contact(20000), erase_contact(20000);
SELECT test.same((SELECT string_agg(concat_ws(' ', id, convert_from(body, 'UTF8'), problem), ', ' ORDER BY id) FROM webhook WHERE id IN (20001, 20002)),
    '20001  erased, 20002 words of others', 'the repetition, and nobody else''s');
INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, parser) VALUES (20003, now(), 'whatsapp', '{}', 'secret words', 1, 0, 1);
SELECT erase_contact(20000);
SELECT test.same((SELECT string_agg(problem, ' ') FROM webhook WHERE id IN (20001, 20003)), 'erased erased', 'and once more, however often they were erased');

-- What could not be read names them, from a source of which nothing of theirs is known: by a chat they told an email address.
SELECT test.contact(21500, 'email:somebody@example.org');
INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, parser)
SELECT 21500 + n, now(), 'stripe', '{}', body, 0, 0, 1
  FROM unnest(ARRAY['{"email":"somebody@example.org"}', '{"email":"notsomebody@example.org"}']::bytea[]) WITH ORDINALITY AS x (body, n);
SELECT erase_contact(21500);
SELECT test.same((SELECT string_agg(concat_ws(' ', id, convert_from(body, 'UTF8'), problem), ', ' ORDER BY id) FROM webhook WHERE id IN (21501, 21502)),
    '21501  erased, 21502 {"email":"notsomebody@example.org"}', 'in any source, and nobody else''s');

-- Nobody handles anything of their lanes meanwhile, also where nothing waits yet: the contact's, and that of each handle.
SELECT test.contact(21777, 'whatsapp:21');
BEGIN;
SELECT erase_contact(21777);
SELECT test.same((SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = 4201 AND granted
    AND objid IN (777 & 511, identity_lane('whatsapp:21') & 511)), 2::bigint, 'both lanes are held');
COMMIT;

-- Who was merged is erased with the one who stayed, who is told what became of their events.
SELECT test.contact(22000, 'whatsapp:22'), test.contact(23000, 'telegram:23', 'telegram');
UPDATE identity SET contact_id = 22000 WHERE contact_id = 23000;
UPDATE contact SET merged_into = 22000 WHERE id = 23000;
SELECT test.event('of both', 1, '{"contact": {"identities": ["telegram:23"]}}', source => 'telegram');
SELECT erase_contact(23000);
SELECT test.same((SELECT h.contact_id FROM handling AS h JOIN event AS e ON e.id = h.event_id WHERE e.source = 'telegram' AND h.problem = 'the contact was erased'
    AND h.contact_id IN (22000, 23000)), 22000::bigint, 'the one who stayed');

-- Whoever locks in the order of senders and engines gets on: the erasure that waits for one row holds none of those behind it.
CREATE FUNCTION test.lock(rows text) RETURNS void
LANGUAGE sql AS $$ SELECT test.ask('sender', format('SELECT count(*)::text FROM (SELECT 1 FROM %s FOR UPDATE) AS x', rows)) $$;
CREATE FUNCTION test.erased(of_contact bigint) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.run('sender', 'COMMIT'), test.wait('operator');
    SELECT test.same((SELECT erased_at IS NOT NULL FROM contact WHERE id = of_contact), true, 'they are erased');
$$;
SELECT test.contact(c, 'whatsapp:' || c), test.send(c + 101, c), test.send(c + 102, c) FROM generate_series(24000, 26000, 1000) AS c;

SELECT test.run('sender', 'BEGIN'), test.lock('outbox WHERE message_id = 24101');
SELECT test.start('operator', 'SELECT erase_contact(24000)::text');
SELECT test.until_blocked('operator');
SELECT test.lock('outbox WHERE message_id = 24102'), test.lock('address WHERE contact_id = 24000'), test.lock('delivery WHERE message_id = 24101'),
       test.erased(24000);

SELECT test.run('sender', 'BEGIN'), test.lock('address WHERE contact_id = 25000');
SELECT test.start('operator', 'SELECT erase_contact(25000)::text');
SELECT test.until_blocked('operator');
SELECT test.lock('delivery WHERE message_id = 25102'), test.erased(25000);

DELETE FROM outbox WHERE contact_id = 26000; -- they are sent, and a provider tells of it
SELECT test.run('sender', 'BEGIN'), test.lock('delivery WHERE message_id = 26101');
SELECT test.start('operator', 'SELECT erase_contact(26000)::text');
SELECT test.until_blocked('operator');
SELECT test.lock('delivery WHERE message_id = 26102'), test.lock('message WHERE id = 26101'), test.erased(26000);

SELECT test.contact(27000, 'whatsapp:27'), test.contact(28000, 'telegram:28', 'telegram');
UPDATE identity SET contact_id = 27000 WHERE contact_id = 28000;
UPDATE contact SET merged_into = 27000 WHERE id = 28000;
SELECT test.run('sender', 'BEGIN'), test.lock('contact WHERE id = 27000');
SELECT test.start('operator', 'SELECT erase_contact(28000)::text');
SELECT test.until_blocked('operator');
SELECT test.lock('contact WHERE id = 28000'), test.erased(28000);

SELECT test.contact(29001, 'whatsapp:29'), test.contact(29400, 'telegram:29', 'telegram');
UPDATE identity SET contact_id = 29001 WHERE contact_id = 29400;
UPDATE contact SET merged_into = 29001 WHERE id = 29400;
SELECT min(lane & 511) AS least, max(lane & 511) AS most FROM (SELECT lane FROM contact WHERE id IN (29001, 29400)
    UNION ALL SELECT identity_lane(i) FROM unnest(ARRAY['whatsapp:29', 'telegram:29']) AS i) AS l \gset
SELECT test.run('sender', 'BEGIN'), test.ask('sender', 'SELECT pg_advisory_xact_lock(4201, ' || :least || ')::text');
SELECT test.start('operator', 'SELECT erase_contact(29400)::text');
SELECT test.until_blocked('operator');
SELECT test.ask('sender', 'SELECT pg_advisory_xact_lock(4201, ' || :most || ')::text'), test.erased(29400);

-- One that was tried and waited for its next try: what the other side said of it goes, why it ended stays.
SELECT test.contact(30000, 'whatsapp:30'), test.send(30101, 30000), test.send(30103, 30000);
UPDATE delivery SET attempts = 1, reason = 'the words of somebody', error_code = '190' WHERE contact_id = 30000;
DELETE FROM outbox WHERE message_id = 30103; -- it came to nothing before
SELECT erase_contact(30000);
SELECT test.same((SELECT string_agg(concat_ws(' ', message_id, error_code, reason), ', ' ORDER BY message_id) FROM delivery WHERE contact_id = 30000),
    '30101 erased the contact was erased, 30103 190', 'the reasons');
