ALTER TABLE alerts DROP COLUMN severity, DROP COLUMN acknowledged_at, DROP COLUMN acknowledged_by;
DROP TABLE server_migrations, region_images, strangers, storages;
DROP FUNCTION reserve_target(integer, uuid);
DELETE FROM reservations WHERE purpose <> 'home';
CREATE OR REPLACE FUNCTION place_server(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE reservations r SET host_id = host
    FROM hosts h,
         (SELECT coalesce(sum(o.vcpus), 0) AS vcpus, coalesce(sum(o.memory_mib), 0) AS memory_mib,
                 coalesce(sum(o.disk_gb), 0) AS disk_gb
          FROM reservations o WHERE o.host_id = host AND o.server_id <> server) AS others
    WHERE r.server_id = server AND h.id = host
      AND others.vcpus + r.vcpus <= h.vcpus
      AND others.memory_mib + r.memory_mib <= h.memory_mib
      AND others.disk_gb + r.disk_gb <= h.disk_gb;
    RETURN FOUND;
END $$;
CREATE OR REPLACE FUNCTION lock_quota() RETURNS TABLE (
    servers integer, vcpus integer, memory_mib bigint, disk_gb bigint, snapshots integer, ssh_keys integer,
    used_servers bigint, used_vcpus bigint, used_memory_mib bigint, used_disk_gb bigint
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    team uuid := current_team();
    q quotas%ROWTYPE;
BEGIN
    SELECT * INTO q FROM quotas WHERE quotas.team_id = team FOR NO KEY UPDATE;
    RETURN QUERY
        SELECT q.servers, q.vcpus, q.memory_mib, q.disk_gb, q.snapshots, q.ssh_keys,
               count(*), coalesce(sum(r.vcpus), 0)::bigint, coalesce(sum(r.memory_mib), 0)::bigint,
               coalesce(sum(r.disk_gb), 0)::bigint
        FROM reservations r WHERE r.team_id = team;
END $$;
ALTER TABLE reservations DROP CONSTRAINT targets_have_a_host, DROP CONSTRAINT reservations_pkey, DROP COLUMN purpose;
ALTER TABLE reservations ADD CONSTRAINT reservations_pkey PRIMARY KEY (server_id);
ALTER TABLE servers DROP COLUMN adopted;
ALTER TABLE hosts DROP CONSTRAINT only_closed_hosts_drain, DROP COLUMN draining, DROP COLUMN tags, DROP COLUMN version,
    DROP COLUMN architecture;
