-- Timers: each becomes an event exactly once, on whichever node.

INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, rule, rule_set, cause_event, depth, data,
    unless, armed_at)
VALUES (1, 'follow-up', '2026-01-01 10:00:00.5Z', 7, 100, 200, 'inbox', 'abc', 9, 2, '{"n": null}', '["reply"]',
    '2026-01-01 09:00Z');
INSERT INTO timer (id, name, due_at, lane, contact_id, outreach_id) VALUES (2, 'outreach.step', '2026-01-01 09:00Z', 8,
    100, 300);
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, survey_id) VALUES (3, 'survey.expired',
    '2026-01-01 11:00Z', 7, 100, 200, 400);
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, survey_id) VALUES (4, 'survey.expired',
    '2099-01-01 11:00Z', 7, 100, 200, 401);

-- As if they had been written before they were due.
UPDATE timer SET counts_from = due_at;

SELECT test.same((SELECT fired || ' ' || (next_due < now()) FROM fire_timers(1)), '1 true',
    'the longest due first, and more at once');
INSERT INTO timer (id, name, due_at, lane) VALUES (5, 'soon', now() + interval '59 seconds', 8);
SELECT test.same((SELECT fired || ' ' || (next_due = (SELECT due_at FROM timer WHERE id = 5)) FROM fire_timers(10)), '2 true',
    'the rest, and when the next one is due');
DELETE FROM timer WHERE id = 5;
SELECT test.same((SELECT fired || ' ' || coalesce(next_due::text, 'none') FROM fire_timers(10)), '0 none', 'none within a minute');
SELECT test.same((SELECT string_agg(e.type || ' ' || e.key, ', ' ORDER BY w.position) FROM work AS w
    JOIN event AS e ON e.id = w.event_id),
    'outreach.step timer:2:2026-01-01T09:00:00.000Z, timer.follow-up timer:1:2026-01-01T10:00:00.500Z, '
    'survey.expired timer:3:2026-01-01T11:00:00.000Z', 'events with work, in order');
SELECT test.same((SELECT doc - 'timer' FROM event WHERE type = 'timer.follow-up'),
    '{"key": "timer:1:2026-01-01T10:00:00.500Z", "type": "timer.follow-up", "source": "answerd", "provider": "answerd",
        "occurred_at": "2026-01-01T10:00:00.5+00:00", "contact_id": 100, "conversation_id": 200,
      "cause": {"rule": "inbox", "depth": 2, "event": 9}}'::jsonb, 'the document');
SELECT test.same((SELECT doc #> '{timer,data}' FROM event WHERE type = 'timer.follow-up'), '{"n": null}'::jsonb,
    'data as it was given');
SELECT test.same((SELECT doc->>'outreach_id' FROM event WHERE type = 'outreach.step'), '300', 'what it belongs to');
SELECT test.same((SELECT depth || ' ' || cause_event || ' ' || lane FROM event WHERE type = 'timer.follow-up'), '2 9 7',
    'cause and lane');
SELECT test.same((SELECT fired FROM fire_timers(10)), 0::bigint, 'nothing is due');

-- Two nodes at the same time.
INSERT INTO timer (id, name, due_at, lane, contact_id) SELECT 1000 + n, 'x', now() - interval '1 hour', n, 100
    FROM generate_series(1, 100) AS n;
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN'), test.run('b', 'BEGIN');
SELECT test.same(test.ask('a', 'SELECT fired::text FROM fire_timers(60)') || ' ' || test.ask('b',
    'SELECT fired::text FROM fire_timers(60)'), '60 40', 'they share them');
SELECT test.run('a', 'COMMIT'), test.run('b', 'ROLLBACK');
SELECT test.same((SELECT fired FROM fire_timers(100)), 40::bigint, 'what one gave up comes again');
SELECT test.same((SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || count(DISTINCT doc #>> '{timer,id}') FROM event
    WHERE type = 'timer.x'), '100 100 100', 'each once');

-- A cancel and a node that fires it: one of them comes first.
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id) VALUES (5, 'y', now() - interval '1 hour', 7,
    100, 200);
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT engine_commit('{"timer_cancels": [{"conversation_id": 200,
    "name": "y"}]}', '{}')::text$$);
SELECT test.same((SELECT fired FROM fire_timers(10)), 0::bigint, 'it is being canceled');
SELECT test.run('a', 'COMMIT');
SELECT test.same((SELECT count(*) FROM event WHERE type = 'timer.y'), 0::bigint, 'it never fired');

-- A timer that has fired, and what was handled before its turn came: told with its event, by conversation or by person;
-- what it was armed for is none of that.
INSERT INTO handling (event_id, handled_at, contact_id, conversation_id)
SELECT test.event('earlier', 8, '{}', 'message.received'), now() - interval '1 minute', 700, 701;
DELETE FROM work;
SELECT test.contact(700, 'whatsapp:7');
INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, unless, armed_at)
VALUES (6, 'nudge', now() - interval '1 second', 7, 700, 701, '["payment.succeeded"]', now() - interval '1 hour');
SELECT test.same((SELECT fired FROM fire_timers(10)), 1::bigint, 'it fires');
CREATE FUNCTION pg_temp.handled(of_event bigint, of_conversation bigint) RETURNS void LANGUAGE sql AS $$
    SELECT engine_commit(jsonb_build_object('handlings', jsonb_build_array(jsonb_build_object('event_id', of_event,
        'handled_at', clock_timestamp(), 'contact_id', 700, 'conversation_id', of_conversation))),
        (SELECT array_agg(position) FROM work WHERE event_id = of_event)) $$;
SELECT pg_temp.handled(test.event('p1', 8, '{"payment": {"id": "p1"}}', 'payment.succeeded', 'stripe'), NULL);
SELECT pg_temp.handled(test.event('m1', 8, '{}', 'message.edited'), 701);
SELECT pg_temp.handled(test.event('m2', 8, '{}', 'message.deleted'), 702);
SELECT pg_temp.handled(test.event('c1', 8, '{"conversation_id": 702}', 'conversation.tagged', 'answerd'), 702);
BEGIN;
SELECT test.same((SELECT w #>> '{event,happened}' FROM engine_claim(10), json_array_elements(work) AS w),
    '["message.edited", "payment.succeeded"]', 'what happened since it fired');
ROLLBACK;

-- Where the look for due timers begins: beyond what is over, and never beyond a timer that is still to come.
CREATE FUNCTION pg_temp.arm(id bigint, due_at timestamptz DEFAULT now()) RETURNS void
LANGUAGE sql AS $$ INSERT INTO timer (id, name, due_at, lane) VALUES (id, 't', due_at, 1) $$;
CREATE FUNCTION pg_temp.fire() RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    before constant bigint := coalesce((SELECT max(position) FROM work), 0);
    how_many constant bigint := (SELECT fired FROM fire_timers(100));
    which text;
BEGIN
    SELECT string_agg(e.doc #>> '{timer,id}', ' ' ORDER BY w.position) INTO which
      FROM work AS w JOIN event AS e ON e.id = w.event_id WHERE w.position > before;
    RETURN coalesce(which, '') || CASE WHEN how_many = coalesce(cardinality(string_to_array(which, ' ')), 0) THEN '' ELSE ' ?' END;
END
$$;
DELETE FROM timer;
SELECT pg_temp.arm(2001);
SELECT test.same(pg_temp.fire(), '2001', 'the first');
SELECT pg_temp.arm(2002);
SELECT test.same(pg_temp.fire(), '2002', 'the second');
SELECT test.holds(isfinite(session_moment('answerd.timer_start')), 'the session begins where timers can still be');
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$INSERT INTO timer (id, name, due_at, lane) VALUES (2003, 't', now(), 1), (2004, 't', '2020-01-01', 1)
    RETURNING id::text$$);
SELECT pg_temp.arm(2005);
SELECT test.same(pg_temp.fire(), '2005', 'others go on');
SELECT pg_temp.arm(2006);
SELECT test.same(pg_temp.fire(), '2006', 'and on');
SELECT pg_temp.arm(2007);
SELECT test.same(pg_temp.fire(), '2007', 'and on');
SELECT test.run('a', 'COMMIT');
SELECT test.same(pg_temp.fire(), '2004 2003', 'who took long to commit is not passed over, whenever it was due');
SELECT pg_temp.arm(2008, '2020-01-01'), pg_temp.arm(2009, now() + interval '1 hour');
SELECT test.same(pg_temp.fire(), '2008', 'due before the session began');
SELECT pg_temp.arm(2010), pg_temp.fire();
UPDATE timer SET due_at = '2020-01-01' WHERE id = 2009;
SELECT test.same(pg_temp.fire(), '2009', 'moved to a time that was long ago');
SELECT pg_temp.arm(2011);
UPDATE timer SET counts_from = '2020-01-01';
SELECT test.same(pg_temp.fire(), '', 'as if it had been written while the clock was wrong');
SELECT set_config('answerd.timer_looked_at', (now() - interval '61 seconds')::text, false);
SELECT test.same(pg_temp.fire(), '2011', 'found a minute later');
SELECT pg_temp.arm(2012, '2020-01-01');
UPDATE timer SET counts_from = NULL;
SELECT set_config('answerd.timer_looked_at', '', false);
SELECT test.same(pg_temp.fire(), '2012', 'from before the column was there');
