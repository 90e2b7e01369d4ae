-- A server that is destroyed together with snapshots of it: what was ordered. How far it is, its rows say themselves.

CREATE TABLE destroy_orders (
    server_id    integer PRIMARY KEY REFERENCES servers,
    team_id      uuid NOT NULL REFERENCES teams,
    snapshots    integer[] NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE destroy_orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON destroy_orders FOR ALL TO cairn_api USING (team_id = current_team());
GRANT SELECT, INSERT, UPDATE ON destroy_orders TO cairn_api;
