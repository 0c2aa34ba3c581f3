-- A witness of the order in which messages leave: each step of each row of the outbox, as it happened. Only the database of a
-- chaos round has it, and its oracle reads it.
CREATE TABLE witness (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    position    bigint      NOT NULL,
    delivery_id bigint      NOT NULL,
    recipient   text        NOT NULL,
    contact_id  bigint,
    state       text, -- NULL: it is gone
    stands      boolean     NOT NULL -- in line: those behind it have to wait
);

-- Only what nobody knows the outcome of leaves the line before it is gone, and of that only what is not sent again.
CREATE FUNCTION has_to_stand(o outbox) RETURNS boolean
LANGUAGE sql
AS $$
    SELECT o.state <> 'unknown' OR (NOT o.cancel_wanted AND (d.kind = 'webhook' OR coalesce(d.request->>'on_unknown', '') = 'resend')) -- '': erased
      FROM delivery AS d WHERE d.id = o.delivery_id AND d.created_at = o.delivery_created_at
$$;

CREATE FUNCTION see_outbox() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO witness (position, delivery_id, recipient, contact_id, state, stands)
        VALUES (OLD.position, OLD.delivery_id, OLD.recipient, OLD.contact_id, NULL, false);
    ELSE
        INSERT INTO witness (position, delivery_id, recipient, contact_id, state, stands)
        VALUES (NEW.position, NEW.delivery_id, NEW.recipient, NEW.contact_id, NEW.state, has_to_stand(NEW));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER see_outbox AFTER INSERT OR DELETE OR UPDATE OF state, in_line, cancel_wanted ON outbox
    FOR EACH ROW EXECUTE FUNCTION see_outbox();

-- When each delivery first stood outside the line, because nobody knew what had become of it.
CREATE VIEW stepped_out AS
SELECT w.delivery_id, min(w.at) AS at FROM witness AS w WHERE w.state = 'unknown' AND NOT w.stands GROUP BY 1;

-- Each claim of a delivery, with what was in its way: an earlier one to the same recipient that still stood in line. Of what
-- goes to one endpoint about several people, the positions tell nothing: who wrote first may commit last.
-- What once stood outside has no place any more, also when its sender comes back and says that it may be tried again.
CREATE VIEW overtaken AS
WITH step AS (
    SELECT w.*, lead(w.number) OVER one AS until, lag(w.state) OVER one AS before
      FROM witness AS w WINDOW one AS (PARTITION BY w.position ORDER BY w.number))
SELECT claim.delivery_id, claim.recipient, claim.at, ahead.delivery_id AS ahead, ahead.state AS ahead_state
  FROM step AS claim
  JOIN step AS ahead ON ahead.recipient = claim.recipient AND ahead.contact_id IS NOT DISTINCT FROM claim.contact_id
                    AND ahead.position < claim.position AND ahead.stands
                    AND ahead.number < claim.number AND (ahead.until IS NULL OR ahead.until > claim.number)
 WHERE claim.state = 'sending' AND claim.before IS DISTINCT FROM 'sending'
   AND NOT EXISTS (SELECT FROM stepped_out AS o WHERE o.delivery_id = ahead.delivery_id AND o.at < claim.at);

-- When each delivery was claimed, first.
CREATE VIEW first_claim AS
SELECT w.delivery_id, min(w.at) AS at FROM witness AS w WHERE w.state = 'sending' GROUP BY 1;
