-- Whom the events of a claim are about, locked; what is known about them is read by the program, as rows.
--
-- Why: making documents of rows looks up the name and the type of each column again for each row, which was a fourth of what a
-- batch cost the database.
-- Locks: none. Takes: milliseconds.

-- The contacts whom `names` name, in the order of their ids. With `locking` they stay locked until the transaction ends, and their
-- ids are left in the setting answerd.locked_contacts, where the commit finds whose facts the changes are based on.
-- What the transaction asks afterwards is answered by indexes: nearly empty tables are full a moment later.
CREATE FUNCTION claimed_contacts(names event_names, locking boolean) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
DECLARE
    ids bigint[];
    again bigint[];
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
            set_config('plan_cache_mode', 'force_generic_plan', true);
    ids := contacts_named(names);
    IF NOT locking THEN
        RETURN ids;
    END IF;
    -- Locked in the order of ids, so that no two engines wait for each other. While one waits, a merge or a new
    -- identity may be committed that brings others in; that ends after a round or two, or the batch is tried again.
    FOR try IN 1 .. 4 LOOP
        IF try = 4 THEN
            RAISE EXCEPTION 'the contacts of these events keep changing' USING ERRCODE = 'serialization_failure';
        END IF;
        PERFORM 1 FROM contact AS c WHERE c.id = ANY (ids) ORDER BY c.id FOR NO KEY UPDATE;
        again := contacts_named(names);
        EXIT WHEN again <@ ids;
        ids := again;
    END LOOP;
    PERFORM set_config('answerd.locked_contacts', again::text, true);
    RETURN again;
END
$$;
COMMENT ON FUNCTION claimed_contacts(event_names, boolean) IS
    'Whom claimed events name; with locking, locked until the transaction ends.';
