-- The look for due timers begins where timers can still be: see 0112_outbox_start.sql, which does the same for deliveries.
--
-- Why: every engine looks five times in a second. Beside 300,000 timers that had fired or were canceled while somebody held an
-- old snapshot, each look read 11,200 pages.
-- Locks: ACCESS EXCLUSIVE on timer, for a moment (a column without a value to write, an index). Takes: milliseconds; with a
-- million timers about a second.
--
-- A session remembers where it begins (answerd.timer_start), and where it might begin next (answerd.timer_next): the first that
-- it saw when it drew the transaction number answerd.timer_mark, or the moment at which that transaction began. Once in a minute
-- it looks from the very first on, so that a clock that was set back hides nothing for longer.

-- When it is due, but never before the moment at which it was written. NULL in rows that are older than the column: due_at.
ALTER TABLE timer ADD COLUMN counts_from timestamptz;
CREATE INDEX timer_counts ON timer ((coalesce(counts_from, due_at)));
DROP INDEX timer_due;

-- The clock is read by who has a transaction number: see move_timer_start().
CREATE FUNCTION timer_counts_from() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    number constant xid8 NOT NULL := pg_current_xact_id();
BEGIN
    NEW.counts_from := greatest(NEW.due_at, clock_timestamp());
    RETURN NEW;
END
$$;
CREATE TRIGGER counts_from BEFORE INSERT OR UPDATE OF due_at ON timer FOR EACH ROW EXECUTE FUNCTION timer_counts_from();

CREATE FUNCTION session_moment(name text) RETURNS timestamptz
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting(name, true), ''), '-infinity')::timestamptz;

-- Has every transaction ended that could bring something before answerd.timer_next?
CREATE FUNCTION timer_start_is_decided() RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    mark constant bigint := session_number('answerd.timer_mark');
BEGIN
    RETURN mark > 0 AND pg_snapshot_xmin(pg_current_snapshot())::text::bigint > mark;
END
$$;

-- `first_seen` is the first timer in sight of a statement that began after `decided` was found out; NULL: there is none.
CREATE FUNCTION move_timer_start(decided boolean, first_seen timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF decided THEN
        PERFORM set_config('answerd.timer_start', least(first_seen, session_moment('answerd.timer_next'))::text, false),
                set_config('answerd.timer_mark', '', false);
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

-- As before, from the session's start on. What was due already when it was written has its turn from then on. `next_due` is NULL
-- when no timer is due within a minute: what was canceled of all that is to come later lies between now and the next one.
CREATE OR REPLACE FUNCTION fire_timers(most integer, OUT fired bigint, OUT next_due timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    now_at constant timestamptz := clock_timestamp();
    -- In this order: what is decided at this moment is in the sight of the statements that follow.
    decided constant boolean := timer_start_is_decided();
    start timestamptz := session_moment('answerd.timer_start');
    due bigint[];
    docs jsonb;
BEGIN
    IF most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'between 1 and 1000 timers are fired at once' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF now() NOT BETWEEN session_moment('answerd.timer_looked_at')
                     AND session_moment('answerd.timer_looked_at') + interval '1 minute' THEN
        PERFORM set_config('answerd.timer_looked_at', now()::text, false);
        start := '-infinity';
    END IF;
    due := ARRAY(SELECT t.id FROM timer AS t
                  WHERE coalesce(t.counts_from, t.due_at) >= start AND coalesce(t.counts_from, t.due_at) <= now_at
                  ORDER BY coalesce(t.counts_from, t.due_at) LIMIT most FOR UPDATE SKIP LOCKED);
    fired := cardinality(due);
    IF fired > 0 THEN
        WITH gone AS (
            DELETE FROM timer AS t WHERE t.id = ANY (due) RETURNING t.*
        ), numbered AS (
            SELECT g.*, row_number() OVER (ORDER BY g.due_at, g.id) AS n FROM gone AS g
        )
        SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'type', CASE WHEN n.name IN ('survey.expired', 'outreach.step', 'window.closing') THEN n.name
                                ELSE 'timer.' || n.name END,
                   'source', 'answerd', 'provider', 'answerd',
                   'key', 'timer:' || n.id || ':' || to_char(n.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                   'occurred_at', n.due_at, 'lane', n.lane,
                   'contact_id', n.contact_id, 'conversation_id', n.conversation_id,
                   'outreach_id', n.outreach_id, 'survey_id', n.survey_id,
                   'cause', jsonb_build_object('event', n.cause_event, 'rule', n.rule, 'depth', n.depth)))
               || jsonb_build_object('timer', jsonb_build_object(
                   'id', n.id, 'name', n.name, 'data', n.data, 'unless', n.unless, 'armed_at', n.armed_at,
                   'due_at', n.due_at, 'rule', n.rule, 'rule_set', n.rule_set)) ORDER BY n.n)
          INTO docs
          FROM numbered AS n;
        PERFORM append_own_events(docs);
    END IF;
    next_due := (SELECT coalesce(t.counts_from, t.due_at) FROM timer AS t
                  WHERE coalesce(t.counts_from, t.due_at) >= start
                    AND coalesce(t.counts_from, t.due_at) <= now_at + interval '1 minute'
                  ORDER BY coalesce(t.counts_from, t.due_at) LIMIT 1);
    PERFORM move_timer_start(decided, next_due);
END
$$;
