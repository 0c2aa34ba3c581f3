-- The tables. Names of columns are also the keys of the JSON objects that the engine works with.
--
-- Why: the first version of the schema. Locks: none that anyone could wait for. Takes: milliseconds.
--
-- Hot tables (work, outbox, timer, engine_worker) are small: a row is deleted when its work is done. Big tables are
-- partitioned by month; partitions are made ahead and dropped by age, rows are never deleted one by one.
-- Ids come from one sequence, in blocks of a thousand for each process: an id is unique over all the tables.

CREATE SEQUENCE object_id AS bigint INCREMENT BY 1000 START WITH 1000;

-- What was received ------------------------------------------------------------------------------------------------

CREATE TABLE webhook (
    id            bigint      NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    source        text        NOT NULL,
    headers       jsonb       NOT NULL,
    body          bytea       NOT NULL,
    event_count   integer     NOT NULL,
    new_events    integer     NOT NULL,
    problem       text,
    parser        integer     NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX webhook_by_source ON webhook (source, received_at);

CREATE TABLE webhook_reject (
    source        text        NOT NULL,
    hour          timestamptz NOT NULL,
    reason        text        NOT NULL,
    count         bigint      NOT NULL,
    PRIMARY KEY (source, hour, reason)
);

CREATE TABLE event (
    id            bigint      NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    occurred_at   timestamptz NOT NULL,
    webhook_id    bigint,
    source        text        NOT NULL,
    type          text        NOT NULL,
    key           text        NOT NULL,
    lane          integer     NOT NULL,
    cause_event   bigint,
    depth         smallint    NOT NULL DEFAULT 0,
    doc           jsonb       NOT NULL,
    PRIMARY KEY (id, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX event_by_type ON event (type, received_at);
CREATE INDEX event_by_key ON event (key, source);
CREATE INDEX event_by_webhook ON event (webhook_id) WHERE webhook_id IS NOT NULL;
CREATE INDEX event_by_cause ON event (cause_event) WHERE cause_event IS NOT NULL;
-- A reminder is not sent when its payment is in the books already, even when the engine has not come to that event yet.
CREATE INDEX event_by_payment ON event
    ((coalesce(doc->'payment'->>'reference', doc->'payment'->>'invoice', doc->'payment'->>'subscription',
               doc->'payment'->>'id')))
    WHERE doc ? 'payment';

-- One row for each thing that happened, so that it is handled once. A partition is a month of the database's clock;
-- claim_event_keys() looks into the two months before as well.
CREATE TABLE event_key (
    month         date        NOT NULL,
    source        text        NOT NULL,
    digest        uuid        NOT NULL,
    PRIMARY KEY (month, source, digest)
) PARTITION BY RANGE (month);

-- What became of an event: written once, in the transaction that holds its effects.
CREATE TABLE handling (
    event_id        bigint      NOT NULL,
    handled_at      timestamptz NOT NULL DEFAULT now(),
    contact_id      bigint,
    conversation_id bigint,
    rule_set        text,
    attempts        smallint    NOT NULL DEFAULT 1,
    problem         text,
    PRIMARY KEY (event_id, handled_at)
) PARTITION BY RANGE (handled_at);
CREATE INDEX handling_by_contact ON handling (contact_id, handled_at);

CREATE TABLE trace (
    event_id      bigint      NOT NULL,
    handled_at    timestamptz NOT NULL DEFAULT now(),
    number        smallint    NOT NULL,
    rule          text        NOT NULL,
    verdict       text        NOT NULL,
    file          text,
    line          integer,
    rule_set      text        NOT NULL,
    instructions  bigint      NOT NULL DEFAULT 0,
    micros        bigint      NOT NULL DEFAULT 0,
    effects       jsonb       NOT NULL DEFAULT '[]',
    error         text,
    PRIMARY KEY (event_id, number, handled_at)
) PARTITION BY RANGE (handled_at);
CREATE INDEX trace_by_rule ON trace (rule, handled_at);

-- Work to do --------------------------------------------------------------------------------------------------------

-- Positions come from a sequence without cache: what was committed before another was sent has the lower position.
CREATE TABLE work (
    position          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id          bigint      NOT NULL,
    event_received_at timestamptz NOT NULL,
    lane              integer     NOT NULL CHECK (lane >= 0),
    bucket            smallint    NOT NULL GENERATED ALWAYS AS ((lane & 511)::smallint) STORED, -- what an engine locks
    attempts          smallint    NOT NULL DEFAULT 0,
    suspect           boolean     NOT NULL DEFAULT false, -- its worker died while it handled this: claimed alone
    retry_at          timestamptz,                        -- until then it waits, and its lane behind it
    also_load         text[],                             -- identities that an earlier try ran into
    problem           text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX work_by_bucket ON work (bucket, position);
CREATE INDEX work_troubled ON work (lane, position) WHERE retry_at IS NOT NULL OR suspect;
CREATE INDEX work_suspect ON work (position) WHERE suspect;

CREATE TABLE parked_event (
    event_id          bigint      PRIMARY KEY,
    event_received_at timestamptz NOT NULL,
    lane              integer     NOT NULL,
    attempts          smallint    NOT NULL,
    parked_at         timestamptz NOT NULL DEFAULT now(),
    problem           text        NOT NULL
);

CREATE TABLE engine_worker (
    id            bigint      PRIMARY KEY,
    node          text        NOT NULL,
    started_at    timestamptz NOT NULL DEFAULT now(),
    in_flight     bigint[]    NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

CREATE TABLE timer (
    id              bigint      PRIMARY KEY,
    name            text        NOT NULL,
    due_at          timestamptz NOT NULL,
    lane            integer     NOT NULL,
    contact_id      bigint,
    conversation_id bigint,
    outreach_id     bigint,
    survey_id       bigint,
    rule            text,
    rule_set        text,
    cause_event     bigint,
    depth           smallint    NOT NULL DEFAULT 0,
    data            jsonb       NOT NULL DEFAULT '{}',
    unless          jsonb       NOT NULL DEFAULT '[]',
    armed_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX timer_due ON timer (due_at);
CREATE UNIQUE INDEX timer_once ON timer (conversation_id, name)
    WHERE conversation_id IS NOT NULL AND outreach_id IS NULL AND survey_id IS NULL;
CREATE UNIQUE INDEX timer_outreach_once ON timer (outreach_id) WHERE outreach_id IS NOT NULL;
CREATE UNIQUE INDEX timer_survey_once ON timer (survey_id) WHERE survey_id IS NOT NULL;
CREATE INDEX timer_by_contact ON timer (contact_id);

CREATE TABLE cron (
    name          text        PRIMARY KEY,
    schedule      jsonb       NOT NULL,
    next_at       timestamptz NOT NULL,
    last_at       timestamptz,
    rule_set      text        NOT NULL
);

-- People and conversations ------------------------------------------------------------------------------------------

CREATE TABLE contact (
    id                bigint      PRIMARY KEY,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    name              text,
    language          text,
    timezone          text,
    preferred_channel text,
    lane              integer     NOT NULL,
    attributes        jsonb       NOT NULL DEFAULT '{}',
    opted_out         text[]      NOT NULL DEFAULT '{}', -- topics; 'all' stops everything
    opted_out_at      timestamptz,
    merged_into       bigint,
    erased_at         timestamptz
);

CREATE TABLE identity (
    identity      text        PRIMARY KEY, -- 'whatsapp:15550100', 'telegram:42', 'stripe:cus_1', 'phone:15550100'
    contact_id    bigint      NOT NULL REFERENCES contact (id),
    created_at    timestamptz NOT NULL DEFAULT now(),
    proven_by     text        NOT NULL DEFAULT '' -- the source that attested it, 'rule:NAME' or 'api:NAME'
);
CREATE INDEX identity_by_contact ON identity (contact_id);

-- An identity as it can be written to through one source: where the provider's window and pace are kept.
CREATE TABLE address (
    source             text        NOT NULL,
    identity           text        NOT NULL,
    contact_id         bigint      NOT NULL REFERENCES contact (id),
    recipient          text        NOT NULL, -- what the provider is given: number, BSUID, chat id
    last_inbound_at    timestamptz,
    unreachable_at     timestamptz,
    unreachable_reason text,
    next_slot_at       timestamptz, -- pace (GCRA: theoretical arrival time)
    delivered_up_to    timestamptz, -- what was sent until then has arrived, or was read: see apply_watermark()
    read_up_to         timestamptz,
    PRIMARY KEY (source, identity)
) WITH (fillfactor = 80);
CREATE INDEX address_by_contact ON address (contact_id);

CREATE TABLE conversation (
    id               bigint      PRIMARY KEY,
    contact_id       bigint      NOT NULL REFERENCES contact (id),
    source           text,
    identity         text,
    topic            text        NOT NULL DEFAULT 'support',
    reference        text        NOT NULL DEFAULT '',
    state            text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'pending', 'snoozed', 'resolved')),
    priority         text        NOT NULL DEFAULT 'normal' CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    assignee         text,
    tags             text[]      NOT NULL DEFAULT '{}',
    attributes       jsonb       NOT NULL DEFAULT '{}',
    opened_at        timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    last_inbound_at  timestamptz,
    last_outbound_at timestamptz,
    first_reply_at   timestamptz,
    snoozed_until    timestamptz,
    resolved_at      timestamptz,
    episode          integer     NOT NULL DEFAULT 1, -- counts up at each reopening
    previous_id      bigint
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX conversation_open_once ON conversation (contact_id, topic, reference) WHERE state <> 'resolved';
CREATE INDEX conversation_by_contact ON conversation (contact_id, updated_at DESC);
CREATE INDEX conversation_by_state ON conversation (state, updated_at DESC);

CREATE TABLE message (
    id                  bigint      NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    occurred_at         timestamptz NOT NULL DEFAULT now(),
    conversation_id     bigint,
    contact_id          bigint,
    direction           text        NOT NULL CHECK (direction IN ('in', 'out', 'note')),
    source              text,
    identity            text,
    kind                text        NOT NULL,
    text                text,
    content             jsonb       NOT NULL DEFAULT '{}', -- media, buttons, template, variables
    author              text,                              -- 'contact', 'rule:NAME', 'agent:NAME'
    provider_message_id text,
    reply_to            text,
    event_id            bigint,
    outreach_id         bigint,
    survey_id           bigint,
    -- received | note | queued sending sent delivered read failed unknown blocked canceled
    state               text        NOT NULL,
    reason              text,
    error_code          text,
    queued_at           timestamptz,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    failed_at           timestamptz,
    edited_at           timestamptz,
    deleted_at          timestamptz,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX message_by_conversation ON message (conversation_id, created_at, id);
CREATE INDEX message_by_provider_id ON message (provider_message_id) WHERE provider_message_id IS NOT NULL;
CREATE INDEX message_by_contact ON message (contact_id, created_at);

-- Statuses that came before we knew the provider's id of the message; joined when the id is recorded.
CREATE TABLE unmatched_status (
    source              text        NOT NULL,
    provider_message_id text        NOT NULL,
    state               text        NOT NULL,
    at                  timestamptz NOT NULL,
    error_code          text,
    reason              text,
    received_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, provider_message_id, state)
);

CREATE TABLE survey (
    id              bigint      PRIMARY KEY,
    name            text        NOT NULL,
    conversation_id bigint      NOT NULL,
    contact_id      bigint      NOT NULL,
    episode         integer     NOT NULL,
    state           text        NOT NULL DEFAULT 'asked'
                    CHECK (state IN ('asked', 'answered', 'commented', 'expired', 'canceled')),
    score           integer,
    scale           integer     NOT NULL DEFAULT 5,
    comment         text,
    message_id      bigint,
    rule            text,
    asked_at        timestamptz NOT NULL DEFAULT now(),
    answered_at     timestamptz,
    commented_at    timestamptz,
    expires_at      timestamptz,
    UNIQUE (conversation_id, name, episode)
);
CREATE INDEX survey_by_contact ON survey (contact_id, asked_at DESC);

CREATE TABLE outreach (
    id              bigint      PRIMARY KEY,
    contact_id      bigint      NOT NULL,
    conversation_id bigint,
    topic           text        NOT NULL,
    reference       text        NOT NULL DEFAULT '',
    other_references text[]     NOT NULL DEFAULT '{}', -- more names of it: the payment of an invoice has its own id
    payment         jsonb       NOT NULL DEFAULT '{}', -- where it began: {source, at, id, invoice, amount, currency}
    goal            text        NOT NULL,
    goals           text[]      NOT NULL DEFAULT '{}', -- all of them; `goal` is the first
    state           text        NOT NULL DEFAULT 'active'
                    CHECK (state IN ('active', 'recovered', 'exhausted', 'canceled')),
    step            integer     NOT NULL DEFAULT 0, -- steps done
    steps           jsonb       NOT NULL,
    vars            jsonb       NOT NULL DEFAULT '{}',
    rule            text,
    event_id        bigint,
    started_at      timestamptz NOT NULL DEFAULT now(),
    reached_at      timestamptz,                    -- first message that the provider reported as delivered
    next_attempt_at timestamptz,                    -- of the payment, as known at the start
    ended_at        timestamptz,
    ended_by        bigint                          -- the event that ended it
);
CREATE UNIQUE INDEX outreach_active_once ON outreach (contact_id, topic, reference) WHERE state = 'active';
CREATE INDEX outreach_by_contact ON outreach (contact_id, started_at DESC);
CREATE INDEX outreach_by_reference ON outreach (reference) WHERE state = 'active' AND reference <> '';
CREATE INDEX outreach_by_other_reference ON outreach USING gin (other_references)
    WHERE state = 'active' AND other_references <> '{}';

-- What leaves -------------------------------------------------------------------------------------------------------

CREATE TABLE delivery (
    id                  bigint      NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    kind                text        NOT NULL CHECK (kind IN ('message', 'webhook')),
    source              text,       -- of messages
    endpoint            text,       -- of webhooks
    identity            text,
    contact_id          bigint,
    conversation_id     bigint,
    message_id          bigint,
    message_created_at  timestamptz,
    outreach_id         bigint,
    topic               text,       -- for opt-outs
    event_id            bigint,
    rule                text,
    request             jsonb       NOT NULL,
    state               text        NOT NULL DEFAULT 'queued'
                        CHECK (state IN ('queued', 'sending', 'retrying', 'sent', 'unknown', 'failed', 'parked',
                                         'blocked', 'canceled')),
    sent_as             text,       -- 'free', 'approved' or 'webhook'
    reason              text,
    error_code          text,
    attempts            smallint    NOT NULL DEFAULT 0,
    first_attempt_at    timestamptz,
    last_attempt_at     timestamptz,
    ended_at            timestamptz,
    provider_message_id text,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX delivery_by_message ON delivery (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX delivery_by_event ON delivery (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX delivery_by_contact ON delivery (contact_id, created_at) WHERE contact_id IS NOT NULL;
CREATE INDEX delivery_by_state ON delivery (state, created_at)
    WHERE state IN ('unknown', 'parked', 'failed', 'blocked');

CREATE TABLE outbox (
    position            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id         bigint      NOT NULL UNIQUE,
    delivery_created_at timestamptz NOT NULL,
    recipient           text        NOT NULL, -- 'SOURCE IDENTITY' or 'endpoint NAME': in order within it
    source              text        NOT NULL, -- source name, or 'endpoint NAME': for pace and pauses
    outreach_id         bigint,
    contact_id          bigint,
    message_id          bigint,
    due_at              timestamptz NOT NULL DEFAULT now(),
    attempts            smallint    NOT NULL DEFAULT 0,
    -- 'behind': due, but another one to the same recipient comes first; whoever removes that one wakes this one
    state               text        NOT NULL DEFAULT 'waiting'
                        CHECK (state IN ('waiting', 'behind', 'sending', 'unknown')),
    cancel_wanted       boolean     NOT NULL DEFAULT false, -- canceled while it was being sent: no further try
    in_line             boolean     NOT NULL DEFAULT true, -- the next ones to the same recipient wait for it
    lease_until         timestamptz, -- of 'sending'; of 'unknown': since when
    claimed_by          integer     -- of 'sending': the sender; of 'unknown': the one that ended before it could tell
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX outbox_due ON outbox (source, due_at, position) WHERE state = 'waiting';
CREATE INDEX outbox_by_recipient ON outbox (recipient, position);
CREATE INDEX outbox_by_outreach ON outbox (outreach_id) WHERE outreach_id IS NOT NULL;
CREATE INDEX outbox_by_message ON outbox (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX outbox_leased ON outbox (state, lease_until) WHERE state IN ('sending', 'unknown');

CREATE TABLE attempt (
    delivery_id   bigint      NOT NULL,
    number        smallint    NOT NULL,
    started_at    timestamptz NOT NULL,
    duration_ms   integer,
    status        integer,
    outcome       text        NOT NULL,
    error_code    text,
    reason        text,
    PRIMARY KEY (delivery_id, number, started_at)
) PARTITION BY RANGE (started_at);

CREATE TABLE source_pace (
    source        text        PRIMARY KEY,
    next_slot_at  timestamptz NOT NULL DEFAULT now(),
    paused_until  timestamptz,
    paused_reason text
) WITH (fillfactor = 50);

-- The program -------------------------------------------------------------------------------------------------------

CREATE TABLE rule_set (
    version       text        PRIMARY KEY,
    first_loaded  timestamptz NOT NULL DEFAULT now(),
    last_loaded   timestamptz NOT NULL DEFAULT now(),
    description   jsonb       NOT NULL
);

CREATE TABLE rule_health (
    rule              text        PRIMARY KEY,
    rule_set          text        NOT NULL,
    failures_in_row   integer     NOT NULL DEFAULT 0,
    quarantined_until timestamptz,
    last_error        text,
    updated_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_token (
    id            bigint      PRIMARY KEY,
    name          text        NOT NULL,
    digest        bytea       NOT NULL UNIQUE, -- SHA-256 of the token; the token itself is never stored
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    last_used_at  timestamptz,
    revoked_at    timestamptz
);

-- What each table is for
-- -----------------------------------------------------------------------------------------------

COMMENT ON SEQUENCE object_id IS 'Ids of all objects, in blocks of a thousand for each process.';
COMMENT ON TABLE webhook IS 'Every genuine request as it arrived. The record of what was received; by month.';
COMMENT ON TABLE webhook_reject IS
    'How many requests were not genuine, by hour and reason; nothing else of them is kept.';
COMMENT ON TABLE event IS 'Things that happened, in our words: what rules see. By month.';
COMMENT ON TABLE event_key IS
    'Which events are known, so that each is handled once; kept for two months and the current one.';
COMMENT ON TABLE handling IS 'What became of each event; written with its effects. By month.';
COMMENT ON TABLE trace IS 'Why each rule ran or did not, on each event. By month.';
COMMENT ON TABLE work IS
    'Events that wait to be handled, in order within their lane. A row goes when its work is done.';
COMMENT ON TABLE parked_event IS 'Events that failed too often; they wait for somebody to retry them.';
COMMENT ON TABLE engine_worker IS 'Engines at work and what they have in hand, to find out which event killed one.';
COMMENT ON TABLE timer IS 'Events that will happen later.';
COMMENT ON TABLE cron IS 'Schedules that rules declare, with their next time.';
COMMENT ON TABLE contact IS 'Persons.';
COMMENT ON TABLE identity IS 'Handles of persons at providers, each belonging to one of them.';
COMMENT ON TABLE address IS 'Where a person can be written to through one source, with its window, state and pace.';
COMMENT ON TABLE conversation IS 'Threads with one person about one thing.';
COMMENT ON TABLE message IS 'What was said, with the delivery ledger of what we said. By month.';
COMMENT ON TABLE unmatched_status IS 'What providers said about messages whose id we did not know yet.';
COMMENT ON TABLE survey IS 'CSAT questions that were asked, and their answers.';
COMMENT ON TABLE outreach IS 'Ladders of messages, each with the goal that ends it.';
COMMENT ON TABLE delivery IS 'Everything that was to leave: messages and outgoing webhooks. By month.';
COMMENT ON TABLE outbox IS 'Deliveries that are not over yet. A row goes when its delivery is.';
COMMENT ON TABLE attempt IS 'Each HTTP call of a delivery. By month.';
COMMENT ON TABLE source_pace IS 'When a source or endpoint may send next, and whether it is paused.';
COMMENT ON TABLE rule_set IS 'Every version of the rules that was in force.';
COMMENT ON TABLE rule_health IS 'Rules that failed lately, and those in quarantine.';
COMMENT ON TABLE api_token IS 'Who may use the API, and for what; tokens are kept as digests.';
