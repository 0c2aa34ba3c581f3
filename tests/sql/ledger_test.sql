-- The delivery ledger: the same whatever order the provider's statuses come in, and never backwards.

CREATE TABLE result (person bigint, story text, state text, facts text);
-- Every order of these statuses, on a message of its own: by the provider's id, by our echo, or by both.
CREATE FUNCTION test.permutations(items text[]) RETURNS SETOF text[]
LANGUAGE plpgsql
AS $$
BEGIN
    IF cardinality(items) <= 1 THEN
        RETURN NEXT items;
        RETURN;
    END IF;
    FOR n IN 1 .. cardinality(items) LOOP
        RETURN QUERY SELECT items[n] || p FROM test.permutations(items[: n - 1] || items[n + 1 :]) AS p;
    END LOOP;
END
$$;

SELECT test.contact(10000, 'whatsapp:1');
CREATE FUNCTION test.story(of_message bigint, statuses text[]) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    seconds CONSTANT jsonb := '{"sent": 1, "delivered": 2, "read": 3, "failed": 4, "played": 5}';
    status text;
BEGIN
    PERFORM test.send(of_message, 10000);
    UPDATE message SET provider_message_id = 'wamid.' || id WHERE id = of_message;
    FOREACH status IN ARRAY statuses LOOP
        PERFORM apply_message_state('whatsapp', 'wamid.' || of_message, CASE WHEN random() < 0.5
            THEN of_message + 1 END, status,
                                    timestamptz '2026-01-01 00:00:00Z' + (seconds->>status)::integer * interval '1 second',
                                    CASE status WHEN 'failed' THEN '131026' END);
    END LOOP;
    RETURN (SELECT concat_ws(' ', m.state, m.error_code, extract(second FROM m.sent_at), extract(second
        FROM m.delivered_at), extract(second FROM m.read_at),
                             extract(second FROM m.failed_at), d.state, d.error_code)
              FROM message AS m JOIN delivery AS d ON d.message_id = m.id WHERE m.id = of_message);
END
$$;

INSERT INTO result (story, facts)
SELECT set.name, test.story(20000 + 10 * row_number() OVER (), p)
  FROM (VALUES ('read', ARRAY['sent', 'delivered', 'read']), ('failed', ARRAY['sent', 'failed', 'failed']),
               ('late proof', ARRAY['sent', 'failed', 'delivered', 'read']), ('twice', ARRAY['sent', 'delivered',
                   'delivered', 'sent'])) AS set (name, items)
 CROSS JOIN LATERAL test.permutations(set.items) AS p;
SELECT test.same((SELECT string_agg(DISTINCT facts, ' | ') FROM result WHERE story = 'read'),
    'read 1.000000 2.000000 3.000000 sent', 'sent, delivered, read');
SELECT test.same((SELECT string_agg(DISTINCT facts, ' | ') FROM result WHERE story = 'failed'),
    'failed 131026 1.000000 4.000000 failed 131026', 'sent, failed');
SELECT test.same((SELECT string_agg(DISTINCT facts, ' | ') FROM result WHERE story = 'late proof'),
    'read 1.000000 2.000000 3.000000 4.000000 sent', 'a failure that was none');
SELECT test.same((SELECT string_agg(DISTINCT facts, ' | ') FROM result WHERE story = 'twice'),
    'delivered 1.000000 2.000000 sent', 'repetitions');
SELECT test.same(test.story(90000, ARRAY['played']), 'read 5.000000 sent', 'played is read');
SELECT test.refused($$SELECT apply_message_state('whatsapp', 'x', NULL, 'lost', now())$$, '22023',
    'a state that there is not');

-- The status comes before we know the provider's id: it is kept, and joined when the answer to our call is recorded.
SELECT test.send(91000, 10000);
SELECT test.same(apply_message_state('whatsapp', 'wamid.early', NULL, 'delivered', now()), false,
    'nobody knows it yet');
SELECT test.same(apply_message_state('whatsapp', 'wamid.early', NULL, 'delivered', now()), false, 'not twice');
SELECT test.same((SELECT count(*) FROM unmatched_status), 1::bigint, 'kept once');
TRUNCATE outbox;
INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, message_id, state, attempts) SELECT id,
    created_at, 'whatsapp whatsapp:1', 'whatsapp', message_id, 'sending', 1 FROM delivery WHERE id = 91001;
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', 91001, 'created_at', created_at, 'number', 1,
    'outcome', 'sent', 'provider_message_id', 'wamid.early', 'duration_ms', 5))) FROM delivery WHERE id = 91001;
SELECT test.same((SELECT state || ' ' || (delivered_at IS NOT NULL) FROM message WHERE id = 91000), 'delivered true',
    'joined');
SELECT test.same((SELECT count(*) FROM unmatched_status), 0::bigint, 'and gone');

-- The same race with two sessions: the status is being kept while the answer is being recorded.
SELECT test.open('a'), test.open('b');
SELECT test.send(92000, 10000);
UPDATE outbox SET state = 'sending', attempts = 1 WHERE delivery_id = 92001;
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT apply_message_state('whatsapp', 'wamid.race', NULL, 'read',
    now())::text$$);
SELECT test.start('b', $$SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', 92001, 'created_at',
    created_at, 'number', 1, 'outcome', 'sent', 'provider_message_id', 'wamid.race', 'duration_ms', 5)))::text
    FROM delivery WHERE id = 92001$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT'), test.wait('b');
SELECT test.same((SELECT state FROM message WHERE id = 92000), 'read', 'the status first');
SELECT test.send(93000, 10000);
UPDATE outbox SET state = 'sending', attempts = 1 WHERE delivery_id = 93001;
SELECT test.run('b', 'BEGIN'), test.ask('b', $$SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', 93001,
    'created_at', created_at, 'number', 1, 'outcome', 'sent', 'provider_message_id', 'wamid.race2', 'duration_ms',
    5)))::text FROM delivery WHERE id = 93001$$);
SELECT test.start('a', $$SELECT apply_message_state('whatsapp', 'wamid.race2', NULL, 'read', now())::text$$);
SELECT test.until_blocked('a');
SELECT test.run('b', 'COMMIT'), test.wait('a');
SELECT test.same((SELECT state FROM message WHERE id = 93000), 'read', 'the answer first');
SELECT test.same((SELECT count(*) FROM unmatched_status), 0::bigint, 'nothing is left over');

-- Outreach counts as reached at the first delivery, by the provider's time.
INSERT INTO outreach (id, contact_id, topic, goal, steps) VALUES (70, 10000, 'billing', 'payment.succeeded', '[]');
SELECT test.send(94000, 10000, '{"outreach_id": 70}'), test.send(95000, 10000, '{"outreach_id": 70}');
SELECT apply_message_state('whatsapp', NULL, 95001, 'read', '2026-01-01 00:00:09Z'), apply_message_state('whatsapp',
    NULL, 94001, 'delivered', '2026-01-01 00:00:05Z');
SELECT test.same((SELECT extract(second FROM reached_at)::integer FROM outreach WHERE id = 70), 5, 'reached');

-- A message of another source with the same id is another message.
SELECT test.same(apply_message_state('telegram', 'wamid.race2', NULL, 'failed', now()), false,
    'ids belong to their source');

-- The same number and the same id at two sources, as two installations or a restore make them: each source's word is its own.
SELECT test.send(96000, 10000);
SELECT test.same(apply_message_state('telegram', 'wamid.stranger', 96001, 'failed', now()), false, 'our number, but of another source');
SELECT test.same(apply_message_state('telegram', 'wamid.stranger', NULL, 'failed', now(), NULL, NULL, m.id, m.created_at), false,
    'its row, but of another source') FROM message AS m WHERE m.id = 96000;
SELECT test.same((SELECT state FROM message WHERE id = 96000), 'queued', 'the message waits');
SELECT test.same((SELECT count(*) FROM outbox WHERE message_id = 96000), 1::bigint, 'and leaves');
SELECT test.same((SELECT string_agg(state, ' ') FROM unmatched_status WHERE provider_message_id = 'wamid.stranger'), 'failed', 'what was said is kept');
-- The id that the provider gave counts for more than our number beside it.
SELECT test.send(97000, 10000);
UPDATE message SET provider_message_id = 'wamid.97000', state = 'sent' WHERE id = 97000;
SELECT test.same(apply_message_state('whatsapp', 'wamid.97000', 96001, 'read', now()), true, 'known by its id');
SELECT test.same((SELECT string_agg(state, ' ' ORDER BY id) FROM message WHERE id IN (96000, 97000)), 'queued read', 'and by nothing else');
