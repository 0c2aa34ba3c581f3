-- Events from inside that bring keys of their own are all stored, however many come at once.
--
-- Why: the keys were claimed once for each of them, and the second time they were known: only the first event was stored.
-- Locks: none. Takes: milliseconds.

-- As in 0003_ingest.sql; the keys are claimed once, together.
CREATE OR REPLACE FUNCTION append_internal_events(docs jsonb, at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    sources text[];
    digests uuid[];
    numbers integer[]; -- of the documents whose keys are to be claimed
    claimed integer[]; -- places in these arrays
    known integer[] := '{}';
    added integer;
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(docs) AS doc WHERE doc->>'key' NOT LIKE 'internal:%') THEN
        SELECT array_agg(coalesce(doc->>'source', 'answerd') ORDER BY n), array_agg(event_key_digest(doc->>'key') ORDER BY n),
               array_agg(n::integer ORDER BY n)
          INTO sources, digests, numbers
          FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n)
         WHERE doc->>'key' NOT LIKE 'internal:%';
        claimed := claim_event_keys(sources, digests, at);
        known := ARRAY(SELECT numbers[p] FROM generate_subscripts(numbers, 1) AS p WHERE p <> ALL (claimed));
    END IF;

    WITH fresh AS (
        SELECT n, doc, (doc->>'id')::bigint AS id, (doc->>'lane')::integer AS lane
          FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n)
         WHERE n <> ALL (known)
    ), stored AS (
        INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, cause_event, depth, doc)
        SELECT id, at, coalesce((doc->>'occurred_at')::timestamptz, at), coalesce(doc->>'source', 'answerd'),
               doc->>'type', coalesce(doc->>'key', 'internal:' || id), lane,
               (doc #>> '{cause,event}')::bigint, coalesce((doc #>> '{cause,depth}')::smallint, 0),
               doc - 'id' - 'lane' - 'received_at'
          FROM fresh
    )
    INSERT INTO work (event_id, event_received_at, lane) SELECT id, at, lane FROM fresh ORDER BY n;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
