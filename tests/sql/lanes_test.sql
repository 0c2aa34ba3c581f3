-- The engine's claim: order within a lane, one engine for a lane, and nobody waits for strangers.

-- Order: what was acknowledged first comes first, whatever the lane; rows of one batch keep their order.
SELECT ingest_append(ARRAY[1], ARRAY['s'], ARRAY['{}'], ARRAY[''::bytea], ARRAY[NULL], 1, ARRAY[1, 1, 1, 1],
    ARRAY[11, 12, 13, 14],
                     ARRAY['t', 't', 't', 't'], ARRAY['d', 'c', 'b', 'a'], ARRAY[7, 8, 7, 9], ARRAY[NULL, NULL, NULL,
                         NULL]::text[],
                     ARRAY['{}', '{}', '{}', '{}']);
BEGIN;
SELECT test.same(test.claim(10), 'd c b a', 'the order of the batch');
ROLLBACK;
BEGIN;
SELECT test.same(test.claim(2), 'd b', 'the limit takes the oldest and what follows it in its lane');
ROLLBACK;

-- Two engines: the second gets what the first does not hold, and the rest of a held lane only after the commit.
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN');
SELECT test.same(test.ask('a', 'SELECT test.claim(1)'), 'd', 'the first engine takes the oldest');
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', 'SELECT test.claim(10)'), 'c a', 'the second engine passes over the lane of the first');
SELECT test.run('b', 'ROLLBACK');
SELECT test.ask('a', $$SELECT engine_commit('{}', (SELECT array_agg(position) FROM work WHERE event_id = 11))::text$$);
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', 'SELECT test.claim(10)'), 'c a', 'not before the first engine commits');
SELECT test.run('b', 'ROLLBACK'), test.run('a', 'COMMIT');
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', 'SELECT test.claim(10)'), 'c b a', 'then the lane goes on');
SELECT test.run('b', 'ROLLBACK');

-- Two lanes in one bucket share its lock and nothing else.
SELECT test.event('other', 7 + 512);
SELECT test.run('a', 'BEGIN');
SELECT test.same(test.ask('a', 'SELECT test.claim(1, (SELECT max(position) FROM work))'), 'other',
    'one event by its position');
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', 'SELECT test.claim(10)'), 'c a', 'a bucket is held as a whole');
SELECT test.run('a', 'ROLLBACK'), test.run('b', 'ROLLBACK');

-- A position is refused while its lane has something older to do.
BEGIN;
SELECT test.event('b2', 7);
SELECT test.same(test.claim(1, (SELECT max(position) FROM work)), '', 'not before the older one of its lane');
ROLLBACK;

-- A failed event blocks its lane, no other, not even in its bucket; then it is parked and its lane goes on.
SELECT test.same(engine_fail((SELECT position FROM work WHERE event_id = 13), 'no luck', 3, interval '1 hour'), false,
    'the first failure waits');
SELECT test.event('b3', 7);
BEGIN;
SELECT test.same(test.claim(10), 'c a other', 'a failed event holds up its own lane only');
ROLLBACK;
UPDATE work SET retry_at = now() - interval '1 second' WHERE event_id = 13;
BEGIN;
SELECT test.same(test.claim(10), 'c b a other b3', 'after its time it comes again, in its place');
ROLLBACK;
SELECT test.same(engine_fail((SELECT position FROM work WHERE event_id = 13), 'no luck', 3, interval '1 hour'), false,
    'the second failure waits');
SELECT test.same(engine_fail((SELECT position FROM work WHERE event_id = 13), 'no luck', 3, interval '1 hour'), true,
    'the third one parks');
SELECT test.same((SELECT attempts::text || ' ' || problem FROM parked_event WHERE event_id = 13), '3 no luck',
    'parked with its story');
BEGIN;
SELECT test.same(test.claim(10), 'c a other b3', 'the lane goes on without it');
ROLLBACK;
SELECT test.holds(unpark_event(13), 'a parked event can be put back');
SELECT test.same(test.claim(10), 'c a other b3 b', 'it comes after what waited');

-- A worker that died: what it had in hand is handled alone, and parked when that happens again and again.
SELECT test.ask('a', $$SELECT engine_start_worker(4000, 'here')::text$$);
SELECT test.ask('a', $$SELECT engine_note_in_flight(4000, (SELECT array_agg(position) FROM work WHERE event_id IN (12,
    14)))::text$$);
SELECT test.same(engine_blame_crashed(), 0::bigint, 'a living worker is not blamed');
SELECT test.close('a'), test.until_unlocked(4204, worker_lock_key(4000)::oid);
SELECT test.same(engine_blame_crashed(), 2::bigint, 'a dead one is');
SELECT test.same((SELECT string_agg(event_id || ':' || attempts, ' ' ORDER BY position) FROM work WHERE suspect),
    '12:0 14:0', 'both are suspect, and neither is found guilty: they were not alone');
BEGIN;
SELECT test.same(test.claim(10), 'c', 'a suspect comes alone');
SELECT test.run('b', 'BEGIN');
SELECT test.same(test.ask('b', 'SELECT test.claim(10)'), 'a', 'another engine takes the next suspect, alone');
SELECT test.run('b', 'ROLLBACK');
ROLLBACK;
UPDATE work SET attempts = 2 WHERE suspect;
SELECT test.open('a');
SELECT test.ask('a', $$SELECT engine_note_in_flight(5000, (SELECT array_agg(position) FROM work
    WHERE event_id = 12))::text$$);
SELECT test.close('a'), test.until_unlocked(4204, worker_lock_key(5000)::oid);
SELECT test.same(engine_blame_crashed(3), 1::bigint, 'the third death over it alone');
SELECT test.holds((SELECT problem LIKE '%died%' FROM parked_event WHERE event_id = 12), 'parks it');

-- It is blamed for what it had in hand at last, not for what it had before: neither earlier, nor before it lost its connection.
TRUNCATE work;
SELECT test.event('bad', 21), test.event('good', 22);
SELECT test.open('a'), test.ask('a', $$SELECT engine_start_worker(6000, 'here')::text$$);
SELECT test.ask('a', $$SELECT engine_note_in_flight(6000, (SELECT array_agg(position) FROM work))::text$$),
       test.ask('a', $$SELECT engine_note_in_flight(6000, (SELECT array_agg(position) FROM work WHERE lane = 21))::text$$);
SELECT test.close('a'), test.until_unlocked(4204, worker_lock_key(6000)::oid);
SELECT test.same(engine_blame_crashed(), 1::bigint, 'one was in hand');
SELECT test.same((SELECT string_agg(lane::text, ' ') FROM work WHERE suspect), '21', 'the last one');
SELECT test.open('a'), test.ask('a', $$SELECT engine_start_worker(6000, 'here')::text$$);
SELECT test.ask('a', $$SELECT engine_note_in_flight(6000, (SELECT array_agg(position) FROM work))::text$$);
SELECT test.close('a'), test.until_unlocked(4204, worker_lock_key(6000)::oid);
SELECT test.open('a'), test.ask('a', $$SELECT engine_start_worker(6000, 'here')::text$$);
SELECT test.ask('a', $$SELECT engine_note_in_flight(6000, (SELECT array_agg(position) FROM work WHERE lane = 21))::text$$);
SELECT test.close('a'), test.until_unlocked(4204, worker_lock_key(6000)::oid);
SELECT test.same(engine_blame_crashed(), 1::bigint, 'one was in hand when it died');
SELECT test.same((SELECT string_agg(lane || ' ' || suspect || ' ' || attempts, ', ' ORDER BY lane) FROM work), '21 true 1, 22 false 0', 'and it was alone');

-- Suspects that wait in their lane, however many, delay no other suspect.
TRUNCATE work;
INSERT INTO work (event_id, event_received_at, lane, suspect)
SELECT e.id, e.received_at, 3, true FROM event AS e, generate_series(1, 40) WHERE e.id = 11;
SELECT engine_fail((SELECT min(position) FROM work), 'no luck', 5, interval '1 hour');
SELECT test.event('another suspect', 4), test.event('behind it', 4);
UPDATE work SET suspect = true WHERE position = (SELECT min(position) FROM work WHERE lane = 4);
BEGIN;
SELECT test.same(test.claim(10), 'another suspect', 'its lane does not wait for theirs');
ROLLBACK;

-- One lane with a long queue leaves room for others, and a blocked one takes none.
TRUNCATE work;
INSERT INTO work (event_id, event_received_at, lane) SELECT e.id, e.received_at, 3 FROM event AS e, generate_series(1,
    2000) WHERE e.id = 11;
SELECT test.event('late ' || n, 100 + n) FROM generate_series(1, 20) AS n;
BEGIN;
SELECT test.holds((SELECT count(*) FILTER (WHERE k = 'd') BETWEEN 30 AND 50
                          AND count(*) FILTER (WHERE k LIKE 'late') > 10
                     FROM unnest(string_to_array(test.claim(64), ' ')) AS k), 'a hot lane shares the batch');
ROLLBACK;
SELECT engine_fail((SELECT min(position) FROM work), 'no luck', 5, interval '1 hour');
BEGIN;
SELECT test.same((SELECT count(*) FROM unnest(string_to_array(test.claim(64), ' ')) AS k WHERE k = 'd'), 0::bigint,
    'a blocked lane takes nothing');
ROLLBACK;
BEGIN;
SELECT test.same((SELECT count(*) FROM unnest(string_to_array(test.claim(64), ' ')) AS k WHERE k = 'late'), 20::bigint,
    'and hides nobody');
ROLLBACK;

-- An event whose partition is gone is parked and does not come up again.
TRUNCATE work;
INSERT INTO work (event_id, event_received_at, lane) VALUES (424242, now(), 3);
SELECT test.same(test.claim(10), '', 'there is nothing to handle');
SELECT test.same((SELECT count(*) FROM work), 0::bigint, 'and nothing stays');
SELECT test.same((SELECT problem FROM parked_event WHERE event_id = 424242), 'the event is gone', 'but it can be seen');

-- Surveys: the last of each name for its cooldown, and the conversation of a question that may still be answered.
SELECT test.contact(5000, 'whatsapp:50');
INSERT INTO conversation (id, contact_id, source, identity, reference, state, updated_at)
SELECT 5010 + n, 5000, 'whatsapp', 'whatsapp:50', n::text, 'resolved', now() - interval '1 hour' * n
  FROM generate_series(1, 8) AS n;
INSERT INTO survey (id, name, conversation_id, contact_id, episode, state, asked_at)
VALUES (5101, 'yearly', 5011, 5000, 1, 'expired', now() - interval '100 days'),
       (5102, 'yearly', 5012, 5000, 1, 'expired', now() - interval '90 days'),
       (5103, 'csat', 5018, 5000, 1, 'asked', now() - interval '1 day');
DELETE FROM work;
SELECT test.event('s1', 50, '{"contact": {"identities": ["whatsapp:50"]}}');
BEGIN;
CREATE TEMPORARY TABLE facts AS SELECT (cases->0)::jsonb AS facts FROM engine_claim(10);
SELECT test.same((SELECT string_agg(s->>'id', ' ') FROM facts, jsonb_array_elements(facts->'surveys') AS s), '5102 5103',
    'the last of each survey');
SELECT test.holds((SELECT count(*) = 1 FROM facts, jsonb_array_elements(facts->'conversations') AS v
    WHERE v->>'id' = '5018'), 'the conversation of an open question, behind five newer ones');
ROLLBACK;
