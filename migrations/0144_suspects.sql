-- The look for suspect work passes over what waits for something before it in its lane.
--
-- Why: it ended after the first sixteen that had their time. When those stood behind a try that was to come minutes later, all
-- other suspects, and what came after them in their lanes, waited with them.
-- Locks: none. Takes: milliseconds.

-- The first suspect whose turn it is, if its bucket is free: alone, as its handling may end the engine.
CREATE FUNCTION claim_suspect(start bigint, now_at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    candidate record;
BEGIN
    FOR candidate IN
        SELECT w.position, w.bucket, w.lane FROM work AS w
         WHERE w.suspect AND CASE WHEN w.retry_at IS NOT NULL OR w.suspect THEN w.position END >= start
           AND (w.retry_at IS NULL OR w.retry_at <= now_at)
           AND NOT lane_is_blocked(w.lane, w.position - 1, now_at)
         ORDER BY CASE WHEN w.retry_at IS NOT NULL OR w.suspect THEN w.position END LIMIT 16
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
        -- A new statement sees what the former holder of the lock committed.
        IF EXISTS (SELECT 1 FROM work AS w WHERE w.position = candidate.position)
           AND (SELECT true FROM work AS b
                 WHERE b.bucket = candidate.bucket AND b.position + 0 >= start AND b.position + 0 < candidate.position
                   AND b.lane = candidate.lane LIMIT 1) IS NULL THEN
            RETURN candidate.position;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- As in 0125_work_indexes.sql otherwise.
CREATE OR REPLACE FUNCTION claim_positions(max_events integer, only_position bigint) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
AS $$
DECLARE
    -- After this many events of one bucket the search for an unblocked lane in it ends.
    bucket_depth constant integer := 1024;
    now_at constant timestamptz := clock_timestamp();
    -- In this order: what is decided at this moment is in the sight of the statements that follow.
    decided constant boolean := work_start_is_decided();
    start constant bigint := session_number('answerd.work_start');
    candidate record;
    looked_at integer := 0;
    tried smallint[] := '{}';
    buckets smallint[] := '{}';
    quotas integer[] := '{}';
    room integer := max_events;
    quota integer;
    claimed bigint[];
    first_seen bigint;
    only_suspect bigint;
BEGIN
    IF only_position > 0 THEN
        FOR candidate IN SELECT w.bucket, w.lane FROM work AS w WHERE w.position = only_position LOOP
            IF NOT pg_try_advisory_xact_lock(4201, candidate.bucket) THEN
                RETURN '{}';
            END IF;
            -- A new statement sees what the former holder of the lock committed.
            RETURN coalesce((SELECT array_agg(w.position) FROM work AS w
                              WHERE w.position = only_position
                                AND (SELECT true FROM work AS b
                                      WHERE b.bucket = candidate.bucket AND b.position + 0 >= start
                                        AND b.position + 0 < only_position AND b.lane = candidate.lane
                                      LIMIT 1) IS NULL), '{}');
        END LOOP;
        RETURN '{}';
    END IF;

    only_suspect := claim_suspect(start, now_at);
    IF only_suspect IS NOT NULL THEN
        RETURN ARRAY[only_suspect];
    END IF;

    FOR candidate IN
        WITH trouble AS (SELECT work_is_troubled(start) AS found)
        SELECT o.bucket, min(o.position) AS first, sum(count(*)) OVER () AS looked_at,
               count(*) FILTER (WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position,
                   now_at))) AS ready
          FROM (SELECT w.position, w.bucket, w.lane FROM work AS w WHERE w.position >= start
                 ORDER BY w.position LIMIT max_events * 4) AS o
         GROUP BY o.bucket
         ORDER BY first
    LOOP
        looked_at := candidate.looked_at;
        first_seen := coalesce(first_seen, candidate.first);
        CONTINUE WHEN candidate.ready = 0;
        EXIT WHEN room <= 0;
        tried := tried || candidate.bucket;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
        quota := least(candidate.ready, room);
        IF looked_at >= max_events * 4 THEN
            quota := least(quota, greatest(max_events / 2, 1));
        END IF;
        buckets := buckets || candidate.bucket;
        quotas := quotas || quota;
        room := room - quota;
    END LOOP;

    IF room > 0 AND looked_at >= max_events * 4 THEN
        FOR candidate IN
            WITH trouble AS (SELECT work_is_troubled(start) AS found)
            SELECT b.bucket::smallint AS bucket, mine.ready
              FROM generate_series(0, 511) AS b (bucket)
             CROSS JOIN LATERAL (
                 SELECT min(x.position) AS first, count(*)::integer AS ready
                   FROM (SELECT o.position
                           FROM (SELECT w.position, w.lane FROM work AS w
                                  WHERE w.bucket = b.bucket AND w.position + 0 >= start
                                  ORDER BY w.position + 0 LIMIT bucket_depth) AS o
                          WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position,
                              now_at))
                          LIMIT 4) AS x) AS mine
             WHERE mine.ready > 0 AND b.bucket <> ALL (tried)
             ORDER BY mine.first
        LOOP
            EXIT WHEN room <= 0;
            CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
            quota := least(candidate.ready, room);
            buckets := buckets || candidate.bucket;
            quotas := quotas || quota;
            room := room - quota;
        END LOOP;
    END IF;
    IF cardinality(buckets) = 0 THEN
        RETURN '{}';
    END IF;
    quotas[1] := quotas[1] + greatest(room, 0);

    -- A new statement: what the former holders of these locks finished is gone from its sight.
    WITH trouble AS (SELECT work_is_troubled(start) AS found)
    SELECT array_agg(mine.position ORDER BY mine.position)
      INTO claimed
      FROM unnest(buckets, quotas) AS l (bucket, quota)
     CROSS JOIN LATERAL (
         SELECT o.position
           FROM (SELECT w.position, w.lane FROM work AS w WHERE w.bucket = l.bucket AND w.position + 0 >= start
                  ORDER BY w.position + 0 LIMIT bucket_depth) AS o
          WHERE NOT ((SELECT trouble.found FROM trouble) AND lane_is_blocked(o.lane, o.position, now_at))
          LIMIT l.quota) AS mine;
    IF claimed IS NOT NULL THEN
        PERFORM move_work_start(decided, first_seen);
    END IF;
    RETURN coalesce(claimed, '{}');
END
$$;
