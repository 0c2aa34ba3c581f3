-- Who resumes a source or an endpoint sends what waits because it was down, too.
--
-- Why: a delivery that found its target down is tried again after five minutes at first, and after many hours when that goes
-- on. It went on waiting for that after the target was resumed, and with it all that stood behind it in its line.
-- Locks: none. Takes: milliseconds.

-- As in 0009_outcomes.sql. What waits for another reason, because the provider asked for it, goes on waiting.
CREATE OR REPLACE FUNCTION resume_source(name text) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    resumed boolean := false;
BEGIN
    -- The outbox first, as those do who record outcomes.
    FOR o IN
        SELECT b.* FROM source_pace AS p
          JOIN outbox AS b ON b.source = p.source
          JOIN delivery AS d ON d.id = b.delivery_id AND d.created_at = b.delivery_created_at
         WHERE p.source IN (name, 'endpoint ' || name) AND b.state = 'waiting' AND b.due_at > clock_timestamp()
           AND d.state = 'retrying' AND d.reason = p.paused_reason
         ORDER BY b.position FOR UPDATE OF b
    LOOP
        PERFORM wait_again(o, clock_timestamp());
        resumed := true;
    END LOOP;
    UPDATE source_pace SET paused_until = NULL, paused_reason = NULL
     WHERE source IN (name, 'endpoint ' || name) AND paused_until > clock_timestamp();
    RETURN resumed OR FOUND;
END
$$;
COMMENT ON FUNCTION resume_source(text) IS
    'Lets a paused source or endpoint send again, and what waits since it was down at once; false when nothing was paused or waited.';
