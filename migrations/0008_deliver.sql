-- What leaves: claiming deliveries, recording what became of them, settling what nobody knows.
--
-- Why: order per recipient, pace per source and address, and never a blind second send, on any number of nodes.
-- Locks: none. Takes: milliseconds.
--
-- Order of row locks: source_pace, outbox, address, delivery, message, outreach.

-- How many sends a pace allows now (GCRA): `next_slot` is the theoretical arrival time, `burst` how many may go at once.
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
                         WHERE coalesce(e.doc->'payment'->>'invoice', e.doc->'payment'->>'subscription', e.doc->'payment'->>'id') = o.reference
                           AND e.doc ? 'payment' AND e.type = o.goal AND e.received_at >= o.started_at LIMIT 1) IS NOT NULL)
          FROM outreach AS o WHERE o.id = of_outreach);

-- Claims up to `most` due deliveries. One row: the deliveries as an array in the order to start them, and when to look again
-- (NULL: nothing waits). `paces` is {source: {per_second, burst?, address_interval_ms, address_burst}}.
--
-- Each source is looked at for itself, so that a paused or slow one with a long queue delays no other. Only the first one
-- to a recipient is claimed; the others found due are put behind it and do not come up again before it is gone. That is
-- safe because the first one is locked while another is put behind it: nobody can remove it, and so miss to wake, meanwhile.
CREATE FUNCTION deliver_claim(most integer, lease interval, paces jsonb DEFAULT '{}')
RETURNS TABLE (deliveries json, next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    now_at constant timestamptz := clock_timestamp();
    room integer := most;
    target record;
    entry record;
    pace jsonb;
    slot interval;
    burst integer;
    address_slot interval;
    address_burst integer;
    allowed integer;
    quota integer;
    looked_at integer;
    rounds integer;
    free_at timestamptz;
    soonest timestamptz;
    claimed bigint[] := '{}';
    over bigint[] := '{}';
BEGIN
    FOR target IN
        WITH RECURSIVE waiting (source) AS (
            (SELECT o.source FROM outbox AS o WHERE o.state = 'waiting' ORDER BY o.source LIMIT 1)
             UNION ALL
            SELECT (SELECT o.source FROM outbox AS o WHERE o.state = 'waiting' AND o.source > w.source ORDER BY o.source LIMIT 1)
              FROM waiting AS w WHERE w.source IS NOT NULL)
        SELECT w.source, count(*) OVER () AS sources FROM waiting AS w WHERE w.source IS NOT NULL
         ORDER BY random()
    LOOP
        pace := coalesce(paces->target.source, '{}');
        slot := CASE WHEN (pace->>'per_second')::numeric > 0 THEN make_interval(secs => 1 / (pace->>'per_second')::double precision) END;
        burst := greatest(1, coalesce((pace->>'burst')::integer, ceil((pace->>'per_second')::numeric / 4)::integer));
        address_slot := CASE WHEN (pace->>'address_interval_ms')::numeric > 0
                             THEN make_interval(secs => (pace->>'address_interval_ms')::double precision / 1000) END;
        address_burst := greatest(1, coalesce((pace->>'address_burst')::integer, 1));

        -- One claimer at a time for a source: pace and order are decided under this lock.
        INSERT INTO source_pace (source) VALUES (target.source) ON CONFLICT DO NOTHING;
        SELECT p.* INTO entry FROM source_pace AS p WHERE p.source = target.source FOR UPDATE;
        SELECT least(soonest, greatest(min(o.due_at), entry.paused_until)) INTO free_at
          FROM (SELECT o.due_at FROM outbox AS o WHERE o.state = 'waiting' AND o.source = target.source
                 ORDER BY o.due_at LIMIT 1) AS o;
        IF entry.paused_until > now_at OR room <= 0 THEN
            soonest := free_at;
            CONTINUE;
        END IF;
        quota := least(room, greatest(1, most / target.sources));
        IF slot IS NOT NULL THEN
            allowed := slots_free(entry.next_slot_at, slot, burst, now_at);
            IF allowed <= 0 THEN
                soonest := least(soonest, greatest(free_at, entry.next_slot_at - slot * (burst - 1)));
                CONTINUE;
            END IF;
            quota := least(quota, allowed);
        END IF;

        rounds := 0;
        allowed := quota;
        LOOP
            rounds := rounds + 1;
            looked_at := 0;
            FOR entry IN
                SELECT o.position, o.recipient, o.outreach_id, o.cancel_wanted, d.identity,
                       (SELECT x.position FROM outbox AS x WHERE x.recipient = o.recipient AND x.position < o.position
                         ORDER BY x.position LIMIT 1) AS before
                  FROM outbox AS o
                  JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
                 WHERE o.state = 'waiting' AND o.source = target.source AND o.due_at <= now_at
                   AND o.position <> ALL (claimed) AND o.position <> ALL (over)
                 ORDER BY o.due_at, o.position
                 LIMIT allowed * 2 + 8
                   FOR UPDATE OF o SKIP LOCKED
            LOOP
                looked_at := looked_at + 1;
                EXIT WHEN quota <= 0;
                IF entry.before IS NOT NULL THEN
                    PERFORM 1 FROM outbox AS x WHERE x.position = entry.before FOR UPDATE SKIP LOCKED;
                    IF FOUND THEN
                        UPDATE outbox SET state = 'behind' WHERE position = entry.position;
                    END IF;
                    CONTINUE;
                END IF;
                IF entry.cancel_wanted OR coalesce(outreach_is_over(entry.outreach_id), false) THEN
                    over := over || entry.position;
                    CONTINUE;
                END IF;
                IF address_slot IS NOT NULL AND entry.identity IS NOT NULL THEN
                    UPDATE address AS a
                       SET next_slot_at = greatest(coalesce(a.next_slot_at, now_at), now_at) + address_slot
                     WHERE a.source = target.source AND a.identity = entry.identity
                       AND slots_free(a.next_slot_at, address_slot, address_burst, now_at) > 0;
                    IF NOT FOUND THEN
                        SELECT a.next_slot_at - address_slot * (address_burst - 1) INTO free_at
                          FROM address AS a WHERE a.source = target.source AND a.identity = entry.identity;
                        IF FOUND THEN
                            UPDATE outbox SET due_at = free_at WHERE position = entry.position;
                            CONTINUE;
                        END IF;
                    END IF;
                END IF;
                claimed := claimed || entry.position;
                quota := quota - 1;
            END LOOP;
            EXIT WHEN quota <= 0 OR looked_at < allowed * 2 + 8 OR rounds >= 8;
        END LOOP;

        room := room - (allowed - quota);
        IF slot IS NOT NULL AND allowed > quota THEN
            UPDATE source_pace AS p SET next_slot_at = greatest(p.next_slot_at, now_at) + slot * (allowed - quota)
             WHERE p.source = target.source;
        END IF;
        SELECT least(soonest, CASE WHEN quota <= 0 AND slot IS NOT NULL
                                   THEN greatest(o.due_at, p.next_slot_at - slot * (burst - 1)) ELSE o.due_at END)
          INTO soonest
          FROM (SELECT min(first.due_at) AS due_at
                  FROM (SELECT o.due_at FROM outbox AS o
                         WHERE o.state = 'waiting' AND o.source = target.source AND o.position <> ALL (claimed) AND o.position <> ALL (over)
                         ORDER BY o.due_at LIMIT 1) AS first) AS o
         CROSS JOIN source_pace AS p
         WHERE p.source = target.source;
    END LOOP;

    IF cardinality(over) > 0 THEN
        PERFORM end_delivery(o.position, 'canceled', 'goal_reached', 'what it was for is over') FROM outbox AS o WHERE o.position = ANY (over);
    END IF;

    UPDATE outbox AS o SET state = 'sending', attempts = o.attempts + 1, lease_until = clock_timestamp() + lease
     WHERE o.position = ANY (claimed);
    UPDATE delivery AS d
       SET state = 'sending', attempts = o.attempts, first_attempt_at = coalesce(d.first_attempt_at, now_at), last_attempt_at = now_at
      FROM outbox AS o
     WHERE o.position = ANY (claimed) AND d.id = o.delivery_id AND d.created_at = o.delivery_created_at;
    UPDATE message AS m SET state = 'sending'
      FROM outbox AS o JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
     WHERE o.position = ANY (claimed) AND m.id = d.message_id AND m.created_at = d.message_created_at AND m.state = 'queued';

    RETURN QUERY
    SELECT (SELECT coalesce(json_agg(json_build_object(
                'id', d.id, 'created_at', d.created_at, 'kind', d.kind, 'source', d.source, 'endpoint', d.endpoint,
                'identity', d.identity, 'recipient', o.recipient, 'contact_id', d.contact_id, 'conversation_id', d.conversation_id,
                'message_id', d.message_id, 'message_created_at', d.message_created_at, 'outreach_id', d.outreach_id,
                'topic', d.topic, 'event_id', d.event_id, 'rule', d.rule, 'request', d.request,
                'attempts', o.attempts - 1, 'first_attempt_at', d.first_attempt_at, 'lease_until', o.lease_until,
                'address', (SELECT a FROM address AS a WHERE a.source = d.source AND a.identity = d.identity),
                'contact', (SELECT c FROM contact AS c WHERE c.id = coalesce((surviving_contacts(ARRAY[d.contact_id]))[1], d.contact_id)))
                ORDER BY array_position(claimed, o.position)), '[]')
              FROM outbox AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE o.position = ANY (claimed)),
           soonest;
END
$$;
COMMENT ON FUNCTION deliver_claim(integer, interval, jsonb) IS
    'Claims due deliveries under a lease: the first to each recipient, within the paces, unless what they are for is over.';

-- Takes a delivery out of the outbox for good; the message's ledger moves along.
CREATE FUNCTION end_delivery(at_position bigint, final_state text, code text, why text, message_state text DEFAULT NULL) RETURNS void
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
END
$$;
