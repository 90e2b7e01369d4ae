DROP INDEX workflows_ended;
ALTER TABLE region_probes DROP COLUMN offers;
ALTER TABLE servers DROP COLUMN own_addresses;
DROP TABLE server_heals;
