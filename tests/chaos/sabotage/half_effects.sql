-- Broken on purpose: of a rule's effects, the note is not always carried out.
CREATE FUNCTION lose_note() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN RETURN CASE WHEN random() < 0.3 THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER lose_note BEFORE INSERT ON message FOR EACH ROW WHEN (NEW.direction = 'note') EXECUTE FUNCTION lose_note();
