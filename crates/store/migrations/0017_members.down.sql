DROP POLICY tenant ON quotas;
CREATE POLICY tenant ON quotas FOR ALL TO cairn_api USING (team_id = current_team());
DROP POLICY tenant ON tokens;
CREATE POLICY tenant ON tokens FOR ALL TO cairn_api USING (team_id = current_team());
DROP POLICY tenant ON teams;
CREATE POLICY tenant ON teams FOR ALL TO cairn_api USING (id = current_team());
DROP POLICY tenant ON organizations;
ALTER TABLE organizations DISABLE ROW LEVEL SECURITY;
REVOKE SELECT, INSERT, UPDATE (name, billing_name, billing_email, policies, closed_at) ON organizations FROM cairn_api;
REVOKE INSERT ON teams, quotas FROM cairn_api;
REVOKE UPDATE (name, email, closed_at) ON teams FROM cairn_api;

DROP TRIGGER tell_tokens ON tokens;
CREATE TRIGGER tell_tokens AFTER DELETE OR UPDATE OF team_id, secret_hash, scopes, expires_at, revoked_at ON tokens
    FOR EACH ROW EXECUTE FUNCTION tell_tokens();
DROP TRIGGER tell_authority ON teams;
DROP TRIGGER tell_authority ON organizations;
ALTER TABLE tokens DROP CONSTRAINT one_owner, DROP COLUMN user_id, DROP COLUMN service_account_id, DROP COLUMN networks;
DROP TABLE service_accounts;
DROP POLICY tenant ON users;
DROP TABLE team_members;
DROP TABLE roles;
DROP TABLE organization_members;
DROP TABLE users;
DROP FUNCTION tell_authority();
DROP INDEX teams_by_organization;
ALTER TABLE teams DROP COLUMN closed_at;
DROP INDEX organizations_by_parent;
ALTER TABLE organizations DROP COLUMN parent_id, DROP COLUMN billing_name, DROP COLUMN billing_email,
    DROP COLUMN policies, DROP COLUMN closed_at;
DROP FUNCTION organization_of_request();
DROP FUNCTION current_organization();
