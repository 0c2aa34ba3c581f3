-- Where a claim begins: beyond what is handled, dead rows and all, and never beyond work that is still to come.

-- Each claim in a transaction of its own, as an engine does it; returns what it handled.
CREATE FUNCTION test.handle(most integer DEFAULT 100, OUT handled text)
LANGUAGE plpgsql
AS $$
DECLARE
    positions constant bigint[] := claim_positions(most, 0);
BEGIN
    SELECT string_agg(e.key, ' ' ORDER BY w.position) INTO handled
      FROM work AS w JOIN event AS e ON e.id = w.event_id WHERE w.position = ANY (positions);
    DELETE FROM work WHERE position = ANY (positions);
END
$$;
CREATE FUNCTION test.begins_at() RETURNS bigint LANGUAGE sql AS $$ SELECT session_number('answerd.work_start') $$;

SELECT test.same(test.begins_at(), 0::bigint, 'a session begins at the first position');
SELECT test.event('a', 1);
SELECT test.same(test.handle(), 'a', 'the first');
SELECT test.event('b', 1);
SELECT test.same(test.handle(), 'b', 'the second');
SELECT test.event('c', 1);
SELECT test.same(test.handle(), 'c', 'the third');
SELECT test.holds(test.begins_at() > 1, 'the session begins where work can still be');

-- Somebody draws a position and takes long to commit; meanwhile others come and are handled, again and again. The late one
-- is found when it comes, and before a later one of its lane.
SELECT test.open('slow');
SELECT test.run('slow', 'BEGIN');
SELECT test.ask('slow', $$SELECT test.event('late', 7)::text$$);
SELECT test.ask('slow', $$SELECT test.event('as late', 7)::text$$);
SELECT test.event('d' || n, 1) FROM generate_series(1, 3) AS n;
SELECT test.same(test.handle(), 'd1 d2 d3', 'others go on');
SELECT test.event('e', 1);
SELECT test.same(test.handle(), 'e', 'and on');
SELECT test.event('f', 1);
SELECT test.same(test.handle(), 'f', 'and on');
SELECT test.run('slow', 'COMMIT');
SELECT test.event('after late', 7);
SELECT test.same(test.handle(1), 'late', 'who took long to commit is not passed over');
SELECT test.same(test.handle(), 'as late after late', 'nor what it brought and could not be handled at once');

-- One that has to wait holds the start, and is not forgotten.
SELECT test.event('waits', 3);
UPDATE work SET retry_at = clock_timestamp() + interval '1 hour';
SELECT test.event('g' || n, 4) FROM generate_series(1, 3) AS n;
SELECT test.same(test.handle(), 'g1 g2 g3', 'who waits delays no other lane');
SELECT test.event('h', 4);
SELECT test.same(test.handle(), 'h', 'again');
UPDATE work SET retry_at = NULL;
SELECT test.same(test.handle(), 'waits', 'its time has come');

-- What a claim costs while somebody holds an old snapshot: with what was handled before, and without.
INSERT INTO work (event_id, event_received_at, lane) SELECT n, now(), n % 5000 FROM generate_series(1, 50000) AS n;
SELECT test.run('slow', 'BEGIN ISOLATION LEVEL REPEATABLE READ');
SELECT test.ask('slow', 'SELECT count(*)::text FROM work');
DELETE FROM work;
SELECT test.event('i', 1);
SELECT test.same(test.handle(), 'i', 'beyond the dead');
SELECT test.event('j', 1);
SELECT test.same(test.handle(), 'j', 'beyond the dead, again');
SELECT test.event('k', 1);
CREATE TABLE cost (remembered bigint, from_first bigint);
INSERT INTO cost SELECT test.pages('SELECT claim_positions(100, 0)');
BEGIN;
SET LOCAL answerd.work_start = '0';
UPDATE cost SET from_first = test.pages('SELECT claim_positions(100, 0)');
COMMIT;
SELECT 'measured: a claim beside 50000 dead rows reads ' || remembered || ' pages, from the first position '
       || from_first FROM cost;
SELECT test.holds((SELECT remembered * 5 < from_first FROM cost), 'the dead are not visited');
SELECT test.run('slow', 'COMMIT');
