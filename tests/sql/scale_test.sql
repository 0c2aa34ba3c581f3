-- A long queue: what a claim reads does not grow with it. Counted in pages, which is the same on every machine.

-- An ANALYZE that begins in the background holds a snapshot, and the VACUUM below could then remove nothing.
SELECT format('ALTER TABLE %s SET (autovacuum_enabled = off)', c.oid::regclass)
  FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
\gexec

CREATE FUNCTION test.rows_of_length(n integer) RETURNS void
LANGUAGE sql
AS $$
    TRUNCATE work, outbox;
    INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc)
    SELECT nextval('object_id'), now(), now(), 'whatsapp', 'message.received', 'k' || g, hashtext(g::text) & 2147483647,
           jsonb_build_object('contact', jsonb_build_object('identities', jsonb_build_array('whatsapp:' || g % 1000)))
      FROM generate_series(1, n) AS g;
    INSERT INTO work (event_id, event_received_at, lane) SELECT id, received_at, lane FROM event
        ORDER BY id DESC LIMIT n;
    INSERT INTO delivery (id, kind, source, identity, request) SELECT nextval('object_id'), 'message', 'whatsapp',
        'whatsapp:' || g, '{}' FROM generate_series(1, n) AS g;
    INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source) SELECT id, created_at, 'whatsapp whatsapp:'
        || row_number() OVER () % (n / 10), 'whatsapp' FROM delivery ORDER BY id DESC LIMIT n;
$$;

-- Plans are made while the tables are small, as on the first day.
SELECT test.rows_of_length(100);
BEGIN; SELECT 1 FROM engine_claim(64); SELECT 1 FROM engine_claim(64); ROLLBACK;
BEGIN; SELECT 1 FROM deliver_claim(64, '1 minute',
    '{"whatsapp": {"per_second": 80, "address_interval_ms": 6000}}'); ROLLBACK;
CREATE TEMP TABLE cost AS SELECT 0 AS small, 0 AS large, ''::text AS what LIMIT 0;
INSERT INTO cost (what, small) SELECT 'engine', test.pages('SELECT * FROM engine_claim(64)');
INSERT INTO cost (what, small) SELECT 'deliver', test.pages('SELECT * FROM deliver_claim(64, ''1 minute'')');

SELECT test.rows_of_length(100000);
CREATE TEMP TABLE clock AS SELECT clock_timestamp() AS began;
UPDATE cost SET large = test.pages('SELECT * FROM engine_claim(64)') WHERE what = 'engine';
SELECT 'measured: engine_claim(64) with 100000 waiting: ' || round(extract(epoch
    FROM clock_timestamp() - began)::numeric * 1000, 1) || ' ms' FROM clock;
UPDATE clock SET began = clock_timestamp();
UPDATE cost SET large = test.pages('SELECT * FROM deliver_claim(64, ''1 minute'')') WHERE what = 'deliver';
SELECT 'measured: deliver_claim(64) with 100000 waiting: ' || round(extract(epoch
    FROM clock_timestamp() - began)::numeric * 1000, 1) || ' ms' FROM clock;
SELECT 'measured: pages ' || string_agg(what || ' ' || small || ' -> ' || large, ', ') FROM cost;
SELECT test.holds((SELECT bool_and(large < 5000 AND large < small * 5 + 1000) FROM cost),
    'a claim reads about as much as with a short queue');

-- Blocked, hot and paused: still bounded.
UPDATE work SET lane = 77 WHERE position IN (SELECT position FROM work ORDER BY position LIMIT 50000);
VACUUM work;
SELECT engine_fail((SELECT min(position) FROM work), 'no luck', 9, '1 hour');
INSERT INTO cost (what, large) SELECT 'blocked lane', test.pages('SELECT * FROM engine_claim(64)');
UPDATE work SET retry_at = NULL WHERE retry_at IS NOT NULL;
INSERT INTO cost (what, large) SELECT 'hot lane', test.pages('SELECT * FROM engine_claim(64)');
SELECT 'measured: pages ' || string_agg(what || ' ' || large, ', ') FROM cost WHERE small IS NULL;
SELECT test.holds((SELECT bool_and(large < 20000) FROM cost), 'half of the queue is one blocked or hot lane');
TRUNCATE outbox;
INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source) SELECT id, created_at, 'endpoint crm',
    'endpoint crm' FROM delivery ORDER BY id DESC LIMIT 50000;
SELECT test.holds(test.pages('SELECT * FROM deliver_claim(64, ''1 minute'')') < 20000, 'one recipient has a long line');
SELECT test.holds(test.pages('SELECT * FROM deliver_claim(64, ''1 minute'')') < 20000, 'and nothing to give');
SELECT pause_source('endpoint crm', now() + interval '1 hour', 'test');
SELECT test.holds(test.pages('SELECT * FROM deliver_claim(64, ''1 minute'')') < 200, 'a paused source costs nothing');

-- The way in: the index that keeps doubles out is the only big one it needs.
SELECT test.holds(test.pages($$SELECT test.event('another', 5)$$) < 2000, 'one event');
