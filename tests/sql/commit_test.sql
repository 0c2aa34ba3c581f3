-- The engine's commit and the facts of the next claim: everything once, together, or not at all.

SELECT test.event('first', 5, '{"contact": {"identities": ["whatsapp:1", "phone:1"]}}');
BEGIN;
SELECT test.same((SELECT json_array_length(cases) FROM engine_claim(10)), 0, 'nobody is known yet');
SELECT engine_commit(jsonb_build_object(
    'contacts', '[{"id": 1000, "lane": 5, "name": "Ada", "attributes": {"plan": "pro"}}]'::jsonb,
    'identities', '[{"identity": "whatsapp:1", "contact_id": 1000, "proven_by": "whatsapp"}, {"identity": "phone:1",
        "contact_id": 1000}]'::jsonb,
    'addresses', '[{"source": "whatsapp", "identity": "whatsapp:1", "contact_id": 1000, "recipient": "1",
        "last_inbound_at": "2026-01-01T00:00:00Z"}]'::jsonb,
    'conversations', '[{"id": 1001, "contact_id": 1000, "source": "whatsapp", "identity": "whatsapp:1"}]'::jsonb,
    'messages', '[{"id": 1002, "direction": "in", "kind": "text", "text": "hi", "contact_id": 1000,
        "conversation_id": 1001, "source": "whatsapp", "provider_message_id": "wamid.1"},
                  {"id": 1003, "direction": "out", "kind": "text", "text": "hello", "contact_id": 1000,
                      "conversation_id": 1001, "source": "whatsapp"}]'::jsonb,
    'timers', '[{"id": 1004, "name": "follow-up", "due_at": "2099-01-01T00:00:00Z", "lane": 5, "contact_id": 1000,
        "conversation_id": 1001}]'::jsonb,
    'surveys', '[{"id": 1005, "name": "csat", "contact_id": 1000, "conversation_id": 1001}]'::jsonb,
    'outreaches', '[{"id": 1006, "contact_id": 1000, "topic": "billing", "reference": "in_1",
        "goal": "payment.succeeded", "steps": []}]'::jsonb,
    'events', '[{"id": 1007, "type": "conversation.opened", "key": "internal:1007", "lane": 5, "contact_id": 1000,
        "conversation_id": 1001, "cause": {"event": 1, "rule": "inbox", "depth": 1}}]'::jsonb,
    'handlings', jsonb_build_array(jsonb_build_object('event_id', (SELECT event_id FROM work), 'contact_id', 1000,
        'conversation_id', 1001, 'rule_set', 'abc')),
    'traces', jsonb_build_array(jsonb_build_object('event_id', (SELECT event_id FROM work), 'rule', 'inbox', 'verdict',
        'ran', 'rule_set', 'abc', 'effects', '[{"do": "send"}]'::jsonb),
                                jsonb_build_object('event_id', (SELECT event_id FROM work), 'rule', 'other', 'verdict',
                                    'skipped')),
    'rule_health', '[{"rule": "inbox", "rule_set": "abc", "failed": false}, {"rule": "bad", "rule_set": "abc",
        "failed": true, "error": "x.lua:1"}]'::jsonb),
    (SELECT array_agg(position) FROM work));
COMMIT;
SELECT test.same((SELECT c.name || ' ' || v.state || ' ' || v.topic || ' ' || m.state FROM contact AS c
    JOIN conversation AS v ON v.contact_id = c.id JOIN message AS m ON m.conversation_id = v.id AND m.direction = 'in'),
    'Ada open support received', 'rows with their defaults');

-- An edit changes what it names, and nothing else; a message of the same number in another month is another one.
BEGIN;
CREATE FUNCTION test.edited(changes jsonb) RETURNS text
LANGUAGE sql
AS $$
    SELECT write_messages(jsonb_build_object('message_edits', jsonb_build_array(jsonb_build_object('id', 1810, 'created_at', now()) || changes)));
    SELECT concat_ws(' ', text, content, edited_at::date, deleted_at::date, conversation_id, contact_id, survey_id) FROM message WHERE id = 1810 AND created_at = now()
$$;
SELECT write_messages(jsonb_build_object('messages', jsonb_agg(jsonb_build_object('id', 1810, 'direction', 'note', 'created_at', at, 'contact_id', 1, 'conversation_id', 2,
    'survey_id', 3, 'text', 'a', 'content', '{"a": 1}'::jsonb, 'edited_at', '2026-01-01', 'deleted_at', '2026-01-02'))))
  FROM unnest(ARRAY[now(), now() + interval '1 month']) AS at;
SELECT test.same(test.edited('{}'), 'a {"a": 1} 2026-01-01 2026-01-02 2 1 3', 'nothing is named');
SELECT test.same(test.edited('{"text": "b"}'), 'b {"a": 1} 2026-01-01 2026-01-02 2 1 3', 'the text');
SELECT test.same(test.edited('{"content": {"b": 1}}'), 'b {"b": 1} 2026-01-01 2026-01-02 2 1 3', 'the content');
SELECT test.same(test.edited('{"content": null}'), 'b {} 2026-01-01 2026-01-02 2 1 3', 'no content');
SELECT test.same(test.edited('{"edited_at": "2026-02-01"}'), 'b {} 2026-02-01 2026-01-02 2 1 3', 'when it was edited');
SELECT test.same(test.edited('{"deleted_at": "2026-02-02"}'), 'b {} 2026-02-01 2026-02-02 2 1 3', 'when it was deleted');
SELECT test.same(test.edited('{"conversation_id": 5}'), 'b {} 2026-02-01 2026-02-02 5 1 3', 'the conversation');
SELECT test.same(test.edited('{"contact_id": 4}'), 'b {} 2026-02-01 2026-02-02 5 4 3', 'the contact');
SELECT test.same(test.edited('{"survey_id": null, "text": null}'), '{} 2026-02-01 2026-02-02 5 4', 'what is named as nothing');
SELECT test.same((SELECT text FROM message WHERE id = 1810 AND created_at > now()), 'a', 'the other one');
ROLLBACK;

-- When a message was written is what its row says, and else now; when it was said is that, and else when it was written.
BEGIN;
SELECT write_messages(jsonb_build_object('messages', jsonb_agg(jsonb_build_object('id', 1800 + n, 'direction', 'note', 'contact_id', 1000,
    'conversation_id', 1001, 'created_at', created, 'occurred_at', occurred))))
  FROM (VALUES (1, date_trunc('month', now()), NULL), (2, date_trunc('month', now()), now() - interval '1 year'), (3, NULL, NULL)) AS v (n, created, occurred);
SELECT test.same((SELECT string_agg(concat_ws(' ', id - 1800, created_at = date_trunc('month', now()), created_at = now(), occurred_at = created_at,
                     occurred_at = now() - interval '1 year'), ', ' ORDER BY id) FROM message WHERE id BETWEEN 1801 AND 1803),
    '1 t f t f, 2 t f f t, 3 f t t f', 'the times of messages');
ROLLBACK;
SELECT test.same((SELECT string_agg(number || ':' || rule, ' ' ORDER BY number) FROM trace), '1:inbox 2:other',
    'traces are numbered');
SELECT test.same((SELECT string_agg(concat_ws(' ', number, rule, verdict, effect_count, rule_set, place, contact_id), ', ' ORDER BY number)
    FROM rule_trace), '1 inbox ran 1 abc 1000, 2 other skipped 0  1000', 'rules that were skipped may come as traces');
SELECT test.same((SELECT attempts || ' ' || (handled_at > now() - interval '1 minute') FROM handling)::text, '1 true',
    'handled at the first try');
SELECT test.same((SELECT string_agg(rule || failures_in_row, ' ') FROM rule_health), 'bad1',
    'only a failure makes a row');
SELECT test.same((SELECT count(*) FROM event_key), 1::bigint, 'an internal event needs no key');

-- Rules that said no come with the handling; whoever asks sees them as traces.
SELECT test.event('quiet', 6, '{"contact": {"identities": ["whatsapp:9"]}}');
BEGIN;
SELECT 1 FROM engine_claim(1, (SELECT max(position) FROM work));
SELECT engine_commit(jsonb_build_object(
    'handlings', jsonb_build_array(jsonb_build_object('event_id', (SELECT max(event_id) FROM work), 'rule_set', 'abc',
        'skipped', '[[1, "first", "a.lua", 3, 40, 2], [3, "last", null, 9, 41, 1]]'::jsonb)),
    'traces', jsonb_build_array(jsonb_build_object('event_id', (SELECT max(event_id) FROM work), 'number', 2, 'rule', 'second',
        'verdict', 'ran', 'rule_set', 'abc', 'file', 'b.lua', 'line', 5))),
    ARRAY[(SELECT max(position) FROM work)]);
SELECT test.same((SELECT string_agg(concat_ws(' ', number, rule, verdict, place, instructions, micros, effect_count, event_type, rule_set),
                                    ', ' ORDER BY number)
                    FROM rule_trace WHERE event_id = (SELECT max(id) FROM event WHERE key = 'quiet')),
                 '1 first skipped a.lua:3 40 2 0 message.received abc, 2 second ran b.lua:5 0 0 0 message.received abc, '
                 || '3 last skipped 41 1 0 message.received abc', 'rule_trace has all three in their order');
SELECT test.same((SELECT string_agg(concat_ws(' ', subject, outcome, place, rule_set, instructions, micros, detail), ', ' ORDER BY step)
                    FROM why((SELECT max(id) FROM event WHERE key = 'quiet')) WHERE what = 'rule'),
                 'first skipped a.lua:3 abc 40 2 0 effects, second ran b.lua:5 abc 0 0 0 effects, last skipped abc 41 1 0 effects',
                 'so has why()');
SELECT test.same(replay_of(1, (SELECT max(id) FROM event WHERE key = 'quiet'))->'settled', '["first", "last", "second"]'::jsonb,
                 'and a replay asks none of them again');
ROLLBACK;
DELETE FROM work WHERE event_id = (SELECT max(id) FROM event WHERE key = 'quiet');

-- The next claim brings the facts.
BEGIN;
CREATE TEMP TABLE claim ON COMMIT DROP AS SELECT work::jsonb, cases::jsonb FROM engine_claim(10);
SELECT test.same((SELECT work #>> '{0,event,type}' FROM claim), 'conversation.opened', 'the internal event is next');
SELECT test.same((SELECT work #>> '{0,event,id}' FROM claim), '1007', 'with its id');
SELECT test.same((SELECT jsonb_array_length(cases) FROM claim), 1, 'one case');
SELECT test.same((SELECT string_agg(k || ':' || CASE jsonb_typeof(v) WHEN 'array' THEN jsonb_array_length(v)::text
    ELSE v->>'name' END, ' ' ORDER BY k) FROM claim, jsonb_each(cases->0) AS e (k, v)),
                 'addresses:1 contact:Ada conversations:1 identities:2 messages:0 outreaches:1 surveys:1 timers:1',
                     'everything known');
SELECT test.same((SELECT cases #>> '{0,contact,attributes,plan}' FROM claim), 'pro', 'as documents');
ROLLBACK;

-- Facts come by every way that leads to a contact.
CREATE FUNCTION test.led_to(doc jsonb, type text DEFAULT 'message.received') RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    found json;
BEGIN
    TRUNCATE work;
    PERFORM test.event('way ' || gen_random_uuid(), 9, doc, type);
    SELECT cases INTO found FROM engine_claim(10);
    DELETE FROM work;
    RETURN (SELECT string_agg((c #>> '{contact,id}') || '/' || json_array_length(c->'messages'), ' ')
        FROM json_array_elements(found) AS c);
END
$$;
SELECT test.contact(2000, 'telegram:2', 'telegram');
INSERT INTO delivery (id, kind, source, message_id, message_created_at, contact_id, request) SELECT 1010, 'message',
    'whatsapp', id, created_at, 1000, '{}' FROM message WHERE id = 1003;
SELECT test.same(test.led_to('{"contact": {"identities": ["nobody:1"]}}'), NULL, 'a stranger');
SELECT test.same(test.led_to('{"contact": {"identities": ["phone:1", "telegram:2"]}}'), '1000/0 2000/0',
    'two contacts, in the order of their ids');
SELECT test.same(test.led_to('{"contact": {"former_identities": ["telegram:2"]}}'), '2000/0', 'a former handle');
SELECT test.same(test.led_to('{"contact_id": 2000}', 'timer.x'), '2000/0', 'by number');
SELECT test.same(test.led_to('{"contact_id": "2000"}', 'timer.x'), '2000/0', 'by number as text');
SELECT test.same(test.led_to('{"contact_id": "x", "conversation_id": [1], "contact": {"identities": "no"}}',
    'custom.x'), NULL, 'nonsense leads nowhere and harms nobody');
SELECT test.same(test.led_to('{"conversation_id": 1001}', 'custom.x'), '1000/0', 'by conversation');
SELECT test.same(test.led_to('{"status": {"message_id": "unknown", "state": "sent", "echo": "1010"}}',
    'message.status'), '1000/1', 'by our echo, with the message');
SELECT test.same(test.led_to('{"status": {"message_id": "wamid.1", "state": "sent"}}', 'message.status'), '1000/1',
    'by the provider''s id');
SELECT test.same(test.led_to('{"contact": {"identities": ["whatsapp:1"]}, "message": {"reply_to": "wamid.1"}}'),
    '1000/1', 'what a reply answers');
SELECT test.same(test.led_to('{"payment": {"id": "pi_1", "invoice": "in_1"}}', 'payment.succeeded'), '1000/0',
    'whose outreach waits for the invoice');
SELECT test.same(test.led_to('{"payment": {"id": "pi_1", "reference": "in_1"}}', 'payment.succeeded'), '1000/0',
    'whose outreach waits for what is owed');
SELECT test.same(test.led_to('{"payment": {"id": "pi_1"}}', 'payment.succeeded'), NULL, 'nobody waits for this one');
UPDATE outreach SET other_references = '{pi_1}' WHERE id = 1006;
SELECT test.same(test.led_to('{"payment": {"id": "pi_1"}}', 'payment.succeeded'), '1000/0',
    'whose outreach knows the payment by another name');
SELECT test.same(test.led_to('{"body": {"reference": "in_1"}}', 'custom.paid'), '1000/0', 'as a custom event says it');
UPDATE contact SET merged_into = 2000 WHERE id = 1000;
SELECT test.same(test.led_to('{"contact_id": 1000}', 'timer.x'), '2000/0', 'who it was merged into');
UPDATE contact SET merged_into = NULL WHERE id = 1000;
TRUNCATE work;

-- Full rows replace; what others own stays.
UPDATE address SET next_slot_at = '2026-01-01', unreachable_at = now() + interval '1 second',
    unreachable_reason = 'just now' WHERE identity = 'whatsapp:1';
UPDATE outreach SET reached_at = '2026-01-02' WHERE id = 1006;
SELECT engine_commit('{"contacts": [{"id": 1000, "lane": 5, "name": "Ada L.", "opted_out": ["marketing"]}],
    "addresses": [{"source": "whatsapp", "identity": "whatsapp:1", "contact_id": 1000, "recipient": "",
        "last_inbound_at": "2025-01-01T00:00:00Z"}],
    "conversations": [{"id": 1012, "contact_id": 1000}, {"id": 1001, "contact_id": 1000, "state": "resolved",
        "resolved_at": "2026-01-01T00:00:00Z"}],
    "outreaches": [{"id": 1006, "contact_id": 1000, "topic": "billing", "reference": "in_1",
        "goal": "payment.succeeded", "state": "recovered", "steps": []},
                   {"id": 1013, "contact_id": 1000, "topic": "billing", "reference": "in_1",
                       "other_references": ["pi_1", "pi_2"], "payment": {"amount": 1900},
                       "goal": "payment.succeeded", "steps": []}],
    "timers": [{"id": 1014, "name": "follow-up", "due_at": "2098-01-01T00:00:00Z", "lane": 5, "contact_id": 1000,
        "conversation_id": 1001}],
    "message_edits": [{"id": 1003, "created_at": "2000-01-01T00:00:00Z", "text": "no such row"}],
    "rule_health": [{"rule": "bad", "rule_set": "abc", "failed": true}, {"rule": "bad", "rule_set": "abc",
        "failed": true}]}', '{}');
SELECT test.same((SELECT other_references::text || (payment->>'amount') FROM outreach WHERE id = 1013),
    '{pi_1,pi_2}1900', 'the names and the payment of an outreach');
SELECT test.same((SELECT concat_ws(' ', recipient, extract(year FROM last_inbound_at), next_slot_at IS NOT NULL,
    unreachable_at IS NOT NULL, unreachable_reason) FROM address WHERE identity = 'whatsapp:1'), '1 2026 t t just now',
    'an address keeps what senders know');
SELECT test.same((SELECT string_agg(id || ':' || state, ' ' ORDER BY id) FROM conversation WHERE contact_id = 1000),
    '1001:resolved 1012:open', 'one ends, one begins under the same key');
SELECT test.same((SELECT string_agg(id || ':' || state || ':' || (reached_at IS NOT NULL), ' ' ORDER BY id)
    FROM outreach), '1006:recovered:true 1013:active:false', 'reached stays reached');
SELECT test.same((SELECT string_agg(id::text, ' ') FROM timer WHERE name = 'follow-up'), '1014', 'one timer of a name');
-- A timer takes the place of its own kind and of no other: of its name in the conversation, of its outreach, of its survey.
BEGIN;
SELECT engine_commit(jsonb_build_object('timers', jsonb_build_array(t || '{"id": 1031, "name": "close"}', t || '{"id": 1032, "name": "outreach.step", "outreach_id": 1013}',
    t || '{"id": 1033, "name": "survey.expired", "survey_id": 1005}', t || '{"id": 1034, "name": "outreach.step", "outreach_id": 1006}')), '{}')
  FROM (SELECT '{"due_at": "2098-01-01T00:00:00Z", "lane": 5, "contact_id": 1000, "conversation_id": 1001}'::jsonb AS t) AS x;
SELECT engine_commit(jsonb_build_object('timers', jsonb_build_array(t || '{"id": 1041, "name": "close"}', t || '{"id": 1042, "name": "outreach.step", "outreach_id": 1013}',
    t || '{"id": 1043, "name": "survey.expired", "survey_id": 1005}')), '{}')
  FROM (SELECT '{"due_at": "2099-01-01T00:00:00Z", "lane": 5, "contact_id": 1000, "conversation_id": 1001}'::jsonb AS t) AS x;
SELECT test.same((SELECT string_agg(id::text, ' ' ORDER BY id) FROM timer), '1014 1034 1041 1042 1043', 'each of its own');
SELECT engine_commit('{"timer_cancels": [{"outreach_id": 1013}]}', '{}');
SELECT test.same((SELECT string_agg(id::text, ' ' ORDER BY id) FROM timer), '1014 1034 1041 1043', 'the timer of an outreach that is over');
SELECT engine_commit('{"timer_cancels": [{"survey_id": 1005}]}', '{}');
SELECT test.same((SELECT string_agg(id::text, ' ' ORDER BY id) FROM timer), '1014 1034 1041', 'that of a survey');
ROLLBACK;
SELECT test.same((SELECT failures_in_row FROM rule_health), 3, 'failures in a row');
SELECT engine_commit(jsonb_build_object('message_edits', (SELECT jsonb_agg(jsonb_build_object('id', id, 'created_at',
    created_at, 'text', 'hi!', 'edited_at', now())) FROM message WHERE id = 1002),
    'timer_cancels', '[{"conversation_id": 1001, "name": "follow-up"}]'::jsonb, 'rule_health',
        '[{"rule": "bad", "rule_set": "abc", "failed": false}]'::jsonb), '{}');
SELECT test.same((SELECT text || ' ' || kind || ' ' || (edited_at IS NOT NULL) FROM message WHERE id = 1002),
    'hi! text true', 'an edit changes what it names');
SELECT test.same((SELECT count(*) FROM timer), 0::bigint, 'canceled');
SELECT test.same((SELECT failures_in_row FROM rule_health), 0, 'it ran well');
SELECT test.refused($$SELECT engine_commit('{"conversations": [{"id": 1099, "contact_id": 1000}]}', '{}')$$, '23505',
    'a second open conversation of the same kind');

-- Identities: the same pair again is nothing; somebody else's is a conflict, unless it was among the facts of this
-- claim.
SELECT engine_commit('{"identities": [{"identity": "whatsapp:1", "contact_id": 1000}]}', '{}');
SELECT test.refused($$SELECT engine_commit('{"identities": [{"identity": "whatsapp:1", "contact_id": 2000}]}', '{}')$$,
    '23505', 'an identity of a contact that was not looked at');
SELECT test.event('merge', 5, '{"contact": {"identities": ["whatsapp:1", "telegram:2"]}}');
BEGIN;
SELECT test.claim(10);
SELECT engine_commit('{"contacts": [{"id": 1000, "lane": 5, "merged_into": 2000}],
    "identities": [{"identity": "whatsapp:1", "contact_id": 2000}]}', (SELECT array_agg(position) FROM work));
COMMIT;
SELECT test.same((SELECT contact_id FROM identity WHERE identity = 'whatsapp:1'), 2000::bigint, 'a merge moves it');
SELECT engine_commit('{"addresses": [{"source": "whatsapp", "identity": "whatsapp:1", "contact_id": 2000}]}', '{}');
SELECT test.same((SELECT contact_id || ' ' || recipient FROM address WHERE identity = 'whatsapp:1'), '2000 1', 'with its address');
-- What a try ran into is among the facts of the next one.
SELECT test.event('identify', 6, '{"contact": {"identities": ["nobody:2"]}}');
SELECT engine_load_also((SELECT array_agg(position) FROM work), ARRAY['telegram:2']);
BEGIN;
SELECT test.same((SELECT cases::jsonb #>> '{0,contact,id}' FROM engine_claim(10)), '2000',
    'the owner of what a rule named');
ROLLBACK;

-- Two engines meet at one person through two lanes: the second waits and then sees what the first one did.
TRUNCATE work;
SELECT test.event('lane 1', 1, '{"contact": {"identities": ["telegram:2"]}}'), test.event('lane 2', 2,
    '{"contact": {"identities": ["whatsapp:1"]}}');
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN'), test.run('b', 'BEGIN');
SELECT test.same(test.ask('a', 'SELECT test.claim(1)'), 'lane 1', 'one lane');
SELECT test.start('b', 'SELECT cases::jsonb #>> ''{0,contact,name}'' FROM engine_claim(1)');
SELECT test.until_blocked('b');
SELECT test.ask('a', $$SELECT engine_commit('{"contacts": [{"id": 2000, "lane": 5, "name": "renamed"}]}',
    (SELECT array_agg(position) FROM work AS w JOIN event AS e ON e.id = w.event_id WHERE e.key = 'lane 1'))::text$$);
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), 'renamed', 'the other lane sees it');
SELECT test.run('b', 'ROLLBACK');
-- Both make the same stranger: one of them is told to look again.
SELECT test.event('new 1', 3, '{"contact": {"identities": ["email:n@x", "stripe:n"]}}'), test.event('new 2', 4,
    '{"contact": {"identities": ["whatsapp:9", "email:n@x"]}}');
SELECT test.run('a', 'BEGIN'), test.run('b', 'BEGIN');
SELECT test.ask('a', $$SELECT engine_commit('{"contacts": [{"id": 3000, "lane": 3}],
    "identities": [{"identity": "email:n@x", "contact_id": 3000}]}', '{}')::text$$);
SELECT test.start('b', $$SELECT engine_commit('{"contacts": [{"id": 4000, "lane": 4}],
    "identities": [{"identity": "whatsapp:9", "contact_id": 4000}, {"identity": "email:n@x",
    "contact_id": 4000}]}', '{}')::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.refused($$SELECT test.wait('b')$$, '23505', 'the second one');
SELECT test.run('b', 'ROLLBACK');
SELECT test.same((SELECT count(*) FROM contact WHERE id IN (3000, 4000)), 1::bigint, 'one person');

-- Work that somebody took away meanwhile: nothing of the batch happened.
SELECT test.refused($$SELECT engine_commit('{"contacts": [{"id": 5000, "lane": 3}]}', '{4242}')$$, '40001',
    'no such work');
SELECT test.same((SELECT count(*) FROM contact WHERE id = 5000), 0::bigint, 'nothing is left of it');
