-- Each row of the outbox says from when on it counts, and that moment is never before the one at which it came to count: so
-- that a claim may begin where deliveries can still be.
--
-- Why: due_at alone may lie as far back as it likes, and whoever begins at a later one would miss it.
-- Locks: outbox, for a moment (columns without a value to write). Takes: milliseconds.

ALTER TABLE outbox
    -- 'waiting': when it may leave; 'sending' and 'unknown': since when. NULL in rows that are older than the column: due_at.
    ADD COLUMN counts_from timestamptz,
    -- It was behind another one, and had its turn before: now it comes before those that had none yet.
    ADD COLUMN woken boolean NOT NULL DEFAULT false;

-- The clock is read by who has a transaction number, and positions are drawn by who has one: see move_outbox_start().
CREATE FUNCTION outbox_counts_from() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    number constant xid8 NOT NULL := pg_current_xact_id();
BEGIN
    NEW.counts_from := greatest(CASE NEW.state WHEN 'waiting' THEN NEW.due_at END, clock_timestamp());
    NEW.woken := NEW.state = 'waiting' AND TG_OP = 'UPDATE' AND OLD.state IS NOT DISTINCT FROM 'behind';
    RETURN NEW;
END
$$;
CREATE TRIGGER counts_from BEFORE INSERT OR UPDATE OF state, due_at ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_counts_from();
CREATE TRIGGER number_transaction BEFORE INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION number_transaction();
