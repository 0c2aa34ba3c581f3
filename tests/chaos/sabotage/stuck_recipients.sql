-- Broken on purpose: what waits behind another message to the same recipient is not woken when that one has gone.
CREATE OR REPLACE FUNCTION wake_recipients(recipients text[]) RETURNS void
LANGUAGE sql
AS $$ SELECT $$;
