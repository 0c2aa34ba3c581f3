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

-- What nobody has a budget for is left alone; webhooks, too.
SELECT test.commit_sends(test.send(ARRAY[21, 22], 'd'), '{"e": {"sends_per_hour": 1}}');
SELECT test.same((SELECT count(*) FROM held_delivery WHERE rule = 'd'), 0::bigint, 'another rule''s budget');

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
