-- Whether a payment came before the provider's own attempt is a question of when it happened, not of when we heard of it;
-- and what a source is rejected for most is counted over the day.

INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
VALUES (71, now(), now() - interval '3 hours', 'stripe', 'payment.succeeded', 'evt_1', 1, '{}'),
       (72, now(), now() - interval '1 hour', 'stripe', 'payment.succeeded', 'evt_2', 1, '{}');
INSERT INTO contact (id, lane) VALUES (1, 1);
INSERT INTO outreach (id, contact_id, topic, reference, goal, state, steps, started_at, ended_at, ended_by, next_attempt_at)
VALUES (1, 1, 'billing', 'heard late', 'payment.succeeded', 'recovered', '[]', now() - interval '1 day', now(), 71, now() - interval '2 hours'),
       (2, 1, 'billing', 'after it', 'payment.succeeded', 'recovered', '[]', now() - interval '1 day', now(), 72, now() - interval '2 hours'),
       (3, 1, 'billing', 'before it', 'payment.succeeded', 'recovered', '[]', now() - interval '1 day', now(), 72, now() + interval '2 hours'),
       (4, 1, 'billing', 'no attempt', 'payment.succeeded', 'recovered', '[]', now() - interval '1 day', now(), 72, NULL),
       (5, 1, 'billing', 'not paid', 'payment.succeeded', 'exhausted', '[]', now() - interval '1 day', now(), 71, now() - interval '2 hours'),
       (6, 1, 'billing', 'its event was dropped', 'payment.succeeded', 'recovered', '[]', now() - interval '1 day', now(), 99, now() - interval '2 hours');
GRANT USAGE ON SCHEMA test TO answerd_read;
SET ROLE answerd_read;
SELECT test.same((SELECT string_agg(reference || ' ' || before_next_attempt, ', ' ORDER BY outreach_id) FROM outreach_list),
    'heard late true, after it false, before it true, no attempt false, not paid false, its event was dropped false', 'each');
SELECT test.same((SELECT sum(recovered_before_next_attempt) FROM outreach_outcomes), 2::numeric, 'together');
RESET ROLE;

INSERT INTO webhook_reject (source, hour, reason, count)
VALUES ('shop', date_trunc('hour', now()), 'burst', 10), ('shop', date_trunc('hour', now()), 'signature', 6),
       ('shop', date_trunc('hour', now()) - interval '1 hour', 'signature', 6);
INSERT INTO webhook (id, source, headers, body, event_count, new_events, problem, parser)
VALUES (1, 'shop', '{}', '', 1, 1, 'erased', 1), (2, 'shop', '{}', 'x', 0, 0, 'no JSON', 1);
SELECT test.same((SELECT concat_ws(' ', rejected, most_rejected_for, unparsed) FROM source_health WHERE source = 'shop'),
    '22 signature 1', 'by the day');
