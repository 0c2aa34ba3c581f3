-- The statements of a sender's claim and of the budgets are planned once for each session, not at each call.
--
-- Why: planning them anew took two thirds of the time that PostgreSQL spent on a single message: a partitioned table makes
-- a plan for given values look cheaper than one for all, and finding that out costs more than either. Hash and merge joins
-- are out of the question for a few rows each found by a key. Locks: none. Takes: milliseconds.

ALTER FUNCTION deliver_claim(integer, interval, jsonb, integer) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION deliver_claim(integer, interval, jsonb, integer) SET enable_hashjoin = off;
ALTER FUNCTION deliver_claim(integer, interval, jsonb, integer) SET enable_mergejoin = off;

ALTER FUNCTION sends_fit(bigint[], text, integer, integer, integer, timestamptz) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION sends_fit(bigint[], text, integer, integer, integer, timestamptz) SET enable_hashjoin = off;
ALTER FUNCTION sends_fit(bigint[], text, integer, integer, integer, timestamptz) SET enable_mergejoin = off;

-- As before, but not called at all for what belongs to no outreach, and planned once.
CREATE OR REPLACE FUNCTION outreach_is_over(of_outreach bigint) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN (SELECT o.state <> 'active'
                   OR (o.reference <> ''
                       AND (SELECT true FROM event AS e
                             WHERE coalesce(e.doc->'payment'->>'reference', e.doc->'payment'->>'invoice',
                                            e.doc->'payment'->>'subscription', e.doc->'payment'->>'id')
                                   = ANY (o.other_references || o.reference)
                               AND e.doc ? 'payment' AND e.received_at >= o.started_at
                               AND (e.type = o.goal OR e.type = ANY (o.goals)
                                    OR split_part(e.type, '.', 1) || '.*' = ANY (o.goals)) LIMIT 1) IS NOT NULL)
              FROM outreach AS o WHERE o.id = of_outreach);
END
$$;

-- As before, but an expression, which needs no plan.
CREATE OR REPLACE FUNCTION work_start_is_decided() RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    mark constant bigint := session_number('answerd.work_mark');
BEGIN
    RETURN mark > 0 AND pg_snapshot_xmin(pg_current_snapshot())::text::bigint > mark;
END
$$;
