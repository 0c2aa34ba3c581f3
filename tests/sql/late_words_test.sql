-- Words that come late, twice, or beside others: none of them sends anything again, or out of its line.

CREATE FUNCTION test.leave() RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce((SELECT string_agg(d->>'message_id', ' ' ORDER BY n)
    FROM json_array_elements(c.deliveries) WITH ORDINALITY AS x (d, n)), '') FROM deliver_claim(100, '1 minute') AS c $$;
CREATE FUNCTION test.tell(of_message bigint, attempt integer, said jsonb) RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', attempt,
    'duration_ms', 7, 'status', 200) || said)) FROM delivery AS d WHERE d.message_id = of_message $$;
CREATE FUNCTION test.state(of_message bigint) RETURNS text
LANGUAGE sql
AS $$ SELECT concat_ws(' ', d.state, m.state, o.state) FROM delivery AS d JOIN message AS m ON m.id = d.message_id LEFT
    JOIN outbox AS o ON o.delivery_id = d.id WHERE m.id = of_message $$;
-- A message that may be sent again, in its second attempt: the sender of the first one was taken for dead.
CREATE FUNCTION test.second_attempt(of_message bigint, contact bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.send(of_message, contact, request => '{"on_unknown": "resend"}');
    PERFORM test.same(test.leave(), of_message::text, 'the first attempt');
    UPDATE outbox SET lease_until = now() - interval '1 second' WHERE message_id = of_message;
    PERFORM deliver_settle('0');
    PERFORM test.same(test.leave(), of_message::text, 'the second attempt');
END
$$;

SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 9) AS n;

-- The first sender comes to life while the second one has it in hand: what became of the second attempt is not its to say.
SELECT test.second_attempt(11, 1000), test.second_attempt(21, 2000);
SELECT test.tell(11, 1, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}');
SELECT test.same(test.leave(), '', 'it is not sent a third time beside the second');
SELECT test.tell(11, 1, said) FROM unnest(ARRAY['{"outcome": "postponed", "duration_ms": null}', '{"outcome": "failed"}',
    '{"outcome": "unknown"}', '{"outcome": "canceled", "duration_ms": null}']::jsonb[]) AS said;
SELECT test.same((SELECT test.state(11) || ' ' || attempts FROM outbox WHERE message_id = 11), 'sending unknown sending 2', 'as it was');
SELECT test.tell(11, 2, '{"outcome": "sent"}');
SELECT test.same(test.state(11), 'sent sent', 'the second one says');
-- But when the first says that the provider took it, it is with them, and the second need not come again.
SELECT test.tell(21, 1, '{"outcome": "sent"}');
SELECT test.tell(21, 2, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}');
SELECT test.same(test.state(21) || test.leave(), 'sent sent', 'it arrived once');

-- Somebody asks for what is on its way: it is on its way.
SELECT test.send(31, 3000), test.leave();
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 31)), 'sending', 'somebody wants it sent');
SELECT test.same(test.state(31) || test.leave(), 'sending sending sending', 'it does not leave beside itself');

-- The provider tells while the answer to our call is still to come: it stays in hand, and the next one behind it.
SELECT test.send(41, 3000), test.leave();
SELECT test.holds(apply_message_state('whatsapp', NULL, (SELECT id FROM delivery WHERE message_id = 31), 'sent', now()), 'it left');
SELECT test.same(test.leave() || test.state(31), 'sending sent sending', 'nobody overtakes it');
SELECT test.tell(31, 1, '{"outcome": "unknown"}');
SELECT deliver_settle('1 hour');
SELECT test.same(test.state(31), 'sent sent', 'what the provider told counts');
SELECT test.same(test.leave(), '41', 'and the line goes on');

-- It tells when we were about to try again: its first answer was lost, or not what it meant.
SELECT test.send(51, 4000), test.send(61, 5000), test.leave();
SELECT test.tell(51, 1, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}'), test.tell(61, 1, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}');
SELECT apply_message_state('whatsapp', 'wamid.51', (SELECT id FROM delivery WHERE message_id = 51), 'delivered', now()),
       apply_message_state('whatsapp', 'wamid.61', (SELECT id FROM delivery WHERE message_id = 61), 'failed', now(), '131026');
SELECT test.same(test.leave(), '', 'neither is sent again');
SELECT test.same(test.state(51) || ', ' || test.state(61), 'sent delivered, failed failed', 'it is as the provider says');

-- What is canceled while nobody knows whether it left: it is not known then either, it is not sent again, and a late word still counts.
SELECT test.send(91, 7000), test.send(101, 8000), test.leave();
SELECT test.tell(91, 1, '{"outcome": "unknown"}');
SELECT test.same(cancel_deliveries('{}', '{91, 101}'), 0, 'nothing is taken away');
SELECT test.tell(101, 1, '{"outcome": "postponed", "duration_ms": null}');
SELECT test.same(test.state(91) || ', ' || test.state(101), 'unknown unknown unknown, canceled canceled', 'who did not leave is canceled');
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 91)), 'canceling', 'not by hand either');
SELECT test.same(test.leave(), '', 'it does not leave');
SELECT test.same(test.state(91), 'unknown unknown unknown', 'and does not end as something else');
SELECT test.tell(91, 1, '{"outcome": "sent"}');
SELECT test.same(test.state(91), 'sent sent', 'who did has left');
-- Settled, it is somebody's to decide again.
SELECT test.send(111, 9000), test.leave(), test.tell(111, 1, '{"outcome": "unknown"}'), cancel_deliveries('{}', '{111}'), deliver_settle('0');
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 111)), 'unknown', 'nobody knew');
SELECT test.same(test.leave(), '111', 'somebody wants it sent');
SELECT test.tell(111, 1, '{"outcome": "sent"}');

-- What had left its line stands at the end of it when somebody wants it sent again: there is one at a time to a recipient.
SELECT test.send(71, 6000), test.leave(), test.tell(71, 1, '{"outcome": "unknown"}');
SELECT test.send(81, 6000);
SELECT test.same(test.leave(), '81', 'nobody waits for what is not sent again');
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 71)), 'unknown', 'somebody wants it sent');
SELECT test.same(test.leave(), '', 'not beside the other one');
SELECT test.tell(81, 1, '{"outcome": "sent"}');
SELECT test.same(test.leave(), '71', 'but after it');
