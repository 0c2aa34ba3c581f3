-- Several sessions that do random things in turn, for tests that compare what is claimed with a plain model of it. One seed
-- gives one order of steps; what the clock says is not its. Include it with \ir.
--
-- The session of the test itself draws no transaction number while they play: it would keep every start where it is.

SELECT set_config('test.steps', '', false), set_config('test.step_count', '0', false);

-- The sessions, each in no transaction ('no'), in one ('yes'), or in one that holds on to what it saw first ('old').
CREATE FUNCTION test.join_play(player text) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.open(player);
    -- Nobody waits for anybody here: who would have to wait gives up what it did.
    SELECT test.run(player, 'SET lock_timeout = ''20ms''');
    SELECT set_config('test.inside_' || player, 'no', false);
$$;
CREATE FUNCTION test.players(number integer) RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    names constant text[] := ARRAY(SELECT 'p' || n FROM generate_series(1, number) AS n);
BEGIN
    PERFORM test.join_play(p) FROM unnest(names) AS p;
    RETURN names;
END
$$;
CREATE FUNCTION test.inside(player text) RETURNS text
LANGUAGE sql AS $$ SELECT current_setting('test.inside_' || player) $$;

CREATE FUNCTION test.remember_step(step text) RETURNS void
LANGUAGE sql
AS $$
    SELECT set_config('test.steps', right(current_setting('test.steps') || E'\n    ' || step, 12000), false),
           set_config('test.step_count', (current_setting('test.step_count')::integer + 1)::text, false)
$$;

-- What the statement of this player returns; NULL when somebody held what it needed, and its transaction is over then.
CREATE FUNCTION test.plays(player text, query text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    answer text;
BEGIN
    BEGIN
        answer := test.ask(player, query);
    EXCEPTION WHEN lock_not_available OR serialization_failure OR deadlock_detected THEN
        PERFORM test.remember_step(player || ': ' || query || ' -- gave up: ' || sqlerrm);
        PERFORM test.leaves(player, 'ROLLBACK');
        RETURN NULL;
    END;
    PERFORM test.remember_step(player || ': ' || query || ' -- ' || coalesce(answer, 'nothing'));
    RETURN answer;
END
$$;
CREATE FUNCTION test.enters(player text, old boolean, look text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.remember_step(player || ': BEGIN' || CASE WHEN old THEN ' ISOLATION LEVEL REPEATABLE READ' ELSE '' END);
    PERFORM test.run(player, 'BEGIN ISOLATION LEVEL ' || CASE WHEN old THEN 'REPEATABLE READ' ELSE 'READ COMMITTED' END);
    IF old THEN
        PERFORM test.ask(player, look);
    END IF;
    PERFORM set_config('test.inside_' || player, CASE WHEN old THEN 'old' ELSE 'yes' END, false);
END
$$;
CREATE FUNCTION test.leaves(player text, how text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF test.inside(player) <> 'no' THEN
        PERFORM test.remember_step(player || ': ' || how);
        PERFORM test.run(player, how);
        PERFORM set_config('test.inside_' || player, 'no', false);
    END IF;
END
$$;
CREATE FUNCTION test.begins_anew(player text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.remember_step(player || ': begins anew');
    PERFORM test.close(player), test.join_play(player);
END
$$;
-- One step of those that have nothing to do with what is played; `look` is a query of it. The first player takes long to end
-- what it began.
CREATE FUNCTION test.moves(player text, look text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF random() < 0.04 THEN
        PERFORM test.begins_anew(player);
    ELSIF test.inside(player) = 'no' THEN
        PERFORM test.enters(player, random() < 0.3, look);
    ELSIF player <> 'p1' OR random() < 0.1 THEN
        PERFORM test.leaves(player, CASE WHEN random() < 0.7 THEN 'COMMIT' ELSE 'ROLLBACK' END);
    END IF;
END
$$;
CREATE FUNCTION test.all_leave(players text[]) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.leaves(p, CASE WHEN random() < 0.7 THEN 'COMMIT' ELSE 'ROLLBACK' END)
      FROM (SELECT p FROM unnest(players) AS p ORDER BY random()) AS shuffled
$$;
CREATE FUNCTION test.one_of(VARIADIC choices anyarray) RETURNS anyelement
LANGUAGE sql AS $$ SELECT choices[1 + floor(random() * cardinality(choices))::integer] $$;

-- A promise; when it does not hold, the seed and the last steps tell how it came to that.
CREATE FUNCTION test.still(actual anycompatible, expected anycompatible, what text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION E'%\n  expected %\n  got      %\n  ANSWERD_SEED=%, after the steps%', what, expected, actual,
            current_setting('test.seed'), current_setting('test.steps');
    END IF;
END
$$;

-- Plays all rounds; each one is a call of `round`.
CREATE FUNCTION test.play(round text, seed integer, rounds integer) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    players constant text[] := test.players(4);
BEGIN
    PERFORM set_config('test.seed', seed::text, false), setseed(seed % 10000 / 10000.0);
    FOR n IN 1 .. rounds LOOP
        EXECUTE format('SELECT %s($1)', round) USING players;
    END LOOP;
    RETURN format('%s steps of seed %s', current_setting('test.step_count'), seed);
END
$$;
