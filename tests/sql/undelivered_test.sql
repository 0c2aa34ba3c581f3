-- What will not arrive is an event that rules can answer to; what the provider says of a person is kept of who they are by now.

CREATE FUNCTION test.leave() RETURNS jsonb
LANGUAGE sql
AS $$ SELECT deliveries::jsonb FROM deliver_claim(100, '1 minute') $$;
CREATE FUNCTION test.tell(of_message bigint, said jsonb) RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', d.attempts,
    'duration_ms', 7, 'status', 200) || said)) FROM delivery AS d WHERE d.message_id = of_message $$;

SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 9) AS n;

-- Refused, given up, not allowed to leave: each is told once. What was canceled, or may have arrived, is not.
INSERT INTO event (id, occurred_at, source, type, key, lane, depth, doc) VALUES (70, now(), 'whatsapp', 'message.received', 'cause', 1, 2, '{}');
SELECT test.send(1000 * n + 10, 1000 * n, '{"event_id": 70, "rule": "reminder"}') FROM generate_series(1, 6) AS n;
SELECT test.leave();
SELECT test.tell(1010, '{"outcome": "failed", "error_code": "131026", "reason": "not on WhatsApp"}'),
       test.tell(2010, '{"outcome": "parked", "error_code": "131000", "reason": "tried for a day"}'),
       test.tell(3010, '{"outcome": "blocked", "error_code": "window_closed", "reason": "closed", "duration_ms": null}'),
       test.tell(4010, '{"outcome": "canceled", "reason": "no longer needed"}'), test.tell(5010, '{"outcome": "unknown", "reason": "time-out"}'),
       test.tell(6010, '{"outcome": "sent"}');
SELECT deliver_settle('0');
SELECT test.same((SELECT string_agg(concat_ws(' ', w.lane, e.doc->>'contact_id', e.doc #>> '{status,echo}', e.doc #>> '{status,state}',
                                              e.doc #>> '{status,error,code}', e.doc #>> '{cause,rule}', e.depth), ', ' ORDER BY w.position)
                    FROM event AS e JOIN work AS w ON w.event_id = e.id WHERE e.type = 'message.status'),
    '0 1000 1011 failed 131026 reminder 3, 0 2000 2011 failed 131000 reminder 3, 0 3000 3011 blocked window_closed reminder 3', 'three');

-- Nothing left while it was postponed: that was no attempt, however often.
SELECT test.send(7010, 7000);
SELECT test.leave(), test.tell(7010, '{"outcome": "postponed", "duration_ms": null}') FROM generate_series(1, 6);
SELECT test.same(test.leave()->0->>'attempts', '0', 'all attempts are left');
SELECT test.same((SELECT count(*) FROM attempt WHERE delivery_id = 7011), 0::bigint, 'and none was made');

-- The provider gave a new address while it put us off: the next attempt goes there.
SELECT test.send(8010, 8000, request => '{"to": {"recipient": "8"}, "text": "hello"}');
SELECT test.leave();
SELECT test.tell(of_message, jsonb_build_object('outcome', 'retry', 'due_at', now(), 'new_recipient', given))
  FROM (VALUES (7010, '777'), (8010, '888')) AS t (of_message, given);
SELECT test.same((SELECT string_agg(concat_ws(' ', d->>'message_id', d #>> '{address,recipient}', d->'request'), ', ' ORDER BY n)
                    FROM jsonb_array_elements(test.leave()) WITH ORDINALITY AS x (d, n)),
    '7010 777 {}, 8010 888 {"to": {"recipient": "888"}, "text": "hello"}', 'where the provider said');
SELECT test.tell(7010, '{"outcome": "sent"}'), test.tell(8010, '{"outcome": "sent"}');

-- Who was merged into another contact stops messages as that one, and is asked as that one whether they did.
SELECT test.send(7020, 7000, '{"topic": "marketing"}'), test.leave();
UPDATE contact SET merged_into = 8000 WHERE id = 7000;
SELECT test.tell(7020, '{"outcome": "failed", "error_code": "131050", "reason": "stopped", "opted_out": true}');
SELECT test.same((SELECT string_agg(id || ' ' || opted_out::text, ', ' ORDER BY id) FROM contact WHERE id IN (7000, 8000)),
    '7000 {}, 8000 {marketing}', 'what it was about is stopped, for who they are');
SELECT test.same((SELECT string_agg(concat_ws(' ', doc->>'contact_id', doc #>> '{body,topic}'), ', ') FROM event WHERE type = 'contact.opted_out'),
    '8000 marketing', 'and rules hear of it');
SELECT test.send(7030, 7000);
SELECT test.same((SELECT concat_ws(' ', d #>> '{contact,id}', d #> '{contact,opted_out}') FROM jsonb_array_elements(test.leave()) AS d),
    '8000 ["marketing"]', 'a message to the former contact');
