-- What providers took is recorded for all deliveries of a batch together.
--
-- Why: nearly every outcome is that one, and a dozen statements for each made the sender wait for its database.
-- Locks: none. Takes: milliseconds.

-- Records those among the outcomes of deliver_record() that only say: taken, at the attempt that is on its way, once. What
-- it does is what accept_delivery() does; returns the ids, the rest is the caller's. The caller holds the outbox rows.
CREATE FUNCTION accept_deliveries(outcomes jsonb) RETURNS bigint[]
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

    DELETE FROM outbox AS o WHERE o.position = ANY (positions);
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

CREATE OR REPLACE FUNCTION deliver_record(outcomes jsonb) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
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
      WHERE b.delivery_id IN (SELECT r.id FROM jsonb_to_recordset(outcomes) AS r (id bigint))
          ORDER BY b.position FOR UPDATE;

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
COMMENT ON FUNCTION deliver_record(jsonb) IS 'Records what became of attempts at deliveries. Idempotent.';
