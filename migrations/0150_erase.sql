-- Erasing a contact also reaches what named them beside their own rows.
--
-- Why: a provider sends a webhook again that we know already; such a repetition was kept with its body, because no event
-- points at it. WhatsApp's ids of messages hold the telephone number, in base64. What a rule failed on, what a provider
-- said of a send, what a backtest kept and events that were given up quoted names and words.
-- Locks: webhook is not written while the index of a partition under 64 MB is made. Takes: less than a second.

-- Webhooks that no event points at, or not all that is in them: few. New months get the index by themselves; a bigger one
-- that exists is read whole when somebody is erased, until it is dropped or somebody makes the index for it:
--   CREATE INDEX CONCURRENTLY ON webhook_202611 (source, received_at)
--       WHERE new_events < event_count OR event_count = 0 OR problem IS NOT NULL;
CREATE INDEX webhook_without_event ON ONLY webhook (source, received_at)
    WHERE new_events < event_count OR event_count = 0 OR problem IS NOT NULL;
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i
                 WHERE i.inhparent = 'webhook'::regclass AND pg_table_size(i.inhrelid) < 64 * 1024 * 1024 LOOP
        EXECUTE format('CREATE INDEX %I ON %s (source, received_at)'
                       ' WHERE new_events < event_count OR event_count = 0 OR problem IS NOT NULL',
                       part::text || '_without_event', part);
        EXECUTE format('ALTER INDEX webhook_without_event ATTACH PARTITION %I', part::text || '_without_event');
    END LOOP;
END
$$;

-- A pattern for texts that name one of these handles: by itself (15550100 is not named by 915550100), and no handle so short
-- that an amount could be it. NULL: there is none.
CREATE FUNCTION naming_pattern(handles text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT '(^|[^[:alnum:]])(' || string_agg(regexp_replace(h, '([^[:alnum:]])', '\\\1', 'g'), '|') || ')($|[^[:alnum:]])'
      FROM unnest(handles) AS h WHERE length(h) >= 7
$$;

-- Events that no parser understood, that turned out to be about nobody, and name one of these handles.
CREATE FUNCTION raw_events_about(handles text[], since timestamptz) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    named constant text := naming_pattern(handles);
BEGIN
    RETURN ARRAY(
        SELECT e.id FROM event AS e
         WHERE e.type >= 'webhook.' AND e.type < 'webhook/' AND e.received_at >= since AND e.doc::text ~* named
           AND NOT EXISTS (SELECT FROM handling AS h WHERE h.event_id = e.id AND h.contact_id IS NOT NULL));
END
$$;

-- The webhooks that hold something of these events or of these handles: those that brought the events, those with the same
-- body, and of those that no event points at (repetitions, or what could not be read) each that names a handle.
CREATE FUNCTION webhooks_about(events bigint[], handles text[], since timestamptz) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    named constant text := naming_pattern(handles);
BEGIN
    RETURN ARRAY(
        WITH own AS MATERIALIZED (
            SELECT w.id, w.source, w.body
              FROM (SELECT DISTINCT e.webhook_id, e.received_at FROM unnest(events) AS x (id)
                      JOIN event AS e ON e.id = x.id WHERE e.webhook_id IS NOT NULL) AS e
              JOIN webhook AS w ON w.id = e.webhook_id AND w.received_at = e.received_at
        )
        SELECT own.id FROM own
         UNION
        SELECT w.id
          FROM (SELECT own.source, array_agg(sha256(own.body)) AS bodies FROM own GROUP BY own.source) AS s
          JOIN webhook AS w ON w.source = s.source AND w.received_at >= since
         WHERE (w.new_events < w.event_count OR w.event_count = 0 OR w.problem IS NOT NULL) AND w.body <> ''
           AND (sha256(w.body) = ANY (s.bodies) OR readable_body(w.body) ~* named));
END
$$;

-- What names these contacts without being theirs by any number: events that nobody understood, and webhooks (see above).
CREATE FUNCTION named_elsewhere(ids bigint[], OUT events bigint[], OUT webhooks bigint[])
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    handles constant text[] := ARRAY(SELECT regexp_replace(i.identity, '^[^:]*:', '') FROM identity AS i WHERE i.contact_id = ANY (ids)
                                      UNION SELECT a.recipient FROM address AS a WHERE a.contact_id = ANY (ids));
    -- They may have been named before they were a contact: a webhook waits for its rules.
    since constant timestamptz := (SELECT min(c.created_at) - interval '1 day' FROM contact AS c WHERE c.id = ANY (ids));
BEGIN
    events := raw_events_about(handles, since);
    webhooks := webhooks_about(events || ARRAY(SELECT h.event_id FROM handling AS h WHERE h.contact_id = ANY (ids)), handles, since);
END
$$;

-- As in 0146_beside_work.sql, and further: what arrived more than once, was given up or was quoted. Ids that others gave to
-- messages and events go as well. What comes later about them, such as a status of a message that had left before, is kept
-- as it comes: erase again then.
CREATE OR REPLACE FUNCTION erase_contact(of_contact bigint) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    ids bigint[];
    survivor bigint;
    their_events bigint[];
    given_up bigint[];
    webhooks bigint[];
    quoted text[];
    also_about bigint[];
    searched bigint[];
    entry record;
    emptied bigint;
BEGIN
    -- To find the webhooks takes longest: before anything is locked.
    ids := contact_family(of_contact);
    IF ids IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT a.events, a.webhooks INTO also_about, webhooks FROM named_elsewhere(ids) AS a;
    searched := ids;
    LOOP
        ids := contact_family(of_contact);
        PERFORM 1 FROM contact WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
        -- Whom we waited for may have merged one of them with somebody else.
        EXIT WHEN contact_family(of_contact) = ids;
    END LOOP;
    IF ids <> searched THEN
        SELECT a.events, a.webhooks INTO also_about, webhooks FROM named_elsewhere(ids) AS a;
    END IF;
    survivor := (surviving_contacts(ARRAY[of_contact]))[1];
    -- And may have handled an event of theirs.
    given_up := ARRAY(SELECT k.event_id FROM parked_event AS k
                        JOIN event AS e ON e.id = k.event_id AND e.received_at = k.event_received_at
                       WHERE e.doc #> '{contact,identities}' ?| ARRAY(SELECT i.identity FROM identity AS i WHERE i.contact_id = ANY (ids)));
    their_events := ARRAY(SELECT h.event_id FROM handling AS h WHERE h.contact_id = ANY (ids)
                           UNION SELECT unnest(given_up) UNION SELECT unnest(also_about));
    webhooks := webhooks || ARRAY(SELECT e.webhook_id FROM event AS e WHERE e.id = ANY (their_events) AND e.webhook_id IS NOT NULL);

    FOR entry IN SELECT o.position FROM outbox AS o WHERE o.contact_id = ANY (ids) AND o.state <> 'sending'
        ORDER BY o.position FOR UPDATE LOOP
        PERFORM end_delivery(entry.position, 'canceled', 'erased', 'the contact was erased');
    END LOOP;
    DELETE FROM timer WHERE contact_id = ANY (ids);
    UPDATE outreach SET state = 'canceled', ended_at = now() WHERE contact_id = ANY (ids) AND state = 'active';
    UPDATE survey SET state = 'canceled' WHERE contact_id = ANY (ids) AND state = 'asked';

    UPDATE webhook AS w SET body = '', headers = '{}', problem = 'erased' WHERE w.id = ANY (webhooks);
    WITH gone AS (DELETE FROM parked_event AS k WHERE k.event_id = ANY (given_up) RETURNING k.event_id, k.attempts)
    INSERT INTO handling (event_id, contact_id, attempts, problem)
    SELECT g.event_id, survivor, g.attempts, 'the contact was erased' FROM gone AS g;

    quoted := ARRAY(SELECT t.error FROM trace AS t WHERE t.event_id = ANY (their_events) AND t.error IS NOT NULL
                     UNION SELECT s.error FROM shadow_trace AS s WHERE s.event_id = ANY (their_events) AND s.error IS NOT NULL);
    UPDATE rule_trouble AS r SET last_error = NULL WHERE r.last_error = ANY (quoted);
    UPDATE event AS e SET doc = e.doc #- '{body,error}'
     WHERE e.type = 'custom.system_alert' AND e.doc #>> '{body,error}' IN (SELECT left(q, 500) FROM unnest(quoted) AS q);
    DELETE FROM unmatched_status AS u USING event AS e
     WHERE e.id = ANY (their_events) AND e.type = 'message.status' AND u.source = e.source
       AND u.provider_message_id = e.doc #>> '{status,message_id}';

    UPDATE event AS e SET key = CASE WHEN e.source = 'answerd' THEN e.key ELSE 'erased:' || e.id END,
           doc = jsonb_strip_nulls(jsonb_build_object(
               'type', e.type, 'source', e.source, 'provider', e.doc->'provider', 'erased', true,
               'message', jsonb_build_object('kind', e.doc #> '{message,kind}'),
               'payment', jsonb_build_object('amount', e.doc #> '{payment,amount}', 'currency',
                   e.doc #> '{payment,currency}'),
               'status', jsonb_build_object('state', e.doc #> '{status,state}')))
     WHERE e.id = ANY (their_events);
    UPDATE trace AS t SET effects = '[]', error = NULL WHERE t.event_id = ANY (their_events);
    UPDATE shadow_trace AS s SET effects = '[]', error = NULL WHERE s.event_id = ANY (their_events);
    UPDATE backtest_run AS r
       SET report = jsonb_set(r.report, '{rules}', (SELECT coalesce(jsonb_agg(t - 'examples' ORDER BY n), '[]')
                                                      FROM jsonb_array_elements(r.report->'rules') WITH ORDINALITY AS x (t, n)))
     WHERE jsonb_typeof(r.report->'rules') = 'array'
       AND r.id IN (SELECT b.run_id FROM backtest_effect AS b WHERE b.contact_id = ANY (ids) OR b.event_id = ANY (their_events));
    UPDATE backtest_effect AS b SET before = NULL, after = NULL
     WHERE b.contact_id = ANY (ids) OR b.event_id = ANY (their_events);

    UPDATE message SET text = NULL, content = '{}', identity = NULL, provider_message_id = NULL, reply_to = NULL,
                       author = CASE direction WHEN 'in' THEN 'contact' ELSE author END,
                       reason = CASE WHEN state IN ('failed', 'unknown') THEN NULL ELSE reason END
     WHERE contact_id = ANY (ids);
    GET DIAGNOSTICS emptied = ROW_COUNT;
    -- What the other side said of a try may quote what it was given.
    UPDATE attempt AS a SET reason = NULL
      FROM delivery AS d
     WHERE d.contact_id = ANY (ids) AND d.attempts > 0 AND a.delivery_id = d.id AND a.reason IS NOT NULL;
    UPDATE delivery SET request = '{}', identity = NULL, provider_message_id = NULL,
                        reason = CASE WHEN attempts > 0 AND error_code IS DISTINCT FROM 'erased' THEN NULL ELSE reason END
     WHERE contact_id = ANY (ids);
    UPDATE survey SET comment = NULL WHERE contact_id = ANY (ids);
    UPDATE outreach SET vars = '{}', steps = '[]' WHERE contact_id = ANY (ids);
    UPDATE conversation SET identity = NULL, attributes = '{}', updated_at = now() WHERE contact_id = ANY (ids);
    DELETE FROM address WHERE contact_id = ANY (ids);
    DELETE FROM identity WHERE contact_id = ANY (ids);
    UPDATE contact SET name = NULL, language = NULL, timezone = NULL, preferred_channel = NULL, attributes = '{}',
                       updated_at = now(), erased_at = now()
     WHERE id = ANY (ids);
    RETURN emptied;
END
$$;
