-- One person's history after a merge. Messages and deliveries keep the contact they were made for (they lie in big
-- partitions, and some are not ours to change any more); the views show whose they are now, with that contact's name.
--
-- Why: C merged into B, and B into A later: the views took one step and showed C's messages as B's, under a former name.
-- Locks: SHARE on contact while the index is built, ACCESS EXCLUSIVE on the views. Takes: seconds for a million contacts.

-- merged_into names the contact that is left, never one that was merged itself: one step is always enough.
CREATE FUNCTION follow_merge() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE contact SET merged_into = NEW.merged_into WHERE coalesce(merged_into, id) = NEW.id AND id <> NEW.id;
    RETURN NULL;
END
$$;
CREATE INDEX contact_by_survivor ON contact (coalesce(merged_into, id));
CREATE TRIGGER follow_merge AFTER INSERT OR UPDATE OF merged_into ON contact
    FOR EACH ROW WHEN (NEW.merged_into IS NOT NULL AND pg_trigger_depth() = 0) EXECUTE FUNCTION follow_merge();

WITH RECURSIVE chain (id, into_id) AS (
    SELECT c.id, c.merged_into FROM contact AS c WHERE c.merged_into IS NOT NULL
     UNION
    SELECT chain.id, c.merged_into FROM chain JOIN contact AS c ON c.id = chain.into_id WHERE c.merged_into IS NOT NULL)
UPDATE contact AS c SET merged_into = chain.into_id
  FROM chain JOIN contact AS last ON last.id = chain.into_id AND last.merged_into IS NULL
 WHERE c.id = chain.id AND c.merged_into <> chain.into_id;

CREATE OR REPLACE VIEW conversation_history AS
SELECT m.conversation_id, m.id AS message_id, m.created_at AS at, m.occurred_at, m.direction, m.author, m.kind, m.text,
       m.source AS channel, m.identity, p.id AS contact_id, p.name AS contact_name,
       v.topic, v.reference, v.state AS conversation_state, m.content #>> '{template,name}' AS template, m.content,
       m.state, m.reason, m.error_code, m.queued_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.edited_at,
       m.deleted_at, m.reply_to, m.provider_message_id, m.event_id, m.outreach_id, m.survey_id
  FROM message AS m
  LEFT JOIN conversation AS v ON v.id = m.conversation_id
  LEFT JOIN contact AS f ON f.id = m.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id);

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
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id);

CREATE OR REPLACE VIEW held_list AS
SELECT h.delivery_id, h.held_at, h.rule, h.budget, h.reason, p.id AS contact_id, p.name AS contact_name,
       d.identity, d.source, m.text, d.conversation_id, d.event_id, h.outreach_id, h.position
  FROM held_delivery AS h
  JOIN delivery AS d ON d.id = h.delivery_id AND d.created_at = h.delivery_created_at
  LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id);
