-- Views that answer by an index, count a message that did not leave as no answer, and follow merges everywhere.
--
-- Why: what happened to one contact was looked for in every month (event_log, conversation_history, delivery_log, ratings and
-- outreach by contact_id), because the planner could not begin at the contact; webhook_log failed as soon as it was read by
-- several processes at once. A conversation whose only answer had been blocked, or which the provider's clock dated into the
-- second of our own message, did not wait for us.
-- Locks: ACCESS EXCLUSIVE on the views, for a moment. Takes: milliseconds.

-- It catches an error, and that needs what a parallel query does not allow ("cannot start subtransactions").
ALTER FUNCTION readable_body(bytea) PARALLEL UNSAFE;

-- In each view, `f` is the contact in the row and `p` who that is after merges. "f.id IS NOT NULL" says what is so anyway: it
-- lets a query for one contact begin at contact_by_survivor.
CREATE OR REPLACE VIEW conversation_history AS
SELECT m.conversation_id, m.id AS message_id, m.created_at AS at, m.occurred_at, m.direction, m.author, m.kind, m.text,
       m.source AS channel, m.identity, p.id AS contact_id, p.name AS contact_name,
       v.topic, v.reference, v.state AS conversation_state, m.content #>> '{template,name}' AS template, m.content,
       m.state, m.reason, m.error_code, m.queued_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.edited_at,
       m.deleted_at, m.reply_to, m.provider_message_id, m.event_id, m.outreach_id, m.survey_id
  FROM message AS m
  LEFT JOIN conversation AS v ON v.id = m.conversation_id
  LEFT JOIN contact AS f ON f.id = m.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;

CREATE OR REPLACE VIEW conversation_list AS
SELECT v.id AS conversation_id, v.state, v.topic, v.reference, v.priority, v.assignee, v.tags, v.source AS channel,
       v.identity, p.id AS contact_id, p.name AS contact_name, p.language,
       v.opened_at, v.updated_at, v.last_inbound_at, v.last_outbound_at, v.first_reply_at,
       extract(epoch FROM v.first_reply_at - v.opened_at)::bigint AS first_reply_seconds,
       v.snoozed_until, v.resolved_at, extract(epoch FROM v.resolved_at - v.opened_at)::bigint AS resolution_seconds,
       v.state IN ('open', 'pending', 'snoozed') AND v.last_inbound_at IS NOT NULL AND coalesce((
           SELECT m.direction = 'in' FROM message AS m
            WHERE m.conversation_id = v.id AND m.kind NOT IN ('reaction', 'system')
              AND (m.direction = 'in' OR (m.direction = 'out' AND m.state NOT IN ('blocked', 'failed', 'canceled')))
            ORDER BY m.created_at DESC, m.id DESC LIMIT 1), true) AS waits_for_us,
       v.episode, v.previous_id,
       (SELECT count(*) FROM message AS m WHERE m.conversation_id = v.id AND m.direction = 'in') AS messages_in,
       (SELECT count(*) FROM message AS m WHERE m.conversation_id = v.id AND m.direction = 'out') AS messages_out,
       (SELECT m.text FROM message AS m
         WHERE m.conversation_id = v.id AND m.direction <> 'note'
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_text,
       (SELECT s.score FROM survey AS s
         WHERE s.conversation_id = v.id AND s.score IS NOT NULL ORDER BY s.asked_at DESC LIMIT 1) AS score,
       v.attributes,
       v.state IN ('open', 'pending', 'snoozed') AND v.last_inbound_at IS NOT NULL AND coalesce((
           SELECT m.direction = 'in' FROM message AS m
            WHERE m.conversation_id = v.id AND m.kind NOT IN ('reaction', 'system')
              AND (m.direction = 'in' OR (m.direction = 'out' AND m.author LIKE 'agent:%'
                                          AND m.state NOT IN ('blocked', 'failed', 'canceled')))
            ORDER BY m.created_at DESC, m.id DESC LIMIT 1), true) AS waits_for_agent
  FROM conversation AS v
  JOIN contact AS f ON f.id = v.contact_id
  JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id);
COMMENT ON COLUMN conversation_list.last_inbound_at IS 'the contact''s last message, by the provider''s clock';
COMMENT ON COLUMN conversation_list.last_outbound_at IS 'when we last asked for a message to be sent, whoever wrote it';
COMMENT ON COLUMN conversation_list.first_reply_at IS 'the first reply of an agent; what rules send does not count';
COMMENT ON COLUMN conversation_list.first_reply_seconds IS 'seconds from the opening to that reply';
COMMENT ON COLUMN conversation_list.waits_for_us IS
    'true when it is not resolved and the contact wrote last; a message of ours that failed, was blocked or canceled is no answer';
COMMENT ON COLUMN conversation_list.waits_for_agent IS
    'the same, but only what an agent wrote is an answer: an automatic confirmation is none';

CREATE OR REPLACE VIEW delivery_log AS
SELECT d.id AS delivery_id, d.created_at, d.kind, d.source, d.endpoint, d.identity,
       p.id AS contact_id, d.conversation_id, d.message_id, m.text, d.state, d.sent_as,
           d.reason, d.error_code, d.attempts,
       d.first_attempt_at, d.last_attempt_at, d.ended_at, CASE o.state WHEN 'waiting'
           THEN o.due_at END AS next_attempt_at,
       m.state AS message_state, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
       (SELECT t.status FROM attempt AS t
         WHERE t.delivery_id = d.id ORDER BY t.started_at DESC LIMIT 1) AS last_status,
       d.provider_message_id, d.topic, d.rule, d.event_id, d.outreach_id
  FROM delivery AS d
  LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
  LEFT JOIN outbox AS o ON o.delivery_id = d.id
  LEFT JOIN contact AS f ON f.id = d.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;

CREATE OR REPLACE VIEW event_log AS
SELECT e.id AS event_id, e.received_at, e.occurred_at, e.type, e.source, e.key, p.id AS contact_id, h.conversation_id,
       CASE WHEN h.event_id IS NOT NULL THEN 'handled' WHEN k.event_id IS NOT NULL THEN 'parked'
            WHEN w.attempts > 0 THEN 'failing' ELSE 'waiting' END AS state,
       h.handled_at, (extract(epoch FROM h.handled_at - e.received_at) * 1000)::bigint AS handled_after_ms,
       coalesce(h.attempts, k.attempts, w.attempts) AS attempts, coalesce(h.problem, k.problem, w.problem) AS problem,
       h.rule_set, e.cause_event, e.depth, e.webhook_id, e.doc
  FROM event AS e
  LEFT JOIN handling AS h ON h.event_id = e.id
       AND NOT EXISTS (SELECT FROM handling AS n WHERE n.event_id = h.event_id AND n.handled_at > h.handled_at)
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL
  LEFT JOIN parked_event AS k ON k.event_id = e.id
  LEFT JOIN work AS w ON w.event_id = e.id AND w.bucket = (e.lane & 511)::smallint
       AND h.event_id IS NULL AND k.event_id IS NULL;
COMMENT ON COLUMN event_log.contact_id IS 'the contact that it turned out to be about, after merges';

CREATE OR REPLACE VIEW rule_trace AS
SELECT t.event_id, t.number, t.handled_at, (SELECT e.type FROM event AS e WHERE e.id = t.event_id LIMIT 1) AS event_type,
       (SELECT e.source FROM event AS e WHERE e.id = t.event_id LIMIT 1) AS source, p.id AS contact_id, h.conversation_id,
       t.rule, t.verdict, t.error, t.file, t.line, t.file || ':' || t.line AS place, t.rule_set, t.instructions,
           t.micros,
       jsonb_array_length(CASE jsonb_typeof(t.effects) WHEN 'array' THEN t.effects ELSE '[]' END) AS effect_count,
           t.effects
  FROM trace AS t
  LEFT JOIN handling AS h ON h.event_id = t.event_id AND h.handled_at = t.handled_at
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL
 UNION ALL
SELECT h.event_id, (s.rule->>0)::smallint, h.handled_at, (SELECT e.type FROM event AS e WHERE e.id = h.event_id LIMIT 1),
       (SELECT e.source FROM event AS e WHERE e.id = h.event_id LIMIT 1), p.id, h.conversation_id,
       s.rule->>1, 'skipped', NULL, s.rule->>2, (s.rule->>3)::integer, (s.rule->>2) || ':' || (s.rule->>3),
       coalesce(h.rule_set, ''), (s.rule->>4)::bigint, (s.rule->>5)::bigint, 0, '[]'::jsonb
  FROM handling AS h
 CROSS JOIN LATERAL jsonb_array_elements(h.skipped) AS s (rule)
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;
COMMENT ON COLUMN rule_trace.contact_id IS 'the contact it was about, after merges';

CREATE OR REPLACE VIEW csat_scores AS
SELECT s.id AS survey_id, s.name AS survey, s.state, s.score, s.scale, s.comment, s.conversation_id, s.episode,
       p.id AS contact_id, p.name AS contact_name, v.topic, v.assignee, v.source AS channel, v.tags,
       s.asked_at, s.answered_at, s.commented_at, s.expires_at, s.rule
  FROM survey AS s
  LEFT JOIN conversation AS v ON v.id = s.conversation_id
  LEFT JOIN contact AS f ON f.id = s.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;

CREATE OR REPLACE VIEW outreach_list AS
SELECT o.id AS outreach_id, p.id AS contact_id, p.name AS contact_name, o.topic, o.reference,
       CASE WHEN cardinality(o.goals) > 1 THEN array_to_string(o.goals, ', ') ELSE o.goal END AS goal, o.state, o.step AS steps_done,
       jsonb_array_length(CASE jsonb_typeof(o.steps) WHEN 'array' THEN o.steps ELSE '[]' END) AS steps,
       o.started_at, o.reached_at, o.ended_at, o.next_attempt_at,
       o.state = 'recovered' AND o.next_attempt_at IS NOT NULL AND o.ended_at < o.next_attempt_at
           AS before_next_attempt,
       (SELECT t.due_at FROM timer AS t WHERE t.outreach_id = o.id) AS next_step_at,
       o.conversation_id, o.rule, o.event_id, o.ended_by
  FROM outreach AS o
  LEFT JOIN contact AS f ON f.id = o.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;

CREATE VIEW identity_list AS
SELECT i.identity, p.id AS contact_id, p.name AS contact_name, i.created_at, i.proven_by
  FROM identity AS i
  JOIN contact AS f ON f.id = i.contact_id
  JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id);
COMMENT ON VIEW identity_list IS 'Handles, with the contact that each belongs to: the way from a phone number to a person.';
COMMENT ON COLUMN identity_list.identity IS 'the handle: whatsapp:…, telegram:…, stripe:…, email:…, phone:…';
COMMENT ON COLUMN identity_list.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN identity_list.contact_name IS 'the contact''s name';
COMMENT ON COLUMN identity_list.created_at IS 'since when it is known';
COMMENT ON COLUMN identity_list.proven_by IS
    'the source that attested it, rule:NAME or api:NAME; empty when somebody only claimed it';

SELECT grant_views();
