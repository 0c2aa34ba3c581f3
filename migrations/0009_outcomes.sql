-- What became of a delivery: recorded by the sender, or settled when nobody can say.
--
-- Why: a send whose outcome is unknown is never simply sent again.
-- Locks: none. Takes: milliseconds.

-- Nothing leaves to this source or endpoint ('endpoint NAME') before that time; the longest pause wins.
CREATE FUNCTION pause_source(name text, until timestamptz, why text) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO source_pace AS p (source, paused_until, paused_reason) VALUES (name, until, why)
    ON CONFLICT (source) DO UPDATE SET paused_until = greatest(p.paused_until, excluded.paused_until),
        paused_reason = excluded.paused_reason
$$;

CREATE FUNCTION resume_source(name text) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE source_pace SET paused_until = NULL, paused_reason = NULL
     WHERE source IN (name, 'endpoint ' || name) AND paused_until > clock_timestamp();
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION resume_source(text) IS 'Lets a paused source or endpoint send again; false when it was not paused.';

-- The provider took a delivery. True whatever we believed before; the provider's later statuses say more.
CREATE FUNCTION accept_delivery(d delivery, doc jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    provider_id constant text := doc->>'provider_message_id';
    gone text;
BEGIN
    IF provider_id IS NOT NULL AND d.message_id IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(4203, hashtext(provider_id));
        UPDATE message SET provider_message_id = coalesce(provider_message_id, provider_id)
         WHERE id = d.message_id AND created_at = d.message_created_at;
    END IF;
    DELETE FROM outbox WHERE delivery_id = d.id RETURNING recipient INTO gone;
    IF FOUND THEN
        PERFORM wake_recipients(ARRAY[gone]);
    END IF;
    UPDATE delivery SET state = 'sent', sent_as = coalesce(doc->>'sent_as', sent_as), error_code = NULL, reason = NULL,
                        provider_message_id = coalesce(provider_id, provider_message_id), ended_at = clock_timestamp()
     WHERE id = d.id AND created_at = d.created_at;
    IF d.message_id IS NULL THEN
        RETURN;
    END IF;
    PERFORM move_message(d.message_id, d.message_created_at, 'sent', clock_timestamp());
    PERFORM move_message(d.message_id, d.message_created_at, CASE WHEN w.is_read THEN 'read' ELSE 'delivered' END,
                         w.up_to)
       FROM (SELECT a.read_up_to >= left_at AS is_read,
                    CASE WHEN a.read_up_to >= left_at THEN a.read_up_to ELSE a.delivered_up_to END AS up_to
               FROM address AS a, date_trunc('milliseconds', d.last_attempt_at) AS left_at
              WHERE a.source = d.source AND a.identity = d.identity AND a.delivered_up_to >= left_at) AS w;
    IF provider_id IS NOT NULL THEN
        PERFORM join_unmatched_statuses(d.source, provider_id);
    END IF;
    UPDATE delivery AS x SET state = 'failed', error_code = m.error_code, reason = m.reason
      FROM message AS m
     WHERE x.id = d.id AND x.created_at = d.created_at AND m.id = d.message_id AND m.created_at = d.message_created_at
       AND m.state = 'failed';
END
$$;

-- Records outcomes: an array of {id, created_at, number, outcome, …}.
--   number                                which attempt this was (1 for the first). Of one that counts as unknown since,
--                                         the sender knows better; of one that was settled since, it is only noted
--   outcome       sent | retry | parked | failed | blocked | canceled | unknown | postponed
--   due_at        of retry and postponed (which does not count as an attempt)
--   sent_as, provider_message_id, error_code, reason
--   started_at, duration_ms, status       of the HTTP call; without duration_ms nothing left
--   unreachable, opted_out: true          what the provider said of the address and of the contact
--   new_recipient                         where to write to instead
--   pause_source_ms, disable_endpoint     nothing more to this source for so long, or until somebody resumes it
-- Idempotent: said twice, or after the truth came by another way, it changes nothing more.
CREATE FUNCTION deliver_record(outcomes jsonb) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
    o outbox;
    d delivery;
    what text;
    current boolean;
    recorded integer := 0;
BEGIN
    -- Locks first, in the order that deliver_claim takes them.
    FOR entry IN
        SELECT DISTINCT ON (1) CASE x.kind WHEN 'webhook' THEN 'endpoint ' || x.endpoint ELSE x.source END AS name,
               CASE WHEN r.disable_endpoint THEN 'infinity'
                    ELSE clock_timestamp() + make_interval(secs => r.pause_source_ms / 1000.0) END AS until, r.reason
          FROM jsonb_to_recordset(outcomes)
               AS r (id bigint, created_at timestamptz, pause_source_ms bigint, disable_endpoint boolean, reason text)
          JOIN delivery AS x ON x.id = r.id AND x.created_at = r.created_at
         WHERE r.pause_source_ms > 0 OR r.disable_endpoint
         ORDER BY 1, 2 DESC
    LOOP
        PERFORM pause_source(entry.name, entry.until, entry.reason);
    END LOOP;
    PERFORM 1 FROM outbox AS b
      WHERE b.delivery_id IN (SELECT r.id FROM jsonb_to_recordset(outcomes) AS r (id bigint))
          ORDER BY b.position FOR UPDATE;

    FOR entry IN
        SELECT r.*, x.doc
          FROM jsonb_array_elements(outcomes) WITH ORDINALITY AS x (doc, n)
         CROSS JOIN LATERAL jsonb_to_record(x.doc)
               AS r (id bigint, created_at timestamptz, number integer, outcome text, due_at timestamptz, sent_as text,
                     error_code text, reason text, started_at timestamptz, duration_ms integer, status integer,
                     unreachable boolean, opted_out boolean, new_recipient text, provider_message_id text)
         ORDER BY x.n
    LOOP
        what := CASE entry.outcome WHEN 'accepted' THEN 'sent' WHEN 'refused' THEN 'failed' ELSE entry.outcome END;
        IF what NOT IN ('sent', 'retry', 'parked', 'failed', 'blocked', 'canceled', 'unknown', 'postponed') THEN
            RAISE EXCEPTION 'a delivery cannot end as "%"', entry.outcome USING ERRCODE = 'invalid_parameter_value';
        END IF;
        SELECT x.* INTO d FROM delivery AS x WHERE x.id = entry.id AND x.created_at = entry.created_at FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        SELECT b.* INTO o FROM outbox AS b WHERE b.delivery_id = entry.id;
        IF o.position IS NULL AND d.state = 'unknown' AND d.attempts = entry.number AND what <> 'unknown' THEN
            o := take_back(d);
        END IF;
        current := o.position IS NOT NULL AND o.state IN ('sending', 'unknown')
                   AND o.attempts = coalesce(entry.number, o.attempts);
        IF entry.duration_ms IS NOT NULL THEN
            IF current AND o.claimed_by IS NOT NULL THEN
                DELETE FROM attempt AS a WHERE a.delivery_id = d.id AND a.started_at = d.last_attempt_at
                    AND a.outcome = 'unknown' AND a.duration_ms IS NULL; -- what others took for its death
            END IF;
            INSERT INTO attempt (delivery_id, number, started_at, duration_ms, status, outcome, error_code, reason)
            VALUES (entry.id, coalesce(entry.number, d.attempts), coalesce(entry.started_at, d.last_attempt_at, now()),
                    entry.duration_ms, entry.status, what, entry.error_code, entry.reason)
            ON CONFLICT DO NOTHING;
        ELSIF current THEN
            -- It was claimed, but nothing left: that was no attempt.
            UPDATE delivery SET attempts = greatest(0, attempts - 1) WHERE id = d.id AND created_at = d.created_at;
            UPDATE outbox SET attempts = greatest(0, attempts - 1) WHERE position = o.position AND what IN ('postponed',
                'retry');
        END IF;
        recorded := recorded + 1;

        IF entry.unreachable THEN
            UPDATE address SET unreachable_at = clock_timestamp(), unreachable_reason = coalesce(entry.reason,
                entry.error_code)
             WHERE source = d.source AND identity = d.identity;
        END IF;
        IF entry.opted_out THEN
            PERFORM opt_out_contact(d.contact_id, coalesce(d.topic, 'all'), d.source, entry.reason);
        END IF;
        IF entry.new_recipient <> '' THEN
            UPDATE address SET recipient = entry.new_recipient WHERE source = d.source AND identity = d.identity;
            UPDATE delivery SET request = jsonb_set(request, '{to,recipient}', to_jsonb(entry.new_recipient))
             WHERE id = d.id AND created_at = d.created_at AND request ? 'to';
        END IF;

        IF what = 'sent' THEN
            PERFORM accept_delivery(d, entry.doc);
            CONTINUE;
        END IF;
        CONTINUE WHEN NOT current;
        UPDATE delivery SET sent_as = coalesce(entry.sent_as, sent_as) WHERE id = d.id AND created_at = d.created_at;
        IF o.state = 'unknown' AND what <> 'unknown' THEN
            UPDATE message SET state = 'sending', error_code = NULL, reason = NULL
             WHERE id = d.message_id AND created_at = d.message_created_at AND state = 'unknown';
        END IF;
        IF o.cancel_wanted AND what IN ('retry', 'postponed') THEN
            PERFORM end_delivery(o.position, 'canceled', NULL, 'no longer needed');
        ELSIF what IN ('retry', 'postponed') THEN
            PERFORM wait_again(o, coalesce(entry.due_at, now()));
            UPDATE delivery SET state = CASE what WHEN 'retry' THEN 'retrying' ELSE 'queued' END,
                                error_code = entry.error_code, reason = entry.reason
             WHERE id = d.id AND created_at = d.created_at;
        ELSIF what = 'unknown' THEN
            PERFORM mark_unknown(o, entry.error_code, entry.reason);
        ELSE
            PERFORM end_delivery(o.position, what, entry.error_code, entry.reason);
        END IF;
    END LOOP;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION deliver_record(jsonb) IS 'Records what became of attempts at deliveries. Idempotent.';

-- It keeps its place, and those behind it wait again.
CREATE FUNCTION wait_again(o outbox, at timestamptz) RETURNS void
LANGUAGE sql
AS $$
    UPDATE outbox SET state = 'waiting', due_at = at, in_line = true, lease_until = NULL, claimed_by = NULL
     WHERE position = o.position
$$;

-- What order and pace of a delivery go by.
CREATE FUNCTION delivery_target(d delivery, OUT recipient text, OUT source text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE d.kind WHEN 'webhook' THEN 'endpoint ' || d.endpoint ELSE d.source || ' ' || d.identity END,
           CASE d.kind WHEN 'webhook' THEN 'endpoint ' || d.endpoint ELSE d.source END
$$;

-- It had ended as unknown, and now somebody knows better. Nobody waits for it.
CREATE FUNCTION take_back(d delivery) RETURNS outbox
LANGUAGE sql
AS $$
    UPDATE delivery SET ended_at = NULL WHERE id = d.id AND created_at = d.created_at;
    INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, outreach_id, contact_id, message_id,
                        attempts, state, in_line, lease_until)
    SELECT d.id, d.created_at, t.recipient, t.source, d.outreach_id, d.contact_id, d.message_id, d.attempts, 'unknown',
           false, clock_timestamp()
      FROM delivery_target(d) AS t
    RETURNING outbox.*
$$;

-- What becomes of a delivery when nobody tells its outcome. Nobody wants one any more that was canceled meanwhile;
-- outgoing webhooks carry an id by which the receiver knows a double.
CREATE FUNCTION unknown_policy(o outbox, d delivery) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN o.cancel_wanted THEN 'hold' WHEN d.kind = 'webhook' THEN 'resend'
            ELSE coalesce(d.request->>'on_unknown', 'hold') END;

-- Nobody can say whether it arrived. Its time as unknown begins. `sender` is the one that ended before it could tell.
-- The next ones to its recipient wait only when it may be sent again: otherwise there is no order left to keep.
CREATE FUNCTION mark_unknown(o outbox, code text, why text, sender integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    d delivery;
BEGIN
    SELECT x.* INTO d FROM delivery AS x WHERE x.id = o.delivery_id AND x.created_at = o.delivery_created_at;
    UPDATE outbox SET state = 'unknown', lease_until = clock_timestamp(), claimed_by = sender
     WHERE position = o.position;
    IF unknown_policy(o, d) <> 'resend' THEN
        PERFORM leave_line(o);
    END IF;
    UPDATE delivery SET state = 'unknown', error_code = code, reason = why
     WHERE id = o.delivery_id AND created_at = o.delivery_created_at;
    IF d.message_id IS NOT NULL THEN
        PERFORM move_message(d.message_id, d.message_created_at, 'unknown', clock_timestamp(), code, why);
    END IF;
END
$$;

CREATE FUNCTION leave_line(o outbox) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE outbox SET in_line = false WHERE position = o.position AND in_line;
    PERFORM wake_recipients(ARRAY[o.recipient]);
END
$$;

-- What the provider reported of a contact, with the event that a rule's opt-out raises, too.
CREATE FUNCTION opt_out_contact(of_contact bigint, topic text, by_source text, why text) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    who contact;
BEGIN
    UPDATE contact SET opted_out = opted_out || topic, opted_out_at = clock_timestamp(), updated_at = clock_timestamp()
     WHERE id = coalesce((surviving_contacts(ARRAY[of_contact]))[1], of_contact) AND NOT topic = ANY (opted_out)
    RETURNING * INTO who;
    IF FOUND THEN
        PERFORM append_own_events(jsonb_build_array(jsonb_build_object(
            'type', 'contact.opted_out', 'source', 'answerd', 'provider', 'answerd', 'key', 'optout:' || who.id || ':'
                || topic,
            'occurred_at', clock_timestamp(), 'lane', who.lane, 'contact_id', who.id,
            'body', jsonb_build_object('topic', topic, 'source', by_source, 'reason', why))));
    END IF;
END
$$;

-- The senders among those with something in hand whose lock is free; `asking` is the session's own number. Until the
-- transaction ends, none of them can come back under its number and claim more.
CREATE FUNCTION dead_senders(asking integer) RETURNS integer[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    sender integer;
    dead integer[] := '{}';
BEGIN
    FOR sender IN
        SELECT DISTINCT b.claimed_by FROM outbox AS b WHERE b.state = 'sending' AND b.claimed_by IS NOT NULL
    LOOP
        -- A session's own lock would be granted to it again.
        IF sender IS DISTINCT FROM asking AND pg_try_advisory_xact_lock(4206, sender) THEN
            dead := dead || sender;
        END IF;
    END LOOP;
    RETURN dead;
END
$$;

-- What a dead sender left behind becomes unknown: at once when its connection is gone, and after its lease when it
-- keeps a connection and says nothing. What was unknown for `settle_after` ends as its request says:
--   resend   it is sent again (at most five times in all), which may be the second time
--   give_up  it failed
--   hold     it stays unknown; the provider's echo may still tell
-- Outgoing webhooks do not wait that long. `asking` is the number of the sender that asks. Returns how many changed.
CREATE FUNCTION deliver_settle(settle_after interval, asking integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    d delivery;
    policy text;
    proof text;
    -- It may have lost its connection only, and still tell.
    patience constant interval := interval '5 seconds';
    dead constant integer[] := dead_senders(asking);
    settled bigint := 0;
BEGIN
    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'sending' AND (b.lease_until < clock_timestamp() OR b.claimed_by = ANY (dead))
         ORDER BY b.lease_until LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        settled := settled + 1;
        INSERT INTO attempt (delivery_id, number, started_at, outcome, reason)
        SELECT x.id, o.attempts, coalesce(x.last_attempt_at, now()), 'unknown', 'the sender ended before it could tell'
          FROM delivery AS x WHERE x.id = o.delivery_id AND x.created_at = o.delivery_created_at
        ON CONFLICT DO NOTHING;
        PERFORM mark_unknown(o, NULL, 'the sender ended before it could tell', o.claimed_by);
    END LOOP;

    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'unknown'
         ORDER BY b.lease_until LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        SELECT x.* INTO d FROM delivery AS x WHERE x.id = o.delivery_id
            AND x.created_at = o.delivery_created_at FOR UPDATE;
        -- The provider may have told while the row was still marked as being sent.
        SELECT m.state INTO proof FROM message AS m WHERE m.id = d.message_id AND m.created_at = d.message_created_at;
        IF message_state_rank(proof) >= 50 THEN
            PERFORM end_delivery(o.position, CASE proof WHEN 'failed' THEN 'failed' ELSE 'sent' END, d.error_code,
                                 CASE proof WHEN 'failed' THEN d.reason END, proof);
            settled := settled + 1;
            CONTINUE;
        END IF;
        policy := unknown_policy(o, d);
        IF o.in_line AND policy <> 'resend' THEN
            PERFORM leave_line(o); -- it was canceled meanwhile
        END IF;
        CONTINUE WHEN clock_timestamp() < o.lease_until
            + CASE WHEN d.kind = 'message' THEN settle_after WHEN o.claimed_by IS NULL THEN '0' ELSE patience END;
        settled := settled + 1;
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
    END LOOP;
    RETURN settled;
END
$$;
COMMENT ON FUNCTION deliver_settle(interval, integer) IS
    'Finds what dead senders left behind; ends what nobody knows the outcome of, by the policy in its request.';

-- Somebody wants a delivery tried again that ended without success: its ledger starts over. Returns the state that it
-- was in; it is queued again when that is one of failed, parked, blocked, unknown, canceled. NULL: there is no such
-- delivery.
CREATE FUNCTION retry_delivery(of_delivery bigint) RETURNS text
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
    IF o.position IS NOT NULL THEN
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
COMMENT ON FUNCTION retry_delivery(bigint) IS
    'Queues a delivery again that ended without success; returns the state it was in.';
