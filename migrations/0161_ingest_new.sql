-- A batch of events that are all new is stored without asking for each whether it is.
--
-- Why: nearly all batches are such. To claim each key by ON CONFLICT, and to lead what it returned through joins to the other
-- tables, was a fifth of what PostgreSQL did for a webhook.
-- Locks: none. Takes: milliseconds.

-- As before for one webhook, and for batches with something known in them. A batch is tried as if there was nothing: its keys are
-- inserted in the same sorted order, and the unique index refuses what is known, or waits for whoever is at the same key.
-- Then nothing is left of the try, no lock either, and the batch is stored as before. While months meet there is no try.
CREATE OR REPLACE FUNCTION ingest_batch(webhook_ids bigint[], webhook_sources text[], headers text[], bodies bytea[],
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
    is_new boolean;
    document jsonb;
    event_counts bigint[]; -- of each webhook
    new_ids bigint[];
BEGIN
    IF cardinality(webhook_ids) = 1 AND cardinality(event_ids) = 1 THEN
        INSERT INTO event_key (month, source, digest, event_id)
        VALUES (this_month, event_sources[1], digests[1], event_ids[1])
        ON CONFLICT DO NOTHING;
        is_new := FOUND;
        IF is_new AND months_meet THEN
            INSERT INTO event_key (month, source, digest, event_id)
            VALUES (last_month, event_sources[1], digests[1], event_ids[1])
            ON CONFLICT DO NOTHING;
            is_new := FOUND;
        ELSIF is_new THEN
            PERFORM FROM event_key AS k
              WHERE k.month = last_month AND k.source = event_sources[1] AND k.digest = digests[1];
            is_new := NOT FOUND;
        END IF;
        IF is_new THEN
            PERFORM FROM event_key AS k
              WHERE k.month = month_before AND k.source = event_sources[1] AND k.digest = digests[1];
            is_new := NOT FOUND;
        END IF;
        IF is_new THEN
            document := docs[1]::jsonb;
            INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, cause_event, depth, doc)
            VALUES (event_ids[1], at, coalesce(occurred[1]::timestamptz, at), event_webhooks[1], event_sources[1],
                    types[1], keys[1], lanes[1], (document #>> '{cause,event}')::bigint,
                    coalesce((document #>> '{cause,depth}')::smallint, 0), document);
            INSERT INTO work (event_id, event_received_at, lane) VALUES (event_ids[1], at, lanes[1]);
        END IF;
        INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, problem, parser)
        VALUES (webhook_ids[1], at, webhook_sources[1], headers[1]::jsonb, bodies[1], 1, is_new::integer, problems[1],
                parser);
        RETURN CASE WHEN is_new THEN event_ids ELSE '{}' END;
    END IF;

    IF NOT months_meet THEN
        IF event_webhooks = webhook_ids THEN
            event_counts := array_fill(1::bigint, ARRAY[cardinality(webhook_ids)]);
        ELSE
            event_counts := ARRAY(
                SELECT coalesce(c.events, 0)
                  FROM unnest(webhook_ids) WITH ORDINALITY AS w (id, n)
                  LEFT JOIN (SELECT e.webhook, count(*) AS events FROM unnest(event_webhooks) AS e (webhook)
                              GROUP BY e.webhook) AS c ON c.webhook = w.id
                 ORDER BY w.n);
        END IF;
        BEGIN
            INSERT INTO event_key (month, source, digest, event_id)
            SELECT this_month, event_sources[n], digests[n], event_ids[n]
              FROM generate_subscripts(event_ids, 1) AS n
             ORDER BY event_sources[n], digests[n];
            -- The subselects are scalar so that each is one probe into one partition's index.
            PERFORM FROM generate_subscripts(event_ids, 1) AS n
              WHERE (SELECT true FROM event_key AS k WHERE k.month = last_month AND k.source = event_sources[n]
                                                       AND k.digest = digests[n])
                 OR (SELECT true FROM event_key AS k WHERE k.month = month_before AND k.source = event_sources[n]
                                                       AND k.digest = digests[n]);
            IF FOUND THEN
                RAISE unique_violation;
            END IF;
            INSERT INTO event (id, received_at, occurred_at, webhook_id, source, type, key, lane, cause_event, depth, doc)
            SELECT event_ids[n], at, coalesce(occurred[n]::timestamptz, at), event_webhooks[n], event_sources[n],
                   types[n], keys[n], lanes[n], (d.doc #>> '{cause,event}')::bigint,
                   coalesce((d.doc #>> '{cause,depth}')::smallint, 0), d.doc
              FROM generate_subscripts(event_ids, 1) AS n
             CROSS JOIN LATERAL (SELECT docs[n]::jsonb AS doc OFFSET 0) AS d;
            INSERT INTO work (event_id, event_received_at, lane)
            SELECT event_ids[n], at, lanes[n] FROM generate_subscripts(event_ids, 1) AS n ORDER BY n;
            INSERT INTO webhook (id, received_at, source, headers, body, event_count, new_events, problem, parser)
            SELECT webhook_ids[n], at, webhook_sources[n], headers[n]::jsonb, bodies[n], event_counts[n],
                   event_counts[n], problems[n], parser
              FROM generate_subscripts(webhook_ids, 1) AS n;
            RETURN event_ids;
        EXCEPTION WHEN unique_violation THEN
            -- Something is known, or twice in the batch: nothing of the above is left, and all of it goes the other way.
        END;
    END IF;

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
