-- Ingest: what arrives becomes webhooks, events that are new, and work, in one commit.
--
-- Why: one statement for a batch, set by set, is what makes thousands of durable webhooks a second possible.
-- Locks: none. Takes: milliseconds.

-- What an event is known by: the first 16 bytes of the SHA-256 of its key.
CREATE FUNCTION event_key_digest(key text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(encode(sha256(convert_to(key, 'UTF8')), 'hex'), 32)::uuid;

-- Claims keys for the caller's transaction; returns the positions (from 1) in the arrays of those that nobody claimed
-- before, and of doubles within the arrays only the first. A key stays claimed for two whole months and the current
-- one: at least 59 days.
--
-- Concurrent claims of one key: the unique index lets one in and makes the other wait for it. Keys are inserted in
-- sorted order, so that two batches with the same keys cannot wait for each other.
-- At a boundary of months, one transaction may write into the old month while another, a moment later by the clock,
-- writes into the new one and cannot see the first. Therefore during the first ten minutes of a month keys go into the
-- month before as well, and that is where the two meet. No ingest transaction lives that long.
CREATE FUNCTION claim_event_keys(sources text[], digests uuid[], at timestamptz DEFAULT now())
RETURNS integer[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    this_month constant date := month_of(at);
    last_month constant date := (this_month - interval '1 month')::date;
    month_before constant date := (this_month - interval '2 months')::date;
    fresh integer[];
    also_fresh integer[];
BEGIN
    WITH given AS (
        SELECT DISTINCT ON (source, digest) source, digest, number::integer
          FROM unnest(sources, digests) WITH ORDINALITY AS g (source, digest, number)
         ORDER BY source, digest, number
    ), inserted AS (
        INSERT INTO event_key (month, source, digest)
        SELECT this_month, source, digest FROM given ORDER BY source, digest
        ON CONFLICT DO NOTHING
        RETURNING source, digest
    )
    SELECT array_agg(number) INTO fresh FROM given JOIN inserted USING (source, digest);
    IF fresh IS NULL THEN
        RETURN '{}';
    END IF;

    IF at < (this_month::timestamp AT TIME ZONE 'UTC') + interval '10 minutes' THEN
        WITH given AS (
            SELECT sources[number] AS source, digests[number] AS digest, number FROM unnest(fresh) AS number
        ), inserted AS (
            INSERT INTO event_key (month, source, digest)
            SELECT last_month, source, digest FROM given ORDER BY source, digest
            ON CONFLICT DO NOTHING
            RETURNING source, digest
        )
        SELECT array_agg(number) INTO also_fresh FROM given JOIN inserted USING (source, digest);
        fresh := also_fresh;
    END IF;

    -- The subselects are scalar so that each is one probe into one partition's index.
    RETURN coalesce((
        SELECT array_agg(number ORDER BY number)
          FROM unnest(fresh) AS number
         WHERE (at < (this_month::timestamp AT TIME ZONE 'UTC') + interval '10 minutes'
                OR (SELECT true FROM event_key AS k
                     WHERE k.month = last_month AND k.source = sources[number] AND k.digest = digests[number]) IS NULL)
           AND (SELECT true FROM event_key AS k
                 WHERE k.month = month_before AND k.source = sources[number] AND k.digest = digests[number]) IS NULL),
        '{}');
END
$$;
COMMENT ON FUNCTION claim_event_keys(text[], uuid[], timestamptz) IS
    'Claims event keys; returns the array positions of those that are new. A key stays claimed for at least 59 days.';

-- Appends a batch of webhooks with their events: what is known already is left out, the rest gets work, in the order
-- given. Returns one row for each event. Event arrays are parallel; event_webhooks names the webhook an event came
-- with. The documents are without id, received_at and lane: those are columns.
CREATE FUNCTION ingest_append(webhook_ids bigint[], webhook_sources text[], headers text[], bodies bytea[],
                              problems text[], parser integer,
                              event_webhooks bigint[], event_ids bigint[], types text[], keys text[], lanes bigint[],
                              occurred text[], docs text[], at timestamptz DEFAULT now())
RETURNS TABLE (event_id bigint, is_new boolean)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    sources text[];
    fresh integer[] := '{}';
BEGIN
    IF cardinality(event_ids) > 0 THEN
        SELECT array_agg(w.source ORDER BY e.n)
          INTO sources
          FROM unnest(event_webhooks) WITH ORDINALITY AS e (webhook, n)
          JOIN unnest(webhook_ids, webhook_sources) AS w (id, source) ON w.id = e.webhook;
        fresh := claim_event_keys(sources, (SELECT array_agg(event_key_digest(key) ORDER BY n)
                                              FROM unnest(keys) WITH ORDINALITY AS k (key, n)), at);
        INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, cause_event, depth, doc)
        SELECT e.id, at, coalesce(e.occurred::timestamptz, at), e.webhook, e.source, e.type, e.key, e.lane,
               (d.doc #>> '{cause,event}')::bigint, coalesce((d.doc #>> '{cause,depth}')::smallint, 0), d.doc
          FROM unnest(event_ids, event_webhooks, sources, types, keys, lanes, occurred, docs) WITH ORDINALITY
               AS e (id, webhook, source, type, key, lane, occurred, text, n)
          JOIN unnest(fresh) AS f (n) ON f.n = e.n
         CROSS JOIN LATERAL (SELECT e.text::jsonb AS doc OFFSET 0) AS d;
        INSERT INTO work (event_id, event_received_at, lane)
        SELECT e.id, at, e.lane
          FROM unnest(event_ids, lanes) WITH ORDINALITY AS e (id, lane, n)
          JOIN unnest(fresh) AS f (n) ON f.n = e.n
         ORDER BY e.n;
    END IF;

    INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, problem, parser)
    SELECT w.id, at, w.source, w.header::jsonb, w.body, coalesce(c.events, 0), coalesce(c.new_events, 0), w.problem,
        parser
      FROM unnest(webhook_ids, webhook_sources, headers, bodies, problems) AS w (id, source, header, body, problem)
      LEFT JOIN (SELECT webhook, count(*) AS events, count(f) AS new_events
                   FROM unnest(event_webhooks) WITH ORDINALITY AS e (webhook, n)
                   LEFT JOIN unnest(fresh) AS f ON f = n
                  GROUP BY webhook) AS c ON c.webhook = w.id;

    RETURN QUERY
    SELECT e.id, f IS NOT NULL
      FROM unnest(event_ids) WITH ORDINALITY AS e (id, n)
      LEFT JOIN unnest(fresh) AS f ON f = n
     ORDER BY n;
END
$$;
COMMENT ON FUNCTION ingest_append(bigint[], text[], text[], bytea[], text[], integer, bigint[], bigint[], text[],
                                  text[], bigint[], text[], text[], timestamptz) IS
    'Stores a batch of webhooks, their new events and the work, in order; says for each event whether it was new.';

-- The first of `count` numbers in a row that nobody else has.
CREATE FUNCTION reserve_ids(count bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    IF count BETWEEN 1 AND 1000 THEN
        RETURN nextval('object_id'); -- it counts by thousands
    END IF;
    RAISE EXCEPTION 'a block has between 1 and 1000 ids' USING ERRCODE = 'invalid_parameter_value';
END
$$;

-- Events that the database itself makes (timers, crons) or that come from a transaction of the engine, in the order of
-- the array. Documents have id, lane, type, key; their keys are unique by construction ('internal:ID'), others are
-- claimed.
CREATE FUNCTION append_internal_events(docs jsonb, at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    known integer[];
    added integer;
BEGIN
    SELECT array_agg(e.number)
      INTO known
      FROM (SELECT array_agg(coalesce(doc->>'source', 'answerd') ORDER BY n) AS sources,
                   array_agg(event_key_digest(doc->>'key') ORDER BY n) AS digests,
                   array_agg(n::integer ORDER BY n) AS numbers
              FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n)
             WHERE doc->>'key' NOT LIKE 'internal:%') AS k
     CROSS JOIN LATERAL unnest(k.numbers) WITH ORDINALITY AS e (number, place)
     WHERE k.sources IS NOT NULL
       AND e.place <> ALL (SELECT unnest(claim_event_keys(k.sources, k.digests, at)));

    WITH fresh AS (
        SELECT n, doc, (doc->>'id')::bigint AS id, (doc->>'lane')::integer AS lane
          FROM jsonb_array_elements(docs) WITH ORDINALITY AS d (doc, n)
         WHERE known IS NULL OR n <> ALL (known)
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
