-- Broken on purpose: what waits behind another message to the same recipient is not woken when that one has gone.
CREATE OR REPLACE FUNCTION wake_next_in_line(of_recipient text, left_at bigint) RETURNS bigint
LANGUAGE sql
AS $$ SELECT NULL::bigint $$;
