-- What processes say about their sources, what all know together, and what is forgotten.

SELECT test.open('one'), test.open('two');
SELECT set_config('test.one', test.ask('one', 'SELECT start_process()::text'), false),
       set_config('test.two', test.ask('two', 'SELECT start_process()::text'), false);
SELECT test.holds(current_setting('test.one') <> current_setting('test.two'), 'each process has its own number');

INSERT INTO rule_set (version, description) VALUES ('v1', '{}');
INSERT INTO rule_pointer (current_version, directory_version, changed_by) VALUES ('v1', 'v1', 'test');
CREATE FUNCTION test.publish(name text, sources jsonb, delivers boolean DEFAULT true) RETURNS void
LANGUAGE sql
AS $$
    SELECT test.ask(name, format('SELECT publish_sources(%s, %L, %L)::text', current_setting('test.' || name), sources, delivers))
$$;
-- Names, with a star when somebody sends to them.
CREATE FUNCTION test.known() RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(k.key || CASE WHEN (k.value->>'delivers')::boolean THEN '*' ELSE '' END, ' ' ORDER BY k.key), '')
      FROM jsonb_each(known_sources()) AS k
$$;
CREATE FUNCTION test.generation() RETURNS bigint
LANGUAGE sql AS $$ SELECT generation FROM rule_pointer $$;

-- What changes what all know together counts as a change of the rules, and only that.
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}'), test.same(test.known(), 'whatsapp*', 'one has a source');
SELECT test.same(test.generation(), 2::bigint, 'engines have to look');
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}'), test.publish('two', '{"whatsapp": {"kind": "whatsapp"}}');
SELECT test.same(test.generation(), 2::bigint, 'the same said again, and by another, changes nothing');
SELECT test.publish('two', '{"whatsapp": {"kind": "whatsapp"}, "shop": {"kind": "stripe", "sends": false}}', false);
SELECT test.same(test.known(), 'shop whatsapp*', 'the other one has another source, and does not send');
SELECT test.same(test.generation(), 3::bigint, 'engines have to look again');
SELECT test.same(known_sources()->'shop', '{"kind": "stripe", "sends": false, "delivers": false}', 'settings are as they were said');
SELECT test.publish('two', '{"whatsapp": {"kind": "whatsapp"}}', false);
SELECT test.same(test.known(), 'whatsapp*', 'what a process does not have any more is gone at once');

-- Who ends may only be restarted: what it had is known for two minutes.
SELECT test.publish('two', '{"second": {"kind": "telegram"}}');
SELECT test.close('two'), test.until_unlocked(4207, current_setting('test.two')::oid);
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}'), test.same(test.known(), 'second* whatsapp*', 'it is still known');
SELECT test.holds((SELECT bool_and(gone_since IS NOT NULL) FROM known_source WHERE source = 'second'), 'its end was seen');
SELECT test.open('two');
SELECT test.same(test.ask('two', format('SELECT start_process(%s)::text', current_setting('test.two'))), current_setting('test.two'),
                 'who comes back keeps its number');
SELECT test.publish('two', '{"second": {"kind": "telegram"}}');
SELECT test.holds((SELECT bool_and(gone_since IS NULL) FROM known_source), 'and is there again');
SELECT test.same(test.generation(), 5::bigint, 'for the engines nothing has changed meanwhile');
SELECT test.close('two'), test.until_unlocked(4207, current_setting('test.two')::oid);
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}');
UPDATE known_source SET gone_since = gone_since - interval '119 seconds' WHERE source = 'second';
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}'), test.same(test.known(), 'second* whatsapp*', 'it is not gone for long');
UPDATE known_source SET gone_since = gone_since - interval '2 seconds' WHERE source = 'second';
SELECT test.publish('one', '{"whatsapp": {"kind": "whatsapp"}}'), test.same(test.known(), 'whatsapp*', 'it is forgotten');
SELECT test.same(test.generation(), 6::bigint, 'engines have to look');

-- Two that say what they know at the same time see each other.
SELECT test.run('one', 'BEGIN'), test.publish('one', '{"whatsapp": {"kind": "whatsapp"}, "fresh": {"kind": "telegram"}}');
SELECT test.open('three');
SELECT test.start('three', 'SELECT publish_sources(start_process(), ''{"other": {"kind": "telegram"}}'', true)::text'), test.until_blocked('three');
SELECT test.run('one', 'COMMIT'), test.wait('three');
SELECT test.same(test.known(), 'fresh* other* whatsapp*', 'all are known');
SELECT test.same(test.generation(), 8::bigint, 'each was a change');
