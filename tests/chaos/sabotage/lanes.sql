-- Broken on purpose: engines take events without the locks of their lanes and of people, and do not look whether the work is still there.
SELECT sabotage('claim_positions', 'pg_try_advisory_xact_lock(4201, candidate.bucket)', 'true');
SELECT sabotage('engine_claim', 'FOR NO KEY UPDATE', '');
SELECT sabotage('engine_commit', 'ended <> cardinality(positions)', 'false');
