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
        RETURNING 1
    )
    SELECT count(*) > 0 FROM made
$$;
DROP INDEX workflows_ended;
ALTER TABLE region_probes DROP COLUMN offers;
ALTER TABLE servers DROP COLUMN own_addresses;
DROP TABLE server_heals;
