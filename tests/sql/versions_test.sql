-- Which rules are in force: every change counts the generation up and is recorded; what makes no sense changes nothing.

SELECT record_rule_files(v, 'rules', ARRAY['a.lua'], ARRAY[convert_to('-- ' || v, 'UTF8')]) FROM unnest(ARRAY['v1', 'v2', 'v3']) AS v;
CREATE FUNCTION test.change(action text, version text DEFAULT NULL) RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce(problem, CASE WHEN changed THEN (SELECT 'now ' || current_version FROM rule_pointer) ELSE 'as before' END)
        FROM change_rules(action, version, 'ann') $$;
CREATE FUNCTION test.pointer() RETURNS text
LANGUAGE sql
RETURN (SELECT concat_ws(' ', generation, current_version, coalesce(shadow_version, '-'), coalesce(previous_version, '-')) FROM rule_pointer);

SELECT test.same(test.change('promote'), 'no rules are in force yet', 'nothing to promote');
SELECT test.change('start', 'v1');
SELECT test.same(test.pointer(), '1 v1 - -', 'the first');
SELECT test.same(test.change('reload', 'v1'), 'as before', 'again');
SELECT test.same(test.change('rollback'), 'there is no version before the one in force', 'no way back');
SELECT test.same(test.change('promote'), 'there is no shadow to promote', 'no shadow');
SELECT test.same(test.change('shadow', 'v1'), 'version v1 is in force already; a shadow differs from it', 'no shadow of itself');
SELECT test.same(test.pointer(), '1 v1 - -', 'all that changed nothing');
SELECT test.change('shadow', 'v2');
SELECT test.same(test.pointer(), '2 v1 v2 -', 'a shadow');
SELECT test.change('promote');
SELECT test.same(test.pointer(), '3 v2 - v1', 'in force');
SELECT test.change('shadow', 'v1'), test.change('rollback');
SELECT test.same(test.pointer(), '5 v1 - v2', 'back; the shadow is what is in force now');
SELECT test.change('rollback');
SELECT test.same(test.pointer(), '6 v2 - v1', 'and forth');
SELECT test.same(test.change('rollback', 'v9'), 'the files of version v9 are not kept', 'a version that nobody knows');
SELECT test.change('reload', 'v3');
SELECT test.same(test.pointer(), '7 v3 - v2', 'another one');
SELECT test.same((SELECT string_agg(action, ' ' ORDER BY change_id) FROM rule_changes), 'start shadow promote shadow rollback rollback reload', 'all recorded');
SELECT test.same((SELECT string_agg(version || ':' || role, ' ' ORDER BY version) FROM rule_versions), 'v1: v2:previous v3:current', 'with their roles');

-- Two at once: one after the other.
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$SELECT test.change('rollback')$$);
SELECT test.start('b', $$SELECT test.change('rollback')$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), 'now v3', 'the second goes back from where the first went');

-- Files are kept for the last fifty, and for those in use.
UPDATE rule_set SET last_loaded = now() - interval '1 year' WHERE version LIKE 'v%';
SELECT record_rule_files('w' || n, 'rules', ARRAY['a.lua'], ARRAY[''::bytea]) FROM generate_series(1, 60) AS n;
SELECT test.same((SELECT count(DISTINCT version) FROM rule_file WHERE version NOT LIKE 'v%'), 50::bigint, 'fifty');
SELECT test.same((SELECT string_agg(version, ' ' ORDER BY version) FROM rule_file WHERE version LIKE 'v%'), 'v2 v3', 'and those in use');
SELECT test.same((SELECT count(*) FROM rule_set WHERE version = 'v1'), 1::bigint, 'its name stays, because traces have it');

-- Differences of effects.
CREATE FUNCTION test.diff(live text, shadow text) RETURNS text
LANGUAGE sql
RETURN (SELECT same || ' +' || added || ' -' || removed || ' ~' || changed FROM effect_diff(live::jsonb, shadow::jsonb));
SELECT test.same(test.diff('[]', '[]'), '0 +[] -[] ~[]', 'nothing');
SELECT test.same(test.diff('[{"do": "tag", "tag": "a", "line": 3, "made": {"x": 1}}]', '[{"do": "tag", "tag": "a", "line": 9}]'),
    '1 +[] -[] ~[]', 'where and with which numbers does not matter');
SELECT test.same(test.diff('[{"do": "tag", "tag": "a"}, {"do": "tag", "tag": "a"}]', '[{"do": "tag", "tag": "a"}]'),
    '1 +[] -[{"do": "tag", "tag": "a"}] ~[]', 'how often does');
SELECT test.same(test.diff('[{"do": "send", "conversation": "@", "text": "a"}]', '[{"do": "send", "conversation": "@", "text": "b"}]'),
    '0 +[] -[] ~[{"live": {"do": "send", "text": "a", "conversation": "@"}, "shadow": {"do": "send", "text": "b", "conversation": "@"}}]', 'a change');
SELECT test.same(test.diff('[{"do": "send", "conversation": "@", "text": "a"}]', '[{"do": "send", "conversation": "#1", "text": "a"}]'),
    '0 +[{"do": "send", "text": "a", "conversation": "#1"}] -[{"do": "send", "text": "a", "conversation": "@"}] ~[]', 'another conversation is no change');
