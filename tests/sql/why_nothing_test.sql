-- why_nothing(): each reason for silence is told, and the read role may ask.

INSERT INTO rule_set (version, description) VALUES ('abc', '{"rules": [
    {"name": "inbox", "on": ["message.received"], "file": "rules/inbox.lua", "line": 3},
    {"name": "billing", "on": ["payment.*"], "file": "rules/billing.lua", "line": 9}]}');
SELECT test.contact(1000, 'whatsapp:1');
UPDATE contact SET opted_out = '{billing}', opted_out_at = '2026-01-01' WHERE id = 1000;
SELECT test.same((SELECT string_agg(what || ' ' || subject || ': ' || outcome, ' | ' ORDER BY step)
    FROM why_nothing(1000) WHERE what IN ('contact', 'event')),
    'contact contact 1000 (contact 1000): opted out of billing | event -: nothing happened about them', 'before anything');

UPDATE address SET last_inbound_at = now() - interval '2 days' WHERE contact_id = 1000;
SELECT test.holds((SELECT outcome LIKE 'window closed since %' FROM why_nothing(1000) WHERE what = 'address'),
    'the window is closed');
UPDATE address SET last_inbound_at = now() WHERE contact_id = 1000;
SELECT test.holds((SELECT outcome LIKE 'window open until %' FROM why_nothing(1000) WHERE what = 'address'),
    'the window is open');
UPDATE address SET unreachable_at = now(), unreachable_reason = 'blocked' WHERE contact_id = 1000;
SELECT test.holds((SELECT outcome LIKE 'unreachable since %' AND detail LIKE 'blocked, last wrote %'
    FROM why_nothing(1000) WHERE what = 'address'), 'the address is dead');

-- An event on which one rule said no and one was refused; the other rule listens to something else.
SELECT test.event('wamid.in', (SELECT lane FROM contact WHERE id = 1000), '{"contact": {"identities": ["whatsapp:1"]}}');
SELECT test.same((SELECT string_agg(subject || ': ' || outcome, ' | ' ORDER BY step) FROM why_nothing(1000)
    WHERE what = 'event'), 'message.received: not handled yet | -: nothing happened about them', 'an event that waits');
SELECT engine_commit(jsonb_build_object(
    'handlings', jsonb_build_array(jsonb_build_object('event_id', w.event_id, 'contact_id', 1000, 'rule_set', 'abc')),
    'traces', jsonb_build_array(
        jsonb_build_object('event_id', w.event_id, 'number', 1, 'rule', 'inbox', 'verdict', 'skipped', 'rule_set', 'abc',
            'file', 'rules/inbox.lua', 'line', 7),
        jsonb_build_object('event_id', w.event_id, 'number', 2, 'rule', 'greet', 'verdict', 'ran', 'rule_set', 'abc',
            'file', 'rules/greet.lua', 'line', 2, 'effects',
            '[{"do": "send", "line": 5, "refused": "the contact has opted out"}]'::jsonb))), ARRAY[w.position])
  FROM work AS w;
SELECT test.same((SELECT string_agg(subject || ': ' || outcome || coalesce(' (' || place || ')', ''), ' | ' ORDER BY step)
    FROM why_nothing(1000) WHERE what IN ('rule', 'refused')),
    'send by greet: the contact has opted out (rules/greet.lua:5) | inbox: its when said no (rules/inbox.lua:7) | '
    'greet: ran (rules/greet.lua:2) | billing: its on names none of these events (rules/billing.lua:9)',
    'what decided');
SELECT test.same((SELECT outcome FROM why_nothing(1000) WHERE what = 'event' AND subject = 'message.received'),
    '1 rule ran, 1 did not', 'one is told in the singular');
SELECT test.same(counted(0, 'try', 'tries') || ', ' || counted(1, 'try', 'tries') || ', ' || counted(2, 'rule'),
    '0 tries, 1 try, 2 rules', 'numbers with their word');
SELECT test.same((SELECT count(*) FROM why_nothing(1000, interval '0')  WHERE what = 'rule' AND subject = 'greet'), 0::bigint,
    'an older time is not looked at');

-- What was to leave and did not.
SELECT test.send(21, 1000, '{"rule": "greet", "reason": "the window is closed"}');
UPDATE delivery SET state = 'blocked';
UPDATE message SET state = 'blocked', reason = 'the window is closed' WHERE id = 21;
SELECT test.holds((SELECT outcome = 'blocked' AND detail LIKE 'the window is closed%by rule greet%'
    FROM why_nothing(1000) WHERE what = 'message'), 'a message that was held back');
INSERT INTO rule_trouble (rule, rule_set, failures_in_row, quarantined_until, last_error)
VALUES ('billing', 'abc', 5, now() + interval '1 hour', 'rules/billing.lua:10: no');
SELECT test.holds((SELECT outcome = 'quarantined' AND detail LIKE '5 failures in a row, until %no'
    FROM why_nothing(1000) WHERE what = 'rule' AND subject = 'billing' AND outcome = 'quarantined'), 'a rule that rests');

-- Somebody who was merged is the other one; nobody is nothing.
SELECT test.contact(2000, 'telegram:2');
UPDATE contact SET merged_into = 1000 WHERE id = 2000;
SELECT test.holds((SELECT subject = 'contact 1000 (contact 1000)' AND detail LIKE '%contact 2000 was merged into them'
    FROM why_nothing(2000) WHERE what = 'contact'), 'who was merged');
SELECT test.same((SELECT string_agg(concat_ws(' ', what, subject, outcome, detail), ', ') FROM why_nothing(77) WHERE what = 'contact'),
    'contact contact 77 not known identity_list tells whose number or address it is', 'nobody');
SELECT test.same((SELECT string_agg(concat_ws(' ', what, subject, outcome, detail), ', ') FROM why(77)),
    'event event 77 not known none has this number, or its month was dropped', 'no event');
SELECT test.same((SELECT string_agg(concat_ws(' ', subject, outcome), ', ') FROM why(NULL)), 'no event not known', 'nothing at all');

-- What waits, or was given up, in the lane of another handle of theirs.
SELECT test.same(identity_lane('whatsapp:15550100') || ' ' || identity_lane('email:é@example.org') || ' ' || identity_lane(''),
    '638199252 820534489 18652613', 'as server/base/text.c has it');
INSERT INTO identity (identity, contact_id) VALUES ('email:a@example.org', 1000);
SELECT test.event('by mail', identity_lane('email:a@example.org'), '{"contact": {"identities": ["email:a@example.org"]}}', 'custom.mail'),
       test.event('of another', identity_lane('email:b@example.org'), '{"contact": {"identities": ["email:b@example.org"]}}', 'custom.mail');
SELECT test.same((SELECT string_agg(subject || ': ' || outcome, ' | ' ORDER BY step) FROM why_nothing(1000) WHERE subject = 'custom.mail'),
    'custom.mail: not handled yet', 'waiting');
SELECT park_event(position, 'it broke') FROM work;
SELECT test.same((SELECT string_agg(subject || ': ' || outcome, ' | ' ORDER BY step) FROM why_nothing(1000) WHERE subject = 'custom.mail'),
    'custom.mail: parked', 'given up');

SET ROLE answerd_read;
DO $$
BEGIN
    IF (SELECT count(*) FROM why_nothing(1000)) < 5 THEN
        RAISE EXCEPTION 'the read role may not ask';
    END IF;
END
$$;
RESET ROLE;
