-- A sender's claim begins where deliveries can still be: those that are over lie there as dead rows for as long as anybody
-- holds an old snapshot, and would be walked over by each claim.
--
-- Why: beside 300,000 dead rows a claim read 102,000 pages, recording an outcome 38,000; they read 190 and 320 so.
-- Locks: none. Takes: milliseconds.
--
-- Each session remembers for itself where it begins (answerd.outbox_start), and where it might begin next
-- (answerd.outbox_next): the first that it saw when it drew the transaction number answerd.outbox_mark, or the moment at
-- which that transaction began. What comes before that can only be from transactions that had a number then, a smaller one:
-- the clock and the sequence of positions are read after the number is drawn. When all of those have ended, whatever they
-- left is in sight, and the session begins at what it sees first, or at outbox_next. A transaction that rolls back takes back
-- what it remembered. Once in a minute a session looks from the very first on, so that a clock that was set back hides
-- nothing for longer.

-- Where the claims of one source begin: among those woken, and among the others. `line`: the first position in the line of
-- the recipient that is called like the source, as endpoints are. Other recipients' lines are short.
CREATE TYPE outbox_source_start AS (source text, woken timestamptz, fresh timestamptz, line bigint);
CREATE TYPE outbox_start AS (sources outbox_source_start[], sending timestamptz, unknown timestamptz);

CREATE FUNCTION session_outbox_start(name text DEFAULT 'answerd.outbox_start') RETURNS outbox_start
LANGUAGE sql STABLE
RETURN coalesce(nullif(current_setting(name, true), ''), '({},-infinity,-infinity)')::outbox_start;

CREATE FUNCTION session_source_start(of_source text) RETURNS outbox_source_start
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    s outbox_source_start;
BEGIN
    FOREACH s IN ARRAY (session_outbox_start()).sources LOOP
        IF s.source = of_source THEN
            RETURN s;
        END IF;
    END LOOP;
    RETURN ROW(of_source, '-infinity', '-infinity', 0)::outbox_source_start;
END
$$;

-- Has every transaction ended that could bring something before answerd.outbox_next?
CREATE FUNCTION outbox_start_is_decided() RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    mark constant bigint := session_number('answerd.outbox_mark');
BEGIN
    RETURN mark > 0 AND pg_snapshot_xmin(pg_current_snapshot())::text::bigint > mark;
END
$$;

-- The sources with deliveries that wait, and the first ones of each, from `start` on. Sources of `start` without any are there,
-- too. In the order of their names, as `start` has to be.
CREATE FUNCTION first_in_outbox(start outbox_source_start[]) RETURNS outbox_source_start[]
LANGUAGE plpgsql
AS $$
DECLARE
    known outbox_source_start[] := start;
    unheard text[];
    seen outbox_source_start[];
BEGIN
    LOOP
        -- Between two sources that are known there is nothing, not even dead, unless it is of one that nobody has claimed.
        SELECT array_agg(ROW(k.source,
                   (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                     WHERE o.state = 'waiting' AND o.source = k.source AND o.woken
                       AND coalesce(o.counts_from, o.due_at) >= k.woken
                     ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1),
                   (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                     WHERE o.state = 'waiting' AND o.source = k.source AND NOT o.woken
                       AND coalesce(o.counts_from, o.due_at) >= k.fresh
                     ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1),
                   k.line)::outbox_source_start ORDER BY k.n),
               array_agg((SELECT o.source FROM outbox AS o
                           WHERE o.state = 'waiting' AND o.source > coalesce(known[k.n - 1].source, '') AND o.source < k.source
                           ORDER BY o.source LIMIT 1))
          INTO seen, unheard
          FROM unnest(known) WITH ORDINALITY AS k (source, woken, fresh, line, n);
        unheard := array_remove(unheard || (SELECT o.source FROM outbox AS o
                                             WHERE o.state = 'waiting' AND o.source > coalesce(known[cardinality(known)].source, '')
                                             ORDER BY o.source LIMIT 1), NULL);
        IF cardinality(unheard) = 0 THEN
            RETURN coalesce(seen, '{}');
        END IF;
        known := ARRAY(SELECT k FROM unnest(known || ARRAY(SELECT ROW(u, '-infinity', '-infinity', 0)::outbox_source_start
                                                             FROM unnest(unheard) AS u)) AS k
                        ORDER BY (k).source);
    END LOOP;
END
$$;

-- Of each source of `one` the earlier one of both. One that is missing in `other` begins as in `otherwise`, or at its first.
CREATE FUNCTION earlier_start(one outbox_source_start[], other outbox_source_start[], otherwise outbox_source_start[])
RETURNS outbox_source_start[]
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    RETURN ARRAY(SELECT ROW(a.source,
                            CASE WHEN b.source IS NULL THEN coalesce(c.woken, '-infinity') ELSE least(a.woken, b.woken) END,
                            CASE WHEN b.source IS NULL THEN coalesce(c.fresh, '-infinity') ELSE least(a.fresh, b.fresh) END,
                            CASE WHEN b.source IS NULL THEN coalesce(c.line, 0) ELSE least(a.line, b.line) END
                           )::outbox_source_start
                   FROM unnest(one) AS a
                   LEFT JOIN unnest(other) AS b ON b.source = a.source
                   LEFT JOIN unnest(otherwise) AS c ON c.source = a.source
                  ORDER BY a.source);
END
$$;

-- `waiting` is what a statement saw that began after `decided` was found out. Ten times in a second is often enough.
CREATE FUNCTION move_outbox_start(decided boolean, waiting outbox_source_start[]) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    marked_at constant timestamptz := coalesce(nullif(current_setting('answerd.outbox_marked_at', true), ''), '-infinity');
    start outbox_start;
    next outbox_start;
    seen outbox_start;
BEGIN
    IF now() BETWEEN marked_at AND marked_at + interval '100 milliseconds'
       OR NOT decided AND session_number('answerd.outbox_mark') > 0 THEN
        RETURN;
    END IF;
    start := session_outbox_start();
    seen.sources := ARRAY(
        SELECT ROW(w.source, w.woken, w.fresh,
                   (SELECT CASE WHEN o.in_line THEN o.position END FROM outbox AS o
                     WHERE o.recipient = w.source AND CASE WHEN o.in_line THEN o.position END >= coalesce(s.line, 0)
                     ORDER BY CASE WHEN o.in_line THEN o.position END LIMIT 1))::outbox_source_start
          FROM unnest(waiting) AS w
          LEFT JOIN unnest(start.sources) AS s ON s.source = w.source);
    seen.sending := (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                      WHERE o.state = 'sending' AND coalesce(o.counts_from, o.due_at) >= start.sending
                      ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1);
    seen.unknown := (SELECT coalesce(o.counts_from, o.due_at) FROM outbox AS o
                      WHERE o.state = 'unknown' AND coalesce(o.counts_from, o.due_at) >= start.unknown
                      ORDER BY coalesce(o.counts_from, o.due_at) LIMIT 1);
    IF decided THEN
        next := session_outbox_start('answerd.outbox_next');
        start := ROW(earlier_start(seen.sources, next.sources, start.sources), least(seen.sending, next.sending),
                     least(seen.unknown, next.unknown))::outbox_start;
        PERFORM set_config('answerd.outbox_start', start::text, false),
                set_config('answerd.outbox_mark', '', false);
    END IF;
    -- A transaction that has changed nothing draws a number once in a second only.
    IF pg_current_xact_id_if_assigned() IS NOT NULL OR now() NOT BETWEEN marked_at AND marked_at + interval '1 second' THEN
        next.sources := ARRAY(SELECT ROW(s.source, least(s.woken, now()), least(s.fresh, now()),
                                         coalesce(s.line, b.line, 0))::outbox_source_start
                                FROM unnest(seen.sources) AS s
                                LEFT JOIN unnest(start.sources) AS b ON b.source = s.source);
        next.sending := least(seen.sending, now());
        next.unknown := least(seen.unknown, now());
        PERFORM set_config('answerd.outbox_next', next::text, false),
                set_config('answerd.outbox_mark', pg_current_xact_id()::text, false),
                set_config('answerd.outbox_marked_at', now()::text, false);
    END IF;
END
$$;

-- What waits and is in sight, from the session's start on; once in a minute, or when the clock was set back, from the very
-- first on.
CREATE FUNCTION look_at_outbox() RETURNS outbox_source_start[]
LANGUAGE plpgsql
AS $$
DECLARE
    looked_at constant timestamptz := nullif(current_setting('answerd.outbox_looked_at', true), '');
    start outbox_start := session_outbox_start();
    waiting outbox_source_start[];
BEGIN
    IF now() BETWEEN looked_at AND looked_at + interval '1 minute' THEN
        RETURN first_in_outbox(start.sources);
    END IF;
    waiting := first_in_outbox(ARRAY(SELECT ROW(p.source, '-infinity', '-infinity', 0)::outbox_source_start
                                       FROM source_pace AS p ORDER BY p.source));
    start.sources := earlier_start(waiting, start.sources, NULL);
    PERFORM set_config('answerd.outbox_start', start::text, false),
            set_config('answerd.outbox_looked_at', now()::text, false);
    RETURN waiting;
END
$$;
