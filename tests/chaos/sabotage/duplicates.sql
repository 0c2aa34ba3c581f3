-- Broken on purpose: every event counts as new, however often it comes.
CREATE OR REPLACE FUNCTION claim_event_keys(sources text[], digests uuid[], at timestamptz DEFAULT now())
RETURNS integer[]
LANGUAGE sql
AS $$ SELECT ARRAY(SELECT generate_series(1, cardinality(sources))) $$;
