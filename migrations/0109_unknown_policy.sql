-- The function that takes a row of the outbox keeps its body as a text: the next file gives that table a column with a default.
--
-- Why: from version 15.20 on PostgreSQL refuses such a column while a body that is kept as a parsed expression reads fields of
-- the table's row ("cannot alter table "outbox" because function unknown_policy(outbox,delivery) uses its row type").
-- Locks: none. Takes: milliseconds. A database that has the files after this one gets it, too: it changes nothing there.

-- As in 0009_outcomes.sql.
CREATE OR REPLACE FUNCTION unknown_policy(o outbox, d delivery) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN o.cancel_wanted THEN 'hold' WHEN d.kind = 'webhook' THEN 'resend'
                ELSE coalesce(d.request->>'on_unknown', 'hold') END
$$;
