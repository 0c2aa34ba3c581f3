-- Budgets of sends: what a rule sends beyond its budget is held, visible, and released or dropped by a person.
--
-- Why: a rule that goes wrong must not be able to write to every customer, nor to one customer a hundred times.
-- Locks: ACCESS EXCLUSIVE on delivery while a constraint is checked. Takes: a scan of delivery.
--
-- Sends are counted when a rule asks for them, in the transaction of the engine, so that any number of nodes count together.
-- Advisory locks of class 4205: the count of one rule.

ALTER TABLE delivery DROP CONSTRAINT delivery_state_check;
ALTER TABLE delivery ADD CONSTRAINT delivery_state_check
    CHECK (state IN ('queued', 'held', 'sending', 'retrying', 'sent', 'unknown', 'failed', 'parked', 'blocked', 'canceled'));
COMMENT ON COLUMN delivery_log.state IS
    'queued, held (beyond a budget of its rule), sending, retrying, sent, unknown, failed, parked, blocked or canceled';

-- Sends of a rule in ten seconds; what is older than an hour is deleted by the next count.
CREATE TABLE rule_sends (
    rule    text        NOT NULL,
    slot    timestamptz NOT NULL,
    sends   integer     NOT NULL,
    PRIMARY KEY (rule, slot)
) WITH (fillfactor = 50);
COMMENT ON TABLE rule_sends IS 'How much rules with a budget sent in the last hour, in steps of ten seconds.';

-- What would be in the outbox if its rule had not spent its budget.
CREATE TABLE held_delivery (
    position            bigint      PRIMARY KEY, -- in the outbox; the order to release them in
    delivery_id         bigint      NOT NULL UNIQUE,
    delivery_created_at timestamptz NOT NULL,
    rule                text        NOT NULL,
    contact_id          bigint,
    outreach_id         bigint,
    message_id          bigint,
    recipient           text        NOT NULL,
    source              text        NOT NULL,
    due_at              timestamptz NOT NULL,
    held_at             timestamptz NOT NULL DEFAULT now(),
    budget              text        NOT NULL CHECK (budget IN ('sends_per_hour', 'sends_per_contact_per_day', 'sends_per_minute')),
    reason              text        NOT NULL
);
CREATE INDEX held_delivery_by_rule ON held_delivery (rule, position);
CREATE INDEX held_delivery_by_contact ON held_delivery (contact_id) WHERE contact_id IS NOT NULL;
COMMENT ON TABLE held_delivery IS 'Messages beyond a budget of their rule. A row goes when somebody releases or drops it.';

-- An event that rules can answer to and people hear of: once an hour for one problem of one thing.
CREATE FUNCTION raise_alert(problem text, target text, body jsonb) RETURNS void
LANGUAGE sql
AS $$
    SELECT append_internal_events(jsonb_build_array(jsonb_build_object(
               'id', nextval('object_id'), 'type', 'custom.system_alert', 'source', 'answerd', 'provider', 'answerd',
               'key', 'alert:' || problem || ':' || target || ':' || floor(extract(epoch FROM clock_timestamp()) / 3600)::bigint,
               'occurred_at', clock_timestamp(), 'lane', 154205164, -- lane_of("source:answerd")
               'body', jsonb_build_object('problem', problem, 'source', target) || body)))
$$;
COMMENT ON FUNCTION raise_alert(text, text, jsonb) IS 'Makes an event custom.system_alert, once an hour for one problem of one target.';

-- What of these new deliveries goes beyond a budget leaves the outbox and is held. `budgets` is {rule: {sends_per_hour?,
-- sends_per_minute?, sends_per_contact_per_day?}}. The contacts are locked by the engine, so their own sends can be counted
-- as they are; the counts of a rule are taken under a lock of their own. To be called last in the transaction.
CREATE FUNCTION hold_excess(deliveries jsonb, budgets jsonb) RETURNS integer
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
            PERFORM pg_advisory_xact_lock(4205, hashtext(budget.rule));
            DELETE FROM rule_sends AS s WHERE s.rule = budget.rule AND s.slot <= now_at - interval '1 hour';
            SELECT coalesce(sum(s.sends), 0), coalesce(sum(s.sends) FILTER (WHERE s.slot > now_at - interval '1 minute'), 0)
              INTO sent_hour, sent_minute
              FROM rule_sends AS s WHERE s.rule = budget.rule;
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
                    why := format('more than %s messages of this rule to this contact in a day', budget.per_contact);
                END IF;
            END IF;
            IF over IS NULL AND sent_hour + sent_now >= budget.per_hour THEN
                over := 'sends_per_hour';
                why := format('more than %s messages of this rule in an hour', budget.per_hour);
            ELSIF over IS NULL AND sent_minute + sent_now >= budget.per_minute THEN
                over := 'sends_per_minute';
                why := format('more than %s messages of this rule in a minute', budget.per_minute);
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
            INSERT INTO rule_sends AS s (rule, slot, sends)
            VALUES (budget.rule, date_bin('10 seconds', now_at, 'epoch'::timestamptz), sent_now)
            ON CONFLICT (rule, slot) DO UPDATE SET sends = s.sends + excluded.sends;
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
COMMENT ON FUNCTION hold_excess(jsonb, jsonb) IS 'Holds what goes beyond the budgets of its rules among new deliveries; returns how many.';

-- Puts held deliveries into the outbox, in the order they would have left in. Their contact, window and outreach are looked
-- at when they leave, as always. `most` at a time.
CREATE FUNCTION release_held(ids bigint[], most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
    released bigint := 0;
BEGIN
    FOR entry IN
        SELECT h.* FROM held_delivery AS h WHERE h.delivery_id = ANY (ids) ORDER BY h.position LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM held_delivery AS h WHERE h.position = entry.position;
        UPDATE delivery AS d SET state = 'queued', reason = NULL, error_code = NULL
         WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at AND d.state = 'held';
        CONTINUE WHEN NOT FOUND;
        UPDATE message AS m SET reason = NULL
          FROM delivery AS d
         WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at
           AND m.id = d.message_id AND m.created_at = d.message_created_at AND m.state = 'queued';
        INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source, outreach_id, contact_id, message_id, due_at)
        VALUES (entry.delivery_id, entry.delivery_created_at, entry.recipient, entry.source, entry.outreach_id, entry.contact_id,
                entry.message_id, greatest(entry.due_at, clock_timestamp()));
        released := released + 1;
    END LOOP;
    RETURN released;
END
$$;
COMMENT ON FUNCTION release_held(bigint[], integer) IS 'Puts held deliveries into the outbox, in order; returns how many.';

-- Gives held deliveries up: they are canceled, with their messages.
CREATE FUNCTION drop_held(ids bigint[], why text, most integer DEFAULT 10000) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
    dropped bigint := 0;
BEGIN
    FOR entry IN
        SELECT h.* FROM held_delivery AS h WHERE h.delivery_id = ANY (ids) ORDER BY h.position LIMIT most FOR UPDATE
    LOOP
        DELETE FROM held_delivery AS h WHERE h.position = entry.position;
        UPDATE delivery AS d SET state = 'canceled', reason = why, error_code = 'held_dropped', ended_at = clock_timestamp()
         WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at AND d.state = 'held';
        PERFORM move_message(m.id, m.created_at, 'canceled', clock_timestamp(), 'held_dropped', why)
           FROM delivery AS d JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
          WHERE d.id = entry.delivery_id AND d.created_at = entry.delivery_created_at;
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION drop_held(bigint[], text, integer) IS 'Cancels held deliveries; returns how many.';

-- The commit of a batch, with the budgets of its rules looked at last. What is held is canceled like what waits.
CREATE FUNCTION engine_commit_in_budget(changes jsonb, positions bigint[]) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    pointless bigint[];
BEGIN
    PERFORM engine_commit(changes, positions);
    IF jsonb_array_length(changes->'cancel_deliveries') > 0 AND EXISTS (SELECT FROM held_delivery) THEN
        SELECT array_agg(h.delivery_id) INTO pointless
          FROM held_delivery AS h
         WHERE h.outreach_id IN (SELECT document_id(c->'outreach_id') FROM jsonb_array_elements(changes->'cancel_deliveries') AS c)
            OR h.message_id IN (SELECT document_id(c->'message_id') FROM jsonb_array_elements(changes->'cancel_deliveries') AS c);
        PERFORM drop_held(pointless, 'no longer needed');
    END IF;
    IF changes ? 'budgets' AND changes ? 'deliveries' THEN
        PERFORM hold_excess(changes->'deliveries', changes->'budgets');
    END IF;
END
$$;
COMMENT ON FUNCTION engine_commit_in_budget(jsonb, bigint[]) IS 'engine_commit(), then holds what goes beyond the budgets in it.';

CREATE VIEW held_list AS
SELECT h.delivery_id, h.held_at, h.rule, h.budget, h.reason, coalesce(p.merged_into, h.contact_id) AS contact_id, p.name AS contact_name,
       d.identity, d.source, m.text, d.conversation_id, d.event_id, h.outreach_id, h.position
  FROM held_delivery AS h
  JOIN delivery AS d ON d.id = h.delivery_id AND d.created_at = h.delivery_created_at
  LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
  LEFT JOIN contact AS p ON p.id = h.contact_id;
COMMENT ON VIEW held_list IS 'Messages that are held because they go beyond a budget of their rule. Order by position.';
COMMENT ON COLUMN held_list.delivery_id IS 'number of the delivery, for answerd held release and drop';
COMMENT ON COLUMN held_list.held_at IS 'since when';
COMMENT ON COLUMN held_list.rule IS 'the rule that asked for it';
COMMENT ON COLUMN held_list.budget IS 'sends_per_hour, sends_per_contact_per_day or sends_per_minute';
COMMENT ON COLUMN held_list.reason IS 'the same in words';
COMMENT ON COLUMN held_list.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN held_list.contact_name IS 'the contact''s name';
COMMENT ON COLUMN held_list.identity IS 'the contact''s handle that it would go to';
COMMENT ON COLUMN held_list.source IS 'the source that it would leave through';
COMMENT ON COLUMN held_list.text IS 'text of the message';
COMMENT ON COLUMN held_list.conversation_id IS 'the conversation it belongs to';
COMMENT ON COLUMN held_list.event_id IS 'the event whose handling asked for it; see why()';
COMMENT ON COLUMN held_list.outreach_id IS 'the outreach it belongs to';
COMMENT ON COLUMN held_list.position IS 'the order they would have left in';

SELECT grant_views();

-- What waits for a contact who is erased never leaves.
CREATE FUNCTION drop_held_of_contact() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM drop_held(ARRAY(SELECT h.delivery_id FROM held_delivery AS h WHERE h.contact_id = NEW.id), 'the contact was erased');
    RETURN NEW;
END
$$;
CREATE TRIGGER contact_erased_held AFTER UPDATE OF erased_at ON contact
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION drop_held_of_contact();
