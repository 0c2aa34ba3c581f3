-- What becomes of a send whose outcome nobody knows: the same whether all are settled in one statement or one by one.

CREATE FUNCTION test.state(of_message bigint) RETURNS text
LANGUAGE sql
AS $$ SELECT concat_ws(' ', d.state, m.state, o.state) FROM delivery AS d JOIN message AS m ON m.id = d.message_id LEFT
    JOIN outbox AS o ON o.delivery_id = d.id WHERE m.id = of_message $$;
CREATE FUNCTION test.settled(how text, after interval) RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format(CASE how WHEN 'together' THEN 'SELECT deliver_settle(%L)' ELSE 'SELECT concat_ws('' '', settled, nullif(refused, ''[]'')) FROM deliver_settle_each(%L)' END,
                   after) INTO answer;
    RETURN answer;
END
$$;
-- A message to somebody of their own that left a minute ago; its id is known by `name`.
CREATE FUNCTION test.left_by(name text, request text DEFAULT '{}', in_state text DEFAULT 'unknown', tries integer DEFAULT 1) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    contact constant bigint := nextval('object_id') * 1000;
BEGIN
    PERFORM test.contact(contact, 'whatsapp:' || contact), test.send(contact + 101, contact, request => request::jsonb);
    PERFORM deliver_claim(1, '1 minute');
    UPDATE outbox SET state = in_state, attempts = tries, lease_until = clock_timestamp() - interval '1 minute' WHERE message_id = contact + 101;
    UPDATE delivery SET attempts = tries, state = CASE in_state WHEN 'unknown' THEN 'unknown' ELSE 'sending' END,
           reason = CASE in_state WHEN 'unknown' THEN 'time-out' END, error_code = CASE in_state WHEN 'unknown' THEN 'http_504' END
     WHERE message_id = contact + 101;
    UPDATE message SET state = CASE in_state WHEN 'unknown' THEN 'unknown' ELSE 'sending' END WHERE id = contact + 101;
    PERFORM set_config('test.' || name, (contact + 101)::text, false);
    RETURN contact + 101;
END
$$;
CREATE FUNCTION test.of(name text) RETURNS bigint
LANGUAGE sql AS $$ SELECT current_setting('test.' || name)::bigint $$;

CREATE FUNCTION test.settles(how text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    -- The sender said nothing in its time: from then on it is unknown, and nothing has been sent twice.
    PERFORM test.left_by('silent', in_state => 'sending'), test.left_by('busy', in_state => 'sending');
    UPDATE outbox SET lease_until = clock_timestamp() + interval '1 minute' WHERE message_id = test.of('busy');
    PERFORM test.same(test.settled(how, '1 hour'), '1', how || ': one is missed');
    PERFORM test.same(test.state(test.of('silent')), 'unknown unknown unknown', how || ': nobody knows of it');
    PERFORM test.same(test.state(test.of('busy')), 'sending sending sending', how || ': this one has time');
    PERFORM test.same((SELECT concat_ws(' ', number, outcome, a.reason) FROM attempt AS a JOIN delivery AS d ON d.id = a.delivery_id
        WHERE d.message_id = test.of('silent')), '1 unknown the sender ended before it could tell', how || ': the attempt says so');
    PERFORM test.same(test.settled(how, '1 hour'), '0', how || ': its hour is not over');
    PERFORM test.same(test.settled(how, '0'), '1', how || ': now it is');
    PERFORM test.same(test.state(test.of('silent')), 'unknown unknown', how || ': it is left at that');
    DELETE FROM outbox;

    -- The policy of the request decides.
    PERFORM test.left_by('hold', '{"on_unknown": "hold"}'), test.left_by('none'), test.left_by('give_up', '{"on_unknown": "give_up"}'),
            test.left_by('fourth', '{"on_unknown": "resend"}', tries => 4), test.left_by('fifth', '{"on_unknown": "resend"}', tries => 5);
    UPDATE delivery SET reason = NULL, error_code = NULL WHERE message_id = test.of('none');
    PERFORM test.same(test.settled(how, '1 hour'), '0', how || ': the provider may still tell');
    PERFORM test.same(test.settled(how, '0'), '5', how || ': time is over');
    PERFORM test.same((SELECT string_agg(concat_ws(' ', d.state, d.error_code, d.reason, o.state), ', ' ORDER BY d.id)
        FROM delivery AS d LEFT JOIN outbox AS o ON o.delivery_id = d.id
        WHERE d.message_id IN (test.of('hold'), test.of('none'), test.of('give_up'), test.of('fourth'), test.of('fifth'))),
        'unknown http_504 time-out, unknown unknown_outcome the provider did not say what became of it, '
        'failed unknown_outcome the provider did not say what became of it, retrying http_504 time-out waiting, '
        'parked unknown_outcome its outcome stayed unknown each time', how || ': as its request says');
    DELETE FROM outbox;

    -- The provider told while the row was marked as being sent: that is what happened, whatever the policy, at once.
    PERFORM test.left_by('arrived', '{"on_unknown": "resend"}'), test.left_by('refused', '{"on_unknown": "resend"}'),
            test.left_by('left', '{"on_unknown": "give_up"}');
    UPDATE message AS m SET state = p.state
      FROM (VALUES ('arrived', 'read'), ('refused', 'failed'), ('left', 'sent')) AS p (name, state) WHERE m.id = test.of(p.name);
    PERFORM test.same(test.settled(how, '1 hour'), '3', how || ': all three are known');
    PERFORM test.same((SELECT string_agg(concat_ws(' ', test.state(d.message_id), d.error_code, d.reason), ', ' ORDER BY d.id) FROM delivery AS d
        WHERE d.message_id IN (test.of('arrived'), test.of('refused'), test.of('left'))),
        'sent read http_504, failed failed http_504 time-out, sent sent http_504', how || ': the proof counts');

    -- One that may be sent again keeps the line; when it was canceled meanwhile it is not, and lets the others go.
    PERFORM test.left_by('canceled', '{"on_unknown": "resend"}'), test.left_by('again', '{"on_unknown": "resend"}');
    UPDATE outbox SET cancel_wanted = true WHERE message_id = test.of('canceled');
    PERFORM test.settled(how, '1 hour');
    PERFORM test.same((SELECT string_agg(in_line::text, ' ' ORDER BY position) FROM outbox), 'false true', how || ': who keeps the line');
    PERFORM test.settled(how, '0');
    PERFORM test.same(test.state(test.of('canceled')) || ', ' || test.state(test.of('again')), 'unknown unknown, retrying unknown waiting', how || ': what is sent again');
    DELETE FROM outbox;

    -- A webhook may come twice: it goes again at once when its sender said that it does not know. One whose sender was lost
    -- has five seconds more, for it may have lost its connection only.
    PERFORM test.left_by('told', in_state => 'unknown'), test.left_by('lost', in_state => 'unknown'), test.left_by('long_lost', in_state => 'unknown');
    UPDATE delivery SET kind = 'webhook' WHERE message_id IN (test.of('told'), test.of('lost'), test.of('long_lost'));
    UPDATE outbox SET lease_until = clock_timestamp(), claimed_by = CASE message_id WHEN test.of('told') THEN NULL ELSE 7 END
     WHERE message_id IN (test.of('told'), test.of('lost'));
    UPDATE outbox SET lease_until = clock_timestamp() - interval '6 seconds', claimed_by = 7 WHERE message_id = test.of('long_lost');
    PERFORM test.same(test.settled(how, '1 hour'), '2', how || ': two of three');
    PERFORM test.same((SELECT string_agg(state, ' ' ORDER BY delivery_id) FROM outbox), 'waiting unknown waiting', how || ': one is waited for');
    DELETE FROM outbox;
END
$$;
SELECT test.settles('together');
SELECT test.settles('each');

-- Who is dead is missed before its time, and nobody waits for a row that somebody has in hand.
CREATE FUNCTION test.one_is_dead() RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM test.left_by('dead', in_state => 'sending'), test.left_by('held', in_state => 'sending');
    UPDATE outbox SET lease_until = clock_timestamp() + interval '1 hour', claimed_by = 999 WHERE message_id = test.of('dead');
END
$$;
SET lock_timeout = '30s';
SELECT test.open('other');
SELECT test.one_is_dead();
SELECT test.run('other', 'BEGIN'), test.ask('other', format('SELECT message_id::text FROM outbox WHERE message_id = %s FOR UPDATE', test.of('held')));
SELECT test.same(test.settled('together', '1 hour'), '1', 'the dead one, and not the one in hand');
SELECT test.same(test.state(test.of('dead')) || ', ' || test.state(test.of('held')), 'unknown unknown unknown, sending sending sending', 'in one statement');
SELECT test.run('other', 'ROLLBACK');
DELETE FROM outbox;
SELECT test.one_is_dead();
SELECT test.run('other', 'BEGIN'), test.ask('other', format('SELECT message_id::text FROM outbox WHERE message_id = %s FOR UPDATE', test.of('held')));
SELECT test.same(test.settled('each', '1 hour'), '1', 'the dead one, and not the one in hand');
SELECT test.same(test.state(test.of('dead')) || ', ' || test.state(test.of('held')), 'unknown unknown unknown, sending sending sending', 'one by one');
SELECT test.run('other', 'ROLLBACK');
DELETE FROM outbox;

-- What PostgreSQL says of one row is told, and the others are settled; trouble that is nobody's row ends the statement.
CREATE FUNCTION test.refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not this one' USING ERRCODE = current_setting('test.sqlstate');
END
$$;
SELECT test.left_by('bad_one'), test.left_by('good_one', in_state => 'sending'), test.left_by('bad_two'), test.left_by('good_two');
SELECT format('CREATE TRIGGER refuse BEFORE UPDATE ON delivery FOR EACH ROW WHEN (OLD.message_id IN (%s, %s)) EXECUTE FUNCTION test.refuse()',
              test.of('bad_one'), test.of('bad_two')) \gexec
SET test.sqlstate = '22000';
SELECT test.refused($$SELECT deliver_settle('0')$$, '22000', 'all or none');
DO $$
DECLARE
    state text;
BEGIN
    FOREACH state IN ARRAY ARRAY['25006', '53100', '57P03', '58030', '42501', '42P01', '42883', '3F000'] LOOP
        PERFORM set_config('test.sqlstate', state, false);
        PERFORM test.refused($q$SELECT deliver_settle_each('0')$q$, state, 'trouble of the server''s or of the schema''s');
    END LOOP;
END
$$;
SET test.sqlstate = '22000';
CREATE TABLE answer AS SELECT * FROM deliver_settle_each('0');
SELECT test.same((SELECT settled FROM answer), 2::bigint, 'the others');
SELECT test.same((SELECT string_agg(concat_ws(' ', r->>'sqlstate', r->>'reason', d.message_id = test.of('bad_one')), ', ' ORDER BY d.id)
                    FROM answer, jsonb_array_elements(refused) AS r JOIN delivery AS d ON d.id = (r->>'delivery')::bigint),
    '22000 not this one t, 22000 not this one f', 'both are told');
SELECT test.same(test.state(test.of('bad_one')) || ', ' || test.state(test.of('good_one')) || ', ' || test.state(test.of('good_two')),
    'unknown unknown unknown, unknown unknown unknown, unknown unknown', 'the refused ones stay');
