-- What a look for due timers finds before the session's start takes the start back to it.
--
-- Why: after the clock was set back, the look from the very first timer on, once in a minute, fired one batch of what had been
-- hidden; the rest of it was hidden again until the next one, a minute later.
-- Locks: none. Takes: milliseconds.

-- As in 0126_timer_start.sql.
CREATE OR REPLACE FUNCTION move_timer_start(decided boolean, first_seen timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF decided THEN
        PERFORM set_config('answerd.timer_start', least(first_seen, session_moment('answerd.timer_next'))::text, false),
                set_config('answerd.timer_mark', '', false);
    ELSIF first_seen < session_moment('answerd.timer_start') THEN
        PERFORM set_config('answerd.timer_start', first_seen::text, false);
    END IF;
    -- A transaction that has changed nothing draws a number once in ten seconds only.
    IF session_number('answerd.timer_mark') = 0
       AND (pg_current_xact_id_if_assigned() IS NOT NULL
            OR now() NOT BETWEEN session_moment('answerd.timer_marked_at')
                             AND session_moment('answerd.timer_marked_at') + interval '10 seconds') THEN
        PERFORM set_config('answerd.timer_next', least(first_seen, now())::text, false),
                set_config('answerd.timer_mark', pg_current_xact_id()::text, false),
                set_config('answerd.timer_marked_at', now()::text, false);
    END IF;
END
$$;
