-- A status moves no message of another source, and a message that the provider names by its own id comes before our number.
--
-- Why: after a restore from a backup numbers of deliveries are given twice, and two installations that share an account of a provider
-- give the same ones. A late status then carries the number of somebody else's message. Who it went to is compared before a number is
-- believed (server/domain/message_target.c); here a number or a row that was found elsewhere is believed within its source only.
-- Locks: none. Takes: milliseconds.

-- As in 0004_ledger.sql otherwise.
CREATE OR REPLACE FUNCTION apply_message_state(state_source text, state_provider_id text, echo_delivery_id bigint,
                                    new_state text, state_at timestamptz,
                                    new_error_code text DEFAULT NULL, new_reason text DEFAULT NULL,
                                    known_id bigint DEFAULT NULL, known_created_at timestamptz DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    found_id bigint;
    found_created_at timestamptz;
    sent_by delivery;
    waiting outbox;
BEGIN
    IF message_state_rank(new_state) IS NULL THEN
        RAISE EXCEPTION 'a message cannot be "%"', new_state USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR try IN 1 .. 2 LOOP
        IF known_id IS NOT NULL THEN
            SELECT m.id, m.created_at INTO found_id, found_created_at
              FROM message AS m
             WHERE m.id = known_id AND m.direction = 'out' AND (known_created_at IS NULL
                 OR m.created_at = known_created_at) AND (state_source IS NULL OR m.source = state_source);
        END IF;
        IF found_id IS NULL AND state_provider_id IS NOT NULL THEN
            SELECT m.id, m.created_at INTO found_id, found_created_at
              FROM message AS m
             WHERE m.provider_message_id = state_provider_id AND m.source = state_source AND m.direction = 'out'
               AND m.created_at > now() - interval '62 days'
             ORDER BY m.created_at DESC
             LIMIT 1;
        END IF;
        IF found_id IS NULL AND echo_delivery_id IS NOT NULL THEN
            SELECT d.message_id, d.message_created_at INTO found_id, found_created_at
              FROM delivery AS d
             WHERE d.id = echo_delivery_id AND d.kind = 'message' AND (state_source IS NULL OR d.source = state_source)
               AND d.created_at > now() - interval '62 days';
        END IF;
        EXIT WHEN found_id IS NOT NULL OR state_provider_id IS NULL OR try = 2;
        -- Whoever records this id right now holds the lock; after it, look again (a new statement sees what was
        -- committed).
        PERFORM pg_advisory_xact_lock(4203, hashtext(state_provider_id));
    END LOOP;

    IF found_id IS NULL THEN
        IF state_provider_id IS NOT NULL THEN
            INSERT INTO unmatched_status (source, provider_message_id, state, at, error_code, reason)
            VALUES (coalesce(state_source, ''), state_provider_id, new_state, state_at, new_error_code, new_reason)
            ON CONFLICT DO NOTHING;
        END IF;
        RETURN false;
    END IF;

    IF message_state_rank(new_state) >= 50 THEN
        SELECT o.* INTO waiting
          FROM outbox AS o
         WHERE o.message_id = found_id
           FOR UPDATE;
        IF FOUND AND waiting.state <> 'sending' THEN
            DELETE FROM outbox WHERE position = waiting.position;
            PERFORM wake_recipients(ARRAY[waiting.recipient]);
        END IF;
        SELECT d.* INTO sent_by
          FROM delivery AS d
         WHERE d.message_id = found_id AND d.created_at >= found_created_at - interval '1 day'
         ORDER BY d.created_at DESC
         LIMIT 1
           FOR UPDATE;
        IF state_provider_id IS NOT NULL THEN
            PERFORM 1 FROM message WHERE id = found_id AND created_at = found_created_at
                AND provider_message_id IS NULL;
            IF FOUND THEN
                PERFORM pg_advisory_xact_lock(4203, hashtext(state_provider_id));
                UPDATE message SET provider_message_id = state_provider_id
                 WHERE id = found_id AND created_at = found_created_at AND provider_message_id IS NULL;
                PERFORM join_unmatched_statuses(state_source, state_provider_id);
            END IF;
        END IF;
    END IF;
    PERFORM move_message(found_id, found_created_at, new_state, state_at, new_error_code, new_reason);
    IF sent_by.id IS NOT NULL AND (waiting.position IS NULL OR waiting.state <> 'sending') THEN
        UPDATE delivery AS d
           SET state = CASE m.state WHEN 'failed' THEN 'failed' ELSE 'sent' END,
               error_code = m.error_code,
               reason = m.reason,
               ended_at = coalesce(d.ended_at, clock_timestamp()),
               provider_message_id = coalesce(d.provider_message_id, state_provider_id)
          FROM message AS m
         WHERE d.id = sent_by.id AND d.created_at = sent_by.created_at
           AND m.id = found_id AND m.created_at = found_created_at AND message_state_rank(m.state) >= 50;
    END IF;
    RETURN true;
END
$$;
