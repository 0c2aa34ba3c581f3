-- Quarantine: after so many failures in a row, with one trial for one worker, twice as long each time.

CREATE FUNCTION test.rest(worker bigint) RETURNS text
LANGUAGE sql
RETURN (SELECT resting::text || ' ' || trials::text FROM rest_rules('v1', 3, '10 seconds', '25 seconds', worker));
CREATE FUNCTION test.ran(well boolean, of_set text DEFAULT 'v1') RETURNS void
LANGUAGE sql
AS $$ SELECT write_rule_health(jsonb_build_array(jsonb_build_object('rule', 'r', 'rule_set', of_set, 'failed', NOT well, 'error', 'x.lua:1'))) $$;
CREATE FUNCTION test.later() RETURNS void
LANGUAGE sql
AS $$ UPDATE rule_trouble SET quarantined_until = quarantined_until - rest - interval '1 second', updated_at = updated_at - rest - interval '1 second',
        trial_until = trial_until - interval '1 minute' $$;

SELECT test.ran(false), test.ran(false);
SELECT test.same(test.rest(1), '[] []', 'two failures are none');
SELECT test.ran(false);
SELECT test.same(test.rest(1), '["r"] []', 'the third is one too many');
SELECT test.same((SELECT state || ' ' || rests || ' ' || rest_seconds FROM rule_health), 'quarantined 1 10', 'for ten seconds');
SELECT test.same(test.rest(2), '["r"] []', 'on every node');
SELECT test.same((SELECT count(*) FROM event WHERE type = 'custom.system_alert' AND doc #>> '{body,problem}' = 'rule_quarantined'), 1::bigint, 'somebody hears of it');

SELECT test.later();
SELECT test.same((SELECT state FROM rule_health), 'on trial', 'its time is over');
SELECT test.same(test.rest(1), '["r"] ["r"]', 'one worker may try');
SELECT test.same(test.rest(2), '["r"] []', 'the other may not');
SELECT test.same(test.rest(1), '["r"] []', 'it was told before');
SELECT test.ran(false);
SELECT test.same(test.rest(1), '["r"] []', 'it failed');
SELECT test.same((SELECT rests || ' ' || rest_seconds FROM rule_health), '2 20', 'twice as long');
SELECT test.later();
SELECT test.same(test.rest(2), '["r"] ["r"]', 'now the other');
SELECT test.ran(false), test.rest(2);
SELECT test.same((SELECT rests || ' ' || rest_seconds FROM rule_health), '3 25', 'but no longer than the longest');

-- A worker that makes nothing of its trial does not keep it; it comes again when nobody else wants it.
SELECT test.later(), test.rest(1);
SELECT test.same(test.rest(2), '["r"] []', 'it has it');
UPDATE rule_trouble SET trial_until = now() - interval '1 second';
SELECT test.same(test.rest(1), '["r"] []', 'it had it');
SELECT test.same(test.rest(2), '["r"] ["r"]', 'somebody else tries');
UPDATE rule_trouble SET trial_until = now() - interval '4 seconds';
SELECT test.same(test.rest(2), '["r"] ["r"]', 'again');
SELECT test.ran(true);
SELECT test.same(test.rest(1), '[] []', 'it runs well');
SELECT test.same((SELECT state || ' ' || rests FROM rule_health), 'well 0', 'and all is forgotten');
SELECT test.ran(false), test.ran(false);
SELECT test.same(test.rest(1), '[] []', 'it begins to count anew');

-- Another version of the rules begins anew, too.
SELECT test.ran(false), test.rest(1);
SELECT test.same((SELECT state FROM rule_health), 'quarantined', 'under this version');
-- An engine that still has, or already has, other rules does not take the trial from those who have these.
SELECT test.later();
SELECT test.same((SELECT resting::text || ' ' || trials::text FROM rest_rules('v2', 3, '10 seconds', '25 seconds', 9)), '[] []', 'nothing of its own');
SELECT test.same(test.rest(1), '["r"] ["r"]', 'the trial is there');
SELECT test.ran(false, 'v2');
SELECT test.same((SELECT failures_in_row || ' ' || rests || ' ' || (quarantined_until IS NULL) FROM rule_trouble), '1 0 true', 'the new one failed once');
