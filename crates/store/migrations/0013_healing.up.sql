-- What operators let the product do by itself, and what it knows for that.

-- What the observer put right, so that it does not do so for ever. Kept for as long as the rule looks back, and a while.
CREATE TABLE server_heals (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_id integer NOT NULL REFERENCES servers ON DELETE CASCADE,
    what      text NOT NULL CHECK (what IN ('start', 'resize')),
    at        timestamptz NOT NULL
);
CREATE INDEX server_heals_by_server ON server_heals (server_id, at);
CREATE INDEX server_heals_by_time ON server_heals (at);
ALTER TABLE server_heals ENABLE ROW LEVEL SECURITY;

-- Addresses that an adopted guest came with and that are in none of our pools. Written when it is adopted.
ALTER TABLE servers ADD COLUMN own_addresses inet[] NOT NULL DEFAULT '{}';

-- provider::Offers: what there is to choose from; NULL: not answered, or it could not be looked at.
ALTER TABLE region_probes ADD COLUMN offers jsonb;

-- What has ended is forgotten after a while, oldest first.
CREATE INDEX workflows_ended ON workflows (finished_at) WHERE finished_at IS NOT NULL;
