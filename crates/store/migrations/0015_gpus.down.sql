CREATE OR REPLACE FUNCTION place_server(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shared bigint;
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    shared := lock_shared_disk(server, host);
    UPDATE reservations r SET host_id = host
    FROM hosts h,
         (SELECT coalesce(sum(o.vcpus), 0) AS vcpus, coalesce(sum(o.memory_mib), 0) AS memory_mib,
                 coalesce(sum(o.disk_gb), 0) AS disk_gb
          FROM reservations o WHERE o.host_id = host AND o.server_id <> server) AS others
    WHERE r.server_id = server AND r.purpose = 'home' AND h.id = host
      AND others.vcpus + r.vcpus <= h.vcpus
      AND others.memory_mib + r.memory_mib <= h.memory_mib
      AND others.disk_gb + r.disk_gb <= h.disk_gb
      AND shared + r.disk_gb <= h.disk_gb
      -- One that grows where it is stays there, whoever came after it.
      AND (r.host_id = host OR NOT meets_its_group(server, host));
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION reserve_target(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shared bigint;
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    shared := lock_shared_disk(server, host);
    INSERT INTO reservations AS t (server_id, purpose, team_id, host_id, vcpus, memory_mib, disk_gb)
    SELECT r.server_id, 'target', r.team_id, host, r.vcpus, r.memory_mib, r.disk_gb
    FROM reservations r, hosts h,
         (SELECT coalesce(sum(o.vcpus), 0) AS vcpus, coalesce(sum(o.memory_mib), 0) AS memory_mib,
                 coalesce(sum(o.disk_gb), 0) AS disk_gb
          FROM reservations o WHERE o.host_id = host AND o.server_id <> server) AS others
    WHERE r.server_id = server AND r.purpose = 'home' AND r.host_id <> host AND h.id = host
      AND others.vcpus + r.vcpus <= h.vcpus
      AND others.memory_mib + r.memory_mib <= h.memory_mib
      AND others.disk_gb + r.disk_gb <= h.disk_gb
      AND shared + r.disk_gb <= h.disk_gb
      AND NOT meets_its_group(server, host)
    ON CONFLICT (server_id, purpose) DO UPDATE SET host_id = host;
    RETURN FOUND;
END $$;

DROP FUNCTION has_free_gpus(integer, uuid, text, integer);
DROP TABLE host_gpus;
ALTER TABLE reservations DROP CONSTRAINT gpus_are_of_a_kind, DROP COLUMN gpu_count, DROP COLUMN gpu_mapping;
ALTER TABLE servers DROP COLUMN gpu;
ALTER TABLE sizes DROP COLUMN gpu;
