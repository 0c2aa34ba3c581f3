-- Recorded events for a backtest as they are stored: what the columns know better than the document comes beside it, because to
-- make one document of both took more than all the rest.
--
-- Locks: none. Takes: milliseconds.

-- Opens the cursor `recorded_events` over what came from outside in [since, until): contact_id (NULL: nobody known), group_id
-- (the same for all events of one contact), seed (with the first event of a contact that was known before), the columns of the
-- event, and topic and reference of the conversation that it names. One contact after the other, each one's events as they were
-- received. An event belongs to the contact that it was handled for; one that was never handled, to the owner of its identity.
CREATE FUNCTION open_recorded_events(since timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql
SET jit = off
SET cursor_tuple_fraction = 1.0
AS $$
DECLARE
    recorded_events CONSTANT refcursor := 'recorded_events';
BEGIN
    PERFORM set_config('work_mem', '64MB', true); -- of the transaction, because the cursor sorts when it is read
    OPEN recorded_events NO SCROLL FOR
    WITH RECURSIVE chain (id, into_id) AS (
        SELECT c.id, c.merged_into FROM contact AS c WHERE c.merged_into IS NOT NULL
         UNION ALL
        SELECT chain.id, c.merged_into FROM chain JOIN contact AS c ON c.id = chain.into_id WHERE c.merged_into IS NOT NULL
    ), survivor AS (
        SELECT DISTINCT ON (chain.id) chain.id, chain.into_id
          FROM chain JOIN contact AS c ON c.id = chain.into_id WHERE c.merged_into IS NULL
    ), handled AS (
        SELECT h.event_id, max(h.contact_id) AS contact_id
          FROM handling AS h WHERE h.handled_at >= since AND h.contact_id IS NOT NULL GROUP BY h.event_id
    ), given AS (
        SELECT e.id, e.received_at, e.occurred_at, e.type, e.source, e.key, e.lane, e.doc,
               coalesce(s.into_id, h.contact_id, i.contact_id) AS contact_id
          FROM event AS e
          LEFT JOIN handled AS h ON h.event_id = e.id
          LEFT JOIN survivor AS s ON s.id = h.contact_id
          LEFT JOIN identity AS i ON i.identity = CASE WHEN h.event_id IS NULL THEN e.doc #>> '{contact,identities,0}' END
         WHERE e.received_at >= since AND e.received_at < until
           AND e.type <> 'message.status'
           AND (e.source <> 'answerd' OR e.type = 'agent.action' OR e.type LIKE 'cron.%'
                OR (e.type LIKE 'custom.%' AND e.cause_event IS NULL))
    ), ordered AS (
        SELECT g.*, coalesce(g.contact_id, -1 - g.lane) AS group_id,
               row_number() OVER (PARTITION BY coalesce(g.contact_id, -1 - g.lane) ORDER BY g.received_at, g.id) AS number
          FROM given AS g
    )
    SELECT o.contact_id, o.group_id, o.id, o.lane,
           CASE WHEN o.number = 1 AND o.contact_id IS NOT NULL
                     AND (SELECT c.created_at < since FROM contact AS c WHERE c.id = o.contact_id)
                THEN backtest_seed(o.contact_id, since) END AS seed,
           o.doc, o.type, o.source, o.key, o.received_at, o.occurred_at,
           CASE WHEN o.doc ? 'conversation_id'
                THEN (SELECT jsonb_build_object('topic', v.topic, 'reference', v.reference)
                        FROM conversation AS v WHERE v.id = document_id(o.doc->'conversation_id')) END AS conversation
      FROM ordered AS o
     ORDER BY o.group_id, o.received_at, o.id;
END
$$;
COMMENT ON FUNCTION open_recorded_events(timestamptz, timestamptz) IS
    'Opens the cursor recorded_events over the events that came from outside, one contact after the other.';
