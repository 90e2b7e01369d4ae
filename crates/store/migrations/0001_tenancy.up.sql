-- Installation, organizations, teams, tokens, quotas. Row-level security from the first table on.

-- The role that tenant requests run under (SET LOCAL ROLE). It owns nothing, so policies bind it.
-- Roles are cluster-wide while databases are many (tests), hence the guard.
DO $$ BEGIN
    CREATE ROLE cairn_api NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    EXECUTE format('GRANT cairn_api TO %I', current_user);
EXCEPTION WHEN unique_violation OR OTHERS THEN
    -- Two databases of one cluster may migrate at the same moment; a member already is fine.
    IF NOT pg_has_role(current_user, 'cairn_api', 'MEMBER') THEN RAISE; END IF;
END $$;
GRANT USAGE ON SCHEMA public TO cairn_api;

-- The team of the running request; NULL outside of one, which matches no row.
CREATE FUNCTION current_team() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT nullif(current_setting('cairn.team', true), '')::uuid $$;

CREATE TABLE installation (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    id         uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE organizations (
    id         uuid PRIMARY KEY,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE teams (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    email           text NOT NULL CHECK (length(email) BETWEEN 3 AND 320),
    created_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    team_id      uuid NOT NULL REFERENCES teams,
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    -- SHA-256 of the secret. The secret has 256 bits of entropy, so a slow hash would buy nothing.
    secret_hash  bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    scopes       text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX tokens_by_team ON tokens (team_id);

-- Processes keep tokens in memory for a few seconds; whoever takes a right away, by whatever way, tells them at once.
CREATE FUNCTION tell_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokens', OLD.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_tokens AFTER DELETE OR UPDATE OF team_id, secret_hash, scopes, expires_at, revoked_at ON tokens
    FOR EACH ROW EXECUTE FUNCTION tell_tokens();

-- Limits only. What is used is always summed from reservations under this row's lock; there is no counter.
CREATE TABLE quotas (
    team_id    uuid PRIMARY KEY REFERENCES teams,
    servers    integer NOT NULL CHECK (servers >= 0),
    vcpus      integer NOT NULL CHECK (vcpus >= 0),
    memory_mib bigint  NOT NULL CHECK (memory_mib >= 0),
    disk_gb    bigint  NOT NULL CHECK (disk_gb >= 0),
    snapshots  integer NOT NULL CHECK (snapshots >= 0),
    ssh_keys   integer NOT NULL CHECK (ssh_keys >= 0)
);

ALTER TABLE teams  ENABLE ROW LEVEL SECURITY;
ALTER TABLE tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE quotas ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON teams  FOR ALL TO cairn_api USING (id = current_team());
CREATE POLICY tenant ON tokens FOR ALL TO cairn_api USING (team_id = current_team());
CREATE POLICY tenant ON quotas FOR ALL TO cairn_api USING (team_id = current_team());
-- FOR UPDATE of the quota row (the lock that orders creates) needs UPDATE on one column at least.
GRANT SELECT ON teams, quotas TO cairn_api;
GRANT UPDATE (servers) ON quotas TO cairn_api;
GRANT SELECT, INSERT, UPDATE ON tokens TO cairn_api;
