-- SQL is an interface: every view has a row of a small story, every table, view and column has a word of explanation.

SELECT test.contact(1000, 'whatsapp:1');
SELECT test.event('wamid.in', 5, '{"contact": {"identities": ["whatsapp:1"]}, "message": {"id": "wamid.in",
    "text": "secret words"}}');
SELECT test.event('wamid.in', 5);
SELECT engine_commit(jsonb_build_object(
    'messages', jsonb_build_array(jsonb_build_object('id', 11, 'created_at', now(), 'direction', 'in', 'kind', 'text',
        'text', 'secret words', 'contact_id', 1000, 'conversation_id', 1001, 'source', 'whatsapp', 'identity',
        'whatsapp:1', 'author', 'contact', 'event_id', w.event_id)),
    'timers', jsonb_build_array(jsonb_build_object('id', 12, 'name', 'follow-up', 'due_at', '2099-01-01', 'lane', 5,
        'contact_id', 1000, 'conversation_id', 1001, 'cause_event', w.event_id, 'rule', 'inbox')),
    'surveys', '[{"id": 13, "name": "csat", "contact_id": 1000, "conversation_id": 1001, "score": 4,
        "comment": "secret comment", "state": "commented"}]'::jsonb,
    'outreaches', '[{"id": 14, "contact_id": 1000, "topic": "billing", "reference": "in_1", "goal": "payment.succeeded",
        "steps": [{"text": "secret step"}], "state": "recovered", "rule": "payment-recovery",
        "reached_at": "2026-01-01T01:00:00Z",
                     "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T02:00:00Z",
                         "next_attempt_at": "2026-01-03T00:00:00Z"},
                    {"id": 15, "contact_id": 1000, "topic": "billing", "reference": "in_2", "goal": "payment.succeeded",
                        "steps": [], "state": "exhausted", "rule": "payment-recovery",
                        "started_at": "2026-01-05T00:00:00Z"}]'::jsonb,
    'handlings', jsonb_build_array(jsonb_build_object('event_id', w.event_id, 'contact_id', 1000, 'conversation_id',
        1001, 'rule_set', 'abc')),
    'traces', jsonb_build_array(jsonb_build_object('event_id', w.event_id, 'rule', 'inbox', 'verdict', 'ran',
        'rule_set', 'abc', 'file', 'inbox.lua', 'line', 7, 'instructions', 99, 'micros', 5, 'effects',
        '[{"do": "send", "text": "secret effect"}]'::jsonb)),
    'events', jsonb_build_array(jsonb_build_object('id', 16, 'type', 'conversation.opened', 'key', 'internal:16',
        'lane', 5, 'contact_id', 1000, 'cause', jsonb_build_object('event', w.event_id, 'rule', 'inbox', 'depth', 1)))),
    ARRAY[w.position]) FROM work AS w;
SELECT test.send(21, 1000, jsonb_build_object('event_id', event_id, 'rule', 'inbox'),
    '{"to": {"recipient": "1"}, "free": {"text": "secret answer"}}') FROM handling;
SELECT deliver_claim(5, '1 minute');
SELECT deliver_record(jsonb_build_array(jsonb_build_object('id', id, 'created_at', created_at, 'number', 1, 'outcome',
    'sent', 'sent_as', 'free', 'provider_message_id', 'wamid.out', 'duration_ms', 12, 'status', 200, 'started_at',
    now()))) FROM delivery;
SELECT apply_message_state('whatsapp', 'wamid.out', NULL, 'read', now());
INSERT INTO webhook_reject VALUES ('whatsapp', date_trunc('hour', now()), 'signature', 3);
SELECT test.send(31, 1000);

SELECT test.same((SELECT string_agg(direction || ' ' || state, ', ' ORDER BY at, message_id) FROM conversation_history),
    'in received, out read, out queued', 'conversation_history');
SELECT test.same((SELECT concat_ws(' ', state, messages_in, messages_out, last_text, score, contact_name)
    FROM conversation_list), 'open 1 2 hello 31 4 contact 1000', 'conversation_list');
SELECT test.same((SELECT concat_ws(' ', identities::text, reachable_on::text, open_conversations) FROM contact_list),
    '{whatsapp:1} {whatsapp} 1', 'contact_list');
SELECT test.same((SELECT string_agg(event_count || '/' || new_events || ' ' || body, ', ' ORDER BY webhook_id)
    FROM webhook_log), '1/1 {}, 1/0 {}', 'webhook_log');
SELECT test.same((SELECT string_agg(type || ' ' || state, ', ' ORDER BY received_at, event_id DESC) FROM event_log),
    'message.received handled, conversation.opened waiting', 'event_log');
SELECT test.same((SELECT concat_ws(' ', state, message_state, attempts, last_status, sent_as) FROM delivery_log
    WHERE message_id = 21), 'sent read 1 200 free', 'delivery_log');
SELECT test.same((SELECT concat_ws(' ', rule, verdict, place, event_type, instructions, micros, effect_count)
    FROM rule_trace), 'inbox ran inbox.lua:7 message.received 99 5 1', 'rule_trace');
SELECT test.same((SELECT concat_ws(' ', survey, score, scale, comment, state) FROM csat_scores),
    'csat 4 5 secret comment commented', 'csat_scores');
SELECT test.same((SELECT concat_ws(' ', month, started, reached, recovered, recovered_before_next_attempt, exhausted,
    recovery_rate, reach_rate, median_hours_to_recovery) FROM outreach_outcomes),
    '2026-01-01 2 1 1 1 1 0.5000 0.5000 2', 'outreach_outcomes');
SELECT test.same((SELECT string_agg(reference || ' ' || state || ' ' || before_next_attempt, ', ' ORDER BY outreach_id)
    FROM outreach_list), 'in_1 recovered true, in_2 exhausted false', 'outreach_list');
SELECT test.same((SELECT concat_ws(' ', source, webhooks, events, duplicates, rejected, most_rejected_for, waiting,
    sent) FROM source_health), 'whatsapp 2 1 1 3 signature 1 1', 'source_health');
SELECT test.same((SELECT string_agg(what || ' ' || subject || ' ' || outcome, ', ' ORDER BY step)
    FROM why((SELECT event_id FROM handling))),
    'event message.received handled, handling contact 1000 done, rule inbox ran, message whatsapp:1 read, '
    'attempt number 1 sent, timer follow-up due 2099-01-01 00:00:00, caused event conversation.opened event 16', 'why');
SELECT test.same((SELECT place || ' ' || rule_set || ' ' || instructions || ' ' || micros || ' '
    || (effects #>> '{0,do}') FROM why((SELECT event_id FROM handling)) WHERE what = 'rule'),
    'inbox.lua:7 abc 99 5 send', 'why tells about rules');
SELECT test.holds((SELECT detail LIKE '%by rule inbox, as free, 1 attempt, %read 20%'
    FROM why((SELECT event_id FROM handling)) WHERE what = 'message'), 'and about messages');
UPDATE trace SET effects = '[{"do": "send", "refused": "the contact has opted out"}, {"do": "note"}, {"do": "outreach",
    "made": {"steps": [{"step": 1, "refused": "the contact has no address to write to"}]}}]' WHERE event_id <> 16;
SELECT test.same((SELECT detail FROM why((SELECT event_id FROM handling)) WHERE what = 'rule'),
    '3 effects, send refused: the contact has opted out, outreach refused: the contact has no address to write to',
    'and what was refused');

-- A body that is no text does not fail the query.
INSERT INTO webhook (id, source, headers, body, event_count, new_events, parser) VALUES (999, 'x', '{}', '\x00ff41', 0,
    0, 1);
SELECT test.same((SELECT body FROM webhook_log WHERE webhook_id = 999), '\000\377A', 'shown with escapes');

-- Every table, view, column of a view, and function for people is explained.
SELECT test.same((SELECT string_agg(c.relname, ' ') FROM pg_class AS c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
                     AND obj_description(c.oid, 'pg_class') IS NULL), NULL, 'tables and views without a comment');
SELECT test.same((SELECT string_agg(c.relname || '.' || a.attname, ' ') FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
                   WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'v' AND col_description(c.oid,
                       a.attnum) IS NULL), NULL, 'columns without a comment');
SELECT test.same((SELECT string_agg(name, ' ') FROM unnest(ARRAY['conversation_history', 'conversation_list',
    'contact_list', 'webhook_log', 'event_log', 'delivery_log', 'rule_trace', 'csat_scores', 'outreach_outcomes',
    'source_health']) AS name
                   WHERE to_regclass(name) IS NULL), NULL, 'promised views');

-- The read role sees the views and why(), no table, and changes nothing.
SET ROLE answerd_read;
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['conversation_history', 'conversation_list', 'contact_list', 'webhook_log', 'event_log',
        'delivery_log', 'rule_trace', 'csat_scores', 'outreach_list', 'outreach_outcomes', 'source_health', 'identity_list'] LOOP
        EXECUTE format('SELECT 1 FROM %I', name);
    END LOOP;
    IF (SELECT count(*) FROM why(16)) = 0 THEN
        RAISE EXCEPTION 'why() tells the read role nothing';
    END IF;
    BEGIN
        PERFORM 1 FROM message;
        RAISE EXCEPTION 'the read role reads a table' USING ERRCODE = 'assert_failure';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    BEGIN
        PERFORM erase_contact(1000);
        RAISE EXCEPTION 'the read role erases' USING ERRCODE = 'assert_failure';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
END
$$;
RESET ROLE;

-- Erasing removes what they wrote and who they are, and keeps the counts.
CREATE TABLE before AS SELECT (SELECT count(*) FROM message) AS messages, (SELECT count(*) FROM event) AS events,
    (SELECT count(*) FROM delivery) AS deliveries, (SELECT count(*) FROM csat_scores) AS surveys;
UPDATE webhook SET body = 'secret body' WHERE id = (SELECT webhook_id FROM event WHERE webhook_id IS NOT NULL);
SELECT test.same(erase_contact(1000), 3::bigint, 'three messages');
SELECT test.same((SELECT (messages, events, deliveries, surveys)::text FROM before),
    (SELECT ((SELECT count(*) FROM message), (SELECT count(*) FROM event), (SELECT count(*) FROM delivery),
    (SELECT count(*) FROM csat_scores))::text), 'the counts stay');
SELECT test.same((SELECT score FROM csat_scores), 4, 'so does the score');
SELECT test.same((SELECT count(*) FROM identity) + (SELECT count(*) FROM address) + (SELECT count(*)
    FROM timer) + (SELECT count(*) FROM outbox), 0::bigint, 'no handle, nothing to come');
CREATE TEMP TABLE leak (place text);
DO $$
DECLARE
    place record;
BEGIN
    -- Whatever column: the words and the handle are nowhere.
    FOR place IN SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace
        AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
        EXECUTE format('INSERT INTO leak SELECT %L FROM %I AS t'
                       ' WHERE t::text ~ ''secret|whatsapp:1|contact 1000|7365637265742062'' ', place.relname, place.relname);
    END LOOP;
END
$$;
SELECT test.same((SELECT string_agg(place, ' ') FROM leak), NULL, 'tables that still know');
SELECT test.same(erase_contact(4711), NULL, 'nobody');
