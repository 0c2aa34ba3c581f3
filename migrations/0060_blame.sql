-- Who is to blame when an engine dies: only an event that it died over while it handled nothing else, five times.
--
-- Why: a death may have other reasons, and so may a lost connection: machines are switched off, databases started again.
-- Three of those in a row made innocent events count as poison, and park. Locks: none. Takes: milliseconds.

-- What a dead worker had in hand is tried alone from now on, before anything else of its lane; what kills its engine
-- even then, `max_crashes` times, is parked.
CREATE OR REPLACE FUNCTION engine_blame_crashed(max_crashes integer DEFAULT 5) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    worker record;
    suspects bigint;
    blamed bigint := 0;
BEGIN
    FOR worker IN SELECT w.id FROM engine_worker AS w ORDER BY w.id LOOP
        -- Read, not tried: a session's own lock would be granted to it again.
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_locks AS l
                               WHERE l.locktype = 'advisory' AND l.classid = 4204
                                 AND l.objid = worker_lock_key(worker.id)::oid
                                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                 AND l.granted);
        WITH gone AS (DELETE FROM engine_worker WHERE id = worker.id RETURNING in_flight)
        UPDATE work AS w
           SET suspect = true,
               attempts = w.attempts + CASE WHEN w.suspect AND cardinality(gone.in_flight) = 1 THEN 1 ELSE 0 END,
               problem = 'the engine died while it handled this'
          FROM gone
         WHERE w.position = ANY (gone.in_flight);
        GET DIAGNOSTICS suspects = ROW_COUNT;
        blamed := blamed + suspects;
    END LOOP;
    IF blamed > 0 THEN
        PERFORM park_event(w.position, 'the engine died each time it handled this')
           FROM work AS w WHERE w.suspect AND w.attempts >= max_crashes;
    END IF;
    RETURN blamed;
END
$$;
