-- What failed because its target was out of order may go again when the target works again.
--
-- Why: it waited for its own schedule, up to some hours after a long outage, and with it all that stood behind it in its line.
-- Locks: none. Takes: milliseconds.

-- Lets up to `most` of what waits to go to this source, or 'endpoint NAME', go at once, if its last attempt did not reach the
-- target, was answered with 5xx, or found it down: soonest due first. What the provider put off for another reason, and what
-- is due in a moment anyway, goes on waiting. Returns how many there were.
CREATE FUNCTION let_failed_go(target text, most integer) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    down_for constant text := (SELECT p.paused_reason FROM source_pace AS p WHERE p.source = target);
    let_go integer := 0;
    of_woken boolean;
    o outbox;
BEGIN
    FOREACH of_woken IN ARRAY ARRAY[true, false] LOOP
        FOR o IN
            SELECT b.* FROM outbox AS b
              JOIN delivery AS d ON d.id = b.delivery_id AND d.created_at = b.delivery_created_at
             WHERE b.state = 'waiting' AND b.source = target AND b.woken = of_woken
               AND coalesce(b.counts_from, b.due_at) > clock_timestamp() + interval '10 seconds' AND d.state = 'retrying'
               AND (d.reason = down_for
                    OR (SELECT coalesce(a.status, 500) >= 500 FROM attempt AS a
                         WHERE a.delivery_id = d.id AND a.started_at >= d.created_at
                         ORDER BY a.number DESC, a.started_at DESC LIMIT 1))
             ORDER BY coalesce(b.counts_from, b.due_at), b.position
             LIMIT most - let_go
               FOR UPDATE OF b SKIP LOCKED
        LOOP
            PERFORM wait_again(o, clock_timestamp());
            let_go := let_go + 1;
        END LOOP;
    END LOOP;
    RETURN let_go;
END
$$;
COMMENT ON FUNCTION let_failed_go(text, integer) IS
    'Lets what failed because its target was out of order go at once; returns how many there were.';
