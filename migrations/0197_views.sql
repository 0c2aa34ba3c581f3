-- Views: what waits and what was parked is found where it waits, payments have a view, traces are sorted before they are completed.
--
-- Why: a state that is computed cannot be looked for, so whoever asked for parked events, or for what leaves next, read every event
-- and every delivery. To find a payment one had to know the expression of an index. `ORDER BY event_id DESC LIMIT 20` of rule_trace
-- looked up two events for each trace there was: twelve million pages for four hundred thousand events.
-- Locks: ACCESS EXCLUSIVE on the views, for a moment. Takes: milliseconds.

-- parked_at, waiting_since and next_try_at are columns of the small tables as they are: "IS NOT NULL" lets a query begin there.
CREATE OR REPLACE VIEW event_log AS
SELECT e.id AS event_id, e.received_at, e.occurred_at, e.type, e.source, e.key, p.id AS contact_id, h.conversation_id,
       CASE WHEN h.event_id IS NOT NULL THEN 'handled' WHEN k.event_id IS NOT NULL THEN 'parked'
            WHEN w.attempts > 0 THEN 'failing' ELSE 'waiting' END AS state,
       h.handled_at, (extract(epoch FROM h.handled_at - e.received_at) * 1000)::bigint AS handled_after_ms,
       coalesce(h.attempts, k.attempts, w.attempts) AS attempts, coalesce(h.problem, k.problem, w.problem) AS problem,
       h.rule_set, e.cause_event, e.depth, e.webhook_id, e.doc, k.parked_at, w.event_received_at AS waiting_since, w.retry_at AS next_try_at
  FROM event AS e
  LEFT JOIN handling AS h ON h.event_id = e.id
       AND NOT EXISTS (SELECT FROM handling AS n WHERE n.event_id = h.event_id AND n.handled_at > h.handled_at)
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL
  LEFT JOIN parked_event AS k ON k.event_id = e.id AND k.event_received_at = e.received_at
  LEFT JOIN work AS w ON w.event_id = e.id AND w.event_received_at = e.received_at AND w.bucket = (e.lane & 511)::smallint
       AND h.event_id IS NULL AND k.event_id IS NULL;
COMMENT ON COLUMN event_log.received_at IS 'when it was stored; the latest come by event_id, an hour or a day by this';
COMMENT ON COLUMN event_log.state IS
    'waiting, failing (tried, and will be tried again), parked (given up until somebody retries it) or handled; those that are not handled are found by waiting_since and parked_at';
COMMENT ON COLUMN event_log.parked_at IS 'when it was given up: parked_at IS NOT NULL finds the parked ones';
COMMENT ON COLUMN event_log.waiting_since IS 'when it was stored, while it waits: waiting_since IS NOT NULL finds those that wait or fail';
COMMENT ON COLUMN event_log.next_try_at IS 'when one that failed is tried next';

CREATE OR REPLACE VIEW delivery_log AS
SELECT d.id AS delivery_id, d.created_at, d.kind, d.source, d.endpoint, d.identity,
       p.id AS contact_id, d.conversation_id, d.message_id, m.text, d.state, d.sent_as,
       d.reason, d.error_code, d.attempts, d.first_attempt_at, d.last_attempt_at, d.ended_at, o.due_at AS next_attempt_at,
       m.state AS message_state, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
       (SELECT t.status FROM attempt AS t
         WHERE t.delivery_id = d.id ORDER BY t.started_at DESC LIMIT 1) AS last_status,
       d.provider_message_id, d.topic, d.rule, d.event_id, d.outreach_id
  FROM delivery AS d
  LEFT JOIN message AS m ON m.id = d.message_id AND m.created_at = d.message_created_at
  LEFT JOIN outbox AS o ON o.delivery_id = d.id AND o.state = 'waiting'
  LEFT JOIN contact AS f ON f.id = d.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL;
COMMENT ON COLUMN delivery_log.next_attempt_at IS 'when it is tried next: next_attempt_at IS NOT NULL finds what waits to leave';

-- What a trace lacks of its event is added last, to the rows that are shown.
CREATE OR REPLACE VIEW rule_trace AS
SELECT t.event_id, t.number, t.handled_at, (SELECT e.type FROM event AS e WHERE e.id = t.event_id LIMIT 1) AS event_type,
       (SELECT e.source FROM event AS e WHERE e.id = t.event_id LIMIT 1) AS source, t.contact_id, t.conversation_id,
       t.rule, t.verdict, t.error, t.file, t.line, t.file || ':' || t.line AS place, t.rule_set, t.instructions, t.micros,
       t.effect_count, t.effects
  FROM (SELECT t.event_id, t.number, t.handled_at, p.id AS contact_id, h.conversation_id, t.rule, t.verdict, t.error, t.file, t.line,
               t.rule_set, t.instructions, t.micros,
               jsonb_array_length(CASE jsonb_typeof(t.effects) WHEN 'array' THEN t.effects ELSE '[]' END) AS effect_count, t.effects
          FROM trace AS t
          LEFT JOIN handling AS h ON h.event_id = t.event_id AND h.handled_at = t.handled_at
          LEFT JOIN contact AS f ON f.id = h.contact_id
          LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL
         UNION ALL
        SELECT h.event_id, (s.rule->>0)::smallint, h.handled_at, p.id, h.conversation_id, s.rule->>1, 'skipped', NULL, s.rule->>2,
               (s.rule->>3)::integer, coalesce(h.rule_set, ''), (s.rule->>4)::bigint, (s.rule->>5)::bigint, 0, '[]'::jsonb
          FROM handling AS h
         CROSS JOIN LATERAL jsonb_array_elements(h.skipped) AS s (rule)
          LEFT JOIN contact AS f ON f.id = h.contact_id
          LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL) AS t;

-- The reference is the expression of the index event_by_payment.
CREATE VIEW payment_log AS
SELECT e.id AS event_id, e.occurred_at, e.received_at, e.type, e.source,
       coalesce(e.doc->'payment'->>'reference', e.doc->'payment'->>'invoice', e.doc->'payment'->>'subscription',
                e.doc->'payment'->>'id') AS reference,
       CASE jsonb_typeof(e.doc #> '{payment,amount}') WHEN 'number' THEN (e.doc #>> '{payment,amount}')::numeric END AS amount,
       e.doc #>> '{payment,currency}' AS currency, e.doc #>> '{payment,status}' AS status, e.doc #>> '{payment,reason}' AS reason,
       CASE jsonb_typeof(e.doc #> '{payment,attempt}') WHEN 'number' THEN (e.doc #>> '{payment,attempt}')::numeric END AS attempt,
       e.doc #>> '{payment,next_attempt}' AS next_attempt, e.doc #>> '{payment,url}' AS url,
       e.doc #>> '{payment,id}' AS payment_id, e.doc #>> '{payment,invoice}' AS invoice,
       e.doc #>> '{payment,subscription}' AS subscription, e.doc #>> '{payment,customer}' AS customer,
       coalesce(e.doc #>> '{payment,secondary}' = 'true', false) AS secondary, p.id AS contact_id, p.name AS contact_name,
       h.conversation_id, h.handled_at
  FROM event AS e
  LEFT JOIN handling AS h ON h.event_id = e.id
       AND NOT EXISTS (SELECT FROM handling AS n WHERE n.event_id = h.event_id AND n.handled_at > h.handled_at)
  LEFT JOIN contact AS f ON f.id = h.contact_id
  LEFT JOIN contact AS p ON p.id = coalesce(f.merged_into, f.id) AND f.id IS NOT NULL
 WHERE e.doc ? 'payment';
COMMENT ON VIEW payment_log IS 'What payment providers told of payments: failed, paid, refunded, disputed.';
COMMENT ON COLUMN payment_log.event_id IS 'the event; why(event_id) tells what it led to';
COMMENT ON COLUMN payment_log.occurred_at IS 'when it happened, by the provider''s clock';
COMMENT ON COLUMN payment_log.received_at IS 'when it was stored';
COMMENT ON COLUMN payment_log.type IS 'payment.failed, .action_required, .succeeded, .refunded or .disputed';
COMMENT ON COLUMN payment_log.source IS 'the payment provider, as it is called in the configuration';
COMMENT ON COLUMN payment_log.reference IS
    'what is owed: the invoice, else the order or subscription, else the payment; the same for the failure and what settles it. Payments are found by it';
COMMENT ON COLUMN payment_log.amount IS 'in the currency''s minor unit, such as cents';
COMMENT ON COLUMN payment_log.currency IS 'its ISO code, in small letters';
COMMENT ON COLUMN payment_log.status IS 'the provider''s own word for its state';
COMMENT ON COLUMN payment_log.reason IS 'why it failed';
COMMENT ON COLUMN payment_log.attempt IS 'which attempt of the provider failed, from 1';
COMMENT ON COLUMN payment_log.next_attempt IS 'when the provider tries again, as it told: ISO 8601';
COMMENT ON COLUMN payment_log.url IS 'where the customer can pay';
COMMENT ON COLUMN payment_log.payment_id IS 'the provider''s id of the payment';
COMMENT ON COLUMN payment_log.invoice IS 'its id of the invoice';
COMMENT ON COLUMN payment_log.subscription IS 'its id of the subscription';
COMMENT ON COLUMN payment_log.customer IS 'its id of the customer';
COMMENT ON COLUMN payment_log.secondary IS 'true when it repeats, at a lower level, what another event says: do not count both';
COMMENT ON COLUMN payment_log.contact_id IS 'the contact that it turned out to be about, after merges';
COMMENT ON COLUMN payment_log.contact_name IS 'the contact''s name';
COMMENT ON COLUMN payment_log.conversation_id IS 'the conversation that it turned out to be about';
COMMENT ON COLUMN payment_log.handled_at IS 'when rules had handled it; NULL while it waits or is parked';

SELECT grant_views();
