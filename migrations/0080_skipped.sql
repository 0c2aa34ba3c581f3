-- Rules whose `when` said no are kept in the row that says how their event was handled.
--
-- Why: most rules say no to most events. A row of `trace` for each, with its two indexes, was the larger part of what an event
-- left behind, and said one word. The view rule_trace tells the same as before; rows that are there already stay as they are.
-- Locks: ACCESS EXCLUSIVE on handling and the views, for a moment. Takes: milliseconds.

ALTER TABLE handling ADD COLUMN skipped jsonb;
COMMENT ON COLUMN handling.skipped IS
    'the rules whose condition said no: [[number, rule, file, line, instructions, micros], …]; see rule_trace';

CREATE OR REPLACE VIEW rule_trace AS
SELECT t.event_id, t.number, t.handled_at, e.type AS event_type, e.source, h.contact_id, h.conversation_id,
       t.rule, t.verdict, t.error, t.file, t.line, t.file || ':' || t.line AS place, t.rule_set, t.instructions,
           t.micros,
       jsonb_array_length(CASE jsonb_typeof(t.effects) WHEN 'array' THEN t.effects ELSE '[]' END) AS effect_count,
           t.effects
  FROM trace AS t
  LEFT JOIN handling AS h ON h.event_id = t.event_id AND h.handled_at = t.handled_at
  LEFT JOIN event AS e ON e.id = t.event_id
 UNION ALL
SELECT h.event_id, (s.rule->>0)::smallint, h.handled_at, e.type, e.source, h.contact_id, h.conversation_id,
       s.rule->>1, 'skipped', NULL, s.rule->>2, (s.rule->>3)::integer, (s.rule->>2) || ':' || (s.rule->>3),
       coalesce(h.rule_set, ''), (s.rule->>4)::bigint, (s.rule->>5)::bigint, 0, '[]'::jsonb
  FROM handling AS h
 CROSS JOIN LATERAL jsonb_array_elements(h.skipped) AS s (rule)
  LEFT JOIN event AS e ON e.id = h.event_id;

-- As in 0071_commit.sql, with the new column; what a program of before says of skipped rules goes to trace as it did.
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
        INSERT INTO handling (event_id, handled_at, contact_id, conversation_id, rule_set, attempts, problem,
            skipped)
        SELECT r.event_id, handled, r.contact_id, r.conversation_id, r.rule_set, coalesce(w.attempts, 0) + 1, r.problem,
               r.skipped
          FROM jsonb_to_recordset(changes->'handlings')
               AS r (event_id bigint, contact_id bigint, conversation_id bigint, rule_set text, problem text,
                     skipped jsonb)
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
-- As in 0018_replay.sql: skipped rules have had their say, too.
CREATE OR REPLACE FUNCTION replay_of(of_replay bigint, of_event bigint) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object(
        'id', of_replay,
        'handled', h.event_id IS NOT NULL,
        'contact_id', h.contact_id,
        'conversation_id', h.conversation_id,
        'consumed', EXISTS (
            SELECT 1 FROM trace AS t CROSS JOIN LATERAL jsonb_array_elements(t.effects) AS f (effect)
             WHERE t.event_id = of_event AND t.rule LIKE 'answerd.%'
               AND f.effect->>'do' IN ('timer', 'survey', 'outreach', 'survey_answer', 'survey_comment', 'survey_edit')),
        'settled', coalesce((
            SELECT jsonb_agg(DISTINCT t.rule) FROM rule_trace AS t
             WHERE t.event_id = of_event AND t.verdict IN ('ran', 'skipped', 'stopped')
               AND NOT coalesce((SELECT r.selection->'rules' ? t.rule FROM replay AS r WHERE r.id = of_replay), false)), '[]'),
        'stopped_by', (
            SELECT t.rule FROM trace AS t
             WHERE t.event_id = of_event AND t.verdict = 'ran'
               AND EXISTS (SELECT 1 FROM trace AS n WHERE n.event_id = of_event AND n.handled_at = t.handled_at
                                                      AND n.number = t.number + 1 AND n.verdict = 'stopped')
             ORDER BY t.handled_at LIMIT 1),
        'effects', coalesce((
            SELECT jsonb_agg(jsonb_build_object('rule', t.rule, 'effects', t.effects) ORDER BY t.handled_at, t.number)
              FROM trace AS t WHERE t.event_id = of_event AND t.verdict = 'ran' AND t.effects <> '[]'
                                AND t.rule NOT LIKE 'answerd.%'), '[]')))
      FROM (SELECT 1) AS one
      LEFT JOIN LATERAL (SELECT x.* FROM handling AS x WHERE x.event_id = of_event ORDER BY x.handled_at LIMIT 1) AS h ON true
$$;
-- As in 0011_why.sql and 0019_why_nothing.sql, asking rule_trace.
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
               coalesce(t.error, concat_ws(', ', asked.count || CASE asked.count WHEN 1 THEN ' effect' ELSE ' effects' END,
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
                         d.attempts || ' attempts', coalesce(m.reason, d.reason), coalesce(m.error_code, d.error_code),
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
               concat_ws(', ', h.failures_in_row || ' failures in a row', 'until ' || utc_text(h.quarantined_until),
                         h.last_error)
          FROM rule_health AS h, who WHERE h.state IN ('quarantined', 'on trial')
        UNION ALL
        SELECT 4, k.parked_at, k.event_id, 'event', e.type, 'parked', 'event ' || k.event_id,
               concat_ws(', ', 'after ' || k.attempts || ' tries', k.problem)
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
                         nullif(d.attempts, 0) || ' attempts',
                         'due ' || (SELECT utc_text(o.due_at) FROM outbox AS o WHERE o.delivery_id = d.id))
          FROM period CROSS JOIN delivery AS d
          LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
         WHERE d.contact_id IN (SELECT id FROM persons) AND d.created_at >= period.began
           AND (d.state <> 'sent' OR m.state IN ('failed', 'unknown', 'blocked'))
        UNION ALL
        SELECT 6, o.started_at, o.id, 'outreach', o.topic || coalesce(' ' || nullif(o.reference, ''), ''), o.state,
               NULL, concat_ws(', ', o.step || ' of ' || jsonb_array_length(CASE jsonb_typeof(o.steps)
                         WHEN 'array' THEN o.steps ELSE '[]' END) || ' steps done', 'by rule ' || o.rule,
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
               coalesce(nullif(concat_ws(', ', (SELECT count(*) FROM decided AS d WHERE d.event_id = e.id
                                                    AND d.verdict = 'ran') || ' rules ran',
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
-- As in 0015_shadow.sql, asking rule_trace.
CREATE OR REPLACE VIEW shadow_comparison AS
SELECT r.event_id, r.handled_at, e.type AS event_type, x.rule, x.live_verdict, x.shadow_verdict,
       d.same, d.added, d.removed, d.changed, x.live_error, x.shadow_error, x.place, x.shadow_micros,
       r.live_set, r.shadow_set,
       d.added <> '[]' OR d.removed <> '[]' OR d.changed <> '[]' OR x.live_verdict IS DISTINCT FROM x.shadow_verdict AS differs
  FROM shadow_run AS r
  LEFT JOIN event AS e ON e.id = r.event_id
 CROSS JOIN LATERAL (
       SELECT coalesce(t.rule, s.rule) AS rule, t.verdict AS live_verdict, s.verdict AS shadow_verdict,
              coalesce(t.effects, '[]') AS live, coalesce(s.effects, '[]') AS shadow, t.error AS live_error,
              s.error AS shadow_error, s.file || ':' || s.line AS place, s.micros AS shadow_micros
         FROM (SELECT y.* FROM rule_trace AS y
                WHERE y.event_id = r.event_id AND y.rule_set = r.live_set AND y.rule NOT LIKE 'answerd.%'
                  AND y.handled_at BETWEEN r.handled_at - interval '1 day' AND r.handled_at + interval '1 day') AS t
         FULL JOIN (SELECT z.* FROM shadow_trace AS z
                     WHERE z.event_id = r.event_id AND z.handled_at = r.handled_at AND z.rule NOT LIKE 'answerd.%') AS s
                ON s.rule = t.rule) AS x
 CROSS JOIN LATERAL effect_diff(x.live, x.shadow) AS d;
-- Whoever may call them must not be able to put his own tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION why(bigint) SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION why_nothing(bigint, interval) SET search_path = %I, pg_temp', current_schema());
END
$$;
