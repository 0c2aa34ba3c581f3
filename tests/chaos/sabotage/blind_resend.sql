-- Broken on purpose: what nobody knows the outcome of is sent again, whatever its policy says.
CREATE OR REPLACE FUNCTION unknown_policy(o outbox, d delivery) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN 'resend';
