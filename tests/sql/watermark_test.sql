-- Providers that name no messages: everything that was sent until a time was delivered or read.

SELECT test.contact(1000, 'messenger:7', 'messenger'), test.contact(2000, 'messenger:8', 'messenger');

-- A message that left at a second of the current minute, in a state.
CREATE FUNCTION test.left(id bigint, contact bigint, second integer, in_state text) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.send(id, contact);
    UPDATE message AS m SET state = in_state WHERE m.id = $1;
    UPDATE delivery AS d SET last_attempt_at = now() + make_interval(secs => second), state = 'sent'
     WHERE d.message_id = $1;
    DELETE FROM outbox AS o WHERE o.message_id = $1;
$$;
CREATE FUNCTION test.mark(state text, second integer) RETURNS integer
LANGUAGE sql
AS $$ SELECT apply_watermark('messenger', 'messenger:7', state, now() + make_interval(secs => second), now()) $$;
CREATE FUNCTION test.states() RETURNS text
LANGUAGE sql
AS $$ SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM message $$;

BEGIN;
SELECT test.left(11000, 1000, 1, 'sent'), test.left(12000, 1000, 2, 'sent'), test.left(13000, 1000, 3, 'sent'),
    test.left(14000, 1000, 1, 'failed'), test.left(15000, 1000, 1, 'unknown'), test.left(16000, 2000, 1, 'sent');
SELECT test.same(test.mark('delivered', 2), 2, 'two were sent until then');
SELECT test.same(test.states(), '11000 delivered, 12000 delivered, 13000 sent, 14000 failed, 15000 unknown, 16000 sent',
    'what left later, failed, or is not known stays, and so does what others were sent');
SELECT test.same(test.mark('read', 1), 1, 'read until the first');
SELECT test.same(test.states(), '11000 read, 12000 delivered, 13000 sent, 14000 failed, 15000 unknown, 16000 sent',
    'read until the first');
SELECT test.same(test.mark('delivered', 1), 0, 'said again, it changes nothing');
SELECT test.same(test.mark('read', 9), 2, 'and everything at last');
SELECT test.holds((SELECT bool_and(read_at = now()) FROM message WHERE state = 'read'), 'with the time of the reading');
SELECT test.refused($$SELECT test.mark('failed', 9)$$, '22023', 'a failure is never of everything');
ROLLBACK;

-- As the engine writes it, next to statuses of single messages.
BEGIN;
SELECT test.left(11000, 1000, 1, 'sent'), test.left(12000, 1000, 2, 'sent');
INSERT INTO outreach (id, contact_id, topic, goal, steps) VALUES (70, 1000, 'billing', 'payment.succeeded', '[]');
UPDATE message SET outreach_id = 70 WHERE id = 11000;
SELECT engine_commit(jsonb_build_object('message_states', jsonb_build_array(
    jsonb_build_object('source', 'messenger', 'identity', 'messenger:7', 'state', 'read', 'at', '2026-01-01T00:00:05Z',
        'up_to', now() + interval '1.5 seconds'),
    jsonb_build_object('source', 'messenger', 'delivery_id', 12001, 'state', 'delivered', 'at', now()))), '{}');
SELECT test.same(test.states(), '11000 read, 12000 delivered', 'both kinds');
SELECT test.same((SELECT reached_at FROM outreach), timestamptz '2026-01-01 00:00:05Z', 'the outreach reached them');
ROLLBACK;

-- One person with two handles at the source: what went to the other handle was not read with it, nor what went another way.
BEGIN;
INSERT INTO identity (identity, contact_id) VALUES ('messenger:9', 1000);
INSERT INTO address (source, identity, contact_id, recipient) VALUES ('messenger', 'messenger:9', 1000, '9'), ('whatsapp', 'messenger:7', 1000, '7');
SELECT test.left(11000, 1000, 1, 'sent'), test.left(12000, 1000, 1, 'sent'), test.left(13000, 1000, 1, 'sent');
UPDATE message SET identity = 'messenger:9' WHERE id = 12000;
UPDATE message SET source = 'whatsapp' WHERE id = 13000;
SELECT test.same(test.mark('read', 9), 1, 'one of the three');
SELECT test.same(test.states(), '11000 read, 12000 sent, 13000 sent', 'that of the handle and the source');
ROLLBACK;

-- A conversation that moved to another contact takes its messages along.
BEGIN;
SELECT test.left(16000, 2000, 1, 'sent');
UPDATE conversation SET contact_id = 1000, state = 'resolved' WHERE contact_id = 2000;
UPDATE message SET identity = 'messenger:7' WHERE id = 16000;
SELECT test.same(test.mark('read', 5), 1, 'after a merge');
ROLLBACK;

-- The reader is faster than our books: the sender finds the time when it records the provider's answer, whoever of the
-- two comes first.
CREATE FUNCTION test.answer(of_delivery bigint) RETURNS text
LANGUAGE sql
AS $$
    SELECT format($q$SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', id, 'created_at', created_at,
        'number', 1, 'outcome', 'sent', 'duration_ms', 5)))::text FROM delivery WHERE id = %s$q$, of_delivery)
$$;
SELECT test.open('reader'), test.open('sender');
SELECT test.send(91000, 1000), test.send(92000, 1000), test.send(93000, 1000);
UPDATE outbox SET state = 'sending', attempts = 1;
UPDATE delivery SET state = 'sending', last_attempt_at = now();

SELECT test.run('sender', 'BEGIN'), test.ask('sender', test.answer(91001));
SELECT test.start('reader', $$SELECT apply_watermark('messenger', 'messenger:7', 'read', clock_timestamp(),
    now())::text$$);
SELECT test.until_blocked('reader');
SELECT test.run('sender', 'COMMIT'), test.same(test.wait('reader'), '1', 'the answer first');

SELECT test.run('reader', 'BEGIN'), test.ask('reader', $$SELECT apply_watermark('messenger', 'messenger:7', 'delivered',
    clock_timestamp() + interval '20 seconds', now())::text$$);
UPDATE delivery SET last_attempt_at = clock_timestamp() WHERE id = 92001;
SELECT test.start('sender', test.answer(92001));
SELECT test.until_blocked('sender');
SELECT test.run('reader', 'COMMIT'), test.wait('sender');
SELECT test.same((SELECT state FROM message WHERE id = 92000), 'delivered', 'the watermark first');

UPDATE delivery SET last_attempt_at = clock_timestamp() + interval '1 minute' WHERE id = 93001;
SELECT test.ask('sender', test.answer(93001));
SELECT test.same(test.states(), '91000 read, 92000 delivered, 93000 sent', 'what left after it is not meant');
SELECT test.close('reader'), test.close('sender');
