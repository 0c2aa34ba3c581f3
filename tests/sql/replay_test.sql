-- What runs again: chosen when it does not wait anyway, handled once, and marked with all that it leads to.

CREATE FUNCTION test.waits() RETURNS text
LANGUAGE sql
AS $$ SELECT coalesce(string_agg(concat_ws(' ', e.key, w.replay_id), ', ' ORDER BY w.position), '') FROM work AS w JOIN event AS e ON e.id = w.event_id $$;
CREATE FUNCTION test.position(of_key text) RETURNS bigint
LANGUAGE sql AS $$ SELECT w.position FROM work AS w JOIN event AS e ON e.id = w.event_id WHERE e.key = of_key $$;
CREATE FUNCTION test.choose() RETURNS bigint
LANGUAGE sql
AS $$ SELECT replay_select(NULL, now() - interval '1 hour', now() + interval '1 hour', NULL, 'message.*', NULL) $$;

SELECT test.contact(1000, 'whatsapp:1');
SELECT test.event('handled', 1), test.event('parked', 2), test.event('waiting', 3), test.event('a payment', 4, '{}', 'payment.failed', 'stripe');
SELECT engine_commit(jsonb_build_object('handlings', (SELECT jsonb_agg(jsonb_build_object('event_id', w.event_id)) FROM work AS w
           WHERE w.position IN (test.position('handled'), test.position('a payment')))), ARRAY[test.position('handled'), test.position('a payment')]);
SELECT test.holds(engine_fail(test.position('parked'), 'no luck', 1, '1 hour'), 'one is parked');

-- Two people choose the same at the same time: it waits once, with what was parked, and what waits for its first time goes on as that.
SELECT test.open('other');
SELECT test.same(test.choose(), 2::bigint, 'two are over, of this type');
SELECT test.same(test.ask('other', 'SELECT test.choose()::text'), '2', 'for somebody else, too');
SELECT test.same(replay_append(900, 1, 1), 1::bigint, 'the first'), test.same(replay_append(900, 2, 2), 1::bigint, 'the second');
SELECT test.same(test.ask('other', 'SELECT replay_append(901, 1, 2)::text'), '0', 'they wait already');
SELECT test.same(test.waits(), 'waiting, handled 900, parked 900', 'each once');
SELECT test.same(test.choose(), 0::bigint, 'nor are they chosen any more');
SELECT test.same((SELECT count(*) FROM parked_event), 0::bigint, 'what waits is not parked');

-- Parked again and put back, it is still what runs again.
SELECT test.holds(engine_fail(test.position('parked'), 'no luck', 1, '1 hour'), 'it is parked again');
SELECT test.holds(unpark_event((SELECT id FROM event WHERE key = 'parked')), 'somebody puts it back');
SELECT test.same(test.waits(), 'waiting, handled 900, parked 900', 'it runs again');

-- What it leads to is marked, and nothing that the other event of its batch leads to.
CREATE FUNCTION test.leads_to(of_key text, first bigint) RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT jsonb_build_object(
        'handlings', jsonb_build_array(jsonb_build_object('event_id', e.id)),
        'traces', jsonb_build_array(jsonb_build_object('event_id', e.id, 'rule', 'r', 'verdict', 'ran', 'rule_set', 'a')),
        'messages', jsonb_build_array(jsonb_build_object('id', first, 'created_at', now(), 'direction', 'out', 'event_id', e.id, 'contact_id', 1000)),
        'deliveries', jsonb_build_array(jsonb_build_object('id', first + 1, 'created_at', now(), 'kind', 'message', 'source', 'whatsapp',
            'identity', 'whatsapp:1', 'message_id', first, 'message_created_at', now(), 'event_id', e.id)),
        'events', jsonb_build_array(jsonb_build_object('id', first + 2, 'type', 'custom.x', 'key', 'internal:' || first + 2, 'lane', 1,
            'cause', jsonb_build_object('event', e.id, 'rule', 'r', 'depth', 1))))
      FROM event AS e WHERE e.key = of_key
$$;
SELECT engine_commit((SELECT jsonb_object_agg(a.key, a.value || (test.leads_to('waiting', 200)->a.key)) FROM jsonb_each(test.leads_to('handled', 100)) AS a),
                     ARRAY[test.position('handled'), test.position('waiting')]);
SELECT test.same(test.waits(), 'parked 900, internal:102 900, internal:202', 'what is to be handled next');
SELECT test.same((SELECT string_agg(concat_ws(' ', m.id, m.replay_id, d.replay_id, e.replay_id), ', ' ORDER BY m.id) FROM message AS m
                    JOIN delivery AS d ON d.message_id = m.id JOIN event AS e ON e.id = m.id + 2), '100 900 900 900, 200', 'what was made');
SELECT test.same((SELECT string_agg(concat_ws(' ', e.key, h.replay_id, t.replay_id), ', ' ORDER BY e.key, h.handled_at) FROM handling AS h
                    JOIN event AS e ON e.id = h.event_id LEFT JOIN trace AS t ON t.event_id = h.event_id AND t.handled_at = h.handled_at),
    'a payment, handled, handled 900 900, waiting', 'each time that it was handled');
