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
    ending text;
    definition text;
    part regclass;
    name text;
BEGIN
    -- Payments are few among the events, and people ask for them by the provider's time.
    FOR parent, ending, definition IN VALUES ('event', '_latest', '(received_at)'),
                                             ('event', '_payment_latest', $x$(occurred_at) WHERE doc ? 'payment'$x$),
                                             ('webhook', '_latest', '(received_at)'),
                                             ('message', '_latest', '(created_at)'),
                                             ('delivery', '_latest', '(created_at)') LOOP
        EXECUTE format('CREATE INDEX %I ON ONLY %I %s', parent || ending, parent, definition);
        FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i
                     WHERE i.inhparent = parent::regclass AND pg_table_size(i.inhrelid) < 64 * 1024 * 1024 LOOP
            name := part::text || ending;
            EXECUTE format('CREATE INDEX %I ON %s %s', name, part, definition);
            EXECUTE format('ALTER INDEX %I ATTACH PARTITION %I', parent || ending, name);
        END LOOP;
        -- An index that every partition has takes the place of the ranges.
        IF ending = '_latest' AND (SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = (parent || ending)::regclass) THEN
            EXECUTE format('DROP INDEX %I', parent || '_by_time');
        END IF;
    END LOOP;
END
$$;
