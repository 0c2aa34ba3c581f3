-- why() and why_nothing() say when they know nothing, and look into every lane of a person.
--
-- Why: an event whose month was dropped, a mistyped number and a contact that there is not were all told as no rows. And what waited
-- or was parked was looked for in the lane of the handle by which a contact was known first: not what came in by another channel.
-- Locks: none. Takes: milliseconds.

-- The lane of what comes from a handle: FNV-1a, as lane_of() in server/base/text.c has it.
CREATE FUNCTION identity_lane(identity text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    bytes constant bytea := convert_to(identity, 'UTF8');
    hash bigint := 2166136261;
BEGIN
    FOR n IN 0 .. octet_length(bytes) - 1 LOOP
        hash := ((hash # get_byte(bytes, n)) * 16777619) & 4294967295;
    END LOOP;
    RETURN hash & 2147483647;
END
$$;
COMMENT ON FUNCTION identity_lane(text) IS 'The lane in which events of this handle are handled.';

-- As in 0100_counts.sql otherwise.
CREATE OR REPLACE FUNCTION why(of_event bigint)
RETURNS TABLE (step bigint, at timestamptz, what text, subject text, outcome text, place text, rule_set text,
               instructions bigint, micros bigint, detail text, effects jsonb)
LANGUAGE sql STABLE
SECURITY DEFINER -- the read role sees the views, not the tables behind them
SET jit = off
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
        SELECT 1, NULL, 0, 'event', coalesce('event ' || of_event, 'no event'), 'not known', NULL, NULL, NULL, NULL,
               'none has this number, or its month was dropped', NULL
         WHERE NOT EXISTS (SELECT FROM it)
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

-- As in 0152_why_plans.sql otherwise.
CREATE OR REPLACE FUNCTION why_nothing(of_contact bigint, for_the_last interval DEFAULT interval '7 days')
RETURNS TABLE (step bigint, at timestamptz, what text, subject text, outcome text, place text, detail text)
LANGUAGE sql STABLE
SECURITY DEFINER -- the read role sees the views, not the tables behind them
SET jit = off
AS $$
    WITH who AS MATERIALIZED (
        SELECT c.* FROM contact AS c
         WHERE c.id = (SELECT coalesce(f.merged_into, f.id) FROM contact AS f WHERE f.id = of_contact)
    ), persons AS MATERIALIZED ( -- who was merged into them, too
        SELECT c.id FROM contact AS c, who WHERE c.id = who.id OR c.merged_into = who.id
    ), lanes AS MATERIALIZED ( -- in which their events wait
        SELECT c.lane FROM contact AS c WHERE c.id IN (SELECT id FROM persons)
         UNION
        SELECT identity_lane(i.identity) FROM identity AS i WHERE i.contact_id IN (SELECT id FROM persons)
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
        SELECT t.*
          FROM events AS e
         CROSS JOIN LATERAL (SELECT r.* FROM rule_trace AS r
                              WHERE r.event_id = e.id AND r.handled_at = e.handled_at OFFSET 0) AS t
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
        SELECT 1, NULL, 0, 'contact', coalesce('contact ' || of_contact, 'no contact'), 'not known', NULL,
               'identity_list tells whose number or address it is'
         WHERE NOT EXISTS (SELECT FROM who)
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
          FROM lanes JOIN parked_event AS k ON k.lane = lanes.lane
          JOIN event AS e ON e.id = k.event_id AND e.received_at = k.event_received_at
        UNION ALL
        SELECT 4, e.received_at, e.id, 'event', e.type, 'not handled yet', 'event ' || e.id,
               concat_ws(', ', 'in their lane since ' || utc_text(e.received_at), w.problem,
                         'next try ' || utc_text(w.retry_at))
          FROM lanes
         CROSS JOIN LATERAL (SELECT w.* FROM work AS w WHERE w.bucket = (lanes.lane & 511)::smallint AND w.lane = lanes.lane
                              ORDER BY w.position + 0 LIMIT 50) AS w
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
