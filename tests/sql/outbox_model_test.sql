-- Deliveries: whatever sessions do at the same time, each of them finds by itself all that may leave, in the order of each recipient.
\ir players.sql

CREATE SEQUENCE test.message_number START 100001 INCREMENT 10;
SELECT test.contact(1000 * n, 'whatsapp:' || n) FROM generate_series(1, 4) AS n;
SELECT test.contact(8000, 'telegram:8', 'telegram');

-- As if a tenth of a second had passed since the session looked where to begin, and a moment since it looked from the very first on.
CREATE FUNCTION test.looks(anew boolean) RETURNS void
LANGUAGE sql
AS $$
    SELECT set_config('answerd.outbox_marked_at', '', false),
           set_config('answerd.outbox_looked_at', CASE WHEN anew THEN '' ELSE now()::text END, false)
$$;
CREATE FUNCTION test.write(contact bigint, due_at timestamptz, on_unknown text) RETURNS bigint
LANGUAGE sql
AS $$
    SELECT id FROM (SELECT nextval('test.message_number') AS id) AS new,
                   test.send(new.id, contact, jsonb_build_object('due_at', due_at), jsonb_build_object('on_unknown', on_unknown))
$$;
-- An endpoint is one line.
CREATE FUNCTION test.call() RETURNS bigint
LANGUAGE sql
AS $$
    WITH new AS (INSERT INTO delivery (id, kind, source, endpoint, request)
                 VALUES (nextval('test.message_number') + 1, 'webhook', 'crm', 'crm', '{}') RETURNING *)
    INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source)
    SELECT id, created_at, 'endpoint crm', 'endpoint crm' FROM new RETURNING delivery_id
$$;
-- The deliveries that a claim gives; with a '?' when another one to the same recipient stands before one of them.
CREATE FUNCTION test.take(most integer) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    claimed bigint[];
BEGIN
    SELECT array_agg((d->>'id')::bigint ORDER BY n) INTO claimed
      FROM deliver_claim(most, '1 minute') AS c, json_array_elements(c.deliveries) WITH ORDINALITY AS x (d, n);
    RETURN coalesce(array_to_string(claimed, ' '), '')
           || CASE WHEN EXISTS (SELECT FROM outbox AS o JOIN outbox AS b ON b.recipient = o.recipient AND b.position < o.position AND b.in_line
                                 WHERE o.delivery_id = ANY (claimed)) THEN ' ?' ELSE '' END;
END
$$;
CREATE FUNCTION test.tell(delivery_id bigint, outcome text, due_at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql
AS $$
    SELECT deliver_record(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', d.id, 'created_at', d.created_at,
               'number', d.attempts, 'duration_ms', 7, 'status', 200, 'outcome', outcome, 'reason', 'x', 'due_at', due_at))))::bigint
      FROM delivery AS d WHERE d.id = delivery_id
$$;
-- All that one session finds by itself: senders that died, what is unknown, and what may leave.
CREATE FUNCTION test.take_all() RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    most constant integer := 1 + floor(random() * 6)::integer;
    given text;
    total bigint := 0;
BEGIN
    UPDATE outbox SET lease_until = clock_timestamp() - interval '1 minute' WHERE lease_until IS NOT NULL;
    WHILE deliver_settle('0') > 0 LOOP
    END LOOP;
    LOOP
        PERFORM test.looks(false);
        given := test.take(most);
        IF given LIKE '%?' THEN
            RETURN 'out of order: ' || given;
        END IF;
        EXIT WHEN given = '';
        PERFORM test.tell(id, 'sent') FROM unnest(string_to_array(given, ' ')::bigint[]) AS id;
        total := total + cardinality(string_to_array(given, ' '));
    END LOOP;
    RETURN total::text;
END
$$;
-- The plain model: what is being sent, unknown, due, or behind nothing.
CREATE FUNCTION test.left_behind() RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(o.delivery_id || ' ' || o.state, ', ' ORDER BY o.position), '') FROM outbox AS o
     WHERE NOT EXISTS (SELECT FROM outbox AS b WHERE b.recipient = o.recipient AND b.position < o.position AND b.in_line)
       AND (o.state <> 'waiting' OR o.due_at <= clock_timestamp())
$$;

CREATE FUNCTION test.claims(player text, most integer) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    given text;
BEGIN
    PERFORM test.leaves(player, 'COMMIT'), test.plays(player, 'SELECT test.looks(false)::text');
    given := test.plays(player, format('SELECT test.take(%s)', most));
    PERFORM test.still(given LIKE '%?', false, player || ' claims what is first to its recipient');
    RETURN given;
END
$$;
CREATE FUNCTION test.writes(player text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF random() < 0.2 THEN
        PERFORM test.plays(player, 'SELECT test.call()::text');
    ELSE
        PERFORM test.plays(player, format('SELECT test.write(%s, %s, %L)::text', test.one_of(1000, 2000, 3000, 4000, 8000),
            test.one_of('''2020-01-01'''::text, 'now()', 'now()', 'clock_timestamp() + ''20 ms''', 'now() + ''1 hour'''),
            test.one_of('resend'::text, 'hold', 'give_up')));
    END IF;
END
$$;

CREATE FUNCTION test.play_outbox(players text[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    player text;
    which bigint;
    given text;
BEGIN
    IF random() < 0.7 THEN
        player := test.one_of(VARIADIC players);
        PERFORM test.run(player, 'UPDATE outbox SET due_at = now() WHERE state = ''waiting'''),
                test.enters(player, false, NULL), test.plays(player, 'SELECT test.take_all()'), test.leaves(player, 'COMMIT');
    END IF;
    FOR step IN 1 .. 40 LOOP
        player := test.one_of(VARIADIC players);
        -- Who holds an old snapshot only writes: it would not see who stands behind what it takes away. Programs ask for no such
        -- transactions, whatever the database is set to.
        CASE floor(random() * CASE test.inside(player) WHEN 'old' THEN 3 ELSE 14 END)::integer
            WHEN 2 THEN
                IF test.inside(player) = 'old' THEN
                    PERFORM test.moves(player, NULL);
                ELSE
                    PERFORM test.writes(player);
                END IF;
            WHEN 0, 1 THEN PERFORM test.writes(player);
            WHEN 3, 4, 5 THEN
                which := (SELECT delivery_id FROM outbox WHERE state IN ('sending', 'unknown') ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('SELECT test.tell(%s, %L, %s)::text', coalesce(which, 0),
                    test.one_of('sent'::text, 'sent', 'retry', 'postponed', 'unknown', 'failed'),
                    test.one_of('''2020-01-01'''::text, 'now()', 'clock_timestamp() + ''20 ms''', 'now() + ''1 hour''')));
            WHEN 6 THEN
                which := (SELECT message_id FROM outbox ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('SELECT cancel_deliveries(''{}'', ARRAY[%s]::bigint[])::text', coalesce(which, 0)));
            WHEN 7 THEN
                which := (SELECT id FROM delivery ORDER BY random() LIMIT 1);
                PERFORM test.plays(player, format('SELECT retry_delivery(%s)', coalesce(which, 0)));
            WHEN 8 THEN
                IF test.inside(player) = 'no' THEN
                    PERFORM test.plays(player, 'SELECT deliver_settle(''0'')::text');
                END IF;
            WHEN 9 THEN
                IF test.inside(player) = 'no' THEN
                    PERFORM test.claims(player, test.one_of(1, 2, 5));
                END IF;
            WHEN 10, 11 THEN
                -- A busy one, beside others that take long: its start moves on.
                player := test.one_of(VARIADIC players[2:]);
                FOR i IN 1 .. 3 LOOP
                    PERFORM test.leaves(player, 'COMMIT'), test.writes(player);
                    FOREACH given IN ARRAY string_to_array(test.claims(player, test.one_of(2, 100, 100)), ' ') LOOP
                        PERFORM test.plays(player, format('SELECT test.tell(%s, ''sent'')::text', given));
                    END LOOP;
                END LOOP;
            ELSE PERFORM test.moves(player, 'SELECT count(*)::text FROM outbox');
        END CASE;
    END LOOP;

    PERFORM test.all_leave(players), pg_sleep(0.02);
    FOREACH player IN ARRAY players LOOP
        PERFORM test.enters(player, false, NULL);
        PERFORM test.still(test.plays(player, 'SELECT test.take_all()') LIKE 'out%', false, 'each recipient in order');
        PERFORM test.still(test.ask(player, 'SELECT test.left_behind()'), '', format('%s finds all that may leave', player));
        PERFORM test.leaves(player, 'ROLLBACK');
    END LOOP;
    -- What is not over stands in the outbox; once.
    PERFORM test.still((SELECT string_agg(d.id || ' ' || d.state, ', ') FROM delivery AS d LEFT JOIN outbox AS o ON o.delivery_id = d.id
        WHERE d.state <> 'unknown' AND (o.position IS NULL) <> (d.state IN ('sent', 'failed', 'canceled', 'parked'))), NULL,
        'each once');
END
$$;

SELECT 'measured: ' || test.play('test.play_outbox', :seed, coalesce(nullif(:'rounds', '')::integer, 5));
SELECT 'measured: ' || count(*) || ' deliveries, ' || count(*) FILTER (WHERE state = 'sent') || ' sent' FROM delivery;
SELECT test.holds((SELECT bool_or(test.ask(p, $q$SELECT session_outbox_start()::text$q$) ~ '20..-..-..')
                     FROM unnest(ARRAY['p1', 'p2', 'p3', 'p4']) AS p), 'starts have moved');
