DROP FUNCTION accept_image_transfer(integer);
DROP POLICY of_servers ON images;
DROP TABLE image_transfers;
DROP INDEX servers_by_image, servers_backed_up, images_expiring, images_kept;
ALTER TABLE servers DROP COLUMN backups_served_at;
ALTER TABLE images DROP COLUMN expires_at, DROP COLUMN erased_at;
