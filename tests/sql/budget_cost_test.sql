-- What a budget costs a batch: as much after an hour of sending as at its beginning, however long somebody holds an old snapshot.

CREATE TABLE cost (what text, pages integer);
-- A batch that sends nothing, of a rule with a budget.
CREATE FUNCTION test.count_for(what text) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO cost SELECT what, test.pages($q$SELECT hold_excess('[{"id": 1, "kind": "message"}]',
        '{"a": {"sends_per_hour": 1000000, "sends_per_minute": 1000000}}')$q$)
$$;
CREATE TABLE began AS SELECT date_bin('10 seconds', now(), 'epoch'::timestamptz) AS slot;
-- Ten seconds at 20 batches a second, `ago` ten seconds ago; then another batch looks.
CREATE PROCEDURE test.ten_seconds(ago integer)
LANGUAGE plpgsql
AS $$
BEGIN
    FOR i IN 1 .. 200 LOOP
        INSERT INTO rule_sends AS s SELECT 'a', slot - ago * interval '10 seconds', 1 FROM began
            ON CONFLICT (rule, slot) DO UPDATE SET sends = s.sends + excluded.sends;
        COMMIT;
    END LOOP;
    PERFORM sends_of_rule('a');
    COMMIT;
END
$$;

SELECT test.count_for('at the beginning') FROM generate_series(1, 2); -- the first one makes the plans
DELETE FROM cost WHERE ctid = '(0,1)';
SELECT test.open('slow'), test.run('slow', 'BEGIN ISOLATION LEVEL REPEATABLE READ'), test.ask('slow', 'SELECT count(*)::text FROM rule_sends');
DO $$ BEGIN FOR ago IN REVERSE 60 .. 1 LOOP CALL test.ten_seconds(ago); END LOOP; END $$;
SELECT test.count_for('after some minutes');
SELECT test.same((SELECT in_hour FROM sends_of_rule('a')), 60 * 200, 'nothing is forgotten');
SELECT test.same((SELECT count(*) BETWEEN 1 AND 6 FROM rule_sends), true, 'a minute is where it is counted');
-- As many dead rows as in an hour, of what is over.
INSERT INTO rule_sends_settled SELECT 'a', slot - n * interval '10 seconds', 200 FROM began, generate_series(61, 350) AS n;
SELECT test.count_for('after an hour');
SELECT test.run('slow', 'COMMIT');
SELECT 'measured: beside what was sent before, a budget costs a batch: ' || string_agg(what || ' ' || pages, ', ') || ' pages' FROM cost;
SELECT test.holds((SELECT max(pages) < 100 FROM cost), 'what is over is not visited');
