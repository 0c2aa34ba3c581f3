-- Backtests: recorded events as a stream, contact by contact, and tables for what a candidate rule set would change.
--
-- Why: two rule sets are compared over the same events, without holding more than one contact's world in memory.
-- Locks: none. Takes: milliseconds.

CREATE TABLE backtest_run (
    id              bigint      PRIMARY KEY,
    started_at      timestamptz NOT NULL DEFAULT now(),
    since           timestamptz NOT NULL,
    until           timestamptz NOT NULL,
    before_rule_set text        NOT NULL,
    after_rule_set  text        NOT NULL,
    events          bigint      NOT NULL DEFAULT 0,
    report          jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE backtest_run IS 'Backtests that were kept with --sql: which rule sets, over which events, and the totals.';

CREATE TABLE backtest_effect (
    run_id      bigint      NOT NULL REFERENCES backtest_run (id) ON DELETE CASCADE,
    number      bigint      NOT NULL,
    change      text        NOT NULL CHECK (change IN ('added', 'removed', 'changed')),
    rule        text        NOT NULL,
    kind        text        NOT NULL,
    name        text        NOT NULL,
    event_id    bigint,
    contact_id  bigint,
    before      text,
    after       text,
    before_at   timestamptz,
    after_at    timestamptz,
    PRIMARY KEY (run_id, number)
);
CREATE INDEX backtest_effect_by_rule ON backtest_effect (run_id, rule, kind);
COMMENT ON TABLE backtest_effect IS 'Each effect that the candidate rule set of a backtest adds, removes or changes.';

-- What was known of a contact at a point in time, as far as the tables still tell: a case as claimed_cases() makes it.
-- Names, tags, assignees and attributes are those of today, and timers that waited then are not known any more.
CREATE FUNCTION backtest_seed(of_contact bigint, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'contact', to_jsonb(c) || CASE WHEN c.opted_out_at < at THEN '{}' ELSE '{"opted_out": [], "opted_out_at": null}' END::jsonb,
        'identities', coalesce((SELECT jsonb_agg(i ORDER BY i.created_at, i.identity)
                                  FROM identity AS i WHERE i.contact_id = c.id AND i.created_at < at), '[]'),
        'addresses', coalesce((
            SELECT jsonb_agg(to_jsonb(a) || jsonb_build_object(
                       'unreachable_at', CASE WHEN a.unreachable_at < at THEN a.unreachable_at END,
                       'last_inbound_at', (SELECT max(m.occurred_at) FROM message AS m
                                            WHERE m.contact_id = c.id AND m.created_at < at
                                              AND m.created_at > at - interval '8 days'
                                              AND m.direction = 'in' AND m.source = a.source)) ORDER BY a.source, a.identity)
              FROM address AS a WHERE a.contact_id = c.id), '[]'),
        'conversations', coalesce((
            SELECT jsonb_agg(to_jsonb(v) || jsonb_build_object(
                       'state', CASE WHEN v.resolved_at < at THEN 'resolved' ELSE 'open' END,
                       'resolved_at', CASE WHEN v.resolved_at < at THEN v.resolved_at END,
                       'snoozed_until', NULL,
                       'last_inbound_at', (SELECT max(m.occurred_at) FROM message AS m
                                            WHERE m.conversation_id = v.id AND m.created_at < at AND m.direction = 'in'),
                       'last_outbound_at', (SELECT max(m.created_at) FROM message AS m
                                             WHERE m.conversation_id = v.id AND m.created_at < at AND m.direction = 'out'))
                   ORDER BY v.id)
              FROM conversation AS v
             WHERE v.contact_id = c.id AND v.opened_at < at
               AND (v.resolved_at IS NULL OR v.resolved_at > at - interval '30 days')), '[]'),
        'surveys', coalesce((
            SELECT jsonb_agg(to_jsonb(s) || CASE WHEN s.answered_at < at OR s.expires_at < at THEN '{}'
                                                 ELSE '{"state": "asked", "score": null, "answered_at": null}' END::jsonb ORDER BY s.id)
              FROM survey AS s
             WHERE s.contact_id = c.id AND s.asked_at < at AND s.asked_at > at - interval '30 days' AND s.state <> 'canceled'), '[]'),
        'outreaches', coalesce((
            SELECT jsonb_agg(to_jsonb(o) || CASE WHEN o.ended_at < at THEN '{}'
                                                 ELSE '{"state": "active", "ended_at": null, "ended_by": null}' END::jsonb ORDER BY o.id)
              FROM outreach AS o
             WHERE o.contact_id = c.id AND o.started_at < at AND (o.ended_at IS NULL OR o.ended_at > at - interval '30 days')), '[]'))
      FROM contact AS c WHERE c.id = of_contact
$$;

-- Opens the cursor `backtest_events` over what came from outside in [since, until): columns contact_id (NULL: nobody
-- known), group_id (the same for all events of one contact), seed (with the first event of a contact that was known
-- before), event (the document as rules see it). One contact after the other, each one's events as they were received.
-- An event belongs to the contact that it was handled for; one that was never handled, to the owner of its identity.
CREATE FUNCTION open_backtest_events(since timestamptz, until timestamptz) RETURNS void
LANGUAGE plpgsql
SET jit = off
SET cursor_tuple_fraction = 1.0
AS $$
DECLARE
    backtest_events CONSTANT refcursor := 'backtest_events';
BEGIN
    OPEN backtest_events NO SCROLL FOR
    WITH RECURSIVE chain (id, into_id) AS (
        SELECT c.id, c.merged_into FROM contact AS c WHERE c.merged_into IS NOT NULL
         UNION ALL
        SELECT chain.id, c.merged_into FROM chain JOIN contact AS c ON c.id = chain.into_id WHERE c.merged_into IS NOT NULL
    ), survivor AS (
        SELECT DISTINCT ON (chain.id) chain.id, chain.into_id
          FROM chain JOIN contact AS c ON c.id = chain.into_id WHERE c.merged_into IS NULL
    ), handled AS (
        SELECT h.event_id, max(h.contact_id) AS contact_id
          FROM handling AS h WHERE h.handled_at >= since AND h.contact_id IS NOT NULL GROUP BY h.event_id
    ), given AS (
        SELECT e.id, e.received_at, e.occurred_at, e.type, e.source, e.key, e.lane, e.doc,
               coalesce(s.into_id, h.contact_id, i.contact_id) AS contact_id
          FROM event AS e
          LEFT JOIN handled AS h ON h.event_id = e.id
          LEFT JOIN survivor AS s ON s.id = h.contact_id
          LEFT JOIN identity AS i ON h.event_id IS NULL AND i.identity = e.doc #>> '{contact,identities,0}'
         WHERE e.received_at >= since AND e.received_at < until
           AND e.type <> 'message.status'
           AND (e.source <> 'answerd' OR e.type = 'agent.action' OR e.type LIKE 'cron.%'
                OR (e.type LIKE 'custom.%' AND e.cause_event IS NULL))
    ), ordered AS (
        SELECT g.*, coalesce(g.contact_id, -1 - g.lane) AS group_id,
               row_number() OVER (PARTITION BY coalesce(g.contact_id, -1 - g.lane) ORDER BY g.received_at, g.id) AS number
          FROM given AS g
    )
    SELECT o.contact_id, o.group_id,
           CASE WHEN o.number = 1 AND o.contact_id IS NOT NULL
                     AND (SELECT c.created_at < since FROM contact AS c WHERE c.id = o.contact_id)
                THEN backtest_seed(o.contact_id, since) END AS seed,
           o.doc || jsonb_build_object('id', o.id, 'type', o.type, 'source', o.source, 'key', o.key, 'lane', o.lane,
                                       'received_at', o.received_at, 'occurred_at', o.occurred_at)
                 || CASE WHEN o.doc ? 'conversation_id'
                         THEN coalesce((SELECT jsonb_build_object('conversation', jsonb_build_object('topic', v.topic, 'reference', v.reference))
                                          FROM conversation AS v WHERE v.id = document_id(o.doc->'conversation_id')), '{}')
                         ELSE '{}' END AS event
      FROM ordered AS o
     ORDER BY o.group_id, o.received_at, o.id;
END
$$;
COMMENT ON FUNCTION open_backtest_events(timestamptz, timestamptz) IS
    'Opens the cursor backtest_events over the events that came from outside, one contact after the other.';

-- Adds differences to a run that was kept: [{number, change, rule, kind, name, event_id, contact_id, before, …}].
CREATE FUNCTION add_backtest_effects(run bigint, rows jsonb) RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO backtest_effect (run_id, number, change, rule, kind, name, event_id, contact_id, before, after, before_at, after_at)
    SELECT run, r.number, r.change, r.rule, r.kind, coalesce(r.name, ''), r.event_id, r.contact_id, r.before, r.after, r.before_at, r.after_at
      FROM jsonb_populate_recordset(NULL::backtest_effect, rows) AS r
$$;

-- What one may read without rights to write: the read role was given the views that existed before.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'answerd_read') THEN
        GRANT SELECT ON backtest_run, backtest_effect TO answerd_read;
    END IF;
END
$$;
