-- Groups of servers whose members are kept apart, and storages that all hosts of a region share: what placement decides
-- about both is confirmed under the host's lock.

ALTER TABLE servers
    -- Written by the request. A group is its team's, and has one policy as long as it has members.
    ADD COLUMN group_name   text CHECK (length(group_name) BETWEEN 1 AND 255),
    ADD COLUMN group_policy text CHECK (group_policy IN ('anti-affinity', 'soft-anti-affinity')),
    -- The provider starts it again when it dies, elsewhere when its host does. Written by the request.
    ADD COLUMN high_availability boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT groups_have_a_policy CHECK ((group_name IS NULL) = (group_policy IS NULL));
CREATE INDEX servers_by_group ON servers (team_id, group_name) WHERE group_name IS NOT NULL AND deleted_at IS NULL;

-- Whether a server that has to be kept apart from its group meets a member on a host, or one on its way there.
CREATE FUNCTION meets_its_group(for_server integer, on_host uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
    SELECT EXISTS (
        SELECT FROM servers s
        JOIN servers o ON o.team_id = s.team_id AND o.group_name = s.group_name AND o.id <> s.id AND o.deleted_at IS NULL
        JOIN reservations r ON r.server_id = o.id AND r.host_id = on_host
        WHERE s.id = for_server AND s.group_policy = 'anti-affinity')
$$;

-- GB that the region's other servers have on the storage that its hosts share, which is locked; 0 where each has its own.
CREATE FUNCTION lock_shared_disk(for_server integer, on_host uuid) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM storages s JOIN hosts h ON h.region = s.region
    WHERE h.id = on_host AND s.host IS NULL AND s.used_for_guests FOR NO KEY UPDATE OF s;
    IF NOT FOUND THEN RETURN 0; END IF;
    RETURN (SELECT coalesce(sum(r.disk_gb), 0) FROM hosts h JOIN hosts o ON o.region = h.region
            JOIN reservations r ON r.host_id = o.id AND r.purpose = 'home' AND r.server_id <> for_server
            WHERE h.id = on_host);
END $$;

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
