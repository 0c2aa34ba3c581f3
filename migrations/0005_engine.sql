-- The engine's claim: which events come next, and everything known about the people they are about.
--
-- Why: one call per batch, in the transaction that will also hold the effects.
-- Locks: none. Takes: milliseconds.
--
-- Lanes and buckets: the events of a lane run in order. An engine locks buckets (lane & 511) for its transaction, not
-- lanes one by one: 512 locks at most, however many lanes there are. Whoever holds a bucket's lock is alone with all
-- its lanes.

-- Does an earlier event of the lane, or this one, have to be waited for? An event waits after a failed try, and a
-- suspect one (its worker died) is handled alone.
CREATE FUNCTION lane_is_blocked(of_lane integer, up_to bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT true FROM work AS b
         WHERE b.lane = of_lane AND b.position <= up_to AND (b.retry_at IS NOT NULL OR b.suspect)
           AND (b.retry_at > at OR b.suspect)
         LIMIT 1) IS NOT NULL;

-- Chooses and locks buckets, then returns the positions of the work that is the caller's until its transaction ends, in
-- order. For each lane it is a prefix of what waits in that lane.
--
-- The oldest events are looked at first. When those cannot fill the batch because their lanes are blocked or taken, or
-- when one bucket would fill more than half of it, each bucket's own oldest event is looked at: so one lane with a
-- million events, blocked or not, delays nobody else. Both looks are bounded, whatever the backlog.
CREATE FUNCTION claim_positions(max_events integer, only_position bigint) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    -- After this many events of one bucket the search for an unblocked lane in it ends.
    bucket_depth constant integer := 1024;
    now_at constant timestamptz := clock_timestamp();
    candidate record;
    looked_at integer := 0;
    tried smallint[] := '{}';
    buckets smallint[] := '{}';
    quotas integer[] := '{}';
    room integer := max_events;
    quota integer;
    claimed bigint[];
BEGIN
    IF only_position > 0 THEN
        FOR candidate IN SELECT w.bucket, w.lane FROM work AS w WHERE w.position = only_position LOOP
            IF NOT pg_try_advisory_xact_lock(4201, candidate.bucket) THEN
                RETURN '{}';
            END IF;
            -- A new statement sees what the former holder of the lock committed.
            RETURN coalesce((SELECT array_agg(w.position) FROM work AS w
                              WHERE w.position = only_position
                                AND (SELECT true FROM work AS b WHERE b.bucket = candidate.bucket
                                    AND b.lane = candidate.lane
                                        AND b.position < only_position LIMIT 1) IS NULL), '{}');
        END LOOP;
        RETURN '{}';
    END IF;

    FOR candidate IN
        SELECT w.position, w.bucket, w.lane FROM work AS w
         WHERE w.suspect AND (w.retry_at IS NULL OR w.retry_at <= now_at)
         ORDER BY w.position LIMIT 16
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
        IF EXISTS (SELECT 1 FROM work AS w WHERE w.position = candidate.position)
           AND (SELECT true FROM work AS b WHERE b.bucket = candidate.bucket AND b.lane = candidate.lane
                   AND b.position < candidate.position LIMIT 1) IS NULL THEN
            RETURN ARRAY[candidate.position];
        END IF;
    END LOOP;

    FOR candidate IN
        WITH trouble AS (SELECT EXISTS (SELECT 1 FROM work WHERE retry_at IS NOT NULL OR suspect) AS found)
        SELECT o.bucket, min(o.position) AS first, sum(count(*)) OVER () AS looked_at,
               count(*) FILTER (WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position,
                   now_at))) AS ready
          FROM (SELECT w.position, w.bucket, w.lane FROM work AS w ORDER BY w.position LIMIT max_events * 4) AS o
         GROUP BY o.bucket
         ORDER BY first
    LOOP
        looked_at := candidate.looked_at;
        CONTINUE WHEN candidate.ready = 0;
        EXIT WHEN room <= 0;
        tried := tried || candidate.bucket;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
        quota := least(candidate.ready, room);
        IF looked_at >= max_events * 4 THEN
            quota := least(quota, greatest(max_events / 2, 1));
        END IF;
        buckets := buckets || candidate.bucket;
        quotas := quotas || quota;
        room := room - quota;
    END LOOP;

    IF room > 0 AND looked_at >= max_events * 4 THEN
        FOR candidate IN
            WITH trouble AS (SELECT EXISTS (SELECT 1 FROM work WHERE retry_at IS NOT NULL OR suspect) AS found)
            SELECT b.bucket::smallint AS bucket, mine.ready
              FROM generate_series(0, 511) AS b (bucket)
             CROSS JOIN LATERAL (
                 SELECT min(x.position) AS first, count(*)::integer AS ready
                   FROM (SELECT o.position
                           FROM (SELECT w.position, w.lane FROM work AS w
                                  WHERE w.bucket = b.bucket ORDER BY w.position LIMIT bucket_depth) AS o
                          WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position,
                              now_at))
                          LIMIT 4) AS x) AS mine
             WHERE mine.ready > 0 AND b.bucket <> ALL (tried)
             ORDER BY mine.first
        LOOP
            EXIT WHEN room <= 0;
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
            quota := least(candidate.ready, room);
            buckets := buckets || candidate.bucket;
            quotas := quotas || quota;
            room := room - quota;
        END LOOP;
    END IF;
    IF cardinality(buckets) = 0 THEN
        RETURN '{}';
    END IF;
    quotas[1] := quotas[1] + greatest(room, 0);

    -- A new statement: what the former holders of these locks finished is gone from its sight.
    WITH trouble AS (SELECT EXISTS (SELECT 1 FROM work WHERE retry_at IS NOT NULL OR suspect) AS found)
    SELECT array_agg(mine.position ORDER BY mine.position)
      INTO claimed
      FROM unnest(buckets, quotas) AS l (bucket, quota)
     CROSS JOIN LATERAL (
         SELECT o.position
           FROM (SELECT w.position, w.lane FROM work AS w WHERE w.bucket = l.bucket
               ORDER BY w.position LIMIT bucket_depth) AS o
          WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position, now_at))
          LIMIT l.quota) AS mine;
    RETURN coalesce(claimed, '{}');
END
$$;

-- The one that a contact was merged into, however often.
CREATE FUNCTION surviving_contacts(ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM contact AS c WHERE c.id = ANY (ids) AND c.merged_into IS NOT NULL) THEN
        RETURN ARRAY(SELECT c.id FROM contact AS c WHERE c.id = ANY (ids) ORDER BY c.id);
    END IF;
    RETURN (WITH RECURSIVE chain (id, merged_into) AS (
            SELECT c.id, c.merged_into FROM contact AS c WHERE c.id = ANY (ids)
             UNION
            SELECT c.id, c.merged_into FROM chain JOIN contact AS c ON c.id = chain.merged_into)
        SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM chain WHERE merged_into IS NULL);
END
$$;

-- A number in a document, or NULL when it is something else: a strange document must not fail its batch.
CREATE FUNCTION document_id(value jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value #>> '{}' ~ '^[0-9]{1,18}$' THEN (value #>> '{}')::bigint END;

-- The texts of an array in a document; none when it is something else.
CREATE FUNCTION document_texts(value jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT jsonb_array_elements_text(CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE '[]' END) $$;

-- What a message event points at: the one it edits, deletes, reacts to or answers, by the provider's id.
CREATE FUNCTION document_message_refs(type text, doc jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ref
      FROM (VALUES (doc #>> '{status,message_id}'),
                   (doc #>> '{message,reply_to}'),
                   (CASE WHEN type IN ('message.edited', 'message.deleted', 'message.reaction')
                       THEN doc #>> '{message,id}' END))
           AS r (ref)
     WHERE ref IS NOT NULL
$$;

-- What an event may be the goal of: the names of what was paid, ordered or begun (as server/domain/reference.c has them).
CREATE FUNCTION document_references(doc jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT DISTINCT ref
      FROM (VALUES (doc #>> '{payment,reference}'), (doc #>> '{payment,invoice}'), (doc #>> '{payment,order}'),
                   (doc #>> '{payment,subscription}'), (doc #>> '{payment,id}'), (doc #>> '{subscription,id}'),
                   (doc #>> '{order,reference}'), (doc #>> '{order,id}'), (doc #>> '{body,reference}'))
           AS r (ref)
     WHERE ref <> ''
$$;

-- The queries below are fenced (OFFSET 0, MATERIALIZED) so that each table is entered by the one index that fits, also
-- when a plan was made while the tables were still empty.

-- Everybody that these events are about, sorted: whose handle an event carries, who is named by number or by
-- conversation, who was written the message that a status is about, and whose outreach waits for this very payment.
CREATE FUNCTION claimed_contacts(positions bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    ids bigint[];
BEGIN
    WITH claimed AS MATERIALIZED (
        SELECT e.type, e.source, e.doc, w.also_load
          FROM work AS w
          JOIN event AS e ON e.id = w.event_id AND e.received_at = w.event_received_at
         WHERE w.position = ANY (positions)
    ), handles AS (
        SELECT h.identity FROM claimed AS c CROSS
            JOIN LATERAL document_texts(c.doc #> '{contact,identities}') AS h (identity)
        UNION
        SELECT h.identity FROM claimed AS c CROSS
            JOIN LATERAL document_texts(c.doc #> '{contact,former_identities}') AS h (identity)
        UNION
        SELECT h.identity FROM claimed AS c CROSS JOIN LATERAL unnest(c.also_load) AS h (identity)
    ), found AS (
        SELECT i.contact_id
          FROM handles AS h
          JOIN identity AS i ON i.identity IN (h.identity, regexp_replace(h.identity, '^phone:', 'whatsapp:'))
        UNION ALL
        SELECT document_id(c.doc->'contact_id') FROM claimed AS c WHERE c.doc ? 'contact_id'
        UNION ALL
        SELECT v.contact_id FROM claimed AS c JOIN conversation AS v ON v.id = document_id(c.doc->'conversation_id')
         WHERE c.doc ? 'conversation_id'
        UNION ALL
        SELECT d.contact_id
          FROM claimed AS c
         CROSS JOIN LATERAL (SELECT x.contact_id FROM delivery AS x
                              WHERE x.id = document_id(c.doc #> '{status,echo}')
                                AND x.created_at > now() - interval '62 days' OFFSET 0) AS d
         WHERE c.doc ? 'status'
        UNION ALL
        SELECT m.contact_id
          FROM claimed AS c
         CROSS JOIN LATERAL (SELECT x.contact_id, x.source FROM message AS x
                              WHERE x.provider_message_id = c.doc #>> '{status,message_id}'
                                AND x.created_at > now() - interval '62 days' OFFSET 0) AS m
         WHERE c.doc ? 'status' AND m.source = c.source
        UNION ALL
        SELECT o.contact_id
          FROM claimed AS c
         CROSS JOIN LATERAL document_references(c.doc) AS r (reference)
          JOIN outreach AS o ON o.reference = r.reference AND o.reference <> '' AND o.state = 'active'
         WHERE c.doc ?| ARRAY['payment', 'subscription', 'order', 'body']
        UNION ALL
        SELECT o.contact_id
          FROM claimed AS c
         CROSS JOIN LATERAL document_references(c.doc) AS r (reference)
          JOIN outreach AS o ON o.other_references @> ARRAY[r.reference] AND o.other_references <> '{}'
                            AND o.state = 'active'
         WHERE c.doc ?| ARRAY['payment', 'subscription', 'order', 'body']
    )
    SELECT array_agg(DISTINCT contact_id) INTO ids FROM found WHERE contact_id IS NOT NULL;
    RETURN surviving_contacts(coalesce(ids, '{}'));
END
$$;

-- Claims up to `max_events` events (or the one at `only_position`) for the caller's transaction. One row, or none when
-- there is nothing to do:
--   work   [{position, attempts, suspect, event}], in the order to run
--   cases  one object for each contact the events are about, as server/domain/README.md describes it
-- The contacts stay locked until the transaction ends. Their ids are left in the setting answerd.locked_contacts, where
-- engine_commit finds whose facts the changes are based on.
CREATE FUNCTION engine_claim(max_events integer, only_position bigint DEFAULT 0)
RETURNS TABLE (work json, cases json)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    positions constant bigint[] := claim_positions(max_events, only_position);
    ids bigint[];
    again bigint[];
BEGIN
    IF cardinality(positions) = 0 THEN
        RETURN;
    END IF;

    -- Locked in the order of ids, so that no two engines wait for each other. While one waits, a merge or a new
    -- identity may be committed that brings others in; that ends after a round or two, or the batch is tried again.
    ids := claimed_contacts(positions);
    FOR try IN 1 .. 4 LOOP
        IF try = 4 THEN
            RAISE EXCEPTION 'the contacts of these events keep changing' USING ERRCODE = 'serialization_failure';
        END IF;
        PERFORM 1 FROM contact AS c WHERE c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE;
        again := claimed_contacts(positions);
        EXIT WHEN again <@ ids;
        ids := again;
    END LOOP;
    ids := again;
    PERFORM set_config('answerd.locked_contacts', ids::text, true);

    RETURN QUERY SELECT claimed_work(positions), claimed_cases(positions, ids);
    -- An event whose partition somebody dropped by hand can never be handled.
    PERFORM park_event(w.position, 'the event is gone')
       FROM work AS w
      WHERE w.position = ANY (positions)
        AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.id = w.event_id AND e.received_at = w.event_received_at);
END
$$;
COMMENT ON FUNCTION engine_claim(integer, bigint) IS
    'Claims the next events for this transaction; locks and reads everything known about the people they are about.';

-- A timer that has fired is an event in the queue, and not a row that others can cancel. What was handled since then may
-- be what it was not to outlive: the types of those events, about its conversation or about the person as such.
CREATE FUNCTION happened_since_firing(timer_event jsonb) RETURNS jsonb
LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
    SELECT coalesce(jsonb_agg(DISTINCT e.type ORDER BY e.type), '[]')
      FROM (SELECT h.event_id, h.conversation_id FROM handling AS h
             WHERE h.contact_id = document_id(timer_event->'contact_id')
               AND h.handled_at >= (timer_event #>> '{timer,due_at}')::timestamptz
             ORDER BY h.handled_at DESC LIMIT 200) AS h
      JOIN event AS e ON e.id = h.event_id
     WHERE h.conversation_id IS NOT DISTINCT FROM document_id(timer_event->'conversation_id')
        OR NOT (e.doc ? 'conversation_id' OR e.type LIKE 'message.%')
$$;

CREATE FUNCTION claimed_work(positions bigint[]) RETURNS json
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN (SELECT coalesce(json_agg(json_build_object(
               'position', w.position, 'attempts', w.attempts, 'suspect', w.suspect,
               'event', e.doc || jsonb_build_object('id', e.id, 'type', e.type, 'source', e.source, 'key', e.key,
                                                    'lane', e.lane, 'received_at', e.received_at, 'occurred_at',
                                                        e.occurred_at)
                             || CASE WHEN w.replay_id IS NULL THEN '{}'
                                     ELSE jsonb_build_object('replay', replay_of(w.replay_id, w.event_id)) END
                             || CASE WHEN e.type LIKE 'timer.%' AND e.doc #> '{timer,unless}' <> '[]'
                                     THEN jsonb_build_object('happened', happened_since_firing(e.doc)) ELSE '{}' END)
               ORDER BY w.position), '[]')
      FROM work AS w
      JOIN event AS e ON e.id = w.event_id AND e.received_at = w.event_received_at
     WHERE w.position = ANY (positions));
END
$$;

CREATE FUNCTION claimed_cases(positions bigint[], ids bigint[]) RETURNS json
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN (WITH claimed AS MATERIALIZED (
        SELECT e.type, e.source, e.doc
          FROM work AS w
          JOIN event AS e ON e.id = w.event_id AND e.received_at = w.event_received_at
         WHERE w.position = ANY (positions)
    ), named AS MATERIALIZED (
        SELECT v.id, v.contact_id FROM claimed AS c
            JOIN conversation AS v ON v.id = document_id(c.doc->'conversation_id')
         WHERE c.doc ? 'conversation_id'
         UNION
        SELECT r.id, r.contact_id FROM replay_conversations(positions) AS r
    ), referred AS MATERIALIZED (
        SELECT m.id, m.created_at
          FROM claimed AS c
         CROSS JOIN LATERAL document_message_refs(c.type, c.doc) AS r (ref)
         CROSS JOIN LATERAL (SELECT x.id, x.created_at, x.source FROM message AS x
                              WHERE x.provider_message_id = r.ref
                                  AND x.created_at > now() - interval '62 days' OFFSET 0) AS m
         WHERE c.doc ?| ARRAY['status', 'message'] AND m.source = c.source
        UNION
        SELECT d.message_id, d.message_created_at
          FROM claimed AS c
         CROSS JOIN LATERAL (SELECT x.message_id, x.message_created_at FROM delivery AS x
                              WHERE x.id = document_id(c.doc #> '{status,echo}')
                                AND x.created_at > now() - interval '62 days' OFFSET 0) AS d
         WHERE c.doc ? 'status' AND d.message_id IS NOT NULL
    ), messages AS MATERIALIZED (
        SELECT coalesce((surviving_contacts(ARRAY[m.contact_id]))[1], m.contact_id) AS contact_id,
               json_agg(jsonb_set(to_jsonb(m), '{delivery_id}', coalesce(to_jsonb(
                   (SELECT d.id FROM delivery AS d
                     WHERE d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'
                     ORDER BY d.id DESC LIMIT 1)), 'null'))) AS rows
          FROM referred AS r
         CROSS JOIN LATERAL (SELECT x.* FROM message AS x WHERE x.id = r.id
             AND x.created_at = r.created_at OFFSET 0) AS m
         GROUP BY 1
    )
    SELECT coalesce(json_agg(json_build_object(
        'contact', c,
        'identities', coalesce((SELECT json_agg(i ORDER BY i.created_at, i.identity) FROM identity AS i
            WHERE i.contact_id = c.id), '[]'),
        'addresses', coalesce((SELECT json_agg(a) FROM address AS a WHERE a.contact_id = c.id), '[]'),
        'conversations', coalesce((
            SELECT json_agg(v.row ORDER BY v.id)
              FROM (SELECT x AS row, x.id, x.state, x.updated_at,
                           count(*) FILTER (WHERE x.state = 'resolved') OVER (ORDER BY x.updated_at DESC) AS nth
                      FROM conversation AS x WHERE x.contact_id = c.id) AS v
             WHERE v.state <> 'resolved' OR (v.nth <= 5 AND v.updated_at > now() - interval '30 days')
                OR v.id IN (SELECT named.id FROM named)
                -- A late answer belongs to the conversation that was asked about, however many came after it.
                OR v.id IN (SELECT s.conversation_id FROM survey AS s WHERE s.contact_id = c.id
                                AND s.asked_at > now() - interval '30 days' AND s.state <> 'canceled')), '[]'),
        'surveys', coalesce((
            SELECT json_agg(s ORDER BY s.id) FROM survey AS s
             WHERE s.contact_id = c.id AND s.state <> 'canceled'
               AND (s.asked_at > now() - interval '30 days'
                    -- The last one of each name, for cooldowns of any length.
                    OR NOT EXISTS (SELECT 1 FROM survey AS n WHERE n.contact_id = c.id AND n.name = s.name
                                       AND n.state <> 'canceled' AND (n.asked_at, n.id) > (s.asked_at, s.id)))), '[]'),
        'outreaches', coalesce((
            SELECT json_agg(o ORDER BY o.id)
              FROM (SELECT a.* FROM outreach AS a WHERE a.contact_id = c.id AND a.state = 'active'
                     UNION ALL
                    (SELECT e.* FROM outreach AS e WHERE e.contact_id = c.id AND e.state <> 'active'
                      ORDER BY e.started_at DESC LIMIT 5)) AS o), '[]'),
        'timers', coalesce((SELECT json_agg(t ORDER BY t.due_at, t.id) FROM timer AS t WHERE t.contact_id = c.id),
            '[]'),
        'messages', coalesce((SELECT m.rows FROM messages AS m WHERE m.contact_id = c.id), '[]')) ORDER BY c.id), '[]')
      FROM contact AS c
     WHERE c.id = ANY (ids));
END
$$;
