-- The engine's commit: what a batch of events changes, written in one call.
--
-- Why: state, timers, messages, deliveries and traces become true together with the end of the work, or not at all.
-- Locks: none. Takes: milliseconds.
--
-- The form of the changes is in server/domain/README.md. Rows are full rows; what a row leaves out gets the column's
-- default. Columns that others own (the pace of an address, what a delivery learned) are never overwritten here.

-- Sets identities. One that belongs to somebody whose facts this transaction did not lock means that the changes were
-- made on old facts: unique_violation, and the batch is to be tried again with fresh ones.
CREATE FUNCTION write_identities(rows jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    locked constant bigint[] := coalesce(nullif(current_setting('answerd.locked_contacts', true), '')::bigint[], '{}');
BEGIN
    INSERT INTO identity (identity, contact_id, created_at, proven_by)
    SELECT r.identity, r.contact_id, coalesce(r.created_at, now()), coalesce(r.proven_by, '')
      FROM jsonb_populate_recordset(NULL::identity, rows) AS r
     ORDER BY r.identity
    ON CONFLICT (identity) DO NOTHING;
    -- A new statement, because the insert may have waited for somebody who took the identity.
    PERFORM 1
      FROM jsonb_populate_recordset(NULL::identity, rows) AS r
      JOIN identity AS i ON i.identity = r.identity
     WHERE i.contact_id <> r.contact_id AND i.contact_id <> ALL (locked)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an identity belongs to a contact that was not looked at' USING ERRCODE = 'unique_violation',
            CONSTRAINT = 'identity_pkey', TABLE = 'identity';
    END IF;
    UPDATE identity AS i SET contact_id = r.contact_id, proven_by = coalesce(r.proven_by, i.proven_by)
      FROM jsonb_populate_recordset(NULL::identity, rows) AS r
     WHERE i.identity = r.identity
       AND (i.contact_id <> r.contact_id OR i.proven_by <> r.proven_by); -- 'former:…': given up by its owner
END
$$;

CREATE FUNCTION write_people(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF jsonb_array_length(changes->'contacts') > 0 THEN
        INSERT INTO contact AS c (id, created_at, updated_at, name, language, timezone, preferred_channel, lane,
            attributes,
                                  opted_out, opted_out_at, merged_into, erased_at)
        SELECT r.id, coalesce(r.created_at, now()), coalesce(r.updated_at, now()), r.name, r.language, r.timezone,
               r.preferred_channel, coalesce(r.lane, 0), coalesce(r.attributes, '{}'), coalesce(r.opted_out, '{}'),
               r.opted_out_at, r.merged_into, r.erased_at
          FROM jsonb_populate_recordset(NULL::contact, changes->'contacts') AS r
         ORDER BY r.id
        ON CONFLICT (id) DO UPDATE
           SET updated_at = excluded.updated_at, name = excluded.name, language = excluded.language,
               timezone = excluded.timezone, preferred_channel = excluded.preferred_channel, lane = excluded.lane,
               attributes = excluded.attributes, opted_out = excluded.opted_out, opted_out_at = excluded.opted_out_at,
               merged_into = excluded.merged_into
         WHERE c.erased_at IS NULL;
    END IF;
    IF jsonb_array_length(changes->'identities') > 0 THEN
        PERFORM write_identities(changes->'identities');
    END IF;
    IF jsonb_array_length(changes->'addresses') > 0 THEN
        -- A sender may have found an address dead after we read it: its word is newer than ours.
        INSERT INTO address AS a (source, identity, contact_id, recipient, last_inbound_at, unreachable_at,
            unreachable_reason)
        SELECT r.source, r.identity, r.contact_id, coalesce(r.recipient, ''), r.last_inbound_at, r.unreachable_at,
            r.unreachable_reason
          FROM jsonb_populate_recordset(NULL::address, changes->'addresses') AS r
         ORDER BY r.source, r.identity
        ON CONFLICT (source, identity) DO UPDATE
           SET contact_id = excluded.contact_id,
               recipient = CASE WHEN excluded.recipient <> '' THEN excluded.recipient ELSE a.recipient END,
               last_inbound_at = greatest(a.last_inbound_at, excluded.last_inbound_at),
               unreachable_at = CASE WHEN a.unreachable_at > now() THEN a.unreachable_at
                   ELSE excluded.unreachable_at END,
               unreachable_reason = CASE WHEN a.unreachable_at > now() THEN a.unreachable_reason
                   ELSE excluded.unreachable_reason END;
    END IF;
    IF jsonb_array_length(changes->'conversations') > 0 THEN
        -- Those that end come first: they make room under the key of the open ones.
        INSERT INTO conversation AS v (id, contact_id, source, identity, topic, reference, state, priority, assignee,
            tags,
                                       attributes, opened_at, updated_at, last_inbound_at, last_outbound_at,
                                           first_reply_at,
                                       snoozed_until, resolved_at, episode, previous_id)
        SELECT r.id, r.contact_id, r.source, r.identity, coalesce(r.topic, 'support'), coalesce(r.reference, ''),
               coalesce(r.state, 'open'), coalesce(r.priority, 'normal'), r.assignee, coalesce(r.tags, '{}'),
               coalesce(r.attributes, '{}'), coalesce(r.opened_at, now()), coalesce(r.updated_at, now()),
                   r.last_inbound_at,
               r.last_outbound_at, r.first_reply_at, r.snoozed_until, r.resolved_at, coalesce(r.episode, 1),
                   r.previous_id
          FROM jsonb_populate_recordset(NULL::conversation, changes->'conversations') AS r
         ORDER BY coalesce(r.state, 'open') = 'resolved' DESC, r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, source = excluded.source, identity = excluded.identity,
               topic = excluded.topic, reference = excluded.reference, state = excluded.state,
                   priority = excluded.priority,
               assignee = excluded.assignee, tags = excluded.tags, attributes = excluded.attributes,
               updated_at = excluded.updated_at, last_inbound_at = greatest(v.last_inbound_at,
                   excluded.last_inbound_at),
               last_outbound_at = greatest(v.last_outbound_at, excluded.last_outbound_at),
               first_reply_at = coalesce(v.first_reply_at, excluded.first_reply_at),
                   snoozed_until = excluded.snoozed_until,
               resolved_at = excluded.resolved_at, episode = excluded.episode, previous_id = excluded.previous_id;
    END IF;
    IF jsonb_array_length(changes->'surveys') > 0 THEN
        INSERT INTO survey AS s (id, name, conversation_id, contact_id, episode, state, score, scale, comment,
            message_id, rule,
                                 asked_at, answered_at, commented_at, expires_at)
        SELECT r.id, r.name, r.conversation_id, r.contact_id, coalesce(r.episode, 1), coalesce(r.state, 'asked'),
            r.score,
               coalesce(r.scale, 5), r.comment, r.message_id, r.rule, coalesce(r.asked_at, now()), r.answered_at,
               r.commented_at, r.expires_at
          FROM jsonb_populate_recordset(NULL::survey, changes->'surveys') AS r
         ORDER BY r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, state = excluded.state, score = excluded.score,
               comment = excluded.comment,
               message_id = coalesce(excluded.message_id, s.message_id), answered_at = excluded.answered_at,
               commented_at = excluded.commented_at, expires_at = excluded.expires_at;
    END IF;
    IF jsonb_array_length(changes->'outreaches') > 0 THEN
        INSERT INTO outreach AS o (id, contact_id, conversation_id, topic, reference, other_references, payment, goal,
                                   goals, state, step, steps, vars, rule, event_id, started_at, reached_at,
                                   next_attempt_at, ended_at, ended_by)
        SELECT r.id, r.contact_id, r.conversation_id, r.topic, coalesce(r.reference, ''),
               coalesce(r.other_references, '{}'), coalesce(r.payment, '{}'), r.goal,
               coalesce(r.goals, '{}'), coalesce(r.state, 'active'), coalesce(r.step, 0), coalesce(r.steps, '[]'),
               coalesce(r.vars, '{}'), r.rule, r.event_id,
               coalesce(r.started_at, now()), r.reached_at, r.next_attempt_at, r.ended_at, r.ended_by
          FROM jsonb_populate_recordset(NULL::outreach, changes->'outreaches') AS r
         ORDER BY coalesce(r.state, 'active') <> 'active' DESC, r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, conversation_id = excluded.conversation_id,
               other_references = excluded.other_references, state = excluded.state, step = excluded.step,
               steps = excluded.steps, vars = excluded.vars,
               reached_at = least(o.reached_at, excluded.reached_at), next_attempt_at = excluded.next_attempt_at,
               ended_at = excluded.ended_at, ended_by = excluded.ended_by;
    END IF;
END
$$;

-- What still waits for these outreaches or messages is canceled together with its message; what is being sent right now
-- is not tried again after that.
CREATE FUNCTION cancel_deliveries(outreaches bigint[], messages bigint[], why text DEFAULT NULL) RETURNS integer
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
         WHERE o.position IN (SELECT position FROM outbox WHERE outreach_id = ANY (outreaches)
                               UNION SELECT position FROM outbox WHERE message_id = ANY (messages))
         ORDER BY o.position
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

CREATE FUNCTION write_messages(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
BEGIN
    IF jsonb_array_length(changes->'messages') > 0 THEN
        INSERT INTO message (id, created_at, occurred_at, conversation_id, contact_id, direction, source, identity,
            kind, text,
                             content, author, provider_message_id, reply_to, event_id, outreach_id, survey_id, state,
                                 reason,
                             error_code, queued_at, sent_at, delivered_at, read_at, failed_at, edited_at, deleted_at)
        SELECT r.id, coalesce(r.created_at, now()), coalesce(r.occurred_at, r.created_at, now()), r.conversation_id,
            r.contact_id,
               r.direction, r.source, r.identity, coalesce(r.kind, 'text'), r.text, coalesce(r.content, '{}'), r.author,
               r.provider_message_id, r.reply_to, r.event_id, r.outreach_id, r.survey_id,
               coalesce(r.state, CASE r.direction WHEN 'in' THEN 'received' WHEN 'out' THEN 'queued' ELSE 'note' END),
               r.reason, r.error_code, r.queued_at, r.sent_at, r.delivered_at, r.read_at, r.failed_at, r.edited_at,
                   r.deleted_at
          FROM jsonb_populate_recordset(NULL::message, changes->'messages') AS r;
    END IF;
    FOR entry IN SELECT e.doc, (jsonb_populate_record(NULL::message, e.doc)).*
                   FROM jsonb_array_elements(changes->'message_edits') AS e (doc)
    LOOP
        UPDATE message AS m
           SET text = CASE WHEN entry.doc ? 'text' THEN entry.text ELSE m.text END,
               content = CASE WHEN entry.doc ? 'content' THEN coalesce(entry.content, '{}') ELSE m.content END,
               edited_at = CASE WHEN entry.doc ? 'edited_at' THEN entry.edited_at ELSE m.edited_at END,
               deleted_at = CASE WHEN entry.doc ? 'deleted_at' THEN entry.deleted_at ELSE m.deleted_at END,
               conversation_id = CASE WHEN entry.doc ? 'conversation_id' THEN entry.conversation_id
                   ELSE m.conversation_id END,
               contact_id = CASE WHEN entry.doc ? 'contact_id' THEN entry.contact_id ELSE m.contact_id END,
               survey_id = CASE WHEN entry.doc ? 'survey_id' THEN entry.survey_id ELSE m.survey_id END
         WHERE m.id = entry.id AND m.created_at = entry.created_at;
    END LOOP;
    -- Sorted, because two batches may carry statuses of the same messages; the ledger does not depend on the order.
    FOR entry IN
        SELECT s.*
          FROM jsonb_to_recordset(changes->'message_states')
               AS s (id bigint, created_at timestamptz, source text, provider_message_id text, delivery_id bigint,
                     identity text, up_to timestamptz, state text, at timestamptz, error_code text, reason text)
         ORDER BY s.provider_message_id, s.id, s.delivery_id, s.identity
    LOOP
        IF entry.up_to IS NOT NULL THEN
            PERFORM apply_watermark(entry.source, entry.identity, entry.state, entry.up_to, coalesce(entry.at, now()));
            CONTINUE;
        END IF;
        PERFORM apply_message_state(entry.source, entry.provider_message_id, entry.delivery_id, entry.state,
                                    coalesce(entry.at, now()), entry.error_code, entry.reason, entry.id,
                                    entry.created_at);
    END LOOP;
END
$$;

CREATE FUNCTION write_deliveries(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF jsonb_array_length(changes->'deliveries') > 0 THEN
        INSERT INTO delivery (id, created_at, kind, source, endpoint, identity, contact_id, conversation_id, message_id,
                              message_created_at, outreach_id, topic, event_id, rule, request, state)
        SELECT r.id, coalesce(r.created_at, now()), r.kind, r.source, r.endpoint, r.identity, r.contact_id,
            r.conversation_id,
               r.message_id, r.message_created_at, r.outreach_id, r.topic, r.event_id, r.rule, coalesce(r.request,
                   '{}'), 'queued'
          FROM jsonb_populate_recordset(NULL::delivery, changes->'deliveries') AS r;
        INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, outreach_id, contact_id, message_id,
            due_at)
        SELECT r.id, coalesce(r.created_at, now()),
               coalesce(d.doc->>'recipient', CASE r.kind WHEN 'webhook' THEN 'endpoint ' || r.endpoint ELSE r.source
                   || ' ' || r.identity END),
               CASE r.kind WHEN 'webhook' THEN 'endpoint ' || r.endpoint ELSE r.source END,
               r.outreach_id, r.contact_id, r.message_id, coalesce((d.doc->>'due_at')::timestamptz, now())
          FROM jsonb_array_elements(changes->'deliveries') WITH ORDINALITY AS d (doc, n)
         CROSS JOIN LATERAL jsonb_populate_record(NULL::delivery, d.doc) AS r
         ORDER BY d.n;
    END IF;
    IF jsonb_array_length(changes->'cancel_deliveries') > 0 THEN
        PERFORM cancel_deliveries((SELECT array_agg(document_id(c->'outreach_id'))
            FROM jsonb_array_elements(changes->'cancel_deliveries') AS c),
                                  (SELECT array_agg(document_id(c->'message_id'))
                                      FROM jsonb_array_elements(changes->'cancel_deliveries') AS c),
                                  'no longer needed');
    END IF;
END
$$;

-- Cancels first, then the rows as they shall be: one timer for each (conversation, name), outreach and survey.
CREATE FUNCTION write_timers(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF jsonb_array_length(changes->'timer_cancels') > 0 THEN
        DELETE FROM timer AS t
         USING jsonb_to_recordset(changes->'timer_cancels')
               AS c (id bigint, conversation_id bigint, name text, outreach_id bigint, survey_id bigint)
         WHERE t.id IN (
               SELECT c.id
                UNION ALL
               SELECT x.id FROM timer AS x WHERE c.id IS NULL AND x.outreach_id = c.outreach_id
                   AND c.conversation_id IS NULL
                UNION ALL
               SELECT x.id FROM timer AS x WHERE c.id IS NULL AND x.survey_id = c.survey_id
                   AND c.conversation_id IS NULL
                UNION ALL
               SELECT x.id FROM timer AS x
                WHERE c.id IS NULL AND x.conversation_id = c.conversation_id AND x.name = c.name
                  AND x.outreach_id IS NULL AND x.survey_id IS NULL);
    END IF;
    IF jsonb_array_length(changes->'timers') > 0 THEN
        DELETE FROM timer AS t
         USING jsonb_populate_recordset(NULL::timer, changes->'timers') AS r
         WHERE t.id = r.id
            OR t.outreach_id = r.outreach_id
            OR t.survey_id = r.survey_id
            OR (t.conversation_id = r.conversation_id AND t.name = r.name AND t.outreach_id IS NULL
                AND r.outreach_id IS NULL
                AND t.survey_id IS NULL AND r.survey_id IS NULL);
        INSERT INTO timer (id, name, due_at, lane, contact_id, conversation_id, outreach_id, survey_id, rule, rule_set,
                           cause_event, depth, data, unless, armed_at)
        SELECT r.id, r.name, r.due_at, r.lane, r.contact_id, r.conversation_id, r.outreach_id, r.survey_id, r.rule,
            r.rule_set,
               r.cause_event, coalesce(r.depth, 0), coalesce(r.data, '{}'), coalesce(r.unless, '[]'),
                   coalesce(r.armed_at, now())
          FROM jsonb_populate_recordset(NULL::timer, changes->'timers') AS r;
    END IF;
END
$$;

-- Failures in a row of each rule, counted anew for each rule set; a rule that never failed has no row.
CREATE FUNCTION write_rule_health(rows jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT r.*
          FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, n)
         CROSS JOIN LATERAL jsonb_to_record(d.doc)
               AS r (rule text, rule_set text, failed boolean, error text)
         WHERE r.failed OR r.rule IN (SELECT rule FROM rule_health WHERE failures_in_row > 0)
                        OR r.rule IN (SELECT x->>'rule' FROM jsonb_array_elements(rows) AS x
                            WHERE x->>'failed' = 'true')
         ORDER BY r.rule, d.n
    LOOP
        IF entry.failed THEN
            INSERT INTO rule_health AS h (rule, rule_set, failures_in_row, last_error, updated_at)
            VALUES (entry.rule, coalesce(entry.rule_set, ''), 1, entry.error, now())
            ON CONFLICT (rule) DO UPDATE
               SET failures_in_row = CASE WHEN h.rule_set = excluded.rule_set THEN h.failures_in_row + 1 ELSE 1 END,
                   rule_set = excluded.rule_set, last_error = excluded.last_error, updated_at = now();
        ELSE
            UPDATE rule_health AS h
               SET failures_in_row = 0, quarantined_until = NULL, rule_set = coalesce(entry.rule_set, h.rule_set),
                   updated_at = now()
             WHERE h.rule = entry.rule AND h.failures_in_row > 0;
        END IF;
    END LOOP;
END
$$;

-- Writes everything and ends the work at `positions`. serialization_failure when one of those is no longer there
-- (somebody parked it): then nothing of this happened.
CREATE FUNCTION engine_commit(changes jsonb, positions bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    handled constant timestamptz := clock_timestamp();
    ended integer;
BEGIN
    PERFORM write_people(changes);
    PERFORM write_messages(changes);
    PERFORM write_deliveries(changes);
    PERFORM write_timers(changes);
    IF jsonb_array_length(changes->'events') > 0 THEN
        PERFORM append_internal_events(changes->'events', handled);
    END IF;

    IF jsonb_array_length(changes->'handlings') > 0 THEN
        INSERT INTO handling (event_id, handled_at, contact_id, conversation_id, rule_set, attempts, problem)
        SELECT r.event_id, handled, r.contact_id, r.conversation_id, r.rule_set, coalesce(w.attempts, 0) + 1, r.problem
          FROM jsonb_populate_recordset(NULL::handling, changes->'handlings') AS r
          LEFT JOIN (SELECT event_id, attempts FROM work WHERE position = ANY (positions)) AS w USING (event_id);
    END IF;
    IF jsonb_array_length(changes->'traces') > 0 THEN
        INSERT INTO trace (event_id, handled_at, number, rule, verdict, file, line, rule_set, instructions, micros,
            effects, error)
        SELECT r.event_id, handled,
               coalesce(r.number, row_number() OVER (PARTITION BY r.event_id ORDER BY d.n)), r.rule, r.verdict,
               r.file, r.line, coalesce(r.rule_set, ''), coalesce(r.instructions, 0), coalesce(r.micros, 0),
               coalesce(r.effects, '[]'), r.error
          FROM jsonb_array_elements(changes->'traces') WITH ORDINALITY AS d (doc, n)
         CROSS JOIN LATERAL jsonb_populate_record(NULL::trace, d.doc) AS r;
    END IF;
    IF jsonb_array_length(changes->'rule_health') > 0 THEN
        PERFORM write_rule_health(changes->'rule_health');
    END IF;

    IF EXISTS (SELECT 1 FROM work WHERE position = ANY (positions) AND replay_id IS NOT NULL) THEN
        PERFORM mark_replayed(changes, positions, handled);
    END IF;

    DELETE FROM work WHERE position = ANY (positions);
    GET DIAGNOSTICS ended = ROW_COUNT;
    IF ended <> cardinality(positions) THEN
        RAISE EXCEPTION 'the work is no longer there' USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;
COMMENT ON FUNCTION engine_commit(jsonb, bigint[]) IS
    'Writes the changes of a batch of events and ends their work, in the transaction that claimed them.';

-- A try failed. The event waits, and its lane behind it; after `max_attempts` it is parked, and its lane goes on.
CREATE FUNCTION engine_fail(failed_position bigint, what_problem text, max_attempts integer,
    retry_after interval) RETURNS boolean
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE work SET attempts = attempts + 1, retry_at = clock_timestamp() + retry_after, problem = left(what_problem,
        2000)
     WHERE position = failed_position AND attempts + 1 < max_attempts;
    IF FOUND THEN
        RETURN false;
    END IF;
    RETURN park_event(failed_position, what_problem);
END
$$;

CREATE FUNCTION park_event(at_position bigint, what_problem text) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    WITH gone AS (DELETE FROM work WHERE position = at_position RETURNING *)
    INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem)
    SELECT event_id, event_received_at, lane, attempts + 1, left(what_problem, 2000) FROM gone
    ON CONFLICT (event_id) DO UPDATE SET attempts = excluded.attempts, problem = excluded.problem, parked_at = now();
    RETURN FOUND;
END
$$;

-- Puts a parked event back to work, at the end of its lane.
CREATE FUNCTION unpark_event(of_event bigint) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    WITH gone AS (DELETE FROM parked_event WHERE event_id = of_event RETURNING *)
    INSERT INTO work (event_id, event_received_at, lane) SELECT event_id, event_received_at, lane FROM gone;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION unpark_event(bigint) IS 'Puts a parked event back to work, behind what waits in its lane.';

-- Which contacts' facts the next try needs, too: those who own what this try ran into.
CREATE FUNCTION engine_load_also(positions bigint[], identities text[]) RETURNS void
LANGUAGE sql
AS $$
    UPDATE work SET also_load = (SELECT array_agg(DISTINCT i) FROM unnest(also_load || identities) AS i)
     WHERE position = ANY (positions)
$$;

-- Engine workers. A worker holds a session lock of class 4204 for as long as its connection lives; a row whose lock is
-- free belongs to a worker that died, and what it had in hand is suspect.
CREATE FUNCTION worker_lock_key(worker bigint) RETURNS integer
LANGUAGE sql IMMUTABLE
RETURN (worker % 2147483647)::integer;

CREATE FUNCTION engine_start_worker(worker bigint, on_node text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_lock(4204, worker_lock_key(worker));
    INSERT INTO engine_worker (id, node) VALUES (worker, on_node)
    ON CONFLICT (id) DO UPDATE SET node = excluded.node, started_at = now(), in_flight = '{}';
END
$$;

-- Committed without waiting for the disk: when the machine dies too, nobody is to blame.
CREATE FUNCTION engine_note_in_flight(worker bigint, positions bigint[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE engine_worker SET in_flight = positions WHERE id = worker;
    IF NOT FOUND THEN
        PERFORM engine_start_worker(worker, '');
        UPDATE engine_worker SET in_flight = positions WHERE id = worker;
    END IF;
END
$$;

CREATE FUNCTION engine_stop_worker(worker bigint) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM engine_worker WHERE id = worker;
    PERFORM pg_advisory_unlock(4204, worker_lock_key(worker));
END
$$;

-- Marks what dead workers had in hand, and parks what was there `max_crashes` times.
CREATE FUNCTION engine_blame_crashed(max_crashes integer DEFAULT 3) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    worker record;
    suspects bigint;
    blamed bigint := 0;
BEGIN
    FOR worker IN SELECT w.id FROM engine_worker AS w ORDER BY w.id LOOP
        -- Read, not tried: a session's own lock would be granted to it again.
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_locks AS l
                               WHERE l.locktype = 'advisory' AND l.classid = 4204
                                   AND l.objid = worker_lock_key(worker.id)::oid
                                 AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                     AND l.granted);
        WITH gone AS (DELETE FROM engine_worker WHERE id = worker.id RETURNING in_flight)
        UPDATE work AS w
           SET suspect = true, attempts = w.attempts + 1, problem = 'the engine died while it handled this'
          FROM gone
         WHERE w.position = ANY (gone.in_flight);
        GET DIAGNOSTICS suspects = ROW_COUNT;
        blamed := blamed + suspects;
    END LOOP;
    IF blamed > 0 THEN
        PERFORM park_event(w.position, 'the engine died each time it handled this')
           FROM work AS w WHERE w.suspect AND w.attempts >= max_crashes;
    END IF;
    RETURN blamed;
END
$$;
