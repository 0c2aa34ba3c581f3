-- Where a sender's claim begins: beyond what is over, dead rows and all, and never beyond a delivery that is still to come.

-- As if a tenth of a second had passed: where to begin is not found out more often.
CREATE FUNCTION test.later() RETURNS void
LANGUAGE sql AS $$ SELECT set_config('answerd.outbox_marked_at', '', false) $$;
-- The messages that a claim gives, as text; each claim in a transaction of its own, as a sender does it.
CREATE FUNCTION test.leave(most integer DEFAULT 100) RETURNS text
LANGUAGE sql
AS $$ SELECT test.later(); SELECT coalesce((SELECT string_agg(d->>'message_id', ' ' ORDER BY n)
    FROM json_array_elements(c.deliveries) WITH ORDINALITY AS x (d, n)), '') FROM deliver_claim(most, '1 minute') AS c $$;
CREATE FUNCTION test.outcome(of_message bigint, said jsonb DEFAULT '{"outcome": "sent"}') RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number',
    d.attempts, 'duration_ms', 7, 'status', 200) || said)) FROM delivery AS d WHERE d.message_id = of_message $$;
CREATE FUNCTION test.fresh_from() RETURNS timestamptz
LANGUAGE sql AS $$ SELECT (session_source_start('whatsapp')).fresh $$;
CREATE FUNCTION test.line_from(endpoint text) RETURNS bigint
LANGUAGE sql AS $$ SELECT (session_source_start('endpoint ' || endpoint)).line $$;

SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 20) AS n;
SELECT test.contact(30000, 'telegram:30', 'telegram'), test.contact(31000, 'sms:31', 'sms');

SELECT test.same(test.fresh_from(), '-infinity'::timestamptz, 'a session begins at the first');
SELECT test.send(101, 1000);
SELECT test.same(test.leave(), '101', 'the first');
SELECT test.outcome(101);
SELECT test.send(201, 2000);
SELECT test.same(test.leave(), '201', 'the second');
SELECT test.outcome(201);
SELECT test.send(301, 3000);
SELECT test.same(test.leave(), '301', 'the third');
SELECT test.outcome(301);
SELECT test.holds(isfinite(test.fresh_from()), 'the session begins where deliveries can still be');

-- Somebody has his deliveries written and takes long to commit; others come and leave meanwhile, again and again.
SELECT test.open('slow');
SELECT test.run('slow', 'BEGIN');
SELECT test.ask('slow', $$SELECT 1 FROM test.send(401, 4000) AS a, test.send(411, 4000) AS b, test.send(421, 30000) AS c$$);
SELECT test.send(501, 5000);
SELECT test.same(test.leave(), '501', 'others go on');
SELECT test.outcome(501);
SELECT test.send(511, 5000);
SELECT test.same(test.leave(), '511', 'and on');
SELECT test.outcome(511);
SELECT test.send(521, 5000);
SELECT test.same(test.leave(), '521', 'and on');
SELECT test.outcome(521);
SELECT test.run('slow', 'COMMIT');
SELECT test.send(431, 4000);
SELECT test.same((SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(string_to_array(test.leave(), ' ')) AS x), '401 421',
    'who took long to commit is not passed over, nor a source that came with it');
SELECT test.outcome(401), test.outcome(421);
SELECT test.same(test.leave(), '411', 'in order');
SELECT test.outcome(411);
SELECT test.same(test.leave(), '431', 'to the last one');
SELECT test.outcome(431);

-- Whatever its time was, it comes: due long ago, tried again, released, retried by hand.
SELECT test.send(601, 6000, '{"due_at": "2020-01-01T00:00:00Z"}');
SELECT test.same(test.leave(), '601', 'due before the session began');
SELECT test.outcome(601, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z", "reason": "busy"}');
SELECT test.same(test.leave(), '601', 'to be tried again since long ago');
SELECT test.outcome(601, jsonb_build_object('outcome', 'retry', 'due_at', clock_timestamp() + interval '3 s', 'reason', 'busy'));
SELECT test.send(611, 7000);
SELECT test.same(test.leave(), '611', 'who waits delays nobody');
SELECT test.outcome(611);
SELECT test.send(621, 7000);
SELECT test.same(test.leave(), '621', 'again');
SELECT test.outcome(621);
SELECT pg_sleep(3);
SELECT test.same(test.leave(), '601', 'and its time comes');
SELECT test.outcome(601, '{"outcome": "failed", "error_code": "1", "reason": "no"}');
SELECT test.send(631, 7000);
SELECT test.same(test.leave(), '631', 'others again');
SELECT test.outcome(631);
SELECT retry_delivery(602);
SELECT test.same(test.leave(), '601', 'somebody retries one that had failed');
SELECT test.outcome(601);
WITH gone AS (DELETE FROM outbox RETURNING 1) SELECT test.same(count(*), 0::bigint, 'all are over') FROM gone;
SELECT test.send(641, 8000), test.send(651, 8000);
WITH gone AS (DELETE FROM outbox RETURNING *)
INSERT INTO held_delivery (position, delivery_id, delivery_created_at, rule, contact_id, message_id, recipient, source, due_at, held_at,
                           budget, reason)
SELECT position, delivery_id, delivery_created_at, 'r', contact_id, message_id, recipient, source, due_at, now(), 'sends_per_hour', 'x'
  FROM gone;
UPDATE delivery SET state = 'held' WHERE message_id IN (641, 651);
SELECT test.send(700 + n, n * 1000) FROM generate_series(9, 11) AS n;
SELECT test.same(test.leave(), '709 710 711', 'others, while some are held');
SELECT test.outcome(700 + n) FROM generate_series(9, 11) AS n;
SELECT test.same(release_held(ARRAY[642, 652]), 2::bigint, 'they are released');
SELECT test.same(test.leave(), '641', 'and leave in order');
SELECT test.outcome(641);
SELECT test.same(test.leave(), '651', 'both');
SELECT test.outcome(651);

-- Another session claims from the same sources, and one begins anew.
SELECT test.open('other');
SELECT test.send(801, 12000);
SELECT test.same(test.ask('other', 'SELECT test.leave()'), '801', 'another session');
SELECT test.send(811, 13000, request => '{"on_unknown": "resend"}'), test.send(821, 13000);
SELECT test.same(test.leave(), '811', 'both work');
SELECT test.outcome(801), test.outcome(811, '{"outcome": "unknown"}');
SELECT test.same(test.ask('other', 'SELECT test.leave()'), '', 'who may be sent again keeps its place');
SELECT deliver_settle('0');
SELECT test.same(test.ask('other', 'SELECT test.leave()'), '811', 'and comes first, in any session');
SELECT test.outcome(811);
SELECT test.same(test.leave(), '821', 'then the next');
SELECT test.close('other'), test.open('other');
SELECT test.send(831, 14000);
SELECT test.same(test.ask('other', 'SELECT test.leave()'), '831', 'one that is new finds all');
SELECT test.outcome(821), test.outcome(831);

-- Who had left its line comes back at the end of it, and meets nobody on the way.
SELECT test.send(841, 14000, request => '{"on_unknown": "hold"}'), test.send(851, 14000);
SELECT test.same(test.leave(), '841', 'the first');
SELECT test.outcome(841, '{"outcome": "unknown"}');
SELECT test.same(test.leave(), '851', 'the second does not wait for what nobody knows');
SELECT retry_delivery(842);
SELECT test.same(test.leave(), '', 'somebody retries the first: it waits for the second');
SELECT test.outcome(851);
SELECT test.same(test.leave(), '841', 'and leaves after it');
SELECT test.outcome(841);

-- Those who had their turn and waited for another one come before those that had none yet.
SELECT test.send(901, 15000), test.send(911, 15000), test.send(921, 16000), test.send(931, 17000);
SELECT test.same(test.leave(1), '901', 'the first of two');
SELECT test.same(test.leave(1), '921', 'its second waits behind it');
SELECT test.outcome(901), test.outcome(921);
SELECT test.same(test.leave(1), '911', 'and is next when that is gone');
SELECT test.same(test.leave(1), '931', 'before those who came later');
SELECT test.outcome(911), test.outcome(931);

-- A clock that is set back hides nothing for longer than a minute.
SELECT test.send(1001, 18000);
UPDATE outbox SET counts_from = '2020-01-01T00:00:00Z';
SELECT test.same(test.leave(), '', 'as if it had been written while the clock was wrong');
SELECT set_config('answerd.outbox_looked_at', (now() - interval '61 seconds')::text, false);
SELECT test.same(test.leave(), '1001', 'found a minute later');
SELECT set_config('answerd.outbox_looked_at', (now() + interval '1 hour')::text, false);
SELECT test.outcome(1001), test.send(1011, 18000);
UPDATE outbox SET counts_from = '2020-01-01T00:00:00Z';
SELECT test.same(test.leave(), '1011', 'or at once when the clock is seen to go back');
SELECT test.outcome(1011);
SELECT test.send(1012, 18000);
UPDATE outbox SET counts_from = '2020-01-01T00:00:00Z';
SELECT set_config('answerd.outbox_last_look_at', (now() + interval '1 second')::text, false);
SELECT test.same(test.leave(), '1012', 'or when it went back by less than the last look is old');
SELECT test.outcome(1012);

-- Nor does it hide what is on its way, when its sender ends.
CREATE FUNCTION test.hidden_from_settling() RETURNS bigint
LANGUAGE sql
AS $$
    UPDATE outbox SET counts_from = '2020-01-01T00:00:00Z', lease_until = now() - interval '10 minutes';
    SELECT set_config('answerd.outbox_start', (jsonb_populate_record(session_outbox_start(),
        jsonb_build_object('sending', now(), 'unknown', now())))::text, false);
    SELECT deliver_settle('1 minute');
$$;
SELECT test.send(1013, 18000), test.leave();
SELECT test.same(test.hidden_from_settling(), 0::bigint, 'as if it had been claimed while the clock was wrong');
SELECT set_config('answerd.outbox_looked_at', (now() - interval '61 seconds')::text, false), test.leave();
SELECT test.same(deliver_settle('1 hour'), 1::bigint, 'a minute later its outcome is called unknown');
SELECT test.same(test.hidden_from_settling(), 0::bigint, 'the same of what is unknown');
SELECT set_config('answerd.outbox_last_look_at', (now() + interval '1 second')::text, false), test.leave();
SELECT test.same(deliver_settle('1 minute'), 1::bigint, 'it is settled');
SELECT test.same((SELECT d.state FROM delivery AS d WHERE d.message_id = 1013), 'unknown', 'nobody said what became of it');
SELECT set_config('answerd.outbox_next', ROW('{}'::outbox_source_start[], now() + interval '1 hour', now() + interval '1 hour')::outbox_start::text, false),
       set_config('answerd.outbox_mark', '1', false), set_config('answerd.outbox_last_look_at', (now() + interval '1 second')::text, false),
       test.leave();
SELECT test.same((session_outbox_start()).sending, '-infinity'::timestamptz, 'a moment that is still to come is no start');

-- What was written before the column was there counts from when it was due.
SELECT test.send(1021, 18000);
UPDATE outbox SET counts_from = NULL;
SELECT set_config('answerd.outbox_looked_at', '', false);
SELECT test.same(test.leave(), '1021', 'from an older version');
SELECT test.outcome(1021);

-- The cost beside 300,000 dead rows: of a source with many recipients, and of an endpoint with one line.
CREATE FUNCTION test.call(number integer) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO delivery (id, kind, source, endpoint, request) VALUES (2000000 + number, 'webhook', 'crm', 'crm', '{}');
    INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source)
    SELECT id, created_at, 'endpoint crm', 'endpoint crm' FROM delivery WHERE id = 2000000 + number;
$$;
CREATE FUNCTION test.called(number integer) RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', d.attempts,
    'duration_ms', 7, 'status', 200, 'outcome', 'sent'))) FROM delivery AS d WHERE d.id = 2000000 + number $$;
INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, state, lease_until)
SELECT -n, now(), CASE WHEN n % 6 = 1 THEN 'endpoint crm' ELSE 'whatsapp whatsapp:' || n END,
       CASE WHEN n % 6 = 1 THEN 'endpoint crm' ELSE 'whatsapp' END,
       CASE WHEN n % 6 = 2 THEN 'sending' ELSE 'waiting' END, now() + interval '1 minute'
  FROM generate_series(1, 300000) AS n;
SELECT test.run('slow', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT test.ask('slow', 'SELECT count(*)::text FROM outbox');
DELETE FROM outbox;
ANALYZE outbox;
CREATE FUNCTION test.one_of_each(n integer) RETURNS void
LANGUAGE sql AS $$ SELECT test.send(3000 + n * 10 + 1, 19000), test.call(n) $$;
CREATE FUNCTION test.both_left(n integer) RETURNS void
LANGUAGE sql AS $$ SELECT test.outcome(3000 + n * 10 + 1), test.called(n) $$;
CREATE TABLE cost (what text, remembered integer, from_first integer);
SELECT test.one_of_each(1); SELECT test.leave(9); SELECT test.both_left(1);
SELECT test.one_of_each(2); SELECT test.leave(9); SELECT test.both_left(2);
SELECT test.one_of_each(3); SELECT test.leave(9); SELECT test.both_left(3);
INSERT INTO cost SELECT 'writing two deliveries', test.pages('SELECT test.one_of_each(4)');
INSERT INTO cost SELECT 'a claim', test.pages($$SELECT * FROM deliver_claim(9, '1 minute')$$);
SELECT test.same((SELECT count(*) FROM outbox WHERE state = 'sending'), 2::bigint, 'both are claimed beside the dead');
SELECT test.one_of_each(5);
INSERT INTO cost SELECT 'recording what was sent', test.pages('SELECT test.both_left(4)');
INSERT INTO cost SELECT 'the look for dead senders', test.pages($$SELECT deliver_settle('1 minute')$$);
INSERT INTO cost SELECT 'a claim without anything to claim', test.pages($$SELECT * FROM deliver_claim(0, '1 minute')$$);
SELECT set_config(name, '', false) FROM unnest(ARRAY['answerd.outbox_start', 'answerd.outbox_next', 'answerd.outbox_mark',
    'answerd.outbox_looked_at']) AS name;
BEGIN;
UPDATE cost SET from_first = test.pages($$SELECT deliver_settle('1 minute')$$) WHERE what = 'the look for dead senders';
UPDATE cost SET from_first = test.pages($$SELECT * FROM deliver_claim(9, '1 minute')$$) WHERE what = 'a claim';
UPDATE cost SET from_first = test.pages('SELECT test.both_left(5)') WHERE what = 'recording what was sent';
COMMIT;
SELECT 'measured: beside 300000 dead rows ' || what || ' reads ' || remembered || ' pages, from the first on ' ||
       coalesce(from_first::text, 'not asked') FROM cost;
SELECT test.holds((SELECT bool_and(remembered < 1000) FROM cost), 'the dead are not visited');
SELECT test.run('slow', 'COMMIT');
