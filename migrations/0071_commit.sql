-- The commit of a batch does for all rows together what it did one by one.
--
-- Why: budgets that nobody goes beyond, and identities that nobody else has, are the usual case and need no loop.
-- Locks: none. Takes: milliseconds.

CREATE OR REPLACE FUNCTION write_identities(rows jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    locked constant bigint[] := coalesce(nullif(current_setting('answerd.locked_contacts', true), '')::bigint[], '{}');
    added integer;
BEGIN
    INSERT INTO identity (identity, contact_id, created_at, proven_by)
    SELECT r.identity, r.contact_id, coalesce(r.created_at, now()), coalesce(r.proven_by, '')
      FROM jsonb_populate_recordset(NULL::identity, rows) AS r
     ORDER BY r.identity
    ON CONFLICT (identity) DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added = jsonb_array_length(rows) THEN
        RETURN;
    END IF;
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

-- Whether none of these new deliveries of one rule goes beyond its budgets. `ids`: all deliveries that are new now. Counts of
-- the last hour and minute are given; NULL is no limit.
CREATE FUNCTION sends_fit(ids bigint[], of_rule text, left_this_hour integer, left_this_minute integer, per_contact integer,
                          at timestamptz, OUT fits boolean, OUT sends integer)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    most_to_one integer;
    receivers bigint[];
BEGIN
    SELECT coalesce(sum(g.sends), 0), max(g.sends) FILTER (WHERE g.contact_id IS NOT NULL),
           array_agg(g.contact_id) FILTER (WHERE g.contact_id IS NOT NULL)
      INTO sends, most_to_one, receivers
      FROM (SELECT o.contact_id, count(*) AS sends
              FROM outbox AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE o.delivery_id = ANY (ids) AND d.rule = of_rule
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

-- What hold_excess() did for all rules, one delivery after the other, is left for those that do go beyond a budget.
ALTER FUNCTION hold_excess(jsonb, jsonb) RENAME TO hold_one_by_one;
COMMENT ON FUNCTION hold_one_by_one(jsonb, jsonb) IS
    'Counts new deliveries in their order and holds those beyond the budgets; returns how many. Called by hold_excess().';

CREATE FUNCTION hold_excess(deliveries jsonb, budgets jsonb) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    now_at constant timestamptz := clock_timestamp();
    ids constant bigint[] := ARRAY(SELECT document_id(d->'id') FROM jsonb_array_elements(deliveries) AS d WHERE d->>'kind' = 'message');
    budget record;
    counted boolean;
    sent_hour integer;
    sent_minute integer;
    batch record;
    exceeded jsonb := '{}';
BEGIN
    FOR budget IN
        SELECT b.key AS rule, b.value AS limits, (b.value->>'sends_per_hour')::integer AS per_hour,
               (b.value->>'sends_per_minute')::integer AS per_minute,
               (b.value->>'sends_per_contact_per_day')::integer AS per_contact
          FROM jsonb_each(budgets) AS b
         ORDER BY hashtext(b.key), b.key
    LOOP
        sent_hour := 0;
        sent_minute := 0;
        counted := budget.per_hour IS NOT NULL OR budget.per_minute IS NOT NULL;
        IF counted THEN
            PERFORM pg_advisory_xact_lock(4205, hashtext(budget.rule));
            SELECT coalesce(sum(s.sends), 0), coalesce(sum(s.sends) FILTER (WHERE s.slot > now_at - interval '1 minute'), 0)
              INTO sent_hour, sent_minute
              FROM rule_sends AS s WHERE s.rule = budget.rule AND s.slot > now_at - interval '1 hour';
        END IF;
        SELECT f.fits, f.sends INTO batch
          FROM sends_fit(ids, budget.rule, budget.per_hour - sent_hour, budget.per_minute - sent_minute, budget.per_contact,
                         now_at) AS f;
        IF NOT batch.fits THEN
            exceeded := exceeded || jsonb_build_object(budget.rule, budget.limits);
        ELSIF counted AND batch.sends > 0 THEN
            DELETE FROM rule_sends AS s WHERE s.rule = budget.rule AND s.slot <= now_at - interval '1 hour';
            INSERT INTO rule_sends AS s (rule, slot, sends)
            VALUES (budget.rule, date_bin('10 seconds', now_at, 'epoch'::timestamptz), batch.sends)
            ON CONFLICT (rule, slot) DO UPDATE SET sends = s.sends + excluded.sends;
        END IF;
    END LOOP;
    RETURN CASE WHEN exceeded = '{}' THEN 0 ELSE hold_one_by_one(deliveries, exceeded) END;
END
$$;
COMMENT ON FUNCTION hold_excess(jsonb, jsonb) IS 'Holds what goes beyond the budgets of its rules among new deliveries; returns how many.';

CREATE OR REPLACE FUNCTION engine_commit(changes jsonb, positions bigint[]) RETURNS void
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
          FROM jsonb_to_recordset(changes->'handlings')
               AS r (event_id bigint, contact_id bigint, conversation_id bigint, rule_set text, problem text)
          LEFT JOIN (SELECT event_id, attempts FROM work WHERE position = ANY (positions)) AS w USING (event_id);
    END IF;
    IF jsonb_array_length(changes->'traces') > 0 THEN
        INSERT INTO trace (event_id, handled_at, number, rule, verdict, file, line, rule_set, instructions, micros,
            effects, error)
        SELECT r.event_id, handled, coalesce(r.number, r.n), r.rule, r.verdict, r.file, r.line, coalesce(r.rule_set, ''),
               coalesce(r.instructions, 0), coalesce(r.micros, 0), coalesce(r.effects, '[]'), r.error
          FROM ROWS FROM (jsonb_to_recordset(changes->'traces')
                          AS (event_id bigint, number smallint, rule text, verdict text, file text, line integer,
                              rule_set text, instructions bigint, micros bigint, effects jsonb, error text))
               WITH ORDINALITY
               AS r (event_id, number, rule, verdict, file, line, rule_set, instructions, micros, effects, error, n);
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
