-- One delivery that cannot be settled does not stop the others.
--
-- Why: deliver_settle() settles up to 500 rows in one statement. A row that PostgreSQL refuses (a value or a trigger that somebody
-- changed by hand, a broken index) made all of it fail, each time and on every node, and the outcome of all others stayed open.
-- deliver_settle_each() does the same with a savepoint for each row; it is asked when deliver_settle() was refused.
-- Locks: none. Takes: milliseconds.

-- The sender of this row ended before it could tell.
CREATE FUNCTION settle_sending(o outbox) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO attempt (delivery_id, number, started_at, outcome, reason)
    SELECT x.id, o.attempts, coalesce(x.last_attempt_at, now()), 'unknown', 'the sender ended before it could tell'
      FROM delivery AS x WHERE x.id = o.delivery_id AND x.created_at = o.delivery_created_at
    ON CONFLICT DO NOTHING;
    PERFORM mark_unknown(o, NULL, 'the sender ended before it could tell', o.claimed_by);
END
$$;

-- What becomes of an outcome that is unknown; false: its time is not over.
CREATE FUNCTION settle_unknown(o outbox, settle_after interval) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    d delivery;
    policy text;
    proof text;
    -- It may have lost its connection only, and still tell.
    patience constant interval := interval '5 seconds';
BEGIN
    SELECT x.* INTO d FROM delivery AS x WHERE x.id = o.delivery_id
        AND x.created_at = o.delivery_created_at FOR UPDATE;
    -- The provider may have told while the row was still marked as being sent.
    SELECT m.state INTO proof FROM message AS m WHERE m.id = d.message_id AND m.created_at = d.message_created_at;
    IF message_state_rank(proof) >= 50 THEN
        PERFORM end_delivery(o.position, CASE proof WHEN 'failed' THEN 'failed' ELSE 'sent' END, d.error_code,
                             CASE proof WHEN 'failed' THEN d.reason END, proof);
        RETURN true;
    END IF;
    policy := unknown_policy(o, d);
    IF o.in_line AND policy <> 'resend' THEN
        PERFORM leave_line(o); -- it was canceled meanwhile
    END IF;
    IF (clock_timestamp() < o.lease_until
        + CASE WHEN d.kind = 'message' THEN settle_after WHEN o.claimed_by IS NULL THEN '0' ELSE patience END) THEN
        RETURN false;
    END IF;
    IF policy = 'resend' AND o.attempts < 5 THEN
        PERFORM wait_again(o, clock_timestamp());
        UPDATE delivery SET state = 'retrying' WHERE id = d.id AND created_at = d.created_at;
    ELSIF policy = 'resend' THEN
        PERFORM end_delivery(o.position, 'parked', 'unknown_outcome', 'its outcome stayed unknown each time');
    ELSIF policy = 'give_up' THEN
        PERFORM end_delivery(o.position, 'failed', 'unknown_outcome', 'the provider did not say what became of it');
    ELSE
        PERFORM end_delivery(o.position, 'unknown', coalesce(d.error_code, 'unknown_outcome'),
                             coalesce(d.reason, 'the provider did not say what became of it'));
    END IF;
    RETURN true;
END
$$;

-- As before.
CREATE OR REPLACE FUNCTION deliver_settle(settle_after interval, asking integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    dead constant integer[] := dead_senders(asking);
    start constant outbox_start := session_outbox_start();
    settled bigint := 0;
BEGIN
    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'sending' AND coalesce(b.counts_from, b.due_at) >= start.sending
           AND (b.lease_until < clock_timestamp() OR b.claimed_by = ANY (dead))
         ORDER BY coalesce(b.counts_from, b.due_at) LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM settle_sending(o);
        settled := settled + 1;
    END LOOP;

    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'unknown' AND coalesce(b.counts_from, b.due_at) >= start.unknown
         ORDER BY coalesce(b.counts_from, b.due_at) LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        settled := settled + settle_unknown(o, settle_after)::integer;
    END LOOP;
    RETURN settled;
END
$$;

-- The same row by row. `refused` is [{delivery, sqlstate, reason}] of those that stay as they were: whatever PostgreSQL says about
-- the row itself. Trouble of the server's (SQLSTATE classes 25, 53, 57, 58) or of the schema's ends the statement, as elsewhere.
CREATE FUNCTION deliver_settle_each(settle_after interval, asking integer DEFAULT NULL, OUT settled bigint, OUT refused jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    dead constant integer[] := dead_senders(asking);
    start constant outbox_start := session_outbox_start();
BEGIN
    settled := 0;
    refused := '[]';
    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE (b.state = 'sending' AND coalesce(b.counts_from, b.due_at) >= start.sending
                AND (b.lease_until < clock_timestamp() OR b.claimed_by = ANY (dead)))
            OR (b.state = 'unknown' AND coalesce(b.counts_from, b.due_at) >= start.unknown)
         ORDER BY coalesce(b.counts_from, b.due_at) LIMIT 1000
           FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            IF o.state = 'sending' THEN
                PERFORM settle_sending(o);
                settled := settled + 1;
            ELSE
                settled := settled + settle_unknown(o, settle_after)::integer;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF left(SQLSTATE, 2) IN ('25', '53', '57', '58') OR SQLSTATE IN ('42501', '42P01', '42883', '3F000') THEN
                RAISE;
            END IF;
            refused := refused || jsonb_build_object('delivery', o.delivery_id, 'sqlstate', SQLSTATE, 'reason', SQLERRM);
        END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION deliver_settle_each(interval, integer) IS 'deliver_settle() row by row: what cannot be settled is told and left.';
