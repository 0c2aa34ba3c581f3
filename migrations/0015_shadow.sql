-- What the shadow rules would have done on live events, beside what the rules in force did.
--
-- Why: a new version of the rules is compared on real traffic before customers meet it.
-- Locks: none that anyone could wait for. Takes: about 100 ms.

CREATE TABLE shadow_run (
    event_id      bigint      NOT NULL,
    handled_at    timestamptz NOT NULL DEFAULT now(),
    live_set      text        NOT NULL,
    shadow_set    text        NOT NULL,
    micros        bigint      NOT NULL,
    PRIMARY KEY (event_id, handled_at)
) PARTITION BY RANGE (handled_at);
COMMENT ON TABLE shadow_run IS 'Events on which the shadow rules were tried, also those on which none of them ran. By month.';

CREATE TABLE shadow_trace (
    event_id      bigint      NOT NULL,
    handled_at    timestamptz NOT NULL DEFAULT now(),
    number        smallint    NOT NULL,
    rule          text        NOT NULL,
    verdict       text        NOT NULL,
    file          text,
    line          integer,
    rule_set      text        NOT NULL,
    instructions  bigint      NOT NULL DEFAULT 0,
    micros        bigint      NOT NULL DEFAULT 0,
    effects       jsonb       NOT NULL DEFAULT '[]',
    error         text,
    PRIMARY KEY (event_id, number, handled_at)
) PARTITION BY RANGE (handled_at);
COMMENT ON TABLE shadow_trace IS 'What each shadow rule would have done on an event. Nothing of it was applied. By month.';

-- As before, for every partitioned table there is.
CREATE OR REPLACE FUNCTION make_partitions(months_ahead integer DEFAULT 3) RETURNS integer
LANGUAGE plpgsql
SET timezone = 'UTC'
SET client_min_messages = 'warning'
AS $$
DECLARE
    parents constant text[] := ARRAY(SELECT c.relname::text FROM pg_class AS c
                                      WHERE c.relkind = 'p' AND c.relnamespace = current_schema()::regnamespace ORDER BY 1);
    parent text;
    month date;
    partition text;
    made integer := 0;
BEGIN
    -- The usual case, asked without a lock: all are there.
    PERFORM 1
      FROM unnest(parents) AS t (name)
     CROSS JOIN generate_series(-1, months_ahead) AS n
     WHERE to_regclass(format('%I', t.name || '_' || to_char(month_of(now()) + make_interval(months => n), 'YYYYMM'))) IS NULL;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(4202, 0);
    FOREACH parent IN ARRAY parents LOOP
        FOR n IN -1 .. months_ahead LOOP
            month := (month_of(now()) + make_interval(months => n))::date;
            partition := parent || '_' || to_char(month, 'YYYYMM');
            CONTINUE WHEN to_regclass(format('%I', partition)) IS NOT NULL;
            -- A table that is attached later, and not PARTITION OF, because that would lock out readers and writers.
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           parent, partition, month, (month + interval '1 month')::date);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
SELECT make_partitions(3);

-- Writes what a batch of events came to under the shadow rules: runs are {event_id, live_set, shadow_set, micros}, traces as
-- the engine makes them.
CREATE FUNCTION record_shadow(runs jsonb, traces jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    INSERT INTO shadow_run (event_id, handled_at, live_set, shadow_set, micros)
    SELECT r.event_id, now(), r.live_set, r.shadow_set, r.micros
      FROM jsonb_to_recordset(runs) AS r (event_id bigint, live_set text, shadow_set text, micros bigint);
    INSERT INTO shadow_trace (event_id, handled_at, number, rule, verdict, file, line, rule_set, instructions, micros, effects, error)
    SELECT r.event_id, now(), r.number, r.rule, r.verdict, r.file, r.line, coalesce(r.rule_set, ''),
           coalesce(r.instructions, 0), coalesce(r.micros, 0), coalesce(r.effects, '[]'), r.error
      FROM jsonb_populate_recordset(NULL::shadow_trace, traces) AS r;
END
$$;

-- Compares two lists of effects. Where a rule asked, and the numbers that its effects got, do not count. An effect of the
-- same kind on the same conversation that differs otherwise is a change; what then has no partner was added or removed.
CREATE FUNCTION effect_diff(live jsonb, shadow jsonb, OUT same bigint, OUT added jsonb, OUT removed jsonb, OUT changed jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH given AS (
        SELECT 'live' AS side, n, e - '{line,made,handle}'::text[] AS e FROM jsonb_array_elements(live) WITH ORDINALITY AS l (e, n)
         UNION ALL
        SELECT 'shadow', n, e - '{line,made,handle}'::text[] FROM jsonb_array_elements(shadow) WITH ORDINALITY AS s (e, n)
    ), counted AS (
        SELECT side, n, e, row_number() OVER (PARTITION BY side, e ORDER BY n) AS k FROM given
    ), alone AS (
        SELECT c.side, c.n, c.e, c.e->>'do' AS kind, coalesce(c.e->>'conversation', '') AS target,
               row_number() OVER (PARTITION BY c.side, c.e->>'do', coalesce(c.e->>'conversation', '') ORDER BY c.n) AS k
          FROM counted AS c
         WHERE NOT EXISTS (SELECT FROM counted AS o WHERE o.side <> c.side AND o.e = c.e AND o.k = c.k)
    ), paired AS (
        SELECT l.e AS live, s.e AS shadow, coalesce(l.n, s.n) AS n
          FROM (SELECT * FROM alone WHERE side = 'live') AS l
          FULL JOIN (SELECT * FROM alone WHERE side = 'shadow') AS s ON s.kind = l.kind AND s.target = l.target AND s.k = l.k
    )
    SELECT (SELECT count(*) FROM counted WHERE side = 'live') - (SELECT count(*) FROM alone WHERE side = 'live'),
           coalesce(jsonb_agg(p.shadow ORDER BY p.n) FILTER (WHERE p.live IS NULL), '[]'),
           coalesce(jsonb_agg(p.live ORDER BY p.n) FILTER (WHERE p.shadow IS NULL), '[]'),
           coalesce(jsonb_agg(jsonb_build_object('live', p.live, 'shadow', p.shadow) ORDER BY p.n)
                    FILTER (WHERE p.live IS NOT NULL AND p.shadow IS NOT NULL), '[]')
      FROM paired AS p
$$;
COMMENT ON FUNCTION effect_diff(jsonb, jsonb) IS 'What was added, removed and changed between two lists of effects, as traces hold them.';

CREATE VIEW shadow_comparison AS
SELECT r.event_id, r.handled_at, e.type AS event_type, x.rule, x.live_verdict, x.shadow_verdict,
       d.same, d.added, d.removed, d.changed, x.live_error, x.shadow_error, x.place, x.shadow_micros,
       r.live_set, r.shadow_set,
       d.added <> '[]' OR d.removed <> '[]' OR d.changed <> '[]' OR x.live_verdict IS DISTINCT FROM x.shadow_verdict AS differs
  FROM shadow_run AS r
  LEFT JOIN event AS e ON e.id = r.event_id
 CROSS JOIN LATERAL (
       SELECT coalesce(t.rule, s.rule) AS rule, t.verdict AS live_verdict, s.verdict AS shadow_verdict,
              coalesce(t.effects, '[]') AS live, coalesce(s.effects, '[]') AS shadow, t.error AS live_error,
              s.error AS shadow_error, s.file || ':' || s.line AS place, s.micros AS shadow_micros
         FROM (SELECT y.* FROM trace AS y
                WHERE y.event_id = r.event_id AND y.rule_set = r.live_set AND y.rule NOT LIKE 'answerd.%'
                  AND y.handled_at BETWEEN r.handled_at - interval '1 day' AND r.handled_at + interval '1 day') AS t
         FULL JOIN (SELECT z.* FROM shadow_trace AS z
                     WHERE z.event_id = r.event_id AND z.handled_at = r.handled_at AND z.rule NOT LIKE 'answerd.%') AS s
                ON s.rule = t.rule) AS x
 CROSS JOIN LATERAL effect_diff(x.live, x.shadow) AS d;
COMMENT ON VIEW shadow_comparison IS 'Each rule on each event that the shadow rules were tried on: what they would have done, against what was done.';
COMMENT ON COLUMN shadow_comparison.event_id IS 'the event';
COMMENT ON COLUMN shadow_comparison.handled_at IS 'when the shadow rules were tried, right after the event was handled';
COMMENT ON COLUMN shadow_comparison.event_type IS 'type of the event';
COMMENT ON COLUMN shadow_comparison.rule IS 'name of the rule';
COMMENT ON COLUMN shadow_comparison.live_verdict IS 'verdict of the rule in force; NULL when it has no such rule for this event';
COMMENT ON COLUMN shadow_comparison.shadow_verdict IS 'verdict of the shadow rule; NULL when it has no such rule for this event';
COMMENT ON COLUMN shadow_comparison.same IS 'number of effects that are the same in both';
COMMENT ON COLUMN shadow_comparison.added IS 'effects that only the shadow rule asked for';
COMMENT ON COLUMN shadow_comparison.removed IS 'effects that only the rule in force asked for';
COMMENT ON COLUMN shadow_comparison.changed IS 'effects of one kind on one conversation that differ: {live, shadow}';
COMMENT ON COLUMN shadow_comparison.live_error IS 'what went wrong in the rule in force';
COMMENT ON COLUMN shadow_comparison.shadow_error IS 'what went wrong in the shadow rule';
COMMENT ON COLUMN shadow_comparison.place IS 'file:line of the shadow rule';
COMMENT ON COLUMN shadow_comparison.shadow_micros IS 'microseconds that the shadow rule took';
COMMENT ON COLUMN shadow_comparison.live_set IS 'version of the rules in force';
COMMENT ON COLUMN shadow_comparison.shadow_set IS 'version of the shadow';
COMMENT ON COLUMN shadow_comparison.differs IS 'true when effects or verdict are not the same';

CREATE VIEW shadow_diff AS SELECT * FROM shadow_comparison WHERE differs;
COMMENT ON VIEW shadow_diff IS 'Where the shadow rules would have done something else: one row for each event and rule.';
DO $$
DECLARE
    commented record;
BEGIN
    -- The same columns mean the same.
    FOR commented IN
        SELECT a.attname, col_description(a.attrelid, a.attnum) AS what FROM pg_attribute AS a
         WHERE a.attrelid = 'shadow_comparison'::regclass AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN shadow_diff.%I IS %L', commented.attname, commented.what);
    END LOOP;
END
$$;

CREATE VIEW shadow_summary AS
SELECT c.live_set, c.shadow_set, c.rule, count(*) AS events, count(*) FILTER (WHERE c.differs) AS differing,
       coalesce(sum(c.same), 0)::bigint AS same,
       coalesce(sum(jsonb_array_length(c.added)), 0)::bigint AS added,
       coalesce(sum(jsonb_array_length(c.removed)), 0)::bigint AS removed,
       coalesce(sum(jsonb_array_length(c.changed)), 0)::bigint AS changed,
       count(*) FILTER (WHERE c.shadow_verdict IN ('failed', 'over_budget')) AS shadow_failures,
       round(avg(c.shadow_micros), 1) AS shadow_micros, max(c.handled_at) AS last_at
  FROM shadow_comparison AS c
 GROUP BY 1, 2, 3;
COMMENT ON VIEW shadow_summary IS 'Counts of shadow_comparison for each rule and pair of versions.';
COMMENT ON COLUMN shadow_summary.live_set IS 'version of the rules in force';
COMMENT ON COLUMN shadow_summary.shadow_set IS 'version of the shadow';
COMMENT ON COLUMN shadow_summary.rule IS 'name of the rule';
COMMENT ON COLUMN shadow_summary.events IS 'events that either version has such a rule for';
COMMENT ON COLUMN shadow_summary.differing IS 'those among them on which the two differ';
COMMENT ON COLUMN shadow_summary.same IS 'effects that are the same';
COMMENT ON COLUMN shadow_summary.added IS 'effects that only the shadow asked for';
COMMENT ON COLUMN shadow_summary.removed IS 'effects that only the rules in force asked for';
COMMENT ON COLUMN shadow_summary.changed IS 'effects that both asked for in different words';
COMMENT ON COLUMN shadow_summary.shadow_failures IS 'events on which the shadow rule failed or ran out of its budget';
COMMENT ON COLUMN shadow_summary.shadow_micros IS 'average microseconds of the shadow rule';
COMMENT ON COLUMN shadow_summary.last_at IS 'when it was last tried';

SELECT grant_views();

-- Shadow traces can be dropped like traces; they hold what customers wrote, so erasing a contact empties them.
CREATE FUNCTION forget_shadow_of_contact() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE shadow_trace AS s SET effects = '[]', error = NULL
     WHERE s.event_id IN (SELECT h.event_id FROM handling AS h WHERE h.contact_id = NEW.id);
    RETURN NEW;
END
$$;
CREATE TRIGGER contact_erased_shadow AFTER UPDATE OF erased_at ON contact
    FOR EACH ROW WHEN (OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_shadow_of_contact();
