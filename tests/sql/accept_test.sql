-- What was accepted is recorded all at once; a word that says more than that is heard out, alone.

CREATE FUNCTION test.accept(of_message bigint, said jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql
AS $$ SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', d.attempts,
          'duration_ms', 7, 'status', 200, 'outcome', 'sent', 'provider_message_id', 'wamid.' || of_message) || said))
        FROM delivery AS d WHERE d.message_id = of_message $$;
CREATE FUNCTION test.claim() RETURNS void
LANGUAGE sql AS $$ SELECT deliver_claim(100, '1 minute') $$;
SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 9) AS n;
SELECT test.send(1000 * n + 10, 1000 * n) FROM generate_series(1, 9) AS n;
SELECT test.claim();

SELECT test.accept(1010, '{"opted_out": true}');
SELECT test.same((SELECT opted_out::text FROM contact WHERE id = 1000), '{all}', 'the provider says that they opted out');
SELECT test.accept(2010, '{"new_recipient": "777"}');
SELECT test.same((SELECT recipient FROM address WHERE contact_id = 2000), '777', 'the provider gives a new address');
SELECT test.same((SELECT string_agg(d.state || ' ' || m.state, ', ') FROM delivery AS d JOIN message AS m ON m.id = d.message_id
                   WHERE m.id IN (1010, 2010)), 'sent sent, sent sent', 'and both are sent');

-- A status came before we knew the provider's id of its message: read, and failed; and one of another source with the same id.
SELECT apply_message_state('whatsapp', 'wamid.3010', NULL, 'read', now()), apply_message_state('other', 'wamid.4010', NULL, 'read', now()),
       apply_message_state('whatsapp', 'wamid.5010', NULL, 'failed', now(), '131026', 'not on WhatsApp');
SELECT test.accept(3010), test.accept(4010), test.accept(5010);
SELECT test.same((SELECT string_agg(m.id || ' ' || m.state || ' ' || d.state, ', ' ORDER BY m.id) FROM message AS m
                    JOIN delivery AS d ON d.message_id = m.id WHERE m.id IN (3010, 4010, 5010)),
                 '3010 read sent, 4010 sent sent, 5010 failed failed', 'what was said before is joined');

-- All that was sent until then has arrived, or was read: said before the outcome was recorded.
UPDATE address SET delivered_up_to = clock_timestamp() + interval '1 hour', read_up_to = clock_timestamp() + interval '1 hour'
 WHERE contact_id = 6000;
UPDATE address SET delivered_up_to = clock_timestamp() + interval '1 hour', read_up_to = clock_timestamp() - interval '1 hour'
 WHERE contact_id = 7000;
UPDATE address SET delivered_up_to = clock_timestamp() - interval '1 hour' WHERE contact_id = 8000;
SELECT test.accept(6010), test.accept(7010), test.accept(8010);
SELECT test.same((SELECT string_agg(m.id || ' ' || m.state, ', ' ORDER BY m.id) FROM message AS m WHERE m.id IN (6010, 7010, 8010)),
                 '6010 read, 7010 delivered, 8010 sent', 'up to when');

-- A message that was told of by our echo keeps what it is, and the time and the id that it has.
UPDATE message SET state = 'read', sent_at = '2026-01-01', provider_message_id = 'wamid.echo' WHERE id = 9010;
SELECT test.accept(9010);
SELECT test.same((SELECT concat_ws(' ', state, sent_at AT TIME ZONE 'UTC', provider_message_id) FROM message WHERE id = 9010),
                 'read 2026-01-01 00:00:00 wamid.echo', 'not back to sent');
SELECT test.same((SELECT count(*) FROM outbox), 0::bigint, 'nothing is left behind');
SELECT test.same((SELECT count(*) FROM attempt), 9::bigint, 'each was one attempt');

-- The line goes on, and what is said twice is said once.
SELECT test.send(3020, 3000), test.claim(), test.send(3030, 3000);
SELECT test.accept(3020), test.accept(3020, '{"provider_message_id": "wamid.other"}');
SELECT test.same((SELECT state || ' ' || provider_message_id FROM message WHERE id = 3020), 'sent wamid.3020', 'the first word counts');
SELECT test.claim();
SELECT test.same((SELECT state FROM outbox WHERE message_id = 3030), 'sending', 'the next one may leave');
