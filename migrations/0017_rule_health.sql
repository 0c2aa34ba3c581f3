-- Rules in quarantine get one trial when their time is over; crons say what they do about times that were missed.
--
-- Why: a rule that works again must come back by itself, and one that does not must not fail on every event of every node.
-- Locks: ACCESS EXCLUSIVE on small tables for a moment. Takes: milliseconds.

ALTER TABLE rule_health RENAME TO rule_trouble;
ALTER TABLE rule_trouble
    ADD COLUMN rests       integer  NOT NULL DEFAULT 0,            -- quarantines since it last ran well
    ADD COLUMN rest        interval NOT NULL DEFAULT interval '0', -- length of the last one
    ADD COLUMN trial_by    bigint,                                 -- the engine worker that may try it once
    ADD COLUMN trial_until timestamptz;
COMMENT ON TABLE rule_trouble IS 'Rules that failed lately, and those in quarantine.';

-- As before; running well ends the quarantine and what led to it.
CREATE OR REPLACE FUNCTION write_rule_health(rows jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT r.*
          FROM jsonb_array_elements(rows) WITH ORDINALITY AS d (doc, n)
         CROSS JOIN LATERAL jsonb_to_record(d.doc)
               AS r (rule text, rule_set text, failed boolean, error text)
         WHERE r.failed OR r.rule IN (SELECT rule FROM rule_trouble WHERE failures_in_row > 0)
                        OR r.rule IN (SELECT x->>'rule' FROM jsonb_array_elements(rows) AS x WHERE x->>'failed' = 'true')
         ORDER BY r.rule, d.n
    LOOP
        IF entry.failed THEN
            INSERT INTO rule_trouble AS h (rule, rule_set, failures_in_row, last_error, updated_at)
            VALUES (entry.rule, coalesce(entry.rule_set, ''), 1, entry.error, now())
            ON CONFLICT (rule) DO UPDATE
               SET failures_in_row = CASE WHEN h.rule_set = excluded.rule_set THEN h.failures_in_row + 1 ELSE 1 END,
                   rests = CASE WHEN h.rule_set = excluded.rule_set THEN h.rests ELSE 0 END,
                   quarantined_until = CASE WHEN h.rule_set = excluded.rule_set THEN h.quarantined_until END,
                   rule_set = excluded.rule_set, last_error = excluded.last_error, updated_at = now();
        ELSE
            UPDATE rule_trouble AS h
               SET failures_in_row = 0, quarantined_until = NULL, rests = 0, rest = interval '0', trial_by = NULL, trial_until = NULL,
                   rule_set = coalesce(entry.rule_set, h.rule_set), updated_at = now()
             WHERE h.rule = entry.rule AND h.failures_in_row > 0;
        END IF;
    END LOOP;
END
$$;

-- Which rules of a set rest, for one engine worker, and which of these it may try once. A rule that failed `most_failures`
-- times in a row rests for `first_rest`; when that is over, one worker gets the trial, for three seconds; when no event came
-- to it that the rule matches, the next worker gets it. When the trial fails, the rule rests twice as long as before, up to
-- `longest_rest`.
CREATE FUNCTION rest_rules(of_set text, most_failures integer, first_rest interval, longest_rest interval, worker bigint,
                           OUT resting jsonb, OUT trials jsonb)
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    troubled rule_trouble;
    next_rest interval;
    next_until timestamptz;
BEGIN
    FOR troubled IN
        SELECT t.* FROM rule_trouble AS t
         WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures
           AND (t.quarantined_until IS NULL OR t.updated_at > t.quarantined_until)
         ORDER BY t.rule FOR UPDATE SKIP LOCKED
    LOOP
        next_rest := least(CASE troubled.rests WHEN 0 THEN first_rest ELSE troubled.rest * 2 END, greatest(longest_rest, first_rest));
        next_until := clock_timestamp() + next_rest;
        UPDATE rule_trouble AS t
           SET rests = t.rests + 1, rest = next_rest, quarantined_until = next_until, trial_by = NULL, trial_until = NULL
         WHERE t.rule = troubled.rule;
        PERFORM raise_alert('rule_quarantined', 'rule ' || troubled.rule, jsonb_build_object(
            'rule', troubled.rule, 'rule_set', of_set, 'severity', 'critical', 'until', next_until, 'error', left(troubled.last_error, 500),
            'summary', format('the rule %s rests until %s UTC: it failed %s times in a row', troubled.rule,
                              to_char(next_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), troubled.failures_in_row)));
    END LOOP;
    WITH free AS (
        SELECT t.rule FROM rule_trouble AS t
         WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures AND t.quarantined_until <= clock_timestamp()
           AND t.updated_at <= t.quarantined_until
           AND (t.trial_until IS NULL OR t.trial_until < clock_timestamp() - CASE t.trial_by WHEN worker THEN interval '3 seconds' ELSE interval '0' END)
         ORDER BY t.rule FOR UPDATE SKIP LOCKED
    ), mine AS (
        UPDATE rule_trouble AS t SET trial_by = worker, trial_until = clock_timestamp() + interval '3 seconds'
          FROM free WHERE t.rule = free.rule RETURNING t.rule
    )
    SELECT coalesce(jsonb_agg(m.rule ORDER BY m.rule), '[]') INTO trials FROM mine AS m;
    SELECT coalesce(jsonb_agg(t.rule ORDER BY t.rule), '[]') INTO resting
      FROM rule_trouble AS t
     WHERE t.rule_set = of_set AND t.failures_in_row >= most_failures AND t.quarantined_until IS NOT NULL;
END
$$;
COMMENT ON FUNCTION rest_rules(text, integer, interval, interval, bigint) IS
    'Puts rules to rest that failed too often, and gives one worker the trial of those whose time is over.';

CREATE VIEW rule_health AS
SELECT coalesce(k.rule, t.rule) AS rule,
       CASE WHEN t.rule IS NULL OR t.failures_in_row = 0 OR t.rule_set <> coalesce(k.rule_set, t.rule_set) THEN 'well'
            WHEN t.quarantined_until > now() THEN 'quarantined'
            WHEN t.quarantined_until IS NOT NULL THEN 'on trial' ELSE 'failing' END AS state,
       coalesce(t.failures_in_row, 0) AS failures_in_row,
       CASE WHEN t.rule_set = coalesce(k.rule_set, t.rule_set) THEN t.quarantined_until END AS quarantined_until,
       coalesce(t.rests, 0) AS rests, extract(epoch FROM t.rest)::bigint AS rest_seconds,
       t.last_error, t.updated_at, coalesce(k.rule_set, t.rule_set) AS rule_set
  FROM (SELECT r->>'name' AS rule, p.current_version AS rule_set
          FROM rule_pointer AS p JOIN rule_set AS s ON s.version = p.current_version
         CROSS JOIN LATERAL jsonb_array_elements(coalesce(s.description->'rules', '[]')) AS r) AS k
  FULL JOIN rule_trouble AS t ON t.rule = k.rule;
COMMENT ON VIEW rule_health IS 'How the rules do: those in force, and those that failed lately.';
COMMENT ON COLUMN rule_health.rule IS 'name of the rule';
COMMENT ON COLUMN rule_health.state IS
    'well, failing, quarantined (left out until quarantined_until) or on trial (the next event that it matches decides)';
COMMENT ON COLUMN rule_health.failures_in_row IS 'how often it failed since it last ran well';
COMMENT ON COLUMN rule_health.quarantined_until IS 'when its trial is due';
COMMENT ON COLUMN rule_health.rests IS 'quarantines since it last ran well; each is twice as long as the one before';
COMMENT ON COLUMN rule_health.rest_seconds IS 'length of the last of them';
COMMENT ON COLUMN rule_health.last_error IS 'what went wrong last';
COMMENT ON COLUMN rule_health.updated_at IS 'when it failed last, or ran well again; NULL when it never failed';
COMMENT ON COLUMN rule_health.rule_set IS 'version of the rules';

ALTER TABLE cron ADD COLUMN missed text NOT NULL DEFAULT 'skip' CHECK (missed IN ('skip', 'run_once'));

CREATE VIEW cron_list AS
SELECT c.name, c.schedule, c.missed, c.next_at, c.last_at, c.rule_set FROM cron AS c;
COMMENT ON VIEW cron_list IS 'Schedules that the rules in force declare.';
COMMENT ON COLUMN cron_list.name IS 'its event is cron.NAME';
COMMENT ON COLUMN cron_list.schedule IS '{cron, timezone} or {every_ms}';
COMMENT ON COLUMN cron_list.missed IS 'what happens to times at which no engine ran: skip, or run_once for all of them together';
COMMENT ON COLUMN cron_list.next_at IS 'when it fires next';
COMMENT ON COLUMN cron_list.last_at IS 'the time it last fired for';
COMMENT ON COLUMN cron_list.rule_set IS 'version of the rules';

SELECT grant_views();
