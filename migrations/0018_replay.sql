-- Replay: stored events run again, and only what has not been made before is made. And reparse: events derived again from
-- stored webhooks.
--
-- Why: after a rule failed, or a parser learned something, what was missed can be made up for without doing anything twice.
-- Locks: ACCESS EXCLUSIVE on the tables that get a column, for a moment. Takes: milliseconds.

CREATE TABLE replay (
    id          bigint      PRIMARY KEY,
    started_at  timestamptz NOT NULL DEFAULT now(),
    selection   jsonb       NOT NULL, -- what was asked for
    events      bigint      NOT NULL
);
COMMENT ON TABLE replay IS 'Each run of answerd replay: what was asked for, and how many events that were.';

ALTER TABLE work         ADD COLUMN replay_id bigint; -- the event is run again; NULL: for the first time
ALTER TABLE parked_event ADD COLUMN replay_id bigint;
ALTER TABLE handling     ADD COLUMN replay_id bigint;
ALTER TABLE trace        ADD COLUMN replay_id bigint;
ALTER TABLE event        ADD COLUMN replay_id bigint; -- the replay that caused it
ALTER TABLE message      ADD COLUMN replay_id bigint;
ALTER TABLE delivery     ADD COLUMN replay_id bigint;
CREATE INDEX handling_by_replay ON handling (replay_id) WHERE replay_id IS NOT NULL;
CREATE INDEX message_by_replay ON message (replay_id) WHERE replay_id IS NOT NULL;
CREATE INDEX delivery_by_replay ON delivery (replay_id) WHERE replay_id IS NOT NULL;
CREATE INDEX event_by_replay ON event (replay_id) WHERE replay_id IS NOT NULL;

-- What the desk must know to run an event again: {id, handled, consumed, contact_id, conversation_id, settled: [rule],
-- stopped_by, effects: [{rule, effects}]}: who it was about, whether the desk itself had dealt with it, which rules had their
-- say then, and what each of the others was given. A rule that ran, or was skipped, decided on the facts of its time and is
-- not asked again on those of today, unless the replay names it; one that failed, was quarantined or did not exist yet is.
-- An effect that was refused then was decided, and counts as made.
CREATE FUNCTION replay_of(of_replay bigint, of_event bigint) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', of_replay,
        'handled', h.event_id IS NOT NULL,
        'contact_id', h.contact_id,
        'conversation_id', h.conversation_id,
        'consumed', EXISTS (
            SELECT 1 FROM trace AS t CROSS JOIN LATERAL jsonb_array_elements(t.effects) AS f (effect)
             WHERE t.event_id = of_event AND t.rule LIKE 'answerd.%'
               AND f.effect->>'do' IN ('timer', 'survey', 'outreach', 'survey_answer', 'survey_comment', 'survey_edit')),
        'settled', coalesce((
            SELECT jsonb_agg(DISTINCT t.rule) FROM trace AS t
             WHERE t.event_id = of_event AND t.verdict IN ('ran', 'skipped', 'stopped')
               AND NOT coalesce((SELECT r.selection->'rules' ? t.rule FROM replay AS r WHERE r.id = of_replay), false)), '[]'),
        'stopped_by', (
            SELECT t.rule FROM trace AS t
             WHERE t.event_id = of_event AND t.verdict = 'ran'
               AND EXISTS (SELECT 1 FROM trace AS n WHERE n.event_id = of_event AND n.handled_at = t.handled_at
                                                      AND n.number = t.number + 1 AND n.verdict = 'stopped')
             ORDER BY t.handled_at LIMIT 1),
        'effects', coalesce((
            SELECT jsonb_agg(jsonb_build_object('rule', t.rule, 'effects', t.effects) ORDER BY t.handled_at, t.number)
              FROM trace AS t WHERE t.event_id = of_event AND t.verdict = 'ran' AND t.effects <> '[]'
                                AND t.rule NOT LIKE 'answerd.%'), '[]')))
      FROM (SELECT 1) AS one
      LEFT JOIN LATERAL (SELECT x.* FROM handling AS x WHERE x.event_id = of_event ORDER BY x.handled_at LIMIT 1) AS h ON true
$$;

-- The conversations that events which run again were about, or opened, then.
CREATE FUNCTION replay_conversations(positions bigint[]) RETURNS TABLE (id bigint, contact_id bigint)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM work AS w WHERE w.position = ANY (positions) AND w.replay_id IS NOT NULL) THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.id, v.contact_id
      FROM (SELECT h.conversation_id
              FROM work AS w JOIN handling AS h ON h.event_id = w.event_id
             WHERE w.position = ANY (positions) AND w.replay_id IS NOT NULL
             UNION
            SELECT document_id(f.effect #> '{made,conversation}')
              FROM work AS w JOIN trace AS t ON t.event_id = w.event_id
             CROSS JOIN LATERAL jsonb_array_elements(t.effects) AS f (effect)
             WHERE w.position = ANY (positions) AND w.replay_id IS NOT NULL) AS c
      JOIN conversation AS v ON v.id = c.conversation_id;
END
$$;

-- Puts the replay's id on what a batch wrote for events that ran again, and on the work that follows from them.
CREATE FUNCTION mark_replayed(changes jsonb, positions bigint[], handled timestamptz) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    again record;
    ids bigint[];
BEGIN
    FOR again IN SELECT w.event_id, w.replay_id FROM work AS w WHERE w.position = ANY (positions) AND w.replay_id IS NOT NULL LOOP
        UPDATE handling AS h SET replay_id = again.replay_id WHERE h.event_id = again.event_id AND h.handled_at = handled;
        UPDATE trace AS t SET replay_id = again.replay_id WHERE t.event_id = again.event_id AND t.handled_at = handled;
        SELECT array_agg(document_id(m->'id')) INTO ids
          FROM jsonb_array_elements(changes->'messages') AS m WHERE document_id(m->'event_id') = again.event_id;
        UPDATE message AS m SET replay_id = again.replay_id WHERE m.id = ANY (ids);
        SELECT array_agg(document_id(d->'id')) INTO ids
          FROM jsonb_array_elements(changes->'deliveries') AS d WHERE document_id(d->'event_id') = again.event_id;
        UPDATE delivery AS d SET replay_id = again.replay_id WHERE d.id = ANY (ids);
        SELECT array_agg(document_id(e->'id')) INTO ids
          FROM jsonb_array_elements(changes->'events') AS e WHERE document_id(e #> '{cause,event}') = again.event_id;
        UPDATE event AS e SET replay_id = again.replay_id WHERE e.id = ANY (ids);
        UPDATE work AS w SET replay_id = again.replay_id WHERE w.event_id = ANY (ids);
    END LOOP;
END
$$;

-- As before; whether it ran again goes with it, or it would be handled as if for the first time.
CREATE OR REPLACE FUNCTION park_event(at_position bigint, what_problem text) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    WITH gone AS (DELETE FROM work WHERE position = at_position RETURNING *)
    INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem, replay_id)
    SELECT event_id, event_received_at, lane, attempts + 1, left(what_problem, 2000), replay_id FROM gone
    ON CONFLICT (event_id) DO UPDATE
       SET attempts = excluded.attempts, problem = excluded.problem, parked_at = now(), replay_id = excluded.replay_id;
    RETURN FOUND;
END
$$;

CREATE OR REPLACE FUNCTION unpark_event(of_event bigint) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    WITH gone AS (DELETE FROM parked_event WHERE event_id = of_event RETURNING *)
    INSERT INTO work (event_id, event_received_at, lane, replay_id)
    SELECT event_id, event_received_at, lane, replay_id FROM gone;
    RETURN FOUND;
END
$$;

-- Chooses events that are not waiting anyway, in the order they were received, into the temporary table replay_selection
-- of this session; returns how many. `condition` is SQL on event_log, from the operator's own hand.
CREATE FUNCTION replay_select(ids bigint[], since timestamptz, until timestamptz, of_source text, of_type text, condition text)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    chosen record;
    count bigint := 0;
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS replay_selection (
        n bigint PRIMARY KEY, event_id bigint NOT NULL, received_at timestamptz NOT NULL, lane integer NOT NULL,
        type text NOT NULL, source text NOT NULL, state text NOT NULL);
    TRUNCATE replay_selection;
    -- A cursor takes one query only, whatever the condition says.
    FOR chosen IN EXECUTE format(
        'SELECT event_id, received_at, type, source, state FROM event_log'
        ' WHERE ($1 IS NULL OR event_id = ANY ($1)) AND received_at >= $2 AND received_at < $3'
        ' AND ($4 IS NULL OR source = $4) AND ($5 IS NULL OR type = $5 OR type LIKE $6)'
        ' AND state IN (''handled'', ''parked'') AND (%s) ORDER BY received_at, event_id', coalesce(condition, 'true'))
        USING ids, since, until, of_source, of_type,
              CASE WHEN right(of_type, 2) = '.*' THEN left(of_type, -1) || '%' ELSE of_type END
    LOOP
        count := count + 1;
        INSERT INTO replay_selection
        SELECT count, chosen.event_id, chosen.received_at, e.lane, chosen.type, chosen.source, chosen.state
          FROM event AS e WHERE e.id = chosen.event_id AND e.received_at = chosen.received_at;
    END LOOP;
    RETURN count;
END
$$;

-- Puts the chosen events from `first` to `last` to work again; returns how many. What is parked is taken from there.
CREATE FUNCTION replay_append(replay bigint, first bigint, last bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    added bigint;
BEGIN
    DELETE FROM parked_event AS k USING replay_selection AS s WHERE k.event_id = s.event_id AND s.n BETWEEN first AND last;
    INSERT INTO work (event_id, event_received_at, lane, replay_id)
    SELECT s.event_id, s.received_at, s.lane, replay
      FROM replay_selection AS s
     WHERE s.n BETWEEN first AND last AND NOT EXISTS (SELECT 1 FROM work AS w WHERE w.event_id = s.event_id)
     ORDER BY s.n;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

-- Appends what a parser now finds in a stored webhook and nobody knew before: events whose key is new, and events that were
-- stored as `webhook.SOURCE`, because nobody could read them, and are something now. `docs` are canonical documents with id
-- and lane. Returns how many it appended. They get the webhook's time, so that they are found together.
CREATE FUNCTION reparse_append(of_webhook bigint, docs jsonb, new_problem text, new_parser integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    it record;
    entry record;
    known record;
    known_as text;
    added integer := 0;
BEGIN
    SELECT w.id, w.received_at, w.source INTO it FROM webhook AS w WHERE w.id = of_webhook FOR UPDATE;
    FOR entry IN SELECT d.doc FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n) ORDER BY n LOOP
        known_as := entry.doc->>'key';
        SELECT e.type INTO known FROM event AS e WHERE e.key = (entry.doc->>'key') AND e.source = it.source LIMIT 1;
        IF FOUND THEN
            CONTINUE WHEN known.type NOT LIKE 'webhook.%' OR entry.doc->>'type' LIKE 'webhook.%';
            known_as := known_as || ':as:' || (entry.doc->>'type');
            CONTINUE WHEN EXISTS (SELECT 1 FROM event AS e WHERE e.key = known_as AND e.source = it.source);
        END IF;
        CONTINUE WHEN cardinality(claim_event_keys(ARRAY[it.source], ARRAY[event_key_digest(known_as)])) = 0;
        INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, doc)
        VALUES ((entry.doc->>'id')::bigint, it.received_at, coalesce((entry.doc->>'occurred_at')::timestamptz, it.received_at),
                it.id, it.source, entry.doc->>'type', known_as, (entry.doc->>'lane')::integer,
                entry.doc - 'id' - 'lane' - 'received_at' || jsonb_build_object('key', known_as));
        INSERT INTO work (event_id, event_received_at, lane)
        VALUES ((entry.doc->>'id')::bigint, it.received_at, (entry.doc->>'lane')::integer);
        added := added + 1;
    END LOOP;
    UPDATE webhook AS w
       SET problem = new_problem, parser = new_parser, event_count = jsonb_array_length(docs), new_events = w.new_events + added
     WHERE w.id = it.id AND w.received_at = it.received_at;
    RETURN added;
END
$$;
