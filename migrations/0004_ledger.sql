-- The delivery ledger of messages: what is known of each message that went out, by precedence and never by arrival.
--
-- Why: providers report out of order, more than once, and sometimes before the answer to our own call.
-- Locks: none. Takes: milliseconds.
--
-- Order of row locks everywhere: outbox, delivery, message, outreach.

-- Whoever comes higher stays. 'failed' gives way to the proof that the message arrived after all.
CREATE FUNCTION message_state_rank(state text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE state WHEN 'queued' THEN 10 WHEN 'sending' THEN 20 WHEN 'blocked' THEN 30 WHEN 'canceled' THEN 30
                  WHEN 'unknown' THEN 40 WHEN 'sent' THEN 50 WHEN 'failed' THEN 60 WHEN 'delivered' THEN 70
                  WHEN 'read' THEN 80 WHEN 'played' THEN 80 END;

-- Wakes the next one to a recipient when it was waiting behind one that is gone. To be called, as a statement of its
-- own, after rows left the outbox or its line: then it sees whoever was put behind meanwhile (see deliver_claim).
CREATE FUNCTION wake_recipients(recipients text[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE outbox AS o SET state = 'waiting'
      FROM (SELECT DISTINCT r FROM unnest(recipients) AS r ORDER BY r) AS given
     CROSS JOIN LATERAL (SELECT position, state FROM outbox WHERE recipient = given.r AND in_line ORDER BY position LIMIT 1)
           AS head
     WHERE o.position = head.position AND head.state = 'behind' AND o.state = 'behind';
END
$$;

-- Moves one message, known by its primary key, and what hangs on it. Idempotent; the order of calls does not matter.
CREATE FUNCTION move_message(wanted_id bigint, wanted_created_at timestamptz, new_state text, state_at timestamptz,
                             new_error_code text DEFAULT NULL, new_reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    target text := CASE new_state WHEN 'played' THEN 'read' ELSE new_state END;
    rank constant integer := message_state_rank(new_state);
    outreach bigint;
BEGIN
    IF rank IS NULL THEN
        RAISE EXCEPTION 'a message cannot be "%"', new_state USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE message AS m
       SET state = CASE WHEN message_state_rank(m.state) < rank THEN target ELSE m.state END,
           error_code = CASE WHEN message_state_rank(m.state) < rank THEN new_error_code ELSE m.error_code END,
           reason = CASE WHEN message_state_rank(m.state) < rank THEN new_reason ELSE m.reason END,
           sent_at = CASE WHEN target = 'sent' THEN least(m.sent_at, state_at) ELSE m.sent_at END,
           delivered_at = CASE WHEN target = 'delivered' THEN least(m.delivered_at, state_at) ELSE m.delivered_at END,
           read_at = CASE WHEN target = 'read' THEN least(m.read_at, state_at) ELSE m.read_at END,
           failed_at = CASE WHEN target = 'failed' THEN least(m.failed_at, state_at) ELSE m.failed_at END
     WHERE m.id = wanted_id AND m.created_at = wanted_created_at AND m.direction = 'out'
    RETURNING m.outreach_id INTO outreach;
    IF outreach IS NOT NULL AND target IN ('delivered', 'read') THEN
        UPDATE outreach AS o SET reached_at = least(o.reached_at, state_at)
         WHERE o.id = outreach AND (o.reached_at IS NULL OR o.reached_at > state_at);
    END IF;
END
$$;

-- When a message left at the latest. The provider's own time of it lies between this and its answer to us.
CREATE FUNCTION message_left_at(m message) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN date_trunc('milliseconds', coalesce(
    (SELECT max(d.last_attempt_at) FROM delivery AS d
      WHERE d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'), m.sent_at, m.occurred_at));

-- Some providers name no messages: everything that was sent to this address until `up_to` was delivered or read. It
-- says nothing of sends that failed or of which nobody knows whether they happened. Returns how many messages it moved.
--
-- What is being sent at the moment may have been read already: the sender finds the time at the address when it records
-- the provider's answer (accept_delivery). Each of the two waits for the other at the outbox: neither is missed.
CREATE FUNCTION apply_watermark(of_source text, of_identity text, new_state text, up_to timestamptz,
                                state_at timestamptz) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    is_read constant boolean := new_state IN ('read', 'played');
    entry record;
    moved integer := 0;
BEGIN
    IF new_state NOT IN ('delivered', 'read', 'played') THEN
        RAISE EXCEPTION 'messages up to a time cannot be "%"', new_state USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM 1 FROM outbox AS o WHERE o.recipient = of_source || ' ' || of_identity AND o.state IN ('sending', 'unknown')
      ORDER BY o.position FOR UPDATE;
    UPDATE address AS a
       SET delivered_up_to = greatest(a.delivered_up_to, up_to),
           read_up_to = CASE WHEN is_read THEN greatest(a.read_up_to, up_to) ELSE a.read_up_to END
     WHERE a.source = of_source AND a.identity = of_identity;
    -- No provider lets us write for longer than a week after the customer did.
    FOR entry IN
        SELECT m.id, m.created_at
          FROM address AS a
          JOIN conversation AS v ON v.contact_id = a.contact_id
         CROSS JOIN LATERAL (SELECT x.* FROM message AS x
                              WHERE x.conversation_id = v.id
                                AND x.created_at BETWEEN up_to - interval '14 days' AND up_to OFFSET 0) AS m
         WHERE a.source = of_source AND a.identity = of_identity AND v.updated_at > up_to - interval '14 days'
           AND m.direction = 'out' AND m.source = of_source AND m.identity = of_identity
           AND (m.state = 'sent' OR (m.state = 'delivered' AND is_read)) AND message_left_at(m) <= up_to
         ORDER BY m.id
    LOOP
        PERFORM move_message(entry.id, entry.created_at, new_state, state_at);
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION apply_watermark(text, text, text, timestamptz, timestamptz) IS
    'Moves the ledger of everything that was sent to an address until a time.';

-- What a provider says about a message: by our echo (the delivery's id), by the provider's own id, or by primary key.
-- Returns false when the message is not known (yet): the status is kept then, and joined when the id is recorded.
--
-- The provider's word ends what we did not know: an unknown or waiting send of that message is over.
CREATE FUNCTION apply_message_state(state_source text, state_provider_id text, echo_delivery_id bigint,
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
        IF echo_delivery_id IS NOT NULL THEN
            SELECT d.message_id, d.message_created_at INTO found_id, found_created_at
              FROM delivery AS d
             WHERE d.id = echo_delivery_id AND d.kind = 'message' AND (state_source IS NULL OR d.source = state_source)
               AND d.created_at > now() - interval '62 days';
        END IF;
        IF found_id IS NULL AND known_id IS NOT NULL THEN
            SELECT m.id, m.created_at INTO found_id, found_created_at
              FROM message AS m
             WHERE m.id = known_id AND m.direction = 'out' AND (known_created_at IS NULL
                 OR m.created_at = known_created_at);
        END IF;
        IF found_id IS NULL AND state_provider_id IS NOT NULL THEN
            SELECT m.id, m.created_at INTO found_id, found_created_at
              FROM message AS m
             WHERE m.provider_message_id = state_provider_id AND m.source = state_source AND m.direction = 'out'
               AND m.created_at > now() - interval '62 days'
             ORDER BY m.created_at DESC
             LIMIT 1;
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
COMMENT ON FUNCTION apply_message_state(text, text, bigint, text, timestamptz, text, text, bigint, timestamptz) IS
    'Moves the ledger of one message by precedence; keeps what it cannot match. The order of calls does not matter.';

-- What was said about a message before we knew that the id was ours. The caller holds the id's advisory lock.
CREATE FUNCTION join_unmatched_statuses(state_source text, state_provider_id text) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    status record;
    joined integer := 0;
BEGIN
    FOR status IN
        DELETE FROM unmatched_status AS u
         WHERE u.source = state_source AND u.provider_message_id = state_provider_id
        RETURNING u.*
    LOOP
        PERFORM apply_message_state(state_source, state_provider_id, NULL, status.state, status.at, status.error_code,
            status.reason);
        joined := joined + 1;
    END LOOP;
    RETURN joined;
END
$$;
