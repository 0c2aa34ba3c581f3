-- Work: whatever sessions do at the same time, each of them finds by itself all that is not kept back, and each lane goes in order.
\ir players.sql

CREATE TABLE test.done (event_id bigint);
CREATE SEQUENCE test.event_number;

CREATE FUNCTION test.come(lane integer) RETURNS bigint
LANGUAGE sql AS $$ SELECT test.event('k' || nextval('test.event_number'), lane) $$;
-- Positions that a claim gave; with a '?' when one of them was not the first of its lane, or is not there.
CREATE FUNCTION test.take(most integer) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    claimed constant bigint[] := claim_positions(most, 0);
BEGIN
    RETURN coalesce(array_to_string(claimed, ' '), '')
           || CASE WHEN (SELECT count(*) FROM work WHERE position = ANY (claimed)) = cardinality(claimed)
                    AND NOT EXISTS (SELECT FROM work AS w JOIN work AS b ON b.lane = w.lane AND b.position < w.position
                                     WHERE w.position = ANY (claimed) AND b.position <> ALL (claimed))
                   THEN '' ELSE ' ?' END;
END
$$;
CREATE FUNCTION test.finish(positions text) RETURNS bigint
LANGUAGE sql
AS $$
    INSERT INTO test.done SELECT event_id FROM work WHERE position = ANY (string_to_array(positions, ' ')::bigint[]);
    SELECT engine_commit('{}', string_to_array(positions, ' ')::bigint[]);
    SELECT cardinality(string_to_array(positions, ' '))::bigint
$$;
-- All that one session finds by itself.
CREATE FUNCTION test.take_all() RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    most constant integer := 1 + floor(random() * 6)::integer;
    positions text;
    total bigint := 0;
BEGIN
    LOOP
        positions := test.take(most);
        IF positions LIKE '%?' THEN
            RETURN 'out of order: ' || positions;
        END IF;
        EXIT WHEN positions = '';
        total := total + test.finish(positions);
    END LOOP;
    RETURN total::text;
END
$$;
-- The plain model: what nobody in its lane keeps back.
CREATE FUNCTION test.ready() RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(position::text, ' ' ORDER BY position), '') FROM work AS w
     WHERE NOT EXISTS (SELECT FROM work AS b
                        WHERE b.lane = w.lane AND b.position <= w.position AND b.retry_at > clock_timestamp())
$$;
CREATE FUNCTION test.in_hand(player text) RETURNS text
LANGUAGE sql AS $$ SELECT coalesce(current_setting('test.in_hand_' || player, true), '') $$;

-- A claim with what follows in the same transaction, now or at its end.
CREATE FUNCTION test.claims(player text, players text[], most integer) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    positions text;
BEGIN
    positions := test.plays(player, format('SELECT test.take(%s)', most));
    IF positions <> '' THEN
        PERFORM test.still(positions LIKE '%?', false, player || ' claims what is first in its lane');
        PERFORM test.still((SELECT string_agg(p, ' ') FROM unnest(players) AS p
                             WHERE p <> player AND test.inside(p) <> 'no'
                               AND string_to_array(test.in_hand(p), ' ') && string_to_array(positions, ' ')), NULL,
                           'nobody else has in hand ' || positions);
        PERFORM set_config('test.in_hand_' || player, positions, false);
    END IF;
END
$$;
CREATE FUNCTION test.ends(player text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF test.inside(player) <> 'no' AND test.in_hand(player) <> '' THEN
        IF random() < current_setting('test.trouble')::float8 THEN
            PERFORM test.plays(player, format('SELECT engine_fail(%s, ''no luck'', %s, ''1 hour'')::text',
                                              split_part(test.in_hand(player), ' ', 1), test.one_of(1, 9, 9)));
        ELSE
            PERFORM test.plays(player, format('SELECT test.finish(%L)::text', test.in_hand(player)));
        END IF;
    END IF;
    PERFORM set_config('test.in_hand_' || player, '', false);
    PERFORM test.leaves(player, CASE WHEN random() < 0.8 THEN 'COMMIT' ELSE 'ROLLBACK' END);
END
$$;

CREATE FUNCTION test.play_work(players text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    player text;
    which bigint;
BEGIN
    -- In most rounds all goes well and nothing waits for long: only then do starts move on.
    PERFORM set_config('test.trouble', test.one_of('0'::text, '0', '0.2'), false);
    IF current_setting('test.trouble') = '0' THEN
        player := test.one_of(VARIADIC players);
        PERFORM test.run(player, 'UPDATE work SET retry_at = NULL, suspect = false WHERE retry_at IS NOT NULL OR suspect'),
                test.enters(player, false, NULL), test.plays(player, 'SELECT test.take_all()'), test.leaves(player, 'COMMIT');
    END IF;
    FOR step IN 1 .. 40 LOOP
        player := test.one_of(VARIADIC players);
        CASE floor(random() * 14)::integer
            WHEN 0, 1, 2 THEN PERFORM test.plays(player, format('SELECT test.come(%s)::text', 1 + floor(random() * 6)::integer));
            WHEN 3 THEN
                which := (SELECT position FROM work WHERE current_setting('test.trouble') <> '0' ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('UPDATE work SET suspect = true WHERE position = %s RETURNING position::text',
                                                  coalesce(which, 0)));
            WHEN 4 THEN
                which := (SELECT position FROM work WHERE retry_at IS NOT NULL ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('UPDATE work SET retry_at = now() WHERE position = %s RETURNING position::text',
                                                  coalesce(which, 0)));
            WHEN 5 THEN
                which := (SELECT event_id FROM parked_event ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('SELECT unpark_event(%s)::text', coalesce(which, 0)));
            WHEN 6, 7 THEN
                IF test.inside(player) = 'no' THEN
                    PERFORM test.enters(player, false, NULL), test.claims(player, players, test.one_of(1, 2, 5));
                END IF;
            WHEN 8, 9 THEN
                -- A busy one, beside others that take long: its start moves on.
                player := test.one_of(VARIADIC players[2:]);
                FOR i IN 1 .. 3 LOOP
                    PERFORM test.ends(player), test.plays(player, format('SELECT test.come(%s)::text', 7 + floor(random() * 2)::integer));
                    PERFORM test.enters(player, false, NULL), test.claims(player, players, test.one_of(2, 100, 100)),
                            test.ends(player);
                END LOOP;
            WHEN 10 THEN
                IF player <> 'p1' THEN
                    PERFORM test.ends(player);
                END IF;
            ELSE
                PERFORM set_config('test.in_hand_' || player, '', false);
                PERFORM test.moves(player, 'SELECT count(*)::text FROM work');
        END CASE;
    END LOOP;

    PERFORM test.all_leave(players), set_config('test.in_hand_' || p, '', false) FROM unnest(players) AS p;
    FOREACH player IN ARRAY players LOOP
        PERFORM test.enters(player, false, NULL);
        PERFORM test.still(test.plays(player, 'SELECT test.take_all()') LIKE 'out%', false, 'each lane goes in order');
        PERFORM test.still(test.ask(player, 'SELECT test.ready()'), '', format('%s finds all that nobody keeps back', player));
        PERFORM test.leaves(player, 'ROLLBACK');
    END LOOP;
    -- Each event that came is waiting, parked, or was handled; once.
    PERFORM test.still((SELECT string_agg(id || ' ' || places, ', ') FROM (
        SELECT e.id, string_agg(x.place, '+') AS places FROM (
            SELECT event_id, 'waiting' AS place FROM work UNION ALL SELECT event_id, 'parked' FROM parked_event
             UNION ALL SELECT event_id, 'handled' FROM test.done) AS x
         RIGHT JOIN event AS e ON e.id = x.event_id GROUP BY e.id) AS y WHERE places IS NULL OR places ~ '\+'), NULL, 'each once');
END
$$;

SELECT 'measured: ' || test.play('test.play_work', :seed, coalesce(nullif(:'rounds', '')::integer, 12));
SELECT 'measured: ' || count(*) || ' events, ' || (SELECT count(*) FROM test.done) || ' handled, ' || (SELECT count(*) FROM parked_event)
       || ' parked' FROM event;
SELECT test.holds((SELECT max(test.ask(p, $q$SELECT session_number('answerd.work_start')::text$q$)::bigint)
                     FROM unnest(ARRAY['p1', 'p2', 'p3', 'p4']) AS p) > 0, 'starts have moved');
