-- The claim in two steps: the events as they are stored, then everything known about the people whom the program finds named in them.
--
-- Why: each document was read three times, made into another document and taken apart again; what is known was put together for
-- each contact, which copied it four times. A claim of 256 costs less than half so.
-- Locks: none. Takes: milliseconds.

-- The events of work that is the caller's, in order, with what the columns know beside the document. `happened`: what was handled
-- since a timer fired, where the timer asks. `also_load`: identities that an earlier try ran into.
CREATE FUNCTION claimed_events(positions bigint[])
RETURNS TABLE ("position" bigint, attempts smallint, id bigint, type text, source text, key text, lane integer, received_at timestamptz,
               occurred_at timestamptz, doc jsonb, replay jsonb, happened jsonb, also_load jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    found bigint;
BEGIN
    RETURN QUERY
    SELECT w.position, w.attempts, e.id, e.type, e.source, e.key, e.lane, e.received_at, e.occurred_at, e.doc,
           CASE WHEN w.replay_id IS NOT NULL THEN replay_of(w.replay_id, w.event_id) END,
           CASE WHEN e.type LIKE 'timer.%' AND e.doc #> '{timer,unless}' <> '[]' THEN happened_since_firing(e.doc) END,
           to_jsonb(w.also_load)
      FROM work AS w
     CROSS JOIN LATERAL (SELECT x.id, x.type, x.source, x.key, x.lane, x.received_at, x.occurred_at, x.doc FROM event AS x
                          WHERE x.id = w.event_id AND x.received_at = w.event_received_at OFFSET 0) AS e
     WHERE w.position = ANY (positions)
     ORDER BY w.position;
    GET DIAGNOSTICS found = ROW_COUNT;
    IF found < cardinality(positions) THEN
        -- An event whose partition somebody dropped by hand can never be handled.
        PERFORM park_event(w.position, 'the event is gone')
           FROM work AS w
          WHERE w.position = ANY (positions)
            AND NOT EXISTS (SELECT 1 FROM event AS e WHERE e.id = w.event_id AND e.received_at = w.event_received_at);
    END IF;
END
$$;
COMMENT ON FUNCTION claimed_events(bigint[]) IS 'The events of claimed work, in order; the work of those that are gone is parked.';

-- Whom claimed events name, and everything known about them: a JSON array for each table, or NULL. With `locking` the contacts
-- stay locked until the transaction ends, and their ids are left in the setting answerd.locked_contacts, where the commit finds
-- whose facts the changes are based on.
--   names        by what the events name people
--   ref_sources  beside ref_ids: messages that the events edit, answer or report on, by their provider's id
--   replayed     positions of those events that are replayed
CREATE FUNCTION claimed_facts(names event_names, ref_sources text[], ref_ids text[], replayed bigint[], locking boolean)
RETURNS TABLE (contacts json, identities json, addresses json, conversations json, surveys json, outreaches json, timers json,
               messages json)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    since constant timestamptz := now() - interval '62 days';
    recently constant timestamptz := now() - interval '30 days';
    ids bigint[] := contacts_named(names);
    again bigint[];
    named constant bigint[] := names.conversations || CASE WHEN replayed <> '{}'
                               THEN ARRAY(SELECT r.id FROM replay_conversations(replayed) AS r) END;
BEGIN
    -- Locked in the order of ids, so that no two engines wait for each other. While one waits, a merge or a new
    -- identity may be committed that brings others in; that ends after a round or two, or the batch is tried again.
    IF locking THEN
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
    END IF;
    IF ids = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH owned AS MATERIALIZED (
        SELECT v AS row, v.id, v.contact_id, v.state, v.updated_at FROM conversation AS v WHERE v.contact_id = ANY (ids)
    ), asked AS MATERIALIZED (
        SELECT s AS row, s.id, s.conversation_id, s.asked_at,
               row_number() OVER (PARTITION BY s.contact_id, s.name ORDER BY s.asked_at DESC, s.id DESC) = 1 AS is_last
          FROM survey AS s WHERE s.contact_id = ANY (ids) AND s.state <> 'canceled'
    ), referred AS MATERIALIZED (
        SELECT m.id, m.created_at
          FROM unnest(ref_sources, ref_ids) AS r (source, id)
         CROSS JOIN LATERAL (SELECT x.id, x.created_at, x.source FROM message AS x
                              WHERE x.provider_message_id = r.id AND x.created_at > since OFFSET 0) AS m
         WHERE m.source = r.source
        UNION
        SELECT d.message_id, d.message_created_at
          FROM unnest(names.echoes) AS e (id)
         CROSS JOIN LATERAL (SELECT x.message_id, x.message_created_at FROM delivery AS x
                              WHERE x.id = e.id AND x.created_at > since OFFSET 0) AS d
         WHERE d.message_id IS NOT NULL
    )
    SELECT (SELECT json_agg(c ORDER BY c.id) FROM contact AS c WHERE c.id = ANY (ids)),
           (SELECT json_agg(i ORDER BY i.created_at, i.identity) FROM identity AS i WHERE i.contact_id = ANY (ids)),
           (SELECT json_agg(a) FROM address AS a WHERE a.contact_id = ANY (ids)),
           (SELECT json_agg(v.row ORDER BY v.id)
              FROM (SELECT o.row, o.id FROM owned AS o WHERE o.state <> 'resolved'
                     UNION ALL
                    SELECT o.row, o.id
                      FROM (SELECT x.row, x.id, x.updated_at, row_number() OVER (PARTITION BY x.contact_id ORDER BY x.updated_at DESC) AS nth
                              FROM owned AS x WHERE x.state = 'resolved') AS o
                     WHERE (o.nth <= 5 AND o.updated_at > recently) OR o.id = ANY (named)
                        -- A late answer belongs to the conversation that was asked about, however many came after it.
                        OR o.id IN (SELECT s.conversation_id FROM asked AS s WHERE s.asked_at > recently)) AS v),
           -- The last one of each name, for cooldowns of any length.
           (SELECT json_agg(s.row ORDER BY s.id) FROM asked AS s WHERE s.asked_at > recently OR s.is_last),
           (SELECT json_agg(o.row ORDER BY o.id)
              FROM (SELECT x AS row, x.id, x.state,
                           row_number() OVER (PARTITION BY x.contact_id, x.state = 'active' ORDER BY x.started_at DESC) AS nth
                      FROM outreach AS x WHERE x.contact_id = ANY (ids)) AS o
             WHERE o.state = 'active' OR o.nth <= 5),
           (SELECT json_agg(t ORDER BY t.due_at, t.id) FROM timer AS t WHERE t.contact_id = ANY (ids)),
           (SELECT json_agg(jsonb_set(to_jsonb(m), '{delivery_id}', coalesce(to_jsonb(
                       (SELECT d.id FROM delivery AS d
                         WHERE d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'
                         ORDER BY d.id DESC LIMIT 1)), 'null')))
              FROM referred AS r
             CROSS JOIN LATERAL (SELECT x.* FROM message AS x WHERE x.id = r.id AND x.created_at = r.created_at OFFSET 0) AS m
             WHERE m.contact_id = ANY (ids) OR surviving_contacts(ARRAY[m.contact_id]) && ids);
END
$$;
COMMENT ON FUNCTION claimed_facts(event_names, text[], text[], bigint[], boolean) IS
    'Locks and reads everything known about the people whom claimed events name.';
