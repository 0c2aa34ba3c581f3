-- Two people who were taken for one are taken apart again.
--
-- Why: whoever was merged by mistake, or got somebody else's number by a rule's `identify`, shared a history with a stranger from then
-- on, and what was meant for the one left for the other. There was no way back.
-- Locks: none. Takes: milliseconds.

-- The handles, and those that mean the same: phone:N and whatsapp:N find each other.
CREATE FUNCTION with_twins(handles text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE
AS $$
    SELECT array_agg(DISTINCT h)
      FROM unnest(handles) AS given (handle)
     CROSS JOIN LATERAL (VALUES (handle), (regexp_replace(handle, '^phone:(\d+)$', 'whatsapp:\1')),
                                (regexp_replace(handle, '^whatsapp:(\d+)$', 'phone:\1'))) AS twins (h)
$$;

-- Is this event about who has these handles, and not about who has the others? It may name both, as a payment does in whose metadata
-- somebody wrote a wrong chat: a provider's own handle decides then.
CREATE FUNCTION names_handles(doc jsonb, handles text[], others text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN bool_or(starts_with(i, concat(doc->>'provider', ':')) AND i = ANY (handles || others))
                THEN bool_or(starts_with(i, concat(doc->>'provider', ':')) AND i = ANY (handles))
                ELSE coalesce(bool_or(i = ANY (handles)) AND NOT bool_or(i = ANY (others)), false) END
      FROM jsonb_array_elements_text(doc #> '{contact,identities}') AS i
$$;

-- What was handled as theirs, and came from one of these handles; or was made here, about one of these conversations.
CREATE FUNCTION events_of_handles(ids bigint[], handles text[], others text[], conversations bigint[]) RETURNS bigint[]
LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
    SELECT coalesce(array_agg(DISTINCT h.event_id), '{}')
      FROM handling AS h
      JOIN event AS e ON e.id = h.event_id
     WHERE h.contact_id = ANY (ids)
       AND CASE WHEN e.doc ? 'contact_id' OR NOT e.doc ? 'contact' THEN h.conversation_id = ANY (conversations)
                ELSE names_handles(e.doc, handles, others) END
$$;

-- Who the handles were before the last merge that brought them; NULL when none did.
CREATE FUNCTION merged_with(ids bigint[], handles text[]) RETURNS bigint
LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
    SELECT document_id(e.doc #> '{body,from}')
      FROM handling AS h
      JOIN event AS e ON e.id = h.event_id
     WHERE h.contact_id = ANY (ids) AND e.type = 'contact.merged' AND e.doc #> '{body,identities}' ?| handles
     ORDER BY e.received_at DESC, e.id DESC LIMIT 1
$$;

-- What waits to leave for one of the two and was caused by the other was meant for the other.
CREATE FUNCTION cancel_misdirected(ids bigint[], handles text[], outreaches bigint[], events bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    why constant text := 'its receiver turned out to be somebody else';
    misdirected bigint[];
    entry record;
BEGIN
    misdirected := ARRAY(
        SELECT d.id
          FROM (SELECT o.delivery_id, o.delivery_created_at FROM outbox AS o WHERE o.contact_id = ANY (ids)
                 UNION ALL SELECT h.delivery_id, h.delivery_created_at FROM held_delivery AS h WHERE h.contact_id = ANY (ids)) AS w
          JOIN delivery AS d ON d.id = w.delivery_id AND d.created_at = w.delivery_created_at
         WHERE d.kind = 'message'
           AND (d.identity = ANY (handles)) <> coalesce(CASE WHEN d.outreach_id IS NULL THEN d.event_id = ANY (events)
                                                             ELSE d.outreach_id = ANY (outreaches) END, false));
    FOR entry IN SELECT o.position, o.state FROM outbox AS o WHERE o.delivery_id = ANY (misdirected) ORDER BY o.position LOOP
        IF entry.state IN ('waiting', 'behind') THEN
            PERFORM end_delivery(entry.position, 'canceled', 'split', why);
        ELSE
            UPDATE outbox SET cancel_wanted = true WHERE position = entry.position; -- on its way: not tried again
        END IF;
    END LOOP;
    PERFORM drop_held(misdirected, why);
END
$$;

-- The conversations that are theirs from then on. One in which both were heard is made two: the other one gets a copy with what was said
-- on its own handles.
CREATE FUNCTION split_conversations(ids bigint[], handles text[], survivor bigint, other bigint) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    theirs bigint[] := '{}';
    was conversation;
    is_theirs boolean;
    copy bigint;
BEGIN
    FOR was IN SELECT v.* FROM conversation AS v WHERE v.contact_id = ANY (ids) AND v.identity IS NOT NULL ORDER BY v.id FOR UPDATE LOOP
        is_theirs := was.identity = ANY (handles);
        IF is_theirs THEN
            UPDATE conversation SET contact_id = other, updated_at = now() WHERE id = was.id;
            theirs := theirs || was.id;
        END IF;
        CONTINUE WHEN NOT EXISTS (SELECT FROM message AS m
                                   WHERE m.conversation_id = was.id AND (m.identity = ANY (handles)) <> is_theirs);

        copy := nextval('object_id');
        INSERT INTO conversation (id, contact_id, source, identity, topic, reference, state, priority, assignee, tags, opened_at,
                                  last_inbound_at, last_outbound_at, snoozed_until, resolved_at)
        SELECT copy, CASE WHEN is_theirs THEN survivor ELSE other END, x.source, x.identity, was.topic, was.reference, was.state,
               was.priority, was.assignee, was.tags, x.opened_at, x.last_in, x.last_out, was.snoozed_until, was.resolved_at
          FROM (SELECT (array_agg(m.source ORDER BY m.created_at DESC, m.id DESC))[1] AS source,
                       (array_agg(m.identity ORDER BY m.created_at DESC, m.id DESC))[1] AS identity, min(m.created_at) AS opened_at,
                       max(m.occurred_at) FILTER (WHERE m.direction = 'in') AS last_in,
                       max(m.created_at) FILTER (WHERE m.direction = 'out') AS last_out
                  FROM message AS m
                 WHERE m.conversation_id = was.id AND (m.identity = ANY (handles)) <> is_theirs) AS x;
        UPDATE message SET conversation_id = copy WHERE conversation_id = was.id AND (identity = ANY (handles)) <> is_theirs;
        UPDATE delivery SET conversation_id = copy
         WHERE contact_id = ANY (ids) AND conversation_id = was.id AND (identity = ANY (handles)) <> is_theirs;
        UPDATE survey AS s SET conversation_id = copy
          FROM message AS m
         WHERE s.conversation_id = was.id AND m.id = s.message_id AND m.conversation_id = copy;
        UPDATE handling AS h SET conversation_id = copy
          FROM message AS m
         WHERE m.conversation_id = copy AND h.event_id = m.event_id AND h.conversation_id = was.id AND m.direction = 'in';
        IF NOT is_theirs THEN
            theirs := theirs || copy;
        END IF;
    END LOOP;
    RETURN theirs;
END
$$;

-- Everything of these handles, conversations, outreaches, surveys and events is the other one's from then on.
CREATE FUNCTION hand_over(ids bigint[], other bigint, handles text[], conversations bigint[], outreaches bigint[], surveys bigint[],
                          events bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    new_lane constant integer := (SELECT c.lane FROM contact AS c WHERE c.id = other);
BEGIN
    UPDATE identity SET contact_id = other WHERE identity = ANY (handles);
    UPDATE address SET contact_id = other WHERE contact_id = ANY (ids) AND identity = ANY (handles);
    UPDATE survey SET contact_id = other WHERE id = ANY (surveys);
    -- An outreach goes on in a thread of its own person, or opens another one.
    UPDATE outreach
       SET contact_id = CASE WHEN id = ANY (outreaches) THEN other ELSE contact_id END,
           conversation_id = CASE WHEN (conversation_id = ANY (conversations)) = (id = ANY (outreaches)) THEN conversation_id END
     WHERE contact_id = ANY (ids);
    UPDATE timer
       SET contact_id = other, lane = new_lane
     WHERE contact_id = ANY (ids)
       AND CASE WHEN outreach_id IS NOT NULL THEN outreach_id = ANY (outreaches) ELSE conversation_id = ANY (conversations) END;
    UPDATE timer
       SET conversation_id = NULL
     WHERE outreach_id IS NOT NULL AND (contact_id = ANY (ids) OR contact_id = other)
       AND (conversation_id = ANY (conversations)) <> (outreach_id = ANY (outreaches));
    UPDATE message SET contact_id = other
     WHERE contact_id = ANY (ids)
       AND (identity = ANY (handles) OR (identity IS NULL AND conversation_id = ANY (conversations)));
    UPDATE delivery SET contact_id = other WHERE contact_id = ANY (ids) AND identity = ANY (handles);
    UPDATE outbox AS o SET contact_id = other
      FROM delivery AS d
     WHERE o.contact_id = ANY (ids) AND d.id = o.delivery_id AND d.created_at = o.delivery_created_at AND d.contact_id = other;
    UPDATE held_delivery AS h SET contact_id = other
      FROM delivery AS d
     WHERE h.contact_id = ANY (ids) AND d.id = h.delivery_id AND d.contact_id = other;
    UPDATE handling SET contact_id = other WHERE contact_id = ANY (ids) AND event_id = ANY (events);
END
$$;

-- What waits finds its person by its handles; what was made here says whose it is.
CREATE FUNCTION hand_over_waiting(ids bigint[], other bigint, conversations bigint[], outreaches bigint[], surveys bigint[],
                                  buckets smallint[]) RETURNS void
LANGUAGE sql
SET enable_seqscan = off
SET jit = off
AS $$
    UPDATE event AS e
       SET doc = jsonb_set(e.doc, '{contact_id}', to_jsonb(other))
      FROM (SELECT w.event_id, w.event_received_at FROM work AS w WHERE w.bucket = ANY (buckets)
             UNION SELECT k.event_id, k.event_received_at FROM parked_event AS k) AS w
     WHERE e.id = w.event_id AND e.received_at = w.event_received_at AND document_id(e.doc->'contact_id') = ANY (ids)
       AND CASE WHEN e.doc ? 'outreach_id' THEN document_id(e.doc->'outreach_id') = ANY (outreaches)
                ELSE document_id(e.doc->'conversation_id') = ANY (conversations)
                     OR document_id(e.doc->'survey_id') = ANY (surveys) END;
$$;

CREATE FUNCTION split_contact(of_contact bigint, VARIADIC handles text[]) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    other constant bigint := nextval('object_id');
    ids bigint[];
    survivor bigint;
    known_as text[];
    theirs text[];
    missing text;
    buckets smallint[] := '{}';
    conversations bigint[];
    outreaches bigint[];
    surveys bigint[];
    events bigint[];
    before bigint;
BEGIN
    LOOP
        ids := contact_family(of_contact);
        IF ids IS NULL THEN
            RAISE EXCEPTION 'there is no contact %', of_contact USING ERRCODE = 'no_data_found',
                HINT = 'SELECT contact_id, identity FROM identity_list tells who has which handle.';
        END IF;
        known_as := ARRAY(SELECT i.identity FROM identity AS i WHERE i.contact_id = ANY (ids) ORDER BY i.identity);
        -- As the engine and erase_contact() do it: the lanes first, then the contacts.
        buckets := ARRAY(SELECT unnest(buckets) UNION SELECT (c.lane & 511)::smallint FROM contact AS c WHERE c.id = ANY (ids)
                          UNION SELECT (identity_lane(k) & 511)::smallint FROM unnest(known_as) AS k
                          UNION SELECT w.bucket FROM waiting_about(ids, '{}') AS w ORDER BY 1);
        PERFORM pg_advisory_xact_lock(4201, b.bucket) FROM unnest(buckets) AS b (bucket);
        PERFORM 1 FROM contact WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
        EXIT WHEN contact_family(of_contact) = ids
              AND known_as = ARRAY(SELECT i.identity FROM identity AS i WHERE i.contact_id = ANY (ids) ORDER BY i.identity);
    END LOOP;
    survivor := (surviving_contacts(ARRAY[of_contact]))[1];
    -- In the order in which senders lock.
    PERFORM 1 FROM outbox WHERE contact_id = ANY (ids) ORDER BY position FOR UPDATE;
    PERFORM 1 FROM address WHERE contact_id = ANY (ids) ORDER BY source, identity FOR UPDATE;
    PERFORM 1 FROM delivery WHERE contact_id = ANY (ids) ORDER BY id FOR UPDATE;

    missing := (SELECT string_agg(h, ', ') FROM unnest(handles) AS h WHERE h <> ALL (known_as));
    IF missing IS NOT NULL OR cardinality(handles) = 0 THEN
        RAISE EXCEPTION 'contact % does not have %', of_contact, coalesce(missing, 'no handle')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Its handles are ' || array_to_string(known_as, ', ') || '.';
    END IF;
    theirs := ARRAY(SELECT h FROM unnest(with_twins(handles)) AS h WHERE h = ANY (known_as));
    IF known_as <@ theirs THEN
        RAISE EXCEPTION 'contact % would have no handle left', of_contact USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name only those that belong to the other person.';
    END IF;

    before := merged_with(ids, theirs);
    -- Who stopped messages as one of the two has stopped them as both; what was paid is not asked for again.
    INSERT INTO contact (id, created_at, lane, name, language, timezone, preferred_channel, attributes, opted_out, opted_out_at,
                         settled)
    SELECT other, (SELECT min(i.created_at) FROM identity AS i WHERE i.identity = ANY (theirs)), identity_lane(handles[1]),
           b.name, b.language, b.timezone, b.preferred_channel, coalesce(b.attributes, '{}'), c.opted_out, c.opted_out_at, c.settled
      FROM contact AS c LEFT JOIN contact AS b ON b.id = before AND b.id <> c.id
     WHERE c.id = survivor;

    conversations := split_conversations(ids, theirs, survivor, other);
    events := events_of_handles(ids, theirs, ARRAY(SELECT unnest(known_as) EXCEPT SELECT unnest(theirs)), conversations);
    outreaches := ARRAY(SELECT o.id FROM outreach AS o WHERE o.contact_id = ANY (ids) AND o.event_id = ANY (events));
    surveys := ARRAY(SELECT s.id FROM survey AS s WHERE s.conversation_id = ANY (conversations));

    PERFORM cancel_misdirected(ids, theirs, outreaches, events);
    PERFORM hand_over(ids, other, theirs, conversations, outreaches, surveys, events);
    PERFORM hand_over_waiting(ids, other, conversations, outreaches, surveys, buckets);
    PERFORM append_own_events(jsonb_build_array(jsonb_build_object(
        'type', 'contact.split', 'source', 'answerd', 'provider', 'answerd', 'key', 'split:' || other,
        'occurred_at', clock_timestamp(), 'lane', (SELECT c.lane FROM contact AS c WHERE c.id = survivor), 'contact_id', survivor,
        'body', jsonb_build_object('from', survivor, 'into', other, 'identities', to_jsonb(theirs), 'by', session_user))));
    RETURN other;
END
$$;
COMMENT ON FUNCTION split_contact(bigint, text[]) IS
    'Takes two people apart who were taken for one: these handles, with what was said through them, become a contact. Returns its id.';
