-- Ingest: a webhook that comes alone is stored by other statements than one in a batch. Both keep the same promises, and
-- each knows what the other one stored.

-- Stores one event, alone or in a batch with another; is it new?
CREATE FUNCTION pg_temp.store(key text, in_batch boolean, at timestamptz DEFAULT now(),
                              doc jsonb DEFAULT '{"type": "t", "cause": {"event": 5, "depth": 2}}') RETURNS boolean
LANGUAGE sql
AS $$
    SELECT first.id = ANY (CASE WHEN in_batch THEN
               ingest_batch(ARRAY[first.id + 1, first.id + 3], ARRAY['a', 'a'], ARRAY['{"h": "1"}', '{}'],
                            ARRAY['body'::bytea, 'other'::bytea], ARRAY['odd', NULL], 7,
                            ARRAY[first.id, first.id + 2], ARRAY[first.id + 1, first.id + 3], ARRAY['a', 'a'],
                            ARRAY['t', 't'], ARRAY[key, 'other ' || first.id],
                            ARRAY[event_key_digest(key), event_key_digest('other ' || first.id)], ARRAY[4, 4]::bigint[],
                            ARRAY['2026-01-02T03:04:05.678Z', NULL], ARRAY[doc::text, '{}'], at)
           ELSE
               ingest_batch(ARRAY[first.id + 1], ARRAY['a'], ARRAY['{"h": "1"}'], ARRAY['body'::bytea], ARRAY['odd'], 7,
                            ARRAY[first.id], ARRAY[first.id + 1], ARRAY['a'], ARRAY['t'], ARRAY[key],
                            ARRAY[event_key_digest(key)], ARRAY[4]::bigint[], ARRAY['2026-01-02T03:04:05.678Z'],
                            ARRAY[doc::text], at)
           END)
      FROM nextval('object_id') AS first (id)
$$;
CREATE FUNCTION pg_temp.rows_of(wanted text) RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT jsonb_build_array(to_jsonb(e) - 'id' - 'webhook_id' - 'key', to_jsonb(w) - 'id',
                             to_jsonb(q) - 'event_id' - 'position', e.webhook_id - e.id, w.id - e.id, q.event_id - e.id)
      FROM event AS e
      JOIN webhook AS w ON w.id = e.webhook_id
      JOIN work AS q ON q.event_id = e.id
     WHERE e.key = wanted
$$;

BEGIN;
SELECT test.same(pg_temp.store('alone', false), true, 'alone');
SELECT test.same(pg_temp.store('together', true), true, 'in a batch');
COMMIT;
SELECT test.same(pg_temp.rows_of('alone'), pg_temp.rows_of('together'), 'both leave the same rows');
SELECT test.same((SELECT e.cause_event || ' ' || e.depth || ' ' || (e.occurred_at = '2026-01-02 03:04:05.678Z') || ' '
                         || w.event_count || ' ' || w.new_events || ' ' || w.problem || ' ' || w.parser
                    FROM event AS e JOIN webhook AS w ON w.id = e.webhook_id WHERE e.key = 'alone'),
                 '5 2 true 1 1 odd 7', 'which are right');
SELECT test.same(pg_temp.store('plain', false, doc => '{"type": "t"}'), true, 'without a cause');
SELECT test.same((SELECT depth || ' ' || (cause_event IS NULL) FROM event WHERE key = 'plain'), '0 true', 'no cause, no depth');

SELECT test.same(pg_temp.store('alone', false), false, 'known');
SELECT test.same((SELECT string_agg(new_events::text, ' ' ORDER BY w.id) FROM webhook AS w WHERE w.problem = 'odd'), '1 1 1 0',
                 'the repetition is kept as a webhook, with no new event');
SELECT test.same((SELECT count(*) FROM event WHERE key = 'alone'), 1::bigint, 'and as nothing else');
SELECT test.refused($$SELECT pg_temp.store('poison', false, doc => NULL)$$, '23502', 'an event without a document');
SELECT test.same(pg_temp.store('poison', false), true, 'its key is free again');

-- A batch that is all new goes another way than one with something known in it: both leave the same rows.
CREATE FUNCTION pg_temp.store_all(names text[]) RETURNS text
LANGUAGE sql
AS $$
    -- Of the webhooks the first has no event, each other one has two.
    WITH id AS (SELECT nextval('object_id') AS first),
         event AS (SELECT name, n, first + n AS id, first + 100 + (n + 1) / 2 AS webhook, first FROM id, unnest(names) WITH ORDINALITY AS e (name, n)),
         webhook AS (SELECT DISTINCT w.id FROM event CROSS JOIN unnest(ARRAY[first + 100, webhook]) AS w (id))
    SELECT string_agg((SELECT name FROM event WHERE event.id = stored.id), ' ' ORDER BY place)
      FROM unnest(ingest_batch((SELECT array_agg(id ORDER BY id) FROM webhook), (SELECT array_agg('a'::text) FROM webhook),
               (SELECT array_agg('{}'::text) FROM webhook), (SELECT array_agg('all'::bytea) FROM webhook),
               (SELECT array_agg(NULL::text) FROM webhook), 7,
               (SELECT array_agg(id ORDER BY n) FROM event), (SELECT array_agg(webhook ORDER BY n) FROM event),
               (SELECT array_agg('a'::text) FROM event), (SELECT array_agg('t'::text) FROM event),
               (SELECT array_agg(name ORDER BY n) FROM event), (SELECT array_agg(event_key_digest(name) ORDER BY n) FROM event),
               (SELECT array_agg(4::bigint) FROM event), (SELECT array_agg(NULL::text) FROM event),
               (SELECT array_agg('{}'::text) FROM event))) WITH ORDINALITY AS stored (id, place)
$$;
CREATE FUNCTION pg_temp.counts() RETURNS text
LANGUAGE sql
AS $$
    WITH gone AS (UPDATE webhook SET body = 'seen' WHERE body = 'all' RETURNING id, event_count, new_events)
    SELECT string_agg(event_count || '/' || new_events, ' ' ORDER BY id) FROM gone
$$;
CREATE TABLE stored_keys AS SELECT count(*) AS before FROM event_key;
SELECT test.same(pg_temp.store_all(ARRAY['n5', 'n1', 'n4', 'n2', 'n3']), 'n5 n1 n4 n2 n3', 'all are new');
SELECT test.same(pg_temp.counts(), '0/0 2/2 2/2 1/1', 'and counted for their webhooks');
SELECT test.same(pg_temp.store_all(ARRAY['m5', 'n1', 'm4', 'm2', 'm5', 'm3']), 'm5 m4 m2 m3', 'known, or twice, are two of them');
SELECT test.same(pg_temp.counts(), '0/0 2/1 2/2 2/1', 'which are not counted as new');
SELECT test.same(pg_temp.store_all(ARRAY['n5', 'm2']), NULL, 'nothing is new');
SELECT test.same(pg_temp.counts(), '0/0 2/0', 'the webhook is kept');
SELECT test.same((SELECT string_agg(e.key, ' ' ORDER BY q.position) FROM work AS q JOIN event AS e ON e.id = q.event_id
    WHERE e.key ~ '^[mn][0-9]$'), 'n5 n1 n4 n2 n3 m5 m4 m2 m3', 'work in the order given, for each new event once');
SELECT test.same((SELECT count(*) - before FROM event_key, stored_keys GROUP BY before), 9::bigint, 'and each key once');

-- From every moment near the boundaries of months: new at first, known for 35 days in whichever form it comes again, and
-- free after three months.
SELECT make_partitions(8);
CREATE TABLE boundary AS SELECT (month_of(now()) + interval '2 months') AT TIME ZONE 'UTC' AS at;
CREATE TABLE moment AS
SELECT b.at + around + n * interval '1 month' AS at, first.in_batch AS first_in_batch, again.in_batch AS again_in_batch,
       later
  FROM boundary AS b
 CROSS JOIN unnest(ARRAY[interval '-1 second', '0', '9 minutes 59 seconds', '10 minutes', '15 days']) AS around
 CROSS JOIN generate_series(0, 2) AS n
 CROSS JOIN unnest(ARRAY[false, true]) AS first (in_batch)
 CROSS JOIN unnest(ARRAY[false, true]) AS again (in_batch)
 CROSS JOIN unnest(ARRAY[interval '0', '2 seconds', '11 minutes', '5 days', '35 days']) AS later;
SELECT test.same((SELECT count(*) FROM moment AS m
                   WHERE NOT pg_temp.store('long ' || m::text, m.first_in_batch, m.at)), 0::bigint, 'new at first');
SELECT test.same((SELECT count(*) FROM moment AS m
                   WHERE pg_temp.store('long ' || m::text, m.again_in_batch, m.at + m.later)), 0::bigint, 'known for 35 days');
SELECT test.same((SELECT count(*) FROM moment AS m
                   WHERE m.at < (SELECT at FROM boundary) + interval '1 month'
                     AND (NOT pg_temp.store('free ' || m::text, m.first_in_batch, m.at)
                          OR NOT pg_temp.store('free ' || m::text, m.again_in_batch, m.at + interval '3 months 11 minutes'))),
                 0::bigint, 'and free after three months');

-- Two sessions with the same key at the same moment, in either form, also when one is in the old month and one in the new:
-- the second one waits, and is told.
SELECT test.open('a'), test.open('b');
CREATE FUNCTION test.stored(key text, in_batch boolean, at timestamptz) RETURNS text
LANGUAGE sql
AS $$
    SELECT (first.id = ANY (ingest_batch(ids[:n], array_fill('a'::text, ARRAY[n]), array_fill('{}'::text, ARRAY[n]),
               array_fill(''::bytea, ARRAY[n]), array_fill(NULL::text, ARRAY[n]), 7, ids[:n], ids[:n], array_fill('a'::text, ARRAY[n]),
               array_fill('t'::text, ARRAY[n]), keys[:n], (SELECT array_agg(event_key_digest(k) ORDER BY p)
                                                             FROM unnest(keys[:n]) WITH ORDINALITY AS u (k, p)),
               array_fill(4::bigint, ARRAY[n]), array_fill(NULL::text, ARRAY[n]), array_fill('{}'::text, ARRAY[n]), at)))::text
      FROM nextval('object_id') AS first (id)
     CROSS JOIN LATERAL (SELECT CASE WHEN in_batch THEN 2 ELSE 1 END AS n, ARRAY[first.id, first.id + 1] AS ids,
                                ARRAY[key, 'beside ' || first.id] AS keys) AS given
$$;
CREATE PROCEDURE test.meet(name text, first_in_batch boolean, first_at timestamptz, second_in_batch boolean, second_at timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    call constant text := 'SELECT test.stored(%L, %L, %L)';
BEGIN
    PERFORM test.run('a', 'BEGIN');
    PERFORM test.same(test.ask('a', format(call, name, first_in_batch, first_at)), 'true', name || ': the first one has it');
    PERFORM test.start('b', format(call, name, second_in_batch, second_at));
    PERFORM test.until_blocked('b');
    PERFORM test.run('a', 'COMMIT');
    PERFORM test.same(test.wait('b'), 'false', name || ': the second one is told');
    PERFORM test.run('a', 'BEGIN');
    PERFORM test.ask('a', format(call, name || ' given up', first_in_batch, first_at));
    PERFORM test.start('b', format(call, name || ' given up', second_in_batch, second_at));
    PERFORM test.until_blocked('b');
    PERFORM test.run('a', 'ROLLBACK');
    PERFORM test.same(test.wait('b'), 'true', name || ': when the first one gives up, the second one has it');
END
$$;
DO $$
DECLARE
    m record;
BEGIN
    FOR m IN
        SELECT f.in_batch AS first_in_batch, s.in_batch AS second_in_batch, b.at + apart.first AS first_at, b.at + apart.second AS second_at,
               format('%s %s %s', f.in_batch, s.in_batch, apart.first) AS name
          FROM boundary AS b
         CROSS JOIN unnest(ARRAY[false, true]) AS f (in_batch)
         CROSS JOIN unnest(ARRAY[false, true]) AS s (in_batch)
         CROSS JOIN (VALUES (interval '5 days', interval '5 days'), ('-100 ms', '100 ms'), ('100 ms', '-100 ms')) AS apart (first, second)
    LOOP
        CALL test.meet(m.name, m.first_in_batch, m.first_at, m.second_in_batch, m.second_at);
    END LOOP;
END
$$;
