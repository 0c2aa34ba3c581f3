-- Broken on purpose: an erasure leaves what waits for the engine.
CREATE FUNCTION keep_waiting() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN RETURN CASE WHEN NEW.doc ? 'erased' AND OLD.source = 'answerd' AND random() < 0.3 THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER keep_waiting BEFORE UPDATE ON event FOR EACH ROW EXECUTE FUNCTION keep_waiting();
