-- A webhook to an endpoint waits for those of its contact only, also when it is sent again.
--
-- Why: one that the receiver never takes would hold up all others of the endpoint for as long as it is tried, three days.
-- Locks: none. Takes: milliseconds.

-- What order and pace of a delivery go by; the rules' webhooks name the same lines (server/domain/effect.c).
CREATE OR REPLACE FUNCTION delivery_target(d delivery, OUT recipient text, OUT source text)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE d.kind
               WHEN 'webhook' THEN 'endpoint ' || d.endpoint || coalesce(' contact ' || d.contact_id, ' event ' || d.event_id, '')
               ELSE d.source || ' ' || d.identity
           END,
           CASE d.kind WHEN 'webhook' THEN 'endpoint ' || d.endpoint ELSE d.source END
$$;
