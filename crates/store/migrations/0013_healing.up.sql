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

-- An adopted guest's address may become a row before its turn; whoever extends the pool passes over it.
CREATE OR REPLACE FUNCTION extend_pool(pool uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    WITH old AS (
        SELECT id, next, last FROM address_pools WHERE id = pool FOR NO KEY UPDATE
    ), moved AS (
        UPDATE address_pools p SET next = least(old.next + 256, old.last + 1) FROM old
        WHERE p.id = old.id AND old.next <= old.last
        RETURNING old.next AS first, p.next AS past
    ), made AS (
        INSERT INTO addresses (pool_id, address)
        SELECT pool, first + n FROM moved, generate_series(0, (past - first) - 1) AS n
        ON CONFLICT DO NOTHING
    )
    SELECT count(*) > 0 FROM moved
$$;
