-- Monthly partitions: made ahead, dropped by age.
--
-- Why: a month that is over is dropped in one step; rows of the big tables are never deleted one by one.
-- Locks: SHARE UPDATE EXCLUSIVE on the parent while a new month is attached (reads and writes go on); ACCESS EXCLUSIVE
-- for a moment while an old one is dropped, given up after 3 seconds. Takes: about 200 ms the first time.
--
-- Advisory locks of the whole program are pairs (class, key). The classes:
--   4200 migrations   4201 lane buckets   4202 partitions   4203 provider message ids   4204 engine workers
--   4205 budgets of rules   4206 senders

-- The month of a point in time, in UTC whatever the session's time zone is.
CREATE FUNCTION month_of(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_trunc('month', at AT TIME ZONE 'UTC')::date;

-- The partition of a table for the month that is `months` after this one.
CREATE FUNCTION partition_name(parent text, months integer) RETURNS text
LANGUAGE sql STABLE
RETURN parent || '_' || to_char(month_of(now()) + make_interval(months => months), 'YYYYMM');

-- Makes the partitions of last month, this month and `months_ahead` more, where they are missing; returns how many it
-- made. Last month is there for rows that carry the time of a transaction that began before midnight.
-- Several nodes may call it at the same time: one works, the others find it done.
CREATE FUNCTION make_partitions(months_ahead integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql
SET timezone = 'UTC'
SET client_min_messages = 'warning'
AS $$
DECLARE
    parents constant text[] :=
        ARRAY['webhook', 'event', 'event_key', 'handling', 'trace', 'message', 'delivery', 'attempt'];
    parent text;
    month date;
    partition text;
    made integer := 0;
BEGIN
    -- The usual case, asked without a lock: all are there.
    PERFORM 1
      FROM unnest(parents) AS name
     CROSS JOIN generate_series(-1, months_ahead) AS n
     WHERE to_regclass(format('%I', partition_name(name, n))) IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(4202, 0);
    FOREACH parent IN ARRAY parents LOOP
        FOR n IN -1 .. months_ahead LOOP
            month := (month_of(now()) + make_interval(months => n))::date;
            partition := partition_name(parent, n);
            CONTINUE WHEN to_regclass(format('%I', partition)) IS NOT NULL;
            -- A table that is attached later, and not PARTITION OF, because that would lock out readers and writers.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           parent, partition, month, (month + interval '1 month')::date);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION make_partitions(integer) IS
    'Makes the monthly partitions of last month, this month and as many months ahead; returns how many were missing.';

-- Drops what is older than `older_than_months` whole months (0 keeps everything) of the tables that hold records of
-- what was received and done. Conversations, messages and deliveries stay: they are dropped only when named in
-- `tables`. Keys of events are kept for this month and the three before, whatever the retention is: claim_event_keys()
-- needs two. A month that unfinished work still points into is kept. Returns the names of what it dropped.
CREATE FUNCTION drop_partitions(older_than_months integer,
                                tables text[] DEFAULT ARRAY['webhook', 'event', 'handling', 'trace', 'attempt'])
RETURNS SETOF text
LANGUAGE plpgsql
SET timezone = 'UTC'
SET lock_timeout = '3s'
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
           AND p.oid IN (SELECT to_regclass(format('%I', name)) FROM unnest(tables || ARRAY['event_key']) AS name)
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
    'Drops monthly partitions older than the given number of whole months; returns their names.';

SELECT make_partitions(3);
