-- Broken on purpose: nobody waits for the message before.
SELECT sabotage('claim_from_source', 'x.position < o.position AND x.in_line', 'false');
