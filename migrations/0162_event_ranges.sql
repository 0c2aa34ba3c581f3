-- The events of a webhook are found by an index of ranges, which costs nearly nothing to keep.
--
-- Why: ids rise as events are stored, so that a range of pages has few of them, and such an index is a thousandth of the size.
-- Nothing of the program looks for events by their webhook; people do, rarely. VACUUM takes pages that were filled since into
-- the index; until then they are read as well.
-- Locks: writes to a partition wait while it is indexed, unless it is this month's (or a later one) and has 64 MB; then the
-- table is locked for a moment. Whoever reads it for long has everybody wait behind that lock for 2 seconds at most: it is given
-- up then and tried again, ten times. Takes: up to 20 seconds for each gigabyte of the months that are over.

SET LOCAL lock_timeout = '2s';

-- New months get the index by themselves. For the month that was too big make it by hand, or do without it until it is dropped:
--   CREATE INDEX CONCURRENTLY ON event_202611 USING brin (webhook_id int8_minmax_multi_ops) WITH (pages_per_range = 32);
CREATE INDEX event_of_webhook ON ONLY event USING brin (webhook_id int8_minmax_multi_ops) WITH (pages_per_range = 32);
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT i.inhrelid::regclass FROM pg_inherits AS i
                 WHERE i.inhparent = 'event'::regclass
                   AND (pg_table_size(i.inhrelid) < 64 * 1024 * 1024 OR i.inhrelid::regclass::text < partition_name('event', 0)) LOOP
        EXECUTE format('CREATE INDEX %I ON %s USING brin (webhook_id int8_minmax_multi_ops) WITH (pages_per_range = 32)',
                       part::text || '_of_webhook', part);
        EXECUTE format('ALTER INDEX event_of_webhook ATTACH PARTITION %I', part::text || '_of_webhook');
    END LOOP;
END
$$;
DROP INDEX event_by_webhook;
