-- Ingest: a thing that happened is stored once, however often and however concurrently it is delivered.

-- Within one batch, again later, and at another source.
SELECT test.same((SELECT string_agg(is_new::text, ' ') FROM ingest_append(
    ARRAY[1, 2], ARRAY['a', 'b'], ARRAY['{}', '{"x": "1"}'], ARRAY['one'::bytea, 'two'::bytea], ARRAY[NULL, NULL], 7,
        ARRAY[1, 1, 2], ARRAY[10, 11, 12],
    ARRAY['t', 't', 't'], ARRAY['k', 'k', 'k'], ARRAY[1, 1, 2], ARRAY[NULL, NULL, '2026-01-02T03:04:05.678Z'],
        ARRAY['{"n": 1}', '{"n": 2}', '{"cause": {"event": 3, "depth": 2}}'])),
    'true false true', 'the first of a key is new, its double is not, another source has its own');
SELECT test.same((SELECT string_agg(event_count || '/' || new_events, ' ' ORDER BY id) FROM webhook), '2/1 1/1',
    'webhooks count their events');
SELECT test.same((SELECT doc->>'n' FROM event WHERE id = 10), '1', 'the document of the first');
SELECT test.same((SELECT cause_event || ' ' || depth || ' ' || to_char(occurred_at AT TIME ZONE 'UTC', 'HH24:MI:SS.MS')
    FROM event WHERE id = 12), '3 2 03:04:05.678', 'cause and time');
SELECT test.same((SELECT depth FROM event WHERE id = 10), 0::smallint, 'nothing of ours caused it');
SELECT test.same((SELECT string_agg(event_id::text, ' ' ORDER BY position) FROM work), '10 12',
    'work for what is new only');
SELECT test.same(test.event('k', 1, source => 'a'), NULL::bigint, 'known');
SELECT test.same((SELECT count(*) FROM webhook), 3::bigint, 'the repetition is kept as a webhook');

-- Three webhooks with different counts, all of it new.
SELECT ingest_append(ARRAY[31, 32, 33], ARRAY['a', 'a', 'b'], ARRAY['{}', '{}', '{}'], ARRAY[''::bytea, '', ''], ARRAY['empty', NULL, NULL], 1,
    ARRAY[32, 32, 33], ARRAY[34, 35, 36], ARRAY['t', 't', 't'], ARRAY['k34', 'k35', 'k36'], ARRAY[1, 1, 1], ARRAY[NULL, NULL, NULL]::text[], ARRAY['{}', '{}', '{}']);
SELECT test.same((SELECT string_agg(concat_ws(' ', id, event_count, new_events, problem), ', ' ORDER BY id) FROM webhook WHERE id BETWEEN 31 AND 33),
    '31 0 0 empty, 32 2 2, 33 1 1', 'each counts its own');

-- A webhook without events, and one that could not be parsed.
SELECT ingest_append(ARRAY[5], ARRAY['a'], ARRAY['{}'], ARRAY['\x00ff'::bytea], ARRAY['not JSON'], 1, '{}', '{}', '{}',
    '{}', '{}', '{}', '{}');
SELECT test.same((SELECT problem || event_count FROM webhook WHERE id = 5), 'not JSON0', 'kept with its problem');

-- One poison document fails as a whole and leaves nothing.
SELECT test.refused($$SELECT test.event('poison', 1, NULL)$$, '23502', 'an event without a document');
SELECT test.same((SELECT count(*) FROM event_key WHERE digest = event_key_digest('poison')), 0::bigint,
    'its key is free again');

-- Two sessions with the same key at the same time: one of them has it, the other one learns that when the first
-- commits.
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT test.event('twice', 1)::text$$);
SELECT test.start('b', $$SELECT coalesce(test.event('twice', 1)::text, 'known')$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), 'known', 'the second one waits and is told');
SELECT test.run('a', 'BEGIN'), test.ask('a', $$SELECT test.event('given up', 1)::text$$);
SELECT test.start('b', $$SELECT coalesce(test.event('given up', 1)::text, 'known')$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'ROLLBACK');
SELECT test.holds(test.wait('b') <> 'known', 'when the first one gives up, the second one has it');

-- One webhook for each key, all in one batch: the keys that are new.
CREATE FUNCTION test.batch(of_source text, keys text[], at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    many constant integer[] := ARRAY[cardinality(keys)];
    ids constant bigint[] := ARRAY(SELECT nextval('object_id') FROM unnest(keys));
BEGIN
    RETURN (SELECT coalesce(string_agg(keys[array_position(ids, r.event_id)], ' ' ORDER BY r.event_id), 'none')
              FROM ingest_append(ids, array_fill(of_source, many), array_fill('{}'::text, many), array_fill(''::bytea, many),
                                 array_fill(NULL::text, many), 1, ids, ids, array_fill('custom.x'::text, many), keys,
                                 array_fill(1::bigint, many), array_fill(NULL::text, many), array_fill('{}'::text, many), at) AS r
             WHERE r.is_new);
END
$$;

-- Two batches with the same keys the other way round cannot wait for each other: keys are claimed in sorted order, also of a batch
-- with something known, and while months meet.
SELECT test.event('older', 1, source => 's');
SELECT make_partitions(8);
DO $$
DECLARE
    at timestamptz;
    more text[];
    k text[];
BEGIN
    FOREACH at IN ARRAY ARRAY[now(), (month_of(now()) + interval '1 month') AT TIME ZONE 'UTC' + interval '1 minute'] LOOP
        FOREACH more SLICE 1 IN ARRAY ARRAY[['new at ' || at], ['older']] LOOP
            k := ARRAY(SELECT format('%s %s %s', n, more[1], at) FROM generate_series(1, 3) AS n
                        ORDER BY event_key_digest(format('%s %s %s', n, more[1], at)));
            PERFORM test.run('a', 'BEGIN');
            PERFORM test.ask('a', format('SELECT test.batch(%L, %L, %L)', 's', k[1:1], at));
            PERFORM test.start('b', format('SELECT test.batch(%L, %L, %L)', 's', more || ARRAY[k[3], k[2], k[1]], at));
            PERFORM test.until_blocked('b');
            PERFORM test.same(test.ask('a', format('SELECT test.batch(%L, %L, %L)', 's', ARRAY[k[1], k[3]], at)), k[3], 'nobody has it');
            PERFORM test.run('a', 'COMMIT');
            PERFORM test.same(test.wait('b'), concat_ws(' ', nullif(more[1], 'older'), k[2]), 'what is left');
        END LOOP;
    END LOOP;
END
$$;
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$SELECT claim_event_keys(array_agg('s'::text), array_agg(event_key_digest(n::text)))::text
    FROM generate_series(1, 50) AS n$$);
SELECT test.start('b', $$SELECT claim_event_keys(array_agg('s'::text ORDER BY n DESC),
    array_agg(event_key_digest(n::text) ORDER BY n DESC))::text FROM generate_series(1, 51) AS n$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), '{1}', 'only the fifty-first is new');

-- The boundary of two months. A began before midnight, B after it; neither sees the other.
SELECT make_partitions(8);
CREATE TABLE boundary AS SELECT (month_of(now()) + interval '2 months') AT TIME ZONE 'UTC' AS at;
SELECT test.run('a', 'BEGIN');
SELECT test.ask('a', $$SELECT claim_event_keys(ARRAY['s'], ARRAY[event_key_digest('midnight')],
    at - interval '100 ms')::text FROM boundary$$);
SELECT test.start('b', $$SELECT claim_event_keys(ARRAY['s'], ARRAY[event_key_digest('midnight')],
    at + interval '100 ms')::text FROM boundary$$);
SELECT test.until_blocked('b');
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), '{}', 'B is told by the old month');
-- The other way round: B comes first, A's clock is behind.
SELECT test.run('b', 'BEGIN');
SELECT test.ask('b', $$SELECT claim_event_keys(ARRAY['s'], ARRAY[event_key_digest('new year')],
    at + interval '100 ms')::text FROM boundary$$);
SELECT test.start('a', $$SELECT claim_event_keys(ARRAY['s'], ARRAY[event_key_digest('new year')],
    at - interval '100 ms')::text FROM boundary$$);
SELECT test.until_blocked('a');
SELECT test.run('b', 'COMMIT');
SELECT test.same(test.wait('a'), '{}', 'A is told, too');

-- A key stays known for at least 35 days, from every day and hour near the boundaries of months. Each delay has a key of its
-- own: to ask for one is to claim it, and would make it known for later.
CREATE TABLE moment AS
SELECT first_at, later, event_key_digest(first_at || ' and ' || later) AS digest
  FROM boundary
 CROSS JOIN generate_series(at, at + interval '3 months', interval '9 hours 7 minutes') AS first_at
 CROSS JOIN unnest(ARRAY[interval '0', '1 minute', '5 days', '35 days']) AS later;
SELECT test.same((SELECT count(*) FROM moment AS m WHERE claim_event_keys(ARRAY['long'], ARRAY[m.digest], m.first_at) <> '{1}'),
    0::bigint, 'new at first');
SELECT test.same((SELECT count(*) FROM moment AS m WHERE claim_event_keys(ARRAY['long'], ARRAY[m.digest], m.first_at + m.later) <> '{}'),
    0::bigint, 'known for 35 days');
SELECT test.same(claim_event_keys(ARRAY['s'], ARRAY[event_key_digest('midnight')], (SELECT at + interval '3 months'
    FROM boundary)), '{1}', 'and free after three months');

-- What another source sent under the same key makes nothing known, in whatever month it did; what this source sent does: one by one,
-- in a batch of what is new, and in one with something known.
DO $$
DECLARE
    late constant timestamptz := (SELECT at + interval '3 months 20 days' FROM boundary);
    month integer;
    key text;
    met timestamptz;
    first constant bigint := nextval('object_id');
BEGIN
    FOR month IN 0 .. 3 LOOP
        key := 'shared ' || month;
        PERFORM test.batch('other', ARRAY[key || ' a', key || ' b', key || ' c', key || ' d', key || ' e', key || ' f'],
                           late - make_interval(months => month));
        PERFORM test.same(test.batch('mine', ARRAY[key || ' a'], late), key || ' a', 'alone');
        PERFORM test.same(test.batch('mine', ARRAY[key || ' b', key || ' c'], late), concat(key, ' b ', key, ' c'), 'all of them new');
        PERFORM test.same(test.batch('mine', ARRAY[key || ' a', key || ' d', key || ' e'], late), concat(key, ' d ', key, ' e'), 'one is known');
        PERFORM test.same(test.batch('other', ARRAY[key || ' a'], late), CASE WHEN month < 3 THEN 'none' ELSE key || ' a' END, 'its own, alone');
        PERFORM test.same(test.batch('other', ARRAY[key || ' b', key || ' new'], late),
                          CASE WHEN month < 3 THEN '' ELSE key || ' b ' END || key || ' new', 'its own, in a batch');
        PERFORM test.same(test.batch('other', ARRAY[key || ' b', key || ' new', key || ' c'], late),
                          CASE WHEN month < 3 THEN 'none' ELSE key || ' c' END, 'its own, beside what is known');
    END LOOP;
    -- Just after midnight, when each key is claimed in both months.
    met := (SELECT at + interval '3 months 1 minute' FROM boundary);
    PERFORM test.batch('other', ARRAY['met a', 'met b', 'met c'], met - interval '2 months');
    PERFORM test.batch('other', ARRAY['met d', 'met e'], met - interval '2 minutes');
    PERFORM test.same(test.batch('mine', ARRAY['met a'], met), 'met a', 'alone');
    PERFORM test.same(test.batch('mine', ARRAY['met b', 'met c', 'met d', 'met e'], met), 'met b met c met d met e', 'together');
    PERFORM test.same(test.batch('other', ARRAY['met a'], met) || test.batch('other', ARRAY['met b', 'met d', 'met f'], met), 'nonemet f', 'its own');
    PERFORM test.same((SELECT array_agg(event_id ORDER BY position) FROM work WHERE event_id > first),
                      (SELECT array_agg(event_id ORDER BY event_id) FROM work WHERE event_id > first), 'all of it waits in the order in which it came');
END
$$;

-- Events from inside: their own key when they bring one, in the order given.
SELECT test.same(append_internal_events('[{"id": 901, "type": "custom.x", "key": "x1", "lane": 4, "source": "api"},
    {"id": 902, "type": "custom.y", "key": "internal:902", "lane": 4},
                                          {"id": 903, "type": "custom.x", "key": "x1", "lane": 4,
                                              "source": "api"}]'), 2, 'a double is left out');
SELECT test.same((SELECT string_agg(event_id::text, ' ' ORDER BY position) FROM work WHERE event_id > 900
    AND event_id < 1000), '901 902', 'in order');
SELECT test.same(append_internal_events('[{"id": 904, "type": "custom.x", "key": "x1", "lane": 4, "source": "api"}]'),
    0, 'also later');
SELECT test.same(append_internal_events('[{"id": 905, "type": "custom.x", "key": "x2", "lane": 4, "source": "api"},
    {"id": 906, "type": "custom.x", "key": "x1", "lane": 4, "source": "api"},
    {"id": 907, "type": "custom.y", "key": "internal:907", "lane": 4},
    {"id": 908, "type": "custom.x", "key": "x3", "lane": 5, "source": "api"},
    {"id": 909, "type": "custom.x", "key": "x2", "lane": 4, "source": "api"},
    {"id": 910, "type": "custom.x", "key": "x2", "lane": 4, "source": "crm"},
    {"id": 911, "type": "custom.y", "lane": 4}]'), 5, 'several keys at once: those that are known, and doubles, are left out');
SELECT test.same((SELECT string_agg(event_id::text, ' ' ORDER BY position) FROM work WHERE event_id BETWEEN 905 AND 999),
    '905 907 908 910 911', 'all others are stored, in order');
SELECT test.same(append_internal_events('[{"id": 912, "type": "custom.x", "key": "x3", "lane": 4, "source": "api"},
    {"id": 913, "type": "custom.x", "key": "x2", "lane": 4, "source": "crm"}]'), 0, 'and known from now on');
SELECT test.same(append_internal_events('[{"id": 914, "type": "custom.y", "key": "internal:914", "lane": 4, "handled": true},
    {"id": 915, "type": "custom.y", "key": "internal:915", "lane": 4, "handled": false}]'), 1, 'what is handled does not wait');
SELECT test.same((SELECT string_agg(e.id || ' ' || (w.event_id IS NOT NULL) || ' ' || (e.doc ? 'handled'), ', ' ORDER BY e.id)
    FROM event AS e LEFT JOIN work AS w ON w.event_id = e.id WHERE e.id IN (914, 915)), '914 false false, 915 true false', 'and is stored');
