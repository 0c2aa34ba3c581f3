-- What handled_at means, to the letter.
--
-- Why: it was called the time at which effects were committed. It is the time at which their transaction began, of a whole batch of
-- events: the commit comes later, by the time that the rules of the batch take.
-- Locks: the rows of the comments. Takes: milliseconds.

COMMENT ON COLUMN event_log.handled_at IS 'when the transaction began that ran its rules and committed their effects; '
    'events of one batch share it, and the commit came up to as much later as their rules took';
COMMENT ON COLUMN event_log.handled_after_ms IS 'milliseconds from storing to handled_at';
COMMENT ON COLUMN rule_trace.handled_at IS 'when the transaction began that handled the event; as in event_log';
