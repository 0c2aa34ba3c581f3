-- Retention and erasure beside work that goes on.
--
-- Why: a month that is dropped asks for a lock that nobody may share; behind it each webhook waited as long as it did, three
-- seconds of each thirty while somebody read. And a contact that was merged into another one while its erasure waited for the
-- engine lived on as that one.
-- Locks: none. Takes: milliseconds.

-- As in 0002_partitions.sql; whoever comes meanwhile waits no longer than this. It is tried again by the program.
CREATE OR REPLACE FUNCTION drop_partitions(older_than_months integer,
                                tables text[] DEFAULT ARRAY['webhook', 'event', 'handling', 'trace', 'attempt'])
RETURNS SETOF text
LANGUAGE plpgsql
SET timezone = 'UTC'
SET lock_timeout = '200ms'
AS $$
DECLARE
    this_month constant date := month_of(now());
    oldest_needed timestamptz;
    candidate record;
BEGIN
    IF older_than_months < 0 THEN
        RAISE EXCEPTION 'the number of months to keep cannot be negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(4202, 0);
    SELECT least((SELECT min(event_received_at) FROM work), (SELECT min(event_received_at) FROM parked_event),
                 (SELECT min(delivery_created_at) FROM outbox))
      INTO oldest_needed;
    FOR candidate IN
        SELECT p.relname::text AS parent, c.relname::text AS partition, to_date(right(c.relname, 6), 'YYYYMM') AS month
          FROM pg_inherits AS i
          JOIN pg_class AS p ON p.oid = i.inhparent
          JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE p.relkind = 'p'
           AND p.oid IN (SELECT to_regclass(format('%I', name)) FROM unnest(tables || ARRAY['event_key']) AS name)
           AND c.relname ~ ('^' || p.relname || '_[0-9]{6}$')
         ORDER BY 3, 2
    LOOP
        IF candidate.parent = 'event_key' THEN
            CONTINUE WHEN candidate.month >= this_month - interval '3 months';
        ELSE
            CONTINUE WHEN older_than_months = 0
                       OR candidate.month >= this_month - make_interval(months => older_than_months);
            CONTINUE WHEN oldest_needed < candidate.month + interval '1 month';
        END IF;
        EXECUTE format('DROP TABLE %I', candidate.partition);
        RETURN NEXT candidate.partition;
    END LOOP;
END
$$;

-- The one that it was merged into, and all that were merged into that one, in order; NULL when there is no such contact.
CREATE FUNCTION contact_family(of_contact bigint) RETURNS bigint[]
LANGUAGE sql VOLATILE
AS $$
    WITH RECURSIVE family (id) AS (
        SELECT unnest(surviving_contacts(ARRAY[of_contact]))
         UNION
        SELECT c.id FROM family AS f JOIN contact AS c ON c.merged_into = f.id
    )
    SELECT array_agg(id ORDER BY id) FROM family
$$;

-- As in 0012_privacy.sql otherwise.
CREATE OR REPLACE FUNCTION erase_contact(of_contact bigint) RETURNS bigint
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
    LOOP
        ids := contact_family(of_contact);
        IF ids IS NULL THEN
            RETURN NULL;
        END IF;
        PERFORM 1 FROM contact WHERE id = ANY (ids) ORDER BY id FOR UPDATE;
        -- Whom we waited for may have merged one of them with somebody else.
        EXIT WHEN contact_family(of_contact) = ids;
    END LOOP;

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

SELECT grant_roles();
