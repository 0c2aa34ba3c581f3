-- Sends of a rule that are a minute old are kept where nothing is updated any more.
--
-- Why: the row of ten seconds is updated by each batch, and leaves a dead one each time: beside a snapshot that was held for an hour
-- at 20 batches a second, the sum for a budget read 500 pages. It reads 22 so, however long it is held.
-- Locks: none. Takes: milliseconds.

CREATE TABLE rule_sends_settled (
    rule    text        NOT NULL,
    slot    timestamptz NOT NULL,
    sends   integer     NOT NULL,
    PRIMARY KEY (rule, slot)
);
COMMENT ON TABLE rule_sends_settled IS 'How much rules with a budget sent earlier than in the last minute, in steps of ten seconds, for an hour or two.';
COMMENT ON TABLE rule_sends IS 'How much rules with a budget sent in the last minute, in steps of ten seconds; then it goes to rule_sends_settled.';

-- What a rule sent in the last hour and minute. Nobody else counts its sends until the transaction ends.
CREATE FUNCTION sends_of_rule(of_rule text, OUT in_hour integer, OUT in_minute integer)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    now_at timestamptz;
    settled_to timestamptz;
    moved bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(4205, hashtext(of_rule));
    -- The clock is read under the lock: nobody adds to what is a minute old.
    now_at := clock_timestamp();
    settled_to := (SELECT max(s.slot) FROM rule_sends_settled AS s WHERE s.rule = of_rule);
    IF settled_to IS NULL OR settled_to > now_at - interval '1 minute' THEN
        settled_to := '-infinity'; -- also when the clock was set back
    END IF;
    WITH old AS (
        DELETE FROM rule_sends AS s
         WHERE s.rule = of_rule AND s.slot > settled_to AND s.slot <= now_at - interval '1 minute'
        RETURNING s.slot, s.sends
    )
    INSERT INTO rule_sends_settled AS s (rule, slot, sends) SELECT of_rule, old.slot, old.sends FROM old
    ON CONFLICT (rule, slot) DO UPDATE SET sends = s.sends + excluded.sends;
    GET DIAGNOSTICS moved = ROW_COUNT;
    -- What no budget looks back to goes once in an hour: whoever looks for it walks over what went before.
    IF moved > 0 AND date_trunc('hour', settled_to) < date_trunc('hour', now_at) THEN
        DELETE FROM rule_sends_settled AS s WHERE s.rule = of_rule AND s.slot <= now_at - interval '1 hour';
    END IF;
    SELECT coalesce(sum(s.sends), 0), coalesce(sum(s.sends) FILTER (WHERE s.slot > now_at - interval '1 minute'), 0)
      INTO in_hour, in_minute
      FROM (SELECT x.slot, x.sends FROM rule_sends_settled AS x WHERE x.rule = of_rule AND x.slot > now_at - interval '1 hour'
             UNION ALL
            SELECT x.slot, x.sends FROM rule_sends AS x WHERE x.rule = of_rule AND x.slot > settled_to
               AND x.slot > now_at - interval '1 hour') AS s;
END
$$;

-- Under the lock of sends_of_rule().
CREATE FUNCTION count_sends(of_rule text, how_many integer) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO rule_sends AS s (rule, slot, sends)
    VALUES (of_rule, date_bin('10 seconds', clock_timestamp(), 'epoch'::timestamptz), how_many)
    ON CONFLICT (rule, slot) DO UPDATE SET sends = s.sends + excluded.sends;
$$;

-- As in 0100_counts.sql otherwise.
CREATE OR REPLACE FUNCTION hold_one_by_one(deliveries jsonb, budgets jsonb) RETURNS integer
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    now_at constant timestamptz := clock_timestamp();
    ids constant bigint[] := ARRAY(SELECT document_id(d->'id') FROM jsonb_array_elements(deliveries) AS d WHERE d->>'kind' = 'message');
    held integer := 0;
    budget record;
    entry record;
    sent_hour integer;
    sent_minute integer;
    sent_now integer;
    sent_to jsonb;
    sent_to_contact integer;
    held_of_rule integer;
    over text;
    why text;
BEGIN
    FOR budget IN
        SELECT b.key AS rule, (b.value->>'sends_per_hour')::integer AS per_hour, (b.value->>'sends_per_minute')::integer AS per_minute,
               (b.value->>'sends_per_contact_per_day')::integer AS per_contact
          FROM jsonb_each(budgets) AS b
         ORDER BY hashtext(b.key), b.key
    LOOP
        sent_hour := 0;
        sent_minute := 0;
        sent_now := 0;
        sent_to := '{}';
        held_of_rule := 0;
        IF budget.per_hour IS NOT NULL OR budget.per_minute IS NOT NULL THEN
            SELECT s.in_hour, s.in_minute INTO sent_hour, sent_minute FROM sends_of_rule(budget.rule) AS s;
        END IF;
        FOR entry IN
            SELECT o.position, o.delivery_id, o.delivery_created_at, coalesce(o.contact_id, 0) AS contact_id, d.message_id, d.message_created_at
              FROM outbox AS o
              JOIN delivery AS d ON d.id = o.delivery_id AND d.created_at = o.delivery_created_at
             WHERE o.delivery_id = ANY (ids) AND d.rule = budget.rule
             ORDER BY o.position
        LOOP
            over := NULL;
            IF budget.per_contact IS NOT NULL AND entry.contact_id <> 0 THEN
                sent_to_contact := (sent_to->>entry.contact_id::text)::integer;
                IF sent_to_contact IS NULL THEN
                    SELECT count(*) INTO sent_to_contact
                      FROM (SELECT FROM delivery AS d
                             WHERE d.contact_id = entry.contact_id AND d.created_at > now_at - interval '1 day'
                               AND d.rule = budget.rule AND d.kind = 'message' AND d.state NOT IN ('held', 'canceled')
                               AND d.id <> ALL (ids)
                             LIMIT budget.per_contact) AS earlier;
                END IF;
                IF sent_to_contact >= budget.per_contact THEN
                    over := 'sends_per_contact_per_day';
                    why := format('more than %s of this rule to this contact in a day', counted(budget.per_contact, 'message'));
                END IF;
            END IF;
            IF over IS NULL AND sent_hour + sent_now >= budget.per_hour THEN
                over := 'sends_per_hour';
                why := format('more than %s of this rule in an hour', counted(budget.per_hour, 'message'));
            ELSIF over IS NULL AND sent_minute + sent_now >= budget.per_minute THEN
                over := 'sends_per_minute';
                why := format('more than %s of this rule in a minute', counted(budget.per_minute, 'message'));
            END IF;
            IF over IS NULL THEN
                sent_now := sent_now + 1;
                sent_to := sent_to || jsonb_build_object(entry.contact_id::text, coalesce(sent_to_contact, 0) + 1);
                sent_to_contact := NULL;
                CONTINUE;
            END IF;
            sent_to := sent_to || jsonb_build_object(entry.contact_id::text, coalesce(sent_to_contact, 0));
            sent_to_contact := NULL;
            WITH gone AS (DELETE FROM outbox AS o WHERE o.position = entry.position RETURNING o.*)
            INSERT INTO held_delivery (position, delivery_id, delivery_created_at, rule, contact_id, outreach_id, message_id, recipient, source,
                                       due_at, held_at, budget, reason)
            SELECT g.position, g.delivery_id, g.delivery_created_at, budget.rule, g.contact_id, g.outreach_id, g.message_id, g.recipient,
                   g.source, g.due_at, now_at, over, why
              FROM gone AS g;
            UPDATE delivery AS d SET state = 'held', reason = why, error_code = over
             WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at;
            UPDATE message AS m SET reason = 'held: ' || why WHERE m.id = entry.message_id AND m.created_at = entry.message_created_at;
            held_of_rule := held_of_rule + 1;
        END LOOP;
        IF sent_now > 0 AND (budget.per_hour IS NOT NULL OR budget.per_minute IS NOT NULL) THEN
            PERFORM count_sends(budget.rule, sent_now);
        END IF;
        IF held_of_rule > 0 THEN
            PERFORM raise_alert('sends_held', 'rule ' || budget.rule, jsonb_build_object(
                'rule', budget.rule, 'severity', 'critical', 'held', held_of_rule, 'reason', why,
                'summary', format('messages of the rule %s are held: %s; look at them with: answerd held list --rule %s',
                                  budget.rule, why, budget.rule)));
            held := held + held_of_rule;
        END IF;
    END LOOP;
    RETURN held;
END
$$;

-- As in 0071_commit.sql otherwise.
CREATE OR REPLACE FUNCTION hold_excess(deliveries jsonb, budgets jsonb) RETURNS integer
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
            SELECT s.in_hour, s.in_minute INTO sent_hour, sent_minute FROM sends_of_rule(budget.rule) AS s;
        END IF;
        SELECT f.fits, f.sends INTO batch
          FROM sends_fit(ids, budget.rule, budget.per_hour - sent_hour, budget.per_minute - sent_minute, budget.per_contact,
                         now_at) AS f;
        IF NOT batch.fits THEN
            exceeded := exceeded || jsonb_build_object(budget.rule, budget.limits);
        ELSIF counted AND batch.sends > 0 THEN
            PERFORM count_sends(budget.rule, batch.sends);
        END IF;
    END LOOP;
    RETURN CASE WHEN exceeded = '{}' THEN 0 ELSE hold_one_by_one(deliveries, exceeded) END;
END
$$;

-- At once, because programs that run count what they send.
SELECT grant_roles();
