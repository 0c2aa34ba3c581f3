-- why(event): one event's story, for a person.
--
-- Why: "why did it write to me" and "why did it not" are the questions that support automation is asked most.
-- Locks: none. Takes: milliseconds.

CREATE FUNCTION why(of_event bigint)
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
          FROM trace AS t
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
COMMENT ON FUNCTION why(bigint) IS
    'The story of one event: each rule''s verdict, what it caused, and what became of each message in the end.';

-- Whoever may call it must not be able to put his own tables before ours.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION why(bigint) SET search_path = %I, pg_temp', current_schema());
END
$$;
