-- Erasing a contact, and the role that may only read.
--
-- Why: a person may ask to be forgotten, and an analyst must not be able to change anything.
-- Locks: rows of one contact at a time. Takes: milliseconds; an erasure as long as the contact's history.

-- Removes what a contact wrote and who they are, in everything that is theirs or was merged into them, and keeps the
-- counts: conversations, messages, events and deliveries stay as rows without content. What waits to be sent to them is
-- canceled. A webhook that carried one of their events loses its body. Returns how many messages it emptied; NULL: no
-- such contact.
CREATE FUNCTION erase_contact(of_contact bigint) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    ids bigint[];
    events bigint[];
    entry record;
    emptied bigint;
BEGIN
    -- With the one it was merged into, and all that were merged into that one.
    ids := surviving_contacts(ARRAY[of_contact]);
    IF cardinality(ids) = 0 THEN
        RETURN NULL;
    END IF;
    WITH RECURSIVE family (id) AS (
        SELECT unnest(ids) UNION SELECT c.id FROM family AS f JOIN contact AS c ON c.merged_into = f.id)
    SELECT array_agg(id ORDER BY id) INTO ids FROM family;
    PERFORM 1 FROM contact WHERE id = ANY (ids) ORDER BY id FOR UPDATE;

    FOR entry IN SELECT o.position FROM outbox AS o WHERE o.contact_id = ANY (ids) AND o.state <> 'sending'
        ORDER BY o.position FOR UPDATE LOOP
        PERFORM end_delivery(entry.position, 'canceled', 'erased', 'the contact was erased');
    END LOOP;
    DELETE FROM timer WHERE contact_id = ANY (ids);
    UPDATE outreach SET state = 'canceled', ended_at = now() WHERE contact_id = ANY (ids) AND state = 'active';
    UPDATE survey SET state = 'canceled' WHERE contact_id = ANY (ids) AND state = 'asked';

    SELECT array_agg(DISTINCT h.event_id) INTO events FROM handling AS h WHERE h.contact_id = ANY (ids);
    UPDATE webhook AS w SET body = '', headers = '{}', problem = 'erased'
      FROM event AS e WHERE e.id = ANY (events) AND w.id = e.webhook_id AND w.received_at = e.received_at;
    UPDATE event AS e SET doc = jsonb_strip_nulls(jsonb_build_object(
               'type', e.type, 'source', e.source, 'provider', e.doc->'provider', 'erased', true,
               'message', jsonb_build_object('kind', e.doc #> '{message,kind}'),
               'payment', jsonb_build_object('amount', e.doc #> '{payment,amount}', 'currency',
                   e.doc #> '{payment,currency}'),
               'status', jsonb_build_object('state', e.doc #> '{status,state}')))
     WHERE e.id = ANY (events);
    UPDATE trace AS t SET effects = '[]', error = NULL WHERE t.event_id = ANY (events);

    UPDATE message SET text = NULL, content = '{}', identity = NULL, author = CASE direction WHEN 'in' THEN 'contact'
        ELSE author END
     WHERE contact_id = ANY (ids);
    GET DIAGNOSTICS emptied = ROW_COUNT;
    UPDATE delivery SET request = '{}', identity = NULL WHERE contact_id = ANY (ids);
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
COMMENT ON FUNCTION erase_contact(bigint) IS
    'Removes what a contact wrote and who they are, keeps the counts; returns the number of messages it emptied.';

-- The read-only role: GRANT answerd_read TO somebody. A database owner without the right to create roles goes without
-- it.
DO $$
DECLARE
    view_name text;
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'answerd_read') THEN
            CREATE ROLE answerd_read NOLOGIN;
        END IF;
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'the role answerd_read was not created: this user may not create roles';
            RETURN;
        WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of the cluster is being migrated at this moment
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO answerd_read', current_schema());
    FOR view_name IN SELECT c.relname FROM pg_class AS c WHERE c.relkind = 'v'
        AND c.relnamespace = current_schema()::regnamespace LOOP
        EXECUTE format('GRANT SELECT ON %I TO answerd_read', view_name);
    END LOOP;
    REVOKE ALL ON FUNCTION erase_contact(bigint) FROM PUBLIC;
END
$$;
