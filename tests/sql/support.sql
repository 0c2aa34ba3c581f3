-- What the SQL tests share. Each test runs in a database of its own, made from a template with all migrations and this.

CREATE EXTENSION dblink;
CREATE SCHEMA test;

CREATE FUNCTION test.same(actual anycompatible, expected anycompatible, what text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION E'%\n  expected %\n  got      %', what, expected, actual;
    END IF;
END
$$;

CREATE FUNCTION test.holds(condition boolean, what text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF condition IS NOT TRUE THEN
        RAISE EXCEPTION '%', what;
    END IF;
END
$$;

-- The statement must be refused with this SQLSTATE.
CREATE FUNCTION test.refused(statement text, state text, what text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION 'assert_failure: %: nothing was refused', what;
EXCEPTION WHEN OTHERS THEN
    IF sqlstate <> state THEN
        RAISE EXCEPTION '%: expected %, got % (%)', what, state, sqlstate, sqlerrm;
    END IF;
END
$$;

-- How many pages the query reads, whether they are in memory or not: the same on every machine.
CREATE FUNCTION test.pages(query text) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
    RETURN (plan #>> '{0,Plan,Shared Hit Blocks}')::integer + (plan #>> '{0,Plan,Shared Read Blocks}')::integer;
END
$$;

-- Other sessions, by name. Statements run to their end, or are started with test.start() and awaited with test.wait().
CREATE FUNCTION test.open(session text) RETURNS void
LANGUAGE sql
AS $$
    SELECT dblink_connect(session, format('host=%L port=%s dbname=%L user=%L',
        split_part(current_setting('unix_socket_directories'), ',', 1),
                                          current_setting('port'), current_database(), current_user))
$$;
CREATE FUNCTION test.close(session text) RETURNS void
LANGUAGE sql AS $$ SELECT dblink_disconnect(session) $$;
CREATE FUNCTION test.run(session text, statement text) RETURNS void
LANGUAGE sql AS $$ SELECT dblink_exec(session, statement) $$;
CREATE FUNCTION test.ask(session text, query text) RETURNS text
LANGUAGE sql AS $$ SELECT answer FROM dblink(session, query) AS r (answer text) $$;
CREATE FUNCTION test.start(session text, query text) RETURNS void
LANGUAGE sql AS $$ SELECT dblink_send_query(session, query) $$;
CREATE FUNCTION test.wait(session text) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    answer text;
    ignored text;
BEGIN
    BEGIN
        SELECT r.a INTO answer FROM dblink_get_result(session) AS r (a text);
    EXCEPTION WHEN OTHERS THEN
        SELECT r.a INTO ignored FROM dblink_get_result(session, false) AS r (a text);
        RAISE;
    END;
    SELECT r.a INTO ignored FROM dblink_get_result(session) AS r (a text); -- the empty one that ends it
    RETURN answer;
END
$$;
-- Awaits that the session's statement waits for a lock.
CREATE FUNCTION test.until_blocked(session text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        IF dblink_is_busy(session) = 0 THEN
            RAISE EXCEPTION 'session % did not wait', session;
        END IF;
        PERFORM 1 FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event_type = 'Lock';
        IF FOUND THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE EXCEPTION 'session % never waited', session;
END
$$;
-- Awaits that an advisory lock is free: the server notices a moment later that the session of its holder has ended.
CREATE FUNCTION test.until_unlocked(class integer, key oid) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        PERFORM 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = class::oid AND objid = key
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
        IF NOT FOUND THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE EXCEPTION 'the lock % % is still held', class, key;
END
$$;

-- One event through the front door; its id, or NULL when it was known.
CREATE FUNCTION test.event(key text, lane bigint, doc jsonb DEFAULT '{}', type text DEFAULT 'message.received',
                           source text DEFAULT 'whatsapp', at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE sql
AS $$
    SELECT CASE WHEN is_new THEN event_id END
      FROM nextval('object_id') AS id,
           ingest_append(ARRAY[id + 500], ARRAY[source], ARRAY['{}'], ARRAY['{}'::bytea], ARRAY[NULL], 1,
                         ARRAY[id + 500], ARRAY[id], ARRAY[type], ARRAY[key], ARRAY[lane], ARRAY[NULL]::text[],
                         ARRAY[(jsonb_build_object('type', type, 'source', source) || doc)::text], at)
$$;

-- What a claim gave, as "key key key"; the caller's transaction holds it.
CREATE FUNCTION test.keys(work json) RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce(string_agg(w #>> '{event,key}', ' ' ORDER BY n), '')
    FROM json_array_elements(work) WITH ORDINALITY AS x (w, n) $$;
CREATE FUNCTION test.claim(most integer, only_position bigint DEFAULT 0) RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce((SELECT test.keys(work) FROM engine_claim(most, only_position)), '') $$;

-- A person with one handle, a conversation, and the pieces of a change.
CREATE FUNCTION test.contact(id bigint, identity text, source text DEFAULT 'whatsapp') RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO contact (id, lane, name) VALUES (id, id % 1000, 'contact ' || id);
    INSERT INTO identity (identity, contact_id) VALUES (identity, id);
    INSERT INTO address (source, identity, contact_id, recipient) VALUES (source, identity, id, split_part(identity,
        ':', 2));
    INSERT INTO conversation (id, contact_id, source, identity) VALUES (id + 1, id, source, identity);
$$;
-- A message to that person with its delivery, queued. Ids: the message's, and one more for the delivery.
CREATE FUNCTION test.send(id bigint, contact bigint, changes jsonb DEFAULT '{}',
    request jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql
AS $$
    SELECT engine_commit(jsonb_build_object(
        'messages', jsonb_build_array(jsonb_build_object(
            'id', id, 'created_at', now(), 'direction', 'out', 'kind', 'text', 'text', 'hello ' || id, 'contact_id',
                contact,
            'conversation_id', contact + 1, 'source', i.source, 'identity', i.identity, 'state', 'queued')
                || (changes - 'due_at')),
        'deliveries', jsonb_build_array(jsonb_build_object(
            'id', id + 1, 'created_at', now(), 'kind', 'message', 'source', i.source, 'identity', i.identity,
                'contact_id', contact,
            'message_id', id, 'message_created_at', now(), 'recipient', i.source || ' ' || i.identity, 'due_at', now(),
            'request', request) || changes)), '{}')
      FROM address AS i WHERE i.contact_id = contact LIMIT 1
$$;
