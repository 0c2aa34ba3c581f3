-- The claim of a batch, with plans that stay right whatever the tables hold when they are made.
--
-- Why: the first plan for a batch may be made while identity or outreach is empty, and is used until the tables are analyzed.
-- Every table is entered here by an index that is the only fitting one, with the batch's keys as an array: the cost is that of
-- the batch, with ten contacts or ten million. What is not needed for the batch's kinds of events is not asked.
-- Locks: none. Takes: milliseconds.

-- By what the events of a batch name people.
CREATE TYPE event_names AS (
    handles        text[],   -- identities
    contacts       bigint[],
    conversations  bigint[],
    echoes         bigint[], -- our own ids of deliveries, as statuses bring them back
    status_sources text[],   -- beside status_ids: a provider's id of a message is its source's
    status_ids     text[],
    refs           text[]    -- of payments, orders and subscriptions, as document_references() has them
);

CREATE FUNCTION names_in_events(positions bigint[]) RETURNS event_names
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    names event_names;
BEGIN
    WITH claimed AS MATERIALIZED (
        SELECT e.source, e.doc, w.also_load
          FROM work AS w
         CROSS JOIN LATERAL (SELECT x.source, x.doc FROM event AS x
                              WHERE x.id = w.event_id AND x.received_at = w.event_received_at OFFSET 0) AS e
         WHERE w.position = ANY (positions)
    ), statuses AS MATERIALIZED (
        SELECT c.source, c.doc->'status' AS status FROM claimed AS c WHERE c.doc ? 'status'
    )
    SELECT (SELECT array_agg(DISTINCT v.identity)
              FROM (SELECT h.identity FROM claimed AS c
                     CROSS JOIN LATERAL document_texts(c.doc #> '{contact,identities}') AS h (identity)
                     UNION ALL
                    SELECT h.identity FROM claimed AS c
                     CROSS JOIN LATERAL document_texts(c.doc #> '{contact,former_identities}') AS h (identity)
                     WHERE c.doc->'contact' ? 'former_identities'
                     UNION ALL
                    SELECT h.identity FROM claimed AS c CROSS JOIN LATERAL unnest(c.also_load) AS h (identity)
                     WHERE c.also_load IS NOT NULL) AS h
             -- Who is known by a phone number may be known by the same number at WhatsApp.
             CROSS JOIN LATERAL (VALUES (h.identity),
                                        (CASE WHEN starts_with(h.identity, 'phone:')
                                              THEN 'whatsapp:' || substr(h.identity, 7) END)) AS v (identity)
             WHERE v.identity IS NOT NULL),
           (SELECT array_agg(document_id(c.doc->'contact_id')) FROM claimed AS c WHERE c.doc ? 'contact_id'),
           (SELECT array_agg(document_id(c.doc->'conversation_id')) FROM claimed AS c WHERE c.doc ? 'conversation_id'),
           (SELECT array_agg(document_id(s.status->'echo')) FROM statuses AS s WHERE s.status ? 'echo'),
           (SELECT array_agg(s.source ORDER BY s.source, s.status->>'message_id') FROM statuses AS s
             WHERE s.status->>'message_id' IS NOT NULL),
           (SELECT array_agg(s.status->>'message_id' ORDER BY s.source, s.status->>'message_id') FROM statuses AS s
             WHERE s.status->>'message_id' IS NOT NULL),
           (SELECT array_agg(DISTINCT r.reference) FROM claimed AS c
             CROSS JOIN LATERAL document_references(c.doc) AS r (reference)
             WHERE c.doc ?| ARRAY['payment', 'subscription', 'order', 'body'])
      INTO names;
    RETURN names;
END
$$;

-- Everybody who is named, sorted: whose handle it is, who is named by number or by conversation, who was written the message
-- that a status is about, and whose outreach waits for this very payment.
CREATE FUNCTION contacts_named(names event_names) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    ids bigint[] := names.contacts;
    since constant timestamptz := now() - interval '62 days';
BEGIN
    IF names.handles IS NOT NULL THEN
        ids := ids || ARRAY(SELECT i.contact_id FROM identity AS i WHERE i.identity = ANY (names.handles));
    END IF;
    IF names.conversations IS NOT NULL THEN
        ids := ids || ARRAY(SELECT v.contact_id FROM conversation AS v WHERE v.id = ANY (names.conversations));
    END IF;
    IF names.echoes IS NOT NULL THEN
        ids := ids || ARRAY(SELECT d.contact_id FROM delivery AS d WHERE d.id = ANY (names.echoes) AND d.created_at > since);
    END IF;
    IF names.status_ids IS NOT NULL THEN
        ids := ids || ARRAY(
            SELECT m.contact_id
              FROM unnest(names.status_sources, names.status_ids) AS s (source, id)
             CROSS JOIN LATERAL (SELECT x.contact_id, x.source FROM message AS x
                                  WHERE x.provider_message_id = s.id AND x.created_at > since OFFSET 0) AS m
             WHERE m.source = s.source);
    END IF;
    IF names.refs IS NOT NULL THEN
        ids := ids || ARRAY(
            SELECT o.contact_id FROM outreach AS o
             WHERE o.reference = ANY (names.refs) AND o.reference <> '' AND o.state = 'active');
        ids := ids || ARRAY(
            SELECT o.contact_id FROM outreach AS o
             WHERE o.other_references && names.refs AND o.other_references <> '{}' AND o.state = 'active');
    END IF;
    RETURN surviving_contacts(ids);
END
$$;

CREATE OR REPLACE FUNCTION claimed_contacts(positions bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE
AS $$ SELECT contacts_named(names_in_events(positions)) $$;

CREATE OR REPLACE FUNCTION surviving_contacts(ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found bigint[];
    merged boolean;
BEGIN
    IF ids IS NULL OR ids = '{}' THEN
        RETURN '{}';
    END IF;
    SELECT array_agg(c.id ORDER BY c.id), bool_or(c.merged_into IS NOT NULL) INTO found, merged
      FROM contact AS c WHERE c.id = ANY (ids);
    IF NOT merged THEN
        RETURN found;
    END IF;
    RETURN (WITH RECURSIVE chain (id, merged_into) AS (
            SELECT c.id, c.merged_into FROM contact AS c WHERE c.id = ANY (ids)
             UNION
            SELECT c.id, c.merged_into FROM chain JOIN contact AS c ON c.id = chain.merged_into)
        SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM chain WHERE merged_into IS NULL);
END
$$;

CREATE OR REPLACE FUNCTION claimed_work(positions bigint[]) RETURNS json
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN (SELECT coalesce(json_agg(json_build_object(
               'position', w.position, 'attempts', w.attempts, 'suspect', w.suspect,
               'event', CASE WHEN w.replay_id IS NULL AND NOT e.type LIKE 'timer.%' THEN e.known
                             ELSE e.known
                                  || CASE WHEN w.replay_id IS NULL THEN '{}'
                                          ELSE jsonb_build_object('replay', replay_of(w.replay_id, w.event_id)) END
                                  || CASE WHEN e.type LIKE 'timer.%' AND e.known #> '{timer,unless}' <> '[]'
                                          THEN jsonb_build_object('happened', happened_since_firing(e.known))
                                          ELSE '{}' END END)
               ORDER BY w.position), '[]')
      FROM work AS w
     CROSS JOIN LATERAL (SELECT x.type, x.doc || jsonb_build_object(
                                    'id', x.id, 'type', x.type, 'source', x.source, 'key', x.key, 'lane', x.lane,
                                    'received_at', x.received_at, 'occurred_at', x.occurred_at) AS known
                           FROM event AS x
                          WHERE x.id = w.event_id AND x.received_at = w.event_received_at OFFSET 0) AS e
     WHERE w.position = ANY (positions));
END
$$;

-- One query for each table, for all contacts of the batch together.
CREATE OR REPLACE FUNCTION claimed_cases(positions bigint[], ids bigint[]) RETURNS json
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    since constant timestamptz := now() - interval '62 days';
    recently constant timestamptz := now() - interval '30 days';
BEGIN
    IF ids = '{}' THEN
        RETURN '[]';
    END IF;
    RETURN (WITH claimed AS MATERIALIZED (
        SELECT e.type, e.source, e.doc
          FROM work AS w
         CROSS JOIN LATERAL (SELECT x.type, x.source, x.doc FROM event AS x
                              WHERE x.id = w.event_id AND x.received_at = w.event_received_at OFFSET 0) AS e
         WHERE w.position = ANY (positions) AND e.doc ?| ARRAY['status', 'message', 'conversation_id']
    ), named AS MATERIALIZED (
        SELECT document_id(c.doc->'conversation_id') AS id FROM claimed AS c WHERE c.doc ? 'conversation_id'
         UNION
        SELECT r.id FROM replay_conversations(positions) AS r
    ), referred AS MATERIALIZED (
        SELECT m.id, m.created_at
          FROM claimed AS c
         CROSS JOIN LATERAL document_message_refs(c.type, c.doc) AS r (ref)
         CROSS JOIN LATERAL (SELECT x.id, x.created_at, x.source FROM message AS x
                              WHERE x.provider_message_id = r.ref AND x.created_at > since OFFSET 0) AS m
         WHERE m.source = c.source
        UNION
        SELECT d.message_id, d.message_created_at
          FROM claimed AS c
         CROSS JOIN LATERAL (SELECT x.message_id, x.message_created_at FROM delivery AS x
                              WHERE x.id = document_id(c.doc #> '{status,echo}') AND x.created_at > since OFFSET 0) AS d
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
    ), identities AS MATERIALIZED (
        SELECT i.contact_id, json_agg(i ORDER BY i.created_at, i.identity) AS rows
          FROM identity AS i WHERE i.contact_id = ANY (ids) GROUP BY i.contact_id
    ), addresses AS MATERIALIZED (
        SELECT a.contact_id, json_agg(a) AS rows FROM address AS a WHERE a.contact_id = ANY (ids) GROUP BY a.contact_id
    ), asked AS MATERIALIZED (
        SELECT s AS row, s.id, s.contact_id, s.conversation_id, s.asked_at,
               row_number() OVER (PARTITION BY s.contact_id, s.name ORDER BY s.asked_at DESC, s.id DESC) = 1 AS is_last
          FROM survey AS s WHERE s.contact_id = ANY (ids) AND s.state <> 'canceled'
    ), surveys AS MATERIALIZED (
        -- The last one of each name, for cooldowns of any length.
        SELECT s.contact_id, json_agg(s.row ORDER BY s.id) AS rows
          FROM asked AS s WHERE s.asked_at > recently OR s.is_last GROUP BY s.contact_id
    ), conversations AS MATERIALIZED (
        SELECT v.contact_id, json_agg(v.row ORDER BY v.id) AS rows
          FROM (SELECT x AS row, x.id, x.contact_id, x.state, x.updated_at,
                       count(*) FILTER (WHERE x.state = 'resolved')
                           OVER (PARTITION BY x.contact_id ORDER BY x.updated_at DESC) AS nth
                  FROM conversation AS x WHERE x.contact_id = ANY (ids)) AS v
         WHERE v.state <> 'resolved' OR (v.nth <= 5 AND v.updated_at > recently)
            OR v.id IN (SELECT named.id FROM named)
            -- A late answer belongs to the conversation that was asked about, however many came after it.
            OR v.id IN (SELECT s.conversation_id FROM asked AS s WHERE s.asked_at > recently)
         GROUP BY v.contact_id
    ), outreaches AS MATERIALIZED (
        SELECT o.contact_id, json_agg(o.row ORDER BY o.id) AS rows
          FROM (SELECT x AS row, x.id, x.contact_id, x.state,
                       row_number() OVER (PARTITION BY x.contact_id, x.state = 'active' ORDER BY x.started_at DESC) AS nth
                  FROM outreach AS x WHERE x.contact_id = ANY (ids)) AS o
         WHERE o.state = 'active' OR o.nth <= 5
         GROUP BY o.contact_id
    ), timers AS MATERIALIZED (
        SELECT t.contact_id, json_agg(t ORDER BY t.due_at, t.id) AS rows
          FROM timer AS t WHERE t.contact_id = ANY (ids) GROUP BY t.contact_id
    )
    SELECT coalesce(json_agg(json_build_object(
        'contact', c,
        'identities', coalesce(i.rows, '[]'),
        'addresses', coalesce(a.rows, '[]'),
        'conversations', coalesce(v.rows, '[]'),
        'surveys', coalesce(s.rows, '[]'),
        'outreaches', coalesce(o.rows, '[]'),
        'timers', coalesce(t.rows, '[]'),
        'messages', coalesce(m.rows, '[]')) ORDER BY c.id), '[]')
      FROM contact AS c
      LEFT JOIN identities AS i ON i.contact_id = c.id
      LEFT JOIN addresses AS a ON a.contact_id = c.id
      LEFT JOIN conversations AS v ON v.contact_id = c.id
      LEFT JOIN surveys AS s ON s.contact_id = c.id
      LEFT JOIN outreaches AS o ON o.contact_id = c.id
      LEFT JOIN timers AS t ON t.contact_id = c.id
      LEFT JOIN messages AS m ON m.contact_id = c.id
     WHERE c.id = ANY (ids));
END
$$;

CREATE OR REPLACE FUNCTION engine_claim(max_events integer, only_position bigint DEFAULT 0)
RETURNS TABLE (work json, cases json)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    positions constant bigint[] := claim_positions(max_events, only_position);
    names event_names;
    ids bigint[];
    again bigint[];
    found json;
BEGIN
    IF cardinality(positions) = 0 THEN
        RETURN;
    END IF;

    -- Locked in the order of ids, so that no two engines wait for each other. While one waits, a merge or a new
    -- identity may be committed that brings others in; that ends after a round or two, or the batch is tried again.
    names := names_in_events(positions);
    ids := contacts_named(names);
    FOR try IN 1 .. 4 LOOP
        IF try = 4 THEN
            RAISE EXCEPTION 'the contacts of these events keep changing' USING ERRCODE = 'serialization_failure';
        END IF;
        PERFORM 1 FROM contact AS c WHERE c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE;
        again := contacts_named(names);
        EXIT WHEN again <@ ids;
        ids := again;
    END LOOP;
    ids := again;
    PERFORM set_config('answerd.locked_contacts', ids::text, true);

    found := claimed_work(positions);
    IF json_array_length(found) < cardinality(positions) THEN
        -- An event whose partition somebody dropped by hand can never be handled.
        PERFORM park_event(w.position, 'the event is gone')
           FROM work AS w
          WHERE w.position = ANY (positions)
            AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.id = w.event_id AND e.received_at = w.event_received_at);
    END IF;
    RETURN QUERY SELECT found, claimed_cases(positions, ids);
END
$$;
