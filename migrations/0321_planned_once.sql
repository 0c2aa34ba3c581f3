-- What claims ask each time is planned once in a session.
--
-- Why: PostgreSQL plans the body of a function in SQL, when it can't put it into the query around it, each time the query runs.
-- To plan these two took most of the time of asking them: a sixth of a millisecond for each claim of the engine, half of that for
-- each claim of the sender. PL/pgSQL keeps its plans.
-- Locks: none. Takes: milliseconds.

-- As in 0125_work_indexes.sql.
CREATE OR REPLACE FUNCTION work_is_troubled(start bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM work
                    WHERE suspect AND CASE WHEN retry_at IS NOT NULL OR suspect THEN position END >= start)
        OR EXISTS (SELECT FROM work
                    WHERE NOT suspect AND CASE WHEN retry_at IS NOT NULL OR suspect THEN position END >= start);
END
$$;

-- As in 0008_deliver.sql.
CREATE OR REPLACE FUNCTION slots_free(next_slot timestamptz, slot interval, burst integer, at timestamptz) RETURNS integer
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN greatest(0, floor(extract(epoch FROM at + slot * (burst - 1) - greatest(coalesce(next_slot, at), at))
                             / extract(epoch FROM slot))::integer + 1);
END
$$;
