-- A round of the engine plans nothing anew, and does not go through what its batch did not bring.
--
-- Why: two statements of each claim were planned each time, which took longer than to run them; edits and statuses that were not
-- there took as much as a small batch of messages.
-- Locks: none. Takes: milliseconds.

-- The index for each of its questions is the only one that could answer it: see 0125_work_indexes.sql.
ALTER FUNCTION claim_positions(integer, bigint) SET plan_cache_mode = force_generic_plan;

-- As in 0006_commit.sql otherwise.
CREATE OR REPLACE FUNCTION write_messages(changes jsonb) RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    entry record;
BEGIN
    IF jsonb_array_length(changes->'messages') > 0 THEN
        INSERT INTO message (id, created_at, occurred_at, conversation_id, contact_id, direction, source, identity, kind, text, content,
                             author, provider_message_id, reply_to, event_id, outreach_id, survey_id, state, reason, error_code, queued_at,
                             sent_at, delivered_at, read_at, failed_at, edited_at, deleted_at)
        SELECT r.id, coalesce(r.created_at, now()), coalesce(r.occurred_at, r.created_at, now()), r.conversation_id, r.contact_id,
               r.direction, r.source, r.identity, coalesce(r.kind, 'text'), r.text, coalesce(r.content, '{}'), r.author,
               r.provider_message_id, r.reply_to, r.event_id, r.outreach_id, r.survey_id,
               coalesce(r.state, CASE r.direction WHEN 'in' THEN 'received' WHEN 'out' THEN 'queued' ELSE 'note' END),
               r.reason, r.error_code, r.queued_at, r.sent_at, r.delivered_at, r.read_at, r.failed_at, r.edited_at, r.deleted_at
          FROM jsonb_populate_recordset(NULL::message, changes->'messages') AS r;
    END IF;
    IF jsonb_array_length(changes->'message_edits') > 0 THEN
        FOR entry IN SELECT e.doc, (jsonb_populate_record(NULL::message, e.doc)).*
                       FROM jsonb_array_elements(changes->'message_edits') AS e (doc)
        LOOP
            UPDATE message AS m
               SET text = CASE WHEN entry.doc ? 'text' THEN entry.text ELSE m.text END,
                   content = CASE WHEN entry.doc ? 'content' THEN coalesce(entry.content, '{}') ELSE m.content END,
                   edited_at = CASE WHEN entry.doc ? 'edited_at' THEN entry.edited_at ELSE m.edited_at END,
                   deleted_at = CASE WHEN entry.doc ? 'deleted_at' THEN entry.deleted_at ELSE m.deleted_at END,
                   conversation_id = CASE WHEN entry.doc ? 'conversation_id' THEN entry.conversation_id ELSE m.conversation_id END,
                   contact_id = CASE WHEN entry.doc ? 'contact_id' THEN entry.contact_id ELSE m.contact_id END,
                   survey_id = CASE WHEN entry.doc ? 'survey_id' THEN entry.survey_id ELSE m.survey_id END
             WHERE m.id = entry.id AND m.created_at = entry.created_at;
        END LOOP;
    END IF;
    IF jsonb_array_length(changes->'message_states') > 0 THEN
        -- Sorted, because two batches may carry statuses of the same messages; the ledger does not depend on the order.
        FOR entry IN
            SELECT s.*
              FROM jsonb_to_recordset(changes->'message_states')
                   AS s (id bigint, created_at timestamptz, source text, provider_message_id text, delivery_id bigint,
                         identity text, up_to timestamptz, state text, at timestamptz, error_code text, reason text)
             ORDER BY s.provider_message_id, s.id, s.delivery_id, s.identity
        LOOP
            IF entry.up_to IS NOT NULL THEN
                PERFORM apply_watermark(entry.source, entry.identity, entry.state, entry.up_to, coalesce(entry.at, now()));
                CONTINUE;
            END IF;
            PERFORM apply_message_state(entry.source, entry.provider_message_id, entry.delivery_id, entry.state,
                                        coalesce(entry.at, now()), entry.error_code, entry.reason, entry.id, entry.created_at);
        END LOOP;
    END IF;
END
$$;
