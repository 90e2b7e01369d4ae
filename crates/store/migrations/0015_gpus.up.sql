-- GPUs: which hosts have them, sizes that come with them, and who has how many. As with everything else of a host, they are
-- given away under its lock and summed from reservations.

-- `model::catalogue::Gpus` as JSON; NULL: none. A server's are fixed when its size is chosen.
ALTER TABLE sizes ADD COLUMN gpu jsonb CHECK (gpu ? 'mapping' AND (gpu ->> 'count')::int > 0);
ALTER TABLE servers ADD COLUMN gpu jsonb;

ALTER TABLE reservations
    ADD COLUMN gpu_mapping text,
    ADD COLUMN gpu_count   integer,
    ADD CONSTRAINT gpus_are_of_a_kind CHECK ((gpu_mapping IS NULL) = (gpu_count IS NULL) AND coalesce(gpu_count, 1) > 0);
CREATE INDEX reservations_by_gpu ON reservations (host_id, gpu_mapping) INCLUDE (gpu_count) WHERE gpu_mapping IS NOT NULL;

-- Written by the observer.
CREATE TABLE host_gpus (
    host_id uuid NOT NULL REFERENCES hosts ON DELETE CASCADE,
    -- What the provider calls the kind.
    mapping text NOT NULL CHECK (length(mapping) BETWEEN 1 AND 255),
    count   integer NOT NULL CHECK (count > 0),
    PRIMARY KEY (host_id, mapping)
);

-- Whether a host, which is locked, has so many GPUs of a kind that no other server has reserved.
CREATE FUNCTION has_free_gpus(for_server integer, on_host uuid, kind text, needed integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
    SELECT needed + coalesce((SELECT sum(o.gpu_count) FROM reservations o
                              WHERE o.host_id = on_host AND o.gpu_mapping = kind AND o.server_id <> for_server), 0)
           <= coalesce((SELECT g.count FROM host_gpus g WHERE g.host_id = on_host AND g.mapping = kind), 0)
$$;

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
      AND (r.host_id = host OR NOT meets_its_group(server, host))
      AND (r.gpu_mapping IS NULL OR has_free_gpus(server, host, r.gpu_mapping, r.gpu_count));
    RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION reserve_target(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    shared bigint;
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    shared := lock_shared_disk(server, host);
    INSERT INTO reservations AS t (server_id, purpose, team_id, host_id, vcpus, memory_mib, disk_gb, gpu_mapping, gpu_count)
    SELECT r.server_id, 'target', r.team_id, host, r.vcpus, r.memory_mib, r.disk_gb, r.gpu_mapping, r.gpu_count
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
      AND (r.gpu_mapping IS NULL OR has_free_gpus(server, host, r.gpu_mapping, r.gpu_count))
    ON CONFLICT (server_id, purpose) DO UPDATE SET host_id = host;
    RETURN FOUND;
END $$;
