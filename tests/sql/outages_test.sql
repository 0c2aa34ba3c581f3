-- What may go at once when a target works again, and what goes on waiting.

SELECT test.contact(c, 'whatsapp:' || c), test.send(c + 10, c) FROM generate_series(100, 800, 100) AS c;
SELECT deliver_claim(20, '30 seconds');
-- Each was tried once: refused with this status, or not answered, and put off for that long.
CREATE FUNCTION test.failed(contact integer, status integer, wait interval, of_reason text DEFAULT NULL, pause integer DEFAULT 0) RETURNS void
LANGUAGE sql
AS $$
    SELECT deliver_record(jsonb_build_array(jsonb_build_object(
        'id', d.id, 'created_at', d.created_at, 'number', 1, 'started_at', clock_timestamp(), 'duration_ms', 10, 'status', status,
        'outcome', 'retry', 'due_at', clock_timestamp() + wait, 'reason', of_reason, 'pause_source_ms', pause)))
      FROM delivery AS d WHERE d.id = contact + 11
$$;
SELECT test.failed(100, 503, '3 hours'), test.failed(200, NULL, '2 hours'), test.failed(300, 429, '1 hour'), test.failed(400, 500, '5 seconds'),
       test.failed(500, 400, '4 hours', 'somebody else''s'), test.failed(600, 401, '5 hours', 'the token is wrong', 1000), test.failed(700, 502, '6 hours');
CREATE FUNCTION test.due() RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg((delivery_id - 11)::text, ' ' ORDER BY delivery_id), '') FROM outbox
     WHERE state = 'waiting' AND due_at <= clock_timestamp()
$$;

SELECT test.same(let_failed_go('telegram', 10), 0, 'another source has nothing');
SELECT test.same(test.due(), '', 'nothing goes yet');
SELECT test.same(let_failed_go('whatsapp', 1), 1, 'one may go');
SELECT test.same(test.due(), '200', 'the one that was due first');
SELECT test.same(let_failed_go('whatsapp', 10), 3, 'the others that the target failed');
SELECT test.same(test.due(), '100 200 600 700', 'no answer, 5xx, and what found it down');
SELECT test.same(let_failed_go('whatsapp', 10), 0, 'nothing is left');
SELECT test.same((SELECT string_agg(state || ' ' || (delivery_id - 11), ', ' ORDER BY delivery_id) FROM outbox WHERE due_at > clock_timestamp()),
                 'waiting 300, waiting 400, waiting 500', 'what was put off for another reason, or not for long, waits');
SELECT test.same((SELECT state FROM outbox WHERE delivery_id = 811), 'sending', 'what is on its way is left alone');

-- Nobody waits for what somebody else holds.
UPDATE outbox SET due_at = clock_timestamp() + interval '1 hour' WHERE delivery_id IN (111, 211);
SELECT test.open('other'), test.run('other', 'BEGIN'), test.ask('other', 'SELECT position::text FROM outbox WHERE delivery_id = 111 FOR UPDATE');
SELECT test.same(let_failed_go('whatsapp', 10), 1, 'the one that nobody holds');
