-- Every process says which sources its configuration has, and all engines decide with the sources of all of them.
--
-- Why: while a source was added node by node, a node without it handled events of that source all the same, and could not
-- answer: nobody can be reached at a source that one does not know.
-- Locks: none. Takes: milliseconds.

-- Each process holds a session lock of class 4207 for as long as its connection lives, as senders do theirs.
CREATE SEQUENCE process_number AS integer CYCLE;

CREATE TABLE known_source (
    process    integer     NOT NULL,
    source     text        NOT NULL,
    settings   jsonb       NOT NULL, -- what rules decide by: {kind, provider, sends, window_ms}
    delivers   boolean     NOT NULL, -- its process also sends
    gone_since timestamptz,          -- when somebody found that the process is not there
    PRIMARY KEY (process, source)
);
COMMENT ON TABLE known_source IS 'Which sources the configuration of each process has. Kept for two minutes after its end: it may only be restarted.';

-- {name: {kind, provider, sends, window_ms, delivers}} of the sources of all processes.
CREATE FUNCTION known_sources() RETURNS jsonb
LANGUAGE sql STABLE
RETURN (SELECT coalesce(jsonb_object_agg(k.source, k.settings || jsonb_build_object('delivers', k.delivers)), '{}')
          FROM (SELECT DISTINCT ON (s.source) s.source, s.settings, bool_or(s.delivers) OVER (PARTITION BY s.source) AS delivers
                  FROM known_source AS s
                 ORDER BY s.source, s.gone_since DESC NULLS FIRST, s.process DESC) AS k);
COMMENT ON FUNCTION known_sources() IS 'The sources of all processes, by name, as rules see them.';

-- Registers this session as a process, for as long as it lives. `former` is the number that it had before its connection broke:
-- it keeps that, unless somebody holds it. Returns the number.
CREATE FUNCTION start_process(former integer DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    process integer := former;
BEGIN
    WHILE process IS NULL OR NOT pg_try_advisory_lock(4207, process) LOOP
        process := nextval('process_number');
    END LOOP;
    RETURN process;
END
$$;
COMMENT ON FUNCTION start_process(integer) IS 'Registers this session as that of a process, for as long as it lives; returns its number.';

-- Says which sources this process knows, and forgets those of processes that are gone. To be called again from time to time,
-- for the sake of the others.
--
-- When that changes what all know together, it counts as a change of the rules: an engine that claims events afterwards sees
-- that it has to look first. So who has said what it knows before it takes a source's first webhook can be sure that each
-- engine knows the source, too.
CREATE FUNCTION publish_sources(of_process integer, sources jsonb, delivers boolean) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    before jsonb;
BEGIN
    -- One at a time: each compares what was known before it with what is known after it.
    PERFORM pg_advisory_xact_lock(4208, 0);
    before := known_sources();

    DELETE FROM known_source AS k WHERE k.process = of_process AND NOT publish_sources.sources ? k.source;
    INSERT INTO known_source AS k (process, source, settings, delivers)
    SELECT of_process, s.key, s.value, publish_sources.delivers FROM jsonb_each(publish_sources.sources) AS s
        ON CONFLICT (process, source) DO UPDATE
       SET settings = excluded.settings, delivers = excluded.delivers, gone_since = NULL
     WHERE k.settings <> excluded.settings OR k.delivers <> excluded.delivers OR k.gone_since IS NOT NULL;

    DELETE FROM known_source AS k WHERE k.gone_since < clock_timestamp() - interval '2 minutes';
    UPDATE known_source AS k SET gone_since = clock_timestamp()
     WHERE k.process <> of_process AND k.gone_since IS NULL AND pg_try_advisory_xact_lock(4207, k.process);

    IF known_sources() <> before THEN
        UPDATE rule_pointer SET generation = generation + 1;
    END IF;
END
$$;
COMMENT ON FUNCTION publish_sources(integer, jsonb, boolean) IS 'Says which sources a process knows, and forgets those of processes that are gone.';
