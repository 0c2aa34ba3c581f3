-- The latest webhooks, events, messages, deliveries and payments come by their time, too.
--
-- Why: "ORDER BY received_at DESC LIMIT 20" is what people type first. Ranges of time do not sort, so every row of every month was
-- read for it: with 850,000 messages the last fifty took 1.9 seconds. An index of the times themselves has them at once; what it costs
-- where rows are stored is 66 bytes of WAL and one or two microseconds each, and it finds an hour or a day as well as the ranges did.
-- Locks: a table is not written while the index of a partition under 64 MB is made, and locked for a moment where its ranges go.
-- Whoever reads it for long has everybody wait behind that lock for 2 seconds at most: all is given up then and tried again, ten
-- times. Takes: less than a second.

SET LOCAL lock_timeout = '2s';

-- New months get the index by themselves. A bigger one that exists is sorted until it is dropped, or until somebody makes its index;
-- where there is one, the ranges stay:
--   CREATE INDEX CONCURRENTLY ON event_202611 (received_at)
DO $$
DECLARE
    parent text;
    clock text;
    part regclass;
    small regclass[];
    name text;
BEGIN
    FOR parent, clock IN VALUES ('event', 'received_at'), ('webhook', 'received_at'), ('message', 'created_at'), ('delivery', 'created_at') LOOP
        small := ARRAY(SELECT i.inhrelid::regclass FROM pg_inherits AS i
                        WHERE i.inhparent = parent::regclass AND pg_table_size(i.inhrelid) < 64 * 1024 * 1024);
        EXECUTE format('CREATE INDEX %I ON ONLY %I (%I)', parent || '_latest', parent, clock);
        FOREACH part IN ARRAY small LOOP
            name := part::text || '_latest';
            EXECUTE format('CREATE INDEX %I ON %s (%I)', name, part, clock);
            EXECUTE format('ALTER INDEX %I ATTACH PARTITION %I', parent || '_latest', name);
        END LOOP;
        IF NOT EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhparent = parent::regclass AND i.inhrelid <> ALL (small)) THEN
            EXECUTE format('DROP INDEX %I', parent || '_by_time');
        END IF;
    END LOOP;
END
$$;

-- Payments are few among the events, and people ask for them by the provider's time.
DO $$
DECLARE
    part regclass;
    name text;
BEGIN
    CREATE INDEX event_payment_latest ON ONLY event (occurred_at) WHERE doc ? 'payment';
    FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i
                 WHERE i.inhparent = 'event'::regclass AND pg_table_size(i.inhrelid) < 64 * 1024 * 1024 LOOP
        name := part::text || '_payment_latest';
        EXECUTE format('CREATE INDEX %I ON %s (occurred_at) WHERE doc ? ''payment''', name, part);
        EXECUTE format('ALTER INDEX event_payment_latest ATTACH PARTITION %I', name);
    END LOOP;
END
$$;
