-- Versions of the rules: their files, which version is in force, and who changed that when.
--
-- Why: all nodes swap their rules together, and any version that was in force can come back without its files.
-- Locks: ACCESS EXCLUSIVE on rule_set for a moment. Takes: milliseconds.

ALTER TABLE rule_set ADD COLUMN directory text NOT NULL DEFAULT 'rules'; -- what messages call the folder of its files

CREATE TABLE rule_file (
    version  text  NOT NULL REFERENCES rule_set (version),
    name     text  NOT NULL, -- within the directory: 'inbox.lua', 'lib/words.lua'
    body     bytea NOT NULL,
    PRIMARY KEY (version, name)
);
COMMENT ON TABLE rule_file IS 'The files of rule versions, without tests: what a rollback loads. Kept for the last 50 versions.';

-- One row. Whoever changes it counts `generation` up; engines compare it with every claim.
CREATE TABLE rule_pointer (
    only_row          boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    generation        bigint      NOT NULL DEFAULT 1,
    current_version   text        NOT NULL REFERENCES rule_set (version),
    shadow_version    text        REFERENCES rule_set (version),
    previous_version  text        REFERENCES rule_set (version),
    directory_version text        NOT NULL, -- what the rules directory held when it was last put in force
    changed_at        timestamptz NOT NULL DEFAULT now(),
    changed_by        text        NOT NULL
);
COMMENT ON TABLE rule_pointer IS 'Which version of the rules is in force on all nodes, which one is its shadow, and which one was before.';

CREATE TABLE rule_change (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at       timestamptz NOT NULL DEFAULT now(),
    changed_by       text        NOT NULL,
    action           text        NOT NULL CHECK (action IN ('start', 'reload', 'shadow', 'promote', 'rollback')),
    current_version  text        NOT NULL,
    shadow_version   text,
    previous_version text
);
COMMENT ON TABLE rule_change IS 'Every change of rule_pointer: who, when, to what.';

-- Keeps the files of a version. Those of old versions go, but for the ones that rule_pointer names.
CREATE FUNCTION record_rule_files(of_version text, in_directory text, names text[], bodies bytea[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO rule_set (version, description, directory, last_loaded) VALUES (of_version, '{}', in_directory, clock_timestamp())
    ON CONFLICT (version) DO UPDATE SET last_loaded = clock_timestamp(), directory = excluded.directory;
    INSERT INTO rule_file (version, name, body)
    SELECT of_version, f.name, f.body FROM unnest(names, bodies) AS f (name, body)
    ON CONFLICT DO NOTHING;
    DELETE FROM rule_file AS f
     WHERE f.version <> of_version
       AND f.version NOT IN (SELECT s.version FROM rule_set AS s ORDER BY s.last_loaded DESC LIMIT 50)
       AND NOT EXISTS (SELECT FROM rule_pointer AS p WHERE f.version IN (p.current_version, p.shadow_version, p.previous_version));
END
$$;

-- Changes what is in force. `action`:
--   start, reload   `to_version` is in force; it came from the rules directory
--   shadow          `to_version` runs beside it; NULL: none does
--   promote         the shadow is in force
--   rollback        the version before is in force, or `to_version`
-- `problem` says why nothing was changed. A reload of what is in force already changes nothing but is no problem.
CREATE FUNCTION change_rules(action text, to_version text, by_whom text, OUT problem text, OUT changed boolean)
LANGUAGE plpgsql
AS $$
DECLARE
    was rule_pointer;
    target text := to_version;
    shadow text;
BEGIN
    changed := false;
    IF action IN ('start', 'reload') THEN
        INSERT INTO rule_pointer (current_version, directory_version, changed_by) VALUES (to_version, to_version, by_whom)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            INSERT INTO rule_change (changed_by, action, current_version) VALUES (by_whom, action, to_version);
            changed := true;
            RETURN;
        END IF;
    END IF;
    SELECT p.* INTO was FROM rule_pointer AS p FOR UPDATE;
    IF NOT FOUND THEN
        problem := 'no rules are in force yet';
        RETURN;
    END IF;
    shadow := was.shadow_version;
    CASE action
    WHEN 'start', 'reload' THEN
        UPDATE rule_pointer SET directory_version = to_version;
    WHEN 'promote' THEN
        target := shadow;
        IF target IS NULL THEN
            problem := 'there is no shadow to promote';
        END IF;
    WHEN 'rollback' THEN
        target := coalesce(to_version, was.previous_version);
        IF target IS NULL THEN
            problem := 'there is no version before the one in force';
        ELSIF target = was.current_version THEN
            problem := format('version %s is in force already', target);
        ELSIF NOT EXISTS (SELECT FROM rule_file AS f WHERE f.version = target) THEN
            problem := format('the files of version %s are not kept', target);
        END IF;
    WHEN 'shadow' THEN
        shadow := to_version;
        IF shadow = was.current_version THEN
            problem := format('version %s is in force already; a shadow differs from it', shadow);
        END IF;
        target := was.current_version;
    ELSE
        problem := format('nothing is called %s', action);
    END CASE;
    IF problem IS NOT NULL THEN
        RETURN;
    END IF;
    IF shadow = target THEN
        shadow := NULL;
    END IF;
    changed := target <> was.current_version OR shadow IS DISTINCT FROM was.shadow_version;
    IF NOT changed THEN
        RETURN;
    END IF;
    UPDATE rule_pointer AS p
       SET generation = p.generation + 1, current_version = target, shadow_version = shadow,
           previous_version = CASE WHEN target <> was.current_version THEN was.current_version ELSE was.previous_version END,
           changed_at = clock_timestamp(), changed_by = by_whom;
    INSERT INTO rule_change (changed_at, changed_by, action, current_version, shadow_version, previous_version)
    SELECT p.changed_at, by_whom, change_rules.action, p.current_version, p.shadow_version, p.previous_version FROM rule_pointer AS p;
END
$$;
COMMENT ON FUNCTION change_rules(text, text, text) IS
    'Puts another version of the rules in force on all nodes at once, or sets the shadow; records who did it.';

CREATE VIEW rule_versions AS
SELECT s.version,
       CASE s.version WHEN p.current_version THEN 'current' WHEN p.shadow_version THEN 'shadow'
                      WHEN p.previous_version THEN 'previous' ELSE '' END AS role,
       s.first_loaded, s.last_loaded, s.directory,
       (SELECT count(*) FROM rule_file AS f WHERE f.version = s.version) AS files,
       jsonb_array_length(coalesce(s.description->'rules', '[]')) AS rules,
       (SELECT max(c.changed_at) FROM rule_change AS c WHERE c.current_version = s.version AND c.action <> 'shadow') AS last_in_force_at
  FROM rule_set AS s LEFT JOIN rule_pointer AS p ON true;
COMMENT ON VIEW rule_versions IS 'The versions of the rules that are known, and which of them is in force.';
COMMENT ON COLUMN rule_versions.version IS 'what traces name';
COMMENT ON COLUMN rule_versions.role IS 'current (in force), shadow, previous (what a rollback returns to), or empty';
COMMENT ON COLUMN rule_versions.first_loaded IS 'when it was first seen';
COMMENT ON COLUMN rule_versions.last_loaded IS 'when it was last loaded from files or by an engine';
COMMENT ON COLUMN rule_versions.directory IS 'name of the folder that it came from last';
COMMENT ON COLUMN rule_versions.files IS 'files that are kept of it; 0: too old to return to';
COMMENT ON COLUMN rule_versions.rules IS 'rules in it; 0 before an engine had it in force';
COMMENT ON COLUMN rule_versions.last_in_force_at IS 'when it was last put in force; NULL for one that was a shadow only';

CREATE VIEW rule_changes AS
SELECT c.id AS change_id, c.changed_at, c.changed_by, c.action, c.current_version, c.shadow_version, c.previous_version
  FROM rule_change AS c;
COMMENT ON VIEW rule_changes IS 'Who put which version of the rules in force, and when.';
COMMENT ON COLUMN rule_changes.change_id IS 'number of the change, in the order they were made';
COMMENT ON COLUMN rule_changes.changed_at IS 'when; every event claimed after it runs the new version, on every node';
COMMENT ON COLUMN rule_changes.changed_by IS 'who: user@host, or serve@host for a start, a signal or a watched file';
COMMENT ON COLUMN rule_changes.action IS 'start, reload, shadow, promote or rollback';
COMMENT ON COLUMN rule_changes.current_version IS 'the version in force after it';
COMMENT ON COLUMN rule_changes.shadow_version IS 'the shadow after it, if any';
COMMENT ON COLUMN rule_changes.previous_version IS 'the version that a rollback would have returned to';

-- The read-only role sees every view; to be called by migrations that add some.
CREATE FUNCTION grant_views() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    view_name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'answerd_read') THEN
        RETURN;
    END IF;
    FOR view_name IN SELECT c.relname FROM pg_class AS c WHERE c.relkind = 'v' AND c.relnamespace = current_schema()::regnamespace LOOP
        EXECUTE format('GRANT SELECT ON %I TO answerd_read', view_name);
    END LOOP;
END
$$;
SELECT grant_views();
