-- The logs as people read them: what waits, fails and was given up, what was done twice, who it was about in the end, and payments.

BEGIN; -- now() is one moment
SELECT test.contact(1000, 'whatsapp:1'), test.contact(2000, 'whatsapp:2'), test.contact(3000, 'whatsapp:3');
UPDATE contact SET merged_into = 1000 WHERE id = 2000;
CREATE FUNCTION test.handled(of_event text, contact bigint, ago interval, tries integer, trouble text DEFAULT NULL, left_out jsonb DEFAULT NULL) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO handling (event_id, handled_at, contact_id, conversation_id, rule_set, attempts, problem, skipped)
    SELECT e.id, now() - ago, contact, contact + 1, 'abc', tries, trouble, left_out FROM event AS e WHERE e.key = of_event;
    DELETE FROM work AS w USING event AS e WHERE w.event_id = e.id AND e.key = of_event;
$$;

-- Events, by what became of them. One was handled again, and one waits to be.
SELECT test.event(key, 513, '{"contact": {"name": "Ada"}}') FROM unnest(ARRAY['waits', 'fails', 'parked', 'once', 'twice', 'again', 'nobody''s']) AS key;
UPDATE work AS w SET attempts = 2, retry_at = now() + interval '1 hour', problem = 'no luck' FROM event AS e WHERE e.id = w.event_id AND e.key = 'fails';
WITH gone AS (DELETE FROM work AS w USING event AS e WHERE e.id = w.event_id AND e.key = 'parked' RETURNING w.*)
INSERT INTO parked_event (event_id, event_received_at, lane, attempts, parked_at, problem)
SELECT event_id, event_received_at, lane, 3, now() - interval '1 minute', 'given up' FROM gone;
SELECT test.handled('once', 2000, '2 minutes', 4, 'slow'), test.handled('twice', 3000, '1 minute', 5, 'before'), test.handled('twice', 1000, '0', 1),
       test.handled('again', 3000, '0', 1), test.handled('nobody''s', NULL, '0', 1);
INSERT INTO work (event_id, event_received_at, lane, attempts, problem) SELECT id, received_at, lane, 7, 'a replay' FROM event WHERE key = 'again';
SELECT test.same((SELECT string_agg(concat_ws(' ', key, state, attempts, coalesce(problem, '-'), coalesce(contact_id::text, '-'), coalesce(conversation_id::text, '-')), E'\n' ORDER BY event_id)
                    FROM event_log),
    E'waits waiting 0 - - -\nfails failing 2 no luck - -\nparked parked 3 given up - -\nonce handled 4 slow 1000 2001\ntwice handled 1 - 1000 1001\n'
    'again handled 1 - 3000 3001\nnobody''s handled 1 - - -', 'each once, as it is');
SELECT test.same((SELECT string_agg(key, ' ' ORDER BY event_id) FROM event_log WHERE waiting_since IS NOT NULL), 'waits fails', 'what waits');
SELECT test.same((SELECT string_agg(key, ' ') FROM event_log WHERE next_try_at > now()), 'fails', 'what is tried again');
SELECT test.same((SELECT string_agg(key || ' ' || (now() - parked_at), ' ') FROM event_log WHERE parked_at IS NOT NULL), 'parked 00:01:00', 'what was given up');
SELECT test.same((SELECT count(*) FROM event_log WHERE state = 'handled' AND handled_at = now() AND handled_after_ms >= 0), 3::bigint, 'how long it took');

-- Traces of both times, of rules that ran and of those that were left out, which are traces in the handling.
INSERT INTO trace (event_id, handled_at, number, rule, verdict, file, line, rule_set, instructions, micros, effects, error)
SELECT e.id, h.handled_at, 1, 'inbox', 'ran', 'a.lua', 7, 'abc', 50, 5, CASE WHEN h.contact_id = 3000 THEN '[{"do": "send"}, {"do": "tag"}]' ELSE '{}' END::jsonb,
       CASE WHEN h.contact_id = 3000 THEN 'oh' END
  FROM event AS e JOIN handling AS h ON h.event_id = e.id WHERE e.key = 'twice';
UPDATE handling AS h SET skipped = '[[2, "other", "b.lua", 9, 30, 3]]' FROM event AS e WHERE e.id = h.event_id AND e.key IN ('once', 'nobody''s');
SELECT test.same((SELECT string_agg(concat_ws(' ', e.key, t.number, t.rule, t.verdict, t.place, t.rule_set, t.instructions, t.micros, t.effect_count,
                                              coalesce(t.contact_id::text, '-'), coalesce(t.conversation_id::text, '-'), coalesce(t.error, '-'), t.event_type, t.source), E'\n'
                                    ORDER BY t.event_id, t.handled_at)
                    FROM rule_trace AS t JOIN event AS e ON e.id = t.event_id),
    E'once 2 other skipped b.lua:9 abc 30 3 0 1000 2001 - message.received whatsapp\ntwice 1 inbox ran a.lua:7 abc 50 5 2 3000 3001 oh message.received whatsapp\n'
    'twice 1 inbox ran a.lua:7 abc 50 5 0 1000 1001 - message.received whatsapp\nnobody''s 2 other skipped b.lua:9 abc 30 3 0 - - - message.received whatsapp',
    'each with its own handling');

-- Deliveries: one waits, one is on its way after a try, one without anybody.
SELECT test.send(2010, 2000), test.send(3010, 3000);
SELECT count(*) FROM deliver_claim(10, '1 minute');
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', id, 'created_at', created_at, 'number', 1, 'duration_ms', 5, 'status', 503,
           'started_at', now() - interval '1 minute', 'outcome', 'retry', 'due_at', now() - interval '1 second'))) FROM delivery WHERE message_id = 2010;
SELECT count(*) FROM deliver_claim(10, '1 minute');
INSERT INTO attempt (delivery_id, number, started_at, status, outcome) VALUES (2011, 2, now(), 429, 'retry');
SELECT test.send(1010, 1000);
INSERT INTO delivery (id, created_at, kind, endpoint, request, state) VALUES (9, now(), 'webhook', 'team', '{}', 'sent');
SELECT test.same((SELECT string_agg(concat_ws(' ', delivery_id, state, coalesce(contact_id::text, '-'), coalesce(text, '-'), coalesce(last_status::text, '-'),
                                              next_attempt_at IS NOT NULL), ', ' ORDER BY delivery_id) FROM delivery_log),
    '9 sent - - - f, 1011 queued 1000 hello 1010 - t, 2011 sending 1000 hello 2010 429 f, 3011 sending 3000 hello 3010 - f', 'where they are');

-- Payments: by what is owed, with amounts that are numbers.
SELECT test.event('p' || n, 1, jsonb_build_object('payment', p), 'payment.failed', 'stripe') FROM unnest(ARRAY[
    '{"reference": "r", "invoice": "i", "subscription": "s", "id": "p", "amount": 1900, "currency": "usd", "attempt": 2, "status": "open", "reason": "declined",
      "next_attempt": "2026-12-01T00:00:00Z", "url": "https://pay", "customer": "c"}',
    '{"invoice": "i", "subscription": "s", "id": "p", "amount": "19", "attempt": "2", "secondary": true}', '{"subscription": "s", "id": "p"}',
    '{"id": "p", "secondary": false}']::jsonb[]) WITH ORDINALITY AS x (p, n);
SELECT test.handled('p1', 2000, '1 minute', 1), test.handled('p1', 2000, '0', 1), test.handled('p2', NULL, '0', 1);
SELECT test.same((SELECT string_agg(concat_ws(' ', reference, coalesce(amount::text, '-'), coalesce(attempt::text, '-'), secondary, coalesce(contact_name, '-'),
                                              coalesce(contact_id::text, '-'), handled_at = now()), ', ' ORDER BY event_id) FROM payment_log),
    'r 1900 2 f contact 1000 1000 t, i - - t - - t, s - - f - -, p - - f - -', 'each once, under its reference');
SELECT test.same((SELECT concat_ws(' ', type, source, currency, status, reason, next_attempt, url, payment_id, invoice, subscription, customer, conversation_id)
                    FROM payment_log WHERE reference = 'r'),
    'payment.failed stripe usd open declined 2026-12-01T00:00:00Z https://pay p i s c 2001', 'all of it');
ROLLBACK;
