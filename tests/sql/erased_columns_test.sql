-- What stays of a person who is erased, column by column; and whoever looks just like them keeps everything.

-- A person whose name and number is `word`, wherever one can be. Ids begin at `base`.
CREATE FUNCTION test.person(base bigint, word text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    event_id bigint;
BEGIN
    PERFORM test.contact(base, 'whatsapp:' || word);
    UPDATE contact SET name = word, language = word, timezone = word, preferred_channel = word, attributes = jsonb_build_object('a', word),
           settled = jsonb_build_array(jsonb_build_object('names', word)) WHERE id = base;
    UPDATE conversation SET attributes = jsonb_build_object('said', word), identity = 'whatsapp:' || word WHERE id = base + 1;
    -- Of each direction and state.
    INSERT INTO message (id, created_at, conversation_id, contact_id, direction, source, identity, kind, text, content, author,
                         provider_message_id, reply_to, state, reason, error_code)
    SELECT base + 100 + n, now(), base + 1, base, m.direction, 'whatsapp', word, 'text', word, jsonb_build_object('c', word),
           CASE m.direction WHEN 'in' THEN word ELSE 'rule:r' END, 'wamid.' || word || n, 'wamid.' || word, m.state, m.reason, 'e'
      FROM (VALUES ('in', 'received', NULL, 1), ('out', 'sent', 'note of ours', 2), ('out', 'failed', word, 3), ('out', 'unknown', word, 4),
                   ('out', 'canceled', 'the window is closed', 5)) AS m (direction, state, reason, n);
    INSERT INTO delivery (id, created_at, kind, source, identity, contact_id, request, state, reason, error_code, attempts, provider_message_id)
    SELECT base + 200 + n, now(), 'message', 'whatsapp', word, base, jsonb_build_object('to', word), d.state, d.reason, d.code, d.attempts, word
      FROM (VALUES ('failed', word, '131026', 1, 1), ('blocked', 'the window is closed', 'window_closed', 0, 2)) AS d (state, reason, code, attempts, n);
    INSERT INTO attempt (delivery_id, number, started_at, outcome, error_code, reason) VALUES (base + 201, 1, now(), 'refused', '131026', word);
    INSERT INTO survey (id, name, conversation_id, contact_id, episode, state, score, comment) VALUES
        (base + 300, 'csat', base + 1, base, 1, 'commented', 4, word), (base + 301, 'csat', base + 1, base, 2, 'asked', NULL, NULL),
        (base + 302, 'csat', base + 1, base, 3, 'expired', NULL, NULL);
    INSERT INTO outreach (id, contact_id, topic, reference, goal, state, steps, vars, ended_at) VALUES
        (base + 400, base, 'billing', 'in_1', 'paid', 'active', jsonb_build_array(word), jsonb_build_object('n', word), NULL),
        (base + 401, base, 'billing', 'in_2', 'paid', 'recovered', jsonb_build_array(word), jsonb_build_object('n', word), '2026-01-01T00:00:00Z');
    -- What was handled for them: a message whose rules failed, live and in the shadow, and a status of a message that is not ours.
    event_id := test.event('message ' || word, 1, jsonb_build_object('contact', jsonb_build_object('identities', jsonb_build_array('whatsapp:' || word)),
        'message', jsonb_build_object('kind', 'text', 'text', word)));
    INSERT INTO handling (event_id, contact_id) VALUES (event_id, base);
    INSERT INTO trace (event_id, number, rule, verdict, rule_set, effects, error)
    VALUES (event_id, 1, 'breaks', 'failed', 'v1', jsonb_build_array(word), 'cannot read ' || word || repeat('.', 600));
    INSERT INTO shadow_trace (event_id, number, rule, verdict, rule_set, effects, error)
    VALUES (event_id, 1, 'breaks', 'failed', 'v2', jsonb_build_array(word), 'shadow cannot read ' || word);
    INSERT INTO rule_trouble (rule, rule_set, failures_in_row, last_error) VALUES
        ('live ' || base, 'v1', 1, 'cannot read ' || word || repeat('.', 600)), ('shadow ' || base, 'v2', 1, 'shadow cannot read ' || word);
    PERFORM test.event('alert ' || base, 7, jsonb_build_object('body', jsonb_build_object('rule', 'breaks',
        'error', left('cannot read ' || word || repeat('.', 600), 500))), 'custom.system_alert', 'answerd');
    INSERT INTO backtest_run (id, since, until, before_rule_set, after_rule_set, report)
    VALUES (base, now(), now(), 'v1', 'v2', jsonb_build_object('rules', jsonb_build_array(jsonb_build_object('rule', 'a', 'added', 1, 'examples', word),
                                                                                       jsonb_build_object('rule', 'b', 'added', 2)))),
           (base + 1, now(), now(), 'v1', 'v2', jsonb_build_object('rules', jsonb_build_array(jsonb_build_object('rule', 'a', 'examples', word)))),
           (base + 2, now(), now(), 'v1', 'v2', '{"rules": null}');
    INSERT INTO backtest_effect (run_id, number, change, rule, kind, name, event_id, contact_id, before, after) VALUES
        (base, 1, 'changed', 'a', 'send', 'x', NULL, base, word, word), (base + 1, 1, 'changed', 'a', 'send', 'x', event_id, NULL, word, word),
        (base + 2, 1, 'changed', 'a', 'send', 'x', NULL, base, word, word);
    event_id := test.event('own ' || base, 2, jsonb_build_object('contact_id', base, 'body', word), 'custom.said', 'answerd');
    INSERT INTO handling (event_id, contact_id) VALUES (event_id, base);
    event_id := test.event('status ' || word, 3, jsonb_build_object('status', jsonb_build_object('message_id', 'their.' || word, 'state', 'read')),
                           'message.status');
    INSERT INTO handling (event_id, contact_id) VALUES (event_id, base);
    INSERT INTO unmatched_status (source, provider_message_id, state, at, reason)
    SELECT source, 'their.' || word, 'read', now(), word FROM unnest(ARRAY['whatsapp', 'telegram']) AS source;
    -- What was given up before anybody knew whom it is about.
    event_id := test.event('given up ' || word, 4, jsonb_build_object('contact', jsonb_build_object('identities', jsonb_build_array('whatsapp:' || word)),
        'message', jsonb_build_object('text', word)));
    INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem)
    SELECT e.id, e.received_at, e.lane, 5, word FROM event AS e WHERE e.id = event_id;
    DELETE FROM work;
    -- And what no event points at: its text, under a number of theirs that is the address's alone.
    UPDATE address SET recipient = '1' || word WHERE contact_id = base;
    INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, problem, parser) VALUES
        (base + 900, now(), 'whatsapp', '{}', convert_to('of ' || word, 'UTF8'), 0, 0, 'no parser', 1),
        (base + 901, now(), 'whatsapp', '{}', convert_to('to 1' || word, 'UTF8'), 1, 0, NULL, 1),
        (base + 902, now() - interval '20 hours', 'whatsapp', '{}', convert_to('before ' || word, 'UTF8'), 0, 0, NULL, 1);
END
$$;
-- Every row of every table as "table row".
CREATE FUNCTION test.rows() RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT c.relname FROM pg_class AS c
                 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition LOOP
        RETURN QUERY EXECUTE format('SELECT %L || '' '' || replace(to_jsonb(t)::text, ''\\x'', ''\x'') FROM %I AS t', name, name);
    END LOOP;
END
$$;
CREATE FUNCTION test.rows_with(word text) RETURNS SETOF text
LANGUAGE sql
AS $$ SELECT r FROM test.rows() AS r WHERE r ~ word OR r ~ encode(convert_to(word, 'UTF8'), 'hex') ORDER BY r $$;

SELECT test.person(1000, 'ada5551000'), test.person(5000, 'bob5555000');
-- Who writes of them: it is their own message.
INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, parser)
VALUES (9000, now(), 'whatsapp', '{}', 'bob5555000 says: ask ada5551000', 1, 1, 1);
CREATE TABLE test.others AS SELECT r FROM test.rows_with('bob5555000') AS r;
SELECT test.holds((SELECT count(*) > 30 FROM test.others), 'there are rows to lose');

SELECT test.same(erase_contact(1000), 5::bigint, 'five messages');

SELECT test.same((SELECT string_agg(left(r, 200), E'\n') FROM test.rows_with('ada5551000') AS r WHERE r NOT LIKE 'unmatched_status %' AND r !~ '^webhook .*"id": 9000'),
    NULL, 'nothing is left of them');
SELECT test.same((SELECT string_agg(source, ' ') FROM unmatched_status WHERE reason = 'ada5551000'), 'telegram', 'a status of the same name at another source');
SELECT test.same((SELECT string_agg(left(o.r, 200), E'\n') FROM test.others AS o WHERE o.r NOT IN (SELECT r FROM test.rows() AS r)), NULL,
    'others keep everything');
-- What tells how things went stays.
SELECT test.same((SELECT string_agg(concat_ws(' ', id - 1100, direction, author, state, reason, error_code), ', ' ORDER BY id) FROM message WHERE contact_id = 1000),
    '1 in contact received e, 2 out rule:r sent note of ours e, 3 out rule:r failed e, 4 out rule:r unknown e, 5 out rule:r canceled the window is closed e',
    'messages');
SELECT test.same((SELECT string_agg(concat_ws(' ', state, reason, error_code), ', ' ORDER BY id) FROM delivery WHERE contact_id = 1000),
    'failed 131026, blocked the window is closed window_closed', 'deliveries');
SELECT test.same((SELECT outcome || ' ' || error_code FROM attempt WHERE delivery_id = 1201), 'refused 131026', 'attempts');
SELECT test.same((SELECT string_agg(concat_ws(' ', state, score), ', ' ORDER BY id) FROM survey WHERE contact_id = 1000),
    'commented 4, canceled, expired', 'surveys');
SELECT test.same((SELECT string_agg(concat_ws(' ', state, ended_at = '2026-01-01T00:00:00Z'), ', ' ORDER BY id) FROM outreach WHERE contact_id = 1000),
    'canceled f, recovered t', 'outreaches');
SELECT test.same((SELECT string_agg(doc->'body'->>'rule' || ' ' || (doc->'body' ? 'error'), ', ' ORDER BY key) FROM event WHERE type = 'custom.system_alert'),
    'breaks false, breaks true', 'alerts');
SELECT test.same((SELECT string_agg(key, ', ') FROM event WHERE source = 'answerd' AND doc ? 'erased'), 'own 1000', 'our own events are known by their keys');
SELECT test.same((SELECT string_agg(concat_ws(' ', source, type, doc #>> '{message,kind}', doc #>> '{status,state}'), ', ' ORDER BY id) FROM event
                   WHERE key = 'erased:' || id), 'whatsapp message.received text, whatsapp message.status read, whatsapp message.received', 'events');
SELECT test.same((SELECT string_agg(id || ' ' || report, ', ' ORDER BY id) FROM backtest_run WHERE id < 2000),
    '1000 {"rules": [{"rule": "a", "added": 1}, {"rule": "b", "added": 2}]}, 1001 {"rules": [{"rule": "a"}]}, 1002 {"rules": null}', 'backtests');
SELECT test.same((SELECT string_agg(concat_ws(' ', h.attempts, h.problem), ', ') FROM handling AS h JOIN event AS e ON e.id = h.event_id
                   WHERE h.contact_id = 1000 AND h.problem IS NOT NULL), '5 the contact was erased', 'what had been given up');
SELECT test.same((SELECT string_agg(split_part(r, ' ', 1), ' ') FROM test.rows() AS r WHERE r LIKE 'identity %1000%' OR r LIKE 'address %1000%' OR r LIKE 'timer %1000%'),
    NULL, 'no way to them');
