-- What a look at the outbox does once in a while: after the database's clock was set back, sends whose sender ended are found
-- again, as those that wait are; and the first senders of a database do not wait for each other.
--
-- Why: a send that was claimed just after the clock had gone back, by a sender that then died, lay before the moment from which
-- every other session looks. None of them found it until its connection broke, and what was behind it in line waited as long.
-- Two senders that made the rows of source_pace in different orders stopped each other, and the first messages left a second late.
-- Locks: none. Takes: milliseconds.

-- In the order of their names: whoever makes the same ones waits for one transaction at most.
CREATE FUNCTION make_source_paces(heard outbox_source_start[]) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO source_pace (source) SELECT h.source FROM unnest(heard) AS h ORDER BY h.source ON CONFLICT DO NOTHING
$$;

-- What waits and is in sight, from the session's start on. Once in a minute, and when the clock is seen to have gone back since the
-- last look, everything is looked for from the very first on.
CREATE OR REPLACE FUNCTION look_at_outbox() RETURNS outbox_source_start[]
LANGUAGE plpgsql
AS $$
DECLARE
    looked_at constant timestamptz := nullif(current_setting('answerd.outbox_looked_at', true), '');
    last_look_at constant timestamptz := coalesce(nullif(current_setting('answerd.outbox_last_look_at', true), ''), '-infinity');
    start outbox_start := session_outbox_start();
    waiting outbox_source_start[];
BEGIN
    PERFORM set_config('answerd.outbox_last_look_at', now()::text, false);
    IF now() >= last_look_at AND now() BETWEEN looked_at AND looked_at + interval '1 minute' THEN
        waiting := first_in_outbox(start.sources);
        IF cardinality(waiting) > cardinality(start.sources) THEN
            PERFORM make_source_paces(waiting);
        END IF;
        RETURN waiting;
    END IF;
    IF now() < last_look_at THEN
        PERFORM set_config('answerd.outbox_next', '', false); -- a moment that has yet to come
    END IF;
    waiting := first_in_outbox(ARRAY(SELECT ROW(p.source, '-infinity', '-infinity', 0)::outbox_source_start
                                       FROM source_pace AS p ORDER BY p.source));
    PERFORM make_source_paces(waiting);
    start := ROW(earlier_start(waiting, start.sources, NULL), '-infinity', '-infinity')::outbox_start;
    PERFORM set_config('answerd.outbox_start', start::text, false),
            set_config('answerd.outbox_looked_at', now()::text, false);
    RETURN waiting;
END
$$;
