DROP TABLE guest_numbers, region_probes;
DROP FUNCTION claim_guest_number(text, integer, bigint, bigint);
DROP SEQUENCE guest_number_draws;
UPDATE regions r SET settings = r.settings || c.settings FROM region_connections c WHERE c.region = r.slug;
DROP TABLE region_connections;
DROP FUNCTION tell_regions();
ALTER TABLE regions DROP COLUMN origin, DROP COLUMN removed_at;
