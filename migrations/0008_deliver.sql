-- What leaves: claiming deliveries, recording what became of them, settling what nobody knows.
--
-- Why: order per recipient, pace per source and address, and never a blind second send, on any number of nodes.
-- Locks: none. Takes: milliseconds.
--
-- Order of row locks: source_pace, outbox, address, delivery, message, outreach.

-- Senders. Each holds a session lock of class 4206 for as long as its connection lives. Who finds the lock of a sender
-- free knows that it died, or lost its connection and is not back yet; who takes it keeps it from coming back under that
-- number meanwhile (see dead_senders).
CREATE SEQUENCE sender_number AS integer CYCLE;

-- Registers this session as a sender. `former` is the number that it had before its connection broke: it keeps that,
-- and with it what it claimed, unless somebody holds it. Returns the number.
CREATE FUNCTION deliver_start_sender(former integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    sender integer := former;
BEGIN
    WHILE sender IS NULL OR NOT pg_try_advisory_lock(4206, sender) LOOP
        sender := nextval('sender_number');
    END LOOP;
    RETURN sender;
END
$$;
COMMENT ON FUNCTION deliver_start_sender(integer) IS
    'Registers this session as one that sends, for as long as it lives; returns its number.';

-- How many sends a pace allows now (GCRA): `next_slot` is the theoretical arrival time, `burst` how many may go at
-- once.
CREATE FUNCTION slots_free(next_slot timestamptz, slot interval, burst integer, at timestamptz) RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN greatest(0, floor(extract(epoch FROM at + slot * (burst - 1) - greatest(coalesce(next_slot, at), at))
                         / extract(epoch FROM slot))::integer + 1);

-- Is there anything left to reach? The engine may not have come to the payment's event yet, but it is in the books.
CREATE FUNCTION outreach_is_over(of_outreach bigint) RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT o.state <> 'active'
               OR (o.reference <> ''
                   AND (SELECT true FROM event AS e
                         WHERE coalesce(e.doc->'payment'->>'reference', e.doc->'payment'->>'invoice',
                                        e.doc->'payment'->>'subscription', e.doc->'payment'->>'id')
                               = ANY (o.other_references || o.reference)
                           AND e.doc ? 'payment' AND e.received_at >= o.started_at
                           AND (e.type = o.goal OR e.type = ANY (o.goals)
                                OR split_part(e.type, '.', 1) || '.*' = ANY (o.goals)) LIMIT 1) IS NOT NULL)
          FROM outreach AS o WHERE o.id = of_outreach);

-- Of one source: up to `most` deliveries that may leave now (`claimed`, in order), those that need not leave any more
-- (`over`), and when to look at this source again. What it finds is locked.
--
-- Only the first one to a recipient is claimed; the others found due are put behind it and do not come up again before
-- it is gone. That is safe because the first one is locked while another is put behind it: nobody can remove it, or let
-- it step out of the line, and so miss to wake the other. `room` of a pace says how many may be in flight at once.
CREATE FUNCTION claim_from_source(from_source text, most integer, pace jsonb, now_at timestamptz,
                                  OUT claimed bigint[], OUT over bigint[], OUT next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    slot constant interval := make_interval(secs => 1 / nullif((pace->>'per_second')::double precision, 0));
    -- Looked at a few times a second, a source must be allowed a few sends at once to reach its rate.
    burst constant integer := greatest(1, coalesce((pace->>'burst')::integer,
        ceil((pace->>'per_second')::numeric / 4)::integer));
    address_slot constant interval := make_interval(secs => nullif((pace->>'address_interval_ms')::double precision,
        0) / 1000);
    address_burst constant integer := greatest(1, coalesce((pace->>'address_burst')::integer, 1));
    -- After which to come back to something that another session holds. Nothing here waits for a row: the others hold
    -- what they need in other orders.
    a_moment constant interval := interval '20 milliseconds';
    quota integer := least(most, (pace->>'room')::integer);
    window_size integer;
    looked_at integer;
    source_free_at timestamptz;
    address_free_at timestamptz;
    held source_pace;
    entry record;
BEGIN
    claimed := '{}';
    over := '{}';
    IF quota <= 0 THEN
        RETURN; -- who waits for an answer looks again when it comes
    END IF;
    SELECT o.due_at INTO next_due
      FROM outbox AS o WHERE o.state = 'waiting' AND o.source = from_source ORDER BY o.due_at LIMIT 1;
    IF NOT FOUND OR next_due > now_at THEN
        RETURN;
    END IF;

    -- One claimer at a time for a source: pace and order are decided under this lock.
    INSERT INTO source_pace (source) VALUES (from_source) ON CONFLICT DO NOTHING;
    SELECT p.* INTO held FROM source_pace AS p WHERE p.source = from_source FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        next_due := now_at + a_moment;
        RETURN;
    END IF;
    IF held.paused_until > now_at THEN
        next_due := held.paused_until;
        RETURN;
    END IF;
    IF slot IS NOT NULL THEN
        quota := least(quota, slots_free(held.next_slot_at, slot, burst, now_at));
        IF quota = 0 THEN
            next_due := held.next_slot_at - slot * (burst - 1);
            RETURN;
        END IF;
    END IF;

    window_size := quota * 2 + 8;
    FOR round IN 1 .. 4 LOOP
        looked_at := 0;
        FOR entry IN
            SELECT o.position, o.outreach_id, o.cancel_wanted, d.identity,
                   (SELECT x.position FROM outbox AS x
                     WHERE x.recipient = o.recipient AND x.position < o.position AND x.in_line
                     ORDER BY x.position LIMIT 1) AS first
              FROM outbox AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE o.state = 'waiting' AND o.source = from_source AND o.due_at <= now_at
               AND o.position <> ALL (claimed) AND o.position <> ALL (over)
             ORDER BY o.due_at, o.position
             LIMIT window_size
               FOR UPDATE OF o SKIP LOCKED
        LOOP
            looked_at := looked_at + 1;
            EXIT WHEN cardinality(claimed) >= quota;
            IF entry.first IS NOT NULL THEN
                PERFORM 1 FROM outbox AS x WHERE x.position = entry.first AND x.in_line FOR UPDATE SKIP LOCKED;
                IF FOUND THEN
                    UPDATE outbox SET state = 'behind' WHERE position = entry.position;
                END IF;
            ELSIF entry.cancel_wanted OR coalesce(outreach_is_over(entry.outreach_id), false) THEN
                over := over || entry.position;
            ELSIF address_slot IS NULL OR entry.identity IS NULL THEN
                claimed := claimed || entry.position;
            ELSE
                SELECT a.next_slot_at - address_slot * (address_burst - 1) INTO address_free_at
                  FROM address AS a WHERE a.source = from_source AND a.identity = entry.identity
                   FOR NO KEY UPDATE SKIP LOCKED;
                IF NOT FOUND AND EXISTS (SELECT 1 FROM address WHERE source = from_source
                    AND identity = entry.identity) THEN
                    CONTINUE;
                ELSIF address_free_at > now_at THEN
                    UPDATE outbox SET due_at = address_free_at WHERE position = entry.position;
                ELSE
                    UPDATE address SET next_slot_at = greatest(coalesce(next_slot_at, now_at), now_at) + address_slot
                     WHERE source = from_source AND identity = entry.identity;
                    claimed := claimed || entry.position;
                END IF;
            END IF;
        END LOOP;
        EXIT WHEN cardinality(claimed) >= quota OR looked_at < window_size;
    END LOOP;

    IF slot IS NOT NULL AND cardinality(claimed) > 0 THEN
        UPDATE source_pace SET next_slot_at = greatest(next_slot_at, now_at) + slot * cardinality(claimed)
         WHERE source = from_source
        RETURNING next_slot_at - slot * (burst - 1) INTO source_free_at;
    END IF;
    SELECT greatest(o.due_at, source_free_at, CASE WHEN cardinality(claimed) = 0
        THEN now_at + a_moment END) INTO next_due
      FROM outbox AS o
     WHERE o.state = 'waiting' AND o.source = from_source AND o.position <> ALL (claimed) AND o.position <> ALL (over)
     ORDER BY o.due_at LIMIT 1;
END
$$;

-- Claims up to `most` due deliveries. One row: the deliveries as an array in the order to start them, and when to look
-- again (NULL: nothing waits). `paces` is {source: {per_second, burst?, address_interval_ms, address_burst, room?}}; a
-- source that is not in it has none. Each source is looked at for itself, so that a paused or slow one with a long queue
-- delays no other. `sender` is the number under which this session was registered.
CREATE FUNCTION deliver_claim(most integer, lease interval, paces jsonb DEFAULT '{}', sender integer DEFAULT NULL)
RETURNS TABLE (deliveries json, next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    now_at constant timestamptz := clock_timestamp();
    sources text[];
    target text;
    mine record;
    soonest timestamptz;
    claimed bigint[] := '{}';
    over bigint[] := '{}';
BEGIN
    WITH RECURSIVE waiting (source) AS (
        (SELECT o.source FROM outbox AS o WHERE o.state = 'waiting' ORDER BY o.source LIMIT 1)
         UNION ALL
        SELECT (SELECT o.source FROM outbox AS o WHERE o.state = 'waiting' AND o.source > w.source
            ORDER BY o.source LIMIT 1)
          FROM waiting AS w WHERE w.source IS NOT NULL)
    SELECT array_agg(w.source ORDER BY random()) INTO sources FROM waiting AS w WHERE w.source IS NOT NULL;
    IF sources IS NULL THEN
        RETURN QUERY SELECT '[]'::json, NULL::timestamptz;
        RETURN;
    END IF;
    FOREACH target IN ARRAY sources LOOP
        IF cardinality(claimed) >= most THEN
            soonest := now_at;
            EXIT;
        END IF;
        SELECT c.* INTO mine
          FROM claim_from_source(target, least(most - cardinality(claimed), greatest(1, most / cardinality(sources))),
                                 coalesce(paces->target, '{}'), now_at) AS c;
        claimed := claimed || mine.claimed;
        over := over || mine.over;
        soonest := least(soonest, mine.next_due);
    END LOOP;

    IF cardinality(over) > 0 THEN
        PERFORM end_delivery(o.position, 'canceled', 'goal_reached', 'what it was for is over') FROM outbox AS o
            WHERE o.position = ANY (over);
    END IF;

    UPDATE outbox AS o SET state = 'sending', attempts = o.attempts + 1, lease_until = clock_timestamp() + lease,
                             claimed_by = sender
     WHERE o.position = ANY (claimed);
    UPDATE delivery AS d
       SET state = 'sending', attempts = o.attempts, first_attempt_at = coalesce(d.first_attempt_at, now_at),
           last_attempt_at = now_at
      FROM outbox AS o
     WHERE o.position = ANY (claimed) AND d.id = o.delivery_id AND d.created_at = o.delivery_created_at;
    UPDATE message AS m SET state = 'sending'
      FROM outbox AS o JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
     WHERE o.position = ANY (claimed) AND m.id = d.message_id AND m.created_at = d.message_created_at
         AND m.state = 'queued';

    RETURN QUERY
    SELECT (SELECT coalesce(json_agg(json_build_object(
                'id', d.id, 'created_at', d.created_at, 'kind', d.kind, 'source', d.source, 'endpoint', d.endpoint,
                'identity', d.identity, 'recipient', o.recipient, 'contact_id', d.contact_id, 'conversation_id',
                    d.conversation_id,
                'message_id', d.message_id, 'message_created_at', d.message_created_at, 'outreach_id', d.outreach_id,
                'topic', d.topic, 'event_id', d.event_id, 'rule', d.rule, 'request', d.request,
                'attempts', o.attempts - 1, 'first_attempt_at', d.first_attempt_at, 'lease_until', o.lease_until,
                'address', (SELECT a FROM address AS a WHERE a.source = d.source AND a.identity = d.identity),
                'contact', (SELECT c FROM contact AS c
                    WHERE c.id = coalesce((surviving_contacts(ARRAY[d.contact_id]))[1], d.contact_id)))
                ORDER BY array_position(claimed, o.position)), '[]')
              FROM outbox AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE o.position = ANY (claimed)),
           soonest;
END
$$;
COMMENT ON FUNCTION deliver_claim(integer, interval, jsonb, integer) IS
    'Claims due deliveries under a lease: the first to each recipient, within the paces, unless their goal is reached.';

-- Takes a delivery out of the outbox for good; the message's ledger moves along.
CREATE FUNCTION end_delivery(at_position bigint, final_state text, code text, why text,
    message_state text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    gone outbox;
    ended delivery;
BEGIN
    DELETE FROM outbox WHERE position = at_position RETURNING * INTO gone;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM wake_recipients(ARRAY[gone.recipient]);
    UPDATE delivery SET state = final_state, error_code = code, reason = why, ended_at = clock_timestamp()
     WHERE id = gone.delivery_id AND created_at = gone.delivery_created_at
    RETURNING * INTO ended;
    IF ended.message_id IS NOT NULL THEN
        PERFORM move_message(ended.message_id, ended.message_created_at,
                             coalesce(message_state, CASE final_state WHEN 'parked' THEN 'failed' ELSE final_state END),
                             clock_timestamp(), code, why);
    END IF;
    IF ended.message_id IS NOT NULL AND final_state IN ('failed', 'parked', 'blocked') THEN
        PERFORM report_undelivered(ended, CASE final_state WHEN 'blocked' THEN 'blocked' ELSE 'failed' END, code, why);
    END IF;
END
$$;

-- A message that will not arrive is an event, whether the provider says so at once or by a webhook later: rules may
-- react, and an outreach goes on by another channel. Its depth counts on from what made us send, so that a rule that
-- answers each failure with another message comes to an end.
CREATE FUNCTION report_undelivered(ended delivery, state text, code text, why text) RETURNS void
LANGUAGE sql
AS $$
    SELECT append_own_events(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
               'type', 'message.status', 'source', ended.source, 'provider', 'answerd',
               'key', 'delivery:' || ended.id || ':' || state, 'occurred_at', clock_timestamp(),
               'lane', coalesce((SELECT c.lane FROM contact AS c WHERE c.id = ended.contact_id), 0),
               'contact_id', ended.contact_id, 'conversation_id', ended.conversation_id,
               'status', jsonb_build_object('message_id', ended.provider_message_id, 'echo', ended.id::text, 'state',
                   state,
                                            'error', jsonb_build_object('code', coalesce(code, ''), 'title', why)),
               'cause', jsonb_build_object('event', ended.event_id, 'rule', ended.rule, 'depth', 1 + coalesce((
                   SELECT e.depth FROM event AS e WHERE e.id = ended.event_id
                       AND e.received_at > now() - interval '62 days'
                    LIMIT 1), 0))))))
$$;
