-- Stands for a later version, in the test of rolling upgrades: it adds, and takes nothing away.
--
-- Why: a column, an index, a function, and another body for a function that is there. Locks: what ADD COLUMN takes, for a
-- moment. Takes: milliseconds.

ALTER TABLE contact ADD COLUMN upgrade_note text;
ALTER TABLE message ADD COLUMN upgrade_note text NOT NULL DEFAULT 'from the later version';
ALTER TABLE work ADD COLUMN upgrade_weight integer NOT NULL DEFAULT 1;
ALTER TABLE outbox ADD COLUMN upgrade_weight integer NOT NULL DEFAULT 1;
ALTER TABLE event ADD COLUMN upgrade_note text;
CREATE INDEX contact_by_upgrade_note ON contact (upgrade_note) WHERE upgrade_note IS NOT NULL;

CREATE FUNCTION upgrade_greeting() RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'hello from a later version';

CREATE OR REPLACE FUNCTION reserve_ids(count bigint) RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    IF count BETWEEN 1 AND 1000 THEN
        RETURN nextval('object_id');
    END IF;
    RAISE EXCEPTION 'a block has between 1 and 1000 ids, says a later version' USING ERRCODE = 'invalid_parameter_value';
END
$$;
