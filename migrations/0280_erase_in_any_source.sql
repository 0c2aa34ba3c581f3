-- Erasure also looks at webhooks of sources from which nothing of the person is known.
--
-- Why: of webhooks that no event points at (repetitions, or what could not be read) only those of sources that had brought an
-- event of theirs were looked at. Whoever was known by a chat and had told an email address stayed with it in the body of
-- a payment provider's webhook that no parser could read; events that nobody understood were looked for in all sources.
-- Locks: none. Takes: milliseconds.

-- As in 0211_erase_beside_senders.sql, and in all sources. Such webhooks are few, and have an index.
CREATE OR REPLACE FUNCTION webhooks_about(events bigint[], handles text[], since timestamptz) RETURNS bigint[]
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    named constant text := naming_pattern(handles);
BEGIN
    RETURN ARRAY(
        WITH own AS MATERIALIZED (
            SELECT w.id, w.source, coalesce(decode(w.headers->>'erased-body-sha256', 'hex'), sha256(w.body)) AS digest
              FROM (SELECT DISTINCT e.webhook_id, e.received_at FROM unnest(events) AS x (id)
                      JOIN event AS e ON e.id = x.id WHERE e.webhook_id IS NOT NULL) AS e
              JOIN webhook AS w ON w.id = e.webhook_id AND w.received_at = e.received_at
        )
        SELECT own.id FROM own
         UNION
        SELECT w.id
          FROM webhook AS w
         WHERE (w.new_events < w.event_count OR w.event_count = 0 OR w.problem IS NOT NULL)
           AND w.received_at >= since AND w.body <> ''
           AND (EXISTS (SELECT FROM own WHERE own.source = w.source AND own.digest = sha256(w.body))
                OR readable_body(w.body) ~* named));
END
$$;
