-- What a worker has in hand is a row of its own for each batch, put there and taken away by a key that no other row ever had.
--
-- Why: one row that was updated for each batch left a dead one each time, and the next update walked over all of them for as
-- long as anybody held an old snapshot: after 20,000 batches noting one read 250 pages, and the look for dead workers 600.
-- Locks: none. Takes: milliseconds.

CREATE TABLE engine_in_flight (
    worker        bigint      NOT NULL,
    number        bigint      NOT NULL, -- of the batch; only the last one has a row
    positions     bigint[]    NOT NULL,
    PRIMARY KEY (worker, number)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE engine_in_flight IS 'The work that each engine worker has in hand; what a dead worker leaves here is suspect.';

-- Was in use before, and still is by what a worker noted before this migration and has not replaced yet.
COMMENT ON COLUMN engine_worker.in_flight IS 'as in engine_in_flight, where it is noted now';

-- As before. A worker that begins has nothing in hand.
CREATE OR REPLACE FUNCTION engine_start_worker(worker bigint, on_node text) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
BEGIN
    PERFORM pg_advisory_lock(4204, worker_lock_key(worker));
    DELETE FROM engine_in_flight AS f WHERE f.worker = engine_start_worker.worker;
    INSERT INTO engine_worker (id, node) VALUES (worker, on_node)
    ON CONFLICT (id) DO UPDATE SET node = excluded.node, started_at = now(), in_flight = '{}';
END
$$;

-- Committed without waiting for the disk: when the machine dies too, nobody is to blame. Numbers are those of the clock, or
-- the next ones after the session's last.
CREATE OR REPLACE FUNCTION engine_note_in_flight(worker bigint, positions bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    last constant bigint := session_number('answerd.in_flight_number');
    next constant bigint := greatest(last + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    before bigint[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT w.in_flight INTO before FROM engine_worker AS w WHERE w.id = worker;
    IF NOT FOUND THEN
        PERFORM engine_start_worker(worker, '');
    ELSIF before <> '{}' THEN
        UPDATE engine_worker SET in_flight = '{}' WHERE id = worker;
    END IF;
    DELETE FROM engine_in_flight AS f WHERE f.worker = engine_note_in_flight.worker AND f.number = last;
    INSERT INTO engine_in_flight (worker, number, positions) VALUES (worker, next, positions);
    PERFORM set_config('answerd.in_flight_number', next::text, false);
END
$$;

CREATE OR REPLACE FUNCTION engine_stop_worker(worker bigint) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
BEGIN
    DELETE FROM engine_in_flight AS f WHERE f.worker = engine_stop_worker.worker;
    DELETE FROM engine_worker WHERE id = worker;
    PERFORM pg_advisory_unlock(4204, worker_lock_key(worker));
END
$$;

-- As in 0060_blame.sql, of what was noted in either place.
CREATE OR REPLACE FUNCTION engine_blame_crashed(max_crashes integer DEFAULT 5) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    gone record;
    in_hand bigint[];
    suspects bigint;
    blamed bigint := 0;
BEGIN
    FOR gone IN SELECT w.id FROM engine_worker AS w ORDER BY w.id LOOP
        -- Read, not tried: a session's own lock would be granted to it again.
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_locks AS l
                               WHERE l.locktype = 'advisory' AND l.classid = 4204
                                 AND l.objid = worker_lock_key(gone.id)::oid
                                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                 AND l.granted);
        -- One of those who look at the same time finds the row; the others find nothing that is in hand.
        DELETE FROM engine_worker AS w WHERE w.id = gone.id RETURNING w.in_flight INTO in_hand;
        CONTINUE WHEN NOT FOUND;
        WITH noted AS (DELETE FROM engine_in_flight AS f WHERE f.worker = gone.id RETURNING f.positions)
        SELECT array_agg(DISTINCT p) INTO in_hand
          FROM (SELECT unnest(in_hand) AS p UNION ALL SELECT unnest(noted.positions) FROM noted) AS all_of_it;
        UPDATE work AS w
           SET suspect = true,
               attempts = w.attempts + CASE WHEN w.suspect AND cardinality(in_hand) = 1 THEN 1 ELSE 0 END,
               problem = 'the engine died while it handled this'
         WHERE w.position = ANY (in_hand);
        GET DIAGNOSTICS suspects = ROW_COUNT;
        blamed := blamed + suspects;
    END LOOP;
    IF blamed > 0 THEN
        PERFORM park_event(w.position, 'the engine died each time it handled this')
           FROM work AS w
          WHERE w.suspect AND CASE WHEN w.retry_at IS NOT NULL OR w.suspect THEN w.position END IS NOT NULL
            AND w.attempts >= max_crashes;
    END IF;
    RETURN blamed;
END
$$;

-- At once, because programs that run note what they have in hand.
SELECT grant_roles();
