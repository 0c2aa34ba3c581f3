-- Timers: whatever sessions do at the same time, each of them finds by itself all that is due, and nothing fires twice.
\ir players.sql

-- What has become of each timer is told by the transactions that did it.
CREATE TABLE test.armed (id bigint);
CREATE TABLE test.canceled (id bigint);
CREATE SEQUENCE test.timer_id;

-- As if its last look from the very first timer on were a moment ago, or was never: only then may it find what a clock that was
-- set back had hidden.
CREATE FUNCTION test.looks(anew boolean) RETURNS void
LANGUAGE sql
AS $$ SELECT set_config('answerd.timer_looked_at', CASE WHEN anew THEN '' ELSE now()::text END, false) $$;
CREATE FUNCTION test.arm(due_at timestamptz, written timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
AS $$
    WITH new AS (INSERT INTO timer (id, name, due_at, lane)
                 VALUES (nextval('test.timer_id'), CASE WHEN written IS NULL THEN 't' ELSE 'hidden' END, due_at, 1) RETURNING id)
    INSERT INTO test.armed SELECT id FROM new RETURNING id
$$;
CREATE FUNCTION test.hide(timer_id bigint) RETURNS bigint
LANGUAGE sql AS $$ UPDATE timer SET counts_from = '2020-01-01' WHERE id = timer_id RETURNING id $$;
CREATE FUNCTION test.cancel(timer_id bigint) RETURNS bigint
LANGUAGE sql
AS $$
    WITH gone AS (DELETE FROM timer WHERE id = timer_id RETURNING id)
    INSERT INTO test.canceled SELECT id FROM gone RETURNING id
$$;
-- All that one session finds by itself; what is over when it is rolled back.
CREATE FUNCTION test.fire_all() RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    most constant integer := 1 + floor(random() * 5)::integer;
    n bigint;
    total bigint := 0;
BEGIN
    LOOP
        n := (SELECT fired FROM fire_timers(most));
        EXIT WHEN n = 0;
        total := total + n;
    END LOOP;
    RETURN total;
END
$$;
-- The plain model: what is due.
CREATE FUNCTION test.due(hidden boolean) RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(id::text, ' ' ORDER BY id), '')
      FROM timer WHERE due_at <= clock_timestamp() AND (hidden OR name <> 'hidden')
$$;

CREATE FUNCTION test.play_timers(players text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    when_due constant text[] := ARRAY['''2020-01-01''', 'now()', 'clock_timestamp()', 'now() + interval ''20 ms''',
                                      'now() + interval ''1 hour'''];
    player text;
    which bigint;
    not_due text;
BEGIN
    FOR step IN 1 .. 40 LOOP
        player := test.one_of(VARIADIC players);
        which := (SELECT id FROM timer ORDER BY random() LIMIT 1);
        CASE floor(random() * 14)::integer
            WHEN 0, 1, 2 THEN PERFORM test.plays(player, format('SELECT test.arm(%s)::text', test.one_of(VARIADIC when_due)));
            WHEN 3 THEN PERFORM test.plays(player, format('UPDATE timer SET due_at = %s WHERE id = %s RETURNING id::text',
                                                          test.one_of(VARIADIC when_due), coalesce(which, 0)));
            WHEN 4 THEN PERFORM test.plays(player, format('SELECT test.cancel(%s)::text', coalesce(which, 0)));
            WHEN 5 THEN
                IF random() < 0.3 THEN
                    PERFORM test.plays(player, 'SELECT test.hide(test.arm(''2020-01-01'', ''2020-01-01''))::text');
                END IF;
            WHEN 6, 7, 8 THEN
                PERFORM test.plays(player, format('SELECT test.looks(%L)::text', random() < 0.1));
                PERFORM test.plays(player, format('SELECT fired::text FROM fire_timers(%s)', 1 + floor(random() * 4)::integer));
            WHEN 9, 10 THEN
                -- A busy one, beside others that take long: its start moves on.
                player := test.one_of(VARIADIC players[2:]);
                FOR i IN 1 .. 3 LOOP
                    PERFORM test.leaves(player, 'COMMIT'), test.plays(player, 'SELECT test.arm(now())::text'),
                            test.plays(player, 'SELECT test.looks(false)::text'),
                            test.plays(player, format('SELECT fired::text FROM fire_timers(%s)', test.one_of(1, 100)));
                END LOOP;
            ELSE PERFORM test.moves(player, 'SELECT count(*)::text FROM timer');
        END CASE;
    END LOOP;

    PERFORM test.all_leave(players), pg_sleep(0.02);
    FOREACH player IN ARRAY players LOOP
        PERFORM test.enters(player, false, NULL), test.plays(player, 'SELECT test.looks(false)::text'),
                test.plays(player, 'SELECT test.fire_all()::text');
        PERFORM test.still(test.ask(player, 'SELECT test.due(false)'), '', format('%s finds all that is due', player));
        PERFORM test.plays(player, 'SELECT test.looks(true)::text'), test.plays(player, 'SELECT fired::text FROM fire_timers(1)'),
                test.plays(player, 'SELECT test.looks(false)::text'), test.plays(player, 'SELECT test.fire_all()::text');
        PERFORM test.still(test.ask(player, 'SELECT test.due(true)'), '', format('%s finds what a wrong clock had hidden', player));
        not_due := (SELECT count(*) FROM timer WHERE due_at > clock_timestamp())::text;
        PERFORM test.still(test.ask(player, 'SELECT count(*)::text FROM timer'), not_due, 'and nothing else');
        PERFORM test.leaves(player, 'ROLLBACK');
    END LOOP;
    -- Each is waiting, canceled, or has fired; once.
    PERFORM test.still((SELECT string_agg(id || ' ' || places, ', ') FROM (
        SELECT id, string_agg(place, '+') AS places FROM (
            SELECT id, 'waiting' AS place FROM timer UNION ALL SELECT id, 'canceled' FROM test.canceled
             UNION ALL SELECT (doc #>> '{timer,id}')::bigint, 'fired' FROM event WHERE type IN ('timer.t', 'timer.hidden')) AS x
         RIGHT JOIN test.armed USING (id) GROUP BY id) AS y WHERE places IS NULL OR places ~ '\+'), NULL, 'each once');
END
$$;

SELECT 'measured: ' || test.play('test.play_timers', :seed, coalesce(nullif(:'rounds', '')::integer, 12));
SELECT 'measured: ' || count(*) || ' timers, ' || (SELECT count(*) FROM event) || ' fired, ' || (SELECT count(*) FROM test.canceled)
       || ' canceled' FROM test.armed;
SELECT test.holds((SELECT bool_or(isfinite(test.ask(p, $q$SELECT session_moment('answerd.timer_start')::text$q$)::timestamptz))
                     FROM unnest(ARRAY['p1', 'p2', 'p3', 'p4']) AS p), 'starts have moved');
