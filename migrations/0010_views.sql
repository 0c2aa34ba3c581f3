-- Views: SQL is an interface, and this is its surface. Columns are added, never renamed or removed.
--
-- Why: people ask questions of the history without having to know how it is stored.
-- Locks: none. Takes: milliseconds.

-- A body as text; bytes that are not UTF-8 are shown as escapes, so that one odd webhook cannot fail a query.
CREATE FUNCTION readable_body(body bytea) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN encode(body, 'escape');
END
$$;

CREATE VIEW conversation_history AS
SELECT m.conversation_id, m.id AS message_id, m.created_at AS at, m.occurred_at, m.direction, m.author, m.kind, m.text,
       m.source AS channel, m.identity, coalesce(p.merged_into, m.contact_id) AS contact_id, p.name AS contact_name,
       v.topic, v.reference, v.state AS conversation_state, m.content #>> '{template,name}' AS template, m.content,
       m.state, m.reason, m.error_code, m.queued_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.edited_at,
       m.deleted_at, m.reply_to, m.provider_message_id, m.event_id, m.outreach_id, m.survey_id
  FROM message AS m
  LEFT JOIN conversation AS v ON v.id = m.conversation_id
  LEFT JOIN contact AS p ON p.id = m.contact_id;
COMMENT ON VIEW conversation_history IS
    'What was said in conversations: one row for each message and note. Order by at, message_id.';
COMMENT ON COLUMN conversation_history.conversation_id IS
    'the conversation; NULL for what belongs to none (an answer to a survey of a closed one)';
COMMENT ON COLUMN conversation_history.message_id IS 'number of the message';
COMMENT ON COLUMN conversation_history.at IS 'when we stored it; the order of the conversation';
COMMENT ON COLUMN conversation_history.occurred_at IS 'when it happened by the sender''s clock';
COMMENT ON COLUMN conversation_history.direction IS
    'in (from the contact), out (to the contact) or note (seen by agents only)';
COMMENT ON COLUMN conversation_history.author IS 'contact, rule:NAME or agent:NAME';
COMMENT ON COLUMN conversation_history.kind IS 'text, image, audio, document, location, button, template and so on';
COMMENT ON COLUMN conversation_history.text IS
    'what was written, or the caption; NULL when there is none or the contact was erased';
COMMENT ON COLUMN conversation_history.channel IS 'the source it came from or left through';
COMMENT ON COLUMN conversation_history.identity IS 'the contact''s handle on that channel, such as whatsapp:15550100';
COMMENT ON COLUMN conversation_history.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN conversation_history.contact_name IS 'the contact''s name';
COMMENT ON COLUMN conversation_history.topic IS 'topic of the conversation';
COMMENT ON COLUMN conversation_history.reference IS
    'what the conversation is about, such as an invoice number; empty when nothing in particular';
COMMENT ON COLUMN conversation_history.conversation_state IS 'open, pending, snoozed or resolved, as of now';
COMMENT ON COLUMN conversation_history.template IS 'name of the template that made the text, if any';
COMMENT ON COLUMN conversation_history.content IS 'media, buttons, template and variables';
COMMENT ON COLUMN conversation_history.state IS
    'received, note, or the ledger: queued, sending, sent, delivered, read, failed, unknown, blocked, canceled';
COMMENT ON COLUMN conversation_history.reason IS 'why it failed, was blocked or canceled';
COMMENT ON COLUMN conversation_history.error_code IS 'the provider''s code for that';
COMMENT ON COLUMN conversation_history.queued_at IS 'when a rule or agent asked for it';
COMMENT ON COLUMN conversation_history.sent_at IS 'when the provider took it';
COMMENT ON COLUMN conversation_history.delivered_at IS 'when the provider said it was delivered';
COMMENT ON COLUMN conversation_history.read_at IS 'when the provider said it was read';
COMMENT ON COLUMN conversation_history.failed_at IS 'when the provider said it failed';
COMMENT ON COLUMN conversation_history.edited_at IS 'when the sender last edited it';
COMMENT ON COLUMN conversation_history.deleted_at IS 'when the sender deleted it';
COMMENT ON COLUMN conversation_history.reply_to IS 'the provider''s id of the message that this one answers';
COMMENT ON COLUMN conversation_history.provider_message_id IS 'the provider''s id of this message';
COMMENT ON COLUMN conversation_history.event_id IS 'the event that brought or caused it; see why()';
COMMENT ON COLUMN conversation_history.outreach_id IS 'the outreach it belongs to, if any';
COMMENT ON COLUMN conversation_history.survey_id IS 'the survey it asks or answers, if any';

CREATE VIEW conversation_list AS
SELECT v.id AS conversation_id, v.state, v.topic, v.reference, v.priority, v.assignee, v.tags, v.source AS channel,
       v.identity, coalesce(p.merged_into, v.contact_id) AS contact_id, p.name AS contact_name, p.language,
       v.opened_at, v.updated_at, v.last_inbound_at, v.last_outbound_at, v.first_reply_at,
       extract(epoch FROM v.first_reply_at - v.opened_at)::bigint AS first_reply_seconds,
       v.snoozed_until, v.resolved_at, extract(epoch FROM v.resolved_at - v.opened_at)::bigint AS resolution_seconds,
       v.state <> 'resolved' AND v.last_inbound_at > coalesce(v.last_outbound_at, '-infinity') AS waits_for_us,
       v.episode, v.previous_id,
       (SELECT count(*) FROM message AS m WHERE m.conversation_id = v.id AND m.direction = 'in') AS messages_in,
       (SELECT count(*) FROM message AS m WHERE m.conversation_id = v.id AND m.direction = 'out') AS messages_out,
       (SELECT m.text FROM message AS m
         WHERE m.conversation_id = v.id AND m.direction <> 'note'
         ORDER BY m.created_at DESC, m.id DESC LIMIT 1) AS last_text,
       (SELECT s.score FROM survey AS s
         WHERE s.conversation_id = v.id AND s.score IS NOT NULL ORDER BY s.asked_at DESC LIMIT 1) AS score,
       v.attributes
  FROM conversation AS v
  JOIN contact AS p ON p.id = v.contact_id;
COMMENT ON VIEW conversation_list IS 'Conversations with their contact, counts and last message.';
COMMENT ON COLUMN conversation_list.conversation_id IS 'number of the conversation';
COMMENT ON COLUMN conversation_list.state IS 'open, pending, snoozed or resolved';
COMMENT ON COLUMN conversation_list.topic IS 'what kind of conversation: support, billing and so on';
COMMENT ON COLUMN conversation_list.reference IS
    'what it is about, such as an invoice number; empty when nothing in particular';
COMMENT ON COLUMN conversation_list.priority IS 'low, normal, high or urgent';
COMMENT ON COLUMN conversation_list.assignee IS 'the person or team it is assigned to';
COMMENT ON COLUMN conversation_list.tags IS 'labels set by rules and agents';
COMMENT ON COLUMN conversation_list.channel IS 'the source it is held on at present';
COMMENT ON COLUMN conversation_list.identity IS 'the contact''s handle there';
COMMENT ON COLUMN conversation_list.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN conversation_list.contact_name IS 'the contact''s name';
COMMENT ON COLUMN conversation_list.language IS 'the contact''s language';
COMMENT ON COLUMN conversation_list.opened_at IS 'when it was opened first';
COMMENT ON COLUMN conversation_list.updated_at IS 'when anything about it changed last';
COMMENT ON COLUMN conversation_list.last_inbound_at IS 'the contact''s last message';
COMMENT ON COLUMN conversation_list.last_outbound_at IS 'our last message';
COMMENT ON COLUMN conversation_list.first_reply_at IS 'our first reply';
COMMENT ON COLUMN conversation_list.first_reply_seconds IS 'seconds from the opening to our first reply';
COMMENT ON COLUMN conversation_list.snoozed_until IS 'when a snoozed one comes back';
COMMENT ON COLUMN conversation_list.resolved_at IS 'when it was resolved last';
COMMENT ON COLUMN conversation_list.resolution_seconds IS 'seconds from the opening to the last resolution';
COMMENT ON COLUMN conversation_list.waits_for_us IS 'true when the contact wrote last and it is not resolved';
COMMENT ON COLUMN conversation_list.episode IS '1, and one more for each reopening';
COMMENT ON COLUMN conversation_list.previous_id IS 'the conversation that this one continues';
COMMENT ON COLUMN conversation_list.messages_in IS 'messages from the contact';
COMMENT ON COLUMN conversation_list.messages_out IS 'messages to the contact';
COMMENT ON COLUMN conversation_list.last_text IS 'text of the last message in either direction';
COMMENT ON COLUMN conversation_list.score IS 'the last CSAT score given for it';
COMMENT ON COLUMN conversation_list.attributes IS 'what rules and agents set on it';

CREATE VIEW contact_list AS
SELECT p.id AS contact_id, p.name, p.language, p.timezone, p.preferred_channel,
       ARRAY(SELECT i.identity FROM identity AS i
              WHERE i.contact_id = p.id ORDER BY i.created_at, i.identity) AS identities,
       ARRAY(SELECT DISTINCT a.source FROM address AS a
              WHERE a.contact_id = p.id AND (a.unreachable_at IS NULL OR a.last_inbound_at > a.unreachable_at)
              ORDER BY a.source) AS reachable_on,
       p.opted_out, p.opted_out_at, p.created_at, p.updated_at,
       (SELECT max(a.last_inbound_at) FROM address AS a WHERE a.contact_id = p.id) AS last_inbound_at,
       (SELECT count(*) FROM conversation AS v WHERE v.contact_id = p.id) AS conversations,
       (SELECT count(*) FROM conversation AS v WHERE v.contact_id = p.id
           AND v.state <> 'resolved') AS open_conversations,
       p.attributes, p.erased_at
  FROM contact AS p
 WHERE p.merged_into IS NULL;
COMMENT ON VIEW contact_list IS 'Contacts with their handles. Those that were merged into another are left out.';
COMMENT ON COLUMN contact_list.contact_id IS 'number of the contact';
COMMENT ON COLUMN contact_list.name IS 'as the provider or a rule told it';
COMMENT ON COLUMN contact_list.language IS 'language code';
COMMENT ON COLUMN contact_list.timezone IS 'IANA time zone, when known';
COMMENT ON COLUMN contact_list.preferred_channel IS 'the channel the contact prefers, when known';
COMMENT ON COLUMN contact_list.identities IS
    'all handles: whatsapp:…, telegram:…, stripe:…, email:…, phone:…';
COMMENT ON COLUMN contact_list.reachable_on IS 'sources that the contact can be written to on';
COMMENT ON COLUMN contact_list.opted_out IS 'topics the contact does not want to hear about; all stops everything';
COMMENT ON COLUMN contact_list.opted_out_at IS 'when the contact last opted out of something';
COMMENT ON COLUMN contact_list.created_at IS 'when we first heard of the contact';
COMMENT ON COLUMN contact_list.updated_at IS 'when anything about the contact changed last';
COMMENT ON COLUMN contact_list.last_inbound_at IS 'the contact''s last message on any channel';
COMMENT ON COLUMN contact_list.conversations IS 'number of conversations';
COMMENT ON COLUMN contact_list.open_conversations IS 'number of those that are not resolved';
COMMENT ON COLUMN contact_list.attributes IS 'what rules and agents set on the contact';
COMMENT ON COLUMN contact_list.erased_at IS 'when the contact''s personal data was erased';

CREATE VIEW webhook_log AS
SELECT w.id AS webhook_id, w.received_at, w.source, w.event_count, w.new_events, w.problem, w.parser,
       octet_length(w.body) AS body_bytes, readable_body(w.body) AS body, w.headers
  FROM webhook AS w;
COMMENT ON VIEW webhook_log IS 'Every webhook that was genuine, as it arrived.';
COMMENT ON COLUMN webhook_log.webhook_id IS 'number of the webhook';
COMMENT ON COLUMN webhook_log.received_at IS 'when it was stored';
COMMENT ON COLUMN webhook_log.source IS 'the configured sender';
COMMENT ON COLUMN webhook_log.event_count IS 'events found in it';
COMMENT ON COLUMN webhook_log.new_events IS 'events among them that were not known before; 0 for a pure repetition';
COMMENT ON COLUMN webhook_log.problem IS 'why it, or a part of it, is kept and not handled; NULL when all is well';
COMMENT ON COLUMN webhook_log.parser IS 'version of the parsers that read it';
COMMENT ON COLUMN webhook_log.body_bytes IS 'length of the body';
COMMENT ON COLUMN webhook_log.body IS 'the body as text; bytes that are not UTF-8 are shown as escapes';
COMMENT ON COLUMN webhook_log.headers IS 'headers of the request, without secrets';

CREATE VIEW event_log AS
SELECT e.id AS event_id, e.received_at, e.occurred_at, e.type, e.source, e.key, h.contact_id, h.conversation_id,
       CASE WHEN h.event_id IS NOT NULL THEN 'handled' WHEN k.event_id IS NOT NULL THEN 'parked'
            WHEN w.attempts > 0 THEN 'failing' ELSE 'waiting' END AS state,
       h.handled_at, (extract(epoch FROM h.handled_at - e.received_at) * 1000)::bigint AS handled_after_ms,
       coalesce(h.attempts, k.attempts, w.attempts) AS attempts, coalesce(h.problem, k.problem, w.problem) AS problem,
       h.rule_set, e.cause_event, e.depth, e.webhook_id, e.doc
  FROM event AS e
  LEFT JOIN LATERAL (SELECT x.* FROM handling AS x
                      WHERE x.event_id = e.id ORDER BY x.handled_at DESC LIMIT 1) AS h ON true
  LEFT JOIN parked_event AS k ON k.event_id = e.id
  LEFT JOIN work AS w ON w.event_id = e.id AND h.event_id IS NULL AND k.event_id IS NULL;
COMMENT ON VIEW event_log IS 'Everything that happened, with what became of it.';
COMMENT ON COLUMN event_log.event_id IS 'number of the event; why(event_id) tells its story';
COMMENT ON COLUMN event_log.received_at IS 'when it was stored';
COMMENT ON COLUMN event_log.occurred_at IS 'when it happened by the sender''s clock';
COMMENT ON COLUMN event_log.type IS 'message.received, payment.failed and so on';
COMMENT ON COLUMN event_log.source IS 'the configured sender; answerd for events from inside';
COMMENT ON COLUMN event_log.key IS 'what it is known by at its source: a repetition has the same';
COMMENT ON COLUMN event_log.contact_id IS 'the contact that it turned out to be about';
COMMENT ON COLUMN event_log.conversation_id IS 'the conversation that it turned out to be about';
COMMENT ON COLUMN event_log.state IS
    'waiting, failing (tried, and will be tried again), parked (given up until somebody retries it) or handled';
COMMENT ON COLUMN event_log.handled_at IS 'when its effects were committed';
COMMENT ON COLUMN event_log.handled_after_ms IS 'milliseconds from storing to handling';
COMMENT ON COLUMN event_log.attempts IS 'how often it was tried';
COMMENT ON COLUMN event_log.problem IS 'what went wrong';
COMMENT ON COLUMN event_log.rule_set IS 'version of the rules that handled it';
COMMENT ON COLUMN event_log.cause_event IS 'the event whose rules caused this one';
COMMENT ON COLUMN event_log.depth IS 'how many causes it has behind it';
COMMENT ON COLUMN event_log.webhook_id IS 'the webhook that brought it';
COMMENT ON COLUMN event_log.doc IS 'the event as rules see it';

CREATE VIEW delivery_log AS
SELECT d.id AS delivery_id, d.created_at, d.kind, d.source, d.endpoint, d.identity,
       coalesce(p.merged_into, d.contact_id) AS contact_id, d.conversation_id, d.message_id, m.text, d.state, d.sent_as,
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
  LEFT JOIN contact AS p ON p.id = d.contact_id;
COMMENT ON VIEW delivery_log IS 'Everything that was to leave: messages and outgoing webhooks.';
COMMENT ON COLUMN delivery_log.delivery_id IS 'number of the delivery; WhatsApp echoes it in its statuses';
COMMENT ON COLUMN delivery_log.created_at IS 'when it was asked for';
COMMENT ON COLUMN delivery_log.kind IS 'message or webhook';
COMMENT ON COLUMN delivery_log.source IS 'the source a message leaves through';
COMMENT ON COLUMN delivery_log.endpoint IS 'the endpoint a webhook goes to';
COMMENT ON COLUMN delivery_log.identity IS 'the contact''s handle on that channel';
COMMENT ON COLUMN delivery_log.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN delivery_log.conversation_id IS 'the conversation it belongs to';
COMMENT ON COLUMN delivery_log.message_id IS 'the message it carries';
COMMENT ON COLUMN delivery_log.text IS 'text of that message';
COMMENT ON COLUMN delivery_log.state IS 'queued, sending, retrying, sent, unknown, failed, parked, blocked or canceled';
COMMENT ON COLUMN delivery_log.sent_as IS 'free (free text), approved (a template the provider approved) or webhook';
COMMENT ON COLUMN delivery_log.reason IS 'why it is in that state, for a person';
COMMENT ON COLUMN delivery_log.error_code IS 'the provider''s code, or ours';
COMMENT ON COLUMN delivery_log.attempts IS 'HTTP calls made';
COMMENT ON COLUMN delivery_log.first_attempt_at IS 'the first of them';
COMMENT ON COLUMN delivery_log.last_attempt_at IS 'the last of them';
COMMENT ON COLUMN delivery_log.ended_at IS 'when it was over for us';
COMMENT ON COLUMN delivery_log.next_attempt_at IS 'when it will be tried next';
COMMENT ON COLUMN delivery_log.message_state IS
    'how far the message got: queued, sending, sent, delivered, read, failed, unknown, blocked, canceled';
COMMENT ON COLUMN delivery_log.sent_at IS 'when the provider took it';
COMMENT ON COLUMN delivery_log.delivered_at IS 'when the provider said it was delivered';
COMMENT ON COLUMN delivery_log.read_at IS 'when the provider said it was read';
COMMENT ON COLUMN delivery_log.failed_at IS 'when the provider said it failed';
COMMENT ON COLUMN delivery_log.last_status IS 'HTTP status of the last attempt that got an answer';
COMMENT ON COLUMN delivery_log.provider_message_id IS 'the provider''s id of the message';
COMMENT ON COLUMN delivery_log.topic IS 'topic, for opt-outs';
COMMENT ON COLUMN delivery_log.rule IS 'the rule that asked for it';
COMMENT ON COLUMN delivery_log.event_id IS 'the event whose handling asked for it; see why()';
COMMENT ON COLUMN delivery_log.outreach_id IS 'the outreach it belongs to';

CREATE VIEW rule_trace AS
SELECT t.event_id, t.number, t.handled_at, e.type AS event_type, e.source, h.contact_id, h.conversation_id,
       t.rule, t.verdict, t.error, t.file, t.line, t.file || ':' || t.line AS place, t.rule_set, t.instructions,
           t.micros,
       jsonb_array_length(CASE jsonb_typeof(t.effects) WHEN 'array' THEN t.effects ELSE '[]' END) AS effect_count,
           t.effects
  FROM trace AS t
  LEFT JOIN handling AS h ON h.event_id = t.event_id AND h.handled_at = t.handled_at
  LEFT JOIN event AS e ON e.id = t.event_id;
COMMENT ON VIEW rule_trace IS 'Why each rule ran or did not, on each event.';
COMMENT ON COLUMN rule_trace.event_id IS 'the event';
COMMENT ON COLUMN rule_trace.number IS 'order of the rules on that event';
COMMENT ON COLUMN rule_trace.handled_at IS 'when the event was handled';
COMMENT ON COLUMN rule_trace.event_type IS 'type of the event';
COMMENT ON COLUMN rule_trace.source IS 'source of the event';
COMMENT ON COLUMN rule_trace.contact_id IS 'the contact it was about';
COMMENT ON COLUMN rule_trace.conversation_id IS 'the conversation it was about';
COMMENT ON COLUMN rule_trace.rule IS 'name of the rule';
COMMENT ON COLUMN rule_trace.verdict IS
    'ran, skipped (its condition said no), failed, over_budget, and others that say why it was not asked';
COMMENT ON COLUMN rule_trace.error IS 'what went wrong in it';
COMMENT ON COLUMN rule_trace.file IS 'file of the rule, or of the error';
COMMENT ON COLUMN rule_trace.line IS 'line in that file';
COMMENT ON COLUMN rule_trace.place IS 'file:line';
COMMENT ON COLUMN rule_trace.rule_set IS 'version of the rules';
COMMENT ON COLUMN rule_trace.instructions IS 'Lua instructions it took';
COMMENT ON COLUMN rule_trace.micros IS 'microseconds it took';
COMMENT ON COLUMN rule_trace.effect_count IS 'number of effects';
COMMENT ON COLUMN rule_trace.effects IS 'what it asked for';

CREATE VIEW csat_scores AS
SELECT s.id AS survey_id, s.name AS survey, s.state, s.score, s.scale, s.comment, s.conversation_id, s.episode,
       coalesce(p.merged_into, s.contact_id) AS contact_id, p.name AS contact_name,
       v.topic, v.assignee, v.source AS channel, v.tags,
       s.asked_at, s.answered_at, s.commented_at, s.expires_at, s.rule
  FROM survey AS s
  LEFT JOIN conversation AS v ON v.id = s.conversation_id
  LEFT JOIN contact AS p ON p.id = s.contact_id;
COMMENT ON VIEW csat_scores IS 'Surveys and their answers: one row for each time one was asked.';
COMMENT ON COLUMN csat_scores.survey_id IS 'number of this asking';
COMMENT ON COLUMN csat_scores.survey IS 'name of the survey';
COMMENT ON COLUMN csat_scores.state IS 'asked, answered, commented, expired or canceled';
COMMENT ON COLUMN csat_scores.score IS 'the answer, 1 to scale; NULL while there is none';
COMMENT ON COLUMN csat_scores.scale IS 'the best score';
COMMENT ON COLUMN csat_scores.comment IS 'what the contact added';
COMMENT ON COLUMN csat_scores.conversation_id IS 'the conversation it is about';
COMMENT ON COLUMN csat_scores.episode IS 'which opening of that conversation';
COMMENT ON COLUMN csat_scores.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN csat_scores.contact_name IS 'the contact''s name';
COMMENT ON COLUMN csat_scores.topic IS 'topic of the conversation';
COMMENT ON COLUMN csat_scores.assignee IS 'who the conversation is assigned to';
COMMENT ON COLUMN csat_scores.channel IS 'channel of the conversation';
COMMENT ON COLUMN csat_scores.tags IS 'labels of the conversation';
COMMENT ON COLUMN csat_scores.asked_at IS 'when it was asked';
COMMENT ON COLUMN csat_scores.answered_at IS 'when it was answered';
COMMENT ON COLUMN csat_scores.commented_at IS 'when the comment came';
COMMENT ON COLUMN csat_scores.expires_at IS 'until when an answer counts';
COMMENT ON COLUMN csat_scores.rule IS 'the rule that asked';

CREATE VIEW outreach_list AS
SELECT o.id AS outreach_id, coalesce(p.merged_into, o.contact_id) AS contact_id, p.name AS contact_name,
       o.topic, o.reference,
       CASE WHEN cardinality(o.goals) > 1 THEN array_to_string(o.goals, ', ') ELSE o.goal END AS goal, o.state, o.step AS steps_done,
       jsonb_array_length(CASE jsonb_typeof(o.steps) WHEN 'array' THEN o.steps ELSE '[]' END) AS steps,
       o.started_at, o.reached_at, o.ended_at, o.next_attempt_at,
       o.state = 'recovered' AND o.next_attempt_at IS NOT NULL AND o.ended_at < o.next_attempt_at
           AS before_next_attempt,
       (SELECT t.due_at FROM timer AS t WHERE t.outreach_id = o.id) AS next_step_at,
       o.conversation_id, o.rule, o.event_id, o.ended_by
  FROM outreach AS o
  LEFT JOIN contact AS p ON p.id = o.contact_id;
COMMENT ON VIEW outreach_list IS 'Each outreach with how far it got.';
COMMENT ON COLUMN outreach_list.outreach_id IS 'number of the outreach';
COMMENT ON COLUMN outreach_list.contact_id IS 'the contact, after merges';
COMMENT ON COLUMN outreach_list.contact_name IS 'the contact''s name';
COMMENT ON COLUMN outreach_list.topic IS 'topic, such as billing';
COMMENT ON COLUMN outreach_list.reference IS 'what it is about, such as an invoice number';
COMMENT ON COLUMN outreach_list.goal IS 'the event types that end it as recovered';
COMMENT ON COLUMN outreach_list.state IS 'active, recovered, exhausted or canceled';
COMMENT ON COLUMN outreach_list.steps_done IS 'steps that were taken';
COMMENT ON COLUMN outreach_list.steps IS 'steps that there are';
COMMENT ON COLUMN outreach_list.started_at IS 'when it began';
COMMENT ON COLUMN outreach_list.reached_at IS 'when a provider first reported one of its messages as delivered';
COMMENT ON COLUMN outreach_list.ended_at IS 'when it ended';
COMMENT ON COLUMN outreach_list.next_attempt_at IS
    'the provider''s own next attempt at the payment, as known at the start';
COMMENT ON COLUMN outreach_list.before_next_attempt IS
    'true when it recovered before that attempt: the money came because somebody wrote';
COMMENT ON COLUMN outreach_list.next_step_at IS 'when the next step is due';
COMMENT ON COLUMN outreach_list.conversation_id IS 'the conversation it is held in';
COMMENT ON COLUMN outreach_list.rule IS 'the rule that started it';
COMMENT ON COLUMN outreach_list.event_id IS 'the event that started it; see why()';
COMMENT ON COLUMN outreach_list.ended_by IS 'the event that ended it';

CREATE VIEW outreach_outcomes AS
SELECT month_of(o.started_at) AS month, o.topic, o.rule, count(*) AS started,
       count(*) FILTER (WHERE o.state = 'active') AS active,
       count(o.reached_at) AS reached,
       count(*) FILTER (WHERE o.state = 'recovered') AS recovered,
       count(*) FILTER (WHERE o.state = 'recovered' AND o.ended_at < o.next_attempt_at)
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
COMMENT ON VIEW outreach_outcomes IS 'What outreach came to, by month of its start, topic and rule.';
COMMENT ON COLUMN outreach_outcomes.month IS 'month in which the outreach began (UTC)';
COMMENT ON COLUMN outreach_outcomes.topic IS 'topic, such as billing';
COMMENT ON COLUMN outreach_outcomes.rule IS 'the rule that started it';
COMMENT ON COLUMN outreach_outcomes.started IS 'how many began';
COMMENT ON COLUMN outreach_outcomes.active IS 'how many go on';
COMMENT ON COLUMN outreach_outcomes.reached IS 'contacts to whom at least one message was delivered';
COMMENT ON COLUMN outreach_outcomes.recovered IS 'goals reached, whether a message was needed for it or not';
COMMENT ON COLUMN outreach_outcomes.recovered_before_next_attempt IS
    'goals reached before the provider''s own next attempt: the clearest sign that writing helped';
COMMENT ON COLUMN outreach_outcomes.exhausted IS 'all steps done without the goal';
COMMENT ON COLUMN outreach_outcomes.canceled IS 'ended for another reason, such as an opt-out';
COMMENT ON COLUMN outreach_outcomes.recovery_rate IS
    'recovered among those that ended as recovered or exhausted, 0 to 1';
COMMENT ON COLUMN outreach_outcomes.reach_rate IS 'reached among those started, 0 to 1';
COMMENT ON COLUMN outreach_outcomes.median_hours_to_recovery IS 'half of the recovered took no longer';

CREATE VIEW source_health AS
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
         ORDER BY r.count DESC LIMIT 1) AS most_rejected_for,
       q.waiting, q.oldest_due_at, q.unknown,
       l.sent, l.failed, l.parked, l.blocked, p.paused_until, p.paused_reason
  FROM known AS k
  LEFT JOIN source_pace AS p ON p.source = k.source AND p.paused_until > now()
 CROSS JOIN LATERAL (
       SELECT count(*) AS webhooks, coalesce(sum(w.new_events), 0)::bigint AS events,
              coalesce(sum(w.event_count - w.new_events), 0)::bigint AS duplicates, count(w.problem) AS unparsed
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
COMMENT ON VIEW source_health IS 'How each source and endpoint does: what came in today, what leaves, what is stuck.';
COMMENT ON COLUMN source_health.source IS 'the source, or endpoint NAME for outgoing webhooks';
COMMENT ON COLUMN source_health.last_webhook_at IS 'when something genuine came last, within 35 days';
COMMENT ON COLUMN source_health.webhooks IS 'webhooks of the last 24 hours';
COMMENT ON COLUMN source_health.events IS 'new events of the last 24 hours';
COMMENT ON COLUMN source_health.duplicates IS 'repeated events of the last 24 hours';
COMMENT ON COLUMN source_health.unparsed IS 'webhooks of the last 24 hours that could not be read';
COMMENT ON COLUMN source_health.rejected IS 'requests of the last day that were not genuine and not stored';
COMMENT ON COLUMN source_health.most_rejected_for IS 'the most frequent reason of those';
COMMENT ON COLUMN source_health.waiting IS 'deliveries in the outbox';
COMMENT ON COLUMN source_health.oldest_due_at IS 'since when the oldest of them could have left';
COMMENT ON COLUMN source_health.unknown IS 'sends whose outcome nobody knows yet';
COMMENT ON COLUMN source_health.sent IS 'deliveries of the last 24 hours that the other side took';
COMMENT ON COLUMN source_health.failed IS 'those that failed';
COMMENT ON COLUMN source_health.parked IS 'those given up until somebody retries them';
COMMENT ON COLUMN source_health.blocked IS 'those that were not allowed to leave (window, opt-out, unreachable)';
COMMENT ON COLUMN source_health.paused_until IS 'nothing leaves before';
COMMENT ON COLUMN source_health.paused_reason IS 'why';

