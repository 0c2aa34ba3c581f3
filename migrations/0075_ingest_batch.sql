-- A batch of webhooks is stored by one statement.
--
-- Why: the parts of ingest_append() cost more than half a millisecond for each call, whatever the batch held: a dozen
-- statements, one of them planned again each time, and a function for the digest of each key that PostgreSQL could not
-- inline. Here is one statement with one plan; sources and digests come as arrays.
-- Locks: ACCESS EXCLUSIVE on event_key for a moment (a column without default). Takes: milliseconds.

-- Who claimed the key. Unknown for keys that claim_event_keys() claimed.
ALTER TABLE event_key ADD COLUMN event_id bigint;

-- Appends a batch of webhooks with their events: what is known already is left out, the rest gets work, in the order
-- given. Returns the ids of the events that are new, in that order.
--
-- Arrays of webhooks are parallel, and so are those of events; event_webhooks names the webhook an event came with,
-- event_sources has its source and digests the event_key_digest() of its key. The documents are without id, received_at
-- and lane: those are columns.
--
-- Keys are claimed as claim_event_keys() does it, which tells why: in sorted order, so that two batches with the same
-- keys cannot wait for each other; in the first ten minutes of a month in the month before as well. Of doubles within
-- the batch the first is inserted, and so has the key. One statement sees the keys of other months as they were when it
-- began. That is enough: ten minutes after the end of a month no transaction is left that writes into it.
CREATE FUNCTION ingest_batch(webhook_ids bigint[], webhook_sources text[], headers text[], bodies bytea[],
                             problems text[], parser integer,
                             event_ids bigint[], event_webhooks bigint[], event_sources text[], types text[],
                             keys text[], digests uuid[], lanes bigint[], occurred text[], docs text[],
                             at timestamptz DEFAULT now())
RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_nestloop = off -- the planner does not know how long the arrays are
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    this_month constant date := date_trunc('month', at AT TIME ZONE 'UTC')::date;
    last_month constant date := (this_month - interval '1 month')::date;
    month_before constant date := (this_month - interval '2 months')::date;
    months_meet constant boolean := at < (this_month::timestamp AT TIME ZONE 'UTC') + interval '10 minutes';
    new_ids bigint[];
BEGIN
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest(event_ids, event_webhooks, event_sources, types, keys, digests, lanes, occurred, docs)
                      WITH ORDINALITY AS e (id, webhook, source, type, key, digest, lane, occurred, doc, n)
    ), claimed AS (
        INSERT INTO event_key AS k (month, source, digest, event_id)
        SELECT this_month, g.source, g.digest, g.id FROM given AS g ORDER BY g.source, g.digest, g.n
        ON CONFLICT DO NOTHING
        RETURNING k.source, k.digest, k.event_id
    ), claimed_last_month AS (
        INSERT INTO event_key AS k (month, source, digest, event_id)
        SELECT last_month, c.source, c.digest, c.event_id FROM claimed AS c WHERE months_meet
         ORDER BY c.source, c.digest
        ON CONFLICT DO NOTHING
        RETURNING k.event_id
    ), fresh AS MATERIALIZED (
        -- The subselects are scalar so that each is one probe into one partition's index.
        SELECT g.*
          FROM claimed AS c
          JOIN given AS g ON g.id = c.event_id
         WHERE CASE WHEN months_meet THEN c.event_id IN (SELECT l.event_id FROM claimed_last_month AS l)
                    ELSE (SELECT true FROM event_key AS k WHERE k.month = last_month AND k.source = c.source
                                                            AND k.digest = c.digest) IS NULL END
           AND (SELECT true FROM event_key AS k WHERE k.month = month_before AND k.source = c.source
                                                  AND k.digest = c.digest) IS NULL
    ), stored AS (
        INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, cause_event, depth, doc)
        SELECT f.id, at, coalesce(f.occurred::timestamptz, at), f.webhook, f.source, f.type, f.key, f.lane,
               (d.doc #>> '{cause,event}')::bigint, coalesce((d.doc #>> '{cause,depth}')::smallint, 0), d.doc
          FROM fresh AS f
         CROSS JOIN LATERAL (SELECT f.doc::jsonb AS doc OFFSET 0) AS d
    ), queued AS (
        INSERT INTO work (event_id, event_received_at, lane)
        SELECT f.id, at, f.lane FROM fresh AS f ORDER BY f.n
    ), kept AS (
        INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, problem, parser)
        SELECT w.id, at, w.source, w.header::jsonb, w.body, coalesce(c.events, 0), coalesce(c.new_events, 0),
               w.problem, parser
          FROM unnest(webhook_ids, webhook_sources, headers, bodies, problems)
               AS w (id, source, header, body, problem)
          LEFT JOIN (SELECT g.webhook, count(*) AS events, count(f.id) AS new_events
                       FROM given AS g LEFT JOIN fresh AS f ON f.id = g.id
                      GROUP BY g.webhook) AS c ON c.webhook = w.id
    )
    SELECT array_agg(f.id ORDER BY f.n) INTO new_ids FROM fresh AS f;
    RETURN coalesce(new_ids, '{}');
END
$$;
COMMENT ON FUNCTION ingest_batch(bigint[], text[], text[], bytea[], text[], integer, bigint[], bigint[], text[], text[],
                                 text[], uuid[], bigint[], text[], text[], timestamptz) IS
    'Stores a batch of webhooks, their new events and the work, in order; returns the ids of the new events.';

-- The same for programs that know no digests: one row for each event.
CREATE OR REPLACE FUNCTION ingest_append(webhook_ids bigint[], webhook_sources text[], headers text[], bodies bytea[],
                                         problems text[], parser integer,
                                         event_webhooks bigint[], event_ids bigint[], types text[], keys text[],
                                         lanes bigint[], occurred text[], docs text[], at timestamptz DEFAULT now())
RETURNS TABLE (event_id bigint, is_new boolean)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    sources text[];
    digests uuid[];
    new_ids bigint[];
BEGIN
    SELECT array_agg(w.source ORDER BY e.n), array_agg(event_key_digest(e.key) ORDER BY e.n)
      INTO sources, digests
      FROM unnest(event_webhooks, keys) WITH ORDINALITY AS e (webhook, key, n)
      JOIN unnest(webhook_ids, webhook_sources) AS w (id, source) ON w.id = e.webhook;
    new_ids := ingest_batch(webhook_ids, webhook_sources, headers, bodies, problems, parser, event_ids, event_webhooks,
                            sources, types, keys, digests, lanes, occurred, docs, at);
    RETURN QUERY
    SELECT e.id, e.id = ANY (new_ids) FROM unnest(event_ids) WITH ORDINALITY AS e (id, n) ORDER BY e.n;
END
$$;
