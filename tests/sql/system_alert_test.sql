-- What people hear of held messages and resting rules: once an hour for each problem of each rule, with what it is about.

CREATE FUNCTION test.alerts() RETURNS text
LANGUAGE sql
RETURN (SELECT string_agg((e.doc #>> '{body,problem}') || ' of ' || (e.doc #>> '{body,source}'), ', ' ORDER BY e.id)
          FROM event AS e WHERE e.type = 'custom.system_alert');

-- The same rule with another problem, and another rule with the same one, have alerts of their own.
SELECT raise_alert('sends_held', 'rule a', '{"held": 1}'), raise_alert('sends_held', 'rule a', '{"held": 2}');
SELECT raise_alert('rule_quarantined', 'rule a', '{}');
SELECT raise_alert('sends_held', 'rule b', '{}');
SELECT test.same(test.alerts(), 'sends_held of rule a, rule_quarantined of rule a, sends_held of rule b', 'one for each');
SELECT test.same((SELECT doc #>> '{body,held}' FROM event WHERE doc #>> '{body,source}' = 'rule a' AND doc #>> '{body,problem}' = 'sends_held'), '1',
                 'the first one of the hour');
SELECT test.same((SELECT count(*) FROM work), 3::bigint, 'rules get them');

-- The hour is in the key: the next one has an alert again, whichever node raises it.
SELECT test.same((SELECT count(*) FROM event WHERE key = 'alert:' || (doc #>> '{body,problem}') || ':' || (doc #>> '{body,source}') || ':'
                                                       || floor(extract(epoch FROM occurred_at) / 3600)), 3::bigint, 'of its hour');

-- Two rules that send too much in one transaction: each is told of with its own number.
TRUNCATE event, work;
INSERT INTO contact (id, lane) VALUES (1, 1);
SELECT engine_commit_in_budget(jsonb_build_object('budgets', '{"c": {"sends_per_hour": 1}, "d": {"sends_per_hour": 1}}'::jsonb,
    'messages', jsonb_agg(jsonb_build_object('id', n + 100, 'created_at', now(), 'direction', 'out', 'kind', 'text', 'contact_id', 1, 'text', 'x')),
    'deliveries', jsonb_agg(jsonb_build_object('id', n, 'kind', 'message', 'source', 'telegram', 'identity', 'telegram:1', 'contact_id', 1,
        'message_id', n + 100, 'message_created_at', now(), 'rule', CASE WHEN n <= 3 THEN 'c' ELSE 'd' END, 'request', '{}'::jsonb))), '{}')
  FROM generate_series(1, 7) AS n;
SELECT test.same((SELECT string_agg((doc #>> '{body,source}') || ' ' || (doc #>> '{body,rule}') || ' ' || (doc #>> '{body,held}'), ', ' ORDER BY doc #>> '{body,rule}')
                    FROM event WHERE type = 'custom.system_alert'), 'rule c c 2, rule d d 3', 'each its own');
SELECT test.same((SELECT count(*) FROM event WHERE (doc #>> '{body,summary}') LIKE 'messages of the rule _ are held: more than 1 message of this rule in an hour; %'),
                 2::bigint, 'and says why');
