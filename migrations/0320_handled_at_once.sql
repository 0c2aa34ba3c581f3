-- An event that a batch made and handled as well needs no work.
--
-- Why: the first message of a customer makes `contact.created` and `conversation.opened`, which most rules never look at. Each
-- waited for a turn of its own: a row of work, a claim, a transaction. What no rule takes is handled where it is made.
-- Locks: none. Takes: milliseconds.

-- As in 0128_internal_event_keys.sql; documents that are `handled` are stored, and nothing waits.
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
               doc - 'id' - 'lane' - 'received_at' - 'handled'
          FROM fresh
    )
    INSERT INTO work (event_id, event_received_at, lane)
    SELECT id, at, lane FROM fresh WHERE doc->'handled' IS DISTINCT FROM 'true' ORDER BY n;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;
