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

-- A try that was told to come again, and the one that is accepted: all of it is in the books, and the trouble is over.
SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(11, 19) AS n;
SELECT test.send(11010, 11000), test.claim();
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', 1, 'duration_ms', 5, 'status', 503,
           'outcome', 'retry', 'error_code', '131000', 'reason', 'try again', 'due_at', now()))) FROM delivery AS d WHERE d.message_id = 11010;
SELECT test.claim();
SELECT test.accept(11010, '{"sent_as": "approved", "error_code": "0", "reason": "fine"}');
SELECT test.same((SELECT concat_ws(' ', state, sent_as, provider_message_id, coalesce(error_code, '-'), coalesce(reason, '-'), ended_at IS NOT NULL)
                    FROM delivery WHERE message_id = 11010), 'sent approved wamid.11010 - - t', 'the delivery');
SELECT test.same((SELECT string_agg(concat_ws(' ', number, outcome, status, duration_ms, error_code, reason), ', ' ORDER BY number)
                    FROM attempt WHERE delivery_id = 11011), '1 retry 503 5 131000 try again, 2 sent 200 7 0 fine', 'its two attempts');

-- Its outcome was lost, and the message says so, until the next try is accepted.
SELECT test.send(12010, 12000, '{}', '{"on_unknown": "resend"}'), test.claim();
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', 1, 'duration_ms', 5,
           'outcome', 'unknown', 'error_code', 'connection', 'reason', 'cut off'))), deliver_settle('0')
  FROM delivery AS d WHERE d.message_id = 12010;
SELECT test.claim();
SELECT test.same((SELECT concat_ws(' ', state, error_code, reason) FROM message WHERE id = 12010), 'unknown connection cut off', 'on its way again');
SELECT test.accept(12010);
SELECT test.same((SELECT concat_ws(' ', state, coalesce(error_code, '-'), coalesce(reason, '-')) FROM message WHERE id = 12010), 'sent - -',
                 'nothing is unknown any more');

-- The provider told that it failed before we recorded that it took it: the reason stays.
SELECT test.send(13010, 13000), test.claim();
SELECT apply_message_state('whatsapp', 'wamid.13010', 13011, 'failed', now(), '131026', 'not on WhatsApp');
SELECT test.accept(13010);
SELECT test.same((SELECT concat_ws(' ', m.state, m.error_code, m.reason, d.state, d.error_code, d.reason)
                    FROM message AS m JOIN delivery AS d ON d.message_id = m.id WHERE m.id = 13010),
                 'failed 131026 not on WhatsApp failed 131026 not on WhatsApp', 'failed stays failed');

-- Others took its sender for dead, and it tells: what they guessed is gone, and the attempt is one.
SELECT test.send(14010, 14000);
SELECT count(*) FROM deliver_claim(100, '0', '{}', 77);
SELECT deliver_settle('1 hour');
SELECT test.same((SELECT state FROM outbox WHERE message_id = 14010), 'unknown', 'they took it for dead');
SELECT test.accept(14010);
SELECT test.same((SELECT string_agg(concat_ws(' ', d.state, m.state, a.number, a.outcome, a.duration_ms), ', ') FROM delivery AS d
                    JOIN message AS m ON m.id = d.message_id JOIN attempt AS a ON a.delivery_id = d.id WHERE m.id = 14010),
                 'sent sent 1 sent 7', 'it lives, and its word counts');

-- What was said of them meanwhile is joined to late words, too.
SELECT test.send(13020, 13000), test.send(14020, 14000);
SELECT count(*) FROM deliver_claim(100, '0', '{}', 77);
SELECT deliver_settle('1 hour');
SELECT apply_message_state('whatsapp', 'wamid.13020', NULL, 'read', now()),
       apply_message_state('whatsapp', 'wamid.14020', NULL, 'failed', now(), '131026', 'not on WhatsApp');
SELECT test.accept(13020), test.accept(14020);
SELECT test.same((SELECT string_agg(concat_ws(' ', m.id, m.state, d.state, d.error_code), ', ' ORDER BY m.id) FROM message AS m
                    JOIN delivery AS d ON d.message_id = m.id WHERE m.id IN (13020, 14020)), '13020 read sent, 14020 failed failed 131026', 'both');
SELECT test.same((SELECT count(*) FROM unmatched_status WHERE source = 'whatsapp'), 0::bigint, 'nothing is left over');

-- It was taken, and the address is none any more; nothing was timed; the number of the attempt is not told.
SELECT test.send(15010, 15000), test.send(16010, 16000), test.send(17010, 17000), test.claim();
SELECT test.accept(15010, '{"unreachable": true, "reason": "gone"}'), test.accept(16010, '{"duration_ms": null}'),
       test.accept(17010, '{"number": null}');
SELECT test.same((SELECT string_agg(concat_ws(' ', d.message_id, d.state, coalesce(a.unreachable_reason, '-'),
                                              (SELECT count(*) FROM attempt AS x WHERE x.delivery_id = d.id AND x.number = 1)), ', ' ORDER BY d.message_id)
                    FROM delivery AS d JOIN address AS a ON a.contact_id = d.contact_id WHERE d.message_id IN (15010, 16010, 17010)),
                 '15010 sent gone 1, 16010 sent - 0, 17010 sent - 1', 'words with more or less in them');

-- Two of them at once, in whatever order; and one that is told of twice at once, the first time as a failure.
SELECT test.send(18010, 18000), test.send(19010, 19000), test.claim();
SELECT deliver_record(jsonb_agg(jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', 1, 'duration_ms', 7, 'outcome', 'accepted',
           'provider_message_id', 'wamid.' || d.message_id) ORDER BY d.id DESC)) FROM delivery AS d WHERE d.message_id IN (18010, 19010);
SELECT test.send(18020, 18000), test.send(19020, 19000), test.claim();
SELECT test.accept(19020);
SELECT test.same((SELECT string_agg(message_id || ' ' || state, ', ') FROM outbox WHERE message_id > 11000), '18020 sending', 'nobody else is taken for accepted');
SELECT deliver_record(jsonb_build_array(o || '{"outcome": "failed", "error_code": "1"}', o || '{"outcome": "sent", "provider_message_id": "wamid.late"}'))
  FROM (SELECT jsonb_build_object('id', d.id, 'created_at', d.created_at, 'number', 1, 'duration_ms', 7) AS o FROM delivery AS d WHERE d.message_id = 18020) AS x;
SELECT test.same((SELECT string_agg(concat_ws(' ', m.id, m.state, m.provider_message_id, d.provider_message_id), ', ' ORDER BY m.id)
                    FROM message AS m JOIN delivery AS d ON d.message_id = m.id WHERE m.id IN (18010, 19010)),
                 '18010 sent wamid.18010 wamid.18010, 19010 sent wamid.19010 wamid.19010', 'each has its own id');
SELECT test.same((SELECT outcome FROM attempt WHERE delivery_id = 18021), 'failed', 'they are heard in the order in which they are told');
