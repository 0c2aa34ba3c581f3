-- What was accepted reads its deliveries once, and each address by its key.
--
-- Why: with a plan of the first day, the look for what was said about a chat before its message was recorded went through all
-- deliveries there ever were; and five statements in a row looked the same deliveries up again.
-- Locks: none. Takes: milliseconds.

-- As in 0072_accepted.sql.
CREATE OR REPLACE FUNCTION accept_deliveries(outcomes jsonb) RETURNS bigint[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    now_at constant timestamptz := clock_timestamp();
    ids bigint[];
    positions bigint[];
    recipients text[];
    taken jsonb;
    -- Of the deliveries that are taken, in the order of their ids; `said` is what the provider called the message now.
    found_ids bigint[];
    created timestamptz[];
    said text[];
    provider_ids text[];
    message_ids bigint[];
    messages_created timestamptz[];
    sources text[];
    identities text[];
    left_at timestamptz[];
    entry record;
BEGIN
    SELECT array_agg(r.id ORDER BY r.id), array_agg(o.position), array_agg(o.recipient), jsonb_agg(x.doc ORDER BY r.id)
      INTO ids, positions, recipients, taken
      FROM jsonb_array_elements(outcomes) AS x (doc)
     CROSS JOIN LATERAL jsonb_to_record(x.doc)
           AS r (id bigint, number integer, outcome text, duration_ms integer, unreachable boolean, opted_out boolean,
                 new_recipient text)
     CROSS JOIN LATERAL (SELECT b.position, b.recipient, b.state, b.attempts FROM outbox AS b
                          WHERE b.delivery_id = r.id OFFSET 0) AS o
     WHERE r.outcome IN ('sent', 'accepted') AND r.duration_ms IS NOT NULL AND o.state = 'sending' AND o.attempts = r.number
       AND NOT coalesce(r.unreachable, false) AND NOT coalesce(r.opted_out, false) AND coalesce(r.new_recipient, '') = ''
       AND (SELECT count(*) FROM jsonb_array_elements(outcomes) AS other (doc) WHERE other.doc->'id' = x.doc->'id') = 1;
    IF ids IS NULL THEN
        RETURN '{}';
    END IF;

    WITH locked AS MATERIALIZED (
        SELECT d.id, d.created_at, r.provider_message_id AS said, coalesce(r.provider_message_id, d.provider_message_id) AS provider_id,
               d.message_id, d.message_created_at, d.source, d.identity, d.last_attempt_at
          FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz, provider_message_id text)
          JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at
         ORDER BY d.id FOR UPDATE OF d)
    SELECT array_agg(l.id), array_agg(l.created_at), array_agg(l.said), array_agg(l.provider_id), array_agg(l.message_id),
           array_agg(l.message_created_at), array_agg(l.source), array_agg(l.identity), array_agg(l.last_attempt_at)
      INTO found_ids, created, said, provider_ids, message_ids, messages_created, sources, identities, left_at
      FROM locked AS l;
    -- Who has a status of one of these ids, and does not find it, waits until we are done.
    PERFORM pg_advisory_xact_lock(4203, l.key)
       FROM (SELECT DISTINCT hashtext(s.id) AS key FROM unnest(said) AS s (id) WHERE s.id IS NOT NULL ORDER BY 1) AS l;

    DELETE FROM outbox AS o USING unnest(positions) AS p (position) WHERE o.position = ANY (ARRAY[p.position]);
    PERFORM wake_recipients(recipients);
    UPDATE delivery AS d
       SET state = 'sent', sent_as = coalesce(r.sent_as, d.sent_as), error_code = NULL, reason = NULL,
           provider_message_id = coalesce(r.provider_message_id, d.provider_message_id), ended_at = now_at
      FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz, sent_as text, provider_message_id text)
     WHERE d.id = r.id AND d.created_at = r.created_at;
    INSERT INTO attempt (delivery_id, number, started_at, duration_ms, status, outcome, error_code, reason)
    SELECT r.id, r.number, coalesce(r.started_at, f.left_at, now()), r.duration_ms, r.status, 'sent', r.error_code, r.reason
      FROM unnest(found_ids, left_at) AS f (id, left_at)
      JOIN jsonb_to_recordset(taken)
           AS r (id bigint, number smallint, started_at timestamptz, duration_ms integer, status integer, error_code text, reason text)
        ON r.id = f.id
    ON CONFLICT DO NOTHING;
    UPDATE message AS m
       SET provider_message_id = coalesce(m.provider_message_id, f.provider_id),
           state = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN 'sent' ELSE m.state END,
           error_code = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN NULL ELSE m.error_code END,
           reason = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN NULL ELSE m.reason END,
           sent_at = least(m.sent_at, now_at)
      FROM unnest(message_ids, messages_created, provider_ids) AS f (id, created_at, provider_id)
     WHERE m.id = f.id AND m.created_at = f.created_at AND m.direction = 'out';

    -- What was said about them before we knew their ids, by name or by a time up to which all has arrived.
    FOR entry IN
        SELECT f.message_id, f.message_created_at,
               CASE WHEN a.read_up_to >= f.left_at THEN 'read' ELSE 'delivered' END AS state,
               CASE WHEN a.read_up_to >= f.left_at THEN a.read_up_to ELSE a.delivered_up_to END AS up_to
          FROM (SELECT u.message_id, u.message_created_at, u.source, u.identity, date_trunc('milliseconds', u.left_at) AS left_at, u.n
                  FROM unnest(message_ids, messages_created, sources, identities, left_at) WITH ORDINALITY
                       AS u (message_id, message_created_at, source, identity, left_at, n)
                 WHERE u.message_id IS NOT NULL) AS f
         CROSS JOIN LATERAL (SELECT x.delivered_up_to, x.read_up_to FROM address AS x
                              WHERE x.source = f.source AND x.identity = f.identity OFFSET 0) AS a
         WHERE a.delivered_up_to >= f.left_at
         ORDER BY f.n
    LOOP
        PERFORM move_message(entry.message_id, entry.message_created_at, entry.state, entry.up_to);
    END LOOP;
    FOR entry IN
        SELECT DISTINCT f.source, f.said
          FROM unnest(message_ids, sources, said) AS f (message_id, source, said)
         CROSS JOIN LATERAL (SELECT FROM unmatched_status AS x
                              WHERE x.source = f.source AND x.provider_message_id = f.said LIMIT 1) AS u
         WHERE f.message_id IS NOT NULL
         ORDER BY 1, 2
    LOOP
        PERFORM join_unmatched_statuses(entry.source, entry.said);
    END LOOP;
    IF EXISTS (SELECT FROM unnest(message_ids, messages_created) AS f (id, created_at)
                 JOIN message AS m ON m.id = f.id AND m.created_at = f.created_at WHERE m.state = 'failed') THEN
        UPDATE delivery AS d SET state = 'failed', error_code = m.error_code, reason = m.reason
          FROM unnest(found_ids, created, message_ids, messages_created) AS f (id, created_at, message_id, message_created_at)
          JOIN message AS m ON m.id = f.message_id AND m.created_at = f.message_created_at AND m.state = 'failed'
         WHERE d.id = f.id AND d.created_at = f.created_at;
    END IF;
    RETURN ids;
END
$$;
