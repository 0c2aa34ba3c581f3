-- What happened in an hour or a day is found without reading its month.
--
-- Why: a time is what people ask for most, and no index of the big tables begins with it. These here hold one entry for four
-- megabytes of rows, which lie in the order of their time: storing them costs too little to be measured, in time and in WAL.
-- They do not sort: the latest rows come by their number. PostgreSQL remembers 256 ranges to be entered, until its autovacuum
-- comes within a minute: smaller ranges would be lost, with a line in its log for each, when thousands of webhooks a second come in.
-- Locks: a table is not written while the index of a partition under 64 MB is made. Takes: less than a second.

-- New months get the index by themselves; a bigger one that exists is read whole until it is dropped, or until somebody makes it:
--   CREATE INDEX CONCURRENTLY ON event_202611 USING brin (received_at) WITH (pages_per_range = 512, autosummarize = on)
DO $$
DECLARE
    parent text;
    clock text;
    part regclass;
    name text;
BEGIN
    FOR parent, clock IN VALUES ('webhook', 'received_at'), ('event', 'received_at'), ('handling', 'handled_at'),
                                ('trace', 'handled_at'), ('message', 'created_at'), ('delivery', 'created_at') LOOP
        EXECUTE format('CREATE INDEX %I ON ONLY %I USING brin (%I) WITH (pages_per_range = 512, autosummarize = on)',
                       parent || '_by_time', parent, clock);
        FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i
                     WHERE i.inhparent = parent::regclass AND pg_table_size(i.inhrelid) < 64 * 1024 * 1024 LOOP
            name := part::text || '_by_time';
            EXECUTE format('CREATE INDEX %I ON %s USING brin (%I) WITH (pages_per_range = 512, autosummarize = on)', name, part, clock);
            EXECUTE format('ALTER INDEX %I ATTACH PARTITION %I', parent || '_by_time', name);
        END LOOP;
    END LOOP;
END
$$;
