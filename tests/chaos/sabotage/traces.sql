-- Broken on purpose: some decisions of rules leave no trace.
CREATE FUNCTION lose_trace() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN RETURN CASE WHEN random() < 0.1 THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER lose_trace BEFORE INSERT ON trace FOR EACH ROW EXECUTE FUNCTION lose_trace();
