-- Budgets of sends: exact counts, held in order, released, dropped, and never twice.

CREATE FUNCTION test.send(ids bigint[], of_rule text, contact bigint DEFAULT 1) RETURNS jsonb
LANGUAGE sql
RETURN (SELECT jsonb_agg(jsonb_build_object('id', id, 'kind', 'message', 'source', 'telegram', 'identity', 'telegram:' || contact,
    'contact_id', contact, 'message_id', id + 100000, 'message_created_at', now(), 'rule', of_rule, 'request', '{}'::jsonb)) FROM unnest(ids) AS id);

CREATE FUNCTION test.commit_sends(deliveries jsonb, budgets jsonb) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO contact (id, lane) SELECT DISTINCT (d->>'contact_id')::bigint, 1 FROM jsonb_array_elements(deliveries) AS d ON CONFLICT DO NOTHING;
    SELECT engine_commit_in_budget(jsonb_build_object('deliveries', deliveries, 'budgets', budgets, 'messages', (
        SELECT jsonb_agg(jsonb_build_object('id', d->'message_id', 'created_at', d->'message_created_at', 'direction', 'out', 'kind', 'text',
            'contact_id', d->'contact_id', 'text', d->>'id')) FROM jsonb_array_elements(deliveries) AS d)), '{}')
$$;

-- Of a rule, over several transactions.
SELECT test.commit_sends(test.send(ARRAY[1, 2, 3], 'a'), '{"a": {"sends_per_hour": 4}}');
SELECT test.commit_sends(test.send(ARRAY[4, 5, 6], 'a'), '{"a": {"sends_per_hour": 4}}');
SELECT test.same((SELECT string_agg(delivery_id::text, ' ' ORDER BY position) FROM outbox), '1 2 3 4', 'four may leave');
SELECT test.same((SELECT string_agg(delivery_id || ' ' || budget, ', ' ORDER BY position) FROM held_list),
    '5 sends_per_hour, 6 sends_per_hour', 'the others are held');
SELECT test.same((SELECT string_agg(state || ' ' || message_state, ', ' ORDER BY delivery_id) FROM delivery_log WHERE delivery_id > 3),
    'queued queued, held queued, held queued', 'and say so');
SELECT test.same((SELECT sum(sends)::integer FROM rule_sends), 4, 'only what leaves is counted');
SELECT test.same((SELECT count(*) FROM event WHERE type = 'custom.system_alert'), 1::bigint, 'one alert');
SELECT test.same((SELECT doc #>> '{body,severity}' FROM event WHERE type = 'custom.system_alert'), 'critical', 'a critical one');

-- After an hour there is room again.
UPDATE rule_sends SET slot = slot - interval '1 hour';
SELECT test.commit_sends(test.send(ARRAY[7], 'a'), '{"a": {"sends_per_hour": 4}}');
SELECT test.same((SELECT state FROM delivery WHERE id = 7), 'queued', 'the hour is over');
SELECT test.same((SELECT sum(sends)::integer FROM rule_sends), 1, 'what is old is forgotten');

-- Released and dropped once, in order.
SELECT test.same(release_held(ARRAY[6, 5]), 2::bigint, 'two go');
SELECT test.same((SELECT string_agg(delivery_id::text, ' ' ORDER BY position) FROM outbox WHERE delivery_id IN (5, 6)), '5 6', 'in their order');
SELECT test.same(release_held(ARRAY[6, 5]), 0::bigint, 'once');
SELECT test.same((SELECT string_agg(DISTINCT state, ' ') FROM delivery), 'queued', 'as if nothing had been');
SELECT test.same(drop_held(ARRAY[6, 5], 'x'), 0::bigint, 'what was released cannot be dropped');

-- A budget of a minute alone, within one transaction and over several; a minute later there is room, and the hour remembers all.
TRUNCATE held_delivery, outbox, delivery, message, rule_sends, rule_sends_settled;
SELECT test.commit_sends(test.send(ARRAY[61, 62], 'm'), '{"m": {"sends_per_minute": 3}}');
SELECT test.commit_sends(test.send(ARRAY[63, 64], 'm'), '{"m": {"sends_per_minute": 3}}');
SELECT test.same((SELECT string_agg(delivery_id || ' ' || budget, ', ') FROM held_list), '64 sends_per_minute', 'the fourth is held');
UPDATE rule_sends SET slot = slot - interval '1 minute';
SELECT test.commit_sends(test.send(ARRAY[65, 66, 67], 'm'), '{"m": {"sends_per_minute": 3}}');
SELECT test.same((SELECT count(*) FROM held_delivery), 1::bigint, 'a minute later');
SELECT test.commit_sends(test.send(ARRAY[68, 69], 'm'), '{"m": {"sends_per_hour": 7, "sends_per_minute": 10}}');
SELECT test.same((SELECT string_agg(delivery_id || ' ' || budget, ', ' ORDER BY position) FROM held_list), '64 sends_per_minute, 69 sends_per_hour',
                 'seven in the hour');
-- Webhooks of the rule are none of its messages.
SELECT engine_commit_in_budget(jsonb_build_object('budgets', '{"m": {"sends_per_minute": 1}}'::jsonb, 'deliveries', jsonb_build_array(
           test.send(ARRAY[70], 'm')->0 || '{"kind": "webhook", "endpoint": "team", "message_id": null, "message_created_at": null}')), '{}');
SELECT test.same((SELECT state FROM delivery WHERE id = 70), 'queued', 'a webhook leaves');

-- What went more than an hour ago is forgotten once in an hour, of this rule alone.
INSERT INTO rule_sends_settled (rule, slot, sends) VALUES ('m', now() - interval '61 minutes', 5), ('other', now() - interval '61 minutes', 5);
DELETE FROM rule_sends_settled WHERE rule = 'm' AND slot > now() - interval '1 hour';
UPDATE rule_sends SET slot = slot - interval '2 minutes' WHERE rule = 'm';
SELECT sends_of_rule('m');
SELECT test.same((SELECT string_agg(rule || ' ' || (slot > now() - interval '1 hour'), ', ' ORDER BY rule, slot) FROM rule_sends_settled),
                 'm true, other false', 'it goes when something is settled');

-- Of one contact; each contact and rule for itself; within one transaction and over several.
TRUNCATE outbox, delivery, message, rule_sends;
SELECT test.commit_sends(test.send(ARRAY[11, 12], 'b', 1) || test.send(ARRAY[13], 'b', 2), '{"b": {"sends_per_contact_per_day": 2}}');
SELECT test.commit_sends(test.send(ARRAY[14], 'b', 1) || test.send(ARRAY[15, 16], 'b', 2), '{"b": {"sends_per_contact_per_day": 2}}');
SELECT test.commit_sends(test.send(ARRAY[17], 'c', 1), '{"c": {"sends_per_contact_per_day": 2}}');
SELECT test.same((SELECT string_agg(delivery_id::text, ' ' ORDER BY position) FROM held_list), '14 16', 'the third of each');
SELECT test.same(drop_held(ARRAY[14], 'no'), 1::bigint, 'one is given up');
SELECT test.same((SELECT d.state || ' ' || d.error_code || ' ' || m.state FROM delivery AS d JOIN message AS m ON m.id = d.message_id WHERE d.id = 14),
    'canceled held_dropped canceled', 'with its message');
UPDATE delivery SET created_at = created_at - interval '25 hours', message_created_at = NULL WHERE id IN (11, 12);
SELECT test.commit_sends(test.send(ARRAY[18], 'b', 1), '{"b": {"sends_per_contact_per_day": 2}}');
SELECT test.same((SELECT state FROM delivery WHERE id = 18), 'queued', 'a day later');

-- Several to one who had some are too many together; what is held, or was given up, was not sent.
SELECT test.commit_sends(test.send(ARRAY[19], 'p', 1), '{"p": {"sends_per_contact_per_day": 3}}');
SELECT test.commit_sends(test.send(ARRAY[191, 192, 193, 194], 'p', 1), '{"p": {"sends_per_contact_per_day": 3}}');
SELECT test.same((SELECT string_agg(delivery_id::text, ' ' ORDER BY position) FROM held_list WHERE rule = 'p'), '193 194', 'three in all');
SELECT drop_held(ARRAY[193], 'no');
UPDATE delivery SET state = 'canceled' WHERE id = 19;
SELECT test.commit_sends(test.send(ARRAY[195, 196], 'p', 1), '{"p": {"sends_per_contact_per_day": 3}}');
SELECT test.same((SELECT string_agg(delivery_id::text, ' ' ORDER BY position) FROM held_list WHERE rule = 'p'), '194 196', 'one of the three did not leave');

-- What waits for its time is let go for its time, not before it; in its order, whatever order it is named in.
UPDATE held_delivery SET due_at = now() + interval '1 hour' WHERE delivery_id = 196;
SELECT release_held(ARRAY[196, 194]);
SELECT test.same((SELECT string_agg(delivery_id || ' ' || (due_at > now() + interval '59 minutes'), ', ' ORDER BY position) FROM outbox
                   WHERE delivery_id IN (194, 196)), '194 false, 196 true', 'when it was to leave');

-- A goal that was reached ends what is held for it, and nothing else.
SELECT test.commit_sends((SELECT jsonb_agg(d || jsonb_build_object('outreach_id', 70 + n)) FROM jsonb_array_elements(test.send(ARRAY[197, 198, 199], 'q', 1))
    WITH ORDINALITY AS x (d, n)), '{"q": {"sends_per_hour": 1}}');
SELECT engine_commit_in_budget('{"cancel_deliveries": [{"outreach_id": 73}]}', '{}');
SELECT test.same((SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM delivery WHERE rule = 'q'), '197 queued, 198 held, 199 canceled', 'the one of the goal');

-- What nobody has a budget for is left alone; webhooks, too.
SELECT test.commit_sends(test.send(ARRAY[21, 22], 'd'), '{"e": {"sends_per_hour": 1}}');
SELECT test.same((SELECT count(*) FROM held_delivery WHERE rule = 'd'), 0::bigint, 'another rule''s budget');

-- What another rule sends in the same transaction is counted for itself, and of what is too much the last is held.
SELECT test.commit_sends(test.send(ARRAY[81], 'n') || test.send(ARRAY[82, 83], 'o') || test.send(ARRAY[84, 85], 'n') || test.send(ARRAY[86, 87], 'o'),
                         '{"n": {"sends_per_hour": 2}, "o": {"sends_per_hour": 3}}');
SELECT test.same((SELECT string_agg(rule || ' ' || delivery_id, ', ' ORDER BY position) FROM held_list WHERE rule IN ('n', 'o')), 'n 85, o 87', 'each has its own');

-- Two engines at once: one waits for the other's count.
TRUNCATE held_delivery, outbox, delivery, message, rule_sends;
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$SELECT test.commit_sends(test.send(ARRAY[31, 32, 33], 'f', 1), '{"f": {"sends_per_hour": 4}}')::text$$);
SELECT test.start('b', $$SELECT test.commit_sends(test.send(ARRAY[34, 35, 36], 'f', 2), '{"f": {"sends_per_hour": 4}}')::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.wait('b');
SELECT test.same((SELECT count(*) FROM held_delivery), 2::bigint, 'four of six, whoever comes first');

-- A transaction that is rolled back counts nothing.
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$SELECT test.commit_sends(test.send(ARRAY[41, 42], 'g', 1), '{"g": {"sends_per_hour": 2}}')::text$$);
SELECT test.run('a', 'ROLLBACK');
SELECT test.commit_sends(test.send(ARRAY[43, 44], 'g', 1), '{"g": {"sends_per_hour": 2}}');
SELECT test.same((SELECT count(*) FROM held_delivery WHERE rule = 'g'), 0::bigint, 'nothing was sent by it');
