-- Broken on purpose: one event of twenty is stored and never handled, though its webhook was answered 200.
CREATE FUNCTION lose_work() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN RETURN CASE WHEN random() < 0.05 THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER lose_work BEFORE INSERT ON work FOR EACH ROW EXECUTE FUNCTION lose_work();
