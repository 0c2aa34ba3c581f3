-- What a team that receives webhooks with Fastify would have: what came, what it meant, what is to do.
CREATE TABLE webhook (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    source      text        NOT NULL,
    headers     jsonb       NOT NULL,
    body        bytea       NOT NULL
);
CREATE TABLE event (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    webhook_id  bigint      NOT NULL,
    source      text        NOT NULL,
    type        text        NOT NULL,
    key         text        NOT NULL,
    doc         jsonb       NOT NULL,
    UNIQUE (source, key)
);
CREATE TABLE work (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    bigint      NOT NULL
);
