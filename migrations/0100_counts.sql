-- Counts are told in the singular where there is one: "1 rule ran", "more than 1 message of this rule in an hour".

CREATE FUNCTION counted(n bigint, thing text, things text DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN n || ' ' || CASE n WHEN 1 THEN thing ELSE coalesce(things, thing || 's') END;
COMMENT ON FUNCTION counted(bigint, text, text) IS 'A number with its word: 1 rule, 2 rules; 1 try, 2 tries.';

-- As in 0080_skipped.sql.
CREATE OR REPLACE FUNCTION why(of_event bigint)
RETURNS TABLE (step bigint, at timestamptz, what text, subject text, outcome text, place text, rule_set text,
               instructions bigint, micros bigint, detail text, effects jsonb)
LANGUAGE sql STABLE
SECURITY DEFINER -- the read role sees the views, not the tables behind them
AS $$
    WITH it AS MATERIALIZED (
        SELECT e.* FROM event AS e WHERE e.id = of_event
    ), handled AS MATERIALIZED (
        SELECT h.* FROM handling AS h WHERE h.event_id = of_event
    ), left_by AS MATERIALIZED (
        SELECT d.* FROM delivery AS d WHERE d.event_id = of_event
    ), told AS (
        SELECT 1 AS part, it.received_at AS at, 0::bigint AS n, 'event' AS what, it.type AS subject,
               CASE WHEN EXISTS (SELECT 1 FROM handled) THEN 'handled'
                    WHEN EXISTS (SELECT 1 FROM parked_event AS k WHERE k.event_id = it.id) THEN 'parked'
                    ELSE 'waiting' END AS outcome,
               NULL::text AS place, NULL::text AS rule_set, NULL::bigint AS instructions, NULL::bigint AS micros,
               concat_ws(', ', 'from ' || it.source, 'key ' || it.key, 'webhook ' || it.webhook_id,
                         'caused by event ' || it.cause_event,
                         (SELECT 'problem: ' || k.problem FROM parked_event AS k WHERE k.event_id = it.id)) AS detail,
               NULL::jsonb AS effects
          FROM it
        UNION ALL
        SELECT 2, h.handled_at, 0, 'handling', 'contact ' || h.contact_id, coalesce('problem: ' || h.problem, 'done'),
            NULL,
               h.rule_set, NULL, NULL,
               concat_ws(', ', 'conversation ' || h.conversation_id, 'try ' || h.attempts,
                         (extract(epoch FROM h.handled_at - it.received_at) * 1000)::bigint || ' ms after it came'),
                             NULL
          FROM handled AS h CROSS JOIN it
        UNION ALL
        SELECT 3, t.handled_at, t.number, 'rule', t.rule, t.verdict, t.file || ':' || t.line, t.rule_set,
            t.instructions, t.micros,
               coalesce(t.error, concat_ws(', ', counted(asked.count, 'effect'),
                                           asked.refusals)), t.effects
          FROM rule_trace AS t
         CROSS JOIN LATERAL (
             SELECT count(*) AS count,
                    string_agg((x.effect ->> 'do') || ' refused: ' || refusal.reason, ', ' ORDER BY x.number)
                        AS refusals
               FROM jsonb_array_elements(CASE jsonb_typeof(t.effects) WHEN 'array' THEN t.effects ELSE '[]' END)
                    WITH ORDINALITY AS x (effect, number)
              CROSS JOIN LATERAL (
                  -- An outreach tells of its steps what they came to.
                  SELECT coalesce(x.effect ->> 'refused',
                                  jsonb_path_query_first(x.effect, '$.made.steps[*].refused') #>> '{}') AS reason)
                    AS refusal) AS asked
         WHERE t.event_id = of_event
        UNION ALL
        SELECT 4, d.created_at, d.id, d.kind, coalesce('endpoint ' || d.endpoint, d.identity),
               CASE WHEN m.id IS NULL THEN d.state ELSE m.state END, NULL, NULL, NULL, NULL,
               concat_ws(', ', 'delivery ' || d.id || ' is ' || d.state, 'by rule ' || d.rule, 'as ' || d.sent_as,
                         counted(d.attempts, 'attempt'), coalesce(m.reason, d.reason), coalesce(m.error_code, d.error_code),
                         'sent ' || to_char(m.sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                         'delivered ' || to_char(m.delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                         'read ' || to_char(m.read_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                         'failed ' || to_char(m.failed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                         (SELECT 'next attempt ' || to_char(o.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
                            FROM outbox AS o WHERE o.delivery_id = d.id AND o.state = 'waiting'),
                         'text: ' || quote_literal(left(m.text, 200))), NULL
          FROM left_by AS d
          LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
        UNION ALL
        SELECT 4, a.started_at, d.id, 'attempt', 'number ' || a.number, a.outcome, NULL, NULL, NULL,
            a.duration_ms * 1000,
               concat_ws(', ', 'delivery ' || d.id, 'HTTP ' || a.status, a.error_code, a.reason), NULL
          FROM left_by AS d JOIN attempt AS a ON a.delivery_id = d.id
        UNION ALL
        SELECT 5, t.armed_at, t.id, 'timer', t.name, 'due ' || to_char(t.due_at AT TIME ZONE 'UTC',
            'YYYY-MM-DD HH24:MI:SS'),
               NULL, t.rule_set, NULL, NULL, concat_ws(', ', 'by rule ' || t.rule, 'unless ' || nullif(t.unless::text,
                   '[]')), t.data
          FROM timer AS t WHERE t.cause_event = of_event
        UNION ALL
        SELECT 6, e.received_at, e.id, 'caused event', e.type, 'event ' || e.id, NULL, NULL, NULL, NULL,
               'by rule ' || (e.doc #>> '{cause,rule}'), NULL
          FROM event AS e WHERE e.cause_event = of_event
    )
    SELECT row_number() OVER (ORDER BY part, n, at, what DESC), at, what, subject, outcome, place, rule_set,
        instructions, micros,
           detail, effects
      FROM told
     ORDER BY 1
$$;
CREATE OR REPLACE FUNCTION why_nothing(of_contact bigint, for_the_last interval DEFAULT interval '7 days')
RETURNS TABLE (step bigint, at timestamptz, what text, subject text, outcome text, place text, detail text)
LANGUAGE sql STABLE
SECURITY DEFINER -- the read role sees the views, not the tables behind them
AS $$
    WITH who AS MATERIALIZED (
        SELECT c.* FROM contact AS c
         WHERE c.id = (SELECT coalesce(f.merged_into, f.id) FROM contact AS f WHERE f.id = of_contact)
    ), persons AS MATERIALIZED ( -- who was merged into them, too
        SELECT c.id FROM contact AS c, who WHERE c.id = who.id OR c.merged_into = who.id
    ), period AS MATERIALIZED (
        SELECT now() - for_the_last AS began
    ), addresses AS MATERIALIZED (
        SELECT a.* FROM address AS a WHERE a.contact_id IN (SELECT id FROM persons)
    ), events AS MATERIALIZED ( -- the newest that were handled for them
        SELECT e.id, e.type, e.source, e.received_at, h.handled_at, h.rule_set, h.problem
          FROM (SELECT h.event_id, h.handled_at, h.rule_set, h.problem FROM handling AS h, period
                 WHERE h.contact_id IN (SELECT id FROM persons) AND h.handled_at >= period.began
                 ORDER BY h.handled_at DESC LIMIT 50) AS h
          JOIN event AS e ON e.id = h.event_id
    ), decided AS MATERIALIZED (
        SELECT t.* FROM events AS e JOIN rule_trace AS t ON t.event_id = e.id AND t.handled_at = e.handled_at
    ), in_force AS MATERIALIZED (
        SELECT r->>'name' AS rule, r->'on' AS listens, r->>'file' AS file, r->>'line' AS line
          FROM rule_set AS s CROSS JOIN LATERAL jsonb_array_elements(coalesce(s.description->'rules', '[]')) AS r
         WHERE s.version = coalesce((SELECT p.current_version FROM rule_pointer AS p),
                                    (SELECT x.version FROM rule_set AS x ORDER BY x.last_loaded DESC LIMIT 1))
    ), told AS (
        SELECT 1 AS part, who.created_at AS at, 0::bigint AS n, 'contact' AS what,
               'contact ' || who.id || coalesce(' (' || who.name || ')', '') AS subject,
               CASE WHEN who.erased_at IS NOT NULL THEN 'erased at ' || utc_text(who.erased_at)
                    WHEN 'all' = ANY (who.opted_out) THEN 'opted out of everything'
                    WHEN who.opted_out <> '{}' THEN 'opted out of ' || array_to_string(who.opted_out, ', ')
                    ELSE 'has not opted out' END AS outcome,
               NULL::text AS place,
               concat_ws(', ', 'since ' || utc_text(who.opted_out_at), 'prefers ' || who.preferred_channel,
                         CASE WHEN who.id <> of_contact THEN 'contact ' || of_contact || ' was merged into them' END)
                   AS detail
          FROM who
        UNION ALL
        SELECT 2, a.last_inbound_at, 0, 'address', a.identity || ' on ' || a.source,
               CASE WHEN a.unreachable_at IS NOT NULL THEN 'unreachable since ' || utc_text(a.unreachable_at)
                    WHEN split_part(a.identity, ':', 1) NOT IN ('whatsapp', 'messenger', 'instagram')
                        THEN 'can be written to at any time'
                    WHEN a.last_inbound_at IS NULL THEN 'window closed: they have never written here'
                    WHEN a.last_inbound_at < now() - interval '24 hours'
                        THEN 'window closed since ' || utc_text(a.last_inbound_at + interval '24 hours')
                    ELSE 'window open until ' || utc_text(a.last_inbound_at + interval '24 hours') END,
               NULL, concat_ws(', ', a.unreachable_reason, 'last wrote ' || utc_text(a.last_inbound_at),
                               'source paused until ' || utc_text(p.paused_until) || ': ' || p.paused_reason)
          FROM addresses AS a
          LEFT JOIN source_pace AS p ON p.source = a.source AND p.paused_until > now()
        UNION ALL
        SELECT 2, NULL, 0, 'address', '-', 'there is none', NULL,
               'known as ' || coalesce((SELECT string_agg(i.identity, ', ' ORDER BY i.identity) FROM identity AS i
                                         WHERE i.contact_id IN (SELECT id FROM persons)), 'nobody')
          FROM who WHERE NOT EXISTS (SELECT 1 FROM addresses)
        UNION ALL
        SELECT 3, h.updated_at, 0, 'rule', h.rule, h.state, NULL,
               concat_ws(', ', counted(h.failures_in_row, 'failure') || ' in a row', 'until ' || utc_text(h.quarantined_until),
                         h.last_error)
          FROM rule_health AS h, who WHERE h.state IN ('quarantined', 'on trial')
        UNION ALL
        SELECT 4, k.parked_at, k.event_id, 'event', e.type, 'parked', 'event ' || k.event_id,
               concat_ws(', ', 'after ' || counted(k.attempts, 'try', 'tries'), k.problem)
          FROM who JOIN parked_event AS k ON k.lane = who.lane
          JOIN event AS e ON e.id = k.event_id AND e.received_at = k.event_received_at
        UNION ALL
        SELECT 4, e.received_at, e.id, 'event', e.type, 'not handled yet', 'event ' || e.id,
               concat_ws(', ', 'in their lane since ' || utc_text(e.received_at), w.problem,
                         'next try ' || utc_text(w.retry_at))
          FROM who JOIN (SELECT w.* FROM work AS w ORDER BY w.position) AS w ON w.lane = who.lane
                        AND w.bucket = (who.lane & 511)::smallint
          JOIN event AS e ON e.id = w.event_id AND e.received_at = w.event_received_at
        UNION ALL
        SELECT 5, d.created_at, d.id, d.kind, coalesce(d.identity || ' on ' || d.source, 'endpoint ' || d.endpoint),
               CASE WHEN d.state = 'sent' THEN m.state ELSE d.state END, 'event ' || d.event_id,
               concat_ws(', ', coalesce(m.reason, d.reason), coalesce(m.error_code, d.error_code), 'by rule ' || d.rule,
                         counted(nullif(d.attempts, 0), 'attempt'),
                         'due ' || (SELECT utc_text(o.due_at) FROM outbox AS o WHERE o.delivery_id = d.id))
          FROM period CROSS JOIN delivery AS d
          LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
         WHERE d.contact_id IN (SELECT id FROM persons) AND d.created_at >= period.began
           AND (d.state <> 'sent' OR m.state IN ('failed', 'unknown', 'blocked'))
        UNION ALL
        SELECT 6, o.started_at, o.id, 'outreach', o.topic || coalesce(' ' || nullif(o.reference, ''), ''), o.state,
               NULL, concat_ws(', ', o.step || ' of ' || counted(jsonb_array_length(CASE jsonb_typeof(o.steps)
                         WHEN 'array' THEN o.steps ELSE '[]' END), 'step') || ' done', 'by rule ' || o.rule,
                         'next at ' || (SELECT utc_text(t.due_at) FROM timer AS t WHERE t.outreach_id = o.id),
                         'ended ' || utc_text(o.ended_at), 'by event ' || o.ended_by)
          FROM outreach AS o, period
         WHERE o.contact_id IN (SELECT id FROM persons)
           AND (o.state = 'active' OR coalesce(o.ended_at, o.started_at) >= period.began)
        UNION ALL
        SELECT 6, t.armed_at, t.id, 'timer', t.name, 'due ' || utc_text(t.due_at), NULL,
               concat_ws(', ', 'by rule ' || t.rule, 'unless ' || nullif(t.unless::text, '[]'))
          FROM timer AS t WHERE t.contact_id IN (SELECT id FROM persons) AND t.outreach_id IS NULL
        UNION ALL
        SELECT 7, d.handled_at, -d.event_id, 'refused', (f.effect->>'do') || ' by ' || d.rule, f.effect->>'refused',
               d.file || ':' || coalesce(f.effect->>'line', d.line::text), 'event ' || d.event_id
          FROM decided AS d
         CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(d.effects) WHEN 'array' THEN d.effects
                                                    ELSE '[]' END) AS f (effect)
         WHERE f.effect ? 'refused'
        UNION ALL
        SELECT 8, e.handled_at, -e.id * 1000, 'event', e.type,
               coalesce(nullif(concat_ws(', ', (SELECT counted(count(*), 'rule') FROM decided AS d WHERE d.event_id = e.id
                                                    AND d.verdict = 'ran') || ' ran',
                        (SELECT nullif(count(*), 0) FROM decided AS d WHERE d.event_id = e.id
                            AND d.verdict <> 'ran') || ' did not'), '0 rules ran'), 'no rule listens to it'),
               'event ' || e.id, concat_ws(', ', 'from ' || e.source, 'problem: ' || e.problem)
          FROM events AS e
        UNION ALL
        SELECT 8, d.handled_at, -d.event_id * 1000 + d.number, 'rule', d.rule,
               CASE d.verdict WHEN 'skipped' THEN 'its when said no'
                    WHEN 'stopped' THEN 'not run: a rule before it stopped the event'
                    WHEN 'quarantined' THEN 'not run: it was in quarantine'
                    WHEN 'ran' THEN CASE WHEN EXISTS (SELECT 1 FROM jsonb_array_elements(CASE jsonb_typeof(d.effects)
                                              WHEN 'array' THEN d.effects ELSE '[]' END) AS f (effect)
                                              WHERE f.effect->>'do' IN ('send', 'outreach', 'survey'))
                                         THEN 'ran' ELSE 'ran, and asked for no message' END
                    ELSE d.verdict END,
               d.file || ':' || d.line, d.error
          FROM decided AS d
        UNION ALL
        SELECT 9, NULL, row_number() OVER (ORDER BY r.rule), 'rule', r.rule, 'its on names none of these events',
               r.file || ':' || r.line,
               'listens to ' || (SELECT string_agg(p.pattern, ', ')
                                   FROM jsonb_array_elements_text(CASE jsonb_typeof(r.listens) WHEN 'array'
                                            THEN r.listens ELSE '[]' END) AS p (pattern))
          FROM in_force AS r, who
         WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE rule_listens(r.listens, e.type))
        UNION ALL
        SELECT 8, NULL, 0, 'event', '-', 'nothing happened about them', NULL,
               'since ' || utc_text(period.began)
          FROM who, period WHERE NOT EXISTS (SELECT 1 FROM events)
    )
    SELECT row_number() OVER (ORDER BY part, n, at DESC, subject), at, what, subject, outcome, place, nullif(detail, '')
      FROM told
     ORDER BY 1
$$;

-- Whoever may call them must not be able to put his own tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION why(bigint) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION why_nothing(bigint, interval) SET search_path = %I, pg_temp', current_schema());
END
$$;

-- As in 0016_budgets.sql, where it was called hold_excess().
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

-- As in 0017_rule_health.sql.
CREATE OR REPLACE FUNCTION rest_rules(of_set text, most_failures integer, first_rest interval, longest_rest interval, worker bigint,
                           OUT resting jsonb, OUT trials jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    troubled rule_trouble;
    next_rest interval;
    next_until timestamptz;
BEGIN
    FOR troubled IN
        SELECT t.* FROM rule_trouble AS t
         WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures
           AND (t.quarantined_until IS NULL OR t.updated_at > t.quarantined_until)
         ORDER BY t.rule FOR UPDATE SKIP LOCKED
    LOOP
        next_rest := least(CASE troubled.rests WHEN 0 THEN first_rest ELSE troubled.rest * 2 END, greatest(longest_rest, first_rest));
        next_until := clock_timestamp() + next_rest;
        UPDATE rule_trouble AS t
           SET rests = t.rests + 1, rest = next_rest, quarantined_until = next_until, trial_by = NULL, trial_until = NULL
         WHERE t.rule = troubled.rule;
        PERFORM raise_alert('rule_quarantined', 'rule ' || troubled.rule, jsonb_build_object(
            'rule', troubled.rule, 'rule_set', of_set, 'severity', 'critical', 'until', next_until, 'error', left(troubled.last_error, 500),
            'summary', format('the rule %s rests until %s UTC: it failed %s in a row', troubled.rule,
                              to_char(next_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), counted(troubled.failures_in_row, 'time'))));
    END LOOP;
    WITH free AS (
        SELECT t.rule FROM rule_trouble AS t
         WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures AND t.quarantined_until <= clock_timestamp()
           AND t.updated_at <= t.quarantined_until
           AND (t.trial_until IS NULL OR t.trial_until < clock_timestamp() - CASE t.trial_by WHEN worker THEN interval '3 seconds' ELSE interval '0' END)
         ORDER BY t.rule FOR UPDATE SKIP LOCKED
    ), mine AS (
        UPDATE rule_trouble AS t SET trial_by = worker, trial_until = clock_timestamp() + interval '3 seconds'
          FROM free WHERE t.rule = free.rule RETURNING t.rule
    )
    SELECT coalesce(jsonb_agg(m.rule ORDER BY m.rule), '[]') INTO trials FROM mine AS m;
    SELECT coalesce(jsonb_agg(t.rule ORDER BY t.rule), '[]') INTO resting
      FROM rule_trouble AS t
     WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures AND t.quarantined_until IS NOT NULL;
END
$$;
