-- A payment that another account of the same provider tells of is not the goal of an outreach before the engine has said so.
--
-- Why: two shops may number their orders alike. A reminder was canceled because somebody else had paid their order of that number in
-- the other shop. Whose payment it is decides the engine (server/domain/outreach.c), which then ends the outreach.
-- Locks: none. Takes: milliseconds.

-- As in 0090_plans.sql otherwise.
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
                                    OR split_part(e.type, '.', 1) || '.*' = ANY (o.goals))
                               AND (o.payment->>'source' IS NULL OR e.source = o.payment->>'source'
                                    OR e.doc->>'provider' IS DISTINCT FROM
                                       (SELECT b.doc->>'provider' FROM event AS b WHERE b.id = o.event_id
                                           AND b.received_at > o.started_at - interval '62 days' LIMIT 1)) LIMIT 1) IS NOT NULL)
              FROM outreach AS o WHERE o.id = of_outreach);
END
$$;
