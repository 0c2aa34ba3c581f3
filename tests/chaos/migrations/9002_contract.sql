-- Stands for a later version, in the test of rolling upgrades: it takes away what only older programs need.
-- Ends: programs before 9001
--
-- Why: programs before 9001 know nothing of the new columns. Locks: none. Takes: milliseconds.

ALTER TABLE contact ALTER COLUMN upgrade_note SET DEFAULT 'from the later version';
