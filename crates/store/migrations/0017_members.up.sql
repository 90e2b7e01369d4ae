-- People and what they may do: users, who of them belongs to which organization and team in which role, roles that an
-- organization made itself, service accounts, and tokens that act for one of them.

-- The organization of the running request, where it is about the organization and not about one team; NULL outside of one,
-- which matches no row.
CREATE FUNCTION current_organization() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS
    $$ SELECT nullif(current_setting('cairn.organization', true), '')::uuid $$;

ALTER TABLE organizations
    -- A reseller, for its customers' organizations.
    ADD COLUMN parent_id     uuid REFERENCES organizations CHECK (parent_id <> id),
    -- Who gets the bills, and where.
    ADD COLUMN billing_name  text CHECK (length(billing_name) BETWEEN 1 AND 255),
    ADD COLUMN billing_email text CHECK (length(billing_email) BETWEEN 3 AND 320),
    -- What every token and member of it must keep to; see `model::authority::Policies`.
    ADD COLUMN policies      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(policies) = 'object'),
    -- Closed organizations and teams stay, for their bills and their audit; nothing of theirs may be used any more.
    ADD COLUMN closed_at     timestamptz;
CREATE INDEX organizations_by_parent ON organizations (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE teams ADD COLUMN closed_at timestamptz;
CREATE INDEX teams_by_organization ON teams (organization_id, name, id);

-- Somebody who signs in. Of the whole installation: one person may belong to several organizations.
CREATE TABLE users (
    id              uuid PRIMARY KEY,
    email           text NOT NULL CHECK (length(email) BETWEEN 3 AND 320 AND email = lower(email)),
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- No sign-in and no token of theirs is taken any more.
    disabled_at     timestamptz,
    last_sign_in_at timestamptz
);
CREATE UNIQUE INDEX users_by_email ON users (email);

CREATE TABLE organization_members (
    organization_id uuid NOT NULL REFERENCES organizations,
    user_id         uuid NOT NULL REFERENCES users,
    -- `member`: belongs to it, and may do what their teams' roles say.
    role            text NOT NULL CHECK (role IN ('owner', 'biller', 'billing_viewer', 'member')),
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX organization_members_by_user ON organization_members (user_id);

-- A set of scopes that an organization gave a name.
CREATE TABLE roles (
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    name            text NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    description     text NOT NULL DEFAULT '' CHECK (length(description) <= 1000),
    scopes          text[] NOT NULL CHECK (cardinality(scopes) BETWEEN 1 AND 400),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX roles_by_name ON roles (organization_id, lower(name));

-- A role in a team: one that every installation has, or one of the organization's own.
CREATE TABLE team_members (
    team_id    uuid NOT NULL REFERENCES teams,
    user_id    uuid NOT NULL REFERENCES users,
    role       text CHECK (role IN ('owner', 'member', 'biller', 'billing_viewer', 'resource_viewer', 'modifier')),
    role_id    uuid REFERENCES roles,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (team_id, user_id),
    CONSTRAINT one_role CHECK ((role IS NULL) <> (role_id IS NULL))
);
CREATE INDEX team_members_by_user ON team_members (user_id);
CREATE INDEX team_members_by_role ON team_members (role_id) WHERE role_id IS NOT NULL;

-- A program that acts for a team, with a role of its own and no person behind it who could leave.
CREATE TABLE service_accounts (
    id         uuid PRIMARY KEY,
    team_id    uuid NOT NULL REFERENCES teams,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    role       text CHECK (role IN ('owner', 'member', 'biller', 'billing_viewer', 'resource_viewer', 'modifier')),
    role_id    uuid REFERENCES roles,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- None of its tokens is taken any more.
    closed_at  timestamptz,
    CONSTRAINT one_role CHECK ((role IS NULL) <> (role_id IS NULL))
);
CREATE UNIQUE INDEX service_accounts_by_name ON service_accounts (team_id, lower(name)) WHERE closed_at IS NULL;
CREATE INDEX service_accounts_by_role ON service_accounts (role_id) WHERE role_id IS NOT NULL;

ALTER TABLE tokens
    -- Whose it is; it may never do more than they may. Neither: the team's own, which may do all that a team's owner may.
    ADD COLUMN user_id            uuid REFERENCES users,
    ADD COLUMN service_account_id uuid REFERENCES service_accounts,
    -- From where it may be used; empty: from everywhere.
    ADD COLUMN networks           cidr[] NOT NULL DEFAULT '{}' CHECK (cardinality(networks) <= 100),
    ADD CONSTRAINT one_owner CHECK (user_id IS NULL OR service_account_id IS NULL);
CREATE INDEX tokens_by_user ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX tokens_by_service_account ON tokens (service_account_id) WHERE service_account_id IS NOT NULL;

DROP TRIGGER tell_tokens ON tokens;
CREATE TRIGGER tell_tokens AFTER DELETE OR UPDATE OF team_id, secret_hash, scopes, expires_at, revoked_at, networks,
    user_id, service_account_id ON tokens FOR EACH ROW EXECUTE FUNCTION tell_tokens();

-- A token is worth what its owner's role is worth: whoever changes that tells as well.
CREATE FUNCTION tell_authority() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tokens', TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_authority AFTER INSERT OR DELETE OR UPDATE ON organization_members
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER INSERT OR DELETE OR UPDATE ON team_members
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER DELETE OR UPDATE ON roles
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER DELETE OR UPDATE ON service_accounts
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER DELETE OR UPDATE OF disabled_at ON users
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER DELETE OR UPDATE OF closed_at, organization_id ON teams
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();
CREATE TRIGGER tell_authority AFTER DELETE OR UPDATE OF closed_at, policies ON organizations
    FOR EACH STATEMENT EXECUTE FUNCTION tell_authority();

-- A team's request sees its team and its organization's roles; an organization's request sees all of its teams.
CREATE FUNCTION organization_of_request() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    SELECT coalesce(current_organization(), (SELECT organization_id FROM teams WHERE id = current_team()))
$$;

DROP POLICY tenant ON teams;
CREATE POLICY tenant ON teams FOR ALL TO cairn_api
    USING (id = current_team() OR organization_id = current_organization());
DROP POLICY tenant ON tokens;
CREATE POLICY tenant ON tokens FOR ALL TO cairn_api USING (
    team_id = current_team() OR team_id IN (SELECT id FROM teams WHERE organization_id = current_organization()));
DROP POLICY tenant ON quotas;
CREATE POLICY tenant ON quotas FOR ALL TO cairn_api USING (
    team_id = current_team() OR team_id IN (SELECT id FROM teams WHERE organization_id = current_organization()));

ALTER TABLE organizations        ENABLE ROW LEVEL SECURITY;
ALTER TABLE users                ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE roles                ENABLE ROW LEVEL SECURITY;
ALTER TABLE team_members         ENABLE ROW LEVEL SECURITY;
ALTER TABLE service_accounts     ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organizations FOR ALL TO cairn_api
    USING (id = organization_of_request() OR parent_id = current_organization());
CREATE POLICY tenant ON organization_members FOR ALL TO cairn_api USING (organization_id = current_organization());
CREATE POLICY tenant ON roles FOR ALL TO cairn_api USING (organization_id = organization_of_request());
CREATE POLICY tenant ON team_members FOR ALL TO cairn_api USING (
    team_id = current_team() OR team_id IN (SELECT id FROM teams WHERE organization_id = current_organization()));
CREATE POLICY tenant ON service_accounts FOR ALL TO cairn_api USING (
    team_id = current_team() OR team_id IN (SELECT id FROM teams WHERE organization_id = current_organization()));
CREATE POLICY tenant ON users FOR SELECT TO cairn_api USING (
    EXISTS (SELECT FROM team_members m WHERE m.user_id = users.id)
    OR EXISTS (SELECT FROM organization_members m WHERE m.user_id = users.id));

GRANT SELECT ON organizations, organization_members, roles, team_members, service_accounts TO cairn_api;
-- What proves who somebody is stands in tables of its own, of which nothing is granted.
GRANT SELECT ON users TO cairn_api;
GRANT INSERT ON teams, quotas, organizations TO cairn_api;
GRANT UPDATE (name, billing_name, billing_email, policies, closed_at) ON organizations TO cairn_api;
GRANT UPDATE (name, email, closed_at) ON teams TO cairn_api;
GRANT INSERT, UPDATE, DELETE ON organization_members, team_members, roles TO cairn_api;
GRANT INSERT, UPDATE ON service_accounts TO cairn_api;
