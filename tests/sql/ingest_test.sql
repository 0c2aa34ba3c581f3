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
SELECT test.same((SELECT string_agg(event_id::text, ' ' ORDER BY position) FROM work), '10 12',
    'work for what is new only');
SELECT test.same(test.event('k', 1, source => 'a'), NULL::bigint, 'known');
SELECT test.same((SELECT count(*) FROM webhook), 3::bigint, 'the repetition is kept as a webhook');

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

-- Two batches with the same keys the other way round cannot wait for each other: keys are claimed in sorted order.
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
