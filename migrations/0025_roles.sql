-- The role that serves: answerd_app may work with the rows of every table, and change no table.
--
-- Why: whoever takes over a running server cannot drop the history, change a function, or read another database's files.
-- Locks: ACCESS EXCLUSIVE on no table. Takes: milliseconds.
--
--   CREATE ROLE answerd_server LOGIN PASSWORD '…' IN ROLE answerd_app;   -- for `answerd serve`
--   the owner of the tables runs `answerd migrate`, which grants what new tables need

-- Gives the roles what they need, as far as the roles exist; `answerd migrate` calls it after every run. Months are made
-- and dropped by two functions that run as their owner, because a partition is made by the owner of its table.
CREATE FUNCTION grant_roles() RETURNS void
LANGUAGE plpgsql
SET client_min_messages = 'warning'
AS $$
DECLARE
    home constant text := current_schema();
    definer text;
BEGIN
    PERFORM pg_advisory_xact_lock(4200, 0); -- two at once would change the same rows of the catalogue
    FOREACH definer IN ARRAY ARRAY['make_partitions(integer)', 'drop_partitions(integer, text[])'] LOOP
        EXECUTE format('ALTER FUNCTION %I.%s SECURITY DEFINER SET search_path = %I, pg_temp', home, definer, home);
        EXECUTE format('REVOKE ALL ON FUNCTION %I.%s FROM PUBLIC', home, definer);
    END LOOP;
    PERFORM grant_views();
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'answerd_app') THEN
            CREATE ROLE answerd_app NOLOGIN;
        END IF;
    EXCEPTION
        WHEN insufficient_privilege THEN
            RETURN; -- somebody who may create roles makes it, and the next run grants
        WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database of the cluster is being migrated at this moment
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO answerd_app', home);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO answerd_app', home);
    IF to_regclass('schema_migration') IS NOT NULL THEN
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I.schema_migration FROM answerd_app', home);
    END IF;
    EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO answerd_app', home);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %I TO answerd_app', home);
END
$$;
REVOKE ALL ON FUNCTION grant_roles() FROM PUBLIC;
COMMENT ON FUNCTION grant_roles() IS
    'Grants answerd_app what a running server needs, and answerd_read the views; answerd migrate calls it.';
SELECT grant_roles();
