-- Work that a program noted before migration 0127, whose worker dies when that was applied: a rolling upgrade.
-- Begins after migration 0126: the sessions below are those of running programs, and go on while the others are applied.

CREATE FUNCTION test.note(session text, worker bigint, keys text) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.ask(session, format('SELECT engine_note_in_flight(%s, ARRAY(SELECT w.position FROM work AS w
        JOIN event AS e ON e.id = w.event_id WHERE e.key = ANY (string_to_array(%L, '' '')) ORDER BY 1))::text', worker, keys))
$$;
-- The keys of what is suspect, each with its count of crashes.
CREATE FUNCTION test.suspects() RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(e.key || ':' || w.attempts, ' ' ORDER BY w.position), '')
      FROM work AS w JOIN event AS e ON e.id = w.event_id WHERE w.suspect
$$;
CREATE FUNCTION test.dies(session text, worker bigint) RETURNS void
LANGUAGE sql
AS $$ SELECT test.close(session); SELECT test.until_unlocked(4204, worker_lock_key(worker)::oid) $$;

SELECT test.event(key, lane)
  FROM (VALUES ('a', 1), ('a2', 1), ('b', 2), ('c', 3), ('d', 4), ('e', 5), ('f', 6), ('g', 7)) AS v (key, lane);
SELECT test.open(s) FROM unnest(ARRAY['early', 'goes on', 'alone', 'idle']) AS s;
SELECT test.ask('early', 'SELECT engine_start_worker(1000, $$here$$)::text'),
       test.ask('goes on', 'SELECT engine_start_worker(2000, $$here$$)::text'),
       test.ask('alone', 'SELECT engine_start_worker(3000, $$here$$)::text'),
       test.ask('idle', 'SELECT engine_start_worker(4000, $$here$$)::text');
SELECT test.note('early', 1000, 'a b'), test.note('goes on', 2000, 'c d'), test.note('alone', 3000, 'e');
SELECT test.note('idle', 4000, 'g'), test.note('idle', 4000, '');

\i :later_migrations

SELECT test.same((SELECT string_agg(w.id || ' ' || cardinality(w.in_flight), ', ' ORDER BY w.id) FROM engine_worker AS w),
    '1000 2, 2000 2, 3000 1, 4000 0', 'what was noted before stands where it was noted');
SELECT test.same(engine_blame_crashed(), 0::bigint, 'the migration ended nobody');

-- One dies with what it had noted before, nothing since.
SELECT test.dies('early', 1000);
SELECT test.same(engine_blame_crashed(), 2::bigint, 'what it had in hand');
SELECT test.same(test.suspects(), 'a:0 b:0', 'is suspect, and not found guilty: it was not alone');
SELECT test.same(engine_blame_crashed(), 0::bigint, 'once');
BEGIN;
SELECT test.same(test.claim(10), 'a', 'it is handled alone');
SELECT test.open('other'), test.run('other', 'BEGIN');
SELECT test.same(test.ask('other', 'SELECT test.claim(10)'), 'b', 'each of it');
SELECT test.open('third'), test.run('third', 'BEGIN');
SELECT test.same(test.ask('third', 'SELECT test.claim(10)'), 'c d e f g', 'before what comes after it in its lane');
SELECT test.run('other', 'ROLLBACK'), test.run('third', 'ROLLBACK');
ROLLBACK;
UPDATE work SET suspect = false;

-- One notes its next batch as programs do now, in the session that it had: what was noted before is over.
SELECT test.note('goes on', 2000, 'f');
SELECT test.same((SELECT string_agg(w.id || ' ' || cardinality(w.in_flight), ', ' ORDER BY w.id) FROM engine_worker AS w),
    '2000 0, 3000 1, 4000 0', 'its former batch is no longer noted');
SELECT test.dies('goes on', 2000);
SELECT test.same(engine_blame_crashed(), 1::bigint, 'only its last batch');
SELECT test.same(test.suspects(), 'f:0', 'is suspect');

-- One died over an event that it handled alone, again and again, the last time before the migration.
UPDATE work AS w SET suspect = true, attempts = 4 FROM event AS e WHERE e.id = w.event_id AND e.key = 'e';
SELECT test.dies('alone', 3000);
SELECT test.same(engine_blame_crashed(5), 1::bigint, 'the fifth death over it alone');
SELECT test.same((SELECT e.key || ' ' || p.problem FROM parked_event AS p JOIN event AS e ON e.id = p.event_id),
    'e the engine died each time it handled this', 'parks it');

-- One that had nothing in hand leaves nothing behind.
SELECT test.dies('idle', 4000);
SELECT test.same(engine_blame_crashed(), 0::bigint, 'nobody is blamed for it');
SELECT test.same((SELECT count(*) FROM engine_worker), 0::bigint, 'all are gone');
