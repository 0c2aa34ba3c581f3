-- Who leaves a line of the outbox wakes the next one in it, whoever that is, and not the first one of the line.
--
-- Why: when two at once took away a delivery that was on its way and one that waited behind it, each found the other's still
-- standing there; nobody woke the third, which then waited for ever.
-- Locks: outbox, for a moment. Takes: milliseconds.

-- The one after `left_at` in the line waits to be claimed from now on, if it was behind. It is locked before it is decided on:
-- when somebody takes it away at this moment, we wait for him and look again, because he did not see ours go. What he, in his
-- turn, wakes is what comes after it. So each wait is for somebody further back in the line. Returns its position.
CREATE FUNCTION wake_next_in_line(of_recipient text, left_at bigint) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    next_one bigint;
    now_is text;
BEGIN
    LOOP
        SELECT o.position INTO next_one
          FROM outbox AS o
         WHERE o.recipient = of_recipient AND CASE WHEN o.in_line THEN o.position END > left_at
         ORDER BY CASE WHEN o.in_line THEN o.position END LIMIT 1;
        EXIT WHEN NOT FOUND;
        SELECT o.state INTO now_is FROM outbox AS o WHERE o.position = next_one AND o.in_line FOR UPDATE;
        CONTINUE WHEN NOT FOUND;
        IF now_is = 'behind' THEN
            UPDATE outbox SET state = 'waiting' WHERE position = next_one;
        END IF;
        EXIT;
    END LOOP;
    RETURN next_one;
END
$$;

CREATE FUNCTION outbox_left_line() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM wake_next_in_line(OLD.recipient, OLD.position);
    RETURN NULL;
END
$$;
CREATE TRIGGER left_by_step AFTER UPDATE OF in_line ON outbox
    FOR EACH ROW WHEN (OLD.in_line AND NOT NEW.in_line) EXECUTE FUNCTION outbox_left_line();

-- Many of one line may go in one statement: who stands behind several of them is looked for once.
CREATE FUNCTION outbox_left_lines() RETURNS trigger
LANGUAGE plpgsql
SET jit = off
AS $$
DECLARE
    line record;
    left_at bigint;
    next_one bigint;
BEGIN
    FOR line IN
        SELECT g.recipient, array_agg(g.position) AS positions FROM gone AS g WHERE g.in_line GROUP BY g.recipient ORDER BY g.recipient
    LOOP
        next_one := 0;
        LOOP
            SELECT min(p) INTO left_at FROM unnest(line.positions) AS p WHERE p > next_one;
            EXIT WHEN left_at IS NULL;
            next_one := wake_next_in_line(line.recipient, left_at);
            EXIT WHEN next_one IS NULL;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER left_by_end AFTER DELETE ON outbox
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION outbox_left_lines();

-- The outbox itself does it now. Functions of earlier migrations still say so.
CREATE OR REPLACE FUNCTION wake_recipients(recipients text[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
END
$$;
COMMENT ON FUNCTION wake_recipients(text[]) IS 'Does nothing: who leaves a line wakes the next one by a trigger of the outbox.';
