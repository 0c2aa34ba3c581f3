-- What leaves: in order for each recipient, within the paces, and never again on a guess.

-- The ids that a claim gives, as text; `paces` as the server passes them.
CREATE FUNCTION test.leave(most integer, paces jsonb DEFAULT '{}') RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce((SELECT string_agg(d->>'message_id', ' ' ORDER BY n)
    FROM json_array_elements(c.deliveries) WITH ORDINALITY AS x (d, n)), '') FROM deliver_claim(most, '1 minute',
    paces) AS c $$;
CREATE FUNCTION test.outcome(of_message bigint, said jsonb) RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number',
    d.attempts, 'duration_ms', 7, 'status', 200) || said)) FROM delivery AS d WHERE d.message_id = of_message $$;
CREATE FUNCTION test.state(of_message bigint) RETURNS text
LANGUAGE sql
AS $$ SELECT concat_ws(' ', d.state, m.state, o.state) FROM delivery AS d JOIN message AS m ON m.id = d.message_id LEFT
    JOIN outbox AS o ON o.delivery_id = d.id WHERE m.id = of_message $$;

SELECT test.contact(1000, 'whatsapp:1'), test.contact(2000, 'whatsapp:2'), test.contact(3000, 'telegram:3', 'telegram');
SELECT test.send(11, 1000), test.send(21, 1000), test.send(31, 2000), test.send(41, 1000);

-- The first one to each recipient; the next one when that is gone, whatever came of it.
SELECT test.same(test.leave(10), '11 31', 'one for each recipient, the oldest');
SELECT test.same(test.state(11), 'sending sending sending', 'marked as being sent');
SELECT test.same(test.state(21), 'queued queued behind', 'the next waits behind it');
SELECT test.same(test.leave(10), '', 'nothing else may go');
SELECT test.outcome(11, '{"outcome": "sent", "provider_message_id": "wamid.11", "sent_as": "free"}');
SELECT test.same(test.state(11), 'sent sent', 'sent');
SELECT test.same((SELECT provider_message_id FROM message WHERE id = 11), 'wamid.11', 'with the provider''s id');
SELECT test.same(test.leave(10), '21', 'then the next one');
SELECT test.outcome(21, jsonb_build_object('outcome', 'retry', 'due_at', now() + interval '1 hour', 'reason', 'busy'));
SELECT test.same(test.state(21), 'retrying sending waiting', 'a retry keeps its place');
SELECT test.same(test.leave(10), '', 'nobody overtakes it');
SELECT test.outcome(21, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}');
SELECT test.same((SELECT due_at > now() FROM outbox WHERE message_id = 21), true, 'said twice, it changes nothing');
UPDATE outbox SET due_at = now() WHERE message_id = 21;
SELECT test.same(test.leave(10), '21', 'its time has come');
SELECT test.same((SELECT attempts FROM delivery WHERE message_id = 21)::integer, 2, 'the second attempt');
SELECT test.outcome(21, '{"outcome": "failed", "error_code": "131026", "reason": "not on WhatsApp",
    "unreachable": true}');
SELECT test.same(test.state(21), 'failed failed', 'refused for good');
SELECT test.same((SELECT unreachable_reason FROM address WHERE identity = 'whatsapp:1'), 'not on WhatsApp',
    'the address is known to be dead');
SELECT test.same(test.leave(10), '41', 'the recipient''s line goes on');
SELECT test.outcome(41, '{"outcome": "blocked", "error_code": "window_closed", "reason": "closed",
    "duration_ms": null}');
SELECT test.same(test.state(41), 'blocked blocked', 'not allowed to leave');
SELECT test.same((SELECT attempts || ' ' || (SELECT count(*) FROM attempt AS a WHERE a.delivery_id = d.id)
    FROM delivery AS d WHERE message_id = 41), '0 0', 'that was no attempt');
SELECT test.same((SELECT string_agg(number || ':' || outcome, ' ' ORDER BY number) FROM attempt AS a
    JOIN delivery AS d ON d.id = a.delivery_id WHERE d.message_id = 21), '1:retry 2:failed', 'attempts are kept');

-- Two senders at the same time share the work and never one recipient.
SELECT test.outcome(31, '{"outcome": "sent"}');
SELECT test.send(51, 1000), test.send(61, 1000), test.send(71, 2000);
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN'), test.run('b', 'BEGIN');
SELECT test.same(test.ask('a', 'SELECT test.leave(1)') || '|' || test.ask('b', 'SELECT test.leave(10)'), '51|',
    'one sender for a source at a time');
SELECT test.run('a', 'COMMIT'), test.run('b', 'COMMIT');
SELECT test.same(test.ask('b', 'SELECT test.leave(10)'), '71', 'the second one gets the other recipient');
-- The first is removed at the very moment when another is put behind it: the other must not be forgotten.
SELECT test.send(81, 2000);
SELECT test.run('b', 'BEGIN'), test.ask('b', $$SELECT test.outcome(71, '{"outcome": "sent"}')::text$$);
SELECT test.same(test.leave(10), '', 'the first one is held by the one who records');
SELECT test.run('b', 'COMMIT');
SELECT test.same(test.leave(10), '81', 'it comes as soon as that is done');
SELECT test.outcome(81, '{"outcome": "sent"}'), test.outcome(51, '{"outcome": "sent"}');
SELECT test.same(test.leave(10), '61', 'and the other one, too');
SELECT test.outcome(61, '{"outcome": "sent"}');

-- Paces: of the source, of the address, and pauses.
SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(4, 30) AS n;
SELECT test.send(1000 * n + 501, 1000 * n) FROM generate_series(4, 30) AS n;
SELECT test.same((SELECT cardinality(string_to_array(test.leave(100, '{"whatsapp": {"per_second": 10}}'), ' '))), 3,
    'a quarter of a second''s worth at once');
SELECT test.holds((SELECT next_slot_at - now() BETWEEN interval '0' AND interval '300 ms' FROM source_pace
    WHERE source = 'whatsapp'), 'which is for as long as they last');
-- A minute later than it is, so that it is not over when the machine is slow.
UPDATE source_pace SET next_slot_at = clock_timestamp() + interval '1 minute' WHERE source = 'whatsapp';
SELECT test.same(test.leave(100, '{"whatsapp": {"per_second": 10}}'), '', 'then the source must wait');
SELECT test.same((SELECT next_due FROM deliver_claim(100, '1 minute', '{"whatsapp": {"per_second": 10}}')),
    (SELECT next_slot_at - interval '200 ms' FROM source_pace WHERE source = 'whatsapp'), 'and says how long');
SELECT test.send(12001, 3000);
SELECT test.same(test.leave(100, '{"whatsapp": {"per_second": 10}}'), '12001', 'another source does not wait with it');
UPDATE source_pace SET next_slot_at = clock_timestamp() WHERE source = 'whatsapp';
SELECT test.same((SELECT cardinality(string_to_array(test.leave(100, '{"whatsapp": {"per_second": 10}}'), ' '))), 3,
    'later some more');
SELECT pause_source('whatsapp', now() + interval '1 hour', 'token expired');
SELECT test.same(test.leave(100), '', 'a paused source sends nothing');
SELECT test.holds((SELECT next_due > now() + interval '50 minutes' FROM deliver_claim(100, '1 minute')),
    'and says until when');
SELECT test.holds(resume_source('whatsapp'), 'somebody resumes it');
SELECT test.same(resume_source('whatsapp'), false, 'once');
SELECT test.leave(100);
SELECT test.outcome(message_id, '{"outcome": "sent"}') FROM outbox WHERE state = 'sending';
SELECT test.same((SELECT count(*) FROM outbox), 0::bigint, 'everything left');
-- What waits because the source was down leaves when somebody resumes it, also when the pause is over; what the provider
-- wants later does not.
SELECT test.send(11101, 4000), test.send(12101, 5000), test.send(13101, 6000);
SELECT test.leave(100);
SELECT test.outcome(11101, jsonb_build_object('outcome', 'retry', 'due_at', now() + interval '8 hours', 'reason', 'token expired',
    'pause_source_ms', 60000));
SELECT test.outcome(12101, jsonb_build_object('outcome', 'retry', 'due_at', now() + interval '1 day', 'reason', 'not within a day'));
SELECT test.outcome(13101, '{"outcome": "sent"}');
UPDATE source_pace SET paused_until = clock_timestamp() WHERE source = 'whatsapp';
SELECT test.same(test.leave(100), '', 'both wait');
SELECT test.holds(resume_source('whatsapp'), 'something waited');
SELECT test.same(resume_source('whatsapp'), false, 'nothing does any more');
SELECT test.same(test.leave(100), '11101', 'it leaves, the other one waits');
SELECT test.outcome(11101, '{"outcome": "sent"}');
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 12101)), 'retrying', 'it is sent by hand');
SELECT test.leave(100);
SELECT test.outcome(12101, '{"outcome": "sent"}');
SELECT test.send(13001, 4000), test.send(14001, 4000), test.send(15001, 4000);
SELECT test.same(test.leave(10, '{"whatsapp": {"address_interval_ms": 6000, "address_burst": 2}}'), '13001',
    'the first of a burst');
SELECT test.outcome(13001, '{"outcome": "sent"}');
SELECT test.same(test.leave(10, '{"whatsapp": {"address_interval_ms": 6000, "address_burst": 2}}'), '14001',
    'the second');
SELECT test.outcome(14001, '{"outcome": "sent"}');
SELECT test.same(test.leave(10, '{"whatsapp": {"address_interval_ms": 6000, "address_burst": 2}}'), '',
    'the third waits');
SELECT test.holds((SELECT due_at BETWEEN now() + interval '4 seconds' AND now() + interval '6 seconds' FROM outbox
    WHERE message_id = 15001), 'until its slot');
UPDATE outbox SET due_at = now();
SELECT test.leave(10), test.outcome(15001, '{"outcome": "sent"}');

-- An outreach that has reached its goal sends nothing any more, also when the engine has not yet seen the payment.
INSERT INTO outreach (id, contact_id, topic, reference, goal, steps) VALUES (70, 1000, 'billing', 'in_1',
    'payment.succeeded', '[]'), (71, 2000, 'billing', 'in_2', 'payment.succeeded', '[]');
SELECT test.send(16001, 1000, '{"outreach_id": 70}'), test.send(17001, 1000), test.send(18001, 2000,
    '{"outreach_id": 71}');
SELECT test.event('evt_paid', 1, '{"payment": {"invoice": "in_1"}}', 'payment.succeeded', 'stripe');
SELECT test.same(test.leave(10), '18001', 'the reminder of the paid invoice does not leave');
SELECT test.same(test.state(16001), 'canceled canceled', 'it is canceled');
SELECT test.same(test.leave(10), '17001', 'and the line goes on');
SELECT test.outcome(17001, '{"outcome": "sent"}'), test.outcome(18001, '{"outcome": "sent"}');
INSERT INTO outreach (id, contact_id, topic, reference, other_references, goal, steps) VALUES
    (72, 1000, 'billing', 'order_1', '{}', 'payment.succeeded', '[]'),
    (73, 1000, 'billing', 'in_3', '{pi_3}', 'payment.succeeded', '[]');
SELECT test.send(18101, 1000, '{"outreach_id": 72}'), test.send(18201, 1000, '{"outreach_id": 73}');
SELECT test.event('evt_order', 1, '{"payment": {"id": "p", "reference": "order_1"}}', 'payment.succeeded', 'stripe');
SELECT test.event('evt_intent', 1, '{"payment": {"id": "pi_3"}}', 'payment.succeeded', 'stripe');
SELECT test.leave(10), test.leave(10);
SELECT test.same(test.state(18101) || ', ' || test.state(18201), 'canceled canceled, canceled canceled',
    'paid by what is owed, or by another name of it');
INSERT INTO outreach (id, contact_id, topic, reference, goal, goals, steps) VALUES
    (74, 1000, 'billing', 'in_4', 'subscription.canceled', '{subscription.canceled, payment.succeeded}', '[]'),
    (75, 1000, 'billing', 'in_5', 'payment.*', '{payment.*}', '[]'),
    (76, 1000, 'billing', 'in_6', 'subscription.canceled', '{subscription.canceled, order.completed}', '[]');
SELECT test.send(18301, 1000, '{"outreach_id": 74}'), test.send(18401, 1000, '{"outreach_id": 75}'),
    test.send(18501, 1000, '{"outreach_id": 76}');
SELECT test.event('evt_' || n, 1, jsonb_build_object('payment', jsonb_build_object('invoice', 'in_' || n)),
    'payment.succeeded', 'stripe') FROM generate_series(4, 6) AS n;
SELECT test.same(btrim(concat_ws(' ', test.leave(10), test.leave(10), test.leave(10))), '18501',
    'one whose goals are others leaves');
SELECT test.same(test.state(18301) || ', ' || test.state(18401), 'canceled canceled, canceled canceled',
    'any of several goals, or of a family, is enough');
SELECT test.outcome(18501, '{"outcome": "sent"}');
SELECT test.send(19001, 2000, '{"outreach_id": 71}');
SELECT engine_commit('{"cancel_deliveries": [{"outreach_id": 71}]}', '{}');
SELECT test.same(test.state(19001), 'canceled canceled', 'the engine cancels what waits');
SELECT test.send(19601, 2000, '{"outreach_id": 71}'), test.leave(10);
SELECT engine_commit('{"cancel_deliveries": [{"outreach_id": 71}]}', '{}');
SELECT test.same(test.state(19601), 'sending sending sending', 'what is on its way is on its way');
SELECT test.outcome(19601, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z"}');
SELECT test.same(test.state(19601), 'canceled canceled', 'but it is not tried again');

-- Unknown outcomes: settled by the provider's word, or by the policy of the request.
SELECT test.send(20001, 1000, request => '{"on_unknown": "hold"}'), test.send(20101, 1000), test.send(20201, 2000,
    request => '{"on_unknown": "resend"}'),
       test.send(20301, 3000, request => '{"on_unknown": "give_up"}');
SELECT test.same((SELECT string_agg(x, ' ' ORDER BY x) FROM unnest(string_to_array(test.leave(10), ' ')) AS x),
    '20001 20201 20301', 'three leave');
SELECT test.outcome(20001, '{"outcome": "unknown", "reason": "time-out"}'), test.outcome(20201,
    '{"outcome": "unknown"}');
UPDATE outbox SET lease_until = now() - interval '1 second' WHERE message_id = 20301;
SELECT test.same(deliver_settle('1 hour'), 1::bigint, 'the sender of the third died');
SELECT test.same(test.state(20301), 'unknown unknown unknown', 'nobody knows');
SELECT test.send(20211, 2000);
SELECT test.same(test.leave(10), '20101', 'nobody waits for one that will not be sent again, but for one that may');
SELECT test.same(test.state(20211), 'queued queued behind', 'it would come too early');
SELECT test.same(test.state(20001), 'unknown unknown unknown', 'it is out of the line, not out of mind');
SELECT test.same(deliver_settle('0'), 3::bigint, 'time is over for all');
SELECT test.same(test.state(20001), 'unknown unknown', 'hold: it stays unknown');
SELECT test.same(test.state(20201), 'retrying unknown waiting', 'resend: it waits to be sent again');
SELECT test.same(test.state(20301), 'failed failed', 'give up: it failed');
SELECT test.same(test.leave(10), '20201', 'it leaves again, before what came after it');
SELECT test.same(apply_message_state('whatsapp', 'wamid.held', (SELECT id FROM delivery WHERE message_id = 20001),
    'delivered', now()), true, 'the echo proves it');
SELECT test.same(test.state(20001), 'sent delivered', 'no longer unknown');
SELECT test.outcome(20201, '{"outcome": "unknown"}');
SELECT test.same(apply_message_state('whatsapp', 'wamid.proved', (SELECT id FROM delivery WHERE message_id = 20201),
    'sent', now()), true, 'proved while it is unknown');
SELECT test.same(test.state(20201), 'sent sent', 'and not sent again');
SELECT test.same(test.leave(10), '20211', 'the line goes on');
SELECT test.outcome(20211, '{"outcome": "sent"}');
SELECT test.outcome(20101, '{"outcome": "sent", "provider_message_id": "wamid.20101"}');

-- The word of a sender whose lease ran out still counts when it says that the provider took it.
SELECT test.send(21001, 1000, request => '{"on_unknown": "give_up"}'), test.leave(10);
UPDATE outbox SET lease_until = now() - interval '1 second' WHERE message_id = 21001;
SELECT deliver_settle('1 hour');
SELECT test.outcome(21001, '{"outcome": "sent", "provider_message_id": "wamid.late"}');
SELECT test.same(test.state(21001), 'sent sent', 'late, but true');

-- A sender that dies is missed at once: its lock is free. One that lives is left alone, whatever it does.
CREATE FUNCTION test.claim_as(session text, sender text) RETURNS text
LANGUAGE sql
AS $$ SELECT test.ask(session, format($q$SELECT coalesce((SELECT string_agg(d->>'message_id', ' ' ORDER BY d->>'message_id')
    FROM json_array_elements(c.deliveries) AS d), '') FROM deliver_claim(10, '1 hour', '{}', %s) AS c$q$, sender)) $$;
SELECT test.ask('a', 'SELECT deliver_start_sender()::text') AS a, test.ask('b', 'SELECT deliver_start_sender()::text') AS b \gset
SELECT test.holds(:'a' <> :'b', 'each has a number of its own');
SELECT test.send(21101, 1000), test.send(21111, 1000), test.send(21201, 2000, request => '{"on_unknown": "resend"}'),
    test.send(21211, 2000), test.send(21301, 3000);
SELECT test.same(test.claim_as('a', :'a'), '21101 21201 21301', 'one sender has three in hand');
SELECT test.same(test.ask('b', format('SELECT deliver_settle(''1 hour'', %s)::text', :'b')), '0', 'it lives');
SELECT test.same(test.ask('a', format('SELECT deliver_settle(''1 hour'', %s)::text', :'a')), '0',
    'nor does it think that of itself');
SELECT test.close('a'), test.until_unlocked(4206, :'a'::oid);
SELECT test.same(test.ask('b', format('SELECT deliver_settle(''1 hour'', %s)::text', :'b')), '3', 'it is gone');
SELECT test.same(test.state(21101) || ', ' || test.state(21201), 'unknown unknown unknown, unknown unknown unknown',
    'nobody knows what became of them');
SELECT test.same(test.claim_as('b', :'b'), '21111', 'what comes after one that is not sent again leaves at once');
SELECT test.outcome(21111, '{"outcome": "sent"}');

-- It had only lost its connection: it takes its number again, and what it says late is the truth.
SELECT test.open('a');
SELECT test.same(test.ask('a', format('SELECT deliver_start_sender(%s)::text', :'a')), :'a', 'it keeps its number');
SELECT test.outcome(21101, '{"outcome": "failed", "error_code": "131026", "reason": "not on WhatsApp"}');
SELECT test.same(test.state(21101), 'failed failed', 'refused, it says');
SELECT test.same((SELECT string_agg(outcome, ' ') FROM attempt AS t JOIN delivery AS d ON d.id = t.delivery_id
    WHERE d.message_id = 21101), 'failed', 'that is what is kept of the attempt');
SELECT test.outcome(21201, '{"outcome": "retry", "due_at": "2020-01-01T00:00:00Z", "reason": "busy"}');
SELECT test.same(test.state(21201) || ', ' || test.state(21211), 'retrying sending waiting, queued queued behind',
    'it did not leave, and keeps its place');
SELECT test.same(test.claim_as('a', :'a'), '21201', 'it leaves, and is in hand again');
SELECT test.same(test.ask('b', format('SELECT deliver_settle(''1 hour'', %s)::text', :'b')), '0', 'of one that lives');
SELECT test.outcome(21201, '{"outcome": "sent"}'), test.claim_as('a', :'a'), test.outcome(21211, '{"outcome": "sent"}');
-- Also when its time as unknown is over already.
SELECT test.same(deliver_settle('0'), 1::bigint, 'nobody told of the third');
SELECT test.same(test.state(21301), 'unknown unknown', 'it ended');
SELECT test.outcome(21301, '{"outcome": "blocked", "error_code": "window_closed", "duration_ms": null}');
SELECT test.same(test.state(21301), 'blocked blocked', 'it never left, says its sender');
-- While others look whether it is dead, it cannot come back under its number and have its new claims taken for old ones.
SELECT test.send(21401, 1000);
SELECT test.same(test.claim_as('a', :'a'), '21401', 'one in hand');
SELECT test.close('a'), test.until_unlocked(4206, :'a'::oid), test.open('a');
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', format('SELECT deliver_settle(''1 hour'', %s)::text', :'b')), '1', 'found dead');
SELECT test.holds(test.ask('a', format('SELECT deliver_start_sender(%s)::text', :'a')) <> :'a', 'a new number');
SELECT test.run('b', 'COMMIT');
SELECT test.outcome(21401, '{"outcome": "sent"}');
SELECT test.same(test.state(21401), 'sent sent', 'and still the truth');

-- No more than there is room for.
SELECT test.send(21501, 1000), test.send(21601, 2000), test.send(21701, 4000);
SELECT test.same(test.leave(10, '{"whatsapp": {"room": 0}}'), '', 'no room');
SELECT test.holds((SELECT next_due IS NULL FROM deliver_claim(10, '1 minute', '{"whatsapp": {"room": 0}}')),
    'nothing to wait for but an answer');
SELECT test.same(test.leave(10, '{"whatsapp": {"room": 2}}'), '21501 21601', 'room for two');
SELECT test.outcome(21501, '{"outcome": "sent"}'), test.outcome(21601, '{"outcome": "sent"}');
SELECT test.same(test.leave(10, '{"whatsapp": {"room": 2}}'), '21701', 'and then for the third');
SELECT test.outcome(21701, '{"outcome": "sent"}');

-- An outgoing webhook is at least once: its receiver knows a double by its id.
SELECT engine_commit(jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('id', 22002, 'created_at',
    now(), 'kind', 'webhook', 'endpoint', 'crm', 'request', '{}'::jsonb))), '{}');
SELECT test.holds((SELECT d->>'endpoint' = 'crm' AND d->>'attempts' = '0' FROM deliver_claim(5, '1 minute') AS c,
    json_array_elements(c.deliveries) AS d), 'it leaves');
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', 22002, 'created_at', created_at, 'number', 1,
    'outcome', 'unknown', 'duration_ms', 1))) FROM delivery WHERE id = 22002;
SELECT test.same(deliver_settle('1 hour'), 1::bigint, 'at once');
SELECT test.same((SELECT d.state || ' ' || o.state FROM delivery AS d JOIN outbox AS o ON o.delivery_id = d.id
    WHERE d.id = 22002), 'retrying waiting', 'again');
SELECT deliver_claim(5, '1 minute');
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', 22002, 'created_at', created_at, 'number', 2,
    'outcome', 'parked', 'duration_ms', 1, 'disable_endpoint', true, 'reason', '410'))) FROM delivery WHERE id = 22002;
SELECT test.same((SELECT paused_until::text FROM source_pace WHERE source = 'endpoint crm'), 'infinity',
    'an endpoint that is gone is disabled');
SELECT test.same(retry_delivery(22002), 'parked', 'somebody retries it');
SELECT test.same((SELECT json_array_length(deliveries) FROM deliver_claim(5, '1 minute')), 0,
    'in vain as long as it is disabled');
SELECT test.holds(resume_source('crm'), 'it is resumed by its name');
SELECT test.same((SELECT json_array_length(deliveries) FROM deliver_claim(5, '1 minute')), 1, 'and leaves');

-- Somebody retries a message that failed: its ledger starts over.
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 21)), 'failed', 'it had failed');
SELECT test.same(test.state(21), 'queued queued waiting', 'it is queued again');
SELECT test.same(test.leave(10), '21', 'it leaves');
SELECT test.outcome(21, '{"outcome": "sent", "opted_out": true, "new_recipient": "777"}');
SELECT test.same(test.state(21), 'sent sent', 'and arrives');
SELECT test.same((SELECT recipient FROM address WHERE identity = 'whatsapp:1'), '777',
    'the provider gave a new address');
SELECT test.same((SELECT opted_out::text FROM contact WHERE id = 1000), '{all}', 'and said that the contact opted out');
SELECT test.same((SELECT count(*) FROM event WHERE type = 'contact.opted_out'), 1::bigint, 'which is an event');
SELECT test.same(retry_delivery(1), NULL, 'there is no such delivery');
SELECT test.same(retry_delivery((SELECT id FROM delivery WHERE message_id = 21)), 'sent',
    'what was sent is not sent again');
SELECT test.same((SELECT count(*) FROM outbox), (SELECT count(*) FROM outbox WHERE state = 'sending'),
    'nothing is left behind');

-- Two senders of a fresh database: each has to make the rows of all sources, and does not wait for what the other waits for.
DELETE FROM outbox;
DELETE FROM source_pace;
SELECT test.contact(90000 + 1000 * n, 'tool' || n || ':1', 'tool' || n), test.send(90000 + 1000 * n + 101, 90000 + 1000 * n)
  FROM generate_series(1, 6) AS n;
SELECT test.open('one'), test.open('other');
SELECT test.run('one', 'BEGIN'), test.run('one', $$INSERT INTO source_pace (source) VALUES ('tool1')$$);
SELECT test.start('other', $$SELECT json_array_length(deliveries)::text FROM deliver_claim(9, '1 minute')$$);
SELECT test.until_blocked('other');
SELECT test.run('one', $$INSERT INTO source_pace (source) SELECT 'tool' || n FROM generate_series(2, 6) AS n$$), test.run('one', 'COMMIT');
SELECT test.same(test.wait('other'), '6', 'it waited once, and claims');

-- Two shops number their orders alike: a payment that the other one tells of does not end what waits for this one's.
CREATE FUNCTION test.paid(of_outreach bigint, source text, provider text) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    reference constant text := 'order-' || of_outreach;
    began constant bigint := test.event('failed-' || of_outreach, 1, jsonb_build_object('provider', 'shopify'), 'payment.failed', 'shop');
BEGIN
    INSERT INTO outreach (id, contact_id, topic, reference, goal, steps, payment, event_id)
    VALUES (of_outreach, 10000, 'billing', reference, 'payment.succeeded', '[]', '{"source": "shop"}', began);
    PERFORM test.event('paid-' || of_outreach, 2, jsonb_build_object('provider', provider, 'payment', jsonb_build_object('reference', reference)),
                       'payment.succeeded', source);
    RETURN outreach_is_over(of_outreach);
END
$$;
SELECT test.contact(10000, 'whatsapp:10000') WHERE NOT EXISTS (SELECT FROM contact WHERE id = 10000);
SELECT test.same(test.paid(81, 'shop', 'shopify'), true, 'the same shop'), test.same(test.paid(82, 'other shop', 'shopify'), false, 'another shop'),
       test.same(test.paid(83, 'bank', 'hmac'), true, 'another provider tells of the same payment');
