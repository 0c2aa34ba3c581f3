-- What an engine reads in each of its rounds: as much as its batch needs, whatever the tables held when a plan for it was made,
-- and however much that is over lies before it as dead rows.

CREATE TABLE cost (step integer GENERATED ALWAYS AS IDENTITY, beside text, what text, pages integer);
-- Rows of `work`, each of a lane of its own; their events are among 2,000.
INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
SELECT n, now(), now(), 'whatsapp', 'message.received', 'k' || n, n,
       jsonb_build_object('contact', jsonb_build_object('identities', jsonb_build_array('whatsapp:' || n)))
  FROM generate_series(1, 2000) AS n;
CREATE FUNCTION test.wait_for(n integer) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO work (event_id, event_received_at, lane)
    SELECT e.id, e.received_at, hashtext(g::text) & 2147483647
      FROM generate_series(1, n) AS g JOIN event AS e ON e.id = g % 2000 + 1 ORDER BY g;
$$;
-- Both steps of a claim.
CREATE FUNCTION test.claim_all(most integer, only_position bigint DEFAULT 0) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    positions constant bigint[] := ARRAY(SELECT e.position FROM claimed_events(claim_positions(most, only_position)) AS e);
BEGIN
    PERFORM claimed_contacts(names_in_events(positions), true);
    RETURN positions;
END
$$;
-- Each claim in a transaction of its own, as an engine does it.
CREATE FUNCTION test.handle(most integer) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    positions constant bigint[] := test.claim_all(most);
BEGIN
    PERFORM engine_commit('{}', positions);
    RETURN cardinality(positions);
END
$$;
CREATE FUNCTION test.first(n integer) RETURNS text
LANGUAGE sql
AS $$ SELECT quote_literal(ARRAY(SELECT position FROM work WHERE position > session_number('answerd.work_start')
                                  ORDER BY position LIMIT n)::text) || '::bigint[]' $$;
CREATE FUNCTION test.measure(beside text, what text, query text) RETURNS void
LANGUAGE sql
AS $$ INSERT INTO cost (beside, what, pages) VALUES (beside, what, test.pages(query)) $$;
-- All that an engine calls, batch after batch.
CREATE FUNCTION test.measure_all(beside text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.measure(beside, 'a claim of 1', 'SELECT test.claim_all(1)');
    PERFORM test.measure(beside, 'a claim of 256', 'SELECT test.claim_all(256)');
    PERFORM test.measure(beside, 'a claim of 256 by an earlier program', 'SELECT * FROM engine_claim(256)');
    PERFORM test.measure(beside, 'noting 256', format('SELECT engine_note_in_flight(7000, %s)', test.first(256)));
    PERFORM test.measure(beside, 'ending 1', format($q$SELECT engine_commit('{}', %s)$q$, test.first(1)));
    PERFORM test.measure(beside, 'ending 256', format($q$SELECT engine_commit('{}', %s)$q$, test.first(256)));
    PERFORM test.measure(beside, 'a conflict of 1', format($q$SELECT engine_load_also(%s, '{whatsapp:1}')$q$, test.first(1)));
    PERFORM test.measure(beside, 'a failure', format($q$SELECT engine_fail((%s)[1], 'no luck', 9, '1 hour')$q$, test.first(1)));
    PERFORM test.measure(beside, 'a claim of 256 beside a lane that waits', 'SELECT test.claim_all(256)');
    PERFORM test.measure(beside, 'parking', format($q$SELECT engine_fail((%s)[1], 'no luck', 1, '1 hour')$q$, test.first(1)));
    UPDATE work SET suspect = true WHERE position = (SELECT min(position) FROM work WHERE retry_at IS NULL);
    PERFORM test.measure(beside, 'a claim of a suspect', 'SELECT test.claim_all(256)');
    UPDATE work SET suspect = false WHERE suspect;
    PERFORM test.measure(beside, 'a claim by position', format('SELECT test.claim_all(1, (%s)[1])', test.first(1)));
    PERFORM test.measure(beside, 'the look for dead workers', 'SELECT engine_blame_crashed(5)');
    PERFORM test.measure(beside, 'firing 1', 'SELECT fire_timers(1)');
    PERFORM test.measure(beside, 'firing none', 'SELECT fire_timers(200)');
END
$$;
SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 20) AS n;
SELECT test.open('worker');
SELECT test.ask('worker', $$SELECT engine_start_worker(7000, 'here')::text$$);

-- Analyzed while they were empty; plans of the session are made; then 200,000 wait.
SELECT test.wait_for(2), test.handle(9);
VACUUM ANALYZE work, timer, engine_worker;
SELECT test.wait_for(2), test.handle(9), fire_timers(1) FROM generate_series(1, 7);
SELECT test.wait_for(200000);
INSERT INTO timer (id, name, due_at, lane) SELECT n, 'later', now() + n * interval '1 hour', 1 FROM generate_series(1, 200000) AS n;
INSERT INTO timer (id, name, due_at, lane) VALUES (-1, 'now', now(), 1);
SELECT test.measure_all('200000 rows that came since the tables were analyzed');

-- All of that is over, and so are 300,000 more of which each was in trouble once; but somebody still sees it. Analyzed now, and
-- again with what waits after it.
SELECT test.open('slow');
INSERT INTO work (event_id, event_received_at, lane, retry_at, suspect)
SELECT n, now(), hashtext(n::text) & 2147483647, CASE WHEN n % 3 = 0 THEN now() END, n % 3 = 1 FROM generate_series(1, 300000) AS n;
INSERT INTO timer (id, name, due_at, lane) SELECT -n - 1, 'x', now(), 1 FROM generate_series(1, 300000) AS n;
DO $$ BEGIN FOR i IN 1 .. 2000 LOOP PERFORM engine_note_in_flight(7000, ARRAY[i]); COMMIT; END LOOP; END $$;
SELECT test.run('slow', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT test.ask('slow', 'SELECT count(*)::text FROM work');
DELETE FROM work;
DELETE FROM timer;
DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM engine_note_in_flight(7000, ARRAY[i]); COMMIT; END LOOP; END $$;
ANALYZE work, timer, engine_worker;
CREATE FUNCTION test.one_round(id bigint) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO timer (id, name, due_at, lane) VALUES (id, 'now', now(), 1);
    SELECT test.wait_for(2);
$$;
SELECT test.one_round(1); SELECT fire_timers(9); SELECT test.handle(9);
SELECT test.one_round(2); SELECT fire_timers(9); SELECT test.handle(9);
SELECT test.one_round(3); SELECT fire_timers(9); SELECT test.handle(9);
SELECT test.wait_for(2000);
INSERT INTO timer (id, name, due_at, lane) VALUES (4, 'now', now(), 1);
SELECT test.measure_all('300000 dead rows');
ANALYZE work, timer, engine_worker;
INSERT INTO timer (id, name, due_at, lane) VALUES (5, 'now', now(), 1);
SELECT test.measure_all('300000 dead rows, and analyzed since');
SELECT test.run('slow', 'COMMIT');

SELECT 'measured: beside ' || beside || ': ' || string_agg(what || ' ' || pages, ', ' ORDER BY step) || ' pages' FROM cost
 GROUP BY beside ORDER BY min(step);
-- An event takes some thirty pages, fifty when one has to look whether its lane waits; a batch of one takes some more.
SELECT test.same((SELECT string_agg(what || ' ' || pages || ' pages beside ' || beside, ', ' ORDER BY step) FROM cost
                   WHERE pages > CASE WHEN what LIKE '% 256%' THEN 13000 ELSE 400 END), NULL, 'no more than its batch needs');
