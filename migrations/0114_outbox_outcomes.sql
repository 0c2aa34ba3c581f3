-- What became of deliveries is recorded from the session's start on, too, and by keys.
--
-- Why: as the two files before say, also of the planner.
-- Locks: none. Takes: milliseconds.

-- It keeps its place, and those behind it wait again. One that had left its line goes to the end of it: those behind it did
-- not wait, and nobody looks for anything before the start of a line.
CREATE OR REPLACE FUNCTION wait_again(o outbox, at timestamptz) RETURNS void
LANGUAGE sql
AS $$
    UPDATE outbox SET state = 'waiting', due_at = at, lease_until = NULL, claimed_by = NULL
     WHERE position = o.position AND in_line;
    UPDATE outbox SET state = 'waiting', due_at = at, lease_until = NULL, claimed_by = NULL, in_line = true, position = DEFAULT
     WHERE position = o.position AND NOT in_line;
$$;

-- As before, from the session's start on.
CREATE OR REPLACE FUNCTION dead_senders(asking integer) RETURNS integer[]
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    sender integer;
    dead integer[] := '{}';
BEGIN
    FOR sender IN
        SELECT DISTINCT b.claimed_by FROM outbox AS b
         WHERE b.state = 'sending' AND coalesce(b.counts_from, b.due_at) >= (session_outbox_start()).sending
           AND b.claimed_by IS NOT NULL
    LOOP
        -- A session's own lock would be granted to it again.
        IF sender IS DISTINCT FROM asking AND pg_try_advisory_xact_lock(4206, sender) THEN
            dead := dead || sender;
        END IF;
    END LOOP;
    RETURN dead;
END
$$;

CREATE OR REPLACE FUNCTION deliver_settle(settle_after interval, asking integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    o outbox;
    d delivery;
    policy text;
    proof text;
    -- It may have lost its connection only, and still tell.
    patience constant interval := interval '5 seconds';
    dead constant integer[] := dead_senders(asking);
    start constant outbox_start := session_outbox_start();
    settled bigint := 0;
BEGIN
    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'sending' AND coalesce(b.counts_from, b.due_at) >= start.sending
           AND (b.lease_until < clock_timestamp() OR b.claimed_by = ANY (dead))
         ORDER BY coalesce(b.counts_from, b.due_at) LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        settled := settled + 1;
        INSERT INTO attempt (delivery_id, number, started_at, outcome, reason)
        SELECT x.id, o.attempts, coalesce(x.last_attempt_at, now()), 'unknown', 'the sender ended before it could tell'
          FROM delivery AS x WHERE x.id = o.delivery_id AND x.created_at = o.delivery_created_at
        ON CONFLICT DO NOTHING;
        PERFORM mark_unknown(o, NULL, 'the sender ended before it could tell', o.claimed_by);
    END LOOP;

    FOR o IN
        SELECT b.* FROM outbox AS b
         WHERE b.state = 'unknown' AND coalesce(b.counts_from, b.due_at) >= start.unknown
         ORDER BY coalesce(b.counts_from, b.due_at) LIMIT 500
           FOR UPDATE SKIP LOCKED
    LOOP
        SELECT x.* INTO d FROM delivery AS x WHERE x.id = o.delivery_id
            AND x.created_at = o.delivery_created_at FOR UPDATE;
        -- The provider may have told while the row was still marked as being sent.
        SELECT m.state INTO proof FROM message AS m WHERE m.id = d.message_id AND m.created_at = d.message_created_at;
        IF message_state_rank(proof) >= 50 THEN
            PERFORM end_delivery(o.position, CASE proof WHEN 'failed' THEN 'failed' ELSE 'sent' END, d.error_code,
                                 CASE proof WHEN 'failed' THEN d.reason END, proof);
            settled := settled + 1;
            CONTINUE;
        END IF;
        policy := unknown_policy(o, d);
        IF o.in_line AND policy <> 'resend' THEN
            PERFORM leave_line(o); -- it was canceled meanwhile
        END IF;
        CONTINUE WHEN clock_timestamp() < o.lease_until
            + CASE WHEN d.kind = 'message' THEN settle_after WHEN o.claimed_by IS NULL THEN '0' ELSE patience END;
        settled := settled + 1;
        IF policy = 'resend' AND o.attempts < 5 THEN
            PERFORM wait_again(o, clock_timestamp());
            UPDATE delivery SET state = 'retrying' WHERE id = d.id AND created_at = d.created_at;
        ELSIF policy = 'resend' THEN
            PERFORM end_delivery(o.position, 'parked', 'unknown_outcome', 'its outcome stayed unknown each time');
        ELSIF policy = 'give_up' THEN
            PERFORM end_delivery(o.position, 'failed', 'unknown_outcome', 'the provider did not say what became of it');
        ELSE
            PERFORM end_delivery(o.position, 'unknown', coalesce(d.error_code, 'unknown_outcome'),
                                 coalesce(d.reason, 'the provider did not say what became of it'));
        END IF;
    END LOOP;
    RETURN settled;
END
$$;

-- As before, but it finds its rows by their keys whatever the planner thinks of the size of the outbox.
CREATE OR REPLACE FUNCTION deliver_record(outcomes jsonb) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    entry record;
    o outbox;
    d delivery;
    what text;
    current boolean;
    recorded integer := 0;
    accepted bigint[];
BEGIN
    -- Locks first, in the order that deliver_claim takes them.
    FOR entry IN
        SELECT DISTINCT ON (1) CASE x.kind WHEN 'webhook' THEN 'endpoint ' || x.endpoint ELSE x.source END AS name,
               CASE WHEN r.disable_endpoint THEN 'infinity'
                    ELSE clock_timestamp() + make_interval(secs => r.pause_source_ms / 1000.0) END AS until, r.reason
          FROM jsonb_to_recordset(outcomes)
               AS r (id bigint, created_at timestamptz, pause_source_ms bigint, disable_endpoint boolean, reason text)
          JOIN delivery AS x ON x.id = r.id AND x.created_at = r.created_at
         WHERE r.pause_source_ms > 0 OR r.disable_endpoint
         ORDER BY 1, 2 DESC
    LOOP
        PERFORM pause_source(entry.name, entry.until, entry.reason);
    END LOOP;
    PERFORM 1 FROM outbox AS b
      WHERE b.position = ANY (ARRAY(SELECT x.position FROM jsonb_to_recordset(outcomes) AS r (id bigint)
                                     CROSS JOIN LATERAL (SELECT y.position FROM outbox AS y WHERE y.delivery_id = r.id OFFSET 0) AS x))
      ORDER BY b.position + 0 FOR UPDATE;

    accepted := accept_deliveries(outcomes);
    recorded := cardinality(accepted);

    FOR entry IN
        SELECT r.*, x.doc
          FROM jsonb_array_elements(outcomes) WITH ORDINALITY AS x (doc, n)
         CROSS JOIN LATERAL jsonb_to_record(x.doc)
               AS r (id bigint, created_at timestamptz, number integer, outcome text, due_at timestamptz, sent_as text,
                     error_code text, reason text, started_at timestamptz, duration_ms integer, status integer,
                     unreachable boolean, opted_out boolean, new_recipient text, provider_message_id text)
         WHERE r.id <> ALL (accepted)
         ORDER BY x.n
    LOOP
        what := CASE entry.outcome WHEN 'accepted' THEN 'sent' WHEN 'refused' THEN 'failed' ELSE entry.outcome END;
        IF what NOT IN ('sent', 'retry', 'parked', 'failed', 'blocked', 'canceled', 'unknown', 'postponed') THEN
            RAISE EXCEPTION 'a delivery cannot end as "%"', entry.outcome USING ERRCODE = 'invalid_parameter_value';
        END IF;
        SELECT x.* INTO d FROM delivery AS x WHERE x.id = entry.id AND x.created_at = entry.created_at FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        SELECT b.* INTO o FROM outbox AS b WHERE b.delivery_id = entry.id;
        IF o.position IS NULL AND d.state = 'unknown' AND d.attempts = entry.number AND what <> 'unknown' THEN
            o := take_back(d);
        END IF;
        current := o.position IS NOT NULL AND o.state IN ('sending', 'unknown')
                   AND o.attempts = coalesce(entry.number, o.attempts);
        IF entry.duration_ms IS NOT NULL THEN
            IF current AND o.claimed_by IS NOT NULL THEN
                DELETE FROM attempt AS a WHERE a.delivery_id = d.id AND a.started_at = d.last_attempt_at
                    AND a.outcome = 'unknown' AND a.duration_ms IS NULL; -- what others took for its death
            END IF;
            INSERT INTO attempt (delivery_id, number, started_at, duration_ms, status, outcome, error_code, reason)
            VALUES (entry.id, coalesce(entry.number, d.attempts), coalesce(entry.started_at, d.last_attempt_at, now()),
                    entry.duration_ms, entry.status, what, entry.error_code, entry.reason)
            ON CONFLICT DO NOTHING;
        ELSIF current THEN
            -- It was claimed, but nothing left: that was no attempt.
            UPDATE delivery SET attempts = greatest(0, attempts - 1) WHERE id = d.id AND created_at = d.created_at;
            UPDATE outbox SET attempts = greatest(0, attempts - 1) WHERE position = o.position AND what IN ('postponed',
                'retry');
        END IF;
        recorded := recorded + 1;

        IF entry.unreachable THEN
            UPDATE address SET unreachable_at = clock_timestamp(), unreachable_reason = coalesce(entry.reason,
                entry.error_code)
             WHERE source = d.source AND identity = d.identity;
        END IF;
        IF entry.opted_out THEN
            PERFORM opt_out_contact(d.contact_id, coalesce(d.topic, 'all'), d.source, entry.reason);
        END IF;
        IF entry.new_recipient <> '' THEN
            UPDATE address SET recipient = entry.new_recipient WHERE source = d.source AND identity = d.identity;
            UPDATE delivery SET request = jsonb_set(request, '{to,recipient}', to_jsonb(entry.new_recipient))
             WHERE id = d.id AND created_at = d.created_at AND request ? 'to';
        END IF;

        IF what = 'sent' THEN
            PERFORM accept_delivery(d, entry.doc);
            CONTINUE;
        END IF;
        CONTINUE WHEN NOT current;
        UPDATE delivery SET sent_as = coalesce(entry.sent_as, sent_as) WHERE id = d.id AND created_at = d.created_at;
        IF o.state = 'unknown' AND what <> 'unknown' THEN
            UPDATE message SET state = 'sending', error_code = NULL, reason = NULL
             WHERE id = d.message_id AND created_at = d.message_created_at AND state = 'unknown';
        END IF;
        IF o.cancel_wanted AND what IN ('retry', 'postponed') THEN
            PERFORM end_delivery(o.position, 'canceled', NULL, 'no longer needed');
        ELSIF what IN ('retry', 'postponed') THEN
            PERFORM wait_again(o, coalesce(entry.due_at, now()));
            UPDATE delivery SET state = CASE what WHEN 'retry' THEN 'retrying' ELSE 'queued' END,
                                error_code = entry.error_code, reason = entry.reason
             WHERE id = d.id AND created_at = d.created_at;
        ELSIF what = 'unknown' THEN
            PERFORM mark_unknown(o, entry.error_code, entry.reason);
        ELSE
            PERFORM end_delivery(o.position, what, entry.error_code, entry.reason);
        END IF;
    END LOOP;
    RETURN recorded;
END
$$;

-- As before, by keys.
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

    PERFORM 1
       FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz)
       JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at
      ORDER BY d.id FOR UPDATE OF d;
    -- Who has a status of one of these ids, and does not find it, waits until we are done.
    PERFORM pg_advisory_xact_lock(4203, l.key)
       FROM (SELECT DISTINCT hashtext(r.provider_message_id) AS key
               FROM jsonb_to_recordset(taken) AS r (provider_message_id text)
              WHERE r.provider_message_id IS NOT NULL ORDER BY 1) AS l;

    DELETE FROM outbox AS o USING unnest(positions) AS p (position) WHERE o.position = ANY (ARRAY[p.position]);
    PERFORM wake_recipients(recipients);
    UPDATE delivery AS d
       SET state = 'sent', sent_as = coalesce(r.sent_as, d.sent_as), error_code = NULL, reason = NULL,
           provider_message_id = coalesce(r.provider_message_id, d.provider_message_id), ended_at = now_at
      FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz, sent_as text, provider_message_id text)
     WHERE d.id = r.id AND d.created_at = r.created_at;
    INSERT INTO attempt (delivery_id, number, started_at, duration_ms, status, outcome, error_code, reason)
    SELECT r.id, r.number, coalesce(r.started_at, d.last_attempt_at, now()), r.duration_ms, r.status, 'sent', r.error_code,
           r.reason
      FROM jsonb_to_recordset(taken)
           AS r (id bigint, created_at timestamptz, number smallint, started_at timestamptz, duration_ms integer,
                 status integer, error_code text, reason text)
      JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at
    ON CONFLICT DO NOTHING;
    UPDATE message AS m
       SET provider_message_id = coalesce(m.provider_message_id, d.provider_message_id),
           state = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN 'sent' ELSE m.state END,
           error_code = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN NULL ELSE m.error_code END,
           reason = CASE WHEN message_state_rank(m.state) < message_state_rank('sent') THEN NULL ELSE m.reason END,
           sent_at = least(m.sent_at, now_at)
      FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz)
      JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at
     WHERE m.id = d.message_id AND m.created_at = d.message_created_at AND m.direction = 'out';

    -- What was said about them before we knew their ids, by name or by a time up to which all has arrived.
    FOR entry IN
        SELECT d.message_id, d.message_created_at,
               CASE WHEN a.read_up_to >= l.left_at THEN 'read' ELSE 'delivered' END AS state,
               CASE WHEN a.read_up_to >= l.left_at THEN a.read_up_to ELSE a.delivered_up_to END AS up_to
          FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz)
          JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at
         CROSS JOIN LATERAL date_trunc('milliseconds', d.last_attempt_at) AS l (left_at)
          JOIN address AS a ON a.source = d.source AND a.identity = d.identity AND a.delivered_up_to >= l.left_at
         WHERE d.message_id IS NOT NULL
         ORDER BY d.id
    LOOP
        PERFORM move_message(entry.message_id, entry.message_created_at, entry.state, entry.up_to);
    END LOOP;
    FOR entry IN
        SELECT DISTINCT u.source, u.provider_message_id
          FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz, provider_message_id text)
          JOIN delivery AS d ON d.id = r.id AND d.created_at = r.created_at AND d.message_id IS NOT NULL
          JOIN unmatched_status AS u ON u.source = d.source AND u.provider_message_id = r.provider_message_id
         ORDER BY 1, 2
    LOOP
        PERFORM join_unmatched_statuses(entry.source, entry.provider_message_id);
    END LOOP;
    UPDATE delivery AS d SET state = 'failed', error_code = m.error_code, reason = m.reason
      FROM jsonb_to_recordset(taken) AS r (id bigint, created_at timestamptz)
      JOIN delivery AS x ON x.id = r.id AND x.created_at = r.created_at
      JOIN message AS m ON m.id = x.message_id AND m.created_at = x.message_created_at AND m.state = 'failed'
     WHERE d.id = x.id AND d.created_at = x.created_at;
    RETURN ids;
END
$$;

-- As before, by keys.
CREATE OR REPLACE FUNCTION sends_fit(ids bigint[], of_rule text, left_this_hour integer, left_this_minute integer, per_contact integer,
                          at timestamptz, OUT fits boolean, OUT sends integer)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    most_to_one integer;
    receivers bigint[];
BEGIN
    SELECT coalesce(sum(g.sends), 0), max(g.sends) FILTER (WHERE g.contact_id IS NOT NULL),
           array_agg(g.contact_id) FILTER (WHERE g.contact_id IS NOT NULL)
      INTO sends, most_to_one, receivers
      FROM (SELECT o.contact_id, count(*) AS sends
              FROM unnest(ids) AS i (id)
             CROSS JOIN LATERAL (SELECT x.* FROM outbox AS x WHERE x.delivery_id = i.id OFFSET 0) AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE d.rule = of_rule
             GROUP BY o.contact_id) AS g;
    fits := sends <= coalesce(left_this_hour, sends) AND sends <= coalesce(left_this_minute, sends);
    IF fits AND per_contact IS NOT NULL AND receivers IS NOT NULL THEN
        -- As if everybody had been sent as many now as who was sent the most: who is near the limit is counted exactly.
        SELECT coalesce(max(earlier.sends), 0) + most_to_one <= per_contact
          INTO fits
          FROM (SELECT count(*) AS sends
                  FROM delivery AS d
                 WHERE d.contact_id = ANY (receivers) AND d.created_at > at - interval '1 day'
                   AND d.rule = of_rule AND d.kind = 'message' AND d.state NOT IN ('held', 'canceled')
                   AND d.id <> ALL (ids)
                 GROUP BY d.contact_id) AS earlier;
    END IF;
END
$$;

-- As before, by keys.
CREATE OR REPLACE FUNCTION cancel_deliveries(outreaches bigint[], messages bigint[], why text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
    recipients text[] := '{}';
    canceled integer := 0;
BEGIN
    FOR entry IN
        SELECT o.* FROM outbox AS o
         WHERE o.position = ANY (ARRAY(
               SELECT x.position FROM unnest(outreaches) AS given (id)
                CROSS JOIN LATERAL (SELECT y.position FROM outbox AS y WHERE y.outreach_id = given.id OFFSET 0) AS x
                UNION
               SELECT x.position FROM unnest(messages) AS given (id)
                CROSS JOIN LATERAL (SELECT y.position FROM outbox AS y WHERE y.message_id = given.id OFFSET 0) AS x))
         ORDER BY o.position + 0
           FOR UPDATE
    LOOP
        IF entry.state IN ('sending', 'unknown') THEN
            UPDATE outbox SET cancel_wanted = true WHERE position = entry.position;
            CONTINUE;
        END IF;
        DELETE FROM outbox WHERE position = entry.position;
        recipients := recipients || entry.recipient;
        canceled := canceled + 1;
        UPDATE delivery SET state = 'canceled', reason = why, ended_at = clock_timestamp()
         WHERE id = entry.delivery_id AND created_at = entry.delivery_created_at;
        PERFORM move_message(m.id, m.created_at, 'canceled', clock_timestamp(), NULL, why)
           FROM delivery AS d
           JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
          WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at;
    END LOOP;
    IF canceled > 0 THEN
        PERFORM wake_recipients(recipients);
    END IF;
    RETURN canceled;
END
$$;

-- As before, by keys.
CREATE OR REPLACE FUNCTION apply_watermark(of_source text, of_identity text, new_state text, up_to timestamptz,
                                state_at timestamptz) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    is_read constant boolean := new_state IN ('read', 'played');
    entry record;
    moved integer := 0;
BEGIN
    IF new_state NOT IN ('delivered', 'read', 'played') THEN
        RAISE EXCEPTION 'messages up to a time cannot be "%"', new_state USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM 1 FROM outbox AS o
      WHERE o.position = ANY (ARRAY(SELECT x.position
                                      FROM (SELECT y.position, y.state FROM outbox AS y
                                             WHERE y.recipient = of_source || ' ' || of_identity OFFSET 0) AS x
                                     WHERE x.state IN ('sending', 'unknown')))
      ORDER BY o.position + 0 FOR UPDATE;
    UPDATE address AS a
       SET delivered_up_to = greatest(a.delivered_up_to, up_to),
           read_up_to = CASE WHEN is_read THEN greatest(a.read_up_to, up_to) ELSE a.read_up_to END
     WHERE a.source = of_source AND a.identity = of_identity;
    -- No provider lets us write for longer than a week after the customer did.
    FOR entry IN
        SELECT m.id, m.created_at
          FROM address AS a
          JOIN conversation AS v ON v.contact_id = a.contact_id
         CROSS JOIN LATERAL (SELECT x.* FROM message AS x
                              WHERE x.conversation_id = v.id
                                AND x.created_at BETWEEN up_to - interval '14 days' AND up_to OFFSET 0) AS m
         WHERE a.source = of_source AND a.identity = of_identity AND v.updated_at > up_to - interval '14 days'
           AND m.direction = 'out' AND m.source = of_source AND m.identity = of_identity
           AND (m.state = 'sent' OR (m.state = 'delivered' AND is_read)) AND message_left_at(m) <= up_to
         ORDER BY m.id
    LOOP
        PERFORM move_message(entry.id, entry.created_at, new_state, state_at);
        moved := moved + 1;
    END LOOP;
    RETURN moved;
END
$$;
