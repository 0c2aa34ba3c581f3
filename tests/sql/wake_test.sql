-- Nobody is forgotten in the line of a recipient, whoever leaves it at the same time.

CREATE FUNCTION test.leave() RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce((SELECT string_agg(d->>'message_id', ' ' ORDER BY n)
    FROM json_array_elements(c.deliveries) WITH ORDINALITY AS x (d, n)), '') FROM deliver_claim(100, '1 minute') AS c $$;
CREATE FUNCTION test.outcome(of_message bigint, said text DEFAULT 'sent') RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number',
    d.attempts, 'duration_ms', 7, 'status', 200, 'outcome', said))) FROM delivery AS d WHERE d.message_id = of_message $$;
CREATE FUNCTION test.states() RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce(string_agg(message_id || ' ' || state, ', ' ORDER BY position), '') FROM outbox $$;
-- Three to one recipient, the first on its way.
CREATE FUNCTION test.line(first bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.send(first, 1000), test.send(first + 10, 1000), test.send(first + 20, 1000);
    PERFORM test.same(test.leave(), first::text, 'the first leaves');
    PERFORM test.same(test.states(), format('%s sending, %s behind, %s behind', first, first + 10, first + 20), 'the others wait');
END
$$;

SELECT test.contact(1000, 'whatsapp:1');
SELECT test.open('a'), test.open('b');

-- The second is canceled while the first one arrives: neither sees the other's go.
SELECT test.line(101);
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT cancel_deliveries('{}', '{111}')::text$$);
SELECT test.start('b', $$SELECT test.outcome(101)::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.wait('b');
SELECT test.same(test.states(), '121 waiting', 'the third is awake');
SELECT test.same(test.leave(), '121', 'and leaves');
SELECT test.outcome(121);

-- The same, and the one who canceled takes it back.
SELECT test.line(201);
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT cancel_deliveries('{}', '{211}')::text$$);
SELECT test.start('b', $$SELECT test.outcome(201)::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'ROLLBACK');
SELECT test.wait('b');
SELECT test.same(test.states(), '211 waiting, 221 behind', 'it is the turn of the second');
SELECT test.same(test.leave(), '211', 'which leaves');
SELECT test.outcome(211);
SELECT test.same(test.leave(), '221', 'and then the third');
SELECT test.outcome(221);

-- The first arrives, but that is not yet committed, and the second is canceled.
SELECT test.line(301);
SELECT test.run('b', 'BEGIN'), test.ask('b', $$SELECT test.outcome(301)::text$$);
SELECT test.start('a', $$SELECT cancel_deliveries('{}', '{311}')::text$$);
SELECT test.until_blocked('a');
SELECT test.run('b', 'COMMIT');
SELECT test.wait('a');
SELECT test.same(test.states(), '321 waiting', 'the third is awake');
SELECT test.same(test.leave(), '321', 'and leaves');
SELECT test.outcome(321);

-- The second waits to be claimed, not behind, when both go.
SELECT test.line(401);
UPDATE outbox SET state = 'waiting', due_at = now() + interval '1 hour' WHERE message_id = 411;
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT cancel_deliveries('{}', '{411}')::text$$);
SELECT test.start('b', $$SELECT test.outcome(401)::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.wait('b');
SELECT test.same(test.states(), '421 waiting', 'the third is awake');
SELECT test.same(test.leave(), '421', 'and leaves');
SELECT test.outcome(421);

-- The third was not yet behind anybody when the second went, and is put behind the first before that is committed.
SELECT test.send(501, 1000);
SELECT test.same(test.leave(), '501', 'the first leaves');
SELECT test.send(511, 1000), test.send(521, 1000);
UPDATE outbox SET due_at = now() + interval '1 hour' WHERE message_id = 511;
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT cancel_deliveries('{}', '{511}')::text$$);
SELECT test.same(test.ask('b', 'SELECT coalesce(test.leave(), '''')'), '', 'nothing may leave');
SELECT test.start('b', $$SELECT test.outcome(501)::text$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.wait('b');
SELECT test.same(test.leave(), '521', 'the third leaves');
SELECT test.outcome(521);

-- One whose outcome nobody knows steps out of the line while the one behind it is canceled.
SELECT test.line(601);
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT cancel_deliveries('{}', '{611}')::text$$);
SELECT test.start('b', $$SELECT leave_line(o)::text FROM outbox AS o WHERE message_id = 601$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.wait('b');
SELECT test.same((SELECT state FROM outbox WHERE message_id = 621), 'waiting', 'the third is awake');
SELECT test.same(test.leave(), '621', 'and leaves');
SELECT test.outcome(621), test.outcome(601);

-- Several go in one transaction.
SELECT test.line(701);
SELECT test.send(731, 1000);
SELECT cancel_deliveries('{}', '{711,721}');
SELECT test.outcome(701);
SELECT test.same(test.leave(), '731', 'what is left of the line leaves');
SELECT test.outcome(731);

-- The only one arrives, but that is not yet committed, and another one is written: it is not put behind what will be gone.
SELECT test.send(751, 1000);
SELECT test.same(test.leave(), '751', 'the only one leaves');
SELECT test.run('b', 'BEGIN'), test.ask('b', $$SELECT test.outcome(751)::text$$);
SELECT test.send(761, 1000);
SELECT test.same(test.leave(), '', 'it is not yet its turn');
SELECT test.run('b', 'COMMIT');
SELECT test.same(test.leave(), '761', 'and then it is');
SELECT test.outcome(761);

-- And in one statement, with others left between them.
SELECT test.line(801);
SELECT test.send(831, 1000), test.send(841, 1000);
SELECT test.leave();
DELETE FROM outbox WHERE message_id IN (801, 821, 841);
SELECT test.same(test.states(), '811 waiting, 831 waiting', 'each of them looks whether it is its turn');
SELECT test.same(test.leave(), '811', 'which it is for the first one only');
SELECT test.outcome(811);
SELECT test.same(test.leave(), '831', 'and for the other one after that');
SELECT test.outcome(831);
SELECT test.same(test.states(), '', 'all have left');
