-- Outcomes by the provider's clock, and rejects by the day.
--
-- Why: a payment of which we heard late (we were away, and the provider told again hours later) counted as one that came after
-- the provider's own attempt. source_health named the reason of the worst hour, not of the day, and called what was erased
-- unreadable.
-- Locks: ACCESS EXCLUSIVE on the views, for a moment. Takes: milliseconds.

-- It came before the attempt when we heard of it before, or when it happened before: the event tells, while its month is kept.
CREATE OR REPLACE VIEW outreach_list AS
SELECT o.id AS outreach_id, p.id AS contact_id, p.name AS contact_name, o.topic, o.reference,
       CASE WHEN cardinality(o.goals) > 1 THEN array_to_string(o.goals, ', ') ELSE o.goal END AS goal, o.state, o.step AS steps_done,
       jsonb_array_length(CASE jsonb_typeof(o.steps) WHEN 'array' THEN o.steps ELSE '[]' END) AS steps,
       o.started_at, o.reached_at, o.ended_at, o.next_attempt_at,
       o.state = 'recovered' AND o.next_attempt_at IS NOT NULL
           AND (o.ended_at < o.next_attempt_at OR coalesce((
                    SELECT e.occurred_at < o.next_attempt_at FROM event AS e WHERE e.id = o.ended_by LIMIT 1), false)) AS before_next_attempt,
       (SELECT t.due_at FROM timer AS t WHERE t.outreach_id = o.id) AS next_step_at,
       o.conversation_id, o.rule, o.event_id, o.ended_by
  FROM outreach AS o
  LEFT JOIN contact AS f ON f.id = o.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;

CREATE OR REPLACE VIEW outreach_outcomes AS
SELECT month_of(o.started_at) AS month, o.topic, o.rule, count(*) AS started,
       count(*) FILTER (WHERE o.state = 'active') AS active,
       count(o.reached_at) AS reached,
       count(*) FILTER (WHERE o.state = 'recovered') AS recovered,
       count(*) FILTER (WHERE o.state = 'recovered' AND o.next_attempt_at IS NOT NULL
           AND (o.ended_at < o.next_attempt_at OR coalesce((
                    SELECT e.occurred_at < o.next_attempt_at FROM event AS e WHERE e.id = o.ended_by LIMIT 1), false)))
           AS recovered_before_next_attempt,
       count(*) FILTER (WHERE o.state = 'exhausted') AS exhausted,
       count(*) FILTER (WHERE o.state = 'canceled') AS canceled,
       round(count(*) FILTER (WHERE o.state = 'recovered')::numeric
             / nullif(count(*) FILTER (WHERE o.state IN ('recovered', 'exhausted')), 0), 4) AS recovery_rate,
       round(count(o.reached_at)::numeric / count(*), 4) AS reach_rate,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM o.ended_at - o.started_at) / 3600)
           FILTER (WHERE o.state = 'recovered') AS median_hours_to_recovery
  FROM outreach AS o
 GROUP BY 1, 2, 3;
COMMENT ON COLUMN outreach_outcomes.reached IS 'those of which at least one message was delivered';

CREATE OR REPLACE VIEW source_health AS
WITH RECURSIVE sender (source) AS (
    (SELECT w.source FROM webhook AS w WHERE w.received_at > now() - interval '35 days' ORDER BY w.source LIMIT 1)
     UNION ALL
    SELECT (SELECT w.source FROM webhook AS w
             WHERE w.source > s.source AND w.received_at > now() - interval '35 days' ORDER BY w.source LIMIT 1)
      FROM sender AS s WHERE s.source IS NOT NULL
), known (source) AS (
    SELECT s.source FROM sender AS s WHERE s.source IS NOT NULL
     UNION SELECT r.source FROM webhook_reject AS r
     UNION SELECT p.source FROM source_pace AS p
     UNION SELECT o.source FROM outbox AS o
)
SELECT k.source,
       (SELECT w.received_at FROM webhook AS w
         WHERE w.source = k.source AND w.received_at > now() - interval '35 days'
         ORDER BY w.received_at DESC LIMIT 1) AS last_webhook_at,
       i.webhooks, i.events, i.duplicates, i.unparsed,
       (SELECT coalesce(sum(r.count), 0)::bigint FROM webhook_reject AS r
         WHERE r.source = k.source AND r.hour > now() - interval '25 hours') AS rejected,
       (SELECT r.reason FROM webhook_reject AS r
         WHERE r.source = k.source AND r.hour > now() - interval '25 hours'
         GROUP BY r.reason ORDER BY sum(r.count) DESC, r.reason LIMIT 1) AS most_rejected_for,
       q.waiting, q.oldest_due_at, q.unknown,
       l.sent, l.failed, l.parked, l.blocked, p.paused_until, p.paused_reason
  FROM known AS k
  LEFT JOIN source_pace AS p ON p.source = k.source AND p.paused_until > now()
 CROSS JOIN LATERAL (
       SELECT count(*) AS webhooks, coalesce(sum(w.new_events), 0)::bigint AS events,
              coalesce(sum(w.event_count - w.new_events), 0)::bigint AS duplicates, count(w.problem) FILTER (WHERE w.problem <> 'erased') AS unparsed
         FROM webhook AS w WHERE w.source = k.source AND w.received_at > now() - interval '1 day') AS i
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE o.state IN ('waiting', 'behind')) AS waiting,
              min(o.due_at) FILTER (WHERE o.state = 'waiting' AND o.due_at <= now()) AS oldest_due_at,
              count(*) FILTER (WHERE o.state = 'unknown') AS unknown
         FROM outbox AS o WHERE o.source = k.source) AS q
 CROSS JOIN LATERAL (
       SELECT count(*) FILTER (WHERE d.state = 'sent') AS sent, count(*) FILTER (WHERE d.state = 'failed') AS failed,
              count(*) FILTER (WHERE d.state = 'parked') AS parked,
                  count(*) FILTER (WHERE d.state = 'blocked') AS blocked
         FROM delivery AS d
        WHERE d.created_at > now() - interval '1 day'
          AND CASE d.kind WHEN 'webhook' THEN 'endpoint ' || d.endpoint ELSE d.source END = k.source) AS l;
