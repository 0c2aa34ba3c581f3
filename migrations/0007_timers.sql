-- Timers: what was to happen later becomes an event now.
--
-- Why: exactly once, whichever node looks first, and in the same statement as the work that follows.
-- Locks: none. Takes: milliseconds.

-- Turns up to `most` due timers into events with work, the longest due first. `next_due` is when to look again: in the
-- past when there was more than `most`, NULL when no timer is left.
CREATE FUNCTION fire_timers(most integer, OUT fired bigint, OUT next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    now_at constant timestamptz := clock_timestamp();
    docs jsonb;
BEGIN
    IF most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'between 1 and 1000 timers are fired at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH due AS (
        SELECT t.id FROM timer AS t WHERE t.due_at <= now_at ORDER BY t.due_at, t.id LIMIT most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM timer AS t USING due WHERE t.id = due.id RETURNING t.*
    ), numbered AS (
        SELECT g.*, row_number() OVER (ORDER BY g.due_at, g.id) AS n FROM gone AS g
    )
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'type', CASE WHEN n.name IN ('survey.expired', 'outreach.step', 'window.closing') THEN n.name
                            ELSE 'timer.' || n.name END,
               'source', 'answerd', 'provider', 'answerd',
               'key', 'timer:' || n.id || ':' || to_char(n.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'occurred_at', n.due_at, 'lane', n.lane,
               'contact_id', n.contact_id, 'conversation_id', n.conversation_id,
               'outreach_id', n.outreach_id, 'survey_id', n.survey_id,
               'cause', jsonb_build_object('event', n.cause_event, 'rule', n.rule, 'depth', n.depth)))
           || jsonb_build_object('timer', jsonb_build_object(
               'id', n.id, 'name', n.name, 'data', n.data, 'unless', n.unless, 'armed_at', n.armed_at, 'due_at',
                   n.due_at,
               'rule', n.rule, 'rule_set', n.rule_set)) ORDER BY n.n)
      INTO docs
      FROM numbered AS n;
    fired := coalesce(jsonb_array_length(docs), 0);
    IF fired > 0 THEN
        PERFORM append_own_events(docs);
    END IF;
    SELECT t.due_at INTO next_due FROM timer AS t ORDER BY t.due_at LIMIT 1;
END
$$;
COMMENT ON FUNCTION fire_timers(integer) IS 'Turns due timers into events with work, each exactly once.';

-- Events made by the database: they get their ids here and are new by construction.
CREATE FUNCTION append_own_events(docs jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    first constant bigint := nextval('object_id'); -- and the 999 after it
BEGIN
    WITH numbered AS (
        SELECT d.n, first + d.n - 1 AS id, d.doc FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n)
    ), stored AS (
        INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, cause_event, depth, doc)
        SELECT n.id, now(), (n.doc->>'occurred_at')::timestamptz, n.doc->>'source', n.doc->>'type', n.doc->>'key',
               (n.doc->>'lane')::integer, document_id(n.doc #> '{cause,event}'),
               coalesce((n.doc #>> '{cause,depth}')::smallint, 0), n.doc - 'lane'
          FROM numbered AS n
    )
    INSERT INTO work (event_id, event_received_at, lane)
    SELECT n.id, now(), (n.doc->>'lane')::integer FROM numbered AS n ORDER BY n.n;
END
$$;
