-- Why nothing was sent is told without reading what every rule decided on every event, and nothing is compiled for one question.
--
-- Why: why_nothing() joined the last fifty events of a contact with the whole of rule_trace: 1.5 s with 230,000 decisions, and
-- longer with each month. And PostgreSQL compiled ("jit") what reads many partitions, because it takes that for much work:
-- source_health needed 2.4 s for it, and 0.03 s to run.
-- Locks: none. Takes: milliseconds.

-- As in 0100_counts.sql, but event by event.
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
ALTER FUNCTION why(bigint) SET jit = off;
-- Whoever may call it must not be able to put his own tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION why_nothing(bigint, interval) SET search_path = %I, pg_temp', current_schema());
END
$$;

-- For the reports of people; what the program asks says so itself. Sessions that begin later have it, and may change it.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'reports may be slow: the owner of the database should say: ALTER DATABASE % SET jit = off',
        quote_ident(current_database());
END
$$;
