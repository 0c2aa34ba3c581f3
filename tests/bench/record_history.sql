-- Writes a history of :events events of :contacts contacts over the last :days days: see record_history.
--
-- Event number n is the contact's (n - 1) / contacts-th. What it is follows from its place in a life of twenty steps that
-- repeats, begun with a question and gone on with another step by each contact: a question, more of it, an agent's answer, the resolution, the rating, a
-- comment, a payment that fails and is paid later, a STOP now and then, a START after it.

\set QUIET on
SET synchronous_commit = off;
BEGIN;

-- The numbers of all that is made, from `base` on: contacts, conversations, events, statuses.
SELECT nextval('object_id') AS base \gset
SELECT setval('object_id', :base + 2 * :contacts + :events + :events / 4 + 1000 - (:events * 5 / 4 + 2 * :contacts) % 1000) \g /dev/null

CREATE TEMPORARY TABLE person ON COMMIT DROP AS
SELECT c, :base + c AS id, :base + :contacts + c AS conversation_id, (c * 7919 % 2147483647)::integer AS lane,
       CASE c % 4 WHEN 3 THEN 'telegram' ELSE 'whatsapp' END AS source,
       CASE c % 4 WHEN 3 THEN 'telegram:' || 700000 + c ELSE 'whatsapp:' || 15550000000 + c END AS identity,
       CASE c % 4 WHEN 3 THEN 700000 + c ELSE 15550000000 + c END::text AS recipient,
       (ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Ken', 'Radia', 'Niklaus'])[c % 8 + 1] AS name,
       date_trunc('second', now()) - make_interval(days => :days) + make_interval(secs => c * 0.001) AS first_at
  FROM generate_series(1, :contacts::bigint) AS c;
CREATE UNIQUE INDEX ON person (c);
ANALYZE person;

INSERT INTO contact (id, created_at, updated_at, name, lane)
SELECT id, first_at, first_at, name, lane FROM person;
INSERT INTO identity (identity, contact_id, created_at, proven_by)
SELECT identity, id, first_at, source FROM person
 UNION ALL SELECT 'phone:' || recipient, id, first_at, source FROM person WHERE source = 'whatsapp'
 UNION ALL SELECT 'stripe:cus_' || id, id, first_at, 'stripe' FROM person;
INSERT INTO address (source, identity, contact_id, recipient, last_inbound_at)
SELECT source, identity, id, recipient, first_at FROM person;
INSERT INTO conversation (id, contact_id, source, identity, opened_at, updated_at)
SELECT conversation_id, id, source, identity, first_at, first_at FROM person;

CREATE TEMPORARY TABLE happening ON COMMIT DROP AS
SELECT n, turn, p.c, :base + 2 * :contacts + n AS id, CASE turn WHEN 0 THEN 0 ELSE (turn + p.c * 7) % 20 END AS step,
       date_trunc('milliseconds', p.first_at + (n - 1) * (make_interval(days => :days) - interval '1 minute') / :events) AS at
  FROM generate_series(1, :events::bigint) AS n
 CROSS JOIN LATERAL (SELECT (n - 1) / :contacts AS turn, (n - 1) % :contacts + 1 AS c OFFSET 0) AS place
  JOIN person AS p ON p.c = place.c;

CREATE FUNCTION pg_temp.iso(at timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE FUNCTION pg_temp.who(p person) RETURNS jsonb
LANGUAGE sql IMMUTABLE
RETURN jsonb_build_object('identities', CASE WHEN p.source = 'whatsapp' THEN jsonb_build_array(p.identity, 'phone:' || p.recipient)
                                             ELSE jsonb_build_array(p.identity) END, 'name', p.name, 'recipient', p.recipient);

CREATE FUNCTION pg_temp.message_doc(h happening, p person) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object(
    'type', CASE WHEN h.step = 9 THEN 'message.button' ELSE 'message.received' END, 'source', p.source, 'provider', p.source,
    'key', 'wamid.' || h.id, 'occurred_at', pg_temp.iso(h.at), 'account', '106540352242922', 'contact', pg_temp.who(p),
    'message', jsonb_build_object('id', 'wamid.' || h.id) || CASE h.step
        WHEN 4 THEN '{"kind": "image", "text": "This is what it looks like", "media": {"id": "901234567890", "kind": "image", "mime": "image/jpeg"}}'
        WHEN 9 THEN jsonb_build_object('kind', 'button', 'text', 'Good', 'button', jsonb_build_object(
                        'id', 'survey:1:' || 1 + h.n * 31 % 5, 'text', 'Good'))
        ELSE jsonb_build_object('kind', 'text', 'text', CASE h.step
            WHEN 0 THEN 'Hello, are you there?'
            WHEN 1 THEN 'I ordered something two weeks ago and it has not arrived. Could you find out where it is, please?'
            WHEN 2 THEN 'The number of the order is ' || h.n
            WHEN 10 THEN 'That was quick, thank you!'
            WHEN 15 THEN CASE WHEN h.c % 10 = 0 THEN 'STOP' ELSE 'One more question' END
            WHEN 16 THEN CASE WHEN h.c % 10 = 0 THEN 'START' ELSE 'Can I change the address of my subscription?' END
            WHEN 17 THEN 'I want my money back'
            WHEN 18 THEN 'Hello?'
            ELSE 'Thanks' END) END);

CREATE FUNCTION pg_temp.payment_doc(h happening, p person) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object(
    'type', CASE h.step WHEN 13 THEN 'payment.succeeded' ELSE 'payment.failed' END, 'source', 'stripe', 'provider', 'stripe',
    'key', 'evt_' || h.id, 'occurred_at', pg_temp.iso(h.at),
    'contact', jsonb_build_object('identities', jsonb_build_array('stripe:cus_' || p.id, p.identity), 'name', p.name),
    'payment', jsonb_build_object(
        'id', 'in_' || p.id || '_' || h.turn / 20, 'invoice', 'in_' || p.id || '_' || h.turn / 20,
        'reference', 'in_' || p.id || '_' || h.turn / 20, 'subscription', 'sub_' || p.id, 'customer', 'cus_' || p.id,
        'amount', 1900, 'currency', 'usd', 'attempt', CASE h.step WHEN 12 THEN 2 ELSE 1 END,
        'url', 'https://invoice.stripe.com/i/in_' || p.id, 'status', CASE h.step WHEN 13 THEN 'paid' ELSE 'open' END,
        'next_attempt', pg_temp.iso(h.at + interval '3 days')));

CREATE FUNCTION pg_temp.action_doc(h happening, p person) RETURNS jsonb
LANGUAGE sql STABLE
RETURN jsonb_build_object(
    'type', 'agent.action', 'source', 'answerd', 'provider', 'answerd', 'key', 'internal:' || h.id,
    'occurred_at', pg_temp.iso(h.at), 'contact_id', p.id, 'conversation_id', p.conversation_id, 'agent', 'ann',
    'effects', jsonb_build_array(jsonb_build_object('conversation', '@') || CASE h.step
        WHEN 5 THEN '{"do": "send", "text": "It is on its way to you and should arrive tomorrow."}'
        WHEN 6 THEN '{"do": "tag", "tag": "shipping"}'
        ELSE '{"do": "resolve"}' END::jsonb));

INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
SELECT h.id, h.at, h.at, d.doc->>'source', d.doc->>'type', d.doc->>'key', p.lane, d.doc
  FROM happening AS h
  JOIN person AS p ON p.c = h.c
 CROSS JOIN LATERAL (SELECT CASE WHEN h.step IN (5, 6, 8, 19) THEN pg_temp.action_doc(h, p)
                                 WHEN h.step IN (11, 12, 13) THEN pg_temp.payment_doc(h, p)
                                 ELSE pg_temp.message_doc(h, p) END AS doc OFFSET 0) AS d
 ORDER BY h.n;

INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
SELECT :base + 2 * :contacts + :events + h.n / 4, h.at, h.at, p.source, 'message.status', 'wamid.sent.' || h.id || ':read', p.lane,
       jsonb_build_object('type', 'message.status', 'source', p.source, 'provider', p.source, 'key', 'wamid.sent.' || h.id || ':read',
                          'occurred_at', pg_temp.iso(h.at), 'account', '106540352242922', 'contact', pg_temp.who(p),
                          'status', jsonb_build_object('message_id', 'wamid.sent.' || h.id, 'state', 'read'))
  FROM happening AS h JOIN person AS p ON p.c = h.c WHERE h.n % 4 = 0 ORDER BY h.n;

INSERT INTO handling (event_id, handled_at, contact_id, rule_set)
SELECT e.id, e.received_at, p.id, ''
  FROM event AS e
  JOIN happening AS h ON h.id = CASE WHEN e.type = 'message.status'
                                     THEN :base + 2 * :contacts + 4 * (e.id - :base - 2 * :contacts - :events) ELSE e.id END
  JOIN person AS p ON p.c = h.c
 WHERE e.id > :base + 2 * :contacts AND e.id <= :base + 2 * :contacts + :events + :events / 4;
COMMIT;
ANALYZE event, handling, contact, identity, conversation;
