-- Broken on purpose: nobody waits for the message before.
SELECT sabotage('claim_from_source', 'CASE WHEN x.in_line THEN x.position END < o.position', 'false');
