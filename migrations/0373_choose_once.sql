-- Who chooses what is to run again is not offered what waits for that already.
--
-- Why: an event that was handled and waits to run again was counted as chosen, and then not put to work a second time: the number that
-- was promised was not the one that ran.
-- Locks: none. Takes: milliseconds.

-- Chooses events that are not waiting anyway, in the order they were received, into the temporary table replay_selection
-- of this session; returns how many. `condition` is SQL on event_log, from the operator's own hand.
CREATE OR REPLACE FUNCTION replay_select(ids bigint[], since timestamptz, until timestamptz, of_source text, of_type text, condition text)
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
        ' AND state IN (''handled'', ''parked'')'
        ' AND NOT EXISTS (SELECT FROM work AS w WHERE w.event_id = event_log.event_id)' -- handled, and to run again
        ' AND (%s) ORDER BY received_at, event_id', coalesce(condition, 'true'))
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
