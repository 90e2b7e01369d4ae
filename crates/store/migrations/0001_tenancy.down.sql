DROP TABLE quotas, tokens, teams, organizations, installation;
DROP FUNCTION tell_tokens();
DROP FUNCTION current_team();
REVOKE USAGE ON SCHEMA public FROM cairn_api;
-- The role stays: other databases of the same cluster may use it.
