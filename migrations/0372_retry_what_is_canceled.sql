-- What was canceled on its way is not sent again by hand before it is known what became of it.
--
-- Why: it was said to be queued, and then ended as canceled because what it was for was over, whatever it had been canceled for,
-- although it may have arrived.
-- Locks: none. Takes: milliseconds.

-- Somebody wants a delivery tried again that ended without success: its ledger starts over. Returns the state that it
-- was in; it is queued again when that is one of failed, parked, blocked, unknown, canceled. NULL: there is no such
-- delivery. 'canceling': it was canceled on its way, and nobody knows yet whether it left; until that is settled it is not
-- sent again.
CREATE OR REPLACE FUNCTION retry_delivery(of_delivery bigint) RETURNS text
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    d delivery;
BEGIN
    SELECT b.* INTO o FROM outbox AS b WHERE b.delivery_id = of_delivery FOR UPDATE;
    SELECT x.* INTO d FROM delivery AS x WHERE x.id = of_delivery FOR UPDATE;
    IF d.id IS NULL THEN
        RETURN NULL;
    END IF;
    IF o.cancel_wanted THEN
        RETURN 'canceling';
    ELSIF o.position IS NOT NULL THEN
        -- It waits for its next attempt, or for its outcome: its turn is now.
        IF o.state IN ('waiting', 'unknown') THEN
            PERFORM wait_again(o, clock_timestamp());
        END IF;
    ELSIF d.state IN ('failed', 'parked', 'blocked', 'unknown', 'canceled') THEN
        UPDATE message SET state = 'queued', failed_at = NULL, reason = NULL, error_code = NULL
         WHERE id = d.message_id AND created_at = d.message_created_at AND state IN ('failed', 'blocked', 'unknown',
             'canceled', 'sending');
        UPDATE delivery SET state = 'queued', reason = NULL, error_code = NULL, ended_at = NULL, attempts = 0
         WHERE id = d.id AND created_at = d.created_at;
        INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, outreach_id, contact_id, message_id)
        SELECT d.id, d.created_at, t.recipient, t.source, d.outreach_id, d.contact_id, d.message_id
          FROM delivery_target(d) AS t;
    END IF;
    RETURN d.state;
END
$$;
