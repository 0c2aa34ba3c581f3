-- Functions that take a table's rows read the columns by their names when they run, and hold on to the row type no longer.
--
-- Why: since 15.20 PostgreSQL refuses a column with a default for a table whose rows a function with an SQL-standard body
-- (RETURN …) takes: 0110 could not be applied there.
-- Locks: none. Takes: milliseconds.

CREATE OR REPLACE FUNCTION unknown_policy(o outbox, d delivery) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
SELECT CASE WHEN o.cancel_wanted THEN 'hold' WHEN d.kind = 'webhook' THEN 'resend'
            ELSE coalesce(d.request->>'on_unknown', 'hold') END
$$;

CREATE OR REPLACE FUNCTION message_left_at(m message) RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
SELECT date_trunc('milliseconds', coalesce(
    (SELECT max(d.last_attempt_at) FROM delivery AS d
      WHERE d.message_id = m.id AND d.created_at >= m.created_at - interval '1 day'), m.sent_at, m.occurred_at))
$$;
