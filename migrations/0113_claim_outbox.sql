-- Claims of deliveries begin at the session's start: see the file before.
--
-- Why: as the file before says.
-- Locks: none. Takes: milliseconds.

-- The outbox is nearly empty at most times, and the planner believes that reading all of it, dead rows and all, is as good as
-- any key. So here no order that is asked for is that of its positions, and no join may begin with it.

-- As before, from the session's start on: first those that were woken, then the others.
CREATE OR REPLACE FUNCTION claim_from_source(from_source text, most integer, pace jsonb, now_at timestamptz,
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
    start constant outbox_source_start := session_source_start(from_source);
    of_woken boolean;
    entry record;
BEGIN
    claimed := '{}';
    over := '{}';
    IF quota <= 0 THEN
        RETURN; -- who waits for an answer looks again when it comes
    END IF;
    next_due := least((SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                        WHERE o.state = 'waiting' AND o.source = from_source AND o.woken
                          AND coalesce(o.counts_from, o.due_at) >= start.woken AND o.position <> ALL (claimed || over)
                        ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1),
                      (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                        WHERE o.state = 'waiting' AND o.source = from_source AND NOT o.woken
                          AND coalesce(o.counts_from, o.due_at) >= start.fresh AND o.position <> ALL (claimed || over)
                        ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1));
    IF next_due IS NULL OR next_due > now_at THEN
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
    FOREACH of_woken IN ARRAY ARRAY[true, false] LOOP
        EXIT WHEN cardinality(claimed) >= quota;
        FOR round IN 1 .. 4 LOOP
            looked_at := 0;
            FOR entry IN
                SELECT o.position, o.outreach_id, o.cancel_wanted, d.identity,
                       (SELECT x.position FROM outbox AS x
                         WHERE x.recipient = o.recipient AND CASE WHEN x.in_line THEN x.position END < o.position
                           AND CASE WHEN x.in_line THEN x.position END
                               >= CASE o.recipient WHEN from_source THEN start.line ELSE 0 END
                         ORDER BY CASE WHEN x.in_line THEN x.position END LIMIT 1) AS first
                  FROM outbox AS o
                  JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
                 WHERE o.state = 'waiting' AND o.source = from_source AND o.woken = of_woken
                   AND coalesce(o.counts_from, o.due_at) >= CASE WHEN of_woken THEN start.woken ELSE start.fresh END
                   AND coalesce(o.counts_from, o.due_at) <= now_at
                   AND o.position <> ALL (claimed) AND o.position <> ALL (over)
                 ORDER BY coalesce(o.counts_from, o.due_at), o.position
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
    END LOOP;

    IF slot IS NOT NULL AND cardinality(claimed) > 0 THEN
        UPDATE source_pace SET next_slot_at = greatest(next_slot_at, now_at) + slot * cardinality(claimed)
         WHERE source = from_source
        RETURNING next_slot_at - slot * (burst - 1) INTO source_free_at;
    END IF;
    next_due := least((SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                        WHERE o.state = 'waiting' AND o.source = from_source AND o.woken
                          AND coalesce(o.counts_from, o.due_at) >= start.woken AND o.position <> ALL (claimed || over)
                        ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1),
                      (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                        WHERE o.state = 'waiting' AND o.source = from_source AND NOT o.woken
                          AND coalesce(o.counts_from, o.due_at) >= start.fresh AND o.position <> ALL (claimed || over)
                        ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1));
    IF next_due IS NOT NULL THEN
        next_due := greatest(next_due, source_free_at, CASE WHEN cardinality(claimed) = 0 THEN now_at + a_moment END);
    END IF;
END
$$;

-- As before, and remembers what it saw.
CREATE OR REPLACE FUNCTION deliver_claim(most integer, lease interval, paces jsonb DEFAULT '{}', sender integer DEFAULT NULL)
RETURNS TABLE (deliveries json, next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    now_at constant timestamptz := clock_timestamp();
    -- In this order: what is decided at this moment is in the sight of the statements that follow.
    decided constant boolean := outbox_start_is_decided();
    seen constant outbox_source_start[] := look_at_outbox();
    sources text[];
    target text;
    mine record;
    soonest timestamptz;
    claimed bigint[] := '{}';
    over bigint[] := '{}';
BEGIN
    SELECT array_agg(s.source ORDER BY random()) INTO sources
      FROM unnest(seen) AS s WHERE s.woken IS NOT NULL OR s.fresh IS NOT NULL;
    IF sources IS NULL THEN
        PERFORM move_outbox_start(decided, seen);
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
        PERFORM end_delivery(p, 'canceled', 'goal_reached', 'what it was for is over') FROM unnest(over) AS p;
    END IF;

    UPDATE outbox AS o SET state = 'sending', attempts = o.attempts + 1, lease_until = clock_timestamp() + lease,
                             claimed_by = sender
      FROM unnest(claimed) AS c (position)
     WHERE o.position = ANY (ARRAY[c.position]);
    UPDATE delivery AS d
       SET state = 'sending', attempts = o.attempts, first_attempt_at = coalesce(d.first_attempt_at, now_at),
           last_attempt_at = now_at
      FROM unnest(claimed) AS c (position)
     CROSS JOIN LATERAL (SELECT b.* FROM outbox AS b WHERE b.position = c.position OFFSET 0) AS o
     WHERE d.id = o.delivery_id AND d.created_at = o.delivery_created_at;
    UPDATE message AS m SET state = 'sending'
      FROM unnest(claimed) AS c (position)
     CROSS JOIN LATERAL (SELECT b.* FROM outbox AS b WHERE b.position = c.position OFFSET 0) AS o
      JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
     WHERE m.id = d.message_id AND m.created_at = d.message_created_at
         AND m.state = 'queued';

    PERFORM move_outbox_start(decided, seen);
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
              FROM unnest(claimed) AS c (position)
             CROSS JOIN LATERAL (SELECT b.* FROM outbox AS b WHERE b.position = c.position OFFSET 0) AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at),
           soonest;
END
$$;
