-- What operators see of hosts and do with them: storages, strangers, migrations, alerts.

ALTER TABLE hosts
    -- It is being emptied: what is left on it is moved as soon as it can be. Written by operators and housekeeping.
    ADD COLUMN draining     boolean NOT NULL DEFAULT false,
    -- The operator's words, for placement.
    ADD COLUMN tags         text[] NOT NULL DEFAULT '{}',
    -- As last seen.
    ADD COLUMN version      text,
    ADD COLUMN architecture text,
    ADD CONSTRAINT only_closed_hosts_drain CHECK (NOT draining OR state = 'maintenance');

ALTER TABLE servers
    -- It was at the provider before it was ours: until it has answered, nothing of it is ever deleted.
    ADD COLUMN adopted boolean NOT NULL DEFAULT false;

-- While a server moves it holds room twice: where it is (home) and where it is going (target). Quotas count its home.
ALTER TABLE reservations ADD COLUMN purpose text NOT NULL DEFAULT 'home' CHECK (purpose IN ('home', 'target'));
ALTER TABLE reservations DROP CONSTRAINT reservations_pkey;
ALTER TABLE reservations ADD CONSTRAINT reservations_pkey PRIMARY KEY (server_id, purpose);
ALTER TABLE reservations ADD CONSTRAINT targets_have_a_host CHECK (purpose = 'home' OR host_id IS NOT NULL);

CREATE OR REPLACE FUNCTION place_server(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
    UPDATE reservations r SET host_id = host
    FROM hosts h,
         (SELECT coalesce(sum(o.vcpus), 0) AS vcpus, coalesce(sum(o.memory_mib), 0) AS memory_mib,
                 coalesce(sum(o.disk_gb), 0) AS disk_gb
          FROM reservations o WHERE o.host_id = host AND o.server_id <> server) AS others
    WHERE r.server_id = server AND r.purpose = 'home' AND h.id = host
      AND others.vcpus + r.vcpus <= h.vcpus
      AND others.memory_mib + r.memory_mib <= h.memory_mib
      AND others.disk_gb + r.disk_gb <= h.disk_gb;
    RETURN FOUND;
END $$;

-- Reserves room on another host for a server that is to move there, under that host's lock. Asked again, it finds what
-- it reserved. False: no room there.
CREATE FUNCTION reserve_target(server integer, host uuid) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM 1 FROM hosts h WHERE h.id = host AND h.state = 'up' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN false; END IF;
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
    ON CONFLICT (server_id, purpose) DO UPDATE SET host_id = host;
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
        FROM reservations r WHERE r.team_id = team AND r.purpose = 'home';
END $$;

-- Written by the observer alone: what stands at the provider now.
CREATE TABLE storages (
    region          text NOT NULL REFERENCES regions,
    name            text NOT NULL,
    -- NULL: every host sees the same one.
    host            text,
    technique       text NOT NULL,
    content         text[] NOT NULL,
    total_bytes     bigint NOT NULL,
    used_bytes      bigint NOT NULL,
    online          boolean NOT NULL,
    used_for_guests boolean NOT NULL,
    seen_at         timestamptz NOT NULL
);
CREATE UNIQUE INDEX storages_by_name ON storages (region, name, coalesce(host, ''));

-- Guests that are not ours, for operators to look at and to adopt. Written by the observer alone.
CREATE TABLE strangers (
    region     text NOT NULL REFERENCES regions,
    name       text NOT NULL,
    host       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('machine', 'container')),
    title      text NOT NULL,
    power      text CHECK (power IN ('running', 'stopped')),
    vcpus      integer NOT NULL,
    memory_mib integer NOT NULL,
    disk_gb    integer NOT NULL,
    owner      text,
    seen_at    timestamptz NOT NULL,
    PRIMARY KEY (region, name, host)
);

-- Where the bytes of images are known to be.
CREATE TABLE region_images (
    region       text NOT NULL REFERENCES regions,
    image_id     integer NOT NULL REFERENCES images,
    stored_bytes bigint NOT NULL CHECK (stored_bytes >= 0),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (region, image_id)
);

-- A server that was or is being moved to another host. Its progress is its workflow's.
CREATE TABLE server_migrations (
    -- The workflow.
    id          uuid PRIMARY KEY,
    server_id   integer NOT NULL REFERENCES servers,
    team_id     uuid NOT NULL REFERENCES teams,
    region      text NOT NULL REFERENCES regions,
    from_host   uuid NOT NULL REFERENCES hosts,
    -- NULL: not chosen yet.
    to_host     uuid REFERENCES hosts,
    reason      text NOT NULL CHECK (reason IN ('operator', 'drain')),
    state       text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'failed', 'cancelled')),
    -- For the operator: what stood against it.
    detail      text,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE INDEX server_migrations_by_region ON server_migrations (region, started_at);
CREATE INDEX server_migrations_by_server ON server_migrations (server_id, started_at);

ALTER TABLE alerts
    ADD COLUMN severity        text NOT NULL DEFAULT 'error' CHECK (severity IN ('info', 'warning', 'error')),
    ADD COLUMN acknowledged_at timestamptz,
    -- The operator's token.
    ADD COLUMN acknowledged_by uuid;

ALTER TABLE storages          ENABLE ROW LEVEL SECURITY;
ALTER TABLE strangers         ENABLE ROW LEVEL SECURITY;
ALTER TABLE region_images     ENABLE ROW LEVEL SECURITY;
ALTER TABLE server_migrations ENABLE ROW LEVEL SECURITY;
