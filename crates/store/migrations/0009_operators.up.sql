-- Operators: a plane of its own, with its own tokens and its own audit. No team, and nothing granted to `cairn_api`, so that
-- no tenant's transaction can read a row of it.

CREATE TABLE operator_tokens (
    id           uuid PRIMARY KEY,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    -- SHA-256 of the secret, as in `tokens`.
    secret_hash  bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    scopes       text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

CREATE TABLE operator_audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    -- NULL: what the product did of itself.
    token_id   uuid REFERENCES operator_tokens,
    operation  text NOT NULL,
    -- What it was done to: `region:demo`, `host:<id>`.
    subject    text NOT NULL,
    request_id uuid NOT NULL,
    -- What was asked, without secrets.
    detail     jsonb NOT NULL DEFAULT '{}'
);
