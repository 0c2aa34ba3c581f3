-- Timers and crons: what was to happen later becomes an event now.
--
-- Why: exactly once, whichever node looks first, and in the same statement as the work that follows.
-- Locks: none. Takes: milliseconds.

-- Turns up to `most` due timers into events with work, the longest due first. `next_due` is when to look again: in the past
-- when there was more than `most`, NULL when no timer and no cron is left.
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
               'type', CASE WHEN strpos(n.name, '.') > 0 THEN n.name ELSE 'timer.' || n.name END,
               'source', 'answerd', 'provider', 'answerd',
               'key', 'timer:' || n.id || ':' || to_char(n.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'occurred_at', n.due_at, 'lane', n.lane,
               'contact_id', n.contact_id, 'conversation_id', n.conversation_id,
               'outreach_id', n.outreach_id, 'survey_id', n.survey_id,
               'cause', jsonb_build_object('event', n.cause_event, 'rule', n.rule, 'depth', n.depth)))
           || jsonb_build_object('timer', jsonb_build_object(
               'id', n.id, 'name', n.name, 'data', n.data, 'unless', n.unless, 'armed_at', n.armed_at, 'due_at', n.due_at,
               'rule', n.rule, 'rule_set', n.rule_set)) ORDER BY n.n)
      INTO docs
      FROM numbered AS n;
    fired := coalesce(jsonb_array_length(docs), 0);
    IF fired > 0 THEN
        PERFORM append_own_events(docs);
    END IF;
    SELECT least((SELECT t.due_at FROM timer AS t ORDER BY t.due_at LIMIT 1), (SELECT min(c.next_at) FROM cron AS c)) INTO next_due;
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

-- The crons of a rule set, as [{name, schedule, next_at}]: new ones and those with another schedule start at their next_at,
-- the others keep theirs, those that are not named end.
CREATE FUNCTION put_crons(crons jsonb, of_rule_set text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO cron AS c (name, schedule, next_at, rule_set)
    SELECT r.name, coalesce(r.schedule, 'null'), r.next_at, of_rule_set
      FROM jsonb_to_recordset(crons) AS r (name text, schedule jsonb, next_at timestamptz)
     ORDER BY r.name
    ON CONFLICT (name) DO UPDATE
       SET next_at = CASE WHEN c.schedule = excluded.schedule THEN c.next_at ELSE excluded.next_at END,
           schedule = excluded.schedule, rule_set = excluded.rule_set;
    DELETE FROM cron WHERE name NOT IN (SELECT r->>'name' FROM jsonb_array_elements(crons) AS r);
END
$$;

-- Fires a cron if it is still due at `expected_at`: one of several nodes gets true. `then_at` is the time after that.
CREATE FUNCTION fire_cron(cron_name text, expected_at timestamptz, then_at timestamptz) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE cron SET last_at = expected_at, next_at = then_at
     WHERE name = cron_name AND next_at = expected_at AND expected_at <= clock_timestamp();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM append_own_events(jsonb_build_array(jsonb_build_object(
        'type', 'cron.' || cron_name, 'source', 'answerd', 'provider', 'answerd',
        'key', 'cron:' || cron_name || ':' || to_char(expected_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'occurred_at', expected_at, 'lane', hashtext('cron.' || cron_name) & 2147483647,
        'cron', jsonb_build_object('name', cron_name, 'at', expected_at, 'next_at', then_at))));
    RETURN true;
END
$$;
