-- No two indexes of work can answer one question, so that no plan goes astray, whatever the table held when it was made.
--
-- Why: analyzed while it was nearly empty but for dead rows, work was searched for 256 positions by walking work_by_bucket once
-- for each of them: beside 300,000 dead rows a claim read 856,000 pages, and the end of a single event 3,300. And what had been
-- in trouble was walked over by each claim, because a lane came first in its index. Now a claim reads what its batch needs.
-- Locks: work is not written meanwhile. Takes: milliseconds; with a million events waiting about two seconds.

-- By position there is work_pkey, and no other one. A bucket's own, in order:
CREATE INDEX work_of_bucket ON work (bucket, (position + 0));
-- What waits after a failed try, or is suspect, of a lane; and all of that in order, the suspect apart. Neither index can be had
-- for its condition alone.
CREATE INDEX work_troubled_lane ON work ((CASE WHEN retry_at IS NOT NULL OR suspect THEN lane END))
    WHERE CASE WHEN retry_at IS NOT NULL OR suspect THEN lane END IS NOT NULL;
CREATE INDEX work_troubled_first ON work (suspect, (CASE WHEN retry_at IS NOT NULL OR suspect THEN position END))
    WHERE CASE WHEN retry_at IS NOT NULL OR suspect THEN position END IS NOT NULL;
DROP INDEX work_by_bucket;
DROP INDEX work_troubled;
DROP INDEX work_suspect;

-- As before; the difference of positions is nothing that an index could be asked for.
CREATE OR REPLACE FUNCTION lane_is_blocked(of_lane integer, up_to bigint, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE
RETURN (SELECT true FROM work AS b
         WHERE CASE WHEN b.retry_at IS NOT NULL OR b.suspect THEN b.lane END = of_lane
           AND b.position - up_to <= 0 AND (b.retry_at > at OR b.suspect)
         LIMIT 1) IS NOT NULL;

-- Is there anything from `start` on that waits after a failed try, or is suspect?
CREATE FUNCTION work_is_troubled(start bigint) RETURNS boolean
LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM work
                WHERE suspect AND CASE WHEN retry_at IS NOT NULL OR suspect THEN position END >= start)
    OR EXISTS (SELECT FROM work
                WHERE NOT suspect AND CASE WHEN retry_at IS NOT NULL OR suspect THEN position END >= start);

-- Called once in a while: the plan that a session makes for it while the table is empty would walk the table when it is not.
ALTER FUNCTION park_event(bigint, text) SET enable_seqscan = off;

-- As before, each question in the terms of the index that is for it.
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

    FOR candidate IN
        SELECT w.position, w.bucket, w.lane FROM work AS w
         WHERE w.suspect AND CASE WHEN w.retry_at IS NOT NULL OR w.suspect THEN w.position END >= start
           AND (w.retry_at IS NULL OR w.retry_at <= now_at)
         ORDER BY CASE WHEN w.retry_at IS NOT NULL OR w.suspect THEN w.position END LIMIT 16
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(4201, candidate.bucket);
        IF EXISTS (SELECT 1 FROM work AS w WHERE w.position = candidate.position)
           AND (SELECT true FROM work AS b
                 WHERE b.bucket = candidate.bucket AND b.position + 0 >= start AND b.position + 0 < candidate.position
                   AND b.lane = candidate.lane LIMIT 1) IS NULL THEN
            RETURN ARRAY[candidate.position];
        END IF;
    END LOOP;

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
