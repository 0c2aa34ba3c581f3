-- Erasure locks what senders write in the order in which they do, and knows what it erased when that comes again.
--
-- Why: it changed a contact's messages before their deliveries, a sender that recorded an outcome did so the other way round. Each
-- waited for the other, and the erasure ended with "deadlock detected" and had to be asked for again.
-- And a webhook that a provider brings once more after the erasure makes no event by which it could be found; its body is kept, and
-- by the body that was erased nobody could tell that it is the same.
-- Locks: none. Takes: milliseconds.

-- As in 0150_erase.sql, and webhooks with the same body as one that was erased before: its digest is kept.
CREATE OR REPLACE FUNCTION webhooks_about(events bigint[], handles text[], since timestamptz) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    named constant text := naming_pattern(handles);
BEGIN
    RETURN ARRAY(
        WITH own AS MATERIALIZED (
            SELECT w.id, w.source, coalesce(decode(w.headers->>'erased-body-sha256', 'hex'), sha256(w.body)) AS digest
              FROM (SELECT DISTINCT e.webhook_id, e.received_at FROM unnest(events) AS x (id)
                      JOIN event AS e ON e.id = x.id WHERE e.webhook_id IS NOT NULL) AS e
              JOIN webhook AS w ON w.id = e.webhook_id AND w.received_at = e.received_at
        )
        SELECT own.id FROM own
         UNION
        SELECT w.id
          FROM (SELECT own.source, array_agg(own.digest) AS bodies FROM own GROUP BY own.source) AS s
          JOIN webhook AS w ON w.source = s.source AND w.received_at >= since
         WHERE (w.new_events < w.event_count OR w.event_count = 0 OR w.problem IS NOT NULL) AND w.body <> ''
           AND (sha256(w.body) = ANY (s.bodies) OR readable_body(w.body) ~* named));
END
$$;

-- As in 0201_erase_waiting.sql otherwise.
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
    waiting bigint[];
    buckets smallint[] := '{}';
    handled_since bigint[];
    webhooks bigint[];
    quoted text[];
    known_as text[];
    handles text[];
    since timestamptz;
    entry record;
    emptied bigint;
BEGIN
    LOOP
        ids := contact_family(of_contact);
        IF ids IS NULL THEN
            RETURN NULL;
        END IF;

        -- To find the webhooks takes longest: before anything is locked.
        known_as := ARRAY(SELECT i.identity FROM identity AS i WHERE i.contact_id = ANY (ids));
        their_events := ARRAY(SELECT DISTINCT h.event_id FROM handling AS h WHERE h.contact_id = ANY (ids));
        given_up := ARRAY(SELECT k.event_id FROM parked_event AS k
                            JOIN event AS e ON e.id = k.event_id AND e.received_at = k.event_received_at
                           WHERE e.doc #> '{contact,identities}' ?| known_as);
        their_events := their_events || given_up;
        handles := ARRAY(SELECT regexp_replace(i, '^[^:]*:', '') FROM unnest(known_as) AS i
                          UNION SELECT a.recipient FROM address AS a WHERE a.contact_id = ANY (ids));
        -- What named them may have come before they were a contact: a webhook waits for its rules.
        since := (SELECT min(c.created_at) - interval '1 day' FROM contact AS c WHERE c.id = ANY (ids));
        their_events := their_events || raw_events_about(handles, since);
        webhooks := webhooks_about(their_events, handles, since);

        -- First the lanes, then the contacts, as the engine does: nobody has an event of these lanes in hand from here on. In the
        -- order of their numbers, so that two erasures do not wait for each other.
        buckets := ARRAY(SELECT unnest(buckets) UNION SELECT (c.lane & 511)::smallint FROM contact AS c WHERE c.id = ANY (ids)
                          UNION SELECT (identity_lane(k) & 511)::smallint FROM unnest(known_as) AS k
                          UNION SELECT w.bucket FROM waiting_about(ids, their_events) AS w ORDER BY 1);
        PERFORM pg_advisory_xact_lock(4201, b.bucket) FROM unnest(buckets) AS b (bucket);
        PERFORM 1 FROM contact WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
        -- Whom we waited for may have merged one of them with somebody else.
        EXIT WHEN contact_family(of_contact) = ids;
    END LOOP;
    survivor := (surviving_contacts(ARRAY[of_contact]))[1];
    -- He may have handled something of theirs as well: what brought it is found by that.
    handled_since := ARRAY(SELECT DISTINCT h.event_id FROM handling AS h
                            WHERE h.contact_id = ANY (ids) AND h.event_id <> ALL (their_events));
    their_events := their_events || handled_since;
    webhooks := webhooks || webhooks_about(handled_since, '{}', since);

    -- What is being sent to them, too, in the order in which senders lock: they record at any moment what became of it.
    PERFORM 1 FROM outbox WHERE contact_id = ANY (ids) ORDER BY position FOR UPDATE;
    PERFORM 1 FROM address WHERE contact_id = ANY (ids) ORDER BY source, identity FOR UPDATE;
    PERFORM 1 FROM delivery WHERE contact_id = ANY (ids) ORDER BY id FOR UPDATE;
    FOR entry IN SELECT o.position FROM outbox AS o WHERE o.contact_id = ANY (ids) AND o.state <> 'sending' ORDER BY o.position LOOP
        PERFORM end_delivery(entry.position, 'canceled', 'erased', 'the contact was erased');
    END LOOP;
    DELETE FROM timer WHERE contact_id = ANY (ids);
    -- What waits in these lanes ends, also what came while we waited for them: with the person its meaning is gone.
    waiting := ARRAY(SELECT w.event_id FROM waiting_about(ids, their_events, buckets) AS w);
    webhooks := webhooks || webhooks_about(ARRAY(SELECT unnest(waiting) EXCEPT SELECT unnest(their_events)), '{}', since);
    their_events := ARRAY(SELECT unnest(their_events) UNION SELECT unnest(waiting));
    WITH gone AS (DELETE FROM work AS w WHERE w.event_id = ANY (waiting) AND w.bucket = ANY (buckets)
                  RETURNING w.event_id, w.attempts, w.replay_id)
    INSERT INTO handling (event_id, contact_id, attempts, problem, replay_id)
    SELECT g.event_id, survivor, g.attempts, 'the contact was erased', g.replay_id FROM gone AS g;
    UPDATE outreach SET state = 'canceled', ended_at = now() WHERE contact_id = ANY (ids) AND state = 'active';
    UPDATE survey SET state = 'canceled' WHERE contact_id = ANY (ids) AND state = 'asked';

    UPDATE webhook AS w
       SET body = '', headers = jsonb_build_object('erased-body-sha256', encode(sha256(w.body), 'hex')), problem = 'erased'
     WHERE w.id = ANY (webhooks) AND w.problem IS DISTINCT FROM 'erased';
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
