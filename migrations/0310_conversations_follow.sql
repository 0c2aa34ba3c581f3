-- All conversations of who is merged into another contact go with them.
--
-- Why: the engine has the open ones at hand and the last few that were resolved, and moved these. Older ones kept a contact that is
-- gone: nobody could reply to one, leave a note or ask a survey about it ("the event has no conversation").
-- Locks: rows of conversation that move. Takes: seconds for a million contacts.

-- As in 0051_merges.sql otherwise. Open conversations are the engine's to move: it lets one of two about the same thing give way.
CREATE OR REPLACE FUNCTION follow_merge() RETURNS trigger
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    UPDATE contact SET merged_into = NEW.merged_into WHERE coalesce(merged_into, id) = NEW.id AND id <> NEW.id;
    UPDATE conversation SET contact_id = NEW.merged_into WHERE contact_id = NEW.id AND state = 'resolved';
    RETURN NULL;
END
$$;

UPDATE conversation AS v SET contact_id = c.merged_into
  FROM contact AS c
 WHERE c.merged_into IS NOT NULL AND v.contact_id = c.id AND v.state = 'resolved';
