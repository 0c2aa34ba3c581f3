-- Partitions: made ahead by whoever comes first, dropped by age, never while something needs them.

SELECT test.same((SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'), 50::bigint,
    'ten tables, last month to three ahead');
SELECT test.same(make_partitions(3), 0, 'they are there');
SELECT test.same(make_partitions(4), 10, 'one month more');
SELECT test.same((SELECT count(*) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
    WHERE c.relname = 'message_' || to_char(month_of(now()), 'YYYYMM')), (SELECT count(*) FROM pg_index
    WHERE indrelid = 'message'::regclass), 'with the indexes of the parent');
SET timezone = 'Asia/Tokyo';
SELECT test.same((SELECT make_partitions(5)), 10, 'whatever the time zone of the session');
RESET timezone;
SELECT test.holds((SELECT pg_get_expr(relpartbound, oid) LIKE '%00:00:00+00%' FROM pg_class WHERE relname = 'event_'
    || to_char(month_of(now()) + interval '5 months', 'YYYYMM')), 'months begin in UTC');

-- Two nodes at the same time.
SELECT test.open('a'), test.open('b');
SELECT test.run('a', 'BEGIN'), test.ask('a', 'SELECT make_partitions(6)::text');
SELECT test.start('b', 'SELECT make_partitions(6)::text');
SELECT test.until_blocked('b');
-- Readers and writers are not locked out meanwhile.
SET lock_timeout = '1s';
SELECT test.event('meanwhile', 1);
SELECT count(*) FROM message;
RESET lock_timeout;
SELECT test.run('a', 'COMMIT');
SELECT test.same(test.wait('b'), '0', 'one works, the other finds it done');

-- Old ones. The server has run for long.
CREATE FUNCTION test.old_month(months integer) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    month date := (month_of(now()) - make_interval(months => months))::date;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['webhook', 'event', 'event_key', 'handling', 'trace', 'message', 'delivery',
        'attempt'] LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name || '_'
            || to_char(month, 'YYYYMM'), name, month, (month + interval '1 month')::date);
    END LOOP;
    RETURN to_char(month, 'YYYYMM');
END
$$;
SELECT test.old_month(n) FROM generate_series(2, 8) AS n;
SELECT test.same((SELECT string_agg(left(name, 9), ' ' ORDER BY name) FROM drop_partitions(0) AS name),
    'event_key event_key event_key event_key event_key', 'keys go by themselves, the rest is kept for ever');
SELECT test.holds((SELECT count(*) = 3 FROM generate_series(1, 3) AS n WHERE to_regclass('event_key_'
    || to_char(month_of(now()) - make_interval(months => n), 'YYYYMM')) IS NOT NULL), 'keys of three months stay');
INSERT INTO event (id, received_at, occurred_at, source, type, key, lane, doc) SELECT 1,
    month_of(now()) - interval '7 months' + interval '1 day', now(), 's', 't', 'k', 1, '{}';
INSERT INTO work (event_id, event_received_at, lane) SELECT id, received_at, lane FROM event WHERE id = 1;
SELECT test.same((SELECT count(*) FROM drop_partitions(6)), 5::bigint, 'only the month before the unfinished work');
DELETE FROM work;
SELECT test.same((SELECT count(*) FROM drop_partitions(6)), 5::bigint, 'then that month, too');
SELECT test.same((SELECT count(*) FROM drop_partitions(6)), 0::bigint, 'nothing more');
SELECT test.holds(to_regclass('message_' || to_char(month_of(now()) - interval '8 months', 'YYYYMM')) IS NOT NULL,
    'what was said stays');
SELECT test.same((SELECT count(*) FROM drop_partitions(6, ARRAY['message', 'delivery'])), 4::bigint,
    'unless somebody says so');
-- Somebody reads all months and takes long; whoever writes meanwhile is not held up by the drop that waits for him.
SELECT test.old_month(9);
SELECT test.run('a', 'BEGIN'), test.ask('a', 'SELECT count(*)::text FROM event');
SELECT test.start('b', 'SELECT count(*)::text FROM drop_partitions(6)');
CREATE TABLE waited (ms double precision);
DO $$
DECLARE
    began timestamptz;
BEGIN
    FOR n IN 1 .. 100000 LOOP
        EXIT WHEN n > 10 AND dblink_is_busy('b') = 0;
        began := clock_timestamp();
        PERFORM test.event('beside ' || n, 1);
        INSERT INTO waited VALUES (extract(epoch FROM clock_timestamp() - began) * 1000);
        COMMIT;
    END LOOP;
END
$$;
SELECT test.refused($$SELECT test.wait('b')$$, '55P03', 'the drop gives up');
SELECT test.holds(to_regclass(partition_name('event', -9)) IS NOT NULL, 'nothing is half dropped');
SELECT 'measured: beside a drop that has to wait a webhook waits at most ' || round(max(ms)) || ' ms' FROM waited;
SELECT test.holds((SELECT max(ms) < 2000 FROM waited), 'nobody waits for long behind it');
SELECT test.run('a', 'COMMIT');
SELECT test.same((SELECT count(*) FROM drop_partitions(6)), 6::bigint, 'later it is done');

-- One table alone, and keys alone, is all that is locked.
SELECT test.old_month(9);
SELECT test.run('a', 'BEGIN'), test.run('a', 'LOCK TABLE event_key, webhook IN ROW EXCLUSIVE MODE');
SELECT test.same((SELECT string_agg(name, ' ') FROM drop_partitions(6, ARRAY['event']) AS name), partition_name('event', -9), 'events beside who stores them');
SELECT test.refused($$SELECT drop_partitions(6, ARRAY['event_key'])$$, '55P03', 'keys are in use');
SELECT test.run('a', 'COMMIT');
SELECT test.same((SELECT string_agg(name, ' ') FROM drop_partitions(0, ARRAY['event_key']) AS name), partition_name('event_key', -9), 'keys');
SELECT test.same((SELECT count(*) FROM drop_partitions(6)), 4::bigint, 'what is left of that month');

-- A month stays as long as anything is left to do for what came in it, whatever the session's time zone: an event that waits, one
-- that was given up and may be tried again, a delivery. So does a table that is no month of ours.
CREATE FUNCTION test.dropped() RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM drop_partitions(6, ARRAY['event']) AS name $$;
SELECT test.old_month(9);
CREATE TABLE event_202x PARTITION OF event FOR VALUES FROM ('2001-01-01Z') TO ('2001-02-01Z');
SET timezone = 'Asia/Tokyo';
CREATE TABLE last_hour AS SELECT (month_of(now())::timestamp AT TIME ZONE 'UTC' - interval '8 months') - interval '1 hour' AS at;
INSERT INTO work (event_id, event_received_at, lane) SELECT 1, at, 1 FROM last_hour;
SELECT test.same(test.dropped(), '', 'it waits');
DELETE FROM work;
INSERT INTO parked_event (event_id, event_received_at, lane, attempts, problem) SELECT 1, at, 1, 5, 'it broke' FROM last_hour;
SELECT test.same(test.dropped(), '', 'it was given up');
DELETE FROM parked_event;
INSERT INTO outbox (delivery_id, delivery_created_at, recipient, source) SELECT 1, at, 'whatsapp 1', 'whatsapp' FROM last_hour;
SELECT test.same(test.dropped(), '', 'it has yet to leave');
DELETE FROM outbox;
RESET timezone;
BEGIN;
SELECT test.same(test.dropped(), partition_name('event', -9), 'nothing is left to do');
SELECT test.holds((SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND classid = 4202 AND objid = 0),
    'nobody makes or drops months meanwhile');
COMMIT;
DROP TABLE event_202x;
SELECT drop_partitions(6);

SELECT test.refused('SELECT drop_partitions(-1)', '22023', 'a negative age');

-- A person of long ago, of whose months nothing is left: every view and every question is answered.
ANALYZE;
SELECT test.contact(9000, 'whatsapp:9');
INSERT INTO survey (id, name, conversation_id, contact_id, episode, state, score, message_id, asked_at)
VALUES (9002, 'csat', 9001, 9000, 1, 'answered', 5, 9010, now() - interval '9 months');
INSERT INTO outreach (id, contact_id, conversation_id, topic, reference, goal, state, steps, started_at, ended_at, next_attempt_at, event_id, ended_by)
VALUES (9003, 9000, 9001, 'billing', 'in_9', 'payment.succeeded', 'recovered', '[]', now() - interval '9 months', now() - interval '8 months',
        now() - interval '260 days', 9011, 9012);
DO $$
DECLARE
    view_name text;
BEGIN
    FOR view_name IN SELECT c.relname FROM pg_class AS c WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('SELECT count(x.*) FROM (SELECT * FROM %I) AS x', view_name);
    END LOOP;
END
$$;
SELECT test.same((SELECT concat_ws(' ', messages_in, coalesce(last_text, '-'), score, state) FROM conversation_list WHERE conversation_id = 9001),
    '0 - 5 open', 'a conversation without what was said');
SELECT test.same((SELECT score FROM csat_scores WHERE contact_id = 9000), 5, 'a rating');
SELECT test.same((SELECT state || ' ' || before_next_attempt FROM outreach_list WHERE contact_id = 9000), 'recovered false', 'an outreach');
SELECT test.same((SELECT string_agg(outcome, ' ') FROM why(9011)), 'not known', 'an event');
SELECT test.holds((SELECT count(*) > 1 FROM why_nothing(9000, '2 years')), 'and what can be said of them');
SELECT test.same(erase_contact(9000), 0::bigint, 'they can be erased');
