-- Old months go also beside steady traffic: one table can be asked for alone.
--
-- Why: what was dropped of one table stayed locked while the next one was waited for, and whoever stores webhooks waits the other way
-- round. With three sessions that stored batches one after the other, none of twenty tries succeeded, and each held all of them up; one
-- table after the other, each in a transaction of its own, goes at the first try.
-- Locks: none. Takes: milliseconds.

-- As in 0146_beside_work.sql, but a single table is dropped from alone, without the keys of events.
CREATE OR REPLACE FUNCTION drop_partitions(older_than_months integer,
                                tables text[] DEFAULT ARRAY['webhook', 'event', 'handling', 'trace', 'attempt'])
RETURNS SETOF text
LANGUAGE plpgsql
SET timezone = 'UTC'
SET lock_timeout = '200ms'
AS $$
DECLARE
    this_month constant date := month_of(now());
    oldest_needed timestamptz;
    candidate record;
BEGIN
    IF older_than_months < 0 THEN
        RAISE EXCEPTION 'the number of months to keep cannot be negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(4202, 0);
    SELECT least((SELECT min(event_received_at) FROM work), (SELECT min(event_received_at) FROM parked_event),
                 (SELECT min(delivery_created_at) FROM outbox))
      INTO oldest_needed;
    FOR candidate IN
        SELECT p.relname::text AS parent, c.relname::text AS partition, to_date(right(c.relname, 6), 'YYYYMM') AS month
          FROM pg_inherits AS i
          JOIN pg_class AS p ON p.oid = i.inhparent
          JOIN pg_class AS c ON c.oid = i.inhrelid
         WHERE p.relkind = 'p'
           AND p.oid IN (SELECT to_regclass(format('%I', name))
                           FROM unnest(CASE cardinality(tables) WHEN 1 THEN tables ELSE tables || ARRAY['event_key'] END) AS name)
           AND c.relname ~ ('^' || p.relname || '_[0-9]{6}$')
         ORDER BY 3, 2
    LOOP
        IF candidate.parent = 'event_key' THEN
            CONTINUE WHEN candidate.month >= this_month - interval '3 months';
        ELSE
            CONTINUE WHEN older_than_months = 0
                       OR candidate.month >= this_month - make_interval(months => older_than_months);
            CONTINUE WHEN oldest_needed < candidate.month + interval '1 month';
        END IF;
        EXECUTE format('DROP TABLE %I', candidate.partition);
        RETURN NEXT candidate.partition;
    END LOOP;
END
$$;
COMMENT ON FUNCTION drop_partitions(integer, text[]) IS
    'Drops monthly partitions older than the given number of whole months, of one table, or of several and the keys of events; returns their names.';

-- At once, because programs that run drop months, by the rights of the owner.
SELECT grant_roles();
