-- What was paid, ordered or begun lately, kept with the contact: a failure that arrives after its success starts nothing.
--
-- Why: providers deliver webhooks in any order.
-- Locks: ACCESS EXCLUSIVE on contact, for the moment that adding an empty column takes.

-- [{type, at, recorded_at, event, references, payment}], the last few; server/domain/settlement.h describes it.
ALTER TABLE contact ADD COLUMN settled jsonb;

-- As in 0006_commit.sql, with the new column. A node of the version before does not know it and leaves it as it is.
CREATE OR REPLACE FUNCTION write_people(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    IF jsonb_array_length(changes->'contacts') > 0 THEN
        INSERT INTO contact AS c (id, created_at, updated_at, name, language, timezone, preferred_channel, lane,
            attributes,
                                  opted_out, opted_out_at, merged_into, erased_at, settled)
        SELECT r.id, coalesce(r.created_at, now()), coalesce(r.updated_at, now()), r.name, r.language, r.timezone,
               r.preferred_channel, coalesce(r.lane, 0), coalesce(r.attributes, '{}'), coalesce(r.opted_out, '{}'),
               r.opted_out_at, r.merged_into, r.erased_at, r.settled
          FROM jsonb_populate_recordset(NULL::contact, changes->'contacts') AS r
         ORDER BY r.id
        ON CONFLICT (id) DO UPDATE
           SET updated_at = excluded.updated_at, name = excluded.name, language = excluded.language,
               timezone = excluded.timezone, preferred_channel = excluded.preferred_channel, lane = excluded.lane,
               attributes = excluded.attributes, opted_out = excluded.opted_out, opted_out_at = excluded.opted_out_at,
               merged_into = excluded.merged_into, settled = coalesce(excluded.settled, c.settled)
         WHERE c.erased_at IS NULL;
    END IF;
    IF jsonb_array_length(changes->'identities') > 0 THEN
        PERFORM write_identities(changes->'identities');
    END IF;
    IF jsonb_array_length(changes->'addresses') > 0 THEN
        -- A sender may have found an address dead after we read it: its word is newer than ours.
        INSERT INTO address AS a (source, identity, contact_id, recipient, last_inbound_at, unreachable_at,
            unreachable_reason)
        SELECT r.source, r.identity, r.contact_id, coalesce(r.recipient, ''), r.last_inbound_at, r.unreachable_at,
            r.unreachable_reason
          FROM jsonb_populate_recordset(NULL::address, changes->'addresses') AS r
         ORDER BY r.source, r.identity
        ON CONFLICT (source, identity) DO UPDATE
           SET contact_id = excluded.contact_id,
               recipient = CASE WHEN excluded.recipient <> '' THEN excluded.recipient ELSE a.recipient END,
               last_inbound_at = greatest(a.last_inbound_at, excluded.last_inbound_at),
               unreachable_at = CASE WHEN a.unreachable_at > now() THEN a.unreachable_at
                   ELSE excluded.unreachable_at END,
               unreachable_reason = CASE WHEN a.unreachable_at > now() THEN a.unreachable_reason
                   ELSE excluded.unreachable_reason END;
    END IF;
    IF jsonb_array_length(changes->'conversations') > 0 THEN
        -- Those that end come first: they make room under the key of the open ones.
        INSERT INTO conversation AS v (id, contact_id, source, identity, topic, reference, state, priority, assignee,
            tags,
                                       attributes, opened_at, updated_at, last_inbound_at, last_outbound_at,
                                           first_reply_at,
                                       snoozed_until, resolved_at, episode, previous_id)
        SELECT r.id, r.contact_id, r.source, r.identity, coalesce(r.topic, 'support'), coalesce(r.reference, ''),
               coalesce(r.state, 'open'), coalesce(r.priority, 'normal'), r.assignee, coalesce(r.tags, '{}'),
               coalesce(r.attributes, '{}'), coalesce(r.opened_at, now()), coalesce(r.updated_at, now()),
                   r.last_inbound_at,
               r.last_outbound_at, r.first_reply_at, r.snoozed_until, r.resolved_at, coalesce(r.episode, 1),
                   r.previous_id
          FROM jsonb_populate_recordset(NULL::conversation, changes->'conversations') AS r
         ORDER BY coalesce(r.state, 'open') = 'resolved' DESC, r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, source = excluded.source, identity = excluded.identity,
               topic = excluded.topic, reference = excluded.reference, state = excluded.state,
                   priority = excluded.priority,
               assignee = excluded.assignee, tags = excluded.tags, attributes = excluded.attributes,
               updated_at = excluded.updated_at, last_inbound_at = greatest(v.last_inbound_at,
                   excluded.last_inbound_at),
               last_outbound_at = greatest(v.last_outbound_at, excluded.last_outbound_at),
               first_reply_at = coalesce(v.first_reply_at, excluded.first_reply_at),
                   snoozed_until = excluded.snoozed_until,
               resolved_at = excluded.resolved_at, episode = excluded.episode, previous_id = excluded.previous_id;
    END IF;
    IF jsonb_array_length(changes->'surveys') > 0 THEN
        INSERT INTO survey AS s (id, name, conversation_id, contact_id, episode, state, score, scale, comment,
            message_id, rule,
                                 asked_at, answered_at, commented_at, expires_at)
        SELECT r.id, r.name, r.conversation_id, r.contact_id, coalesce(r.episode, 1), coalesce(r.state, 'asked'),
            r.score,
               coalesce(r.scale, 5), r.comment, r.message_id, r.rule, coalesce(r.asked_at, now()), r.answered_at,
               r.commented_at, r.expires_at
          FROM jsonb_populate_recordset(NULL::survey, changes->'surveys') AS r
         ORDER BY r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, state = excluded.state, score = excluded.score,
               comment = excluded.comment,
               message_id = coalesce(excluded.message_id, s.message_id), answered_at = excluded.answered_at,
               commented_at = excluded.commented_at, expires_at = excluded.expires_at;
    END IF;
    IF jsonb_array_length(changes->'outreaches') > 0 THEN
        INSERT INTO outreach AS o (id, contact_id, conversation_id, topic, reference, other_references, payment, goal,
                                   goals, state, step, steps, vars, rule, event_id, started_at, reached_at,
                                   next_attempt_at, ended_at, ended_by)
        SELECT r.id, r.contact_id, r.conversation_id, r.topic, coalesce(r.reference, ''),
               coalesce(r.other_references, '{}'), coalesce(r.payment, '{}'), r.goal,
               coalesce(r.goals, '{}'), coalesce(r.state, 'active'), coalesce(r.step, 0), coalesce(r.steps, '[]'),
               coalesce(r.vars, '{}'), r.rule, r.event_id,
               coalesce(r.started_at, now()), r.reached_at, r.next_attempt_at, r.ended_at, r.ended_by
          FROM jsonb_populate_recordset(NULL::outreach, changes->'outreaches') AS r
         ORDER BY coalesce(r.state, 'active') <> 'active' DESC, r.id
        ON CONFLICT (id) DO UPDATE
           SET contact_id = excluded.contact_id, conversation_id = excluded.conversation_id,
               other_references = excluded.other_references, state = excluded.state, step = excluded.step,
               steps = excluded.steps, vars = excluded.vars,
               reached_at = least(o.reached_at, excluded.reached_at), next_attempt_at = excluded.next_attempt_at,
               ended_at = excluded.ended_at, ended_by = excluded.ended_by;
    END IF;
END
$$;

-- Who is forgotten has paid nothing that we know of.
CREATE FUNCTION forget_settled() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.settled := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER forget_settled BEFORE UPDATE OF erased_at ON contact
    FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION forget_settled();
